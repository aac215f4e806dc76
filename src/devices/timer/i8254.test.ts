import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualTime } from '../../machine/testing/manual-time.js';
import { ProbeBus } from '../../machine/testing/probe-bus.js';
import { SystemBus } from '../../memory/system-bus.js';
import { I8254 } from './i8254.js';

const TICK = 1e9 / 1_193_182;

/** With `pause`, the clock goes on by so many ns at every look at it: a host that does other things in between. */
function setUp(pause = 0) {
  const time = new ManualTime();
  const clocks = time.clocks();
  const bus = new ProbeBus();
  const clock = clocks.virtual;
  const now = clock.now.bind(clock);
  if (pause > 0) {
    let paused = 0;
    clock.now = () => {
      paused += pause;
      return now() + paused;
    };
  }
  new I8254(bus.isa, clock, bus.isa.irq(0)).reset();
  const io = new SystemBus(bus.memory, bus.memory.addressSpace('io', bus.ioSpace));
  return {
    irq: bus.irqs[0]!,
    out: (port: number, ...values: number[]) => {
      for (const value of values) io.portWrite(port, 1, value);
    },
    inb: (port: number) => io.portRead(port, 1),
    ticks: (n: number) => time.advance(clocks, n * TICK),
  };
}

test('rate generator: one interrupt a period, and the count goes down', () => {
  const { irq, out, inb, ticks } = setUp();
  out(0x43, 0x34);
  out(0x40, 0xe8, 0x03); // 1000
  const start = irq.edges;
  ticks(10_500.5);
  assert.equal(irq.edges - start, 10);
  out(0x43, 0x00);
  assert.equal(inb(0x40) | (inb(0x40) << 8), 500);
});

test('a latched count stays until both bytes are read', () => {
  const { out, inb, ticks } = setUp();
  out(0x43, 0x34);
  out(0x40, 0x00, 0x00);
  ticks(256.5);
  out(0x43, 0x00);
  ticks(1000);
  assert.equal(inb(0x40) | (inb(0x40) << 8), 0x10000 - 256);
  assert.notEqual(inb(0x40) | (inb(0x40) << 8), 0x10000 - 256);
});

test('a count that is over before the clock is looked at again still interrupts', () => {
  const { irq, out, ticks } = setUp(1e6);
  const start = irq.edges;
  out(0x43, 0x30);
  out(0x40, 0x64, 0x00); // 100 ticks are 84 us
  ticks(100_000);
  assert.equal(irq.edges - start, 1);
});

test('mode 0 raises its output once, at terminal count; a new count starts over', () => {
  const { irq, out, ticks } = setUp();
  out(0x43, 0x30);
  assert.equal(irq.level, false);
  out(0x40, 100, 0);
  ticks(99.5);
  assert.equal(irq.level, false);
  ticks(1);
  assert.equal(irq.level, true);
  out(0x40, 50, 0);
  assert.equal(irq.level, false);
  ticks(51);
  assert.equal(irq.level, true);
  assert.equal(irq.edges, 2);
});

test('counter 2 is gated and read through port 61h, as a TSC calibration does it', () => {
  const { out, inb, ticks } = setUp();
  out(0x61, (inb(0x61) & ~2) | 1);
  out(0x43, 0xb0);
  out(0x42, 0xff, 0x00);
  assert.equal(inb(0x61) & 0x20, 0);
  ticks(254.5);
  assert.equal(inb(0x61) & 0x20, 0);
  ticks(2);
  assert.equal(inb(0x61) & 0x20, 0x20);
});

test('a closed gate holds the count', () => {
  const { out, inb, ticks } = setUp();
  const count = (): number => {
    out(0x43, 0x80);
    return inb(0x42) | (inb(0x42) << 8);
  };
  out(0x61, 1);
  out(0x43, 0xb0);
  out(0x42, 0xe8, 0x03);
  ticks(100.5);
  out(0x61, 0);
  const held = count();
  ticks(500);
  assert.equal(count(), held);
  out(0x61, 1);
  ticks(100);
  assert.equal(count(), held - 100);
});

test('read-back latches status and count; square wave counts by two', () => {
  const { out, inb, ticks } = setUp();
  out(0x43, 0x36);
  out(0x40, 0x64, 0x00);
  ticks(10.5);
  out(0x43, 0xc2);
  assert.equal(inb(0x40), 0x80 | 0x36, 'output high, count loaded, both bytes, mode 3');
  assert.equal(inb(0x40) | (inb(0x40) << 8), 80);
  ticks(50);
  out(0x43, 0xe2);
  assert.equal(inb(0x40) & 0x80, 0, 'second half: low');
});

test('BCD counts', () => {
  const { out, inb, ticks } = setUp();
  out(0x43, 0x31);
  out(0x40, 0x00, 0x10);
  ticks(1.5);
  out(0x43, 0x00);
  assert.equal(inb(0x40) | (inb(0x40) << 8), 0x0999);
});

test('the refresh bit of port 61h toggles', () => {
  const { inb, ticks } = setUp();
  const before = inb(0x61) & 0x10;
  ticks(18);
  assert.notEqual(inb(0x61) & 0x10, before);
});
