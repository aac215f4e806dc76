/** Debian stops under one accelerator and goes on under the other, from the same state. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VirtualMachine } from '../../src/app/lib/index.js';
import { linuxMachine, PROMPT, run } from '../systems/linux.js';
import { incompleteKvm } from './complete-kvm.js';

const BOOT_SECONDS = 900;
/** Clocks that both have: the time stamp counters differ in rate, and KVM's clock is KVM's. */
const CLOCKS = 'clocksource=acpi_pm tsc=unstable';

/** What prints the same wherever it runs: integers, strings, floating point, processes, what the kernel found. */
const WORK = [
  'sha256sum /bin/busybox',
  'gzip -c /bin/busybox | md5sum',
  `awk 'BEGIN { for (i = 1; i < 3000; i++) s += sin(i) * sqrt(i) / log(i + 1); printf "%.17g\\n", s }'`,
  'seq 1 200 | sort -rn | head -3 | tr "\\n" " "',
  'uname -a; cat /proc/iomem /proc/ioports; ls /sys/bus/pci/devices',
].join('; ');

const make = (accelerator: string, cpu = 'qemu64,kvm=off', clocks = CLOCKS): Promise<VirtualMachine> =>
  linuxMachine({
    linux: 'linux-amd64',
    cpu,
    memory: '128M',
    append: `console=ttyS0 quiet ${clocks}`,
    args: ['-accel', accelerator],
  });

async function stopped(vm: VirtualMachine): Promise<void> {
  vm.stop();
  while (vm.state === 'running') await new Promise((resolve) => setTimeout(resolve, 10));
}

/** `first` boots; a variable of its shell is there on the others. */
async function relay(first: string, ...others: string[]): Promise<void> {
  let vm = await make(first);
  try {
    vm.start();
    await vm.serial.waitFor(PROMPT, { timeout: BOOT_SECONDS });
    await run(vm, 'carried=$((6 * 7))', 120);
    const done = await run(vm, WORK, 600);
    assert.match(done, /^[0-9a-f]{64} /m);
    for (const accelerator of others) {
      await stopped(vm);
      const state = vm.saveState();
      await vm.dispose();
      vm = await make(accelerator);
      vm.restoreState(state);
      vm.start();
      assert.match(await run(vm, 'echo $carried; sleep 1; cat /proc/uptime', 300), /^42\n\d/m, accelerator);
      assert.equal(await run(vm, WORK, 600), done, `${accelerator} prints what ${first} did`);
    }
  } finally {
    await vm.dispose();
  }
}

test("from kvm to kvm with KVM's clock", { skip: incompleteKvm, timeout: (BOOT_SECONDS + 600) * 1000 }, async () => {
  let vm = await make('kvm', 'host', '');
  const uptime = async (): Promise<number> => Number.parseFloat(await run(vm, 'cut -d" " -f1 /proc/uptime', 300));
  try {
    vm.start();
    await vm.serial.waitFor(PROMPT, { timeout: BOOT_SECONDS });
    const CLOCK = 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource';
    assert.equal(await run(vm, CLOCK, 120), 'kvm-clock');
    for (let round = 0; round < 2; round++) {
      const before = await uptime();
      await stopped(vm);
      const state = vm.saveState();
      await vm.dispose();
      vm = await make('kvm', 'host', '');
      vm.restoreState(state);
      vm.start();
      const gone = (await uptime()) - before;
      // The guest's clock stood still while there was no machine, and did not start again.
      assert.ok(gone >= 0 && gone < 60, `${gone} s`);
      await run(vm, 'sleep 1', 300);
      assert.equal(await run(vm, CLOCK, 120), 'kvm-clock');
      assert.doesNotMatch(await run(vm, 'dmesg | tail -20', 120), /lockup|detected stall|BUG:/);
    }
  } finally {
    await vm.dispose();
  }
});
test('from tcg to tcg', { timeout: BOOT_SECONDS * 1000 }, () => relay('tcg', 'tcg'));
test('from kvm to tcg and back', { skip: incompleteKvm, timeout: (BOOT_SECONDS + 900) * 1000 }, () =>
  relay('kvm', 'tcg', 'kvm'),
);
