// hot path
/** The word that vCPUs' threads change when they want something of the machine thread, and how that waits for it. */

/** The machine thread waits so long for a question before it lets the event loop wait. */
const LINGER_MS = 0.2;
const MOST_MISSES = 6;

export interface BellOptions {
  /**
   * How often a thread looks for an answer, or a question, before it sleeps: guests come in bursts, and most answers take
   * less than waking a thread does. 0 where threads share one core.
   */
  readonly spins: number;
  /** Calls back once the word has changed from `value`. */
  whenChanged(words: Int32Array, index: number, value: number, then: () => void): void;
}

export class Bell {
  /** Times that watching was in vain, one after the other, and how often not to try again. */
  #misses = 0;
  #skips = 0;
  #watching = false;

  constructor(
    private readonly words: Int32Array,
    readonly index: number,
    private readonly options: BellOptions,
  ) {}

  /** What it says: for the functions below, to be read before looking for questions. */
  read(): number {
    return Atomics.load(this.words, this.index);
  }

  ring(): void {
    Atomics.add(this.words, this.index, 1);
    Atomics.notify(this.words, this.index);
  }

  /** Watches for a moment; less and less often while nothing comes of it. True when it rang. */
  spin(seen: number): boolean {
    if (this.#skips > 0) {
      this.#skips--;
      return false;
    }
    for (let i = 0; i < this.options.spins; i++) {
      if (Atomics.load(this.words, this.index) === seen) continue;
      this.#misses = 0;
      return true;
    }
    this.#misses = Math.min(this.#misses + 1, MOST_MISSES);
    this.#skips = 2 ** this.#misses;
    return false;
  }

  /** Sleeps, but not for long; false: nothing came. */
  linger(seen: number, mostMs: number): boolean {
    return Atomics.wait(this.words, this.index, seen, Math.min(mostMs, LINGER_MS)) !== 'timed-out';
  }

  wait(seen: number, ms: number): void {
    Atomics.wait(this.words, this.index, seen, ms);
  }

  /** Calls back when it rings, while the event loop waits. */
  wake(seen: number, then: () => void): void {
    if (this.#watching) return;
    this.#watching = true;
    this.options.whenChanged(this.words, this.index, seen, () => {
      this.#watching = false;
      then();
    });
  }
}
