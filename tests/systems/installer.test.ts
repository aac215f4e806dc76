/** Debian's installer comes up to its first menu, on a serial console and on the VGA screen. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualMachine } from '../../src/app/lib/index.js';
import { installer } from '../../tools/guest/guests.js';

const SECONDS = 400;
const CASES = [
  ['serial', 'console=ttyS0'],
  ['VGA text', 'vga=normal nomodeset'],
] as const;

for (const [where, append] of CASES) {
  test(`Debian's installer shows its first menu on ${where}`, { timeout: (SECONDS + 60) * 1000 }, async () => {
    const vm = await VirtualMachine.create({ ...(await installer()), append, cpu: 'max', memory: '1G' });
    const shown = (): string => (where === 'serial' ? vm.serial.text : (vm.screenText()?.join('\n') ?? ''));
    try {
      vm.start();
      const end = performance.now() + SECONDS * 1000;
      while (!/Select a language/.test(shown())) {
        assert.ok(performance.now() < end, `no menu within ${SECONDS} s:\n${shown().slice(-2000)}`);
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      const languages = performance.now() + 20_000;
      while (!/English/.test(shown())) {
        assert.ok(performance.now() < languages, `no languages:\n${shown().slice(-2000)}`);
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    } finally {
      await vm.dispose();
    }
  });
}
