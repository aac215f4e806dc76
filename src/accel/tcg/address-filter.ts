/** A set of addresses that may say yes for one that is not in it, but never no for one that is: most questions end here. */
// hot path

/** log2 of the number of bits: a boot of Linux puts in 80,000 addresses. */
const BITS = 21;

export class AddressFilter {
  private readonly words = new Int32Array((1 << BITS) / 32);

  add(address: number): void {
    const bit = Math.imul(address, 0x9e3779b1) >>> (32 - BITS);
    this.words[bit >>> 5] = (this.words[bit >>> 5] as number) | (1 << bit);
  }

  mayHave(address: number): boolean {
    const bit = Math.imul(address, 0x9e3779b1) >>> (32 - BITS);
    return ((this.words[bit >>> 5] as number) & (1 << bit)) !== 0;
  }

  clear(): void {
    this.words.fill(0);
  }
}
