/** The state of a saved machine: it lies behind the disk's end, as if the disk were longer. */
import { roundUp } from '../big-endian.js';
import type { StateWriter } from '../format.js';
import { settled, writeViews } from '../node.js';
import { putEntry } from './clusters.js';
import { l1EntriesFor } from './header.js';
import type { Image } from './image.js';
import type { Qcow2Node } from './node.js';

/** Where it begins: behind the last L2 table of the disk. */
export const vmStateOffset = (image: Image): number => l1EntriesFor(image.header, image.header.size) * image.l2Span;

/** A stretch of the state in the file. */
interface Extent {
  /** From the state's beginning. */
  readonly position: number;
  readonly host: number;
  readonly length: number;
}

/** Makes room for so many bytes, to be taken into a snapshot that is created next. */
export async function beginVmState(node: Qcow2Node, bytes: number): Promise<StateWriter> {
  const { image, cipher } = node;
  if (cipher || image.extended || image.external) return throughNode(node);
  const extents: Extent[] = [];
  await node.alone(async () => {
    const start = vmStateOffset(image);
    await image.growL1(start + bytes);
    // What a snapshot that failed has left.
    await node.forgetAlone(start, roundUp(bytes, image.clusterSize));
    for (let position = 0; position < bytes; ) {
      const extent = await allocate(image, start + position, bytes - position);
      extents.push({ position, ...extent });
      position += extent.length;
      if (image.l2.crowded) await image.writeBack();
    }
  });
  // The clusters are nobody else's: parts of the state go straight to the file, several at a time.
  return (position, views) => {
    image.dataWritten = true;
    const pending: Promise<void>[] = [];
    const length = views.reduce((sum, view) => sum + view.length, 0);
    for (const extent of extents) {
      const from = Math.max(position, extent.position);
      const to = Math.min(position + length, extent.position + extent.length);
      if (from >= to) continue;
      const some = part(views, from - position, to - position);
      const written = writeViews(image.data, extent.host + from - extent.position, some);
      if (written) pending.push(written);
    }
    return settled(pending);
  };
}

/** Clusters for the next bytes of the disk, as many as lie one after the other in the file. */
async function allocate(image: Image, guest: number, bytes: number): Promise<{ host: number; length: number }> {
  const { clusterSize, l2Span } = image;
  const table = await image.writableL2(Math.floor(guest / l2Span));
  const index = Math.floor((guest % l2Span) / clusterSize);
  const wanted = Math.ceil(Math.min(bytes, l2Span - (guest % l2Span)) / clusterSize);
  const { offset, clusters } = await image.refcounts.allocate(wanted, false);
  if (image.isMetadata(offset, clusters * clusterSize)) {
    image.damaged(`Preventing invalid write on metadata (overlaps at offset 0x${offset.toString(16)})`);
  }
  for (let i = 0; i < clusters; i++) putEntry(table, 8 * (index + i), offset + i * clusterSize);
  image.l2.change(table, 8 * index, 8 * (index + clusters));
  return { host: offset, length: Math.min(bytes, clusters * clusterSize) };
}

/** Where clusters are encrypted, come in parts or lie elsewhere: as any other data, one part after the other. */
function throughNode(node: Qcow2Node): StateWriter {
  let last: Promise<void> = Promise.resolve();
  return (position, views) => {
    last = last.then(() =>
      node.alone(async () => {
        let at = vmStateOffset(node.image) + position;
        for (const view of views) {
          await node.image.growL1(at + view.length);
          await node.writeAlone(at, view);
          at += view.length;
        }
      }),
    );
    last.catch(() => {});
    return last;
  };
}

/** Bytes `from` up to `to` of the views. */
function part(views: readonly Uint8Array[], from: number, to: number): readonly Uint8Array[] {
  const some: Uint8Array[] = [];
  let at = 0;
  for (const view of views) {
    const first = Math.max(0, from - at);
    const last = Math.min(view.length, to - at);
    if (first < last) some.push(first === 0 && last === view.length ? view : view.subarray(first, last));
    at += view.length;
  }
  return some;
}

/** Reads a part of the state that belongs to the snapshot which `node` shows. */
export function readVmState(node: Qcow2Node, position: number, into: Uint8Array): Promise<void> {
  return node.alone(async () => {
    await node.readAlone(vmStateOffset(node.image) + position, into);
  });
}
