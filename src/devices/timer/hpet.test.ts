import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProbeLine } from '../../machine/testing/manual-clock.js';
import { ManualTime } from '../../machine/testing/manual-time.js';
import { Hpet } from './hpet.js';

function setUp() {
  const time = new ManualTime();
  const clocks = time.clocks();
  const gsis = Array.from({ length: 24 }, () => new ProbeLine());
  const irq0 = new ProbeLine();
  const irq8 = new ProbeLine();
  const legacy: boolean[] = [];
  const hpet = new Hpet({ clock: clocks.virtual, gsis, irq0, irq8, legacyReplacement: (on) => legacy.push(on) });
  return { hpet, gsis, irq0, irq8, legacy, advance: (ns: number) => time.advance(clocks, ns) };
}

test('identity: 10 ns period, three timers, 64-bit counter, legacy replacement', () => {
  const { hpet } = setUp();
  assert.equal(hpet.read(0, 4), 0x8086a201);
  assert.equal(hpet.read(4, 4), 10_000_000);
});

test('the counter counts while enabled, from what was written', () => {
  const { hpet, advance } = setUp();
  hpet.write(0xf0, 4, 0xffff_fff0);
  hpet.write(0xf4, 4, 7);
  advance(1000);
  assert.equal(hpet.read(0xf0, 4), 0xffff_fff0);
  hpet.write(0x10, 4, 1);
  advance(320);
  assert.equal(hpet.read(0xf0, 4), 0x10);
  assert.equal(hpet.read(0xf4, 4), 8);
  hpet.write(0x10, 4, 0);
  advance(1000);
  assert.equal(hpet.read(0xf0, 4), 0x10);
});

test('a one-shot timer fires once at its comparator', () => {
  const { hpet, gsis, advance } = setUp();
  hpet.write(0x100, 4, 0x04 | (2 << 9));
  hpet.write(0x108, 4, 1000);
  hpet.write(0x10c, 4, 0);
  hpet.write(0x10, 4, 1);
  advance(9_990);
  assert.equal(gsis[2]!.edges, 0);
  advance(10);
  assert.equal(gsis[2]!.edges, 1);
  advance(1e9);
  assert.equal(gsis[2]!.edges, 1);
});

test('periodic with VAL_SET, as Linux programs it, in legacy replacement mode', () => {
  const { hpet, irq0, legacy, advance } = setUp();
  hpet.write(0x10, 4, 1);
  hpet.write(0x100, 4, 0x04 | 0x08 | 0x40 | 0x100); // enable, periodic, VAL_SET, 32 bits
  hpet.write(0x108, 4, 5000);
  hpet.write(0x108, 4, 400_000);
  hpet.write(0x10, 4, 3);
  assert.deepEqual(legacy, [true]);
  advance(50_000);
  assert.equal(irq0.edges, 1);
  advance(4_000_000);
  assert.equal(irq0.edges, 2);
  advance(40_000_000);
  assert.equal(irq0.edges, 12);
});

test('a level-triggered interrupt lasts until its status bit is cleared', () => {
  const { hpet, gsis, advance } = setUp();
  hpet.write(0x120, 4, 0x06 | (2 << 9));
  hpet.write(0x128, 4, 100);
  hpet.write(0x12c, 4, 0);
  hpet.write(0x10, 4, 1);
  advance(2000);
  assert.equal(gsis[2]!.level, true);
  assert.equal(hpet.read(0x20, 4), 2);
  hpet.write(0x20, 4, 2);
  assert.equal(gsis[2]!.level, false);
});

test('64-bit periodic: VAL_SET covers both halves of one write, and no later one', () => {
  const { hpet, gsis, advance } = setUp();
  const write64 = (value: number): void => {
    hpet.write(0x108, 4, value);
    hpet.write(0x10c, 4, 0);
  };
  hpet.write(0x100, 4, 0x04 | 0x08 | 0x40 | (2 << 9));
  write64(1000);
  assert.equal(hpet.read(0x100, 4) & 0x40, 0);
  advance(5000);
  write64(3000);
  assert.deepEqual([hpet.read(0x108, 4), hpet.read(0x10c, 4)], [1000, 0]);
  hpet.write(0x10, 4, 1);
  advance(10_000);
  assert.equal(gsis[2]!.edges, 1);
  advance(60_000);
  assert.equal(gsis[2]!.edges, 3);
});
