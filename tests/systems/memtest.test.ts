/** memtest86+ finds no error in 32 MiB in a full pass. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualMachine } from '../../src/app/lib/index.js';
import { memtest } from '../../tools/guest/guests.js';
import { missing } from '../../tools/guest/missing.js';
import { SLOWER, TIERS, tierName } from './linux.js';

const skip = await missing('memtest');

for (const tier of TIERS) {
  const minutes = 20 * SLOWER[tier];
  test(`memtest86+ passes over 32 MiB, ${tierName(tier)}`, { skip, timeout: minutes * 60_000 }, async (t) => {
    const start = performance.now();
    const vm = await VirtualMachine.create({ kernel: await memtest(64), cpu: 'max', memory: '32M', tier });
    const screen = (): string => vm.screenText()?.join('\n') ?? '';
    try {
      vm.start();
      // "Pass: 1" counts the passes done; "Pass complete, no errors" comes up with it.
      while (!/Pass:\s+[1-9]|Pass complete/.test(screen())) {
        assert.ok(performance.now() - start < minutes * 60_000 - 10_000, `no pass:\n${screen()}`);
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
      assert.match(screen(), /Errors:\s+0\b/);
      t.diagnostic(`${((performance.now() - start) / 60_000).toFixed(1)} minutes`);
    } finally {
      await vm.dispose();
    }
  });
}
