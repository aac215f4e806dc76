/** The ticker's thread: sleeps until a slice's time is up, then asks the processors to return. */
import { workerData } from 'node:worker_threads';
import { MICROSECONDS, type TickerData } from './ticker.js';

const { memory, control, requestWords } = workerData as TickerData;
const words = new Int32Array(memory.buffer);
const command = new Int32Array(control);
const REQUEST_RETURN = 2;

for (;;) {
  const now = Atomics.load(command, 0);
  if (now === -1) break;
  if (now === 0) {
    Atomics.wait(command, 0, 0);
    continue;
  }
  if (Atomics.wait(command, 0, now, (now & MICROSECONDS) / 1000) !== 'timed-out') continue;
  if (Atomics.compareExchange(command, 0, now, 0) !== now) continue;
  for (const address of requestWords) Atomics.or(words, address >>> 2, REQUEST_RETURN);
}
