/**
 * Stress (`-accel tcg,tier=stress`): slices end at random points after 20 µs to 1 ms, and between them translations are flushed,
 * jump caches cleared, compiled regions and now and then all of them or all translated code thrown away, and the threshold at
 * which code is compiled changes. What a guest does must not depend on any of it.
 */
import type { Jit } from '../../jit/jit.js';

export interface Disturbed {
  readonly jit: Jit;
  readonly processors: readonly number[];
  flushTlb(state: number): void;
  clearJumpCaches(): void;
  resetCode(): void;
  setHotThreshold(entries: number): void;
}

const MIN_SLICE_NS = 20_000;
const SLICE_RANGE_NS = 1_000_000;
const MAX_THRESHOLD = 60;

export class Stress {
  constructor(private state: number) {}

  /** xorshift32: the same sequence for the same seed; where slices end is up to the host's clock, so runs differ all the same. */
  private below(n: number): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return (x >>> 0) % n;
  }

  sliceNs(most: number): number {
    return Math.min(most, MIN_SLICE_NS + this.below(SLICE_RANGE_NS));
  }

  /** Between two slices. */
  disturb(target: Disturbed): void {
    if (this.below(3) === 0) target.flushTlb(target.processors[this.below(target.processors.length)] as number);
    if (this.below(8) === 0) target.clearJumpCaches();
    if (this.below(4) === 0) target.jit.evict((n) => this.below(n));
    if (this.below(200) === 0) target.jit.trim(0);
    if (this.below(16) === 0) target.setHotThreshold(1 + this.below(MAX_THRESHOLD));
    if (this.below(3000) === 0) target.resetCode();
  }
}
