/** The machine thread: guest code in slices, timers and requests between them, the host's events whenever it yields. */

import type { Lifecycle } from '../machine/lifecycle.js';
import type { MachineClocks } from '../machine/machine-clocks.js';
import type { Accelerator, SliceEnd } from './accelerator.js';

/** How the host's event loop gets its turn. */
export interface EventLoop {
  /** Resolves after pending events have been handled. */
  turn(): Promise<void>;
  /** Resolves after `ms` (Infinity: never) or when `wake` is called, whichever is first. */
  sleep(ms: number): Promise<void>;
  wake(): void;
}

export interface RunLoopParts {
  readonly accelerator: Accelerator;
  readonly clocks: MachineClocks;
  readonly lifecycle: Lifecycle;
  readonly events: EventLoop;
  /** A slice ended for a reason that the machine must act on. */
  readonly onStop: (end: Exclude<SliceEnd, { reason: 'running' | 'halted' }>) => void;
}

/** The host's events wait no longer than this while guest code runs. */
const SLICE_NS = 8_000_000;
/** Timers are not worth leaving guest code for earlier than this. */
const MIN_SLICE_NS = 50_000;

/** Runs the machine until `finished` says so. */
export async function runLoop(parts: RunLoopParts, finished: () => boolean): Promise<void> {
  const { accelerator, clocks, lifecycle, events } = parts;
  while (!finished()) {
    lifecycle.service();
    clocks.runDue();
    if (finished()) break;
    if (!lifecycle.running) {
      if (!lifecycle.pending) await events.sleep(clocks.untilNext() / 1e6);
      continue;
    }
    const next = untilNext(accelerator, clocks);
    const end = accelerator.runSlice(Math.min(SLICE_NS, Math.max(next, MIN_SLICE_NS)));
    if (end.reason === 'running') await events.turn();
    else if (end.reason === 'halted') {
      clocks.runDue();
      const wait = untilNext(accelerator, clocks);
      if (lifecycle.pending || wait <= 0) await events.turn();
      else await events.sleep(wait / 1e6);
    } else parts.onStop(end);
  }
}

function untilNext(accelerator: Accelerator, clocks: MachineClocks): number {
  return Math.min(clocks.untilNext(), accelerator.nextDeadline() - clocks.virtual.now());
}
