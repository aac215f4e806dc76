/** Limits how many bytes and requests a second pass: buckets that leak at the limit, as QEMU's throttling does. */
import type { BlockNode, Completion } from '../node.js';
import { FilterNode } from './filter.js';

export const LIMITS = ['bps-total', 'bps-read', 'bps-write', 'iops-total', 'iops-read', 'iops-write'] as const;
export type Limit = (typeof LIMITS)[number];

export interface ThrottleOptions {
  /** Per second; absent: no limit. */
  readonly limits: Partial<Record<Limit, number>>;
  /** What may pass at once after a pause; default a tenth of a second's worth. */
  readonly bursts?: Partial<Record<Limit, number>>;
  /** A request counts as one for each so many bytes. */
  readonly iopsSize?: number;
}

export interface ThrottleClock {
  /** Seconds. */
  now(): number;
  sleep(seconds: number): Promise<void>;
}

class Bucket {
  #level = 0;
  #at: number;

  constructor(
    readonly rate: number,
    readonly burst: number,
    now: number,
  ) {
    this.#at = now;
  }

  /** Adds, and gives the seconds to wait until the level is what may be. */
  fill(amount: number, now: number): number {
    this.#level = Math.max(0, this.#level - (now - this.#at) * this.rate);
    this.#at = now;
    const wait = Math.max(0, this.#level - this.burst) / this.rate;
    this.#level += amount;
    return wait;
  }
}

export class ThrottleNode extends FilterNode {
  readonly driver = 'throttle';
  readonly #clock: ThrottleClock;
  readonly #buckets: Partial<Record<Limit, Bucket>> = {};
  readonly #iopsSize: number;

  constructor(below: BlockNode, options: ThrottleOptions, clock: ThrottleClock) {
    super(below);
    this.#clock = clock;
    this.#iopsSize = options.iopsSize ?? 0;
    for (const name of LIMITS) {
      const rate = options.limits[name];
      if (rate) this.#buckets[name] = new Bucket(rate, options.bursts?.[name] ?? rate / 10, clock.now());
    }
  }

  override read(offset: number, into: Uint8Array): Completion {
    return this.#after(into.length, 'read', () => this.below.read(offset, into));
  }

  override write(offset: number, from: Uint8Array): Completion {
    return this.#after(from.length, 'write', () => this.below.write(offset, from));
  }

  override writeZeroes(offset: number, length: number, unmap: boolean): Completion {
    return this.#after(length, 'write', () => this.below.writeZeroes(offset, length, unmap));
  }

  override discard(offset: number, length: number): Completion {
    return this.#after(length, 'write', () => this.below.discard(offset, length));
  }

  #after(bytes: number, direction: 'read' | 'write', operation: () => Completion): Completion {
    const now = this.#clock.now();
    const requests = this.#iopsSize > 0 ? Math.max(1, Math.ceil(bytes / this.#iopsSize)) : 1;
    let wait = 0;
    for (const which of ['total', direction] as const) {
      wait = Math.max(wait, this.#buckets[`bps-${which}`]?.fill(bytes, now) ?? 0);
      wait = Math.max(wait, this.#buckets[`iops-${which}`]?.fill(requests, now) ?? 0);
    }
    if (wait === 0) return operation();
    return this.#clock.sleep(wait).then(operation);
  }
}
