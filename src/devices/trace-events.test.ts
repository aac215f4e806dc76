import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { setTraceEvents, TRACE_EVENTS } from './trace-events.js';

const here = dirname(fileURLToPath(import.meta.url));
const sources = join(here, '../../..', 'src/devices');

test('the list has every group that a device declares, each event once', () => {
  const names = TRACE_EVENTS.map((e) => e.name);
  assert.equal(new Set(names).size, names.length);
  for (const file of readdirSync(sources, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || file.endsWith('.test.ts')) continue;
    const declared = /= traceEvents\(\{\s*(\w+):/.exec(readFileSync(join(sources, file), 'utf8'));
    if (declared)
      assert.ok(names.includes(declared[1]!), `${file} declares ${declared[1]}: name its group in the list`);
  }
});

test('a glob turns events on and off', () => {
  const matched = setTraceEvents('pit_*', true);
  assert.equal(matched, 2);
  assert.deepEqual(
    TRACE_EVENTS.filter((e) => e.enabled).map((e) => e.name),
    ['pit_ioport_read', 'pit_ioport_write'],
  );
  assert.equal(setTraceEvents('pit_*', false), matched);
});
