import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualTime } from '../../machine/testing/manual-time.js';
import { ProbeBus } from '../../machine/testing/probe-bus.js';
import { Mc146818 } from './mc146818.js';

/** ManualTime starts at 2024-01-01 00:00:00, a Monday. */
function setUp() {
  const time = new ManualTime();
  const clocks = time.clocks();
  const bus = new ProbeBus();
  const rtc = new Mc146818(bus.isa, clocks.host, bus.isa.irq(8));
  const read = (index: number): number => {
    rtc.write(0, 1, index);
    return rtc.read(1, 1);
  };
  const write = (index: number, value: number): void => {
    rtc.write(0, 1, index);
    rtc.write(1, 1, value);
  };
  return { rtc, irq: bus.irqs[8]!, read, write, advance: (ns: number) => time.advance(clocks, ns) };
}
const calendar = (read: (index: number) => number): number[] => [0x32, 9, 8, 7, 6, 4, 2, 0].map(read);

test('the calendar in BCD and binary, 24 and 12 hours', () => {
  const { read, write, advance } = setUp();
  advance((13 * 3600 + 34 * 60 + 56) * 1e9);
  assert.deepEqual(calendar(read), [0x20, 0x24, 1, 1, 2, 0x13, 0x34, 0x56]);
  write(11, 0x06);
  assert.deepEqual(calendar(read), [20, 24, 1, 1, 2, 13, 34, 56]);
  write(11, 0x00);
  assert.equal(read(4), 0x81);
});

test('the guest sets the time with SET, and the clock goes on from there', () => {
  const { read, write, advance } = setUp();
  write(11, 0x82);
  for (const [index, value] of [
    [0x32, 0x19],
    [9, 0x99],
    [8, 0x12],
    [7, 0x31],
    [4, 0x23],
    [2, 0x59],
    [0, 0x58],
  ] as const) {
    write(index, value);
  }
  advance(10e9);
  assert.equal(read(0), 0x58, 'held');
  write(11, 0x02);
  advance(3e9);
  assert.deepEqual(calendar(read), [0x20, 0, 1, 1, 7, 0, 0, 1]);
});

test('UIP shows just before an update', () => {
  const { read, advance } = setUp();
  advance(0.9e9);
  assert.equal(read(10) & 0x80, 0);
  advance(0.0999e9);
  assert.equal(read(10) & 0x80, 0x80);
  advance(0.0002e9);
  assert.equal(read(10) & 0x80, 0);
});

test('periodic interrupt at 1024 Hz; reading register C lowers the line', () => {
  const { irq, read, write, advance } = setUp();
  write(10, 0x26);
  write(11, 0x42);
  read(12);
  let interrupts = 0;
  for (let i = 0; i < 2048; i++) {
    advance(1e9 / 2048);
    if (!irq.level) continue;
    interrupts++;
    assert.equal(read(12), 0xc0);
    assert.equal(irq.level, false);
  }
  assert.ok(Math.abs(interrupts - 1024) <= 1, `${interrupts} interrupts in a second`);
});

test('update-ended interrupt and alarm', () => {
  const { irq, read, write, advance } = setUp();
  read(12);
  write(11, 0x12);
  advance(1.1e9);
  assert.equal(irq.level, true);
  assert.equal(read(12) & 0x90, 0x90);
  write(1, 0x05);
  write(3, 0xc0);
  write(5, 0xff);
  write(11, 0x22);
  advance(3e9);
  assert.equal(irq.level, false);
  advance(1e9);
  assert.equal(irq.level, true);
  assert.equal(read(12) & 0xa0, 0xa0);
});

test('flags are set without their enables, for guests that poll', () => {
  const { read, write, advance } = setUp();
  write(10, 0x26);
  read(12);
  advance(1.2e9);
  assert.equal(read(12), 0x50);
});

test('a reset keeps time and RAM', () => {
  const { rtc, read, write, advance } = setUp();
  write(0x40, 0x77);
  write(11, 0x42);
  advance(5e9);
  rtc.reset();
  assert.equal(read(0x40), 0x77);
  assert.equal(read(0), 5);
  assert.equal(read(11) & 0x40, 0);
});

test('no flag is set before anything has happened', () => {
  const { read, advance } = setUp();
  advance(0.5e6);
  assert.equal(read(12), 0);
});
