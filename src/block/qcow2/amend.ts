/** Changing the options of an image that is there (`amend -o`). */
import { UserError } from '../../base/errors.js';
import { getU32be } from '../big-endian.js';
import type { AmendContext } from '../format.js';
import { BlockError } from '../node.js';
import { changeRefcountWidth } from './check.js';
import { COMPRESSED, entryOffset, ZERO } from './entries.js';
import { Autoclear, Compatible } from './header.js';
import type { Image } from './image.js';
import type { Qcow2Node } from './node.js';
import { resize } from './resize.js';
import { readSnapshots, type Snapshot } from './snapshots.js';

/** Of the options of `create -o`, those that `amend -o` has too. */
export const AMENDABLE: readonly string[] = [
  'size',
  'compat',
  'backing_file',
  'backing_fmt',
  'data_file',
  'data_file_raw',
  'lazy_refcounts',
  'refcount_bits',
];
const ENCRYPT = 'encrypt.';
/** Counts of 16 bits: version 2 has no others. */
const USUAL_ORDER = 4;

/** Throws UserError. */
export async function amendQcow2(
  node: Qcow2Node,
  values: ReadonlyMap<string, string>,
  context: AmendContext,
): Promise<void> {
  const { image } = node;
  const { header } = image;
  const level = values.get('compat');
  const version = level === undefined ? header.version : level === '0.10' || level === 'v2' ? 2 : 3;
  if (level !== undefined && !['0.10', 'v2', '1.1', 'v3'].includes(level)) {
    throw new UserError(`Unknown compatibility level ${level}`);
  }
  const lazy = values.get('lazy_refcounts');
  const bits = values.get('refcount_bits');
  if (version < 3 && lazy === 'on') {
    throw new UserError(
      'Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)',
    );
  }
  const order = bits === undefined ? header.refcountOrder : Math.log2(Number(bits));
  if (!Number.isInteger(order) || order > 6) {
    throw new UserError('Refcount width must be a power of two and may not exceed 64 bits');
  }
  if (version < 3 && order !== USUAL_ORDER && order !== header.refcountOrder) {
    throw new UserError(
      'Refcount widths other than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)',
    );
  }
  for (const [name, now] of [
    ['backing_file', header.backingFile],
    ['backing_fmt', header.backingFormat],
  ] as const) {
    const wanted = values.get(name);
    if (wanted !== undefined && wanted !== now)
      throw new UserError("Cannot amend the backing file\nYou can use 'tinamou-img rebase' instead.");
  }
  const encrypted = [...values.keys()].some((n) => n.startsWith(ENCRYPT));
  if (encrypted && !node.cipher) throw new UserError("Can't amend encryption options - encryption not present");
  const rawData = (header.autoclear & Autoclear.RAW_EXTERNAL_DATA) !== 0;
  if (values.get('data_file_raw') === 'on' && !rawData)
    throw new UserError('data-file-raw cannot be set on existing images');
  return node.alone(async () => {
    await image.flush();
    if (encrypted) await node.cipher!.amend((n) => values.get(ENCRYPT + n), context);
    if (version > header.version) {
      await image.changeHeader((h) => {
        h.version = 3;
      });
    }
    if (order !== header.refcountOrder) await changeRefcountWidth(image, order);
    if (lazy !== undefined) {
      await image.finish();
      await image.changeHeader((h) => {
        h.compatible =
          lazy === 'on' ? h.compatible | Compatible.LAZY_REFCOUNTS : h.compatible & ~Compatible.LAZY_REFCOUNTS;
      });
      image.lazyRefcounts = lazy === 'on';
    }
    const dataFile = values.get('data_file');
    if (dataFile !== undefined) {
      if (!image.external) throw new UserError('data-file can only be set for images that use an external data file');
      await image.changeHeader((h) => {
        h.dataFile = dataFile;
      });
    }
    if (values.get('data_file_raw') === 'off' && rawData) {
      await image.changeHeader((h) => {
        h.autoclear &= ~Autoclear.RAW_EXTERNAL_DATA;
      });
    }
    const size = values.get('size');
    if (size !== undefined) await resize(node, Number(size), 'off');
    if (version < header.version) await downgrade(node);
  });
}

/** Snapshots of version 2 are as long as the disk, and have no zero flags: theirs are not expanded. */
async function checkSnapshots(image: Image): Promise<void> {
  for (const s of await readSnapshots(image)) {
    if (s.diskSize !== image.header.size || s.vmStateBytes >= 2 ** 32 || (await hasZeroFlags(image, s)))
      throw new UserError('Internal snapshots prevent downgrade of image');
  }
}

async function hasZeroFlags(image: Image, s: Snapshot): Promise<boolean> {
  const l1 = new Uint8Array(s.l1Size * 8);
  await image.file.read(s.l1Offset, l1);
  const table = new Uint8Array(image.clusterSize);
  const view = new DataView(table.buffer);
  // A broken L1 table may name the same table very often.
  const seen = new Set<number>();
  for (let i = 0; i < l1.length; i += 8) {
    const l2 = entryOffset(getU32be(l1, i), getU32be(l1, i + 4));
    if (l2 === 0 || l2 >= image.file.length || seen.has(l2)) continue;
    seen.add(l2);
    await image.file.read(l2, table);
    for (let at = 0; at < table.length; at += 8)
      if (!(view.getUint32(at) & COMPRESSED) && view.getUint32(at + 4) & ZERO) return true;
  }
  return false;
}

/** To version 2, which has no zero flags and no feature bits. */
async function downgrade(node: Qcow2Node): Promise<void> {
  const { image } = node;
  const { header } = image;
  if (image.external) throw new UserError('Cannot downgrade an image with a data file');
  if (header.incompatible !== 0) {
    const features = header.incompatible.toString(16);
    throw new UserError(`Cannot downgrade an image with incompatible features 0x${features} set`);
  }
  if (header.refcountOrder !== USUAL_ORDER) throw new UserError('compat=0.10 requires refcount_bits=16');
  if (header.bitmaps) throw new BlockError('ENOTSUP', 'Bitmaps prevent downgrade of image');
  await checkSnapshots(image);
  const zeroes = new Uint8Array(image.clusterSize);
  for (let i = 0; i * 8 < image.l1.length; i++) {
    const table = await image.loadL2(i);
    if (!table) continue;
    for (let at = 0; at < image.clusterSize; at += 8) {
      const high = table.view.getUint32(at);
      const low = table.view.getUint32(at + 4);
      if (high & COMPRESSED || !(low & ZERO)) continue;
      const guest = i * image.l2Span + (at / 8) * image.clusterSize;
      if (guest >= header.size) continue;
      if (node.backing || entryOffset(high, low) !== 0) {
        await node.writeAlone(guest, zeroes.subarray(0, Math.min(zeroes.length, header.size - guest)));
      } else await node.forgetAlone(guest, image.clusterSize);
    }
  }
  await image.finish();
  image.lazyRefcounts = false;
  await image.changeHeader((h) => {
    h.version = 2;
    h.compatible = 0;
    h.autoclear = 0;
  });
}
