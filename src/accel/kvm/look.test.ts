import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Look } from './look.js';

test('looking in vain is followed by not looking, twice as long each time up to 64, until it was not in vain', () => {
  const words = new Int32Array(2);
  const look = new Look(words, 1, 3);
  /** How many calls do not look, and so do not see what has changed. */
  const blind = (): number => {
    words[1] = 5;
    for (let calls = 0; ; calls++) if (look.changes(4)) return calls;
  };
  assert.equal(blind(), 0);
  for (const misses of [1, 2, 3, 6, 8]) {
    words[1] = 4;
    for (let missed = 0; missed < misses; missed++) {
      assert.equal(look.changes(4), false);
      // Those that do not look are no misses.
      for (let i = 0; missed < misses - 1 && i < 2 ** Math.min(missed + 1, 6); i++)
        assert.equal(look.changes(4), false);
    }
    assert.equal(blind(), 2 ** Math.min(misses, 6), `after ${misses}`);
    assert.equal(blind(), 0);
  }
});

test('where threads share one processor nobody looks', () => {
  const words = new Int32Array([7]);
  const look = new Look(words, 0, 0);
  for (let i = 0; i < 100; i++) assert.equal(look.changes(4), false);
});
