/** Changing the options of an image that is there (`amend -o`). */
import { UserError } from '../../base/errors.js';
import type { AmendContext } from '../format.js';
import { BlockError } from '../node.js';
import { changeRefcountWidth } from './check.js';
import { COMPRESSED, entryOffset, ZERO } from './entries.js';
import { Autoclear, Compatible } from './header.js';
import type { Qcow2Node } from './node.js';
import { resize } from './resize.js';

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
  if (version < 3 && order !== 4) {
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

/** To version 2, which has no zero flags and no feature bits. */
async function downgrade(node: Qcow2Node): Promise<void> {
  const { image } = node;
  const { header } = image;
  if (header.incompatible !== 0) throw new UserError('Cannot downgrade an image with incompatible features set');
  if (header.snapshotCount > 0) throw new UserError('Internal snapshots prevent downgrade of image');
  if (header.bitmaps) throw new BlockError('ENOTSUP', 'Bitmaps prevent downgrade of image');
  if (header.refcountOrder !== 4) throw new UserError('compat=0.10 requires refcount_bits=16');
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
  await image.changeHeader((h) => {
    h.version = 2;
    h.compatible = 0;
    h.autoclear = 0;
  });
}
