/** Settings of V8 that our generated code profits from. */
import { readdirSync } from 'node:fs';
import { availableParallelism, setPriority } from 'node:os';
import { versions } from 'node:process';
import { setFlagsFromString } from 'node:v8';

/**
 * Lets V8 read branch hints, so that what a TLB miss needs stays out of the way of hits (docs/performance.md). The flag is in
 * Node.js 20 to 25; V8 reports a flag that it does not know on standard error, so others are left alone.
 */
export function readBranchHints(): void {
  const major = Number(versions.node.split('.')[0]);
  if (major >= 20 && major <= 25) setFlagsFromString('--experimental-wasm-branch-hinting');
}

/**
 * Leaves some of V8's threads to its JavaScript compiler. Node.js has four, and the region functions that await the optimising WebAssembly
 * compiler take all of them for seconds while a guest boots; the translator's JavaScript ran in V8's baseline code for as long.
 */
export function shareCompilerThreads(): void {
  setFlagsFromString(`--wasm-num-compilation-tasks=${Math.min(MAX_WASM_TASKS, availableParallelism())}`);
}

const MAX_WASM_TASKS = 3;
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
