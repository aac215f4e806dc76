import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readVmstat, WritePressure } from './write-pressure.js';

const vmstat = (dirty: number, writing: number): string =>
  `nr_free_pages 9\nnr_dirty ${dirty}\nnr_writeback_temp 0\nnr_writeback ${writing}\nnr_dirty_threshold 2000\nnr_dirty_background_threshold 1000\n`;

test('writes may have to wait near the middle between the limits; the host is asked now and then only', () => {
  let now = 0;
  let text: string | null = vmstat(0, 0);
  let asked = 0;
  const pressure = new WritePressure(
    () => {
      asked++;
      return text;
    },
    () => now,
  );
  assert.equal(pressure.before(4096), false);
  text = vmstat(1300, 100);
  assert.equal(pressure.before(4096), false, 'the answer is still good');
  assert.equal(asked, 1);
  assert.equal(pressure.before(16 << 20), true, 'much was written since');
  text = vmstat(1300, 0);
  now = 19;
  assert.equal(pressure.before(1), true);
  now = 20;
  assert.equal(pressure.before(1), false, 'it has become less');
  text = null;
  now = 100;
  assert.equal(pressure.before(1), false, 'where the host does not tell, nothing is known');
});

test('what Linux tells is understood', { skip: process.platform !== 'linux' && 'not Linux' }, () => {
  const text = readVmstat()();
  assert.match(text ?? '', /^nr_dirty \d+$/m);
  assert.match(text ?? '', /^nr_dirty_background_threshold \d+$/m);
});
