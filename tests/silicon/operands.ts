/** Random floating-point operands, weighted towards the corners; the same sequence for the same seed. */
export class Operands {
  private a: number;
  constructor(seed: number) {
    this.a = seed >>> 0;
  }
  /** 32 random bits (mulberry32). */
  u32(): number {
    this.a = (this.a + 0x6d2b79f5) >>> 0;
    let t = this.a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }
  below(n: number): number {
    return this.u32() % n;
  }
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }
  /** A bit pattern of a binary format with so many fraction and exponent bits. */
  float(fractionBits: number, exponentBits: number): bigint {
    const f = BigInt(fractionBits);
    const max = (1n << BigInt(exponentBits)) - 1n;
    const bias = max >> 1n;
    const sign = BigInt(this.u32() & 1) << BigInt(fractionBits + exponentBits);
    let fraction = this.u64() & ((1n << f) - 1n);
    switch (this.below(6)) {
      case 0:
        fraction = 0n;
        break;
      case 1:
        fraction = BigInt.asUintN(fractionBits, ~0n << BigInt(this.below(fractionBits + 1)));
        break;
      case 2:
        fraction &= (1n << BigInt(this.below(fractionBits))) - 1n;
        break;
      case 3:
        fraction = (fraction >> (f / 2n)) << (f / 2n);
        break;
    }
    let exponent: bigint;
    switch (this.below(12)) {
      case 0:
        exponent = 0n;
        break;
      case 1:
        exponent = max;
        break;
      case 2:
        exponent = 1n + BigInt(this.below(3));
        break;
      case 3:
        exponent = max - 1n - BigInt(this.below(3));
        break;
      case 4:
      case 5:
        exponent = this.u64() & max;
        break;
      case 6:
        exponent = bias + BigInt(this.below(70));
        break;
      case 7: {
        const half = bias >> 1n;
        exponent = (this.u32() & 1 ? bias + half : half) + BigInt(this.below(4));
        break;
      }
      default:
        exponent = bias + BigInt(this.below(5)) - 2n;
    }
    exponent &= max;
    return sign | (exponent << f) | fraction;
  }
}
