/** How large a qcow2 image is going to be. */
import { UserError } from '../../base/errors.js';
import { roundUp } from '../big-endian.js';
import type { Bitmap } from './bitmaps.js';
import type { Qcow2CreateOptions } from './create.js';
import { MAX_L1_BYTES } from './header.js';

/** `allocated`: clusters with data. */
export function measureQcow2(o: Qcow2CreateOptions, allocated: number): { required: number; full: number } {
  const clusterSize = o.clusterSize ?? 65536;
  const order = Math.log2(o.refcountBits ?? 16);
  const entryBytes = o.extendedL2 ? 16 : 8;
  const size = roundUp(o.size, clusterSize);
  let metadata = clusterSize;
  const l2Entries = roundUp(size / clusterSize, clusterSize / entryBytes);
  metadata += l2Entries * entryBytes;
  metadata += roundUp((l2Entries * entryBytes) / clusterSize, clusterSize / 8) * 8;
  metadata += refcountBytes((metadata + size) / clusterSize, clusterSize, order);
  if ((l2Entries * entryBytes * 8) / clusterSize > MAX_L1_BYTES)
    throw new UserError('The image size is too large (try using a larger cluster size)');
  const full = metadata + size;
  const everything = o.preallocation === 'full' || o.preallocation === 'falloc';
  return { required: everything ? full : full - size + allocated * clusterSize, full };
}

function refcountBytes(clusters: number, clusterSize: number, order: number): number {
  const perBlock = (clusterSize * 8) / (1 << order);
  let blocks = 0;
  let table = 0;
  for (;;) {
    const nextBlocks = Math.ceil((clusters + table + blocks) / perBlock);
    const nextTable = Math.ceil(nextBlocks / (clusterSize / 8));
    if (nextBlocks === blocks && nextTable === table) return (blocks + table) * clusterSize;
    blocks = nextBlocks;
    table = nextTable;
  }
}

export function bitmapsSize(bitmaps: readonly Bitmap[], size: number, clusterSize: number): number {
  let total = 0;
  let directory = 0;
  for (const b of bitmaps) {
    if (b.inconsistent) continue;
    const bytes = Math.ceil(Math.ceil(size / 2 ** b.granularityBits) / 8);
    total += (1 + Math.ceil(bytes / clusterSize)) * clusterSize;
    directory += roundUp(24 + new TextEncoder().encode(b.name).length, 8);
  }
  return total + roundUp(directory, clusterSize);
}
