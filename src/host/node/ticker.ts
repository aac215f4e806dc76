/**
 * Ends slices of guest code from another thread; see `Ticker` in src/accel/tcg.
 *
 * Most slices end before their time is up, so waking the thread for each would cost more than the slices: it sleeps until the
 * deadline it knows of, looks whether there is a later one, and is woken only for an earlier one.
 */
import { Worker } from 'node:worker_threads';
import type { Ticker } from '../../accel/tcg/tcg.js';
import { packageFile } from './package-files.js';

export interface TickerData {
  readonly memory: WebAssembly.Memory;
  readonly control: SharedArrayBuffer;
  readonly requestWords: readonly number[];
}

/**
 * Words of the control buffer. `deadline`: time as `microseconds` gives it, 0: none, -1: the thread is to end. `asleep`: the
 * deadline the thread sleeps until, 0: it sleeps until it is woken. `calls`: counts wake-ups; the thread waits on it.
 */
export const Control = { deadline: 0, asleep: 1, calls: 2 } as const;
const PERIOD = 2 ** 30;
/** A thread that looks by itself within this many µs of a deadline is not woken: that would cost more than slices of this length. */
const SLACK = 250;

/** Monotonic time in µs, the same in all threads: 1 to 2^30, then again from 1. */
export function microseconds(): number {
  const [seconds, ns] = process.hrtime();
  return ((seconds * 1e6 + Math.floor(ns / 1000)) % PERIOD) + 1;
}

/** How far time `a` is after `b`, in µs, for times less than 2^29 µs apart. */
export function later(a: number, b: number): number {
  return ((a - b + PERIOD * 1.5) % PERIOD) - PERIOD / 2;
}

/** Waits for a machine. */
let ready: Worker | undefined;

/** The command has started one before anything else (bin/command.js). */
export function giveTickerThread(worker: Worker): void {
  ready = worker;
}

function newThread(): Worker {
  // What the program was started with (`-e`, loaders) is not meant for this thread.
  const worker = new Worker(packageFile('dist/commands/ticker-worker.cjs'), { execArgv: [] });
  worker.unref();
  return worker;
}

export function startTicker(memory: WebAssembly.Memory, requestWords: readonly number[]): Ticker {
  const control = new SharedArrayBuffer(12);
  const words = new Int32Array(control);
  const data: TickerData = { memory, control, requestWords };
  const worker = ready ?? newThread();
  ready = undefined;
  worker.postMessage(data);
  const wake = (): void => {
    Atomics.add(words, Control.calls, 1);
    Atomics.notify(words, Control.calls);
  };
  return {
    arm(us) {
      const deadline = ((microseconds() + Math.max(us, 1) - 1) % PERIOD) + 1;
      Atomics.store(words, Control.deadline, deadline);
      const asleep = Atomics.load(words, Control.asleep);
      if (asleep === 0 || later(asleep, deadline) > SLACK) wake();
    },
    disarm: () => Atomics.store(words, Control.deadline, 0),
    dispose() {
      Atomics.store(words, Control.deadline, -1);
      wake();
    },
  };
}
