/** Ends slices of guest code from another thread; see `Ticker` in src/accel/tcg. */
import { Worker } from 'node:worker_threads';
import type { Ticker } from '../../accel/tcg/tcg.js';

export interface TickerData {
  readonly memory: WebAssembly.Memory;
  readonly control: SharedArrayBuffer;
  readonly requestWords: readonly number[];
}

/** Bits of the command word that hold the time; the bits above tell one command from the next. */
export const MICROSECONDS = 0xfffff;

export function startTicker(memory: WebAssembly.Memory, requestWords: readonly number[]): Ticker {
  const control = new SharedArrayBuffer(4);
  const command = new Int32Array(control);
  const data: TickerData = { memory, control, requestWords };
  const worker = new Worker(new URL('./ticker-worker.js', import.meta.url), { workerData: data });
  worker.unref();
  let sequence = 0;
  const send = (value: number): void => {
    Atomics.store(command, 0, value);
    Atomics.notify(command, 0);
  };
  return {
    arm(us) {
      sequence = (sequence + 1) & 0x3ff;
      send(Math.min(Math.max(us, 1), MICROSECONDS) | (sequence << 20));
    },
    // Left unnoticed until the old time is up or the next arm: waking the thread is not worth it.
    disarm: () => Atomics.store(command, 0, 0),
    dispose: () => send(-1),
  };
}
