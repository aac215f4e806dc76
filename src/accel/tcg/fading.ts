/**
 * Heat fades: code that runs now and then is never compiled, however long the machine runs. Without that its count came to the
 * threshold some day, and the process grew for hours (docs/performance.md).
 */
import { BLOCK } from '../../ir/layout.js';
import { OP_BYTES } from '../../ir/ops.js';

/** A count halves in this time. Code that is entered 300 times a second becomes hot in the end. */
const HALF_LIFE_NS = 10_000_000_000;
/** All blocks at once would take more than 10 ms. */
const STEPS = 16;

const HEAT = (BLOCK.at['heat'] as number) >>> 2;
const OPS = (BLOCK.at['ops'] as number) >>> 2;

export class Fading {
  readonly #start: number;
  #at: number;
  /** Steps that led here from the start. */
  #steps = 0;
  #due = 0;

  /** `start`: where blocks are stored, one behind the other. */
  constructor(start: number) {
    this.#start = start;
    this.#at = start;
  }

  /** Blocks are stored from the start on again. */
  reset(): void {
    this.#at = this.#start;
    this.#steps = 0;
  }

  /** Halves the counts of some of the blocks that end at `end`, if it is time; `now` in ns. Postponed heads (below 0) stay. */
  step(words: Int32Array, end: number, now: number): void {
    if (now < this.#due) return;
    this.#due = now + HALF_LIFE_NS / STEPS;
    if (this.#steps === STEPS) this.reset();
    const stop = this.#start + ((end - this.#start) * ++this.#steps) / STEPS;
    while (this.#at < stop) {
      const block = this.#at >>> 2;
      const heat = words[block + HEAT] as number;
      if (heat > 0) words[block + HEAT] = heat >> 1;
      this.#at += BLOCK.size + (words[block + OPS] as number) * OP_BYTES;
    }
  }
}
