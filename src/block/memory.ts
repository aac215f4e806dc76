import { BaseNode, type BlockStatus, type Completion } from './node.js';

const CHUNK = 1 << 16;

/** Bytes in memory: chunks appear when they are first written, so an empty one of any length costs nothing. */
export class MemoryNode extends BaseNode {
  readonly driver = 'memory';
  readonly #chunks = new Map<number, Uint8Array>();
  #length: number;

  constructor(
    length: number,
    readonly filename = 'memory',
    readonly readOnly = false,
  ) {
    super();
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

  override write(offset: number, from: Uint8Array): Completion {
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

  override writeZeroes(offset: number, length: number, unmap: boolean): Completion {
    this.#length = Math.max(this.#length, offset + length);
    const first = Math.ceil(offset / CHUNK) * CHUNK;
    const end = Math.floor((offset + length) / CHUNK) * CHUNK;
    if (first >= end) return super.writeZeroes(offset, length, unmap);
    this.discard(first, end - first);
    super.writeZeroes(offset, first - offset, unmap);
    return super.writeZeroes(end, offset + length - end, unmap);
  }

  override status(offset: number, length: number): BlockStatus {
    const known = this.#chunks.has(Math.floor(offset / CHUNK));
    let end = (Math.floor(offset / CHUNK) + 1) * CHUNK;
    while (end < offset + length && this.#chunks.has(end / CHUNK) === known) end += CHUNK;
    length = Math.min(length, end - offset);
    return { length, data: known, zero: !known, allocated: true, offset, file: this };
  }

  override truncate(length: number): Completion {
    if (length < this.#length) {
      for (const index of this.#chunks.keys()) if (index * CHUNK >= length) this.#chunks.delete(index);
      this.#chunks.get(Math.floor(length / CHUNK))?.fill(0, length % CHUNK);
    }
    this.#length = length;
    return undefined;
  }

  override allocatedBytes(): number {
    return this.#chunks.size * CHUNK;
  }

  override discard(offset: number, length: number): Completion {
    const first = Math.ceil(offset / CHUNK);
    const end = Math.floor((offset + length) / CHUNK);
    for (const index of this.#chunks.keys()) if (index >= first && index < end) this.#chunks.delete(index);
    return undefined;
  }

  override close(): Completion {
    this.#chunks.clear();
    return undefined;
  }
}
