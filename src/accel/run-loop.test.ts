import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lifecycle } from '../machine/lifecycle.js';
import { MachineClocks } from '../machine/machine-clocks.js';
import type { Accelerator } from './accelerator.js';
import { runLoop } from './run-loop.js';

/** A machine whose processors are always halted waits for one timer; gives how the loop waited for it. */
async function waits(dueNs: number, naps: boolean, answersDue = false): Promise<string[]> {
  let now = 0;
  const how: string[] = [];
  const clocks = new MachineClocks({ monotonic: () => now, wall: () => now });
  clocks.start();
  let fired = false;
  clocks.virtual
    .timer('due', () => {
      fired = true;
    })
    .arm(dueNs);
  const pass = (what: string, ns: number): Promise<void> => {
    how.push(what);
    now += ns;
    return Promise.resolve();
  };
  const accelerator = {
    runSlice: () => ({ reason: 'halted' }),
    nextDeadline: () => Number.POSITIVE_INFINITY,
  } as unknown as Accelerator;
  const lifecycle = { pending: false, running: true, service: () => {} } as unknown as Lifecycle;
  const events = {
    turn: () => pass('turn', 1000),
    // As of Node.js: whole milliseconds, for less than one it looks at the host's events and comes back.
    sleep: (ms: number) => pass(`sleep ${ms}`, ms < 1 ? 10_000 : Math.floor(ms) * 1e6),
    nap: (ms: number) => void pass(`nap ${ms}`, ms * 1e6),
    wake: () => {},
  };
  await runLoop(
    { accelerator, clocks, lifecycle, events, naps, answersDue: () => answersDue, onStop: () => {} },
    () => fired,
  );
  return how;
}

test('an idle guest is waited for by sleeping, the last part of a millisecond too', async () => {
  assert.deepEqual(await waits(2_750_000, true), ['sleep 2.75', 'nap 0.75', 'turn']);
  assert.deepEqual(await waits(750_000, true), ['nap 0.75', 'turn']);
});

test('the thread does not stop for what other threads may bring at any time', async () => {
  for (const how of [await waits(750_000, false), await waits(750_000, true, true)]) {
    assert.ok(how.length > 50, `${how.length} looks at the host's events`);
    assert.ok(how.every((what) => what.startsWith('sleep 0.')));
  }
});
