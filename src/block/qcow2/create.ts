/** Making a new qcow2 image, as `create -o` describes it. */
import { putU64be, roundUp } from '../big-endian.js';
import type { BlockHost } from '../format.js';
import { BlockError, type BlockNode, type Preallocation } from '../node.js';
import type { NewEncryption } from './encryption.js';
import {
  Autoclear,
  Compatible,
  type CompressionType,
  CRYPT_NONE,
  type Header,
  Incompatible,
  l1EntriesFor,
  MAX_CLUSTER_BITS,
  MAX_L1_BYTES,
  MIN_CLUSTER_BITS,
  serializeHeader,
} from './header.js';
import { Image } from './image.js';
import { maxRefcount, writeRefcount } from './refcounts.js';
import { preallocate } from './resize.js';

export interface Qcow2CreateOptions {
  readonly size: number;
  readonly compat?: '0.10' | '1.1';
  readonly clusterSize?: number;
  readonly refcountBits?: number;
  readonly lazyRefcounts?: boolean;
  readonly extendedL2?: boolean;
  readonly compression?: CompressionType;
  readonly preallocation?: Preallocation;
  readonly backingFile?: string;
  readonly backingFormat?: string;
  readonly dataFile?: string;
  readonly dataFileRaw?: boolean;
  readonly encryption?: NewEncryption;
}

/** Writes an image into an empty file; an external data file must be there already, and is given its length. */
export async function createQcow2(
  file: BlockNode,
  data: BlockNode | null,
  host: BlockHost,
  o: Qcow2CreateOptions,
): Promise<void> {
  const v3 = o.compat !== '0.10';
  const clusterSize = o.clusterSize ?? 65536;
  const clusterBits = Math.log2(clusterSize);
  if (!Number.isInteger(clusterBits) || clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) {
    throw new BlockError(
      'EINVAL',
      `Cluster size must be a power of two between ${2 ** MIN_CLUSTER_BITS} and ${2 ** (MAX_CLUSTER_BITS - 10)}k`,
    );
  }
  const refcountBits = o.refcountBits ?? 16;
  const refcountOrder = Math.log2(refcountBits);
  if (!Number.isInteger(refcountOrder) || refcountOrder > 6) {
    throw new BlockError('EINVAL', 'Refcount width must be a power of two and may not exceed 64 bits');
  }
  const header: Header = {
    version: v3 ? 3 : 2,
    clusterBits,
    size: roundUp(o.size, 512),
    cryptMethod: o.encryption?.method ?? CRYPT_NONE,
    l1Size: 0,
    l1Offset: 0,
    refcountTableOffset: clusterSize,
    refcountTableClusters: 1,
    snapshotCount: 0,
    snapshotsOffset: 0,
    incompatible:
      (o.extendedL2 ? Incompatible.EXTENDED_L2 : 0) |
      (data ? Incompatible.EXTERNAL_DATA : 0) |
      (o.compression === 'zstd' ? Incompatible.COMPRESSION_TYPE : 0),
    compatible: o.lazyRefcounts ? Compatible.LAZY_REFCOUNTS : 0,
    autoclear: o.dataFileRaw ? Autoclear.RAW_EXTERNAL_DATA : 0,
    refcountOrder,
    compression: o.compression ?? 'zlib',
    backingFile: o.backingFile ?? '',
    backingFormat: o.backingFormat ?? '',
    dataFile: o.dataFile ?? '',
    bitmaps: null,
    encryption: null,
    unknown: [],
  };
  const l1Bytes = l1EntriesFor(header, header.size) * 8;
  if (l1Bytes > MAX_L1_BYTES) throw new BlockError('EFBIG', 'The image size is too large for the cluster size');
  // Header, refcount table, first block, L1 table, in this order; the L1 table through the allocator.
  const block = new Uint8Array(clusterSize);
  for (let i = 0; i < 3; i++) writeRefcount(block, refcountOrder, i, Math.min(1, maxRefcount(refcountOrder)));
  const table = new Uint8Array(clusterSize);
  putU64be(table, 0, 2 * clusterSize);
  await file.truncate(0);
  await file.write(clusterSize, table);
  await file.write(2 * clusterSize, block);
  // The header comes when everything it names is there.
  const image = await Image.open(file, data ?? file, { ...header, l1Size: 0 }, host, false);
  image.header.l1Size = l1Bytes / 8;
  const { offset } = await image.refcounts.allocate(Math.max(1, Math.ceil(l1Bytes / clusterSize)), true);
  image.header.l1Offset = offset;
  image.l1 = new Uint8Array(image.header.l1Size * 8);
  if (l1Bytes > 0) await file.write(offset, new Uint8Array(l1Bytes));
  const luks = o.encryption?.bytes;
  if (luks) {
    const { offset: at } = await image.refcounts.allocate(Math.ceil(luks.length / clusterSize), true);
    await file.write(at, luks);
    image.header.encryption = { offset: at, length: luks.length };
  }
  await image.refcounts.writeBack();
  await file.write(0, serializeHeader(image.header));
  if (data && data.length < header.size)
    await data.truncate(header.size, o.preallocation === 'metadata' ? 'off' : (o.preallocation ?? 'off'));
  if (o.preallocation && o.preallocation !== 'off') await preallocate(image, 0, header.size, o.preallocation);
  else if (o.dataFileRaw) await preallocate(image, 0, header.size, 'metadata');
  await image.finish();
}
