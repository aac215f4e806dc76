/** Persistent dirty bitmaps: which parts of the disk were written since some moment. */
import { UserError } from '../../base/errors.js';
import { getU16be, getU32be, getU64be, putU16be, putU32be, putU64be, roundUp } from '../big-endian.js';
import { BlockError, isZero } from '../node.js';
import { Autoclear, MAX_BITMAPS } from './header.js';
import type { Image } from './image.js';

const ENTRY_BYTES = 24;
const IN_USE = 1;
const AUTO = 2;
const TYPE_DIRTY = 1;
const ALL_ONES = 1;
export const MIN_GRANULARITY_BITS = 9;
export const MAX_GRANULARITY_BITS = 31;
/** In bytes. */
export const MAX_NAME = 1023;
/** Larger bitmaps are not kept in memory. */
const MAX_BYTES = 256 << 20;
const utf8 = new TextDecoder();
const encoder = new TextEncoder();

export interface BitmapEntry {
  name: string;
  granularityBits: number;
  flags: number;
  tableOffset: number;
  tableSize: number;
  extra: Uint8Array;
}

export class Bitmap {
  /** Bit n: the n-th piece of 2^granularityBits bytes was written. */
  bits: Uint8Array;

  constructor(
    readonly name: string,
    readonly granularityBits: number,
    size: number,
    /** Writes are recorded. */
    public enabled: boolean,
    /** Was not saved properly: it may only be removed. */
    readonly inconsistent: boolean,
  ) {
    this.bits = new Uint8Array(Math.ceil(Math.ceil(size / 2 ** granularityBits) / 8));
    if (this.bits.length > MAX_BYTES) throw new BlockError('EFBIG', `Bitmap '${name}' is too large`);
  }

  mark(offset: number, length: number): void {
    const granularity = 2 ** this.granularityBits;
    const last = Math.floor((offset + length - 1) / granularity);
    for (let i = Math.floor(offset / granularity); i <= last; i++) {
      const at = Math.floor(i / 8);
      this.bits[at] = this.bits[at]! | (1 << (i % 8));
    }
  }

  has(offset: number): boolean {
    const i = Math.floor(offset / 2 ** this.granularityBits);
    return ((this.bits[Math.floor(i / 8)] ?? 0) & (1 << (i % 8))) !== 0;
  }

  resize(size: number): void {
    const bits = new Uint8Array(Math.ceil(Math.ceil(size / 2 ** this.granularityBits) / 8));
    bits.set(this.bits.subarray(0, bits.length));
    this.bits = bits;
  }
}

/** The directory of an image, checked. */
export async function readDirectory(image: Image): Promise<BitmapEntry[]> {
  const extension = image.header.bitmaps;
  if (!extension) return [];
  if (extension.directoryOffset + extension.directoryBytes > image.file.length + image.clusterSize) {
    throw new BlockError('EINVAL', 'the bitmap directory is beyond the end of the file');
  }
  const bytes = new Uint8Array(extension.directoryBytes);
  await image.file.read(extension.directoryOffset, bytes);
  const entries: BitmapEntry[] = [];
  for (let at = 0; at + ENTRY_BYTES <= bytes.length; ) {
    const nameBytes = getU16be(bytes, at + 18);
    const extraBytes = getU32be(bytes, at + 20);
    const length = roundUp(ENTRY_BYTES + nameBytes + extraBytes, 8);
    if (at + length > bytes.length || nameBytes === 0 || nameBytes > MAX_NAME) {
      throw new BlockError('EINVAL', 'Broken bitmap directory');
    }
    const entry: BitmapEntry = {
      tableOffset: getU64be(bytes, at),
      tableSize: getU32be(bytes, at + 8),
      flags: getU32be(bytes, at + 12),
      granularityBits: bytes[at + 17]!,
      extra: bytes.slice(at + ENTRY_BYTES, at + ENTRY_BYTES + extraBytes),
      name: utf8.decode(bytes.subarray(at + ENTRY_BYTES + extraBytes, at + ENTRY_BYTES + extraBytes + nameBytes)),
    };
    const bad =
      bytes[at + 16] !== TYPE_DIRTY ||
      entry.granularityBits < MIN_GRANULARITY_BITS ||
      entry.granularityBits > MAX_GRANULARITY_BITS ||
      entry.tableOffset % image.clusterSize !== 0 ||
      entry.tableOffset + entry.tableSize * 8 > image.file.length + image.clusterSize;
    if (bad) throw new BlockError('EINVAL', `Bitmap '${entry.name}' doesn't satisfy the constraints`);
    entries.push(entry);
    at += length;
  }
  if (entries.length !== extension.count) throw new BlockError('EINVAL', 'Broken bitmap directory');
  return entries;
}

export async function loadBitmaps(image: Image): Promise<Bitmap[]> {
  const bitmaps: Bitmap[] = [];
  for (const entry of await readDirectory(image)) {
    const inconsistent = (entry.flags & IN_USE) !== 0;
    const bitmap = new Bitmap(
      entry.name,
      entry.granularityBits,
      image.header.size,
      (entry.flags & AUTO) !== 0,
      inconsistent,
    );
    if (!inconsistent) await loadBits(image, entry, bitmap);
    bitmaps.push(bitmap);
  }
  return bitmaps;
}

async function loadBits(image: Image, entry: BitmapEntry, bitmap: Bitmap): Promise<void> {
  const table = new Uint8Array(entry.tableSize * 8);
  await image.file.read(entry.tableOffset, table);
  for (let i = 0; i < entry.tableSize && i * image.clusterSize < bitmap.bits.length; i++) {
    const value = getU64be(table, 8 * i);
    const part = bitmap.bits.subarray(i * image.clusterSize, (i + 1) * image.clusterSize);
    if (value === ALL_ONES) part.fill(0xff);
    else if (value !== 0) {
      if (value % image.clusterSize !== 0) throw new BlockError('EINVAL', `Bitmap '${entry.name}' has a broken table`);
      await image.file.read(value, part);
    }
  }
}

/** Every stretch of the file that belongs to bitmaps: [offset, length]. */
export async function bitmapReferences(image: Image): Promise<[number, number][]> {
  const extension = image.header.bitmaps;
  if (!extension) return [];
  const all: [number, number][] = [[extension.directoryOffset, extension.directoryBytes]];
  for (const entry of await readDirectory(image)) {
    all.push([entry.tableOffset, entry.tableSize * 8]);
    const table = new Uint8Array(entry.tableSize * 8);
    await image.file.read(entry.tableOffset, table);
    for (let i = 0; i < entry.tableSize; i++) {
      const value = getU64be(table, 8 * i);
      if (value !== 0 && value !== ALL_ONES) all.push([value - (value % 512), image.clusterSize]);
    }
  }
  return all;
}

/** Writes the bitmaps anew, lets the header point to them, and gives up what was there before. */
export async function saveBitmaps(image: Image, bitmaps: readonly Bitmap[], inUse: boolean): Promise<void> {
  const old = await bitmapReferences(image);
  if (bitmaps.length > MAX_BITMAPS) throw new UserError('Maximum number of persistent bitmaps is already reached');
  await image.writeBack();
  const entries: BitmapEntry[] = [];
  for (const b of bitmaps) {
    const flags = (b.enabled ? AUTO : 0) | (inUse || b.inconsistent ? IN_USE : 0);
    const tableSize = Math.ceil(b.bits.length / image.clusterSize);
    const table = new Uint8Array(tableSize * 8);
    for (let i = 0; i < tableSize; i++) {
      const part = b.bits.subarray(i * image.clusterSize, (i + 1) * image.clusterSize);
      if (isZero(part)) continue;
      const { offset } = await image.refcounts.allocate(1, true);
      const whole = new Uint8Array(image.clusterSize);
      whole.set(part);
      await image.file.write(offset, whole);
      putU64be(table, 8 * i, offset);
    }
    const tableOffset = await image.writeNewTable(table);
    entries.push({
      name: b.name,
      granularityBits: b.granularityBits,
      flags,
      tableOffset,
      tableSize,
      extra: new Uint8Array(0),
    });
  }
  const directory = directoryBytes(entries);
  const directoryOffset = bitmaps.length === 0 ? 0 : await image.writeNewTable(directory);
  await image.refcounts.writeBack();
  await image.file.flush();
  await image.changeHeader((h) => {
    h.bitmaps =
      bitmaps.length === 0 ? null : { count: bitmaps.length, directoryBytes: directory.length, directoryOffset };
    h.autoclear = bitmaps.length === 0 ? h.autoclear & ~Autoclear.BITMAPS : h.autoclear | Autoclear.BITMAPS;
  });
  for (const [offset, length] of old) {
    image.refcounts.release(offset, Math.max(1, Math.ceil(length / image.clusterSize)), false);
  }
}

/** Says in the file that the bitmaps that record writes are out of date until they are saved. */
export async function markInUse(image: Image): Promise<void> {
  const extension = image.header.bitmaps;
  if (!extension) return;
  const entries = await readDirectory(image);
  for (const e of entries) if (e.flags & AUTO) e.flags |= IN_USE;
  await image.file.write(extension.directoryOffset, directoryBytes(entries));
  await image.file.flush();
}

function directoryBytes(entries: readonly BitmapEntry[]): Uint8Array {
  const parts = entries.map((e) => {
    const name = encoder.encode(e.name);
    const bytes = new Uint8Array(roundUp(ENTRY_BYTES + e.extra.length + name.length, 8));
    putU64be(bytes, 0, e.tableOffset);
    putU32be(bytes, 8, e.tableSize);
    putU32be(bytes, 12, e.flags);
    bytes[16] = TYPE_DIRTY;
    bytes[17] = e.granularityBits;
    putU16be(bytes, 18, name.length);
    putU32be(bytes, 20, e.extra.length);
    bytes.set(e.extra, ENTRY_BYTES);
    bytes.set(name, ENTRY_BYTES + e.extra.length);
    return bytes;
  });
  const all = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}
