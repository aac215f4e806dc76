import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CapabilityName } from '../../../accel/kvm/abi.js';
import { NEEDED, whyNotEnough, whyNotOpened } from './availability.js';

const host = (cpuinfo: string, group: number) => ({
  read: (path: string) => (path === '/proc/cpuinfo' ? cpuinfo : 'root:x:0:\nkvm:x:104:someone\n'),
  deviceGroup: () => group,
});
const INTEL = 'flags : fpu vme vmx sse2';
const AMD = 'flags : fpu vme svm sse2';

test('why the device does not open is one line with what helps', () => {
  assert.match(
    whyNotOpened('ENOENT', host(INTEL, 0)),
    /^there is no \/dev\/kvm: load its module \(modprobe kvm_intel\)$/,
  );
  assert.match(whyNotOpened('ENODEV', host(AMD, 0)), /modprobe kvm_amd/);
  assert.match(whyNotOpened('ENOENT', host('flags : fpu', 0)), /shows no virtualization: turn it on/);
  assert.match(
    whyNotOpened('EACCES', host(INTEL, 104)),
    /no permission .*: join the group 'kvm' \(usermod -aG kvm USER/,
  );
  assert.match(whyNotOpened('EACCES', host(INTEL, 77)), /join the group '77'/);
  assert.match(whyNotOpened('EPERM', host(INTEL, 0)), /only root may use it/);
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
