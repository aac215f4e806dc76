/**
 * What formats have in common that map a disk's blocks to places in a file, new ones at its end (vdi, vpc, vmdk, vhdx). The
 * format says where blocks are, and records new ones; maps reach the file in `flush`, after the data they point to.
 */
// hot path
import type { FormatNode } from './format.js';
import {
  BaseNode,
  BlockError,
  type BlockNode,
  type BlockStatus,
  type Completion,
  type Eventually,
  Exclusive,
  readWithin,
} from './node.js';

export const UNALLOCATED = -1;
export const ZERO_BLOCK = -2;

export abstract class BlockMapNode extends BaseNode implements FormatNode {
  readonly readOnly: boolean;
  protected backingNode: BlockNode | null = null;
  readonly #lock = new Exclusive();

  constructor(
    readonly file: BlockNode,
    readonly length: number,
    /** Bytes of the disk in a block. */
    readonly blockSize: number,
    readOnly: boolean,
  ) {
    super();
    this.readOnly = readOnly;
    this.children = [{ role: 'file', node: file }];
  }

  get filename(): string {
    return this.file.filename;
  }

  /** Where a block's data is in the file, or UNALLOCATED or ZERO_BLOCK. A promise where a table must be read first. */
  protected abstract place(block: number): Eventually<number>;
  /** The place for a block's data, which nothing else uses. */
  protected abstract allocate(block: number): Eventually<number>;
  /** The data is there: the map, in memory, says so from now on. */
  protected abstract record(block: number, host: number): Eventually<void>;
  /** Writes the changes of the map; the data is safe already. */
  protected abstract writeMap(): Promise<void>;
  protected abstract readonly mapChanged: boolean;
  /** Blocks are not in the file byte for byte. */
  protected get packed(): boolean {
    return false;
  }
  /** Reads from a block that has a place. */
  protected readBlock(_block: number, host: number, within: number, into: Uint8Array): Completion {
    return this.file.read(host + within, into);
  }

  read(offset: number, into: Uint8Array): Completion {
    for (let at = 0; at < into.length; ) {
      const within = (offset + at) % this.blockSize;
      const block = (offset + at - within) / this.blockSize;
      const n = Math.min(into.length - at, this.blockSize - within);
      const host = this.place(block);
      const part = into.subarray(at, at + n);
      at += n;
      const done =
        typeof host === 'number'
          ? this.#readAt(block, host, within, part)
          : host.then((h) => this.#readAt(block, h, within, part));
      if (done) {
        const rest = at;
        return done.then(() => (rest < into.length ? this.read(offset + rest, into.subarray(rest)) : undefined));
      }
    }
    return undefined;
  }

  #readAt(block: number, host: number, within: number, into: Uint8Array): Completion {
    if (host >= 0) return this.readBlock(block, host, within, into);
    if (host === UNALLOCATED && this.backingNode)
      return readWithin(this.backingNode, block * this.blockSize + within, into);
    into.fill(0);
    return undefined;
  }

  override write(offset: number, from: Uint8Array): Completion {
    if (this.readOnly) throw new BlockError('EROFS', `'${this.filename}' is read-only`);
    const within = offset % this.blockSize;
    if (within + from.length <= this.blockSize) {
      const host = this.place((offset - within) / this.blockSize);
      if (typeof host === 'number' && host >= 0) return this.file.write(host + within, from);
    }
    return this.#lock.run(() => this.#writeSlowly(offset, from));
  }

  async #writeSlowly(offset: number, from: Uint8Array): Promise<void> {
    for (let at = 0; at < from.length; ) {
      const within = (offset + at) % this.blockSize;
      const block = (offset + at - within) / this.blockSize;
      const n = Math.min(from.length - at, this.blockSize - within);
      const data = from.subarray(at, at + n);
      const host = await this.place(block);
      if (host >= 0) await this.file.write(host + within, data);
      else await this.#writeNew(block, host, within, data);
      at += n;
    }
  }

  async #writeNew(block: number, old: number, within: number, data: Uint8Array): Promise<void> {
    const host = await this.allocate(block);
    const end = host + this.blockSize;
    if (data.length === this.blockSize) await this.file.write(host, data);
    else if (old === UNALLOCATED && this.backingNode) {
      const whole = new Uint8Array(this.blockSize);
      await readWithin(this.backingNode, block * this.blockSize, whole);
      whole.set(data, within);
      await this.file.write(host, whole);
    } else {
      // What lies behind the end of the file reads as zeroes once the file is longer.
      const fresh = Math.max(host, Math.min(end, this.file.length));
      if (fresh > host) await this.file.writeZeroes(host, fresh - host, false);
      if (this.file.length < end) await this.file.truncate(end);
      await this.file.write(host + within, data);
    }
    await this.record(block, host);
  }

  override flush(): Completion {
    if (!this.mapChanged) return this.#lock.run(() => this.file.flush());
    return this.#lock.run(async () => {
      await this.file.flush();
      await this.writeMap();
      await this.file.flush();
    });
  }

  override status(offset: number, length: number): Eventually<BlockStatus> {
    const within = offset % this.blockSize;
    const block = (offset - within) / this.blockSize;
    const first = this.place(block);
    if (typeof first !== 'number')
      return first.then((host) => this.#statusOf(offset, within, host, Math.min(length, this.blockSize - within)));
    let end = this.blockSize - within;
    for (let next = block + 1; end < length; next++, end += this.blockSize) {
      const host = this.place(next);
      if (host !== (first >= 0 ? first + (next - block) * this.blockSize : first)) break;
    }
    return this.#statusOf(offset, within, first, Math.min(length, end));
  }

  #statusOf(_offset: number, within: number, host: number, length: number): BlockStatus {
    if (host >= 0) {
      const stored = { length, data: true, zero: false, allocated: true };
      if (this.packed) return { ...stored, compressed: true };
      return { ...stored, offset: host + within, file: this.file };
    }
    if (host === ZERO_BLOCK) return { length, data: false, zero: true, allocated: true };
    return { length, data: false, zero: this.backingNode === null, allocated: false };
  }

  override async close(): Promise<void> {
    let failure: unknown;
    try {
      if (!this.readOnly) await this.flush();
      await this.beforeClose();
    } catch (error) {
      failure = error;
    }
    await super.close();
    if (failure !== undefined) throw failure;
  }

  protected async beforeClose(): Promise<void> {}
}
