/** The format qcow2: opening. */
import { UserError } from '../../base/errors.js';
import { getU32be } from '../big-endian.js';
import type { CreateContext, CreateOption, Format, OpenContext } from '../format.js';
import { KEY_SLOT_OPTIONS } from '../luks/key-slots.js';
import { type BlockNode, PREALLOCATIONS } from '../node.js';
import { AMENDABLE } from './amend.js';
import { loadBitmaps, markInUse } from './bitmaps.js';
import { repair } from './check.js';
import { compressorFor } from './compression.js';
import { createQcow2, type Qcow2CreateOptions } from './create.js';
import { newEncryption, openCipher } from './encryption.js';
import { Autoclear, COMPRESSION_TYPES, Incompatible, MAGIC, parseHeader } from './header.js';
import { Image } from './image.js';
import { Qcow2Node } from './node.js';

const MAX_CLUSTER = 2 << 20;
/** Subclusters have a sector at least. */
const MIN_EXTENDED_CLUSTER = 32 * 512;

const CREATE_OPTIONS: readonly CreateOption[] = [
  {
    name: 'encryption',
    type: 'bool',
    help: "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)",
  },
  { name: 'encrypt.format', type: 'str', help: "Encrypt the image, format choices: 'aes', 'luks'" },
  { name: 'encrypt.key-secret', type: 'str', help: 'ID of secret providing qcow AES key or LUKS passphrase' },
  { name: 'encrypt.cipher-alg', type: 'str', help: 'Name of encryption cipher algorithm' },
  { name: 'encrypt.cipher-mode', type: 'str', help: 'Name of encryption cipher mode' },
  { name: 'encrypt.ivgen-alg', type: 'str', help: 'Name of IV generator algorithm' },
  { name: 'encrypt.ivgen-hash-alg', type: 'str', help: 'Name of IV generator hash algorithm' },
  { name: 'encrypt.hash-alg', type: 'str', help: 'Name of encryption hash algorithm' },
  { name: 'encrypt.iter-time', type: 'num', help: 'Time to spend in PBKDF in milliseconds' },
  { name: 'cluster_size', type: 'size', help: 'qcow2 cluster size', initial: '65536' },
  { name: 'extended_l2', type: 'bool', help: 'Extended L2 tables', initial: 'off' },
  { name: 'preallocation', type: 'str', help: 'Preallocation mode (allowed values: off, metadata, falloc, full)' },
  {
    name: 'compression_type',
    type: 'str',
    help: 'Compression method used for image cluster compression',
    initial: 'zlib',
  },
  { name: 'size', type: 'size', help: 'Virtual disk size' },
  { name: 'compat', type: 'str', help: 'Compatibility level (v2 [0.10] or v3 [1.1])' },
  { name: 'backing_file', type: 'str', help: 'File name of a base image' },
  { name: 'backing_fmt', type: 'str', help: 'Image format of the base image' },
  { name: 'data_file', type: 'str', help: 'File name of an external data file' },
  { name: 'data_file_raw', type: 'bool', help: 'The external data file must stay valid as a raw image' },
  { name: 'lazy_refcounts', type: 'bool', help: 'Postpone refcount updates', initial: 'off' },
  { name: 'refcount_bits', type: 'num', help: 'Width of a reference count entry in bits', initial: '16' },
];

export const QCOW2: Format = {
  name: 'qcow2',
  probe: (head) => (getU32be(head, 0) === MAGIC && getU32be(head, 4) >= 2 ? 100 : 0),
  open: openQcow2,
  createOptions: CREATE_OPTIONS,
  create: (context) => createFromOptions(context),
  amendOptions: [
    ...CREATE_OPTIONS.filter((o) => AMENDABLE.includes(o.name)),
    ...KEY_SLOT_OPTIONS.map((o) => ({ ...o, name: `encrypt.${o.name}` })),
  ],
};

/** The options of `create -o` as the writer of images wants them. Throws UserError. */
export function qcow2Options(c: Pick<CreateContext, 'size' | 'text' | 'flag' | 'number'>): Qcow2CreateOptions {
  const oneOf = <T extends string>(name: string, values: readonly T[]): T | undefined => {
    const text = c.text(name);
    if (text === undefined || values.includes(text as T)) return text as T | undefined;
    throw new UserError(`Parameter '${name.replace('_', '-')}' does not accept value '${text}'`);
  };
  const compat = { '0.10': '0.10', v2: '0.10', '1.1': '1.1', v3: '1.1' } as const;
  const level = c.text('compat') ?? '1.1';
  if (!(level in compat)) throw new UserError(`Parameter 'version' does not accept value '${level}'`);
  const v3 = compat[level as keyof typeof compat] === '1.1';
  const refcountBits = c.number('refcount_bits');
  const lazyRefcounts = c.flag('lazy_refcounts') ?? false;
  const extendedL2 = c.flag('extended_l2') ?? false;
  const dataFile = c.text('data_file');
  const dataFileRaw = c.flag('data_file_raw') ?? false;
  const compression = oneOf('compression_type', COMPRESSION_TYPES);
  const preallocation = oneOf('preallocation', PREALLOCATIONS);
  const clusterSize = c.number('cluster_size');
  const old = 'compatibility level 1.1 and above (use version=v3 or greater)';
  if (!v3 && lazyRefcounts) throw new UserError(`Lazy refcounts only supported with ${old}`);
  if (!v3 && refcountBits !== undefined && refcountBits !== 16) {
    throw new UserError(
      'Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or greater)',
    );
  }
  if (extendedL2 && clusterSize !== undefined && clusterSize < MIN_EXTENDED_CLUSTER)
    throw new UserError(
      `Extended L2 entries are only supported with cluster sizes of at least ${MIN_EXTENDED_CLUSTER} bytes`,
    );
  if (!v3 && extendedL2) throw new UserError(`Extended L2 entries are only supported with ${old}`);
  if (!v3 && dataFile !== undefined) throw new UserError(`External data files are only supported with ${old}`);
  if (!v3 && compression === 'zstd') throw new UserError(`Non-zlib compression type is only supported with ${old}`);
  if (dataFileRaw && dataFile === undefined) throw new UserError('data-file-raw requires data-file');
  const backingFile = c.text('backing_file');
  if (dataFileRaw && backingFile) throw new UserError('Backing file and data-file-raw cannot be used at the same time');
  if (backingFile && preallocation !== undefined && preallocation !== 'off' && !extendedL2) {
    throw new UserError('Backing file and preallocation can only be used at the same time if extended_l2 is on');
  }
  const backingFormat = c.text('backing_fmt');
  return {
    size: c.size,
    compat: v3 ? '1.1' : '0.10',
    lazyRefcounts,
    extendedL2,
    dataFileRaw,
    ...(clusterSize !== undefined && { clusterSize }),
    ...(refcountBits !== undefined && { refcountBits }),
    ...(compression && { compression }),
    ...(preallocation && { preallocation }),
    ...(dataFile !== undefined && { dataFile }),
    ...(backingFile && { backingFile }),
    ...(backingFile && backingFormat && { backingFormat }),
  };
}

async function createFromOptions(c: CreateContext): Promise<void> {
  const options = qcow2Options(c);
  const encryption = newEncryption(c);
  const data = options.dataFile === undefined ? null : c.createFile(options.dataFile, false);
  try {
    await createQcow2(c.file, data, c.host, { ...options, ...(encryption && { encryption }) });
  } finally {
    await data?.close();
  }
}

async function openQcow2(file: BlockNode, context: OpenContext): Promise<Qcow2Node> {
  const head = new Uint8Array(Math.min(MAX_CLUSTER, file.length));
  await file.read(0, head);
  const header = parseHeader(head, file.length);
  const readOnly = context.readOnly;
  if (header.incompatible & Incompatible.CORRUPT && !readOnly && !context.forCheck) {
    throw new UserError(`qcow2: Image is corrupt; cannot be opened read/write`);
  }
  let data = file;
  if (header.incompatible & Incompatible.EXTERNAL_DATA) {
    const name = context.option('data-file') ?? header.dataFile;
    if (name === '') throw new UserError("'data-file' is required for this image");
    data = await context.openFile(name, false);
  }
  try {
    const image = await Image.open(file, data, header, context.host, readOnly);
    const lazy = context.option('lazy-refcounts');
    if (lazy === 'on' && header.version < 3)
      throw new UserError('Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level');
    if (lazy !== undefined) image.lazyRefcounts = lazy === 'on';
    const node = new Qcow2Node(
      image,
      await compressorFor(header.compression, context.host.codecs),
      await openCipher(file, header, context),
    );
    node.passDiscards = context.option('pass-discard-request') !== 'off';
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
