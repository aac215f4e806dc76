/**
 * Sparse extents of VMware disks (Virtual Disk Format 5.0): grain directories point to grain tables, those to grains, all in
 * sectors of 512 bytes and little-endian. Stream-optimized ones have compressed grains with a header of 12 bytes each.
 */

import { getU16, getU32, getU64, putU16, putU32, putU64 } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import { roundUp } from '../big-endian.js';
import { BlockMapNode, UNALLOCATED, ZERO_BLOCK } from '../block-map.js';
import { type CheckResult, say } from '../check.js';
import type { Codecs } from '../format.js';
import { BlockError, type BlockNode, type Completion, type Eventually } from '../node.js';
import { type Table, TableCache } from '../qcow2/table-cache.js';

export const SECTOR = 512;
export const MAGIC = 0x564d444b;
export const Flag = { NEWLINES: 1, REDUNDANT: 2, ZEROED_GRAIN: 4, COMPRESSED: 1 << 16, MARKERS: 1 << 17 } as const;
const HEADER_BYTES = 512;
const DIRECTORY_AT_END = 2 ** 64;
const ENTRIES_PER_TABLE = 512;
export const DEFAULT_GRAIN = 65536;
const MAX_DIRECTORY = 32 << 20;
const DEFLATE = 1;
const GRAIN_HEADER = 12;
const TABLE_CACHE = 4 << 20;

export interface SparseHeader {
  readonly version: number;
  readonly flags: number;
  readonly capacity: number;
  readonly grainSectors: number;
  readonly descriptorOffset: number;
  readonly descriptorSectors: number;
  readonly perTable: number;
  readonly redundantOffset: number;
  readonly directoryOffset: number;
  readonly compression: number;
}

function parse(bytes: Uint8Array): SparseHeader {
  return {
    version: getU32(bytes, 4),
    flags: getU32(bytes, 8),
    capacity: getU64(bytes, 12),
    grainSectors: getU64(bytes, 20),
    descriptorOffset: getU64(bytes, 28),
    descriptorSectors: getU64(bytes, 36),
    perTable: getU32(bytes, 44),
    redundantOffset: getU64(bytes, 48),
    directoryOffset: getU64(bytes, 56),
    compression: getU16(bytes, 77),
  };
}

export async function readSparseHeader(file: BlockNode): Promise<SparseHeader> {
  const bytes = new Uint8Array(HEADER_BYTES);
  await file.read(0, bytes);
  if (getU32(bytes, 0) !== MAGIC) throw new UserError('Image not in VMDK format');
  const header = parse(bytes);
  if (header.directoryOffset < DIRECTORY_AT_END - 4096) return header;
  // Written in one go: what was known only at the end is in a copy of the header there.
  await file.read(Math.max(0, file.length - 2 * SECTOR), bytes);
  if (getU32(bytes, 0) !== MAGIC) throw new BlockError('EINVAL', 'Invalid footer');
  return parse(bytes);
}

export class SparseExtent extends BlockMapNode {
  readonly driver = 'vmdk';
  readonly #header: SparseHeader;
  readonly #directory: Uint32Array;
  readonly #redundant: Uint32Array | null;
  readonly #tables: TableCache;
  readonly #codecs: Codecs | undefined;
  #end: number;
  #lastGrain: { host: number; bytes: Uint8Array } | null = null;

  private constructor(
    file: BlockNode,
    header: SparseHeader,
    directory: Uint32Array,
    redundant: Uint32Array | null,
    readOnly: boolean,
    codecs: Codecs | undefined,
  ) {
    super(file, header.capacity * SECTOR, header.grainSectors * SECTOR, readOnly);
    this.#header = header;
    this.#directory = directory;
    this.#redundant = redundant;
    this.#tables = new TableCache(file, header.perTable * 4, TABLE_CACHE);
    this.#codecs = codecs;
    this.#end = roundUp(file.length, this.compressed ? SECTOR : header.grainSectors * SECTOR);
  }

  static async open(file: BlockNode, readOnly: boolean, codecs: Codecs | undefined): Promise<SparseExtent> {
    const h = await readSparseHeader(file);
    if (h.version > 3) throw new BlockError('ENOTSUP', `Unsupported VMDK version ${h.version}`);
    if (h.perTable === 0 || h.perTable > ENTRIES_PER_TABLE) throw new BlockError('EINVAL', `L2 table size too big`);
    if (h.grainSectors < 1 || h.grainSectors > 0x200000 || !Number.isInteger(Math.log2(h.grainSectors))) {
      throw new BlockError('EINVAL', 'Invalid granularity, image may be corrupt');
    }
    if (h.capacity * SECTOR > 2 ** 53) throw new BlockError('EFBIG', 'the disk is too large');
    if (h.compression > DEFLATE) throw new BlockError('ENOTSUP', 'unknown compression of grains');
    const entries = Math.ceil(h.capacity / (h.perTable * h.grainSectors));
    if (entries * 4 > MAX_DIRECTORY) throw new BlockError('EFBIG', 'L1 size too big');
    const read = async (offset: number): Promise<Uint32Array> => {
      if (offset * SECTOR + 4 * entries > file.length)
        throw new BlockError('EINVAL', 'File truncated, expecting a grain directory');
      const bytes = new Uint8Array(4 * entries);
      await file.read(offset * SECTOR, bytes);
      return Uint32Array.from({ length: entries }, (_, i) => getU32(bytes, 4 * i));
    };
    const directory = await read(h.directoryOffset);
    const redundant = h.flags & Flag.REDUNDANT && h.redundantOffset < 2 ** 53 ? await read(h.redundantOffset) : null;
    return new SparseExtent(file, h, directory, redundant, readOnly, codecs);
  }

  get header(): SparseHeader {
    return this.#header;
  }

  get compressed(): boolean {
    return (this.#header.flags & Flag.COMPRESSED) !== 0;
  }

  protected override get packed(): boolean {
    return this.compressed;
  }

  setBacking(node: BlockNode | null): void {
    this.backingNode = node;
  }

  protected override place(grain: number): Eventually<number> {
    const sector = this.#directory[Math.floor(grain / this.#header.perTable)] ?? 0;
    if (sector === 0) return UNALLOCATED;
    const table = this.#tables.peek(sector * SECTOR) ?? this.#tables.load(sector * SECTOR);
    const index = grain % this.#header.perTable;
    return table instanceof Promise ? table.then((t) => this.#entry(t, index)) : this.#entry(table, index);
  }

  #entry(table: Table, index: number): number {
    const sector = getU32(table.bytes, 4 * index);
    if (sector === 0) return UNALLOCATED;
    if (sector === 1 && this.#header.flags & Flag.ZEROED_GRAIN) return ZERO_BLOCK;
    return sector * SECTOR;
  }

  /** Finds grains that lie beyond the end of the file. `start`: where the extent begins on the disk. */
  async check(result: CheckResult, start: number): Promise<void> {
    const { perTable } = this.#header;
    // A broken directory may name the same table very often.
    const seen = new Set<number>();
    for (const [i, sector] of this.#directory.entries()) {
      if (sector === 0 || seen.has(sector)) continue;
      seen.add(sector);
      const sectorOf = (index: number): number => (start + (i * perTable + index) * this.blockSize) / SECTOR;
      try {
        const { bytes } = await (this.#tables.peek(sector * SECTOR) ?? this.#tables.load(sector * SECTOR));
        for (let index = 0; index < perTable; index++) {
          const grain = getU32(bytes, 4 * index);
          if (grain <= 1 || grain * SECTOR < this.file.length) continue;
          result.corruptions++;
          say(result, `ERROR: cluster offset for sector ${sectorOf(index)} points after EOF`);
        }
      } catch (error) {
        if (!(error instanceof BlockError)) throw error;
        result.corruptions++;
        say(result, `ERROR: could not get cluster_offset for sector ${sectorOf(0)}`);
      }
    }
  }

  protected override readBlock(grain: number, host: number, within: number, into: Uint8Array): Completion {
    if (!this.compressed) return this.file.read(host + within, into);
    return this.#readPacked(grain, host, within, into);
  }

  async #readPacked(grain: number, host: number, within: number, into: Uint8Array): Promise<void> {
    if (this.#lastGrain?.host !== host) {
      const head = new Uint8Array(GRAIN_HEADER);
      await this.file.read(host, head);
      const length = this.#header.flags & Flag.MARKERS ? getU32(head, 8) : this.blockSize;
      if (length > 2 * this.blockSize + GRAIN_HEADER) throw new BlockError('EIO', 'a compressed grain is too long');
      const packed = new Uint8Array(length);
      await this.file.read(host + (this.#header.flags & Flag.MARKERS ? GRAIN_HEADER : 0), packed);
      // Of the last grain, only what lies on the disk may be there.
      const short = this.length - grain * this.blockSize;
      const bytes =
        this.#codecs?.inflate(packed, this.blockSize) ??
        (short < this.blockSize ? this.#codecs?.inflate(packed, short) : undefined);
      if (!bytes) throw new BlockError('EIO', 'a compressed grain cannot be unpacked');
      this.#lastGrain = { host, bytes };
    }
    into.set(this.#lastGrain.bytes.subarray(within, within + into.length));
  }

  protected override allocate(): number {
    if (this.compressed)
      throw new BlockError(
        'EIO',
        'Not enough space for this grain: stream-optimized images take compressed grains only',
      );
    return this.#end;
  }

  protected override async record(grain: number, host: number): Promise<void> {
    this.#end = Math.max(this.#end, host + this.blockSize);
    await this.#setEntry(grain, host / SECTOR);
  }

  async #setEntry(grain: number, value: number): Promise<void> {
    const directoryIndex = Math.floor(grain / this.#header.perTable);
    const index = grain % this.#header.perTable;
    for (const directory of [this.#redundant, this.#directory]) {
      const sector = directory?.[directoryIndex] ?? 0;
      if (sector === 0) {
        if (directory === this.#directory) throw new BlockError('EIO', 'the image has no grain table for this grain');
        continue;
      }
      const table = await this.#tables.load(sector * SECTOR);
      putU32(table.bytes, 4 * index, value);
      this.#tables.change(table, 4 * index, 4 * index + 4);
    }
  }

  /** One grain, compressed; grains come in any order, each once. */
  async writeCompressed(offset: number, data: Uint8Array): Promise<void> {
    const grain = offset / this.blockSize;
    let whole = data;
    if (data.length < this.blockSize) {
      whole = new Uint8Array(this.blockSize);
      whole.set(data);
    }
    const packed = this.#codecs?.deflate(whole);
    if (!packed) throw new BlockError('ENOTSUP', 'this host has no deflate for compressed grains');
    const bytes = new Uint8Array(roundUp(GRAIN_HEADER + packed.length, SECTOR));
    putU64(bytes, 0, offset / SECTOR);
    putU32(bytes, 8, packed.length);
    bytes.set(packed, GRAIN_HEADER);
    const host = this.#end;
    await this.file.write(host, bytes);
    this.#end = host + bytes.length;
    await this.#setEntry(grain, host / SECTOR);
  }

  protected override get mapChanged(): boolean {
    return this.#tables.dirty;
  }

  protected override async writeMap(): Promise<void> {
    await this.#tables.writeBack();
  }
}

export interface SparseOptions {
  readonly bytes: number;
  readonly compressed: boolean;
  readonly zeroedGrain: boolean;
  /** Room for a descriptor inside. */
  readonly descriptor: string | null;
}

/** Writes an empty sparse extent, its grain tables ready. */
export async function createSparse(file: BlockNode, o: SparseOptions): Promise<void> {
  const grainSectors = DEFAULT_GRAIN / SECTOR;
  const capacity = Math.ceil(o.bytes / SECTOR);
  const tables = Math.max(1, Math.ceil(capacity / (grainSectors * ENTRIES_PER_TABLE)));
  const directorySectors = Math.ceil((4 * tables) / SECTOR);
  const tableSectors = (4 * ENTRIES_PER_TABLE) / SECTOR;
  const descriptorSectors = 20;
  const redundant = 1 + descriptorSectors;
  const directory = redundant + directorySectors + tableSectors * tables;
  const overhead = roundUp(directory + directorySectors + tableSectors * tables, grainSectors);
  const bytes = new Uint8Array(HEADER_BYTES);
  putU32(bytes, 0, MAGIC);
  putU32(bytes, 4, o.compressed ? 3 : o.zeroedGrain ? 2 : 1);
  const flags =
    Flag.NEWLINES |
    Flag.REDUNDANT |
    (o.compressed ? Flag.COMPRESSED | Flag.MARKERS : 0) |
    (o.zeroedGrain ? Flag.ZEROED_GRAIN : 0);
  putU32(bytes, 8, flags);
  putU64(bytes, 12, capacity);
  putU64(bytes, 20, grainSectors);
  putU64(bytes, 28, 1);
  putU64(bytes, 36, descriptorSectors);
  putU32(bytes, 44, ENTRIES_PER_TABLE);
  putU64(bytes, 48, redundant);
  putU64(bytes, 56, directory);
  putU64(bytes, 64, overhead);
  bytes.set([0x0a, 0x20, 0x0d, 0x0a], 73);
  putU16(bytes, 77, o.compressed ? DEFLATE : 0);
  await file.write(0, bytes);
  if (o.descriptor !== null) {
    const text = new TextEncoder().encode(o.descriptor);
    if (text.length > descriptorSectors * SECTOR) throw new UserError('the descriptor of the image is too long');
    await file.write(SECTOR, text);
  }
  for (const start of [redundant, directory]) {
    const list = new Uint8Array(directorySectors * SECTOR);
    for (let i = 0; i < tables; i++) putU32(list, 4 * i, start + directorySectors + i * tableSectors);
    await file.write(start * SECTOR, list);
  }
  await file.truncate(overhead * SECTOR);
}
