import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldInterrupts } from './held-interrupts.js';

function make(): { held: HeldInterrupts; log: string[] } {
  const log: string[] = [];
  const held = new HeldInterrupts(
    (gsi, level) => log.push(`${gsi}${level ? '+' : '-'}`),
    (address, data) => log.push(`${address}:${data}`),
  );
  return { held, log };
}

test('passes all on while nothing is held', () => {
  const { held, log } = make();
  held.setInput(4, true);
  held.setInput(4, false);
  held.send(1, 2);
  assert.deepEqual(log, ['4+', '4-', '1:2']);
  assert.equal(held.any, false);
});

test('keeps edges, and levels as they are at the end', () => {
  const { held, log } = make();
  held.setInput(9, true);
  held.hold();
  held.setInput(9, false);
  held.setInput(9, true);
  held.setInput(4, true);
  held.setInput(4, false);
  held.setInput(23, true);
  held.setInput(23, false);
  held.setInput(23, true);
  assert.deepEqual(log, ['9+', '9-'], 'a line that falls has no interrupt');
  assert.equal(held.any, true);
  held.release();
  assert.deepEqual(log.splice(0), ['9+', '9-', '4+', '4-', '9+', '23+']);
  held.release();
  held.setInput(23, false);
  assert.deepEqual(log, ['23-']);
});

test('sends each message once', () => {
  const { held, log } = make();
  held.hold();
  held.send(1, 2);
  held.send(1, 3);
  held.send(1, 2);
  assert.deepEqual(log, []);
  held.release();
  assert.deepEqual(log, ['1:2', '1:3']);
});
