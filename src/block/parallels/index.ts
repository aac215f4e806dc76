/** Parallels disks (expanding ones), read-only: a table of 32-bit little-endian numbers after a header of 64 bytes. */
import { getU32, getU64 } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import { BlockMapNode, UNALLOCATED } from '../block-map.js';
import type { Format, FormatInfo, OpenContext } from '../format.js';
import { BlockError, type BlockNode } from '../node.js';

/** Table entries count sectors, or clusters. */
const MAGICS = ['WithoutFreeSpace', 'WithouFreSpacExt'];
const HEADER_BYTES = 64;
const SECTOR = 512;
const IN_USE = 0x746f6e59;
const MAX_ENTRIES = 1 << 26;

const magicOf = (head: Uint8Array): number => MAGICS.indexOf(String.fromCharCode(...head.subarray(0, 16)));

class ParallelsNode extends BlockMapNode {
  readonly driver = 'parallels';
  protected override readonly mapChanged = false;

  constructor(
    file: BlockNode,
    length: number,
    blockSize: number,
    readonly table: Uint32Array,
    readonly unit: number,
    readonly dirty: boolean,
  ) {
    super(file, length, blockSize, true);
  }

  protected override place(block: number): number {
    const entry = this.table[block] ?? 0;
    return entry === 0 ? UNALLOCATED : entry * this.unit;
  }

  protected override allocate(): never {
    throw new BlockError('EROFS', 'parallels images are read-only');
  }

  protected override record(): never {
    return this.allocate();
  }

  protected override async writeMap(): Promise<void> {}

  info(): FormatInfo {
    return { dirty: this.dirty };
  }
}

async function openParallels(file: BlockNode, context: OpenContext): Promise<ParallelsNode> {
  const header = new Uint8Array(HEADER_BYTES);
  await file.read(0, header);
  const kind = magicOf(header);
  if (kind < 0 || getU32(header, 16) !== 2) throw new UserError('Image not in Parallels format');
  if (!context.readOnly)
    throw new UserError('parallels images can only be read here: convert the image, or add readonly=on');
  const track = getU32(header, 28);
  const entries = getU32(header, 32);
  const sectors = kind === 0 ? getU32(header, 36) : getU64(header, 36);
  if (track === 0 || track > (2 ** 31 - 1) / 513)
    throw new BlockError('EFBIG', 'Invalid image: Zero or too large sectors per track');
  if (entries > MAX_ENTRIES) throw new BlockError('EFBIG', 'Catalog too large');
  if (sectors > entries * track || sectors * SECTOR > 2 ** 53)
    throw new BlockError('EINVAL', 'the table is too small for the disk');
  if (HEADER_BYTES + 4 * entries > file.length) throw new BlockError('EINVAL', 'the table is cut off');
  const bytes = new Uint8Array(4 * entries);
  await file.read(HEADER_BYTES, bytes);
  const table = Uint32Array.from({ length: entries }, (_, i) => getU32(bytes, 4 * i));
  return new ParallelsNode(
    file,
    sectors * SECTOR,
    track * SECTOR,
    table,
    kind === 0 ? SECTOR : track * SECTOR,
    getU32(header, 44) === IN_USE,
  );
}

export const PARALLELS: Format = {
  name: 'parallels',
  probe: (head) => (magicOf(head) >= 0 && getU32(head, 16) === 2 ? 100 : 0),
  open: openParallels,
};
