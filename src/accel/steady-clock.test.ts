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
  // Made up for within four times as long.
  for (let i = 0; i < 50_000; i++) {
    pass(1000);
    read();
  }
  assert.equal(last, real());
});

test('a guest that does other things between readings sees real time as soon as as much has passed as was hidden', () => {
  const { clock, pass, work, real } = rig();
  for (let i = 0; i < 100; i++) {
    pass(500);
    clock.now();
  }
  work(4_000_000);
  pass(500);
  assert.ok(real() - clock.now() > 3_900_000);
  // Might be pauses.
  for (let i = 0; i < 16; i++) {
    pass(1_000_000);
    clock.now();
  }
  pass(1_000_000); // is none
  const lag = real() - clock.now();
  assert.ok(lag > 0 && lag < 20_000_000, `${lag} ns`);
  pass(lag / 2);
  assert.equal(real() - clock.now(), lag / 2);
  pass(lag / 2);
  assert.equal(clock.now(), real());
});

test('the code of a guest that begins is translated in no time, whatever it does; for a while', () => {
  const { clock, pass, work, real } = rig();
  clock.begin();
  const start = clock.now();
  for (let i = 0; i < 20; i++) {
    pass(100_000);
    work(4_000_000);
    clock.now();
  }
  const shown = clock.now() - start;
  assert.ok(shown >= 2_000_000 && shown < 3_000_000, `${shown} ns of 2 ms that the guest had`);
  pass(100_000_000);
  clock.now();
  pass(1_000_000);
  assert.equal(clock.now(), real());
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

test('it never runs backwards, nor more than 250 ms late', () => {
  const { clock, pass, work, real } = rig();
  let last = clock.now();
  let seed = 1;
  const random = (): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed / 2 ** 32;
  };
  for (let i = 0; i < 200_000; i++) {
    if (random() < 0.0001) clock.begin();
    if (random() < 0.01) work(random() * 20_000_000);
    pass(random() < 0.02 ? random() * 70_000_000 : random() * 3000);
    const now = clock.now();
    assert.ok(now >= last);
    assert.ok(real() - now <= 250_000_000);
    last = now;
  }
});
