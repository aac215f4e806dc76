/** Debian stops under one accelerator and goes on under the other, from the same state. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VirtualMachine } from '../../src/app/lib/index.js';
import { linuxMachine, PROMPT, run } from '../systems/linux.js';
import { incompleteKvm } from './complete-kvm.js';

const BOOT_SECONDS = 900;
/** Clocks that both have: the time stamp counters differ in rate, and KVM's clock is KVM's. */
const CLOCKS = 'clocksource=acpi_pm tsc=unstable';

const make = (accelerator: string): Promise<VirtualMachine> =>
  linuxMachine({
    linux: 'linux-amd64',
    cpu: 'qemu64,kvm=off',
    memory: '128M',
    append: `console=ttyS0 quiet ${CLOCKS}`,
    args: ['-accel', accelerator],
  });

/** `first` boots; a variable of its shell is there on the others. */
async function relay(first: string, ...others: string[]): Promise<void> {
  let vm = await make(first);
  try {
    vm.start();
    await vm.serial.waitFor(PROMPT, { timeout: BOOT_SECONDS });
    await run(vm, 'carried=$((6 * 7))', 120);
    for (const accelerator of others) {
      vm.stop();
      while (vm.state === 'running') await new Promise((resolve) => setTimeout(resolve, 10));
      const state = vm.saveState();
      await vm.dispose();
      vm = await make(accelerator);
      vm.restoreState(state);
      vm.start();
      assert.match(await run(vm, 'echo $carried; sleep 1; cat /proc/uptime', 300), /^42\n\d/m, accelerator);
    }
  } finally {
    await vm.dispose();
  }
}

test('from tcg to tcg', { timeout: BOOT_SECONDS * 1000 }, () => relay('tcg', 'tcg'));
test('from kvm to tcg and back', { skip: incompleteKvm, timeout: (BOOT_SECONDS + 900) * 1000 }, () =>
  relay('kvm', 'tcg', 'kvm'),
);
