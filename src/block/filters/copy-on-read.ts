/** What is read from a backing image is written to the image above it, so that it need not be fetched again. */
import type { BlockNode, Completion } from '../node.js';
import { Exclusive } from '../node.js';
import { FilterNode } from './filter.js';

/** Whole pieces of this size are copied. */
const PIECE = 65536;

export class CopyOnReadNode extends FilterNode {
  readonly driver = 'copy-on-read';
  /** A write must not come between the reading and the writing of a copy. */
  readonly #lock = new Exclusive();

  constructor(below: BlockNode) {
    super(below);
  }

  override read(offset: number, into: Uint8Array): Completion {
    if (this.readOnly) return this.below.read(offset, into);
    return this.#lock.run(() => this.#read(offset, into));
  }

  override write(offset: number, from: Uint8Array): Completion {
    return this.#lock.run(() => this.below.write(offset, from));
  }

  override writeZeroes(offset: number, length: number, unmap: boolean): Completion {
    return this.#lock.run(() => this.below.writeZeroes(offset, length, unmap));
  }

  override discard(offset: number, length: number): Completion {
    return this.#lock.run(() => this.below.discard(offset, length));
  }

  async #read(offset: number, into: Uint8Array): Promise<void> {
    const first = Math.floor(offset / PIECE) * PIECE;
    const end = Math.min(this.length, Math.ceil((offset + into.length) / PIECE) * PIECE);
    for (let at = first; at < end; ) {
      const s = await this.below.status(at, Math.min(end - at, 1 << 20));
      if (!s.allocated && !s.zero) {
        const bytes = new Uint8Array(s.length);
        await this.below.read(at, bytes);
        await this.below.write(at, bytes);
      }
      at += s.length;
    }
    await this.below.read(offset, into);
  }
}
