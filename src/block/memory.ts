import type { BlockNode, Completion } from './node.js';

const CHUNK = 1 << 16;

/** Bytes in memory: chunks appear when they are first written, so an empty one of any length costs nothing. */
export class MemoryNode implements BlockNode {
  readonly driver = 'memory';
  readonly children = [];
  readonly #chunks = new Map<number, Uint8Array>();
  #length: number;

  constructor(
    length: number,
    readonly filename = 'memory',
    readonly readOnly = false,
  ) {
    this.#length = length;
  }

  static of(bytes: Uint8Array, readOnly = false): MemoryNode {
    const node = new MemoryNode(bytes.length, 'memory', readOnly);
    node.write(0, bytes);
    return node;
  }

  get length(): number {
    return this.#length;
  }

  read(offset: number, into: Uint8Array): Completion {
    for (let at = 0; at < into.length; ) {
      const start = (offset + at) % CHUNK;
      const n = Math.min(CHUNK - start, into.length - at);
      const chunk = this.#chunks.get(Math.floor((offset + at) / CHUNK));
      if (chunk) into.set(chunk.subarray(start, start + n), at);
      else into.fill(0, at, at + n);
      at += n;
    }
    return undefined;
  }

  write(offset: number, from: Uint8Array): Completion {
    for (let at = 0; at < from.length; ) {
      const start = (offset + at) % CHUNK;
      const n = Math.min(CHUNK - start, from.length - at);
      const index = Math.floor((offset + at) / CHUNK);
      let chunk = this.#chunks.get(index);
      if (!chunk) {
        chunk = new Uint8Array(CHUNK);
        this.#chunks.set(index, chunk);
      }
      chunk.set(from.subarray(at, at + n), start);
      at += n;
    }
    this.#length = Math.max(this.#length, offset + from.length);
    return undefined;
  }

  flush(): Completion {
    return undefined;
  }

  discard(offset: number, length: number): Completion {
    const first = Math.ceil(offset / CHUNK);
    const end = Math.floor((offset + length) / CHUNK);
    for (const index of this.#chunks.keys()) if (index >= first && index < end) this.#chunks.delete(index);
    return undefined;
  }

  close(): void {
    this.#chunks.clear();
  }
}
