/** Reproducible random numbers for the KVM tests (xorshift32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x2545f491) >>> 0 || 1;
  }

  /** 32 bits. */
  word(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** 0..limit-1 */
  below(limit: number): number {
    return this.word() % limit;
  }

  wide(): bigint {
    return (BigInt(this.word()) << 32n) | BigInt(this.word());
  }

  /** A 48-bit address, sign-extended. */
  canonical(): bigint {
    return BigInt.asUintN(64, BigInt.asIntN(48, this.wide()));
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.word() >>> 24);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}
