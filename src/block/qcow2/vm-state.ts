/** The state of a saved machine: it lies behind the disk's end, as if the disk were longer. */
import { Bug } from '../../base/errors.js';
import type { StateWriter } from '../format.js';
import { type Completion, settled, writeViews } from '../node.js';
import { putEntry } from './clusters.js';
import { l1EntriesFor } from './header.js';
import type { Image } from './image.js';
import type { Qcow2Node } from './node.js';
import { eachReference } from './references.js';

/** Where it begins: behind the last L2 table of the disk. */
export const vmStateOffset = (image: Image): number => l1EntriesFor(image.header, image.header.size) * image.l2Span;

/** A stretch of the state in the file. */
interface Extent {
  /** From the state's beginning. */
  readonly position: number;
  readonly host: number;
  length: number;
}

/** The L1 entries of the state. */
function* stateEntries(image: Image): Generator<number> {
  for (let i = l1EntriesFor(image.header, image.header.size); 8 * i < image.l1.length; i++) {
    if (image.l2Offset(i) !== 0) yield i;
  }
}

/** Gives up a state that no snapshot has taken. Runs alone. */
export async function dropVmState(image: Image): Promise<void> {
  const dropped = new Uint8Array(image.l1.length);
  for (const i of stateEntries(image)) {
    dropped.set(image.l1.subarray(8 * i, 8 * i + 8), 8 * i);
    image.setL1(i, 0, 0);
  }
  await eachReference(image, dropped, async (cluster, clusters) => {
    image.refcounts.release(cluster * image.clusterSize, clusters, false);
  });
}

/** Takes the state out of the disk's L1 table, without giving it up: a copy of that table has it. Gives a way back. */
export function handOverVmState(image: Image): () => void {
  const entries = [...stateEntries(image)].map((i) => ({ i, ...image.l1Entry(i) }));
  for (const { i } of entries) image.setL1(i, 0, 0);
  return () => {
    for (const { i, high, low } of entries) image.setL1(i, high, low);
  };
}

/** A writer of a state of so many bytes at most, to be taken into a snapshot that is created next. */
export async function beginVmState(node: Qcow2Node, most: number): Promise<StateWriter> {
  const { image, cipher } = node;
  const start = vmStateOffset(image);
  await node.alone(async () => {
    await dropVmState(image);
    await image.growL1(start + most);
  });
  if (cipher || image.extended) return throughNode(node);
  return new OwnClusters(node, start);
}

/** A state in clusters that are nobody else's: its parts go straight to the file. */
class OwnClusters implements StateWriter {
  readonly #extents: Extent[] = [];
  #allocated = 0;

  constructor(
    private readonly node: Qcow2Node,
    private readonly start: number,
  ) {}

  async makeRoom(end: number): Promise<void> {
    if (end > this.#allocated) await this.node.alone(() => this.#allocate(end));
  }

  async #allocate(end: number): Promise<void> {
    const { image } = this.node;
    while (this.#allocated < end) {
      const { host, length } = await allocate(image, this.start + this.#allocated, end - this.#allocated);
      const last = this.#extents.at(-1);
      if (last && last.host + last.length === host) last.length += length;
      else this.#extents.push({ position: this.#allocated, host, length });
      this.#allocated += length;
      if (image.l2.crowded) await image.writeBack();
    }
  }

  write(position: number, views: readonly Uint8Array[]): Completion {
    const { image } = this.node;
    const end = position + views.reduce((sum, view) => sum + view.length, 0);
    if (end > this.#allocated) throw new Bug(`no room for a state of ${end} bytes`);
    image.dataWritten = true;
    const pending: Promise<void>[] = [];
    for (const extent of this.#extents) {
      const from = Math.max(position, extent.position);
      const to = Math.min(end, extent.position + extent.length);
      if (from >= to) continue;
      const some = part(views, from - position, to - position);
      const written = writeViews(image.data, extent.host + from - extent.position, some);
      if (written) pending.push(written);
    }
    return settled(pending);
  }
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
  return { host: offset, length: clusters * clusterSize };
}

/** Where clusters are encrypted or come in parts: as any other data. */
function throughNode(node: Qcow2Node): StateWriter {
  const start = vmStateOffset(node.image);
  return {
    makeRoom: async () => {},
    write: (position, views) =>
      node.alone(async () => {
        let at = start + position;
        for (const view of views) {
          await node.writeAlone(at, view);
          at += view.length;
        }
      }),
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
