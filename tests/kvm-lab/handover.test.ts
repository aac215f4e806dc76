/** Debian stops under one accelerator and goes on under the other, from the same state. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VirtualMachine } from '../../src/app/lib/index.js';
import { inLab } from '../kvm/patience.js';
import { type LinuxOptions, linuxMachine, run } from '../systems/linux.js';
import { incompleteKvm } from './complete-kvm.js';
import { APPEND, BOOT_SECONDS, boot, COMMAND_SECONDS, type Says, stateOf, WITHOUT_VGA } from './machines.js';

/** What prints the same wherever it runs: integers, strings, floating point, processes, what the kernel found. */
const WORK = [
  'head -c 65536 /bin/busybox | sha256sum',
  'head -c 8192 /bin/busybox | gzip -c | md5sum',
  `awk 'BEGIN { for (i = 1; i < 300; i++) s += sin(i) * sqrt(i) / log(i + 1); printf "%.17g\\n", s }'`,
  'seq 1 50 | sort -rn | head -3 | tr "\\n" " "',
  'uname -a; cat /proc/iomem /proc/ioports; ls /sys/bus/pci/devices',
].join('; ');

/**
 * A clock that both have: the time stamp counters differ in rate, KVM's clock is KVM's, and reading another timer is an exit, of which
 * each tick makes several.
 */
const BOTH: Partial<LinuxOptions> = {
  linux: 'linux-amd64',
  cpu: 'qemu64,kvm=off',
  memory: '128M',
  append: `${APPEND} clocksource=jiffies highres=off nohz=off tsc=unstable`,
};
const KVM = ['-accel', 'kvm'];
/**
 * The clock follows the instructions: where a host is so slow (the lab's processor is emulated itself) that the kernel's 250 timer
 * interrupts a second take more than a second, nothing else would ever run.
 */
const TCG = ['-accel', 'tcg', '-icount', 'shift=4,sleep=off'];

/** Boots on `first`; a variable of its shell is there on the others. */
async function relay(t: Says, first: readonly string[], ...others: (readonly string[])[]): Promise<void> {
  const on = (accelerator: readonly string[]): LinuxOptions => ({
    ...BOTH,
    linux: 'linux-amd64',
    args: [...accelerator, ...WITHOUT_VGA],
  });
  let vm = await boot(t, on(first));
  try {
    await run(vm, 'carried=$((6 * 7))', COMMAND_SECONDS);
    const done = await run(vm, WORK, COMMAND_SECONDS);
    assert.match(done, /^[0-9a-f]{64} /m);
    for (const accelerator of others) {
      const state = await stateOf(vm);
      await vm.dispose();
      vm = await linuxMachine(on(accelerator));
      vm.restoreState(state);
      const start = performance.now();
      vm.start();
      const name = accelerator.join(' ');
      assert.match(await run(vm, 'echo $carried; sleep 1; cat /proc/uptime', COMMAND_SECONDS), /^42\n\d/m, name);
      assert.equal(await run(vm, WORK, 3 * COMMAND_SECONDS), done, `${name} prints what ${first.join(' ')} did`);
      t.diagnostic(`${((performance.now() - start) / 1000).toFixed(1)} s under ${name}`);
    }
  } finally {
    await vm.dispose();
  }
}

test("from kvm to kvm with KVM's clock", {
  skip: incompleteKvm,
  timeout: (BOOT_SECONDS + 600) * 1000,
}, async (t) => {
  const args = ['-accel', 'kvm', ...WITHOUT_VGA];
  let vm: VirtualMachine = await boot(t, { args });
  const uptime = async (): Promise<number> =>
    Number.parseFloat(await run(vm, 'cut -d" " -f1 /proc/uptime', COMMAND_SECONDS));
  try {
    const CLOCK = 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource';
    assert.equal(await run(vm, CLOCK, COMMAND_SECONDS), 'kvm-clock');
    for (let round = 0; round < 2; round++) {
      const before = await uptime();
      const state = await stateOf(vm);
      await vm.dispose();
      vm = await linuxMachine({ linux: 'linux-amd64', cpu: 'host', args });
      vm.restoreState(state);
      vm.start();
      const gone = (await uptime()) - before;
      // The guest's clock stood still while there was no machine, and did not start again.
      assert.ok(gone >= 0 && gone < 60, `${gone} s`);
      await run(vm, 'sleep 1', COMMAND_SECONDS);
      assert.equal(await run(vm, CLOCK, COMMAND_SECONDS), 'kvm-clock');
      assert.doesNotMatch(await run(vm, 'dmesg | tail -20', COMMAND_SECONDS), /lockup|detected stall|BUG:/);
    }
  } finally {
    await vm.dispose();
  }
});

test(
  'from tcg to tcg',
  {
    skip: inLab ? 'needs no KVM, and the lab is slow' : false,
    timeout: BOOT_SECONDS * 1000,
  },
  (t) => relay(t, ['-accel', 'tcg'], TCG),
);
test('from kvm to tcg and back', { skip: incompleteKvm, timeout: (BOOT_SECONDS + 900) * 1000 }, (t) =>
  relay(t, KVM, TCG, KVM),
);
