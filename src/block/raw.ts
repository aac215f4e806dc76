import { UserError } from '../base/errors.js';
import { roundUp } from './big-endian.js';
import type { Format } from './format.js';
import {
  BaseNode,
  BlockError,
  type BlockNode,
  type BlockStatus,
  type Completion,
  type Eventually,
  type Preallocation,
  sequence,
} from './node.js';

const SECTOR = 512;

export interface RawOptions {
  /** Where the disk starts in the file, and how long it is: default the whole file. */
  readonly offset?: number;
  readonly size?: number;
  /** Refuses to write a first sector of which this is true. */
  readonly otherFormat?: ((sector: Uint8Array) => boolean) | null;
}

/** The raw format: the file's bytes are the disk's. A length that is no multiple of 512 is rounded up, with zeroes. */
export class RawNode extends BaseNode {
  readonly driver: string = 'raw';
  readonly #file: BlockNode;
  readonly #offset: number;
  readonly #size: number | undefined;
  readonly #otherFormat: ((sector: Uint8Array) => boolean) | null;

  constructor(file: BlockNode, options: RawOptions = {}) {
    super();
    this.#file = file;
    this.#offset = options.offset ?? 0;
    this.#size = options.size;
    this.#otherFormat = options.otherFormat ?? null;
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

  override write(offset: number, from: Uint8Array): Completion {
    if (offset < SECTOR && this.#otherFormat) return this.#writeFirst(offset, from, this.#otherFormat);
    return this.#file.write(this.#offset + offset, from);
  }

  #writeFirst(offset: number, from: Uint8Array, otherFormat: (sector: Uint8Array) => boolean): Completion {
    const write = (sector: Uint8Array): Completion => {
      if (otherFormat(sector))
        throw new BlockError(
          'EPERM',
          `'${this.filename}': the first sector would name another format; give format=raw`,
        );
      return this.#file.write(this.#offset + offset, from);
    };
    if (offset === 0 && from.length >= SECTOR) return write(from.subarray(0, SECTOR));
    const sector = new Uint8Array(SECTOR);
    return sequence(this.#file.read(this.#offset, sector), () => {
      sector.set(from.subarray(0, SECTOR - offset), offset);
      return write(sector);
    });
  }

  override flush(): Completion {
    return this.#file.flush();
  }

  override discard(offset: number, length: number): Completion {
    return this.#file.discard(this.#offset + offset, length);
  }

  override writeZeroes(offset: number, length: number, unmap: boolean): Completion {
    return this.#file.writeZeroes(this.#offset + offset, length, unmap);
  }

  override status(offset: number, length: number): Eventually<BlockStatus> {
    const stored = this.#file.length - this.#offset - offset;
    // The last sector may be longer than the file.
    if (stored <= 0) return { length, data: false, zero: true, allocated: true };
    return this.#file.status(this.#offset + offset, Math.min(length, stored));
  }

  override truncate(length: number, preallocation?: Preallocation): Completion {
    if (this.#size !== undefined) throw new BlockError('ENOTSUP', 'Cannot resize fixed-size raw disks');
    return this.#file.truncate(this.#offset + length, preallocation);
  }
}

/** A raw part of another format, which calls all of it stored, also what the file has holes for. */
export class FlatNode extends RawNode {
  override status(offset: number, length: number): Eventually<BlockStatus> {
    const status = super.status(offset, length);
    return status instanceof Promise ? status.then((s) => ({ ...s, data: true })) : { ...status, data: true };
  }
}

export const RAW: Format = {
  name: 'raw',
  probe: () => 1,
  createOptions: [{ name: 'size', type: 'size', help: 'Virtual disk size' }],
  async create({ file, size, text }) {
    const mode = text('preallocation') ?? 'off';
    if (mode !== 'off' && mode !== 'falloc' && mode !== 'full')
      throw new UserError(`Unsupported preallocation mode: ${mode}`);
    await file.truncate(roundUp(size, SECTOR), mode);
  },
  open(file, context) {
    const number = (name: string): number | undefined => {
      const text = context.option(name);
      return text === undefined ? undefined : Number(text);
    };
    const offset = number('offset');
    const size = number('size');
    return Promise.resolve(
      new RawNode(file, {
        ...(offset !== undefined && { offset }),
        ...(size !== undefined && { size }),
        otherFormat: context.otherFormat,
      }),
    );
  },
};
