/** Linux measures the TSC against the 8254 by reading both in a loop: pauses of the emulator must not spoil it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOOT_SECONDS, linuxMachine, missingLinux } from './linux.js';

/** An overloaded host may be busy with other things just then for longer than is hidden; QEMU's guests see that as well. */
const ATTEMPTS = 4;

const skip = await missingLinux('linux-amd64');

test('the TSC is calibrated against the PIT', { skip, timeout: ATTEMPTS * BOOT_SECONDS.both * 1000 }, async (t) => {
  const seen: string[] = [];
  for (let i = 0; i < ATTEMPTS; i++) {
    const vm = await linuxMachine({ linux: 'linux-amd64', cpu: 'max' });
    try {
      vm.start();
      await vm.serial.waitFor(/tsc: Detected .* processor/, { timeout: BOOT_SECONDS.both });
      seen.push(vm.serial.text.match(/tsc: .*/g)!.join('; '));
    } finally {
      await vm.dispose();
    }
    const [line] = seen.slice(-1);
    const mhz = Number(/Detected (\d+\.\d+) MHz/.exec(line!)![1]);
    if (/Fast TSC calibration using PIT|PIT calibration matches/.test(line!)) {
      assert.ok(Math.abs(mhz - 1000) < 20, line);
      t.diagnostic(`${i + 1} of at most ${ATTEMPTS} starts: ${line}`);
      return;
    }
  }
  assert.fail(seen.join('\n'));
});
