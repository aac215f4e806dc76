import assert from 'node:assert/strict';
import { test } from 'node:test';
import { processorNeed, Standstill, schedstatSeconds } from './standstill.js';

test('a lab is idle when it needed next to no processor for so long, not before', () => {
  const still = new Standstill({ idle: 60 }, 0);
  for (let at = 0; at <= 30; at++) assert.equal(still.look(at, at), undefined); // it starts, and is busy
  const needed = (at: number): number => 30 + (at - 30) * 0.01;
  for (let at = 31; at < 89; at++) assert.equal(still.look(at, needed(at)), undefined);
  assert.equal(still.look(89, needed(89)), 'it needed 1.6 s of a processor in 60 s');
});

test('a lab that its host keeps waiting is not idle', () => {
  const still = new Standstill({ idle: 10 }, 0);
  // 1 % of a processor, and waits for it the other time.
  for (let at = 0; at < 100; at++) {
    assert.equal(still.look(at, schedstatSeconds(`${at * 10_000_000} ${at * 990_000_000} ${at}\n`)), undefined);
  }
});

test('a lab that works is silent when its command has printed nothing for so long', () => {
  const still = new Standstill({ idle: 60, silent: 100 }, 1000);
  assert.equal(still.look(1099, 99), undefined);
  still.printed(1099);
  assert.equal(still.look(1198, 198), undefined);
  assert.equal(still.look(1199, 199), 'its command printed nothing for 100 s');
});

test('without limits nothing stands still', () => {
  const still = new Standstill({}, 0);
  assert.equal(still.look(0, 0), undefined);
  assert.equal(still.look(1e6, 0), undefined);
});

test('what a process needed of processors grows while it computes', () => {
  const before = processorNeed(process.pid);
  const end = performance.now() + 100;
  while (performance.now() < end);
  const needed = processorNeed(process.pid) - before;
  assert.ok(needed > 0.05 && needed < 60, `${needed} s`);
});
