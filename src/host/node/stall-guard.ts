/**
 * Decides whether the next operation that may make its caller wait is done at once or in another thread. At once is several
 * times faster as long as the host answers from memory; after one that took too long, others go to threads for a while.
 */

/** What a caller may be held up for, in ms. */
const MOST_MS = 1;
/** After the first slow operation, and at most, ms. */
const FIRST_REST_MS = 250;
const LONGEST_REST_MS = 8000;

export class StallGuard {
  #restMs = FIRST_REST_MS;
  #until = 0;

  /** `now`: monotonic ms. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  get mayWait(): boolean {
    return this.#until === 0 || this.now() >= this.#until;
  }

  /** Runs an operation that `mayWait` allowed, and remembers how long it took. */
  run<T>(operation: () => T): T {
    const start = this.now();
    try {
      return operation();
    } finally {
      this.#took(this.now() - start);
    }
  }

  #took(ms: number): void {
    if (ms <= MOST_MS) {
      if (this.#until === 0) return;
      this.#until = 0;
      this.#restMs = FIRST_REST_MS;
      return;
    }
    this.#until = this.now() + this.#restMs;
    // Slow again right after the rest: it will be so for longer.
    this.#restMs = Math.min(2 * this.#restMs, LONGEST_REST_MS);
  }
}
