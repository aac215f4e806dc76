/** Settings of V8 that our generated code profits from. */
import { readdirSync } from 'node:fs';
import { availableParallelism, setPriority } from 'node:os';
import { versions } from 'node:process';
import { setFlagsFromString } from 'node:v8';

/** Leaves one of the four threads that Node.js gives V8 to other things even where there are more processors. */
const MAX_WASM_TASKS = 3;

/**
 * V8 takes code that was kept, ours and that of Node.js's own modules, only under the flags under which it was made: flags are set
 * once modules are there, and by nobody in a run whose code is kept (bin/command.js).
 */
const keepsCode = process.env['TINAMOU_KEEP_CODE'] !== undefined;

const MAJOR = Number(versions.node.split('.')[0]);
/** V8 reports a flag that it does not know on standard error: releases of Node.js that have not been tried are left alone. */
const triedUpTo = (newest: number): boolean => !keepsCode && MAJOR >= 20 && MAJOR <= newest;

/**
 * Sets V8's flags; again changes nothing.
 *
 * Branch hints keep what a TLB miss needs out of the way of hits (docs/performance.md). And of V8's threads some are left to its
 * JavaScript compiler: region functions that wait for the optimising WebAssembly compiler took all of them for seconds while a guest
 * boots, and the translator ran in baseline code for as long. Loops are neither peeled nor unrolled: what a region checks once for a
 * loop lies before it already, and a larger function only takes longer to compile.
 */
export function tuneEngine(): void {
  if (!triedUpTo(25)) return;
  setFlagsFromString('--experimental-wasm-branch-hinting');
  setFlagsFromString('--no-wasm-loop-peeling');
  setFlagsFromString('--no-wasm-loop-unrolling');
  setFlagsFromString(`--wasm-num-compilation-tasks=${Math.min(MAX_WASM_TASKS, availableParallelism())}`);
}

/**
 * Lets the heap's young part, which begins with 1 MiB, grow to its whole size when it is full, not twice as large each time: at
 * start almost all of what is in it lives on, and was copied each time. For a process of our own. In Node.js 20 to 26.
 */
export function growYoungHeap(): void {
  if (triedUpTo(26)) setFlagsFromString('--semi-space-growth-factor=16');
}

/** Some five times V8's own: bytes of code, and in later releases how often. */
const PATIENT_BUDGET = 330_000;
const PATIENT_INVOCATIONS = 15_000;

/**
 * Lets V8 compile only what has run several times as much as by its own measure: a command that copies an image is done before
 * the optimizing compiler has earned what it costs. For a process of our own. In Node.js 20 to 26.
 */
export function compileLate(): void {
  if (!triedUpTo(26)) return;
  setFlagsFromString(
    MAJOR < 22 ? `--interrupt-budget=${PATIENT_BUDGET}` : `--invocation-count-for-turbofan=${PATIENT_INVOCATIONS}`,
  );
}

/** A guest has mostly started by then. */
const STARTED_MS = 30_000;

/**
 * Where there is one processor, which a guest under KVM needs for itself, V8's optimizing compiler begins when the guest has
 * started: until then it takes more of that processor than faster code gives back. For a process of our own. In Node.js 20 to 26.
 */
export function optimizeLater(): void {
  if (!triedUpTo(26) || availableParallelism() > 1) return;
  setFlagsFromString('--no-opt');
  setTimeout(() => setFlagsFromString('--opt'), STARTED_MS).unref();
}

const BACKGROUND_NICENESS = 10;

/**
 * Puts V8's own threads behind this one: they compile what is hot with the optimising compiler, several at once, and on a host
 * with few processors took the machine thread's. For a process of our own, and early: threads that are there already, but
 * for the main one, are V8's then. Linux alone has priorities of threads; elsewhere nothing happens.
 */
export function yieldToMachineThread(): void {
  let threads: string[];
  try {
    threads = readdirSync('/proc/self/task');
  } catch {
    return;
  }
  for (const thread of threads.map(Number)) {
    if (thread === process.pid) continue;
    try {
      setPriority(thread, BACKGROUND_NICENESS);
    } catch {
      // It has ended, or we may not: then it is as it was.
    }
  }
}
