/** The ticker's thread: sleeps until a slice's time is up, then asks the processors to return. */
import { parentPort } from 'node:worker_threads';
import { Control, later, microseconds, type TickerData } from './ticker.js';

const REQUEST_RETURN = 2;
/**
 * Without a deadline: for how long to sleep before looking again, ms; twice as long each time, and after the last until woken. Between
 * two slices there is a new deadline soon, for which nobody has to wake a thread that looks by itself before then.
 */
const FIRST_LINGER_MS = 0.25;
const LAST_LINGER_MS = 8;

function tick({ memory, control, requestWords }: TickerData): void {
  const words = new Int32Array(memory.buffer);
  const command = new Int32Array(control);
  let linger = FIRST_LINGER_MS;
  for (;;) {
    const calls = Atomics.load(command, Control.calls);
    const deadline = Atomics.load(command, Control.deadline);
    if (deadline === -1) break;
    if (deadline === 0) {
      if (linger <= LAST_LINGER_MS) {
        Atomics.store(command, Control.asleep, ((microseconds() + linger * 1000) % 2 ** 30) + 1);
        if (Atomics.load(command, Control.deadline) === 0) Atomics.wait(command, Control.calls, calls, linger);
        linger *= 2;
        continue;
      }
      Atomics.store(command, Control.asleep, 0);
      if (Atomics.load(command, Control.deadline) === 0) Atomics.wait(command, Control.calls, calls);
      linger = FIRST_LINGER_MS;
      continue;
    }
    linger = FIRST_LINGER_MS;
    const left = later(deadline, microseconds());
    if (left > 0) {
      Atomics.store(command, Control.asleep, deadline);
      // Main either sees until when this sleeps, or has stored another deadline before this looks.
      if (Atomics.load(command, Control.deadline) === deadline)
        Atomics.wait(command, Control.calls, calls, left / 1000);
      continue;
    }
    if (Atomics.compareExchange(command, Control.deadline, deadline, 0) !== deadline) continue;
    for (const address of requestWords) Atomics.or(words, address >>> 2, REQUEST_RETURN);
  }
}

parentPort!.once('message', tick);
