// hot path
/** A word of shared memory that is odd while one thread changes what others read: who sees it even, and the same behind, has read well. */
export class Sequence {
  #changing = 0;

  constructor(
    private readonly words: Int32Array,
    private readonly index: number,
  ) {}

  /** For the one thread that writes. Calls within calls are one change. */
  whileChanging(change: () => void): void {
    if (this.#changing++ === 0) Atomics.add(this.words, this.index, 1);
    try {
      change();
    } finally {
      if (--this.#changing === 0) Atomics.add(this.words, this.index, 1);
    }
  }

  /** For those that read: to be given to `isStill` behind. Undefined while something changes. */
  begin(): number | undefined {
    const seen = Atomics.load(this.words, this.index);
    return (seen & 1) === 0 ? seen : undefined;
  }

  isStill(seen: number): boolean {
    return Atomics.load(this.words, this.index) === seen;
  }
}
