/** Debian stops under one accelerator and goes on under the other, from the same state. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineState, VirtualMachine } from '../../src/app/lib/index.js';
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

/** MSRs of PARAVIRTUAL_MSRS by their place in the record. */
const STEAL_TIME = 4;
const END_OF_INTERRUPT = 5;
const ENABLED = 1n;

/**
 * What KVM wrote of stolen time into the guest's memory (`struct kvm_steal_time`: steal, version), in ns and writes. The guest must
 * also have said where it looks for interrupts that need no end.
 */
function stolen({ vcpus, ram }: MachineState): { ns: number; writes: number } {
  const msrs = vcpus[0]!.fields['paravirtual']!;
  const msr = (place: number): bigint => new DataView(msrs.buffer, msrs.byteOffset).getBigUint64(8 * place, true);
  assert.equal(msr(STEAL_TIME) & ENABLED, ENABLED, 'steal time');
  assert.equal(msr(END_OF_INTERRUPT) & ENABLED, ENABLED, 'end of interrupt');
  const { bytes } = ram.find(({ name }) => name === 'pc.ram')!;
  const view = new DataView(bytes.buffer, bytes.byteOffset + Number(msr(STEAL_TIME) & ~0x3fn));
  return { ns: Number(view.getBigUint64(0, true)), writes: view.getUint32(8, true) };
}

test("from kvm to kvm with KVM's clock, steal time and end of interrupt", {
  skip: incompleteKvm,
  timeout: (BOOT_SECONDS + 600) * 1000,
}, async (t) => {
  const args = ['-accel', 'kvm', ...WITHOUT_VGA];
  let vm: VirtualMachine = await boot(t, { args });
  const uptime = async (): Promise<number> =>
    Number.parseFloat(await run(vm, 'cut -d" " -f1 /proc/uptime', COMMAND_SECONDS));
  let before = { ns: 0, writes: 0 };
  try {
    const CLOCK = 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource';
    assert.equal(await run(vm, CLOCK, COMMAND_SECONDS), 'kvm-clock');
    for (let round = 0; round < 2; round++) {
      const upBefore = await uptime();
      const state = await stateOf(vm);
      const now = stolen(state);
      // KVM goes on to write, also in the machine that was loaded.
      assert.ok(now.writes > before.writes && now.writes % 2 === 0 && now.ns >= before.ns, JSON.stringify(now));
      before = now;
      await vm.dispose();
      vm = await linuxMachine({ linux: 'linux-amd64', cpu: 'host', args });
      vm.restoreState(state);
      vm.start();
      const gone = (await uptime()) - upBefore;
      // The guest's clock stood still while there was no machine, and did not start again.
      assert.ok(gone >= 0 && gone < 60, `${gone} s`);
      await run(vm, 'sleep 1', COMMAND_SECONDS);
      assert.equal(await run(vm, CLOCK, COMMAND_SECONDS), 'kvm-clock');
      assert.doesNotMatch(await run(vm, 'dmesg | tail -20', COMMAND_SECONDS), /lockup|detected stall|BUG:/);
    }
    t.diagnostic(`${(before.ns / 1e9).toFixed(2)} s were stolen, as KVM told the guest ${before.writes / 2} times`);
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
