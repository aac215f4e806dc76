import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodeEventLoop } from './event-loop.js';

test('there is no nap when something came before it; once', () => {
  const events = new NodeEventLoop();
  const took = (ms: number): number => {
    const start = performance.now();
    events.nap(ms);
    return performance.now() - start;
  };
  events.wake();
  assert.ok(took(20_000) < 15_000);
  assert.ok(took(20) >= 15);
});
