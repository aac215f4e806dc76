/**
 * L1 and L2 entries of a qcow2 image. They are 64 bits wide, and handled as two halves:
 *
 *     63      COPIED: the only reference to the cluster          62  COMPRESSED
 *     55..9   host offset of the cluster                          0  ZERO (standard entries of version 3)
 *
 * Compressed: bits 0 to x-1 are the host offset in bytes, bits x to 61 the further 512-byte sectors it may extend to, with
 * x = 62 - (cluster_bits - 8). Extended entries have a second word: bits 0 to 31 say which subclusters are allocated, bits 32
 * to 63 which of them read as zeroes.
 */
// hot path

/** In the upper half. */
export const COPIED = 0x80000000;
export const COMPRESSED = 0x40000000;
const OFFSET_HIGH = 0x00ffffff;
/** In the lower half. */
export const ZERO = 1;
const OFFSET_LOW = 0xfffffe00;

export const SUBCLUSTERS = 32;
const SECTOR = 512;

/** The host offset of a standard entry or an L1 entry. Beyond 2^53 it is not exact, but large all the same. */
export const entryOffset = (high: number, low: number): number =>
  (high & OFFSET_HIGH) * 2 ** 32 + ((low & OFFSET_LOW) >>> 0);

export interface CompressedExtent {
  readonly offset: number;
  readonly length: number;
}

/** Where a compressed cluster lies: up to the end of its last sector. */
export function compressedExtent(high: number, low: number, clusterBits: number): CompressedExtent {
  const x = 62 - (clusterBits - 8);
  const offsetHighMask = 2 ** (x - 32) - 1;
  const offset = (high & offsetHighMask) * 2 ** 32 + low;
  const sectors = (high & ~(COPIED | COMPRESSED)) >>> (x - 32);
  return { offset, length: (sectors + 1) * SECTOR - (offset % SECTOR) };
}

/** The upper half of a compressed entry; the lower one is the low half of the offset. */
export function compressedHigh(offset: number, length: number, clusterBits: number): number {
  const x = 62 - (clusterBits - 8);
  const sectors = Math.floor((offset + length - 1) / SECTOR) - Math.floor(offset / SECTOR);
  return (COMPRESSED | (sectors << (x - 32)) | Math.floor(offset / 2 ** 32)) >>> 0;
}
