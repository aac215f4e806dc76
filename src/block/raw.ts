import { UserError } from '../base/errors.js';
import type { BlockNode, Completion } from './node.js';

const SECTOR = 512;

export interface RawOptions {
  /** Where the disk starts in the file, and how long it is: default the whole file. */
  readonly offset?: number;
  readonly size?: number;
}

/** The raw format: the file's bytes are the disk's. A length that is no multiple of 512 is rounded up, with zeroes. */
export class RawNode implements BlockNode {
  readonly driver = 'raw';
  readonly children: BlockNode['children'];
  readonly #file: BlockNode;
  readonly #offset: number;
  readonly #size: number | undefined;

  constructor(file: BlockNode, options: RawOptions = {}) {
    this.#file = file;
    this.#offset = options.offset ?? 0;
    this.#size = options.size;
    this.children = [{ role: 'file', node: file }];
    if (this.#offset + (this.#size ?? 0) > file.length)
      throw new UserError(
        `offset (${this.#offset}) and size do not fit into '${file.filename}' of ${file.length} bytes`,
      );
  }

  get filename(): string {
    return this.#file.filename;
  }

  get length(): number {
    return Math.ceil((this.#size ?? this.#file.length - this.#offset) / SECTOR) * SECTOR;
  }

  get readOnly(): boolean {
    return this.#file.readOnly;
  }

  read(offset: number, into: Uint8Array): Completion {
    return this.#file.read(this.#offset + offset, into);
  }

  write(offset: number, from: Uint8Array): Completion {
    return this.#file.write(this.#offset + offset, from);
  }

  flush(): Completion {
    return this.#file.flush();
  }

  discard(offset: number, length: number): Completion {
    return this.#file.discard(this.#offset + offset, length);
  }

  close(): void {
    this.#file.close();
  }
}
