import { UserError } from '../base/errors.js';
import type { CharBackend, CharFrontend } from './backend.js';
import { InputQueue } from './input-queue.js';

/** Keeps the last `size` bytes of output for whoever asks (`ringbuf-read`), and takes input from `ringbuf-write`. */
export class RingBuffer implements CharBackend {
  readonly type = 'ringbuf';
  readonly filename = 'ringbuf';
  readonly #ring: Uint8Array;
  readonly #input = new InputQueue();
  #frontend: CharFrontend | null = null;
  /** Bytes ever written and ever read. */
  #produced = 0;
  #consumed = 0;

  /** `size`: a power of two. */
  constructor(size = 65536) {
    if (size <= 0 || (size & (size - 1)) !== 0) throw new UserError('size of ringbuf chardev must be power of two');
    this.#ring = new Uint8Array(size);
  }

  attach(frontend: CharFrontend | null): void {
    this.#frontend = frontend;
    frontend?.event?.('opened');
    this.acceptInput();
  }

  write(data: Uint8Array): number {
    const size = this.#ring.length;
    for (const byte of data) this.#ring[this.#produced++ % size] = byte;
    if (this.#produced - this.#consumed > size) this.#consumed = this.#produced - size;
    return data.length;
  }

  acceptInput(): void {
    this.#input.drain(this.#frontend);
  }

  /** How many bytes `read` would give. */
  get available(): number {
    return this.#produced - this.#consumed;
  }

  /** Takes the oldest bytes out of the ring, at most `limit`. */
  read(limit = this.#ring.length): Uint8Array {
    const out = new Uint8Array(Math.min(limit, this.available));
    for (let i = 0; i < out.length; i++) out[i] = this.#ring[this.#consumed++ % this.#ring.length]!;
    return out;
  }

  /** Sends bytes to the frontend, as if typed. */
  send(data: Uint8Array): void {
    this.#input.push(data);
    this.acceptInput();
  }
}
