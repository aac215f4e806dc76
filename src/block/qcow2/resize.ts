/** Changing the length of a qcow2 image's disk, and allocating all of it beforehand. */
import { roundUp } from '../big-endian.js';
import { BlockError, type Preallocation } from '../node.js';
import { COPIED, entryOffset } from './entries.js';
import { Autoclear, l1EntriesFor } from './header.js';
import type { Image } from './image.js';
import type { Qcow2Node } from './node.js';
import { dropVmState } from './vm-state.js';

const SECTOR = 512;

/** Runs alone. */
export async function resize(node: Qcow2Node, length: number, preallocation: Preallocation): Promise<void> {
  const { image } = node;
  if (image.header.bitmaps && !node.bitmaps) {
    throw new BlockError('ENOTSUP', 'Cannot resize an image whose bitmaps are not loaded');
  }
  const resizeBitmaps = (): void => {
    for (const b of node.bitmaps ?? []) b.resize(length);
    if (node.bitmaps?.length) node.bitmapsChanged = true;
  };
  if (length % SECTOR !== 0) throw new BlockError('EINVAL', 'The new size must be a multiple of 512');
  if (image.header.snapshotCount > 0 && image.header.version < 3) {
    throw new BlockError('ENOTSUP', "Can't resize a version 2 image which has snapshots");
  }
  const old = image.header.size;
  if (length < old) {
    if (preallocation !== 'off') throw new BlockError('EINVAL', "Preallocation can't be used for shrinking an image");
    await shrink(node, length);
    resizeBitmaps();
    return;
  }
  // Where a saved machine's state was, the disk goes on.
  await dropVmState(image);
  await image.growL1(length);
  await image.changeHeader((h) => {
    h.size = length;
  });
  resizeBitmaps();
  // What the last cluster or a longer backing image has there must not show.
  const backing = node.backing?.length ?? 0;
  const zeroTo = Math.min(length, Math.max(roundUp(old, image.clusterSize), backing));
  if (zeroTo > old) await node.zeroAlone(old, zeroTo - old);
  if (image.external && image.data.length < length) await image.data.truncate(length, preallocation);
  if (preallocation !== 'off') await preallocate(image, old, length, preallocation);
  await image.flush();
}

async function shrink(node: Qcow2Node, length: number): Promise<void> {
  const { image } = node;
  const old = image.header.size;
  const keep = roundUp(length, image.clusterSize);
  if (length < keep && length < old) await node.zeroAlone(length, Math.min(keep, old) - length);
  if (keep < old) await node.forgetAlone(keep, old - keep);
  await image.flush();
  await image.changeHeader((h) => {
    h.size = length;
  });
  // Tables that map nothing any more go; the L1 table keeps its length.
  for (let i = l1EntriesFor(image.header, length); i < l1EntriesFor(image.header, old); i++) {
    const { high, low } = image.l1Entry(i);
    const offset = entryOffset(high, low);
    if (offset === 0) continue;
    image.setL1(i, 0, 0);
    image.l2.drop(offset);
    image.refcounts.release(offset, 1, true);
  }
  await image.flush();
}

/** Maps the disk from `from` to `to` to clusters of its own. */
export async function preallocate(image: Image, from: number, to: number, mode: Preallocation): Promise<void> {
  const { clusterSize } = image;
  // Subclusters of a place that nobody has written to are the backing image's; but what is in a raw data file counts as it is.
  const raw = (image.header.autoclear & Autoclear.RAW_EXTERNAL_DATA) !== 0;
  let end = 0;
  for (let at = Math.floor(from / clusterSize) * clusterSize; at < to; ) {
    const l2Index = Math.floor(at / image.l2Span);
    const spanEnd = Math.min(roundUp(to, clusterSize), (l2Index + 1) * image.l2Span);
    const wanted = (spanEnd - at) / clusterSize;
    const table = await image.writableL2(l2Index);
    const index = Math.floor((at % image.l2Span) / clusterSize);
    const first = image.entryBytes * index;
    if (
      entryOffset(table.view.getUint32(first), table.view.getUint32(first + 4)) !== 0 ||
      table.view.getUint32(first) !== 0
    ) {
      at += clusterSize;
      continue;
    }
    let free = 1;
    while (
      free < wanted &&
      table.view.getUint32(first + image.entryBytes * free) === 0 &&
      table.view.getUint32(first + image.entryBytes * free + 4) === 0
    )
      free++;
    const extent = image.external ? { offset: at, clusters: free } : await image.refcounts.allocate(free, false);
    // The same table again: allocation may have needed its place in the cache.
    const now = await image.writableL2(l2Index);
    for (let i = 0; i < extent.clusters; i++) {
      const entry = first + image.entryBytes * i;
      const host = extent.offset + i * clusterSize;
      now.view.setUint32(entry, (COPIED | Math.floor(host / 2 ** 32)) >>> 0);
      now.view.setUint32(entry + 4, host % 2 ** 32);
      if (image.extended && raw) now.view.setUint32(entry + 12, 0xffffffff);
    }
    image.l2.change(now, first, first + image.entryBytes * extent.clusters);
    end = Math.max(end, extent.offset + extent.clusters * clusterSize);
    at += extent.clusters * clusterSize;
    if (image.l2.crowded) await image.writeBack();
  }
  // Storage that was given up and is taken again may hold old data; what is new reads as zeroes.
  const file = image.data;
  if (end > file.length) await file.truncate(end, mode === 'metadata' ? 'off' : mode);
}
