/** Debian's installer comes up to its first menu, on a serial console and on the VGA screen. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualMachine } from '../../src/app/lib/index.js';
import { installer } from '../../tools/guest/guests.js';
import { missing } from '../../tools/guest/missing.js';
import { SLOWER, TIERS, tierName } from './linux.js';

const skip = await missing('debian-installer');
const CASES = [
  ['serial', 'console=ttyS0'],
  ['VGA text', 'vga=normal nomodeset'],
] as const;

for (const tier of TIERS)
  for (const [where, append] of CASES) {
    const seconds = 400 * SLOWER[tier];
    test(`Debian's installer shows its first menu on ${where}, ${tierName(tier)}`, {
      skip,
      timeout: (seconds + 60) * 1000,
    }, async (t) => {
      const vm = await VirtualMachine.create({ ...(await installer()), append, cpu: 'max', memory: '1G', tier });
      const shown = (): string => (where === 'serial' ? vm.serial.text : (vm.screenText()?.join('\n') ?? ''));
      try {
        const start = performance.now();
        vm.start();
        const end = performance.now() + seconds * 1000;
        while (!/Select a language/.test(shown())) {
          assert.ok(performance.now() < end, `no menu within ${seconds} s:\n${shown().slice(-2000)}`);
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
        t.diagnostic(`${((performance.now() - start) / 1000).toFixed(0)} s to the menu`);
        const languages = performance.now() + 20_000 * SLOWER[tier];
        while (!/English/.test(shown())) {
          assert.ok(performance.now() < languages, `no languages:\n${shown().slice(-2000)}`);
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
      } finally {
        await vm.dispose();
      }
    });
  }
