import type { Clock, Timer } from '../machine/clock.js';
import type { KeyboardSink } from './input.js';
import type { Key } from './keys.js';

const NS_PER_MS = 1e6;
/** `sendkey` holds its keys so long when not told otherwise. */
export const DEFAULT_HOLD_MS = 100;

interface Stroke {
  readonly keys: readonly Key[];
  readonly holdMs: number;
}

/** Types on a keyboard, one stroke after the other, no faster than a guest can follow. */
export class KeySender {
  readonly #sink: KeyboardSink;
  readonly #clock: Clock;
  readonly #timer: Timer;
  readonly #waiting: Stroke[] = [];
  #held: readonly Key[] = [];
  /** Between two strokes. */
  readonly #gapMs: number;

  constructor(sink: KeyboardSink, clock: Clock, gapMs = 2) {
    this.#sink = sink;
    this.#clock = clock;
    this.#gapMs = gapMs;
    this.#timer = clock.timer('key sender', () => this.#next());
  }

  /** Presses the keys in order, holds them, and lets go in the opposite order. */
  send(keys: readonly Key[], holdMs: number = DEFAULT_HOLD_MS): void {
    this.#waiting.push({ keys, holdMs });
    if (this.#timer.deadline === Number.POSITIVE_INFINITY) this.#next();
  }

  get idle(): boolean {
    return this.#waiting.length === 0 && this.#held.length === 0;
  }

  #next(): void {
    if (this.#held.length > 0) {
      for (const key of this.#held.toReversed()) this.#sink.key(key, false);
      this.#held = [];
      this.#timer.arm(this.#clock.now() + this.#gapMs * NS_PER_MS);
      return;
    }
    const stroke = this.#waiting.shift();
    if (!stroke) return;
    for (const key of stroke.keys) this.#sink.key(key, true);
    this.#held = stroke.keys;
    this.#timer.arm(this.#clock.now() + stroke.holdMs * NS_PER_MS);
  }
}
