/** Zeroes and discards in a qcow2 image: changes of L2 entries that bring no data. */
// hot path
import { Bug } from '../../base/errors.js';
import { roundDown } from '../big-endian.js';
import type { BlockNode } from '../node.js';
import { ALL_SUBCLUSTERS, subclusterBits } from './clusters.js';
import type { CompressedClusters } from './compressed-clusters.js';
import { COMPRESSED, COPIED, entryOffset, ZERO } from './entries.js';
import type { Image } from './image.js';
import type { Table } from './table-cache.js';

/** `forget`: as if the clusters had never been written. */
export type Change = 'zero' | 'discard' | 'forget';

/** What a change wants of the node. */
interface ChangedNode {
  readonly image: Image;
  readonly backing: BlockNode | null;
  readonly passDiscards: boolean;
  readonly rawData: boolean;
  writeAlone(offset: number, from: Uint8Array): Promise<void>;
}

export class ClusterChanges {
  constructor(
    private readonly node: ChangedNode,
    private readonly compressed: CompressedClusters,
  ) {}

  /** While no other operation changes the clusters; whole granules. `unmap`: nothing need stay allocated. */
  async make(offset: number, length: number, how: Change, unmap: boolean): Promise<void> {
    const { image } = this.node;
    for (let at = offset; at < offset + length; ) {
      const index = Math.floor(at / image.l2Span);
      const end = Math.min(offset + length, (index + 1) * image.l2Span);
      const table = await image.loadL2(index);
      // What is unallocated with nothing below reads as zeroes already.
      if (table !== null || (how === 'zero' && this.node.backing) || (how === 'discard' && this.node.backing)) {
        if (8 * index < image.l1.length) await this.#changeInTable(index, at, end, how, unmap);
      }
      at = end;
      if (image.l2.crowded) await image.writeBack();
    }
  }

  async #changeInTable(l2Index: number, from: number, to: number, how: Change, unmap: boolean): Promise<void> {
    const { image } = this.node;
    const { clusterSize, entryBytes } = image;
    const table = await image.writableL2(l2Index);
    const flagZero = how !== 'forget' && image.header.version >= 3;
    for (let at = from; at < to; ) {
      const start = roundDown(at, clusterSize);
      const end = Math.min(to, start + clusterSize);
      const entry = entryBytes * Math.floor((start % image.l2Span) / clusterSize);
      const high = table.view.getUint32(entry);
      const low = table.view.getUint32(entry + 4);
      const compressed = (high & COMPRESSED) !== 0;
      const host = compressed ? 0 : entryOffset(high, low);
      const present = compressed || host !== 0 || (image.external && (high & COPIED) !== 0);
      const whole = at === start && (end === start + clusterSize || end >= image.header.size);
      at = end;
      if (!whole) {
        if (compressed && how === 'zero') {
          const begin = Math.max(from, start);
          await this.node.writeAlone(begin, new Uint8Array(end - begin));
          continue;
        }
        this.#changeSubclusters(table, entry, start, from, end, how);
        continue;
      }
      const marked = image.extended
        ? table.view.getUint32(entry + 8) === ALL_SUBCLUSTERS
        : image.header.version >= 3 && (low & ZERO) !== 0;
      if (!present && !this.node.backing && how !== 'forget') continue;
      if (!present && how === 'discard' && marked) continue;
      const keep = how === 'zero' && !compressed && present && (!unmap || image.external) && (high & COPIED) !== 0;
      const newHigh = keep ? high : 0;
      let newLow = keep ? (low & ~ZERO) >>> 0 : 0;
      if (flagZero && !image.extended) newLow |= ZERO;
      table.view.setUint32(entry, newHigh);
      table.view.setUint32(entry + 4, newLow >>> 0);
      if (image.extended) {
        table.view.setUint32(entry + 8, flagZero ? ALL_SUBCLUSTERS : 0);
        table.view.setUint32(entry + 12, 0);
      }
      image.l2.change(table, entry, entry + entryBytes);
      if (this.node.rawData && how === 'zero') await image.data.writeZeroes(start, end - start, unmap);
      if (keep) continue;
      if (compressed) this.compressed.release(high, low);
      else if (image.external) {
        if (present && this.node.passDiscards) await image.data.discard(start, clusterSize);
      } else if (host !== 0) image.refcounts.release(host, 1, this.node.passDiscards);
    }
  }

  /** Some subclusters of a cluster with an extended entry. */
  #changeSubclusters(table: Table, entry: number, start: number, from: number, end: number, how: Change): void {
    const { image } = this.node;
    if (!image.extended) throw new Bug('part of a cluster is to be changed without subclusters');
    // A compressed cluster cannot lose parts.
    if (table.view.getUint32(entry) & COMPRESSED) return;
    const bits = subclusterBits(Math.max(0, from - start) / image.granule, Math.ceil((end - start) / image.granule));
    const zero = table.view.getUint32(entry + 8);
    const allocated = table.view.getUint32(entry + 12);
    table.view.setUint32(entry + 8, how === 'forget' ? zero & ~bits : zero | bits);
    table.view.setUint32(entry + 12, allocated & ~bits);
    image.l2.change(table, entry, entry + 16);
  }
}
