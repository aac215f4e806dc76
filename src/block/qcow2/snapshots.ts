/**
 * Internal snapshots: copies of the L1 table, whose L2 tables and clusters are shared by way of their reference counts. While
 * counts and COPIED flags do not agree, the image is marked dirty (version 3): a stop then makes the next opening mend them.
 */
import { UserError } from '../../base/errors.js';
import { getU16be, getU32be, getU64be, putU16be, putU32be, putU64be, roundUp } from '../big-endian.js';
import type { SnapshotFacts, SnapshotSupport } from '../format.js';
import { BlockError } from '../node.js';
import { l1EntriesFor, MAX_L1_BYTES, MAX_SNAPSHOTS } from './header.js';
import { Image } from './image.js';
import type { Qcow2Node } from './node.js';
import { maxRefcount } from './refcounts.js';
import { eachReference, updateCopied } from './references.js';
import { beginVmState, dropVmState, handOverVmState, readVmState } from './vm-state.js';

export interface Snapshot {
  readonly id: string;
  readonly name: string;
  readonly l1Offset: number;
  readonly l1Size: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly vmClockNs: number;
  readonly vmStateBytes: number;
  /** Instructions executed (-icount); undefined: not known. */
  readonly icount: number | undefined;
  readonly diskSize: number;
  /** Extra data beyond what is known. */
  readonly unknown: Uint8Array;
}

const ENTRY_BYTES = 40;
/** Size of the machine's state, size of the disk, instruction count. */
const EXTRA_BYTES = 24;
const MAX_EXTRA = 1024;
const NO_ICOUNT = 0xffffffff;
const utf8 = new TextDecoder();
const encoder = new TextEncoder();

export async function readSnapshots(image: Image): Promise<Snapshot[]> {
  const { header, file } = image;
  const list: Snapshot[] = [];
  let at = header.snapshotsOffset;
  const read = async (length: number): Promise<Uint8Array> => {
    if (at + length > file.length + image.clusterSize) throw new BlockError('EINVAL', 'Snapshot table is cut off');
    const bytes = new Uint8Array(length);
    await file.read(at, bytes);
    at += length;
    return bytes;
  };
  for (let i = 0; i < header.snapshotCount; i++) {
    at = roundUp(at, 8);
    const fixed = await read(ENTRY_BYTES);
    const extraBytes = getU32be(fixed, 36);
    const l1Size = getU32be(fixed, 8);
    if (extraBytes > MAX_EXTRA) throw new BlockError('EINVAL', 'Too much extra metadata in snapshot table entry');
    if (l1Size * 8 > MAX_L1_BYTES) throw new BlockError('EINVAL', 'Snapshot L1 table too large');
    const extra = await read(extraBytes);
    const idBytes = getU16be(fixed, 12);
    const names = await read(idBytes + getU16be(fixed, 14));
    list.push({
      id: utf8.decode(names.subarray(0, idBytes)),
      name: utf8.decode(names.subarray(idBytes)),
      l1Offset: getU64be(fixed, 0),
      l1Size,
      seconds: getU32be(fixed, 16),
      nanoseconds: getU32be(fixed, 20),
      vmClockNs: getU64be(fixed, 24),
      vmStateBytes: extraBytes >= 8 ? getU64be(extra, 0) : getU32be(fixed, 32),
      diskSize: extraBytes >= 16 ? getU64be(extra, 8) : header.size,
      icount: extraBytes >= 24 && getU32be(extra, 16) !== NO_ICOUNT ? getU64be(extra, 16) : undefined,
      unknown: extra.slice(Math.min(extraBytes, EXTRA_BYTES)),
    });
  }
  return list;
}

export function snapshotTableBytes(list: readonly Snapshot[]): Uint8Array {
  const parts = list.map((s) => {
    const id = encoder.encode(s.id);
    const name = encoder.encode(s.name);
    const extra = EXTRA_BYTES + s.unknown.length;
    const bytes = new Uint8Array(roundUp(ENTRY_BYTES + extra + id.length + name.length, 8));
    putU64be(bytes, 0, s.l1Offset);
    putU32be(bytes, 8, s.l1Size);
    putU16be(bytes, 12, id.length);
    putU16be(bytes, 14, name.length);
    putU32be(bytes, 16, s.seconds);
    putU32be(bytes, 20, s.nanoseconds);
    putU64be(bytes, 24, s.vmClockNs);
    putU32be(bytes, 32, s.vmStateBytes < 2 ** 32 ? s.vmStateBytes : 0);
    putU32be(bytes, 36, extra);
    putU64be(bytes, 40, s.vmStateBytes);
    putU64be(bytes, 48, s.diskSize);
    if (s.icount === undefined) bytes.fill(0xff, 56, 64);
    else putU64be(bytes, 56, s.icount);
    bytes.set(s.unknown, 64);
    bytes.set(id, ENTRY_BYTES + extra);
    bytes.set(name, ENTRY_BYTES + extra + id.length);
    return bytes;
  });
  const all = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

/** As QEMU looks for them: by id first, then by name. */
export function findSnapshot(list: readonly Snapshot[], idOrName: string): Snapshot | undefined {
  return list.find((s) => s.id === idOrName) ?? list.find((s) => s.name === idOrName);
}

export function createSnapshot(node: Qcow2Node, facts: SnapshotFacts): Promise<void> {
  return node.alone(async () => {
    const { image } = node;
    if (image.external)
      throw new BlockError('ENOTSUP', 'Internal snapshots are not supported with an external data file');
    const list = await readSnapshots(image);
    if (list.length >= MAX_SNAPSHOTS) throw new BlockError('EFBIG', 'Too many snapshots');
    const id = list.reduce((most, s) => Math.max(most, Number(s.id) || 0), 0) + 1;
    const vmStateBytes = facts.vmStateBytes ?? 0;
    if (vmStateBytes === 0) await dropVmState(image);
    const l1 = image.l1.slice();
    for (let i = 0; i < l1.length; i += 8) l1[i]! &= 0x7f;
    // The machine's state goes to the snapshot, and no count of it changes: at no moment do two tables in the file have it.
    const takeBackState = handOverVmState(image);
    let l1Offset: number;
    try {
      await image.flush();
      await checkCounts(image);
      l1Offset = await image.writeNewTable(l1);
      await image.markDirty();
      await eachReference(image, image.l1, (cluster, clusters) => image.refcounts.add(cluster, clusters, 1));
      await updateCopied(image);
      await image.flush();
    } catch (error) {
      takeBackState();
      throw error;
    }
    const snapshot: Snapshot = {
      id: String(id),
      name: facts.name,
      l1Offset,
      l1Size: l1.length / 8,
      seconds: Math.floor(facts.time),
      nanoseconds: Math.floor((facts.time % 1) * 1e9),
      vmClockNs: facts.vmClockNs ?? 0,
      vmStateBytes,
      diskSize: image.header.size,
      icount: facts.icount === null ? undefined : (facts.icount ?? 0),
      unknown: new Uint8Array(0),
    };
    // When this fails, nobody knows whether the file has the snapshot: its state is leaked rather than given to others.
    await writeTable(image, [...list, snapshot]);
    if (!image.lazyRefcounts) await image.markClean();
  });
}

/** Counts that have no room left are found before anything changes. */
async function checkCounts(image: Image): Promise<void> {
  const { refcounts } = image;
  const limit = maxRefcount(refcounts.order);
  await eachReference(image, image.l1, async (cluster, clusters) => {
    for (let i = 0; i < clusters; i++) {
      const now = refcounts.getNow(cluster + i);
      if ((now ?? (await refcounts.get(cluster + i))) >= limit) {
        throw new BlockError(
          'EFBIG',
          `the reference count of cluster ${cluster + i} cannot grow: the image has ${2 ** refcounts.order} bits for it`,
        );
      }
    }
  });
}

/** Makes the disk what it was. */
export function applySnapshot(node: Qcow2Node, idOrName: string): Promise<void> {
  return node.alone(async () => {
    const { image } = node;
    const list = await readSnapshots(image);
    const snapshot = findSnapshot(list, idOrName);
    if (!snapshot) throw new BlockError('ENOENT', 'No such file or directory');
    if (image.external)
      throw new BlockError('ENOTSUP', 'Internal snapshots are not supported with an external data file');
    if (snapshot.diskSize !== image.header.size && image.header.version < 3) {
      throw new BlockError('ENOTSUP', 'the snapshot was taken with another disk size');
    }
    await image.flush();
    const l1 = await readL1(image, snapshot);
    const entries = Math.max(l1EntriesFor(image.header, snapshot.diskSize), snapshot.l1Size);
    const longer = new Uint8Array(entries * 8);
    // The machine's state stays the snapshot's alone.
    longer.set(l1.subarray(0, 8 * l1EntriesFor(image.header, snapshot.diskSize)));
    const old = image.l1;
    const oldPlace = { offset: image.header.l1Offset, bytes: image.header.l1Size * 8 };
    const offset = await image.writeNewTable(longer);
    await image.markDirty();
    await eachReference(image, longer, (cluster, clusters) => image.refcounts.add(cluster, clusters, 1));
    await image.refcounts.writeBack();
    await image.file.flush();
    await image.changeHeader((h) => {
      h.l1Offset = offset;
      h.l1Size = entries;
      h.size = snapshot.diskSize;
    });
    image.l1 = longer;
    await eachReference(image, old, async (cluster, clusters) => {
      image.refcounts.release(cluster * image.clusterSize, clusters, false);
    });
    if (oldPlace.bytes > 0)
      image.refcounts.release(oldPlace.offset, Math.ceil(oldPlace.bytes / image.clusterSize), false);
    await image.refcounts.settle();
    await updateCopied(image);
    await image.flush();
    if (!image.lazyRefcounts) await finishCounts(image);
  });
}

export function deleteSnapshot(node: Qcow2Node, idOrName: string): Promise<void> {
  return node.alone(async () => {
    const { image } = node;
    const list = await readSnapshots(image);
    const snapshot = findSnapshot(list, idOrName);
    if (!snapshot) throw new BlockError('ENOENT', `Can't find the snapshot`);
    await image.flush();
    const l1 = await readL1(image, snapshot);
    await image.markDirty();
    await writeTable(
      image,
      list.filter((s) => s !== snapshot),
    );
    await eachReference(image, l1, async (cluster, clusters) => {
      image.refcounts.release(cluster * image.clusterSize, clusters, false);
    });
    image.refcounts.release(snapshot.l1Offset, Math.ceil((snapshot.l1Size * 8) / image.clusterSize), false);
    await image.refcounts.settle();
    await updateCopied(image);
    await image.flush();
    if (!image.lazyRefcounts) await finishCounts(image);
  });
}

async function finishCounts(image: Image): Promise<void> {
  await image.refcounts.writeBack();
  await image.file.flush();
  await image.markClean();
}

/** For those who know no qcow2. `open`: the node for an image of a snapshot. */
export function snapshotSupport(node: Qcow2Node, open: (image: Image) => Qcow2Node): SnapshotSupport {
  return {
    list: () => readSnapshots(node.image),
    create: (facts) => createSnapshot(node, facts),
    apply: (idOrName) => applySnapshot(node, idOrName),
    delete: (idOrName) => deleteSnapshot(node, idOrName),
    beginState: (most) => beginVmState(node, most),
    dropState: () => node.alone(() => dropVmState(node.image)),
    openState: async (idOrName) => {
      const view = open(await openSnapshot(node.image, idOrName));
      return { read: (position, into) => readVmState(view, position, into) };
    },
    open: async (idOrName) => {
      const view = open(await openSnapshot(node.image, idOrName));
      view.setBacking(node.backing);
      view.close = async () => {};
      return view;
    },
  };
}

async function readL1(image: Image, snapshot: Snapshot): Promise<Uint8Array> {
  const { clusterSize, file } = image;
  if (snapshot.l1Offset % clusterSize !== 0 || snapshot.l1Offset + snapshot.l1Size * 8 > file.length + clusterSize) {
    throw new BlockError('EIO', 'Snapshot L1 table offset invalid');
  }
  const l1 = new Uint8Array(snapshot.l1Size * 8);
  await file.read(snapshot.l1Offset, l1);
  return l1;
}

/** A read-only image of a snapshot: reads go through its L1 table. */
export async function openSnapshot(image: Image, idOrName: string): Promise<Image> {
  const list = await readSnapshots(image);
  const snapshot = findSnapshot(list, idOrName);
  if (!snapshot) throw new UserError(`Failed to load snapshot: Can't find snapshot`);
  const header = { ...image.header, size: snapshot.diskSize, l1Offset: snapshot.l1Offset, l1Size: snapshot.l1Size };
  await readL1(image, snapshot);
  return Image.open(image.file, image.data, header, image.host, true);
}

async function writeTable(image: Image, list: readonly Snapshot[]): Promise<void> {
  const { header } = image;
  const old = { offset: header.snapshotsOffset, bytes: 0 };
  if (header.snapshotCount > 0) old.bytes = snapshotTableBytes(await readSnapshots(image)).length;
  const bytes = snapshotTableBytes(list);
  const offset = list.length === 0 ? 0 : await image.writeNewTable(bytes);
  await image.changeHeader((h) => {
    h.snapshotCount = list.length;
    h.snapshotsOffset = offset;
  });
  if (old.bytes > 0) image.refcounts.release(old.offset, Math.ceil(old.bytes / image.clusterSize), false);
}
