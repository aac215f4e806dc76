/** An image's compressed clusters: unpacked each once for readers at the same time, packed several at a time, written in order. */
// hot path
import { roundDown } from '../big-endian.js';
import { BlockError, type Completion, type Eventually } from '../node.js';
import { describe, Kind, Run } from './clusters.js';
import type { Compressor } from './compression.js';
import { compressedExtent, compressedHigh, entryOffset } from './entries.js';
import type { Image } from './image.js';

export class CompressedClusters {
  #last: { offset: number; bytes: Uint8Array } | null = null;
  /** By offset in the file. */
  readonly #unpacking = new Map<number, Promise<Uint8Array>>();
  #epoch = 0;
  /** Ends when the last write does. */
  #written: Promise<void> = Promise.resolve();

  constructor(
    private readonly image: Image,
    readonly compressor: Compressor,
  ) {}

  /** Reads from `within` on of the cluster that an L2 entry names. */
  read(high: number, low: number, within: number, into: Uint8Array): Completion {
    const { offset, length } = compressedExtent(high, low, this.image.header.clusterBits);
    const last = this.#last;
    if (last?.offset === offset) {
      into.set(last.bytes.subarray(within, within + into.length));
      return undefined;
    }
    const take = (bytes: Uint8Array): undefined => {
      into.set(bytes.subarray(within, within + into.length));
    };
    const bytes = this.#unpacking.get(offset) ?? this.#unpack(offset, length);
    return bytes instanceof Promise ? bytes.then(take) : take(bytes);
  }

  #unpack(offset: number, length: number): Eventually<Uint8Array> {
    const packed = new Uint8Array(length);
    const done = this.image.file.read(offset, packed);
    const unpack = (): Eventually<Uint8Array | null> => this.compressor.unpack(packed, this.image.clusterSize);
    const epoch = this.#epoch;
    const keep = (bytes: Uint8Array | null): Uint8Array => {
      if (!bytes) throw new BlockError('EIO', `a compressed cluster at 0x${offset.toString(16)} cannot be unpacked`);
      if (epoch === this.#epoch) this.#last = { offset, bytes };
      return bytes;
    };
    const result = done ? done.then(unpack) : unpack();
    if (!(result instanceof Promise)) return keep(result);
    const unpacking: Promise<Uint8Array> = result.then(keep).finally(() => {
      if (this.#unpacking.get(offset) === unpacking) this.#unpacking.delete(offset);
    });
    this.#unpacking.set(offset, unpacking);
    return unpacking;
  }

  /** The file has changed: what was unpacked may be out of date. */
  forget(): void {
    if (this.#last === null && this.#unpacking.size === 0) return;
    this.#last = null;
    this.#unpacking.clear();
    this.#epoch++;
  }

  /** An L2 entry no longer names this cluster. */
  release(high: number, low: number): void {
    const { image } = this;
    const { offset, length } = compressedExtent(high, low, image.header.clusterBits);
    const first = roundDown(offset, image.clusterSize);
    image.refcounts.release(first, Math.ceil((offset + length - first) / image.clusterSize), false);
    this.forget();
  }

  /** Packs a cluster beside others, and gives it to `write` in the order of the calls. */
  async pack(cluster: Uint8Array, write: (packed: Uint8Array) => Promise<void>): Promise<void> {
    let whole = cluster;
    if (cluster.length < this.image.clusterSize) {
      whole = new Uint8Array(this.image.clusterSize);
      whole.set(cluster);
    }
    const packing = this.compressor.pack(whole);
    const before = this.#written;
    const writing = (async (): Promise<void> => {
      const packed = await packing;
      await before;
      await write(packed);
    })();
    this.#written = writing.catch(() => {});
    await writing;
  }

  /** Puts a packed cluster in the place of what is at guest offset `offset`. Nobody else may be at work. */
  async put(offset: number, packed: Uint8Array): Promise<void> {
    const { image } = this;
    const l2Index = Math.floor(offset / image.l2Span);
    const run = new Run();
    describe(image, await image.loadL2(l2Index), offset, image.clusterSize, run);
    const { kind, high, low } = run;
    const old = entryOffset(high, low);
    await image.writableL2(l2Index);
    const at = await image.refcounts.allocateBytes(packed.length);
    image.dataWritten = true;
    await image.file.write(at, packed);
    const table = await image.writableL2(l2Index);
    const entry = image.entryBytes * Math.floor((offset % image.l2Span) / image.clusterSize);
    table.view.setUint32(entry, compressedHigh(at, packed.length, image.header.clusterBits));
    table.view.setUint32(entry + 4, at % 2 ** 32);
    if (image.extended) table.bytes.fill(0, entry + 8, entry + 16);
    image.l2.change(table, entry, entry + image.entryBytes);
    if (kind === Kind.COMPRESSED) this.release(high, low);
    else if (run.host !== 0) image.refcounts.release(old, 1, false);
    if (image.l2.crowded) await image.writeBack();
  }
}
