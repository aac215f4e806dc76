import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KvmError } from './error.js';
import { tuneVm, USUAL_TUNING, type VmTuning } from './vm-tuning.js';

/** What a VM was asked for, of a KVM that has notifications or not. */
function asked(tuning: Partial<VmTuning>, notifies = true): string[] {
  const calls: string[] = [];
  const vm = {
    capability: () => Number(notifies),
    enableCapability: (name: string, ...args: bigint[]) => calls.push(`${name} 0x${args[0]!.toString(16)}`),
    setMmuPages(pages: number) {
      if (pages < 64) throw new KvmError('KVM_SET_NR_MMU_PAGES', 22, 'EINVAL');
      calls.push(`${pages} pages`);
    },
  };
  tuneVm(vm, { ...USUAL_TUNING, ...tuning });
  return calls;
}

test('KVM is to notify us unless the user or the KVM does not want it', () => {
  assert.deepEqual(asked({}), ['X86_NOTIFY_VMEXIT 0x3']);
  assert.deepEqual(asked({ notify: 'internal-error', notifyWindow: 0x12345678 }), [
    'X86_NOTIFY_VMEXIT 0x1234567800000003',
  ]);
  assert.deepEqual(asked({ notify: 'disable' }), []);
  assert.deepEqual(asked({}, false), []);
});

test("memory for KVM's page tables is limited in pages; too little is refused with a reason", () => {
  assert.deepEqual(asked({ shadowMemoryBytes: 1 << 20 }, false), ['256 pages']);
  assert.throws(() => asked({ shadowMemoryBytes: 4096 }), {
    name: 'UserError',
    message: /^kvm-shadow-mem: KVM refuses 4096 bytes \(KVM_SET_NR_MMU_PAGES.*EINVAL.*\): give it more$/,
  });
});
