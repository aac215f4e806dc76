/** The machine thread: guest code in slices, timers and requests between them, the host's events whenever it yields. */

import type { Lifecycle } from '../machine/lifecycle.js';
import type { MachineClocks } from '../machine/machine-clocks.js';
import { type Accelerator, MIN_SLICE_NS, type SliceEnd } from './accelerator.js';
import type { InstructionClock } from './instruction-clock.js';
import type { SteadyClock } from './steady-clock.js';

/** How the host's event loop gets its turn. */
export interface EventLoop {
  /** Resolves after pending events have been handled. */
  turn(): Promise<void>;
  /** Resolves after `ms` (Infinity: never) or when `wake` is called, whichever is first. */
  sleep(ms: number): Promise<void>;
  /**
   * Stops the thread for `ms`, less than the resolution of the host's timers: it sees no events meanwhile. Not if `wake` was called before.
   */
  nap(ms: number): void;
  wake(): void;
}

export interface RunLoopParts {
  readonly accelerator: Accelerator;
  readonly clocks: MachineClocks;
  readonly lifecycle: Lifecycle;
  readonly events: EventLoop;
  /** What drives virtual time under -icount. */
  readonly icount?: InstructionClock | undefined;
  /** What drives it otherwise, if it is not real time as it passes. */
  readonly steady?: SteadyClock | undefined;
  /** The host's threads work on something that the guest waits for: their answer is among the host's events. */
  readonly answersDue?: (() => boolean) | undefined;
  /** Nothing that the guest waits for comes from other threads of ours but through `answersDue`: the thread may stop for a short wait. */
  readonly naps: boolean;
  /** A slice ended for a reason that the machine must act on. */
  readonly onStop: (end: Exclude<SliceEnd, { reason: 'running' | 'halted' }>) => void;
}

/** The host's events wait no longer than this while guest code runs. */
const SLICE_NS = 8_000_000;
/** And no longer than this while an answer is due. */
const ANSWER_SLICE_NS = 300_000;
/** Of the host's timers. */
const TIMER_RESOLUTION_NS = 1_500_000;
/** Waits shorter than the host's timers can: the host's events wait no longer than they do for a slice. */
const LONGEST_NAP_NS = 1_000_000;
/** And for such as these the thread need not stop. */
const SHORTEST_NAP_NS = 50_000;

/** Runs the machine until `finished` says so. */
export async function runLoop(parts: RunLoopParts, finished: () => boolean): Promise<void> {
  const { accelerator, clocks, lifecycle, events, icount, steady } = parts;
  const inReal = (ns: number): number => steady?.inReal(ns) ?? ns;
  while (!finished()) {
    if (lifecycle.pending) accelerator.stop();
    lifecycle.service();
    clocks.runDue();
    if (finished()) break;
    if (!lifecycle.running) {
      accelerator.stop();
      if (!lifecycle.pending) await events.sleep(clocks.untilNext() / 1e6);
      continue;
    }
    steady?.beginSlice();
    const answerDue = parts.answersDue?.() ?? false;
    const longest = answerDue ? ANSWER_SLICE_NS : SLICE_NS;
    const end = icount
      ? accelerator.runSlice(longest, icount.budget(untilVirtual(accelerator, clocks)))
      : accelerator.runSlice(Math.min(longest, Math.max(inReal(clocks.untilNext()), MIN_SLICE_NS)));
    if (end.reason === 'running') await events.turn();
    else if (end.reason === 'halted') {
      clocks.runDue();
      const next = untilNext(accelerator, clocks);
      // What the host's threads work on may come sooner than the next timer.
      const wait = steady && next > 0 && !answerDue ? steady.idle(next) : next;
      if (lifecycle.pending || wait <= 0) await events.turn();
      else if (icount) await idle(parts, icount, wait);
      else if (parts.naps && !answerDue && wait < LONGEST_NAP_NS && wait > SHORTEST_NAP_NS) {
        // To look at the host's events all the time until then takes a processor: a quarter of one, where a kernel ticks when idle.
        events.nap(wait / 1e6);
        await events.turn();
      } else await events.sleep(wait / 1e6);
    } else parts.onStop(end);
  }
}

/** Idle time under -icount: whatever real time does, the guest sees its next timer on the dot. */
async function idle(
  { accelerator, clocks, events }: RunLoopParts,
  icount: InstructionClock,
  wait: number,
): Promise<void> {
  const virtual = untilVirtual(accelerator, clocks);
  if (!icount.sleep && virtual !== Number.POSITIVE_INFINITY) {
    icount.skip(virtual);
    await events.turn();
    return;
  }
  const start = clocks.realtime.now();
  await events.sleep(wait / 1e6);
  const slept = clocks.realtime.now() - start;
  // A sleep of whole milliseconds may end a little early: that is no event from outside.
  icount.skip(Math.min(virtual, Math.max(slept, wait - slept < TIMER_RESOLUTION_NS ? wait : 0)));
}

function untilVirtual(accelerator: Accelerator, clocks: MachineClocks): number {
  const next = Math.min(clocks.nextVirtualDeadline, accelerator.nextDeadline());
  return Math.max(0, next - clocks.virtual.now());
}

function untilNext(accelerator: Accelerator, clocks: MachineClocks): number {
  return Math.min(clocks.untilNext(), accelerator.nextDeadline() - clocks.virtual.now());
}
