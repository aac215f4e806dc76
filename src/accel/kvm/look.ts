// hot path
/** Looking for another thread's word to change, before sleeping over it. */

const MOST_MISSES = 6;

export class Look {
  /** Times that looking was in vain, one after the other, and how often not to try again. */
  #misses = 0;
  #skips = 0;

  /** `spins`: how often to look at once; 0 where threads share one processor. */
  constructor(
    private readonly words: Int32Array,
    private readonly index: number,
    private readonly spins: number,
  ) {}

  /** Looks for a moment whether the word is still `value`; less and less often while nothing comes of it. True when it has changed. */
  changes(value: number): boolean {
    if (this.#skips > 0) {
      this.#skips--;
      return false;
    }
    for (let i = 0; i < this.spins; i++) {
      if (Atomics.load(this.words, this.index) === value) continue;
      this.#misses = 0;
      return true;
    }
    this.#misses = Math.min(this.#misses + 1, MOST_MISSES);
    this.#skips = 2 ** this.#misses;
    return false;
  }
}
