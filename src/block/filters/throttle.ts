/** Limits how many bytes and requests a second pass: buckets that leak at the limit, as QEMU's throttling does. */
import { UserError } from '../../base/errors.js';
import type { BlockNode, Completion } from '../node.js';
import { FilterNode } from './filter.js';

export const LIMITS = ['bps-total', 'bps-read', 'bps-write', 'iops-total', 'iops-read', 'iops-write'] as const;
export type Limit = (typeof LIMITS)[number];

/** What options say of one limit, a second. */
export interface Rate {
  readonly average: number;
  /** What may pass for `seconds` after a pause; 0: a tenth of a second's worth, at once. */
  readonly most: number;
  readonly seconds: number;
}

export interface ThrottleOptions {
  readonly limits: Partial<Record<Limit, Rate>>;
  /** A request counts as one for each so many bytes; 0: as one. */
  readonly iopsSize: number;
}

const NUMBERS = ['', '-max', '-max-length'] as const;
/** Names of all that can be said: `bps-total`, `bps-total-max`, `bps-total-max-length`, ..., `iops-size`. */
export const THROTTLE_NAMES: readonly string[] = [
  ...LIMITS.flatMap((name) => NUMBERS.map((suffix) => name + suffix)),
  'iops-size',
];

/** By `THROTTLE_NAMES`. Null when nothing is limited. Throws UserError for what contradicts itself. */
export function throttleOptions(get: (name: string) => string | undefined): ThrottleOptions | null {
  const number = (name: string): number | undefined => {
    const text = get(name);
    if (text === undefined) return undefined;
    if (!/^\d{1,15}$/.test(text)) throw new UserError(`Parameter '${name}' expects a number`);
    return Number(text);
  };
  const limits: Partial<Record<Limit, Rate>> = {};
  for (const name of LIMITS) {
    const [average = 0, most = 0, seconds = 1] = NUMBERS.map((suffix) => number(name + suffix));
    if (seconds === 0) throw new UserError('the burst length cannot be 0');
    if (seconds > 1 && most === 0) throw new UserError('burst length set without burst rate');
    if (most > 0 && average === 0) throw new UserError('bps_max/iops_max require corresponding bps/iops values');
    if (most > 0 && most < average) throw new UserError('bps_max/iops_max cannot be lower than bps/iops');
    if (average > 0) limits[name] = { average, most, seconds };
  }
  for (const what of ['bps', 'iops'] as const) {
    if (limits[`${what}-total`] && (limits[`${what}-read`] || limits[`${what}-write`]))
      throw new UserError('bps/iops/max total values and read/write values cannot be used at the same time');
  }
  const iopsSize = number('iops-size') ?? 0;
  if (iopsSize > 0 && !LIMITS.some((name) => name.startsWith('iops') && limits[name]))
    throw new UserError('iops size requires an iops value to be set');
  return Object.keys(limits).length > 0 ? { limits, iopsSize } : null;
}

export interface ThrottleClock {
  /** Seconds. */
  now(): number;
  sleep(seconds: number): Promise<void>;
}

class Bucket {
  #level = 0;
  #at = Number.NEGATIVE_INFINITY;

  constructor(
    readonly rate: number,
    readonly burst: number,
  ) {}

  /** Adds, and gives the seconds to wait until the level is what may be. */
  fill(amount: number, now: number): number {
    this.#level = Math.max(0, this.#level - (now - this.#at) * this.rate);
    this.#at = now;
    const wait = Math.max(0, this.#level - this.burst) / this.rate;
    this.#level += amount;
    return wait;
  }
}

/** Limits that several nodes keep together. */
export class ThrottleGroup {
  #buckets!: Partial<Record<Limit, readonly Bucket[]>>;
  #iopsSize = 0;

  constructor(options: ThrottleOptions) {
    this.limit(options);
  }

  /** Other limits from now on. */
  limit({ limits, iopsSize }: ThrottleOptions): void {
    this.#iopsSize = iopsSize;
    this.#buckets = {};
    for (const name of LIMITS) {
      const rate = limits[name];
      if (!rate) continue;
      const { average, most, seconds } = rate;
      const buckets = [new Bucket(average, most === 0 ? average / 10 : most * seconds)];
      // A longer burst has a rate of its own.
      if (seconds > 1) buckets.push(new Bucket(most, most / 10));
      this.#buckets[name] = buckets;
    }
  }

  /** Seconds that a request has to wait. */
  wait(bytes: number, direction: 'read' | 'write', now: number): number {
    const requests = this.#iopsSize > 0 ? Math.max(1, Math.ceil(bytes / this.#iopsSize)) : 1;
    let wait = 0;
    for (const which of ['total', direction] as const) {
      for (const bucket of this.#buckets[`bps-${which}`] ?? []) wait = Math.max(wait, bucket.fill(bytes, now));
      for (const bucket of this.#buckets[`iops-${which}`] ?? []) wait = Math.max(wait, bucket.fill(requests, now));
    }
    return wait;
  }
}

export class ThrottleNode extends FilterNode {
  readonly driver = 'throttle';

  constructor(
    below: BlockNode,
    private readonly group: ThrottleGroup,
    private readonly clock: ThrottleClock,
  ) {
    super(below);
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
    const wait = this.group.wait(bytes, direction, this.clock.now());
    if (wait === 0) return operation();
    return this.clock.sleep(wait).then(operation);
  }
}
