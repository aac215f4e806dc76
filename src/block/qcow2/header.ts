/**
 * The header of a qcow2 image (QEMU's docs/interop/qcow2.txt, "Header" and "Header extensions"): parsed into a record,
 * checked against what the format allows, and written back into the first cluster.
 */
import { getU32be, getU64be, putU32be, putU64be, roundUp } from '../big-endian.js';
import { BlockError } from '../node.js';

export const MAGIC = 0x514649fb;

export const Incompatible = {
  DIRTY: 1,
  CORRUPT: 2,
  EXTERNAL_DATA: 4,
  COMPRESSION_TYPE: 8,
  EXTENDED_L2: 16,
} as const;
export const Compatible = { LAZY_REFCOUNTS: 1 } as const;
export const Autoclear = { BITMAPS: 1, RAW_EXTERNAL_DATA: 2 } as const;

const Extension = {
  END: 0,
  BACKING_FORMAT: 0xe2792aca,
  FEATURE_NAMES: 0x6803f857,
  BITMAPS: 0x23852875,
  ENCRYPTION: 0x0537be77,
  DATA_FILE: 0x44415441,
} as const;

export const CRYPT_NONE = 0;
export const CRYPT_AES = 1;
export const CRYPT_LUKS = 2;
export const COMPRESSION_TYPES = ['zlib', 'zstd'] as const;
export type CompressionType = (typeof COMPRESSION_TYPES)[number];

export const MIN_CLUSTER_BITS = 9;
export const MAX_CLUSTER_BITS = 21;
/** Extended L2 entries need subclusters of at least a sector. */
const MIN_EXTENDED_CLUSTER_BITS = 14;
export const MAX_L1_BYTES = 32 << 20;
export const MAX_REFTABLE_BYTES = 8 << 20;
export const MAX_SNAPSHOTS = 65536;
const MAX_BACKING_NAME = 1023;
export const MAX_BITMAPS = 65535;
export const MAX_BITMAP_DIRECTORY_BYTES = MAX_BITMAPS * 1024;
const V2_BYTES = 72;
const V3_BYTES = 104;
/** With the compression type and padding. */
const WRITTEN_V3_BYTES = 112;

const FEATURES: readonly (readonly [type: number, bit: number, name: string])[] = [
  [0, 0, 'dirty bit'],
  [0, 1, 'corrupt bit'],
  [0, 2, 'external data file'],
  [0, 3, 'compression type'],
  [0, 4, 'extended L2 entries'],
  [1, 0, 'lazy refcounts'],
  [2, 0, 'bitmaps'],
  [2, 1, 'raw external data'],
];

export interface BitmapExtension {
  count: number;
  directoryBytes: number;
  directoryOffset: number;
}

export interface Header {
  version: number;
  clusterBits: number;
  /** Bytes of the guest's disk. */
  size: number;
  cryptMethod: number;
  l1Size: number;
  l1Offset: number;
  refcountTableOffset: number;
  refcountTableClusters: number;
  snapshotCount: number;
  snapshotsOffset: number;
  /** Feature bits; those above 2^32 are unknown to everybody. */
  incompatible: number;
  compatible: number;
  autoclear: number;
  refcountOrder: number;
  compression: CompressionType;
  backingFile: string;
  backingFormat: string;
  dataFile: string;
  bitmaps: BitmapExtension | null;
  encryption: { offset: number; length: number } | null;
  /** Extensions that we do not know: kept as they are. */
  unknown: { type: number; data: Uint8Array }[];
}

const utf8 = new TextDecoder();
const encoder = new TextEncoder();

function bad(message: string): never {
  throw new BlockError('EINVAL', message);
}

/** `bytes`: the first cluster, or as much as there is. `encrypted`: the extension of LUKS is looked for. */
export function parseHeader(bytes: Uint8Array, fileLength: number): Header {
  if (bytes.length < V2_BYTES || getU32be(bytes, 0) !== MAGIC) bad('Image is not in qcow2 format');
  const version = getU32be(bytes, 4);
  if (version !== 2 && version !== 3) throw new BlockError('ENOTSUP', `Unsupported qcow2 version ${version}`);
  const clusterBits = getU32be(bytes, 20);
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS)
    bad(`Unsupported cluster size: 2^${clusterBits}`);
  const clusterSize = 2 ** clusterBits;
  const v3 = version >= 3;
  const headerLength = v3 ? getU32be(bytes, 100) : V2_BYTES;
  if (v3 && headerLength < V3_BYTES) bad('qcow2 header too short');
  if (headerLength > clusterSize) bad('qcow2 header exceeds cluster size');
  const header: Header = {
    version,
    clusterBits,
    size: getU64be(bytes, 24),
    cryptMethod: getU32be(bytes, 32),
    l1Size: getU32be(bytes, 36),
    l1Offset: getU64be(bytes, 40),
    refcountTableOffset: getU64be(bytes, 48),
    refcountTableClusters: getU32be(bytes, 56),
    snapshotCount: getU32be(bytes, 60),
    snapshotsOffset: getU64be(bytes, 64),
    incompatible: v3 ? getU64be(bytes, 72) : 0,
    compatible: v3 ? getU64be(bytes, 80) : 0,
    autoclear: v3 ? getU64be(bytes, 88) : 0,
    refcountOrder: v3 ? getU32be(bytes, 96) : 4,
    compression: 'zlib',
    backingFile: '',
    backingFormat: '',
    dataFile: '',
    bitmaps: null,
    encryption: null,
    unknown: [],
  };
  const known = Object.values(Incompatible).reduce((a, b) => a | b, 0);
  const names = parseExtensions(header, bytes, headerLength, clusterSize);
  if (header.incompatible > known) {
    const missing: string[] = [];
    for (let bit = 0; bit < 53; bit++) {
      if (bit < 32 && known & (1 << bit)) continue;
      if (Math.floor(header.incompatible / 2 ** bit) % 2 === 1) {
        missing.push(names.get(bit) ?? `Unknown incompatible feature: ${(2 ** bit).toString(16)}`);
      }
    }
    throw new BlockError('ENOTSUP', `Unsupported qcow2 feature(s): ${missing.join(', ')}`);
  }
  const compressionType = v3 && headerLength > V3_BYTES ? bytes[104]! : 0;
  const marked = (header.incompatible & Incompatible.COMPRESSION_TYPE) !== 0;
  if (marked !== (compressionType !== 0)) {
    bad(
      marked
        ? 'qcow2: Compression type incompatible feature bit must not be set'
        : 'qcow2: Compression type incompatible feature bit must be set',
    );
  }
  const compression = COMPRESSION_TYPES[compressionType];
  if (!compression) throw new BlockError('ENOTSUP', `qcow2: unknown compression type: ${compressionType}`);
  header.compression = compression;
  validate(header, fileLength);
  const nameOffset = getU64be(bytes, 8);
  const nameLength = getU32be(bytes, 16);
  if (nameOffset !== 0) {
    if (nameLength > Math.min(MAX_BACKING_NAME, clusterSize - nameOffset) || nameOffset + nameLength > bytes.length) {
      bad('Backing file name too long');
    }
    header.backingFile = utf8.decode(bytes.subarray(nameOffset, nameOffset + nameLength));
  }
  return header;
}

function validate(h: Header, fileLength: number): void {
  const clusterSize = 2 ** h.clusterBits;
  const extended = (h.incompatible & Incompatible.EXTENDED_L2) !== 0;
  if (extended && h.clusterBits < MIN_EXTENDED_CLUSTER_BITS) {
    bad(
      `Extended L2 entries are only supported with cluster sizes of at least ${2 ** MIN_EXTENDED_CLUSTER_BITS} bytes`,
    );
  }
  if (h.refcountOrder > 6) bad('Reference count entry width too large; may not exceed 64 bits');
  if (h.cryptMethod > CRYPT_LUKS) bad(`Unsupported encryption method ${h.cryptMethod}`);
  if (h.size > 2 ** 53 - clusterSize) bad('Image is too big');
  const table = (name: string, offset: number, bytes: number, most: number): void => {
    if (bytes > most) throw new BlockError('EFBIG', `${name} too large`);
    if (bytes > 0 && (offset % clusterSize !== 0 || offset + bytes > 2 ** 53)) bad(`${name} offset invalid`);
  };
  if (h.refcountTableClusters === 0) bad('Image does not contain a reference count table');
  table('Reference count table', h.refcountTableOffset, h.refcountTableClusters * clusterSize, MAX_REFTABLE_BYTES);
  if (h.snapshotCount > MAX_SNAPSHOTS) throw new BlockError('EFBIG', 'Snapshot table too large');
  table('Snapshot table', h.snapshotsOffset, h.snapshotCount * 40, MAX_SNAPSHOTS * 2048);
  table('Active L1 table', h.l1Offset, h.l1Size * 8, MAX_L1_BYTES);
  if (h.l1Size < l1EntriesFor(h, h.size)) bad('L1 table is too small');
  // What lies beyond the end cannot have been written: no table of such an image is read into memory.
  if (h.l1Size > 0 && h.l1Offset >= fileLength) bad('Active L1 table offset invalid');
}

/** L1 entries that a disk of this length needs. */
export function l1EntriesFor(h: Pick<Header, 'clusterBits' | 'incompatible'>, size: number): number {
  return Math.ceil(size / bytesPerL2(h));
}

/** How much of the disk one L2 table maps. */
export function bytesPerL2(h: Pick<Header, 'clusterBits' | 'incompatible'>): number {
  const entryBits = h.incompatible & Incompatible.EXTENDED_L2 ? 4 : 3;
  return 2 ** (2 * h.clusterBits - entryBits);
}

/** Gives the names of incompatible features, by bit, as the image has them. */
function parseExtensions(h: Header, bytes: Uint8Array, start: number, clusterSize: number): Map<number, string> {
  const names = new Map<number, string>();
  // The name of the backing file ends the room for extensions.
  const backing = getU64be(bytes, 8);
  const end = Math.min(bytes.length, clusterSize, backing === 0 ? clusterSize : backing);
  for (let at = start; at + 8 <= end; ) {
    const type = getU32be(bytes, at);
    const length = getU32be(bytes, at + 4);
    at += 8;
    if (type === Extension.END) break;
    if (length > end - at) bad('Header extension too large');
    const data = bytes.subarray(at, at + length);
    switch (type) {
      case Extension.BACKING_FORMAT:
        h.backingFormat = utf8.decode(data);
        break;
      case Extension.FEATURE_NAMES:
        for (let i = 0; i + 48 <= length; i += 48) {
          if (data[i] === 0) names.set(data[i + 1]!, utf8.decode(data.subarray(i + 2, i + 48)).replace(/\0.*$/s, ''));
        }
        break;
      case Extension.BITMAPS:
        if (length !== 24) bad('bitmaps_ext: Invalid extension length');
        // Another program wrote without knowing of bitmaps: they are worthless.
        if (!(h.autoclear & Autoclear.BITMAPS)) break;
        h.bitmaps = parseBitmapExtension(data, clusterSize);
        break;
      case Extension.ENCRYPTION:
        if (length !== 16) bad('CRYPTO header extension size must be 16');
        h.encryption = { offset: getU64be(data, 0), length: getU64be(data, 8) };
        if (h.encryption.offset % clusterSize !== 0) bad('Encryption header offset is not a multiple of cluster size');
        break;
      case Extension.DATA_FILE:
        h.dataFile = utf8.decode(data);
        break;
      default:
        h.unknown.push({ type, data: data.slice() });
    }
    at += roundUp(length, 8);
  }
  return names;
}

function parseBitmapExtension(data: Uint8Array, clusterSize: number): BitmapExtension {
  const e = { count: getU32be(data, 0), directoryBytes: getU64be(data, 8), directoryOffset: getU64be(data, 16) };
  if (getU32be(data, 4) !== 0) bad('bitmaps_ext: Reserved field is not zero');
  if (e.count > MAX_BITMAPS)
    bad(`bitmaps_ext: image has ${e.count} bitmaps, exceeding the QEMU supported maximum of ${MAX_BITMAPS}`);
  if (e.count === 0) bad('bitmaps_ext: found bitmaps extension with zero bitmaps');
  if (e.directoryOffset % clusterSize !== 0) bad('bitmaps_ext: invalid bitmap directory offset');
  if (e.directoryBytes > MAX_BITMAP_DIRECTORY_BYTES) bad('bitmaps_ext: bitmap directory size exceeds the maximum');
  return e;
}

/** The header with its extensions and the name of the backing file; fails with ENOSPC when a cluster cannot hold them. */
export function serializeHeader(h: Header): Uint8Array {
  const clusterSize = 2 ** h.clusterBits;
  const v3 = h.version >= 3;
  const parts: { type: number; data: Uint8Array }[] = [];
  if (h.backingFormat !== '') parts.push({ type: Extension.BACKING_FORMAT, data: encoder.encode(h.backingFormat) });
  if (h.incompatible & Incompatible.EXTERNAL_DATA && h.dataFile !== '') {
    parts.push({ type: Extension.DATA_FILE, data: encoder.encode(h.dataFile) });
  }
  if (h.encryption) {
    const data = new Uint8Array(16);
    putU64be(data, 0, h.encryption.offset);
    putU64be(data, 8, h.encryption.length);
    parts.push({ type: Extension.ENCRYPTION, data });
  }
  if (v3) parts.push({ type: Extension.FEATURE_NAMES, data: featureNames() });
  if (h.bitmaps) {
    const data = new Uint8Array(24);
    putU32be(data, 0, h.bitmaps.count);
    putU64be(data, 8, h.bitmaps.directoryBytes);
    putU64be(data, 16, h.bitmaps.directoryOffset);
    parts.push({ type: Extension.BITMAPS, data });
  }
  parts.push(...h.unknown);
  const backing = encoder.encode(h.backingFile);
  const headerLength = v3 ? WRITTEN_V3_BYTES : V2_BYTES;
  const length = parts.reduce((sum, p) => sum + 8 + roundUp(p.data.length, 8), headerLength) + 8 + backing.length;
  // The feature names are a courtesy: they give way when the cluster is small.
  if (length > clusterSize && v3) {
    const names = parts.findIndex((p) => p.type === Extension.FEATURE_NAMES);
    if (names >= 0) return serializeParts(h, parts.toSpliced(names, 1), backing, headerLength, clusterSize);
  }
  return serializeParts(h, parts, backing, headerLength, clusterSize);
}

function serializeParts(
  h: Header,
  parts: readonly { type: number; data: Uint8Array }[],
  backing: Uint8Array,
  headerLength: number,
  clusterSize: number,
): Uint8Array {
  const length = parts.reduce((sum, p) => sum + 8 + roundUp(p.data.length, 8), headerLength) + 8 + backing.length;
  if (length > clusterSize) throw new BlockError('ENOSPC', 'the header of the image does not fit into a cluster');
  const bytes = new Uint8Array(clusterSize);
  putU32be(bytes, 0, MAGIC);
  putU32be(bytes, 4, h.version);
  putU32be(bytes, 20, h.clusterBits);
  putU64be(bytes, 24, h.size);
  putU32be(bytes, 32, h.cryptMethod);
  putU32be(bytes, 36, h.l1Size);
  putU64be(bytes, 40, h.l1Offset);
  putU64be(bytes, 48, h.refcountTableOffset);
  putU32be(bytes, 56, h.refcountTableClusters);
  putU32be(bytes, 60, h.snapshotCount);
  putU64be(bytes, 64, h.snapshotsOffset);
  if (headerLength > V2_BYTES) {
    putU64be(bytes, 72, h.incompatible);
    putU64be(bytes, 80, h.compatible);
    putU64be(bytes, 88, h.autoclear);
    putU32be(bytes, 96, h.refcountOrder);
    putU32be(bytes, 100, headerLength);
    bytes[104] = COMPRESSION_TYPES.indexOf(h.compression);
  }
  let at = headerLength;
  for (const { type, data } of parts) {
    putU32be(bytes, at, type);
    putU32be(bytes, at + 4, data.length);
    bytes.set(data, at + 8);
    at += 8 + roundUp(data.length, 8);
  }
  at += 8;
  if (backing.length > 0) {
    putU64be(bytes, 8, at);
    putU32be(bytes, 16, backing.length);
    bytes.set(backing, at);
  }
  return bytes;
}

function featureNames(): Uint8Array {
  const data = new Uint8Array(48 * FEATURES.length);
  FEATURES.forEach(([type, bit, name], i) => {
    data[48 * i] = type;
    data[48 * i + 1] = bit;
    data.set(encoder.encode(name), 48 * i + 2);
  });
  return data;
}
