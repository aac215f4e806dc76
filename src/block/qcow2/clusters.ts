/** What an L2 table says of a stretch of the guest's disk. */
// hot path
import { COMPRESSED, COPIED, entryOffset, SUBCLUSTERS, ZERO } from './entries.js';
import type { Image } from './image.js';
import type { Table } from './table-cache.js';

export const ALL_SUBCLUSTERS = 0xffffffff;

export const Kind = { UNALLOCATED: 0, ZERO: 1, NORMAL: 2, COMPRESSED: 3 } as const;

/** Filled in by `describe`; one for each user, so that nothing is allocated. */
export class Run {
  kind: number = Kind.UNALLOCATED;
  /** Bytes from the asked offset on. */
  length = 0;
  /** Host offset of the first byte of NORMAL (and of a ZERO that has storage; else 0). */
  host = 0;
  /** Halves of the entry, for COMPRESSED. */
  high = 0;
  low = 0;
  /** Nobody else refers to the clusters: they may be written in place. */
  copied = false;
}

/**
 * Describes at most `length` bytes from `offset` of the disk on, all of one kind and contiguous on the host. Stays within
 * the table. Throws BlockError for entries that cannot be.
 */
export function describe(image: Image, table: Table | null, offset: number, length: number, run: Run): void {
  const { clusterSize } = image;
  const inSpan = offset % image.l2Span;
  const most = Math.min(length, image.l2Span - inSpan);
  if (table === null) {
    run.kind = Kind.UNALLOCATED;
    run.length = most;
    run.host = 0;
    run.copied = false;
    return;
  }
  if (image.extended) {
    describeExtended(image, table, offset, most, run);
    return;
  }
  const { view } = table;
  let index = Math.floor(inSpan / clusterSize);
  const within = inSpan % clusterSize;
  const high = view.getUint32(8 * index);
  const low = view.getUint32(8 * index + 4);
  const kind = kindOf(image, high, low);
  let end = clusterSize - within;
  run.kind = kind;
  run.high = high;
  run.low = low;
  run.copied = (high & COPIED) !== 0;
  if (kind === Kind.COMPRESSED) {
    run.host = 0;
    run.length = Math.min(most, end);
    return;
  }
  const start = entryOffset(high, low);
  if (start % clusterSize !== 0) unaligned(image, start, offset);
  run.host = start === 0 && !(kind === Kind.NORMAL && image.external) ? 0 : start + within;
  while (end < most) {
    index++;
    const nextHigh = view.getUint32(8 * index);
    const nextLow = view.getUint32(8 * index + 4);
    if (kindOf(image, nextHigh, nextLow) !== kind) break;
    if (kind === Kind.NORMAL || run.host !== 0) {
      if (entryOffset(nextHigh, nextLow) !== run.host + end || ((nextHigh & COPIED) !== 0) !== run.copied) break;
    } else if (entryOffset(nextHigh, nextLow) !== 0) break;
    end += clusterSize;
  }
  run.length = Math.min(most, end);
}

function kindOf(image: Image, high: number, low: number): number {
  if (high & COMPRESSED) return Kind.COMPRESSED;
  if (low & ZERO && image.header.version >= 3) return Kind.ZERO;
  if (entryOffset(high, low) !== 0) return Kind.NORMAL;
  // In an external data file the first cluster is at 0: COPIED tells that it is there.
  return image.external && high & COPIED ? Kind.NORMAL : Kind.UNALLOCATED;
}

function describeExtended(image: Image, table: Table, offset: number, most: number, run: Run): void {
  const { clusterSize, granule } = image;
  const { view } = table;
  const inSpan = offset % image.l2Span;
  let index = Math.floor(inSpan / clusterSize);
  let high = view.getUint32(16 * index);
  let low = view.getUint32(16 * index + 4);
  run.high = high;
  run.low = low;
  run.copied = (high & COPIED) !== 0;
  run.host = 0;
  const within = inSpan % clusterSize;
  if (high & COMPRESSED) {
    run.kind = Kind.COMPRESSED;
    run.length = Math.min(most, clusterSize - within);
    return;
  }
  const start = entryOffset(high, low);
  if (start % clusterSize !== 0) unaligned(image, start, offset);
  const present = start !== 0 || (image.external && run.copied);
  let allocated = view.getUint32(16 * index + 12);
  let zero = view.getUint32(16 * index + 8);
  let sub = Math.floor(within / granule);
  const kindAt = (): number => {
    const bit = 1 << sub;
    if (zero & bit) {
      if (allocated & bit) invalidSubcluster(image, offset);
      return Kind.ZERO;
    }
    if (!(allocated & bit)) return Kind.UNALLOCATED;
    if (!present) invalidSubcluster(image, offset);
    return Kind.NORMAL;
  };
  const kind = kindAt();
  run.kind = kind;
  if (present) run.host = start + within;
  let end = granule - (within % granule);
  while (end < most) {
    if (++sub === 32) {
      index++;
      high = view.getUint32(16 * index);
      low = view.getUint32(16 * index + 4);
      if (high & COMPRESSED || ((high & COPIED) !== 0) !== run.copied) break;
      const next = entryOffset(high, low);
      if (present ? next !== run.host + end : next !== 0) break;
      sub = 0;
      allocated = view.getUint32(16 * index + 12);
      zero = view.getUint32(16 * index + 8);
    }
    if (kindAt() !== kind) break;
    end += granule;
  }
  run.length = Math.min(most, end);
}

function unaligned(image: Image, start: number, offset: number): never {
  return image.damaged(
    `Cluster allocation offset 0x${start.toString(16)} unaligned (guest offset: 0x${offset.toString(16)})`,
  );
}

function invalidSubcluster(image: Image, offset: number): never {
  return image.damaged(`Invalid subcluster(s) detected (guest offset: 0x${offset.toString(16)})`);
}

/** Lets the entry at byte `at` point to a cluster that is ours alone. */
export function putEntry(table: Table, at: number, host: number): void {
  table.view.setUint32(at, (COPIED | Math.floor(host / 2 ** 32)) >>> 0);
  table.view.setUint32(at + 4, host % 2 ** 32);
}

/** Bits `from` up to `to`. */
export function subclusterBits(from: number, to: number): number {
  const below = (n: number): number => (n >= SUBCLUSTERS ? ALL_SUBCLUSTERS : 2 ** n - 1);
  return (below(to) & ~below(from)) >>> 0;
}
