/** What tables of a qcow2 image refer to: for counts and COPIED flags. */
import { getU32be } from '../big-endian.js';
import { BlockError } from '../node.js';
import { COMPRESSED, COPIED, compressedExtent, entryOffset } from './entries.js';
import type { Image } from './image.js';

/** Calls `each` for all that an L1 table refers to: its L2 tables and their clusters, once for each reference. */
export async function eachReference(
  image: Image,
  l1: Uint8Array,
  each: (cluster: number, clusters: number) => Promise<void>,
): Promise<void> {
  const { clusterSize, entryBytes } = image;
  for (let i = 0; i < l1.length; i += 8) {
    const offset = entryOffset(getU32be(l1, i), getU32be(l1, i + 4));
    if (offset === 0) continue;
    if (offset % clusterSize !== 0) throw new BlockError('EIO', `L2 table offset 0x${offset.toString(16)} unaligned`);
    await each(offset / clusterSize, 1);
    const { view } = await image.l2.load(offset);
    let start = 0;
    let clusters = 0;
    for (let at = 0; at < clusterSize; at += entryBytes) {
      const high = view.getUint32(at);
      const low = view.getUint32(at + 4);
      if (high & COMPRESSED) {
        const extent = compressedExtent(high, low, image.header.clusterBits);
        const first = Math.floor(extent.offset / clusterSize);
        await each(first, Math.floor((extent.offset + extent.length - 1) / clusterSize) - first + 1);
        continue;
      }
      const host = entryOffset(high, low);
      if (host === 0) continue;
      if (host % clusterSize !== 0)
        throw new BlockError('EIO', `Cluster allocation offset 0x${host.toString(16)} unaligned`);
      const cluster = host / clusterSize;
      if (clusters > 0 && cluster === start + clusters) clusters++;
      else {
        if (clusters > 0) await each(start, clusters);
        start = cluster;
        clusters = 1;
      }
    }
    if (clusters > 0) await each(start, clusters);
  }
}

/** Sets COPIED in the active tables where the count is one, and clears it elsewhere. */
export async function updateCopied(image: Image): Promise<void> {
  const { clusterSize, entryBytes } = image;
  for (let i = 0; i * 8 < image.l1.length; i++) {
    const { high, low } = image.l1Entry(i);
    const offset = entryOffset(high, low);
    if (offset === 0) continue;
    const own = (await image.refcounts.get(offset / clusterSize)) === 1;
    if (own !== ((high & COPIED) !== 0)) image.setL1(i, (own ? high | COPIED : high & ~COPIED) >>> 0, low);
    const table = await image.l2.load(offset);
    for (let at = 0; at < clusterSize; at += entryBytes) {
      const entryHigh = table.view.getUint32(at);
      if (entryHigh & COMPRESSED) continue;
      const host = entryOffset(entryHigh, table.view.getUint32(at + 4));
      if (host === 0) continue;
      const count = image.refcounts.getNow(host / clusterSize);
      const single = (count ?? (await image.refcounts.get(host / clusterSize))) === 1;
      if (single === ((entryHigh & COPIED) !== 0)) continue;
      table.view.setUint32(at, (single ? entryHigh | COPIED : entryHigh & ~COPIED) >>> 0);
      image.l2.change(table, at, at + 4);
    }
    if (image.l2.crowded) await image.writeBack();
  }
}
