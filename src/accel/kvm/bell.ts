// hot path
/** The word that vCPUs' threads change when they want something of the machine thread, and how that waits for it. */
import { Look } from './look.js';

/** The machine thread waits so long for a question before it lets the event loop wait. */
const LINGER_MS = 0.2;
/** Where the guest has the only processor meanwhile, it has got as far later. */
const LINGER_ON_ONE_MS = 1;

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
  readonly #look: Look;
  readonly #lingerMs: number;
  #watching = false;

  constructor(
    private readonly words: Int32Array,
    readonly index: number,
    private readonly options: BellOptions,
  ) {
    this.#look = new Look(words, index, options.spins);
    this.#lingerMs = options.spins > 0 ? LINGER_MS : LINGER_ON_ONE_MS;
  }

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
    return this.#look.changes(seen);
  }

  /** Sleeps, but not for long; false: nothing came. */
  linger(seen: number, mostMs: number): boolean {
    return Atomics.wait(this.words, this.index, seen, Math.min(mostMs, this.#lingerMs)) !== 'timed-out';
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
