import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KvmReport } from './context.js';
import { exitsSince, exitTable } from './info-kvm.js';

const access = (address: number, count: number, write = true): KvmReport['accesses'][number] => ({
  space: 'port',
  write,
  address,
  count,
  name: 'serial',
});
const before: KvmReport = {
  facts: [],
  processors: [{ guestNs: 1e9, exits: [{ reason: 'io', count: 100, ns: 1e6 }] }],
  accesses: [access(0x3f8, 90), access(0x3f8, 10, false)],
};
const now: KvmReport = {
  facts: [],
  processors: [
    {
      guestNs: 3e9,
      exits: [
        { reason: 'io', count: 103, ns: 7e6 },
        { reason: 'hlt', count: 1, ns: 5e6 },
      ],
    },
  ],
  accesses: [access(0x3f8, 90), access(0x3f8, 12, false), access(0x70, 1)],
};

test('the table has each reason with its share and its time, and what the exits were for', () => {
  const lines = exitTable(now).split('\n');
  assert.equal(lines[0], 'CPU 0: 104 exits, 3000.0 ms in the guest');
  assert.equal(lines[2], '  io                       103   99.0         7.0      68.0');
  assert.ok(lines.includes('  port    0x3f8         write            90  serial'));
});

test('what came since an earlier look', () => {
  const { processors, accesses } = exitsSince(before, now);
  assert.deepEqual(processors, [
    {
      guestNs: 2e9,
      exits: [
        { reason: 'io', count: 3, ns: 6e6 },
        { reason: 'hlt', count: 1, ns: 5e6 },
      ],
    },
  ]);
  assert.deepEqual(accesses, [access(0x3f8, 2, false), access(0x70, 1)]);
  assert.deepEqual(exitsSince(now, now).accesses, []);
  assert.equal(exitTable(exitsSince(now, now)).split('\n')[0], 'CPU 0: 0 exits, 0.0 ms in the guest');
});
