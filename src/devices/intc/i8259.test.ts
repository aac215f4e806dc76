import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProbeLine } from '../../machine/testing/manual-clock.js';
import { ProbeBus } from '../../machine/testing/probe-bus.js';
import { I8259Pair } from './i8259.js';

function setUp(icw4 = 1) {
  const bus = new ProbeBus();
  const intr = new ProbeLine();
  const pic = new I8259Pair(bus.isa, intr);
  for (const [chip, base] of [
    [pic.master, 0x20],
    [pic.slave, 0x28],
  ] as const) {
    chip.write(0, 1, 0x11);
    chip.write(1, 1, base);
    chip.write(1, 1, 4);
    chip.write(1, 1, icw4);
    chip.write(1, 1, 0);
  }
  return { pic, intr, raise: (n: number, on = true) => pic.inputs[n]!.set(on) };
}
const NONSPECIFIC_EOI = 0x20;

test('priorities nest: a lower request waits for EOI, a higher one does not', () => {
  const { pic, intr, raise } = setUp();
  raise(3);
  assert.equal(pic.acknowledge(), 0x23);
  raise(4);
  assert.equal(intr.level, false);
  raise(1);
  assert.equal(intr.level, true);
  assert.equal(pic.acknowledge(), 0x21);
  pic.master.write(0, 1, NONSPECIFIC_EOI);
  assert.equal(intr.level, false);
  pic.master.write(0, 1, NONSPECIFIC_EOI);
  assert.equal(pic.acknowledge(), 0x24);
});

test('the slave comes through the cascade; its second request needs EOI of both', () => {
  const { pic, intr, raise } = setUp();
  raise(12);
  raise(14);
  assert.equal(pic.acknowledge(), 0x2c);
  assert.equal(intr.level, false);
  pic.slave.write(0, 1, NONSPECIFIC_EOI);
  pic.master.write(0, 1, NONSPECIFIC_EOI);
  assert.equal(intr.level, true);
  assert.equal(pic.acknowledge(), 0x2e);
});

test('a request that is gone gives the spurious vector and no bit in service', () => {
  const { pic, intr, raise } = setUp();
  pic.master.setElcr(0x20);
  raise(5);
  assert.equal(intr.level, true);
  raise(5, false);
  assert.equal(intr.level, false);
  assert.equal(pic.acknowledge(), 0x27);
  assert.equal(pic.master.isr, 0);
  pic.slave.setElcr(0x04);
  raise(10);
  pic.slave.write(1, 1, 0xff);
  pic.master.irr |= 4;
  assert.equal(pic.acknowledge(), 0x2f);
});

test('level-triggered requests come again until the device lets go; edges do not', () => {
  const { pic, intr, raise } = setUp();
  pic.slave.setElcr(0x08);
  raise(11);
  assert.equal(pic.acknowledge(), 0x2b);
  pic.slave.write(0, 1, NONSPECIFIC_EOI);
  pic.master.write(0, 1, NONSPECIFIC_EOI);
  assert.equal(intr.level, true);
  raise(11, false);
  assert.equal(intr.level, false);
  raise(7);
  assert.equal(pic.acknowledge(), 0x27);
  pic.master.write(0, 1, NONSPECIFIC_EOI);
  assert.equal(intr.level, false);
});

test('automatic EOI, rotation, special mask, poll', () => {
  const auto = setUp(3);
  auto.raise(1);
  assert.equal(auto.pic.acknowledge(), 0x21);
  assert.equal(auto.pic.master.isr, 0);

  const rotating = setUp();
  rotating.raise(3);
  rotating.pic.acknowledge();
  rotating.pic.master.write(0, 1, 0xa0); // rotate on non-specific EOI: 3 is lowest now
  rotating.raise(3, false);
  rotating.raise(3);
  rotating.raise(6);
  assert.equal(rotating.pic.acknowledge(), 0x26);

  const special = setUp();
  special.raise(1);
  special.pic.acknowledge();
  special.pic.master.write(1, 1, 0x02);
  special.pic.master.write(0, 1, 0x68);
  special.raise(6);
  assert.equal(special.intr.level, true, 'a masked request in service does not hold back lower ones');

  const polled = setUp();
  polled.raise(4);
  polled.pic.master.write(0, 1, 0x0c);
  assert.equal(polled.pic.master.read(0, 1), 0x84);
  polled.pic.master.write(0, 1, 0x0b);
  assert.equal(polled.pic.master.read(0, 1), 0x10);
});
