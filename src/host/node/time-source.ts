/** Node's clocks. */
// The global of that name is found anew at each use: 70 ns instead of 59, and guests read the time with every system call.
import { performance } from 'node:perf_hooks';
import type { TimeSource } from '../../machine/machine-clocks.js';

/** Monotonic ns, as a double. */
export function monotonicNs(): number {
  return performance.now() * 1e6;
}

export const NODE_TIME: TimeSource = {
  monotonic: monotonicNs,
  wall: () => (performance.timeOrigin + performance.now()) * 1e6,
};
