/** A PS/2 device seen from the controller: a byte stream each way. Source: IBM PS/2 Technical Reference, keyboard and mouse. */
import type { Stateful } from '../../machine/state.js';

export interface Ps2Device extends Stateful {
  reset(): void;
  /** A byte from the host: a command or a parameter. */
  receive(byte: number): void;
  /** Takes the next byte to send, -1 when there is none. */
  next(): number;
  /** The controller's: called when there may be something to send. */
  onReady: () => void;
}

const EVENT_BYTES = 16;
const REPLY_BYTES = 8;

/** The state of a Ps2Output; part of its device's. */
export const emptyOutput = () => ({
  replies: [] as number[],
  events: [] as number[],
  /** What was sent last, for Resend. */
  last: 0,
});

/** What a PS/2 device has to send: answers to commands first, then events, of which it keeps 16 bytes. */
export class Ps2Output {
  readonly #s: ReturnType<typeof emptyOutput>;

  constructor(state: ReturnType<typeof emptyOutput>) {
    this.#s = state;
  }

  reply(...bytes: readonly number[]): void {
    if (this.#s.replies.length + bytes.length <= REPLY_BYTES) this.#s.replies.push(...bytes);
  }

  resend(): void {
    this.reply(this.#s.last);
  }

  /** Queues one event as a whole, or drops it as a whole. */
  event(bytes: readonly number[]): boolean {
    if (this.#s.events.length + bytes.length > EVENT_BYTES) return false;
    this.#s.events.push(...bytes);
    return true;
  }

  get idle(): boolean {
    return this.#s.events.length === 0;
  }

  dropEvents(): void {
    this.#s.events.length = 0;
  }

  next(): number {
    const byte = this.#s.replies.shift() ?? this.#s.events.shift() ?? -1;
    if (byte >= 0) this.#s.last = byte;
    return byte;
  }
}
