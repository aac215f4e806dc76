import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBcd, isPowerOfTwo, lowBits, toBcd } from './bits.js';
import { getU64, putU64 } from './bytes.js';
import { DisposableStore, toDisposable } from './disposable.js';
import { Event } from './event.js';
import { format } from './format.js';
import { setTrace, setTraceSink, traceEvents } from './trace.js';

test('bits', () => {
  assert.equal(lowBits(32), 0xffff_ffff);
  assert.equal(lowBits(9), 0x1ff);
  assert.deepEqual([0, 1, 3, 2 ** 40].map(isPowerOfTwo), [false, true, false, true]);
  assert.equal(fromBcd(toBcd(59)), 59);
});

test('bytes beyond 32 bits', () => {
  const bytes = new Uint8Array(8);
  putU64(bytes, 0, 0x12_3456_789a);
  assert.equal(getU64(bytes, 0), 0x12_3456_789a);
});

for (const [text, args, expected] of [
  ['%d %u %s', [-1, 2, 'x'], '-1 2 x'],
  ['0x%02x|%#x|%#010x', [5, 255, 4096], '0x05|0xff|0x00001000'],
  ['%-4s|%4d|%04d', ['a', 7, -7], 'a   |   7|-007'],
  ['%x', [-1], 'ffffffff'],
  ['%c%%%.2s', [65, 'xyz'], 'A%xy'],
  ['%016lx', [0xffff_ffff_ffff_ffffn], 'ffffffffffffffff'],
] as const) {
  test(`format ${text}`, () => assert.equal(format(text, args), expected));
}

test('trace events are off until a pattern turns them on', () => {
  const lines: string[] = [];
  setTraceSink((line) => lines.push(line));
  const trace = traceEvents({ chip_read: 'addr 0x%x', chip_write: 'addr 0x%x', other: '' });
  const all = Object.values(trace);
  assert.equal(setTrace(all, 'chip_*', true), 2);
  assert.equal(trace.other.enabled, false);
  trace.chip_read.emit(16);
  assert.deepEqual(lines, ['chip_read addr 0x10']);
  setTrace(all, '*', false);
  assert.equal(trace.chip_write.enabled, false);
  setTraceSink(() => {});
});

test('disposables go last first, once; a closed store disposes at once', () => {
  const log: number[] = [];
  const store = new DisposableStore();
  for (const n of [1, 2]) store.add(toDisposable(() => log.push(n)));
  store.dispose();
  store.dispose();
  store.add(toDisposable(() => log.push(3)));
  assert.deepEqual(log, [2, 1, 3]);
});

test('a listener that leaves during a call does not disturb the others', () => {
  const event = new Event<number>();
  const log: string[] = [];
  const first = event.subscribe((n) => {
    log.push(`first ${n}`);
    first.dispose();
  });
  event.subscribe((n) => log.push(`second ${n}`));
  event.fire(1);
  event.fire(2);
  assert.deepEqual(log, ['first 1', 'second 1', 'second 2']);
});
