/** QED images, read-only: two levels of tables, several clusters each, with 64-bit little-endian offsets. */
import { getU32, getU64 } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import { BlockMapNode, UNALLOCATED, ZERO_BLOCK } from '../block-map.js';
import type { Format, FormatInfo, OpenContext } from '../format.js';
import { BlockError, type BlockNode, type Eventually } from '../node.js';
import { type Table, TableCache } from '../qcow2/table-cache.js';

const MAGIC = 0x00444551;
const Feature = { BACKING: 1, NEED_CHECK: 2, RAW_BACKING: 4 } as const;
const MAX_TABLE = 16 << 20;
const CACHE = 32 << 20;

class QedNode extends BlockMapNode {
  readonly driver = 'qed';
  protected override readonly mapChanged = false;
  readonly #l1: Table;
  readonly #tables: TableCache;
  readonly #perTable: number;

  constructor(
    file: BlockNode,
    size: number,
    clusterSize: number,
    tableBytes: number,
    l1: Table,
    readonly backingFile: string,
    readonly backingFormat: string,
    readonly needsCheck: boolean,
  ) {
    super(file, size, clusterSize, true);
    this.#l1 = l1;
    this.#tables = new TableCache(file, tableBytes, CACHE);
    this.#perTable = tableBytes / 8;
  }

  setBacking(node: BlockNode | null): void {
    this.backingNode = node;
    this.children = [{ role: 'file', node: this.file }, ...(node ? [{ role: 'backing', node }] : [])];
  }

  protected override place(cluster: number): Eventually<number> {
    const offset = getU64(this.#l1.bytes, 8 * Math.floor(cluster / this.#perTable));
    if (offset === 0) return UNALLOCATED;
    if (offset % this.blockSize !== 0 || offset >= this.file.length)
      throw new BlockError('EIO', 'an L2 table is outside the image');
    const table = this.#tables.peek(offset) ?? this.#tables.load(offset);
    const index = cluster % this.#perTable;
    return table instanceof Promise ? table.then((t) => this.#entry(t, index)) : this.#entry(table, index);
  }

  #entry(table: Table, index: number): number {
    const offset = getU64(table.bytes, 8 * index);
    if (offset === 0) return UNALLOCATED;
    if (offset === 1) return ZERO_BLOCK;
    if (offset % this.blockSize !== 0 || offset >= this.file.length)
      throw new BlockError('EIO', 'a cluster is outside the image');
    return offset;
  }

  protected override allocate(): never {
    throw new BlockError('EROFS', 'qed images are read-only');
  }

  protected override record(): never {
    return this.allocate();
  }

  protected override async writeMap(): Promise<void> {}

  info(): FormatInfo {
    return { clusterSize: this.blockSize, dirty: this.needsCheck };
  }
}

async function openQed(file: BlockNode, context: OpenContext): Promise<QedNode> {
  const header = new Uint8Array(64);
  await file.read(0, header);
  if (getU32(header, 0) !== MAGIC) throw new UserError('Image not in QED format');
  if (!context.readOnly) throw new UserError('qed images can only be read here: convert the image, or add readonly=on');
  const clusterSize = getU32(header, 4);
  const tableClusters = getU32(header, 8);
  const features = getU64(header, 16);
  if (!Number.isInteger(Math.log2(clusterSize)) || clusterSize < 4096 || clusterSize > 64 << 20)
    throw new BlockError('EINVAL', 'invalid cluster size');
  const tableBytes = tableClusters * clusterSize;
  if (tableClusters < 1 || tableBytes > MAX_TABLE) throw new BlockError('EINVAL', 'invalid table size');
  if (features > 7) throw new BlockError('ENOTSUP', `Unsupported QED features: ${features.toString(16)}`);
  const size = getU64(header, 48);
  const perTable = tableBytes / 8;
  if (size > perTable * perTable * clusterSize || size > 2 ** 53 || size % 512 !== 0)
    throw new BlockError('EINVAL', 'invalid image size');
  const l1Offset = getU64(header, 40);
  if (l1Offset % clusterSize !== 0 || l1Offset + tableBytes > file.length)
    throw new BlockError('EINVAL', 'invalid L1 table offset');
  const l1 = await new TableCache(file, tableBytes, tableBytes).load(l1Offset);
  let backing = '';
  if (features & Feature.BACKING) {
    const [at, length] = [getU32(header, 56), getU32(header, 60)];
    if (length > 1023 || at + length > clusterSize * getU32(header, 12))
      throw new BlockError('EINVAL', 'invalid backing file name');
    const name = new Uint8Array(length);
    await file.read(at, name);
    backing = new TextDecoder().decode(name);
  }
  const format = features & Feature.RAW_BACKING && backing !== '' ? 'raw' : '';
  return new QedNode(file, size, clusterSize, tableBytes, l1, backing, format, (features & Feature.NEED_CHECK) !== 0);
}

export const QED: Format = { name: 'qed', probe: (head) => (getU32(head, 0) === MAGIC ? 100 : 0), open: openQed };
