import type { CharFrontend } from './backend.js';

/**
 * Bytes that came in and that the frontend has not taken yet. Backends push what they read and stop reading from their
 * source while `full`.
 */
export class InputQueue {
  readonly #limit: number;
  #bytes: Uint8Array = new Uint8Array(256);
  #start = 0;
  #end = 0;

  /** `limit`: how many bytes may wait before `full` says to stop reading; what is pushed beyond is kept all the same. */
  constructor(limit = 4096) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  get full(): boolean {
    return this.length >= this.#limit;
  }

  push(data: Uint8Array): void {
    if (this.#end + data.length > this.#bytes.length) {
      const waiting = this.#bytes.subarray(this.#start, this.#end);
      const room =
        waiting.length + data.length > this.#bytes.length
          ? new Uint8Array(2 * (waiting.length + data.length))
          : this.#bytes;
      room.set(waiting);
      this.#bytes = room;
      this.#end = waiting.length;
      this.#start = 0;
    }
    this.#bytes.set(data, this.#end);
    this.#end += data.length;
  }

  clear(): void {
    this.#start = this.#end = 0;
  }

  /** Hands over as much as the frontend takes. */
  drain(frontend: CharFrontend | null): void {
    while (frontend && this.length > 0) {
      const n = Math.min(frontend.canReceive(), this.length);
      if (n <= 0) return;
      const data = this.#bytes.slice(this.#start, this.#start + n);
      this.#start += n;
      frontend.receive(data);
    }
  }
}
