/** Feature bits that belong to the core, and sets of 64 of them. Virtual I/O Device (VIRTIO) Version 1.2, chapter 6. */

export const Feature = {
  /** Legacy: an interrupt when the ring runs empty, whatever the driver suppressed. */
  notifyOnEmpty: 24,
  /** Legacy: messages may be cut into descriptors as the driver likes. */
  anyLayout: 27,
  indirectDescriptors: 28,
  eventIndex: 29,
  version1: 32,
  packedRing: 34,
  ringReset: 40,
} as const;

/** Bits 0 to 63 in two words. */
export class FeatureSet {
  readonly words = new Uint32Array(2);

  static of(...bits: readonly number[]): FeatureSet {
    const set = new FeatureSet();
    for (const bit of bits) set.add(bit);
    return set;
  }

  has(bit: number): boolean {
    return ((this.words[bit >> 5]! >>> (bit & 31)) & 1) !== 0;
  }

  add(bit: number): void {
    this.words[bit >> 5]! |= 1 << (bit & 31);
  }

  remove(bit: number): void {
    this.words[bit >> 5]! &= ~(1 << (bit & 31));
  }

  clear(): void {
    this.words.fill(0);
  }
}
