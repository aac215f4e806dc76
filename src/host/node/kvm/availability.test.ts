import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CapabilityName } from '../../../accel/kvm/abi.js';
import { KvmError } from '../../../accel/kvm/error.js';
import { NEEDED, orRefused, whyNotEnough, whyNotHere, whyNotOpened } from './availability.js';

const host = (cpuinfo: string, gid: number, mode = 0o20660, kernelDevice = '') => ({
  read: (path: string) =>
    ({
      '/proc/cpuinfo': cpuinfo,
      '/etc/group': 'root:x:0:\nkvm:x:104:someone\n',
      '/sys/class/misc/kvm/dev': kernelDevice,
    })[path]!,
  device: () => ({ gid, mode }),
});
const INTEL = 'flags : fpu vme vmx sse2';
const AMD = 'flags : fpu vme svm sse2';

test('why the device does not open is one line with what helps', () => {
  assert.match(
    whyNotOpened('ENOENT', host(INTEL, 0)),
    /^there is no \/dev\/kvm: load its module \(modprobe kvm_intel\)$/,
  );
  assert.match(
    whyNotOpened('ENODEV', host(AMD, 0)),
    /^\/dev\/kvm has no driver: load its module \(modprobe kvm_amd\)$/,
  );
  assert.match(
    whyNotOpened('ENOENT', host(AMD, 0, 0, '10:232\n')),
    /^there is no \/dev\/kvm, though the kernel has it: give it to this container \(--device \/dev\/kvm\), or make it/,
  );
  assert.match(whyNotOpened('ENOENT', host('flags : fpu', 0)), /shows no virtualization: turn it on/);
  assert.match(
    whyNotOpened('EACCES', host(INTEL, 104)),
    /no permission .*: join the group 'kvm' \(usermod -aG kvm USER/,
  );
  assert.match(whyNotOpened('EACCES', host(INTEL, 77)), /join the group '77'/);
  assert.match(whyNotOpened('EPERM', host(INTEL, 0)), /only its owner may use it/);
  // To join a group that may not use it helps nobody.
  assert.match(whyNotOpened('EACCES', host(INTEL, 104, 0o20600)), /only its owner may use it/);
  assert.match(whyNotOpened('EBUSY', host(INTEL, 0)), /another hypervisor/);
  assert.match(whyNotOpened('EMFILE', host(INTEL, 0)), /could not open \/dev\/kvm: EMFILE/);
});

test('a KVM that is too old says what it has not', () => {
  const kvm = (apiVersion: number, ...missing: CapabilityName[]) => ({
    apiVersion,
    capability: (name: CapabilityName) => (missing.includes(name) ? 0 : 1),
  });
  assert.equal(whyNotEnough(kvm(12)), undefined);
  assert.match(whyNotEnough(kvm(11))!, /interface version 11, not 12/);
  for (const name of NEEDED) assert.match(whyNotEnough(kvm(12, name))!, new RegExp(`KVM_CAP_${name}`));
});

test("another processor's KVM has no x86 guests", () => {
  assert.equal(whyNotHere('x64'), undefined);
  assert.equal(whyNotHere('arm64'), "KVM runs guests of the host's kind, and this one is arm64: use -accel tcg here");
});

test('what a KVM that opens refuses is an error of the user', () => {
  const refuse = (errno: number, name: string) => () =>
    orRefused(() => {
      throw new KvmError('KVM_CREATE_VM', errno, name);
    });
  assert.throws(
    refuse(16, 'EBUSY'),
    /^UserError: \/dev\/kvm is busy: another hypervisor uses the processor's virtualization \(KVM_CREATE_VM failed: EBUSY\)$/,
  );
  assert.throws(refuse(12, 'ENOMEM'), /^UserError: KVM_CREATE_VM failed: ENOMEM$/);
});
