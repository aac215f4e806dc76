import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SteadyClock } from './steady-clock.js';

function rig(): { clock: SteadyClock; pass: (ns: number) => void; work: (ns: number) => void; real: () => number } {
  let real = 0;
  let own = 0;
  const pass = (ns: number): void => {
    real += ns;
  };
  return {
    clock: new SteadyClock(
      () => real,
      () => own,
    ),
    pass,
    work: (ns) => {
      own += ns;
      real += ns;
    },
    real: () => real,
  };
}

test('a guest that polls the time does not see translation, compilation and a pause of the host', () => {
  const { clock, pass, work, real } = rig();
  let last = clock.now();
  let longest = 0;
  const read = (): void => {
    const now = clock.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  for (let i = 0; i < 5; i++) {
    pass(1000);
    work(10_000);
    read();
  }
  work(2_000_000);
  for (let i = 0; i < 40; i++) {
    pass(1000);
    read();
  }
  pass(3_000_000);
  read();
  assert.ok(longest < 5000, `${longest} ns between two readings`);
  assert.ok(real() - last > 5_000_000);
  // Made up for within 32 times as long.
  for (let i = 0; i < 180_000; i++) {
    pass(1000);
    read();
  }
  assert.equal(last, real());
});

test('a guest that waits by reading the TSC makes up for what was hidden at four times the speed, in slices that are as much shorter', () => {
  const { clock, pass, work, real } = rig();
  for (let i = 0; i < 100; i++) {
    pass(100);
    clock.now();
  }
  work(8_000_000);
  clock.now();
  clock.beginSlice();
  assert.equal(clock.inReal(4_000_000), 1_000_000);
  const start = clock.now();
  for (let i = 0; i < 10_000; i++) {
    pass(100);
    clock.now();
  }
  assert.equal(clock.now() - start, 4_000_000);
  while (real() - clock.now() > 0) pass(100);
  clock.beginSlice();
  assert.equal(clock.inReal(4_000_000), 4_000_000);
});

test('nor is a slice shorter for a guest that reads a device each time, or does other things', () => {
  for (const ns of [3000, 50_000]) {
    const { clock, pass, work } = rig();
    work(100_000_000);
    for (let i = 0; i < 100; i++) {
      pass(ns);
      clock.now();
    }
    clock.beginSlice();
    assert.equal(clock.inReal(4_000_000), 4_000_000);
    const start = clock.now();
    for (let i = 0; i < 160; i++) {
      pass(ns);
      clock.now();
    }
    assert.equal(clock.now() - start, 165 * ns);
  }
});

test('a guest that waits for a timer makes up for what was hidden at once, but for no more than its wait', () => {
  const { clock, work, real } = rig();
  work(10_000_000);
  assert.equal(real() - clock.now(), 10_000_000);
  const now = clock.now();
  assert.equal(clock.idle(4_000_000), 0);
  assert.equal(clock.now() - now, 4_000_000);
  assert.equal(clock.idle(10_000_000), 4_000_000);
  assert.equal(clock.now(), real());
  assert.equal(clock.idle(Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
});

test('translation takes no time of the guest, whatever it does', () => {
  const { clock, pass, work } = rig();
  const start = clock.now();
  for (let i = 0; i < 20; i++) {
    pass(100_000);
    work(4_000_000);
    clock.now();
  }
  const shown = clock.now() - start;
  assert.ok(shown >= 2_000_000 && shown < 2_100_000, `${shown} ns of 2 ms that the guest had`);
});

/**
 * What Linux does to see whether its timer works: reads the TSC for 160 ms, in which a tick should come every 4 ms, each of which takes
 * the guest some time without a reading. `next` gives ns. Gives the ticks that came; several due at once are one interrupt.
 */
function ticksWhilePolling(next: { reading: () => number; tick: () => number }): number {
  const { clock, pass } = rig();
  for (let i = 0; i < 200; i++) {
    pass(100);
    clock.now();
  }
  const start = clock.now();
  let due = start + 4_000_000;
  let ticks = 0;
  let now = start;
  while (now - start < 160_000_000) {
    pass(next.reading());
    now = clock.now();
    if (now < due) continue;
    ticks++;
    while (due <= now) due += 4_000_000;
    for (let i = 0; i < 4; i++) {
      pass(next.tick() / 4);
      now = clock.now();
    }
  }
  return ticks;
}

test('a guest that waits for ticks by reading the time gets them, though its readings have become slow', () => {
  const ticks = ticksWhilePolling({ reading: () => 6000, tick: () => 120_000 });
  assert.ok(ticks >= 20, `${ticks} ticks`);
});

test('it never runs backwards, nor more than 500 ms late', () => {
  const { clock, pass, work, real } = rig();
  let last = clock.now();
  let seed = 1;
  const random = (): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed / 2 ** 32;
  };
  for (let i = 0; i < 200_000; i++) {
    if (random() < 0.01) clock.beginSlice();
    if (random() < 0.01) clock.idle(random() * 10_000_000);
    if (random() < 0.01) work(random() * 20_000_000);
    pass(random() < 0.02 ? random() * 70_000_000 : random() * 3000);
    const now = clock.now();
    assert.ok(now >= last);
    assert.ok(real() - now <= 500_000_000);
    last = now;
  }
});
