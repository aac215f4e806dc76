/** Node's clocks. */
import type { TimeSource } from '../../machine/machine-clocks.js';

/** Monotonic ns, as a double. */
export function monotonicNs(): number {
  return performance.now() * 1e6;
}

export const NODE_TIME: TimeSource = {
  monotonic: monotonicNs,
  wall: () => (performance.timeOrigin + performance.now()) * 1e6,
};
