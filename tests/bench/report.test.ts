import assert from 'node:assert/strict';
import test from 'node:test';
import {
  allMet,
  comparison,
  geometricMean,
  losses,
  markdown,
  median,
  type Report,
  row,
  table,
} from '../../bench/report.js';
import { kernelNames } from '../../bench/suite.js';

function report(ours: readonly number[]): Report {
  return {
    date: '2026-01-02T03:04:05.000Z',
    commit: '0123456789abcdef',
    machine: { processor: 'abacus', processors: 2 },
    versions: { node: 'v20', qemu: 'QEMU 7.2', v86: '0.5' },
    settings: { runs: 3, clock: 'wall', only: '' },
    groups: [{ name: 'suite64', title: 'suite', peer: 'qemu', mean: 0.5, bar: 0.75 }],
    rows: [
      row({ group: 'suite64', workload: 'sort', unit: 's', bar: 1.5 }, ours, [2, 2, 4]),
      row({ group: 'suite64', workload: 'size', unit: 'MiB', bar: 500, absolute: true }, [499], []),
    ],
    warnings: [],
    facts: {},
  };
}

test('medians, and means of ratios', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(geometricMean([2, 8]), 4);
  assert.equal(geometricMean([]), undefined);
});

test('a ratio is the median of the pairs, and is held against the bar', () => {
  const good = report([1, 1, 6]);
  assert.equal(good.rows[0]!.ratio, 0.5);
  assert.ok(allMet(good));
  assert.deepEqual(losses(good), []);
  const bad = report([4, 4, 4]);
  assert.equal(bad.rows[0]!.ratio, 2);
  assert.ok(!allMet(bad));
  assert.deepEqual(losses(bad), ['suite64/sort: 2.00 times as long']);
});

test('the table, in text and for the docs, and set beside an earlier one', () => {
  const lines = table(report([1, 1, 6])).split('\n');
  assert.match(lines[2]!, /^ {2}sort +1\.00 s +2\.00 s +0\.50 +1\.50 +yes$/);
  assert.match(lines[3]!, /^ {2}size +499\.00 MiB +500\.00 MiB +yes$/);
  assert.match(lines[4]!, /^ {2}geometric mean +0\.50 +0\.75 +yes$/);
  assert.match(markdown(report([1, 1, 6])), /^\| sort \| 1\.00 s \| 2\.00 s \| 0\.50 \| 1\.50 \| yes \|$/m);
  assert.match(
    comparison(report([4, 4, 4]), report([1, 1, 6])),
    /suite64\/sort +4\.00 +1\.00 +0\.25 +2\.00 +0\.50 +1\.00/,
  );
});

test('the suite has its kernels', () => {
  const names = kernelNames();
  assert.ok(names.length >= 14);
  assert.ok(names.includes('sort') && !names.includes('pipe'));
});
