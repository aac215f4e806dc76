import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InstructionClock } from './instruction-clock.js';

test('time follows instructions and idle time, and budgets end at deadlines', () => {
  let executed = 0;
  const clock = new InstructionClock(() => executed, 3, true);
  executed = 100;
  assert.equal(clock.now(), 800);
  clock.skip(200);
  assert.equal(clock.now(), 1000);
  assert.equal(clock.budget(17), 3);
  assert.equal(clock.budget(-5), 1);
  assert.equal(clock.budget(Number.POSITIVE_INFINITY), 12_500);
});
