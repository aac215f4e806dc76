import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StallGuard } from './stall-guard.js';

test('after a slow operation others go elsewhere for a while, which grows while they stay slow', () => {
  let now = 1000;
  const guard = new StallGuard(() => now);
  const take = (ms: number): void =>
    guard.run(() => {
      now += ms;
    });
  take(0.2);
  assert.equal(guard.mayWait, true);
  for (const rest of [250, 500, 1000]) {
    take(5);
    assert.equal(guard.mayWait, false);
    now += rest - 1;
    assert.equal(guard.mayWait, false);
    now += 1;
    assert.equal(guard.mayWait, true);
  }
  take(0.1);
  take(5);
  now += 250;
  assert.equal(guard.mayWait, true, 'a fast one in between: it begins anew');
});

test('an operation that fails counts like another', () => {
  let now = 0;
  const guard = new StallGuard(() => now);
  assert.throws(() =>
    guard.run(() => {
      now += 5;
      throw new Error('disk');
    }),
  );
  assert.equal(guard.mayWait, false);
});
