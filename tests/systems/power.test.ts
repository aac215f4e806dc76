/** How a machine ends or starts over: power button, reboot, kernel panic. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linuxMachine, missingLinux, powerOff, run, SLOWER, TIERS, tierName, toPrompt } from './linux.js';

const KERNEL = { linux: 'linux-amd64', cpu: 'max' } as const;
const skip = await missingLinux(KERNEL.linux);

for (const tier of TIERS) {
  const on = tierName(tier);
  const options = { skip, timeout: 600_000 * SLOWER[tier] };
  const seconds = 60 * SLOWER[tier];

  test(`reboot starts the kernel again, and the second start is as good as the first, ${on}`, options, async () => {
    const vm = await linuxMachine({ ...KERNEL, tier });
    try {
      await toPrompt(vm, tier);
      vm.serial.write('reboot\n');
      await vm.serial.waitFor('Restarting system', { timeout: seconds });
      await vm.serial.waitFor('Linux version 6.1', { timeout: seconds });
      await toPrompt(vm, tier);
      assert.equal(await run(vm, 'echo $((6 * 7))', seconds), '42');
      await powerOff(vm);
    } finally {
      await vm.dispose();
    }
  });

  test(`with -no-reboot a reboot ends the machine with status 0, ${on}`, options, async () => {
    const vm = await linuxMachine({ ...KERNEL, tier, args: ['-no-reboot'] });
    try {
      await toPrompt(vm, tier);
      vm.serial.write('reboot\n');
      assert.equal((await vm.ended).exitCode, 0);
    } finally {
      await vm.dispose();
    }
  });

  test(`a kernel panic is seen, and panic=-1 ends a machine that does not reboot, ${on}`, options, async () => {
    const vm = await linuxMachine({ ...KERNEL, tier, append: 'console=ttyS0 panic=-1', args: ['-no-reboot'] });
    try {
      await toPrompt(vm, tier);
      await run(vm, 'echo 1 > /proc/sys/kernel/sysrq');
      vm.serial.write('echo c > /proc/sysrq-trigger\n');
      await vm.serial.waitFor(/Kernel panic - not syncing: .*sysrq triggered crash/, { timeout: seconds });
      assert.equal((await vm.ended).exitCode, 0);
    } finally {
      await vm.dispose();
    }
  });

  test(`the power button reaches the guest as an ACPI event, ${on}`, options, async () => {
    const vm = await linuxMachine({ ...KERNEL, tier, initrdRequest: { modules: ['button', 'evdev'] } });
    try {
      await toPrompt(vm, tier);
      assert.match(await run(vm, 'cat /proc/bus/input/devices'), /Name="Power Button"/);
      const handlers = await run(vm, 'grep -A 6 "Power Button" /proc/bus/input/devices | grep Handlers');
      const event = /event\d+/.exec(handlers)?.[0];
      await run(vm, `head -c 24 /dev/input/${event} | hexdump -C & sleep 2`);
      vm.powerdown();
      // struct input_event: EV_KEY, KEY_POWER (116), pressed.
      await vm.serial.waitFor('01 00 74 00 01 00 00 00', { timeout: seconds });
      await powerOff(vm);
    } finally {
      await vm.dispose();
    }
  });
}
