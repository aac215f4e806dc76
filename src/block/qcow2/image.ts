/**
 * The metadata of an open qcow2 image: header, L1 and L2 tables, reference counts, and the order in which changes of them
 * reach the file.
 *
 * At any moment the file may be all there is left. So: counts are raised before anything points to a cluster, data is
 * written before tables point to it, new tables are written before the L1 table points to them, and counts are lowered only
 * after the pointers are gone (refcounts.ts). Between these steps the file is flushed. A stop leaves clusters that nobody
 * uses (leaks) at worst.
 */
import { Bug } from '../../base/errors.js';
import { getU32be, putU32be, putU64be, roundUp } from '../big-endian.js';
import type { BlockHost } from '../format.js';
import { BlockError, type BlockNode, type Eventually } from '../node.js';
import { COPIED, entryOffset, SUBCLUSTERS } from './entries.js';
import { Compatible, type Header, Incompatible, l1EntriesFor, MAX_L1_BYTES, serializeHeader } from './header.js';
import { Refcounts } from './refcounts.js';
import { type Table, TableCache } from './table-cache.js';

const L2_CACHE_BYTES = 32 << 20;
const SECTOR = 512;

export class Image {
  readonly clusterSize: number;
  readonly extended: boolean;
  readonly entryBytes: number;
  /** Entries of an L2 table. */
  readonly l2Entries: number;
  /** What is allocated at a time: a subcluster with extended L2 entries, else a cluster. */
  readonly granule: number;
  readonly l2: TableCache;
  #refcounts!: Refcounts;
  /** As in the file, but for as many entries as fill its clusters' sectors. */
  l1: Uint8Array;
  #l1From = 0;
  #l1To = 0;
  #dirtyMarked = false;
  /** Data was written that tables in memory point to. */
  dataWritten = false;
  corrupt = false;
  /** Counts are written late: as the header says, unless an option of this opening says otherwise. */
  lazyRefcounts: boolean;

  private constructor(
    readonly file: BlockNode,
    /** Where the guest's data is: the same, or the external data file. */
    readonly data: BlockNode,
    readonly header: Header,
    readonly host: BlockHost,
    readonly readOnly: boolean,
    refcounts: Refcounts,
    l1: Uint8Array,
  ) {
    this.clusterSize = 2 ** header.clusterBits;
    this.extended = (header.incompatible & Incompatible.EXTENDED_L2) !== 0;
    this.entryBytes = this.extended ? 16 : 8;
    this.l2Entries = this.clusterSize / this.entryBytes;
    this.granule = this.extended ? this.clusterSize / SUBCLUSTERS : this.clusterSize;
    this.l2 = new TableCache(file, this.clusterSize, L2_CACHE_BYTES);
    this.refcounts = refcounts;
    this.l1 = l1;
    this.lazyRefcounts = (header.compatible & Compatible.LAZY_REFCOUNTS) !== 0;
    this.corrupt = (header.incompatible & Incompatible.CORRUPT) !== 0;
    this.#dirtyMarked = (header.incompatible & Incompatible.DIRTY) !== 0;
  }

  static async open(
    file: BlockNode,
    data: BlockNode,
    header: Header,
    host: BlockHost,
    readOnly: boolean,
  ): Promise<Image> {
    const l1 = new Uint8Array(header.l1Size * 8);
    if (l1.length > 0) await file.read(header.l1Offset, l1);
    return new Image(file, data, header, host, readOnly, await Refcounts.load(file, header), l1);
  }

  get refcounts(): Refcounts {
    return this.#refcounts;
  }

  set refcounts(refcounts: Refcounts) {
    this.#refcounts = refcounts;
    refcounts.onFree = (offset) => this.l2.drop(offset);
  }

  get external(): boolean {
    return this.data !== this.file;
  }

  /** Bytes of the disk that an L2 table maps. */
  get l2Span(): number {
    return this.l2Entries * this.clusterSize;
  }

  // L1

  l1Entry(index: number): { high: number; low: number } {
    return { high: getU32be(this.l1, 8 * index), low: getU32be(this.l1, 8 * index + 4) };
  }

  /** The offset of an L2 table; 0 when there is none. Throws BlockError when it cannot be. */
  l2Offset(index: number): number {
    if (8 * index >= this.l1.length) return 0;
    const offset = entryOffset(getU32be(this.l1, 8 * index), getU32be(this.l1, 8 * index + 4));
    if (offset % this.clusterSize !== 0) {
      this.damaged(`L2 table offset 0x${offset.toString(16)} unaligned (L1 index: 0x${index.toString(16)})`);
    }
    return offset;
  }

  setL1(index: number, high: number, low: number): void {
    putU32be(this.l1, 8 * index, high);
    putU32be(this.l1, 8 * index + 4, low);
    this.#l1From = this.#l1To === 0 ? 8 * index : Math.min(this.#l1From, 8 * index);
    this.#l1To = Math.max(this.#l1To, 8 * index + 8);
  }

  /** The L2 table if that takes no waiting: null when there is none, undefined when it must be loaded first. */
  l2Now(index: number): Table | null | undefined {
    const offset = this.l2Offset(index);
    return offset === 0 ? null : this.l2.peek(offset);
  }

  loadL2(index: number): Eventually<Table | null> {
    const offset = this.l2Offset(index);
    return offset === 0 ? null : this.l2.load(offset);
  }

  /** An L2 table that may be changed: new where there was none, a copy where a snapshot has it too. */
  async writableL2(index: number): Promise<Table> {
    if (8 * index >= this.l1.length) throw new Bug(`L1 index ${index} is beyond the table`);
    const { high, low } = this.l1Entry(index);
    const offset = this.l2Offset(index);
    if (offset !== 0 && high & COPIED) return this.l2.load(offset);
    const old = offset === 0 ? undefined : (await this.l2.load(offset)).bytes.slice();
    const { offset: at } = await this.refcounts.allocate(1, true);
    const table = this.l2.create(at, old);
    this.setL1(index, (COPIED | Math.floor(at / 2 ** 32)) >>> 0, at % 2 ** 32);
    if (offset !== 0) this.refcounts.release(entryOffset(high, low), 1, false);
    return table;
  }

  /** Makes the L1 table long enough for a disk of `size` bytes, moving it when it must. */
  async growL1(size: number): Promise<void> {
    const entries = l1EntriesFor(this.header, size);
    if (entries * 8 <= this.l1.length) return;
    if (entries * 8 > MAX_L1_BYTES) throw new BlockError('EFBIG', 'Image size is too large for its cluster size');
    await this.writeBack();
    const l1 = new Uint8Array(entries * 8);
    l1.set(this.l1);
    const clusters = Math.ceil(l1.length / this.clusterSize);
    const { offset } = await this.refcounts.allocate(clusters, true);
    await this.refcounts.writeBack();
    const padded = new Uint8Array(clusters * this.clusterSize);
    padded.set(l1);
    await this.file.write(offset, padded);
    await this.file.flush();
    const old = { offset: this.header.l1Offset, clusters: Math.ceil((this.header.l1Size * 8) / this.clusterSize) };
    await this.changeHeader((h) => {
      h.l1Offset = offset;
      h.l1Size = entries;
    });
    this.l1 = l1;
    if (old.clusters > 0) this.refcounts.release(old.offset, old.clusters, false);
  }

  // Header

  /** Changes the header in memory and in the file; when writing fails, neither. It is safe on disk then. */
  async changeHeader(change: (header: Header) => void): Promise<void> {
    const before = structuredClone(this.header);
    change(this.header);
    try {
      await this.file.write(0, serializeHeader(this.header));
      await this.file.flush();
    } catch (error) {
      Object.assign(this.header, before);
      throw error;
    }
  }

  /** Marks counts as not to be trusted until `markClean`: a stop before that makes the next one who opens it repair them. */
  async markDirty(): Promise<void> {
    if (this.#dirtyMarked || this.header.version < 3) return;
    await this.changeHeader((h) => {
      h.incompatible |= Incompatible.DIRTY;
    });
    this.#dirtyMarked = true;
  }

  async markClean(): Promise<void> {
    if (!this.#dirtyMarked) return;
    await this.changeHeader((h) => {
      h.incompatible &= ~Incompatible.DIRTY;
    });
    this.#dirtyMarked = false;
  }

  /** The image contradicts itself: nothing is written to it any more. Always throws. */
  damaged(what: string): never {
    if (!this.corrupt && !this.readOnly) {
      this.corrupt = true;
      this.header.incompatible |= Incompatible.CORRUPT;
      if (this.header.version >= 3) {
        try {
          this.file.write(0, serializeHeader(this.header))?.catch(() => {});
        } catch {
          // What is reported is the first thing that was wrong.
        }
      }
    }
    throw new BlockError('EIO', `qcow2: Image is corrupt: ${what}`);
  }

  // Order of writes

  /** Writes tables so that the file is consistent at each moment. Does not promise that they are on disk. */
  async writeBack(): Promise<void> {
    const tables = this.l2.dirty || this.#l1To > 0;
    if (!this.lazyRefcounts || this.refcounts.cache.crowded || !tables) {
      if (this.refcounts.dirty) {
        await this.refcounts.writeBack();
        if (tables) await this.file.flush();
      } else if (tables && this.dataWritten) await this.data.flush();
    } else if (tables) {
      await this.markDirty();
      if (this.dataWritten) await this.data.flush();
    }
    if (!tables) return;
    if (this.external && this.dataWritten) await this.data.flush();
    this.dataWritten = false;
    await this.l2.writeBack();
    if (this.#l1To === 0) return;
    await this.file.flush();
    await this.#writeL1();
  }

  async #writeL1(): Promise<void> {
    const from = Math.floor(this.#l1From / SECTOR) * SECTOR;
    const to = roundUp(this.#l1To, SECTOR);
    const bytes = new Uint8Array(to - from);
    bytes.set(this.l1.subarray(from, to));
    const before = { from: this.#l1From, to: this.#l1To };
    this.#l1To = 0;
    try {
      await this.file.write(this.header.l1Offset + from, bytes);
    } catch (error) {
      this.#l1From = Math.min(before.from, this.#l1To === 0 ? before.from : this.#l1From);
      this.#l1To = Math.max(before.to, this.#l1To);
      throw error;
    }
  }

  /** Everything is on disk, and what was given up is free. */
  async flush(): Promise<void> {
    await this.writeBack();
    await this.file.flush();
    if (this.external) await this.data.flush();
    if (this.refcounts.hasPending) await this.refcounts.settle();
  }

  get needsWriteBack(): boolean {
    return this.l2.dirty || this.#l1To > 0 || this.refcounts.dirty || this.refcounts.hasPending;
  }

  /** For the end: the counts too, and the mark of lazy ones gone. */
  async finish(): Promise<void> {
    await this.flush();
    if (this.refcounts.dirty) {
      await this.refcounts.writeBack();
      await this.file.flush();
    }
    if (!this.corrupt) await this.markClean();
  }

  /** Whether host bytes belong to tables: a guest's data must not be there. */
  isMetadata(offset: number, length: number): boolean {
    if (offset < this.clusterSize) return true;
    const overlaps = (at: number, bytes: number): boolean => offset < at + bytes && at < offset + length;
    const h = this.header;
    if (overlaps(h.l1Offset, this.l1.length) || overlaps(h.snapshotsOffset, h.snapshotCount > 0 ? 1 : 0)) return true;
    return this.l2.overlaps(offset, length) || this.refcounts.owns(offset, length);
  }

  /** Writes a table of entries of 64 bits to new clusters; gives their offset. Everything on disk when it returns. */
  async writeNewTable(bytes: Uint8Array): Promise<number> {
    const clusters = Math.max(1, Math.ceil(bytes.length / this.clusterSize));
    const { offset } = await this.refcounts.allocate(clusters, true);
    await this.refcounts.writeBack();
    const padded = new Uint8Array(clusters * this.clusterSize);
    padded.set(bytes);
    await this.file.write(offset, padded);
    await this.file.flush();
    return offset;
  }
}

/** The 64-bit number as L1 and other tables hold it. */
export function tableBytes(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  values.forEach((v, i) => {
    putU64be(bytes, 8 * i, v);
  });
  return bytes;
}
