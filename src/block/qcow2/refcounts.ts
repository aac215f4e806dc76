/**
 * Reference counts of a qcow2 image's clusters, and the allocation of clusters.
 *
 * A cluster that is given up is not free at once: what pointed to it may still do so in the file, and after a crash its old
 * contents would be wanted. It becomes free in `settle`, which the owner calls once the pointers are safe on disk.
 */
import { getU64be, putU64be, roundUp } from '../big-endian.js';
import { BlockError, type BlockNode, isZero } from '../node.js';
import { type Header, MAX_REFTABLE_BYTES, serializeHeader } from './header.js';
import { type Table, TableCache } from './table-cache.js';

const CACHE_BYTES = 4 << 20;
const SECTOR = 512;
/** Counts of 16 bits. */
const USUAL_ORDER = 4;
/** Offsets in tables have 56 bits; numbers have 53. */
const MAX_OFFSET = 2 ** 53;

export function readRefcount(bytes: Uint8Array, order: number, index: number): number {
  if (order < 3) {
    const width = 1 << order;
    const perByte = 8 >> order;
    return (bytes[Math.floor(index / perByte)]! >> ((index % perByte) * width)) & ((1 << width) - 1);
  }
  let value = 0;
  const size = 1 << (order - 3);
  for (let i = 0; i < size; i++) value = value * 256 + bytes[index * size + i]!;
  return value;
}

export function writeRefcount(bytes: Uint8Array, order: number, index: number, value: number): void {
  if (order < 3) {
    const width = 1 << order;
    const perByte = 8 >> order;
    const at = Math.floor(index / perByte);
    const shift = (index % perByte) * width;
    bytes[at] = (bytes[at]! & ~(((1 << width) - 1) << shift)) | (value << shift);
    return;
  }
  const size = 1 << (order - 3);
  for (let i = size - 1; i >= 0; i--) {
    bytes[index * size + i] = value % 256;
    value = Math.floor(value / 256);
  }
}

/** The largest count of a width; exact numbers end at 2^53. */
export const maxRefcount = (order: number): number => (order === 6 ? 2 ** 53 - 1 : 2 ** (1 << order) - 1);

export interface Extent {
  readonly offset: number;
  readonly clusters: number;
}

export class Refcounts {
  readonly #file: BlockNode;
  readonly #header: Header;
  readonly #clusterSize: number;
  readonly #order: number;
  /** Clusters per refcount block. */
  readonly #perBlock: number;
  readonly cache: TableCache;
  /** A cluster is free: what is known of its contents is worthless. */
  onFree: (offset: number) => void = () => {};
  /** Offsets of the refcount blocks. */
  #table: Float64Array<ArrayBuffer>;
  #tableFrom = 0;
  #tableTo = 0;
  /** No cluster below is free. */
  #hint = 0;
  #pending: { cluster: number; clusters: number; discard: boolean }[] = [];
  /** Where the next compressed cluster may go on; 0: in a new cluster. */
  #bytesAt = 0;

  private constructor(file: BlockNode, header: Header, table: Float64Array<ArrayBuffer>) {
    this.#file = file;
    this.#header = header;
    this.#clusterSize = 2 ** header.clusterBits;
    this.#order = header.refcountOrder;
    this.#perBlock = (this.#clusterSize * 8) / (1 << this.#order);
    this.#table = table;
    this.cache = new TableCache(file, this.#clusterSize, CACHE_BYTES);
  }

  static async load(file: BlockNode, header: Header): Promise<Refcounts> {
    const length = header.refcountTableClusters * 2 ** header.clusterBits;
    const bytes = new Uint8Array(length);
    await file.read(header.refcountTableOffset, bytes);
    const table = new Float64Array(length / 8);
    // Bits 0 to 8 are reserved. Most of a table is empty.
    const words = new Uint32Array(bytes.buffer);
    for (let i = 0; i < table.length; i++) {
      if (words[2 * i] !== 0 || words[2 * i + 1] !== 0) table[i] = getU64be(bytes, 8 * i);
    }
    return new Refcounts(file, header, table);
  }

  /** Table and blocks that are in the making. */
  static fresh(file: BlockNode, header: Header): Refcounts {
    return new Refcounts(file, header, new Float64Array((header.refcountTableClusters * 2 ** header.clusterBits) / 8));
  }

  get order(): number {
    return this.#order;
  }

  get perBlock(): number {
    return this.#perBlock;
  }

  get blockOffsets(): Readonly<Float64Array> {
    return this.#table;
  }

  get dirty(): boolean {
    return this.cache.dirty || this.#tableTo > 0;
  }

  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  /** Whether host bytes are in the refcount table or in a block that is cached. */
  owns(offset: number, length: number): boolean {
    const start = this.#header.refcountTableOffset;
    return (offset < start + this.#table.length * 8 && start < offset + length) || this.cache.overlaps(offset, length);
  }

  /** The count of a cluster whose block is in memory, or that has none; else undefined. */
  getNow(cluster: number): number | undefined {
    const offset = this.#table[Math.floor(cluster / this.#perBlock)] ?? 0;
    if (offset === 0) return 0;
    const block = this.cache.peek(offset);
    return block && readRefcount(block.bytes, this.#order, cluster % this.#perBlock);
  }

  async get(cluster: number): Promise<number> {
    const block = await this.#block(cluster);
    return block ? readRefcount(block.bytes, this.#order, cluster % this.#perBlock) : 0;
  }

  /** How many clusters of the file are in use; counting ends at `most`. */
  async countUsed(most: number): Promise<number> {
    let used = 0;
    const blocks = Math.min(this.#table.length, Math.ceil(this.#file.length / this.#clusterSize / this.#perBlock));
    for (let b = 0; b < blocks && used < most; b++) {
      const block = await this.#block(b * this.#perBlock);
      if (block && !isZero(block.bytes)) used += this.#usedIn(block);
    }
    return Math.min(used, most);
  }

  #usedIn({ bytes, view }: Table): number {
    let used = 0;
    for (let i = 0; i < this.#perBlock; i++) {
      const count = this.#order === USUAL_ORDER ? view.getUint16(2 * i) : readRefcount(bytes, this.#order, i);
      if (count !== 0) used++;
    }
    return used;
  }

  /** Adds to the counts of clusters whose blocks exist. Counts that would pass a limit fail with EIO or EFBIG. */
  async add(cluster: number, clusters: number, delta: number): Promise<void> {
    for (let end = cluster + clusters; cluster < end; ) {
      const block = await this.#block(cluster);
      if (!block) throw new BlockError('EIO', `the image has no refcount block for cluster ${cluster}`);
      const first = cluster % this.#perBlock;
      const last = Math.min(this.#perBlock, first + end - cluster);
      this.#addInBlock(block, first, last, delta, cluster - first);
      cluster += last - first;
    }
  }

  /** `start`: the block's first cluster. */
  #addInBlock(block: Table, from: number, to: number, delta: number, start: number): void {
    const { bytes, view } = block;
    const most = maxRefcount(this.#order);
    let i = from;
    try {
      for (; i < to; i++) {
        const count =
          (this.#order === USUAL_ORDER ? view.getUint16(2 * i) : readRefcount(bytes, this.#order, i)) + delta;
        if (count < 0) throw new BlockError('EIO', `the reference count of cluster ${start + i} is too small`);
        if (count > most) throw new BlockError('EFBIG', `too many references to cluster ${start + i}`);
        if (this.#order === USUAL_ORDER) view.setUint16(2 * i, count);
        else writeRefcount(bytes, this.#order, i, count);
        if (count === 0) this.#freed(start + i);
      }
    } finally {
      if (i > from) this.#changed(block, from, i);
    }
  }

  /** For repair: sets a count. */
  async set(cluster: number, count: number): Promise<void> {
    const block = await this.#block(cluster);
    if (!block) throw new BlockError('EIO', `the image has no refcount block for cluster ${cluster}`);
    this.#put(block, cluster % this.#perBlock, count);
    if (count === 0) this.#freed(cluster);
  }

  #freed(cluster: number): void {
    this.#hint = Math.min(this.#hint, cluster);
    this.onFree(cluster * this.#clusterSize);
  }

  /**
   * Allocates 1 to `clusters` contiguous clusters, or exactly as many with `exact`; their counts are 1.
   */
  async allocate(clusters: number, exact: boolean): Promise<Extent> {
    const start = await this.#find(clusters, exact);
    let n = 0;
    while (n < clusters) {
      const block = await this.#block(start + n);
      if (!block) break;
      const first = (start + n) % this.#perBlock;
      const last = Math.min(this.#perBlock, first + clusters - n);
      const used = this.#firstUsed(block, first, last);
      for (let i = first; i < used; i++) writeRefcount(block.bytes, this.#order, i, 1);
      if (used > first) this.#changed(block, first, used);
      n += used - first;
      if (used < last) break;
    }
    if (start === this.#hint || !exact || clusters === 1) this.#hint = Math.max(this.#hint, start + n);
    return { offset: start * this.#clusterSize, clusters: n };
  }

  /** Room for `length` bytes of compressed data, which may follow other such data in its cluster. */
  async allocateBytes(length: number): Promise<number> {
    const size = this.#clusterSize;
    const used = this.#bytesAt % size;
    if (used > 0 && (await this.get(Math.floor(this.#bytesAt / size))) < maxRefcount(this.#order)) {
      const at = this.#bytesAt;
      const current = Math.floor(at / size);
      if (used + length <= size) {
        await this.add(current, 1, 1);
        this.#bytesAt = at + length;
        return at;
      }
      // It goes on in the next cluster when that is free.
      const next = await this.allocate(1, true);
      const follows = next.offset === (current + 1) * size;
      if (follows) await this.add(current, 1, 1);
      const start = follows ? at : next.offset;
      this.#bytesAt = start + length;
      return start;
    }
    const { offset } = await this.allocate(1, true);
    this.#bytesAt = offset + length;
    return offset;
  }

  /** Gives up one reference to each of these clusters, later. */
  release(offset: number, clusters: number, discard: boolean): void {
    this.#pending.push({ cluster: Math.floor(offset / this.#clusterSize), clusters, discard });
    const at = Math.floor(this.#bytesAt / this.#clusterSize) * this.#clusterSize;
    if (at >= offset && at < offset + clusters * this.#clusterSize) this.#bytesAt = 0;
  }

  /** Nothing on disk points to what was released any more: takes the references away. */
  async settle(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    for (const { cluster, clusters, discard } of pending) {
      await this.add(cluster, clusters, -1);
      if (!discard) continue;
      for (let i = 0; i < clusters; i++) {
        let n = 0;
        while (i + n < clusters && (this.getNow(cluster + i + n) ?? (await this.get(cluster + i + n))) === 0) n++;
        if (n > 0) await this.#file.discard((cluster + i) * this.#clusterSize, n * this.#clusterSize);
        i += n;
      }
    }
  }

  /** Writes blocks, and then the table entries that point to new ones. */
  async writeBack(): Promise<void> {
    await this.cache.writeBack();
    if (this.#tableTo === 0) return;
    await this.#file.flush();
    const from = Math.floor((this.#tableFrom * 8) / SECTOR) * SECTOR;
    const to = Math.min(this.#table.length * 8, roundUp(this.#tableTo * 8, SECTOR));
    const bytes = this.#tableBytes(from / 8, to / 8);
    this.#tableTo = 0;
    await this.#file.write(this.#header.refcountTableOffset + from, bytes);
  }

  /** For repair: a table whose blocks are in the cache. */
  replaceTable(table: Float64Array<ArrayBuffer>): void {
    this.#table = table;
  }

  /** A block's table, undefined when there is none. Throws BlockError for offsets that cannot be. */
  async #block(cluster: number): Promise<Table | undefined> {
    const index = Math.floor(cluster / this.#perBlock);
    const offset = index < this.#table.length ? this.#table[index]! : 0;
    if (offset === 0) return undefined;
    if (offset % this.#clusterSize !== 0 || offset >= MAX_OFFSET) {
      throw new BlockError(
        'EIO',
        `Refblock offset 0x${offset.toString(16)} unaligned (reftable index: 0x${index.toString(16)})`,
      );
    }
    return this.cache.peek(offset) ?? (await this.cache.load(offset));
  }

  #put(block: Table, index: number, count: number): void {
    writeRefcount(block.bytes, this.#order, index, count);
    this.#changed(block, index, index + 1);
  }

  #changed(block: Table, from: number, to: number): void {
    const bits = 1 << this.#order;
    this.cache.change(block, Math.floor((from * bits) / 8), Math.ceil((to * bits) / 8));
  }

  /** The first count from `from` on that is not 0, or `to`. */
  #firstUsed(block: Table, from: number, to: number): number {
    while (from < to && readRefcount(block.bytes, this.#order, from) === 0) from++;
    return from;
  }

  /** The first of free clusters that have blocks: at least one, or `clusters` with `exact`. */
  async #find(clusters: number, exact: boolean): Promise<number> {
    let run = 0;
    for (let c = this.#hint; ; ) {
      if (c * this.#clusterSize >= MAX_OFFSET) throw new BlockError('EFBIG', 'the image is full');
      const block = await this.#block(c);
      if (!block) {
        c = await this.#makeBlocks(c, clusters);
        run = 0;
        continue;
      }
      const start = c - (c % this.#perBlock);
      for (const end = start + this.#perBlock; c < end; c++) {
        const used = this.#firstUsed(block, c - start, Math.min(this.#perBlock, c - start + clusters - run));
        run += start + used - c;
        c = start + used;
        if (run === clusters || (run > 0 && !exact && c === end)) return c - run;
        if (c === end) break;
        run = 0;
      }
    }
  }

  /**
   * Makes the blocks that are missing for `clusters` clusters from `at` on (all of which are free), in those clusters
   * themselves. Gives the first cluster after them.
   */
  async #makeBlocks(at: number, clusters: number): Promise<number> {
    const missing = (count: number): number[] => {
      const found: number[] = [];
      const last = Math.floor((at + count + clusters - 1) / this.#perBlock);
      for (let i = Math.floor(at / this.#perBlock); i <= last; i++) if (!this.#table[i]) found.push(i);
      return found;
    };
    let indexes = missing(0);
    for (let more = missing(indexes.length); more.length > indexes.length; more = missing(indexes.length))
      indexes = more;
    if (indexes.at(-1)! >= this.#table.length) return this.#growTable(at, indexes.at(-1)! + 1);
    indexes.forEach((index, i) => {
      const offset = (at + i) * this.#clusterSize;
      this.cache.create(offset);
      this.#setTableEntry(index, offset);
    });
    await this.add(at, indexes.length, 1);
    return at + indexes.length;
  }

  #setTableEntry(index: number, offset: number): void {
    this.#table[index] = offset;
    this.#tableFrom = this.#tableTo === 0 ? index : Math.min(this.#tableFrom, index);
    this.#tableTo = Math.max(this.#tableTo, index + 1);
  }

  /** Moves to a longer table, written with the blocks that describe it to `at` and after; the header is last. */
  async #growTable(at: number, entries: number): Promise<number> {
    const size = this.#clusterSize;
    const old = { offset: this.#header.refcountTableOffset, clusters: this.#header.refcountTableClusters };
    let tableClusters = Math.ceil((Math.max(entries, Math.ceil(this.#table.length * 1.5)) * 8) / size);
    let blocks = 0;
    for (;;) {
      const first = Math.floor(at / this.#perBlock);
      const last = Math.floor((at + blocks + tableClusters - 1) / this.#perBlock);
      let needed = 0;
      for (let i = first; i <= last; i++) if (!this.#table[i]) needed++;
      const longer = Math.max(tableClusters, Math.ceil(((last + 1) * 8) / size));
      if (needed === blocks && longer === tableClusters) break;
      blocks = needed;
      tableClusters = longer;
    }
    if (tableClusters * size > MAX_REFTABLE_BYTES) throw new BlockError('EFBIG', 'the image is full');
    const table = new Float64Array((tableClusters * size) / 8);
    table.set(this.#table);
    // What was in the old table only in memory goes to the file first.
    await this.writeBack();
    const previous = this.#table;
    this.#table = table;
    try {
      let next = at;
      const last = Math.floor((at + blocks + tableClusters - 1) / this.#perBlock);
      for (let i = Math.floor(at / this.#perBlock); i <= last; i++) {
        if (table[i]) continue;
        this.cache.create(next * size);
        table[i] = next++ * size;
      }
      await this.add(at, blocks + tableClusters, 1);
      await this.cache.writeBack();
      const offset = (at + blocks) * size;
      await this.#file.write(offset, this.#tableBytes(0, table.length));
      await this.#file.flush();
      this.#header.refcountTableOffset = offset;
      this.#header.refcountTableClusters = tableClusters;
      await this.#file.write(0, serializeHeader(this.#header));
      await this.#file.flush();
    } catch (error) {
      this.#table = previous;
      this.#header.refcountTableOffset = old.offset;
      this.#header.refcountTableClusters = old.clusters;
      throw error;
    }
    this.release(old.offset, old.clusters, false);
    return at + blocks + tableClusters;
  }

  #tableBytes(from: number, to: number): Uint8Array {
    const bytes = new Uint8Array((to - from) * 8);
    for (let i = from; i < to; i++) putU64be(bytes, (i - from) * 8, this.#table[i]!);
    return bytes;
  }
}
