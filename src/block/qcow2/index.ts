/** The format qcow2: opening. */
import { UserError } from '../../base/errors.js';
import { getU32be } from '../big-endian.js';
import type { Format, OpenContext } from '../format.js';
import type { BlockNode } from '../node.js';
import { loadBitmaps, markInUse } from './bitmaps.js';
import { repair } from './check.js';
import { compressorFor } from './compression.js';
import { Autoclear, CRYPT_NONE, Incompatible, MAGIC, parseHeader } from './header.js';
import { Image } from './image.js';
import { Qcow2Node } from './node.js';

const MAX_CLUSTER = 2 << 20;

export const QCOW2: Format = {
  name: 'qcow2',
  probe: (head) => (getU32be(head, 0) === MAGIC && getU32be(head, 4) >= 2 ? 100 : 0),
  open: openQcow2,
};

async function openQcow2(file: BlockNode, context: OpenContext): Promise<Qcow2Node> {
  const head = new Uint8Array(Math.min(MAX_CLUSTER, file.length));
  await file.read(0, head);
  const header = parseHeader(head, file.length);
  const readOnly = context.readOnly;
  if (header.incompatible & Incompatible.CORRUPT && !readOnly && !context.forCheck) {
    throw new UserError(`qcow2: Image is corrupt; cannot be opened read/write`);
  }
  if (header.cryptMethod !== CRYPT_NONE)
    throw new UserError(`'${context.filename}': encrypted images are not supported yet`);
  let data = file;
  if (header.incompatible & Incompatible.EXTERNAL_DATA) {
    const name = context.option('data-file') ?? header.dataFile;
    if (name === '') throw new UserError("'data-file' is required for this image");
    data = await context.openFile(name, false);
  }
  try {
    const image = await Image.open(file, data, header, context.host, readOnly);
    const lazy = context.option('lazy-refcounts');
    if (lazy !== undefined) header.compatible = lazy === 'on' ? 1 : 0;
    const node = new Qcow2Node(image, compressorFor(header.compression, context.host.codecs), null);
    if (!readOnly && !context.forCheck) await makeWritable(node);
    return node;
  } catch (error) {
    if (data !== file) await data.close();
    throw error;
  }
}

/** Loads the bitmaps; while writes are recorded in memory only, the file says that its own are out of date. */
async function prepareBitmaps(node: Qcow2Node): Promise<void> {
  const { image } = node;
  if (!image.header.bitmaps) return;
  node.bitmaps = await loadBitmaps(image);
  if (node.bitmaps.some((b) => b.enabled)) {
    await markInUse(image);
    node.bitmapsChanged = true;
  }
}

/** Repairs what a stop left with lazy reference counts; clears the autoclear bits of features we do not know. */
async function makeWritable(node: Qcow2Node): Promise<void> {
  const { image } = node;
  const { header } = image;
  if (header.incompatible & Incompatible.DIRTY) await repair(node, { leaks: true, errors: true });
  const known = header.autoclear & (Autoclear.BITMAPS | Autoclear.RAW_EXTERNAL_DATA);
  if (header.autoclear !== known) {
    await image.changeHeader((h) => {
      h.autoclear = known;
    });
  }
  await prepareBitmaps(node);
}
