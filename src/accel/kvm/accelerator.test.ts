import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KvmAccelerator, type KvmOptions } from './accelerator.js';
import { KvmError } from './error.js';

test('when KVM cannot make a processor, nothing is left of those before it', () => {
  const closed: string[] = [];
  let made = 0;
  const vm = {
    capability: () => 0,
    reservePages() {},
    allocate() {},
    createVcpu() {
      const name = `vCPU ${made++}`;
      if (made === 3) throw new KvmError('KVM_CREATE_VCPU', 12, 'ENOMEM');
      return { close: () => closed.push(name) };
    },
    close: () => closed.push('VM'),
  };
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
  const options = {
    kvm: { supportedCpuid: () => [], createVm: () => vm, close: () => closed.push('KVM') },
    calls: { addressOf: () => 0n, eventfd: () => 3, now: () => 0 },
    shared: { memory, vcpus: [0, 1, 2].map((i) => ({ state: i * 32768 })), notifyWrite() {} },
    irqchip: 'off',
    smm: false,
    tuning: {},
    cpu: {},
    spins: 0,
    monotonic: () => 0,
    report: assert.fail,
  } as unknown as KvmOptions;
  assert.throws(() => new KvmAccelerator(options), /KVM_CREATE_VCPU.*ENOMEM/);
  assert.deepEqual(closed, ['vCPU 0', 'vCPU 1', 'VM', 'KVM']);
});
