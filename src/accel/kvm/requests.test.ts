import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostCalls } from './host-calls.js';
import { KvmDescriptor } from './requests.js';

const EINTR = 4;

/** A kernel whose calls signals interrupt so many times. */
function interrupted(times: number): KvmDescriptor {
  let left = times;
  const answer = (): number => (left-- > 0 ? -EINTR : 7);
  const calls = { ioctl: answer, ioctlBytes: answer, errnoName: () => 'EINTR' } as Partial<HostCalls>;
  return new KvmDescriptor(calls as HostCalls, 3);
}

test('a call that a signal interrupts is begun anew', () => {
  assert.equal(interrupted(3).number('KVM_CREATE_VM'), 7);
  assert.equal(interrupted(3).bytesResult('KVM_SIGNAL_MSI', new Uint8Array(32)), 7);
});

test('but not without end', () => {
  assert.throws(() => interrupted(Number.POSITIVE_INFINITY).number('KVM_CREATE_VM'), /KVM_CREATE_VM failed: EINTR/);
});
