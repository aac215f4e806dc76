/** `-r`: so many bytes a second on average, and no more. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Options, sizeOption } from './getopt.js';

export class Pace {
  readonly #bytesPerMs: number;
  #due = performance.now();

  /** Without the option it waits for nothing. Throws UserError for what is no rate. */
  constructor(options: Options) {
    const rate = options.get('r');
    this.#bytesPerMs = (rate === undefined ? Number.POSITIVE_INFINITY : sizeOption('rate limit', rate)) / 1000;
    if (this.#bytesPerMs === 0) this.#bytesPerMs = Number.POSITIVE_INFINITY;
  }

  /** So many bytes are about to be written. */
  async before(bytes: number): Promise<void> {
    const now = performance.now();
    if (this.#due > now) await sleep(this.#due - now);
    // What was not used is not saved up.
    this.#due = Math.max(this.#due, now) + bytes / this.#bytesPerMs;
  }
}
