/**
 * Checking and repairing a qcow2 image: everything in the file that refers to clusters is counted, and compared with the
 * reference counts and the COPIED flags. Each L2 table is looked at once, however often it is referred to, so the work is
 * bounded by the length of the file.
 */
import { getU64be, putU64be, roundUp } from '../big-endian.js';
import { type CheckResult, newCheckResult, type Repair, say } from '../check.js';
import { BlockError } from '../node.js';
import { bitmapReferences } from './bitmaps.js';
import { COMPRESSED, COPIED, compressedExtent, entryOffset, ZERO } from './entries.js';
import { Incompatible, MAX_REFTABLE_BYTES, serializeHeader } from './header.js';
import type { Image } from './image.js';
import type { Qcow2Node } from './node.js';
import { maxRefcount, Refcounts, readRefcount } from './refcounts.js';
import { readSnapshots, snapshotTableBytes } from './snapshots.js';

const CHUNK_BITS = 14;
const CHUNK = 1 << CHUNK_BITS;

/** Counts per cluster; takes memory only where there are some. */
class References {
  readonly #chunks = new Map<number, Uint32Array>();
  /** One more than the last cluster with a count. */
  end = 0;

  get(cluster: number): number {
    return this.#chunks.get(Math.floor(cluster / CHUNK))?.[cluster % CHUNK] ?? 0;
  }

  add(cluster: number, count: number): void {
    const index = Math.floor(cluster / CHUNK);
    let chunk = this.#chunks.get(index);
    if (!chunk) {
      chunk = new Uint32Array(CHUNK);
      this.#chunks.set(index, chunk);
    }
    chunk[cluster % CHUNK]! += count;
    this.end = Math.max(this.end, cluster + 1);
  }

  /** The first cluster at or after `from` that may have a count. */
  next(from: number): number {
    if (this.#chunks.has(Math.floor(from / CHUNK))) return from;
    let best = Number.POSITIVE_INFINITY;
    for (const index of this.#chunks.keys()) if (index * CHUNK >= from) best = Math.min(best, index * CHUNK);
    return best;
  }
}

interface Survey {
  readonly image: Image;
  readonly references: References;
  readonly result: CheckResult;
  /** Clusters that the file has, the last perhaps in part. */
  readonly fileClusters: number;
  /** The refcount structures cannot be repaired in place. */
  rebuild: boolean;
}

/** Checks; with `repair` also mends. Runs alone. */
export async function checkQcow2(node: Qcow2Node, repair: Repair | null): Promise<CheckResult> {
  let result = newCheckResult();
  await node.alone(async () => {
    result = await check(node.image, repair);
  });
  return result;
}

/** For opening an image whose counts are not to be trusted. */
export async function repair(node: Qcow2Node, what: Repair): Promise<void> {
  const result = await check(node.image, what);
  if (result.checkErrors > 0 || result.corruptions > 0) {
    throw new BlockError('EIO', 'qcow2: Could not repair dirty image');
  }
}

async function check(image: Image, repair: Repair | null): Promise<CheckResult> {
  if (!image.readOnly) await image.flush();
  const survey = await look(image);
  const { result } = survey;
  if (!repair) {
    await compare(survey, null);
    await checkCopied(survey, false);
    return result;
  }
  const found = { corruptions: result.corruptions, leaks: result.leaks };
  if (survey.rebuild && repair.errors) await rebuild(survey);
  else await compare(survey, repair);
  if (repair.errors) await checkCopied(survey, true);
  await image.writeBack();
  await image.refcounts.writeBack();
  await image.file.flush();
  // What is still wrong is seen by looking again.
  const again = await look(image);
  await compare(again, null);
  await checkCopied(again, false);
  const fixed = { corruptions: result.corruptions, leaks: result.leaks };
  const left = again.result;
  if (left.corruptions === 0 && left.checkErrors === 0 && repair.errors && image.header.version >= 3) {
    const bits = Incompatible.DIRTY | Incompatible.CORRUPT;
    if (image.header.incompatible & bits) {
      await image.changeHeader((h) => {
        h.incompatible &= ~bits;
      });
    }
    image.corrupt = false;
    await image.markClean();
  }
  return {
    ...left,
    corruptionsFixed: Math.max(0, Math.max(found.corruptions, fixed.corruptions) - left.corruptions),
    leaksFixed: Math.max(0, Math.max(found.leaks, fixed.leaks) - left.leaks),
    messages: result.messages,
  };
}

/** Counts all references. */
async function look(image: Image): Promise<Survey> {
  const { header, file, clusterSize } = image;
  const result = newCheckResult();
  const survey: Survey = {
    image,
    references: new References(),
    result,
    fileClusters: Math.ceil(file.length / clusterSize),
    rebuild: false,
  };
  result.totalClusters = Math.ceil(header.size / clusterSize);
  count(survey, 0, clusterSize);
  count(survey, header.l1Offset, header.l1Size * 8);
  /** How often each L2 table is referred to, and whether the active L1 table does. */
  const tables = new Map<number, number>();
  const active: number[] = [];
  collectL2(survey, image.l1, tables, active);
  if (header.snapshotCount > 0) {
    try {
      const snapshots = await readSnapshots(image);
      count(survey, header.snapshotsOffset, snapshotTableBytes(snapshots).length);
      let total = 0;
      for (const s of snapshots) {
        total += s.l1Size * 8;
        if (s.l1Offset % clusterSize !== 0 || total > file.length) {
          result.corruptions++;
          say(
            result,
            `ERROR snapshot ${s.id} (${s.name}) l1_offset=0x${s.l1Offset.toString(16)}: L1 table is not cluster aligned; snapshot table entry corrupted`,
          );
          continue;
        }
        count(survey, s.l1Offset, s.l1Size * 8);
        const l1 = new Uint8Array(s.l1Size * 8);
        await file.read(s.l1Offset, l1);
        collectL2(survey, l1, tables, null);
      }
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      result.checkErrors++;
      say(result, `ERROR failed to read the snapshot table: ${error.message}`);
    }
  }
  const isActive = new Set(active);
  for (const [offset, times] of tables) await countL2(survey, offset, times, isActive.has(offset));
  if (header.encryption) count(survey, header.encryption.offset, header.encryption.length);
  try {
    for (const [offset, length] of await bitmapReferences(image)) count(survey, offset, length);
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    result.corruptions++;
    say(result, `ERROR: ${error.message}`);
  }
  await countRefcountStructures(survey);
  result.imageEndOffset = survey.references.end * clusterSize;
  return survey;
}

function count(survey: Survey, offset: number, length: number, times = 1): void {
  if (length <= 0) return;
  const { image, result } = survey;
  const first = Math.floor(offset / image.clusterSize);
  const last = Math.floor((offset + length - 1) / image.clusterSize);
  if (
    last >= survey.fileClusters &&
    first * image.clusterSize + image.clusterSize > roundUp(image.file.length, image.clusterSize)
  ) {
    result.corruptions++;
    say(
      result,
      `ERROR: counting reference for region exceeding the end of the file by one cluster or more: offset 0x${offset.toString(16)} size 0x${length.toString(16)}`,
    );
    return;
  }
  for (let c = first; c <= last; c++) survey.references.add(c, times);
}

function collectL2(survey: Survey, l1: Uint8Array, tables: Map<number, number>, active: number[] | null): void {
  const { clusterSize } = survey.image;
  for (let i = 0; i < l1.length; i += 8) {
    const entry = getU64be(l1, i);
    if (entry === 0) continue;
    const offset = entryOffset(
      Math.floor(entry / 2 ** 32),
      (l1[i + 4]! * 2 ** 24 + (l1[i + 5]! << 16) + (l1[i + 6]! << 8) + l1[i + 7]!) | 0,
    );
    if (offset === 0) continue;
    if (offset % clusterSize !== 0) {
      survey.result.corruptions++;
      say(survey.result, `ERROR l2_offset=0x${offset.toString(16)}: Table is not cluster aligned; L1 entry corrupted`);
      continue;
    }
    tables.set(offset, (tables.get(offset) ?? 0) + 1);
    active?.push(offset);
  }
}

async function countL2(survey: Survey, tableOffset: number, times: number, active: boolean): Promise<void> {
  const { image, result } = survey;
  const { clusterSize, entryBytes } = image;
  count(survey, tableOffset, clusterSize, times);
  if (tableOffset >= image.file.length) return;
  const { view } = await image.l2.load(tableOffset);
  let expected = 0;
  for (let at = 0; at < clusterSize; at += entryBytes) {
    const high = view.getUint32(at);
    const low = view.getUint32(at + 4);
    if (high & COMPRESSED) {
      if (high & COPIED) {
        result.corruptions++;
        say(result, `ERROR: coffset=0x${low.toString(16)}: copied flag must never be set for compressed clusters`);
      }
      if (image.external) {
        result.corruptions++;
        say(result, 'ERROR compressed cluster in an image with an external data file');
        continue;
      }
      const { offset, length } = compressedExtent(high, low, image.header.clusterBits);
      count(survey, offset, length, times);
      if (active) {
        result.allocatedClusters++;
        result.compressedClusters++;
        result.fragmentedClusters++;
      }
      continue;
    }
    const offset = entryOffset(high, low);
    if (offset === 0 && !(image.external && high & COPIED)) continue;
    if (low & ZERO && image.extended) {
      result.corruptions++;
      say(result, `ERROR: reserved bit set in an L2 entry of table 0x${tableOffset.toString(16)}`);
    }
    if (offset % clusterSize !== 0) {
      result.corruptions++;
      say(result, `ERROR offset=${offset.toString(16)}: Cluster is not properly aligned; L2 entry corrupted.`);
      continue;
    }
    if (active) {
      result.allocatedClusters++;
      if (expected !== 0 && offset !== expected) result.fragmentedClusters++;
      expected = offset + clusterSize;
    }
    if (!image.external) count(survey, offset, clusterSize, times);
  }
}

async function countRefcountStructures(survey: Survey): Promise<void> {
  const { image, result } = survey;
  const { clusterSize, header } = image;
  count(survey, header.refcountTableOffset, header.refcountTableClusters * clusterSize);
  const blocks = image.refcounts.blockOffsets;
  for (let i = 0; i < blocks.length; i++) {
    const offset = blocks[i]!;
    if (offset === 0) continue;
    if (offset % clusterSize !== 0) {
      result.corruptions++;
      survey.rebuild = true;
      say(result, `ERROR refcount block ${i} is not cluster aligned; refcount table entry corrupted`);
      continue;
    }
    if (offset / clusterSize >= survey.fileClusters) {
      result.corruptions++;
      survey.rebuild = true;
      say(result, `ERROR refcount block ${i} is outside image`);
      continue;
    }
    const cluster = offset / clusterSize;
    survey.references.add(cluster, 1);
    if (survey.references.get(cluster) > 1) {
      result.corruptions++;
      survey.rebuild = true;
      say(result, `ERROR refcount block ${i} refcount=${survey.references.get(cluster)}`);
    }
  }
}

/** Compares counts with references, and makes them equal as far as `repair` says. */
async function compare(survey: Survey, repair: Repair | null): Promise<void> {
  const { image, references, result } = survey;
  const { refcounts } = image;
  const { perBlock } = refcounts;
  const end = Math.max(references.end, survey.fileClusters);
  const seen = new Set<number>();
  for (let c = 0; c < end; ) {
    const index = Math.floor(c / perBlock);
    const blockEnd = (index + 1) * perBlock;
    const offset = refcounts.blockOffsets[index] ?? 0;
    const valid = offset !== 0 && offset % image.clusterSize === 0 && offset < image.file.length;
    if ((!valid && references.next(c) >= blockEnd) || (valid && seen.has(offset))) {
      c = index < refcounts.blockOffsets.length ? blockEnd : Math.max(blockEnd, references.next(c));
      continue;
    }
    seen.add(offset);
    const block = valid ? (await refcounts.cache.load(offset)).bytes.slice() : null;
    for (; c < Math.min(blockEnd, end); c++) {
      const has = block ? readRefcount(block, refcounts.order, c % perBlock) : 0;
      const wants = references.get(c);
      if (has === wants) continue;
      const fix = repair !== null && (has < wants ? repair.errors : repair.leaks);
      say(
        result,
        `${fix ? 'Repairing' : has < wants ? 'ERROR' : 'Leaked'} cluster ${c} refcount=${has} reference=${wants}`,
      );
      if (has < wants) result.corruptions++;
      else result.leaks++;
      if (!fix) continue;
      if (!block) {
        // Without a block for it in place, all is made anew.
        if (repair.errors) await rebuild(survey);
        return;
      }
      await refcounts.set(c, wants);
    }
  }
}

/** Writes all reference counts anew, with another width. */
export async function changeRefcountWidth(image: Image, order: number): Promise<void> {
  await image.finish();
  const survey = await look(image);
  if (survey.result.corruptions > 0 || survey.result.checkErrors > 0) {
    throw new BlockError('EIO', 'the image has errors: check and repair it first');
  }
  for (let c = survey.references.next(0); c < survey.references.end; c = survey.references.next(c + 1)) {
    if (survey.references.get(c) > maxRefcount(order)) {
      throw new BlockError('EINVAL', `cluster ${c} is referred to too often for ${1 << order} bits`);
    }
  }
  // The old structures are left out of the new counts: they are free then.
  await rebuild(survey, order);
}

/** Writes new reference counts behind everything that is used, and lets the header point to them. */
async function rebuild(survey: Survey, order = survey.image.header.refcountOrder): Promise<void> {
  const { image } = survey;
  const { header, file, clusterSize } = image;
  // The old structures do not count.
  const references = survey.references;
  const forget = (offset: number, clusters: number): void => {
    for (let i = 0; i < clusters; i++) {
      const c = Math.floor(offset / clusterSize) + i;
      if (references.get(c) > 0) references.add(c, -1);
    }
  };
  forget(header.refcountTableOffset, header.refcountTableClusters);
  for (const offset of image.refcounts.blockOffsets) {
    if (offset !== 0 && offset % clusterSize === 0 && offset < file.length) forget(offset, 1);
  }
  const perBlock = (clusterSize * 8) / (1 << order);
  const start = Math.max(survey.fileClusters, references.end);
  // A file with little in it may be as long as a file can be: only what is referred to has blocks.
  const indexes = new Set<number>();
  for (let c = references.next(0); c < references.end; ) {
    const index = Math.floor(c / perBlock);
    indexes.add(index);
    c = references.next((index + 1) * perBlock);
  }
  let tableClusters = 1;
  for (;;) {
    const end = start + indexes.size + tableClusters;
    const last = Math.floor((end - 1) / perBlock);
    const table = Math.max(tableClusters, Math.ceil(((last + 1) * 8) / clusterSize));
    if (table * clusterSize > MAX_REFTABLE_BYTES)
      throw new BlockError('EFBIG', 'the image refers to clusters too far behind its end to be repaired');
    for (let i = Math.floor(start / perBlock); i <= last; i++) indexes.add(i);
    if (start + indexes.size + table === end) break;
    tableClusters = table;
  }
  const blocks = indexes.size;
  for (let i = 0; i < blocks + tableClusters; i++) references.add(start + i, 1);
  const fresh = {
    ...header,
    refcountOrder: order,
    refcountTableOffset: (start + blocks) * clusterSize,
    refcountTableClusters: tableClusters,
  };
  const refcounts = Refcounts.fresh(file, fresh);
  const table = new Float64Array((tableClusters * clusterSize) / 8);
  const bytes = new Uint8Array(tableClusters * clusterSize);
  for (const [i, index] of [...indexes].entries()) {
    table[index] = (start + i) * clusterSize;
    refcounts.cache.create(table[index]!);
    putU64be(bytes, 8 * index, table[index]!);
  }
  refcounts.replaceTable(table);
  for (let c = references.next(0); c < references.end; c = references.next(c + 1)) {
    const wants = references.get(c);
    if (wants > 0) await refcounts.set(c, wants);
  }
  await refcounts.cache.writeBack();
  await file.write(fresh.refcountTableOffset, bytes);
  await file.flush();
  await file.write(0, serializeHeader(fresh));
  await file.flush();
  header.refcountTableOffset = fresh.refcountTableOffset;
  header.refcountTableClusters = tableClusters;
  header.refcountOrder = order;
  image.refcounts = await Refcounts.load(file, header);
}

/** COPIED must be set exactly where the count is one, in the tables that are active. */
async function checkCopied(survey: Survey, fix: boolean): Promise<void> {
  const { image, result } = survey;
  const { refcounts, clusterSize, entryBytes } = image;
  const prefix = fix ? 'Repairing' : 'ERROR';
  const refcountAt = async (offset: number): Promise<number> => {
    try {
      return await refcounts.get(offset / clusterSize);
    } catch (error) {
      if (error instanceof BlockError) return -1;
      throw error;
    }
  };
  const seen = new Set<number>();
  for (let i = 0; i * 8 < image.l1.length; i++) {
    const { high, low } = image.l1Entry(i);
    const offset = entryOffset(high, low);
    if (offset === 0 || offset % clusterSize !== 0 || offset >= image.file.length) continue;
    const references = await refcountAt(offset);
    if (references >= 0 && (references === 1) !== ((high & COPIED) !== 0)) {
      result.corruptions++;
      say(result, `${prefix} OFLAG_COPIED L2 cluster: l1_index=${i} l1_entry=${hex(high, low)} refcount=${references}`);
      if (fix) image.setL1(i, (references === 1 ? high | COPIED : high & ~COPIED) >>> 0, low);
    }
    if (seen.has(offset)) continue;
    seen.add(offset);
    const table = await image.l2.load(offset);
    for (let at = 0; at < clusterSize; at += entryBytes) {
      const entryHigh = table.view.getUint32(at);
      const entryLow = table.view.getUint32(at + 4);
      if (entryHigh & COMPRESSED) continue;
      const host = entryOffset(entryHigh, entryLow);
      if (image.external ? (entryHigh & COPIED) === 0 && host === 0 : host === 0) continue;
      if (host % clusterSize !== 0) continue;
      // Clusters of an external data file have no counts, and are always ours.
      const count = image.external ? 1 : await refcountAt(host);
      if (count < 0 || (count === 1) === ((entryHigh & COPIED) !== 0)) continue;
      result.corruptions++;
      say(result, `${prefix} OFLAG_COPIED data cluster: l2_entry=${hex(entryHigh, entryLow)} refcount=${count}`);
      if (!fix) continue;
      table.view.setUint32(at, (count === 1 ? entryHigh | COPIED : entryHigh & ~COPIED) >>> 0);
      image.l2.change(table, at, at + 4);
    }
  }
}

const hex = (high: number, low: number): string => ((BigInt(high) << 32n) | BigInt(low)).toString(16);
