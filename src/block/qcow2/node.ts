/**
 * A qcow2 image as a node: the data path. Tables and their order of writes are in image.ts, zeroes and discards in cluster-changes.ts.
 */
// hot path
import { roundDown, roundUp } from '../big-endian.js';
import type { CheckResult, Repair } from '../check.js';
import type { AmendContext, FormatInfo, FormatNode, SnapshotSupport } from '../format.js';
import {
  BaseNode,
  BlockError,
  type BlockNode,
  type BlockStatus,
  type Completion,
  childNode,
  type Eventually,
  Exclusive,
  isZero,
  type NodeChild,
  type Preallocation,
  readWithin,
  settled,
} from '../node.js';
import { amendQcow2 } from './amend.js';
import { type Bitmap, saveBitmaps } from './bitmaps.js';
import { checkQcow2 } from './check.js';
import type { ClusterCipher } from './cipher.js';
import { ClusterChanges } from './cluster-changes.js';
import { ClusterData } from './cluster-data.js';
import { ALL_SUBCLUSTERS, describe, Kind, putEntry, Run, subclusterBits } from './clusters.js';
import { CompressedClusters } from './compressed-clusters.js';
import type { Compressor } from './compression.js';
import { COMPRESSED, COPIED, entryOffset } from './entries.js';
import { Autoclear } from './header.js';
import type { Image } from './image.js';
import { qcow2Info } from './info.js';
import { resize } from './resize.js';
import { snapshotSupport } from './snapshots.js';
import type { Table } from './table-cache.js';

/** Most clusters' bytes that are allocated in one go. */
const MAX_BATCH = 4 << 20;

export class Qcow2Node extends BaseNode implements FormatNode {
  readonly driver = 'qcow2';
  readonly image: Image;
  /** The persistent bitmaps; null until somebody wants them. */
  bitmaps: Bitmap[] | null = null;
  /** They differ from the file, and are saved before the tables are written for the last time. */
  bitmapsChanged = false;
  /** Discards of the guest reach the file (discard_granularity and so on are the device's business). */
  passDiscards = true;
  readonly cipher: ClusterCipher | null;
  readonly #compressed: CompressedClusters;
  readonly #data: ClusterData;
  readonly #changes: ClusterChanges;
  readonly #lock = new Exclusive();
  /** What `hasHoles` says; undefined: not known yet. */
  #holes: boolean | undefined;
  /** Operations that want to be alone: others queue up behind them. */
  #barriers = 0;
  #inFlight = 0;
  #idle: (() => void)[] = [];
  #backing: BlockNode | null = null;
  #closed = false;

  constructor(image: Image, compressor: Compressor, cipher: ClusterCipher | null) {
    super();
    this.image = image;
    this.cipher = cipher;
    this.#compressed = new CompressedClusters(image, compressor);
    this.#data = new ClusterData(image, cipher, this.#compressed);
    this.#changes = new ClusterChanges(this, this.#compressed);
    this.#setChildren();
  }

  get filename(): string {
    return this.image.file.filename;
  }

  get length(): number {
    return this.image.header.size;
  }

  get readOnly(): boolean {
    return this.image.readOnly || this.image.corrupt;
  }

  get backingFile(): string {
    return this.image.header.backingFile;
  }

  get backingFormat(): string {
    return this.image.header.backingFormat;
  }

  get backing(): BlockNode | null {
    return this.#backing;
  }

  get snapshots(): SnapshotSupport {
    return snapshotSupport(this, (image) => new Qcow2Node(image, this.#compressed.compressor, this.cipher));
  }

  get compressedUnit(): number {
    return this.image.clusterSize;
  }

  info(): Promise<FormatInfo> {
    return qcow2Info(this);
  }

  check(repair: Repair | null): Promise<CheckResult> {
    return checkQcow2(this, repair);
  }

  changeBacking(file: string, format: string): Promise<void> {
    this.#checkWritable();
    return this.#alone(() =>
      this.image.changeHeader((h) => {
        h.backingFile = file;
        h.backingFormat = file === '' ? '' : format;
      }),
    );
  }

  amend(values: ReadonlyMap<string, string>, context: AmendContext): Promise<void> {
    this.#checkWritable();
    return amendQcow2(this, values, context);
  }

  async makeEmpty(): Promise<void> {
    this.#checkWritable();
    await this.#alone(async () => {
      await this.#changes.make(0, this.length, 'forget', true);
      await this.image.flush();
    });
  }

  setBacking(node: BlockNode | null): void {
    this.#backing = node;
    this.#setChildren();
  }

  #setChildren(): void {
    const { file, data } = this.image;
    const children: NodeChild[] = [{ role: 'file', node: file }];
    if (data !== file) children.push({ role: 'data-file', node: data });
    if (this.#backing) children.push({ role: 'backing', node: this.#backing });
    this.children = children;
  }

  // Reading

  read(offset: number, into: Uint8Array): Completion {
    if (this.#barriers > 0) return this.#lock.run(() => this.#read(offset, into));
    return this.#counted(this.#read(offset, into));
  }

  #read(offset: number, into: Uint8Array): Completion {
    const { image } = this;
    const run = new Run();
    const pending: Promise<void>[] = [];
    const end = Math.max(0, Math.min(into.length, this.#readable(offset)));
    into.fill(0, end);
    for (let at = 0; at < end; ) {
      const table = image.l2Now(Math.floor((offset + at) / image.l2Span));
      if (table === undefined) {
        pending.push(this.#readLater(offset + at, into.subarray(at)));
        break;
      }
      describe(image, table, offset + at, end - at, run);
      const part = this.#readRun(run, offset + at, into.subarray(at, at + run.length));
      if (part) pending.push(part);
      at += run.length;
    }
    return settled(pending);
  }

  /** The state of a saved machine lies behind the disk. */
  #readable(offset: number): number {
    const end = this.image.header.size;
    if (offset < end) return end - offset;
    return this.image.l1.length * (this.image.l2Span / 8) - offset;
  }

  async #readLater(offset: number, into: Uint8Array): Promise<void> {
    await this.image.loadL2(Math.floor(offset / this.image.l2Span));
    await this.#read(offset, into);
  }

  #readRun(run: Run, offset: number, into: Uint8Array): Completion {
    switch (run.kind) {
      case Kind.NORMAL:
        return this.#data.read(run.host, offset, into);
      case Kind.ZERO:
        into.fill(0);
        return undefined;
      case Kind.COMPRESSED:
        return this.#compressed.read(run.high, run.low, offset % this.image.clusterSize, into);
      default:
        if (this.#backing && offset < this.image.header.size) return readWithin(this.#backing, offset, into);
        into.fill(0);
        return undefined;
    }
  }

  // Writing

  override write(offset: number, from: Uint8Array): Completion {
    this.#checkWritable();
    if (this.bitmaps) this.#record(offset, from.length);
    if (this.#barriers > 0) return this.#lock.run(() => this.#writeLocked(offset, from));
    const { image } = this;
    const run = new Run();
    const pending: Promise<void>[] = [];
    let at = 0;
    while (at < from.length) {
      const table = image.l2Now(Math.floor((offset + at) / image.l2Span));
      if (!table) break;
      describe(image, table, offset + at, from.length - at, run);
      if (run.kind !== Kind.NORMAL || !run.copied) break;
      const part = this.#data.write(run.host, offset + at, from.subarray(at, at + run.length));
      if (part) pending.push(part);
      at += run.length;
    }
    if (at < from.length) {
      const part = this.#lock.run(() => this.#writeLocked(offset + at, from.subarray(at)));
      if (part) pending.push(part);
    }
    return this.#counted(settled(pending));
  }

  async #writeLocked(offset: number, from: Uint8Array): Promise<void> {
    const { image } = this;
    const run = new Run();
    for (let at = 0; at < from.length; ) {
      const guest = offset + at;
      const table = await image.loadL2(Math.floor(guest / image.l2Span));
      describe(image, table, guest, Math.min(from.length - at, MAX_BATCH), run);
      if (run.kind === Kind.NORMAL && run.copied) {
        await this.#data.write(run.host, guest, from.subarray(at, at + run.length));
        at += run.length;
        continue;
      }
      const data = from.subarray(at, at + run.length);
      at += await (image.extended ? this.#allocateSubclusters(guest, data) : this.#allocateClusters(run, guest, data));
      if (image.l2.crowded) await image.writeBack();
    }
  }

  /** Writes to clusters that are not there yet, or not ours alone. Gives how many bytes were written. */
  async #allocateClusters(run: Run, guest: number, from: Uint8Array): Promise<number> {
    const { image } = this;
    const { clusterSize } = image;
    const { kind, copied, high, low } = run;
    const within = guest % clusterSize;
    const first = guest - within;
    let clusters = Math.ceil((within + from.length) / clusterSize);
    const oldHost = run.host === 0 ? 0 : run.host - within;
    let host: number;
    // The table comes before the data that it maps, as QEMU places them.
    await image.writableL2(Math.floor(guest / image.l2Span));
    if (image.external) host = first;
    else if (kind === Kind.ZERO && oldHost !== 0 && copied) host = oldHost;
    else {
      const extent = await image.refcounts.allocate(clusters, false);
      host = extent.offset;
      clusters = extent.clusters;
    }
    const length = Math.min(from.length, clusters * clusterSize - within);
    const data = from.length === length ? from : from.subarray(0, length);
    const tail = clusters * clusterSize - within - length;
    if (within === 0 && tail === 0) await this.#data.write(host, first, data);
    else {
      const whole = new Uint8Array(clusters * clusterSize);
      if (kind !== Kind.ZERO) {
        if (within > 0) await this.#readOld(first, whole.subarray(0, within));
        if (tail > 0) await this.#readOld(guest + length, whole.subarray(within + length));
      }
      whole.set(data, within);
      await this.#data.write(host, first, whole);
    }
    const table = await image.writableL2(Math.floor(guest / image.l2Span));
    const index = Math.floor((first % image.l2Span) / clusterSize);
    for (let i = 0; i < clusters; i++) putEntry(table, 8 * (index + i), host + i * clusterSize);
    image.l2.change(table, 8 * index, 8 * (index + clusters));
    if (kind === Kind.COMPRESSED) this.#compressed.release(high, low);
    else if (oldHost !== 0 && oldHost !== host) image.refcounts.release(oldHost, clusters, false);
    return length;
  }

  /** The contents of a part of a cluster before the write, however long the disk is. */
  #readOld(guest: number, into: Uint8Array): Completion {
    const { size } = this.image.header;
    if (guest >= size) {
      // Behind the disk only a saved machine has contents.
      if (guest % this.image.l2Span === 0 || guest - size > this.image.clusterSize) return this.#read(guest, into);
      return undefined;
    }
    return this.#read(guest, into.subarray(0, Math.min(into.length, size - guest)));
  }

  /** The same with extended L2 entries: within one cluster, whole subclusters. */
  async #allocateSubclusters(guest: number, from: Uint8Array): Promise<number> {
    const { image } = this;
    const { clusterSize, granule } = image;
    const within = guest % clusterSize;
    const first = guest - within;
    const length = Math.min(from.length, clusterSize - within);
    const data = from.subarray(0, length);
    const l2Index = Math.floor(guest / image.l2Span);
    const index = Math.floor((first % image.l2Span) / clusterSize);
    const old = await image.writableL2(l2Index);
    const high = old.view.getUint32(16 * index);
    const low = old.view.getUint32(16 * index + 4);
    let zero = old.view.getUint32(16 * index + 8);
    let allocated = old.view.getUint32(16 * index + 12);
    const compressed = (high & COMPRESSED) !== 0;
    const oldHost = compressed ? 0 : entryOffset(high, low);
    const ours = (high & COPIED) !== 0 && !compressed && (oldHost !== 0 || image.external);
    // What others share is copied as a whole.
    const copy = compressed || (!ours && oldHost !== 0);
    const from0 = copy ? 0 : roundDown(within, granule);
    const to0 = copy ? clusterSize : roundUp(within + length, granule);
    let host = oldHost;
    if (image.external) host = first;
    else if (!ours) host = (await image.refcounts.allocate(1, true)).offset;
    const whole = new Uint8Array(to0 - from0);
    if (within > from0) await this.#readOld(first + from0, whole.subarray(0, within - from0));
    if (within + length < to0) await this.#readOld(guest + length, whole.subarray(within - from0 + length));
    whole.set(data, within - from0);
    await this.#data.write(host + from0, first + from0, whole);
    const bits = subclusterBits(from0 / granule, to0 / granule);
    zero &= ~bits;
    allocated |= bits;
    if (compressed) {
      zero = 0;
      allocated = ALL_SUBCLUSTERS;
    }
    const table = await image.writableL2(l2Index);
    putEntry(table, 16 * index, host);
    table.view.setUint32(16 * index + 8, zero);
    table.view.setUint32(16 * index + 12, allocated);
    image.l2.change(table, 16 * index, 16 * index + 16);
    if (compressed) this.#compressed.release(high, low);
    else if (oldHost !== 0 && oldHost !== host) image.refcounts.release(oldHost, 1, false);
    return length;
  }

  readonly compressesBeside = true;

  /** Writes one whole cluster compressed, or plainly when that would not be shorter. */
  async writeCompressed(offset: number, cluster: Uint8Array): Promise<void> {
    const { image } = this;
    this.#checkWritable();
    if (image.external) throw new BlockError('ENOTSUP', 'Compression is not supported with external data files');
    if (this.cipher) throw new BlockError('ENOTSUP', 'Compression is not supported for encrypted images');
    if (offset % image.clusterSize !== 0) throw new BlockError('EINVAL', 'compressed writes take whole clusters');
    await this.#compressed.pack(cluster, async (packed) => {
      if (packed.length < image.clusterSize) await this.#alone(() => this.#compressed.put(offset, packed));
      else await this.write(offset, cluster);
    });
  }

  // Zeroes and discards

  /** The external data file is to be readable on its own. */
  get rawData(): boolean {
    return this.image.external && (this.image.header.autoclear & Autoclear.RAW_EXTERNAL_DATA) !== 0;
  }

  override writeZeroes(offset: number, length: number, unmap: boolean): Completion {
    this.#checkWritable();
    if (this.bitmaps) this.#record(offset, length);
    if (this.image.header.version < 3 && (this.#backing || !unmap)) return super.writeZeroes(offset, length, unmap);
    return this.#wholeGranules(offset, length, (at, n) => this.#changes.make(at, n, 'zero', unmap), true);
  }

  override discard(offset: number, length: number): Completion {
    this.#checkWritable();
    if (this.bitmaps) this.#record(offset, length);
    if (this.rawData) return this.writeZeroes(offset, length, true);
    // Without zero flags the backing image's old data would show through.
    if (this.image.header.version < 3 && this.#backing) return undefined;
    return this.#wholeGranules(offset, length, (at, n) => this.#changes.make(at, n, 'discard', true), false);
  }

  /** For shrinking and `make-empty`: the clusters are as if they had never been written. */
  forget(offset: number, length: number): Completion {
    return this.#wholeGranules(offset, length, (at, n) => this.#changes.make(at, n, 'forget', true), false);
  }

  #wholeGranules(
    offset: number,
    length: number,
    change: (offset: number, length: number) => Promise<void>,
    zeroRest: boolean,
  ): Completion {
    const { granule } = this.image;
    const end = offset + length;
    const first = roundUp(offset, granule);
    const last = end >= this.image.header.size ? roundUp(end, granule) : roundDown(end, granule);
    if (first >= last) return zeroRest ? this.#zeroPart(offset, length) : undefined;
    return this.#alone(async () => {
      if (zeroRest && offset < first) await this.#zeroPartLocked(offset, first - offset);
      await change(first, last - first);
      if (zeroRest && last < end) await this.#zeroPartLocked(last, end - last);
    });
  }

  #zeroPart(offset: number, length: number): Completion {
    return this.#lock.run(() => this.#zeroPartLocked(offset, length));
  }

  /** Less than a granule: written, unless it reads as zeroes already. */
  async #zeroPartLocked(offset: number, length: number): Promise<void> {
    const bytes = new Uint8Array(length);
    await this.#read(offset, bytes);
    if (isZero(bytes)) return;
    await this.#writeLocked(offset, bytes.fill(0));
  }

  // The rest

  override flush(): Completion {
    const { image } = this;
    if (image.readOnly) return undefined;
    if (image.refcounts.hasPending) return this.#alone(() => image.flush());
    return this.#lock.run(() => {
      if (image.needsWriteBack) return image.flush();
      return image.external ? Promise.all([image.file.flush(), image.data.flush()]).then(() => {}) : image.file.flush();
    });
  }

  override status(offset: number, length: number): Eventually<BlockStatus> {
    const { image } = this;
    const table = image.l2Now(Math.floor(offset / image.l2Span));
    if (table === undefined) {
      return Promise.resolve(image.loadL2(Math.floor(offset / image.l2Span))).then((t) =>
        this.#status(t, offset, length),
      );
    }
    return this.#status(table, offset, length);
  }

  async hasHoles(): Promise<boolean> {
    this.#holes ??= await this.#findHoles();
    return this.#holes;
  }

  /** By QEMU's measure: clusters in use are a tenth more than the host has stored of the file, and at least two. */
  async #findHoles(): Promise<boolean> {
    const { file, clusterSize, refcounts } = this.image;
    const bytes = file.allocatedBytes?.();
    if (bytes === undefined) return false;
    const stored = Math.floor(bytes / clusterSize);
    const enough = Math.max(Math.floor((stored * 10) / 9), stored + 2);
    return (await refcounts.countUsed(enough)) >= enough;
  }

  #status(table: Table | null, offset: number, length: number): BlockStatus {
    const run = new Run();
    describe(this.image, table, offset, length, run);
    const place = run.host !== 0 || this.image.external ? { offset: run.host, file: this.image.data } : {};
    switch (run.kind) {
      case Kind.NORMAL:
        return { length: run.length, data: true, zero: false, allocated: true, ...(this.cipher ? {} : place) };
      case Kind.COMPRESSED:
        return { length: run.length, data: true, zero: false, allocated: true, compressed: true };
      case Kind.ZERO:
        return { length: run.length, data: false, zero: true, allocated: true, ...(run.host !== 0 ? place : {}) };
      default:
        return { length: run.length, data: false, zero: this.#backing === null, allocated: false };
    }
  }

  override truncate(length: number, preallocation: Preallocation = 'off'): Completion {
    this.#checkWritable();
    return this.alone(() => resize(this, length, preallocation));
  }

  /** Runs while no other operation does, after all that came before: for snapshots and other changes of the whole. */
  alone(operation: () => Promise<void>): Promise<void> {
    return this.#alone(operation);
  }

  /** For operations that are alone: reads and writes that do not wait for their own end. */
  readAlone(offset: number, into: Uint8Array): Completion {
    return this.#read(offset, into);
  }

  writeAlone(offset: number, from: Uint8Array): Promise<void> {
    return this.#writeLocked(offset, from);
  }

  zeroAlone(offset: number, length: number): Promise<void> {
    return this.#zeroRangeAlone(offset, length);
  }

  async #zeroRangeAlone(offset: number, length: number): Promise<void> {
    const { granule } = this.image;
    const end = offset + length;
    const first = Math.min(end, roundUp(offset, granule));
    if (offset < first) await this.#zeroPartLocked(offset, first - offset);
    if (first >= end) return;
    if (this.image.header.version >= 3) await this.#changes.make(first, roundUp(end, granule) - first, 'zero', true);
    else for (let at = first; at < end; at += granule) await this.#zeroPartLocked(at, Math.min(granule, end - at));
  }

  forgetAlone(offset: number, length: number): Promise<void> {
    return this.#changes.make(offset, length, 'forget', true);
  }

  override async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    let failure: unknown;
    try {
      if (!this.image.readOnly && !this.image.corrupt) {
        await this.#alone(async () => {
          if (this.bitmaps && this.bitmapsChanged) await saveBitmaps(this.image, this.bitmaps, false);
          await this.image.finish();
        });
      }
    } catch (error) {
      failure = error;
    }
    await super.close();
    if (failure !== undefined) throw failure;
  }

  override allocatedBytes(): number | undefined {
    return childNode(this, 'file')?.allocatedBytes?.();
  }

  #alone(operation: () => Promise<void>): Promise<void> {
    this.#barriers++;
    const done = this.#lock.run(async () => {
      try {
        if (this.#inFlight > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
        await operation();
      } finally {
        this.#barriers--;
      }
    });
    return done ?? Promise.resolve();
  }

  #counted(done: Completion): Completion {
    if (!done) return undefined;
    this.#inFlight++;
    return done.finally(() => {
      if (--this.#inFlight > 0) return;
      const idle = this.#idle;
      this.#idle = [];
      for (const tell of idle) tell();
    });
  }

  #record(offset: number, length: number): void {
    if (length === 0) return;
    for (const b of this.bitmaps!) if (b.enabled && !b.inconsistent) b.mark(offset, length);
  }

  #checkWritable(): void {
    if (this.image.readOnly) throw new BlockError('EROFS', `'${this.filename}' is read-only`);
    if (this.image.corrupt) throw new BlockError('EIO', `'${this.filename}' is corrupt and cannot be written`);
  }
}
