/**
 * Virtual PC disks (VHD 1.0): a footer of 512 bytes at the end; dynamic ones have a copy of it in front, a header and a table
 * with the sector of each block, which begins with a bitmap of its sectors. All numbers are big-endian.
 */

import { ascii } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import { getU16be, getU32be, getU64be, putU16be, putU32be, putU64be, roundUp } from '../big-endian.js';
import { BlockMapNode, UNALLOCATED } from '../block-map.js';
import type { CreateContext, Format, FormatInfo, OpenContext } from '../format.js';
import { BlockError, type BlockNode } from '../node.js';
import { FlatNode } from '../raw.js';

const FOOTER_BYTES = 512;
const SECTOR = 512;
const HEADER_BYTES = 1024;
const DEFAULT_BLOCK = 2 << 20;
const FIXED = 2;
const DYNAMIC = 3;
const NO_BLOCK = 0xffffffff;
const MAX_ENTRIES = 0x7fffffff / 4;
/** Seconds from 1970 to 2000. */
const EPOCH = 946684800;
/** Programs whose images are as long as they say; with others the geometry counts. */
const BY_SIZE = ['win ', 'qem2', 'd2v ', 'tap\0', 'CTXS'];
const MAX_CHS_SECTORS = 65535 * 16 * 255;

interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectors: number;
}

/** The specification's appendix "CHS calculation". */
function geometryOf(total: number): Geometry {
  total = Math.min(total, MAX_CHS_SECTORS);
  let sectors = 255;
  let heads = 16;
  let tracks = Math.floor(total / sectors);
  if (total <= 65535 * 16 * 63) {
    sectors = 17;
    tracks = Math.floor(total / sectors);
    heads = Math.max(4, Math.floor((tracks + 1023) / 1024));
    if (tracks >= heads * 1024 || heads > 16) {
      sectors = 31;
      heads = 16;
      tracks = Math.floor(total / sectors);
    }
    if (tracks >= heads * 1024) {
      sectors = 63;
      heads = 16;
      tracks = Math.floor(total / sectors);
    }
  }
  return { cylinders: Math.floor(tracks / heads), heads, sectors };
}

/** A geometry that holds at least so many sectors. */
function fittingGeometry(total: number): Geometry {
  for (let more = 0; ; more++) {
    const g = geometryOf(total + more);
    if (g.cylinders * g.heads * g.sectors >= Math.min(total, MAX_CHS_SECTORS)) return g;
  }
}

function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const b of bytes) sum += b;
  return ~sum >>> 0;
}

class VpcNode extends BlockMapNode {
  readonly driver = 'vpc';
  readonly #footer: Uint8Array;
  readonly #table: Uint32Array;
  readonly #tableOffset: number;
  readonly #bitmapBytes: number;
  /** Where the next block begins, with its bitmap: the footer is there now. */
  #end: number;
  readonly #changed = new Set<number>();

  constructor(
    file: BlockNode,
    footer: Uint8Array,
    length: number,
    blockSize: number,
    table: Uint32Array,
    tableOffset: number,
    end: number,
    readOnly: boolean,
  ) {
    super(file, length, blockSize, readOnly);
    this.#footer = footer;
    this.#table = table;
    this.#tableOffset = tableOffset;
    this.#bitmapBytes = roundUp(blockSize / SECTOR / 8, SECTOR);
    this.#end = end;
  }

  protected override place(block: number): number {
    const entry = this.#table[block] ?? NO_BLOCK;
    return entry === NO_BLOCK ? UNALLOCATED : entry * SECTOR + this.#bitmapBytes;
  }

  protected override async allocate(): Promise<number> {
    const start = this.#end;
    await this.file.write(start, new Uint8Array(this.#bitmapBytes).fill(0xff));
    return start + this.#bitmapBytes;
  }

  protected override async record(block: number, host: number): Promise<void> {
    this.#table[block] = (host - this.#bitmapBytes) / SECTOR;
    this.#changed.add(block);
    this.#end = host + this.blockSize;
    // The end of the file is where others look for the footer.
    await this.file.write(this.#end, this.#footer);
  }

  protected override get mapChanged(): boolean {
    return this.#changed.size > 0;
  }

  protected override async writeMap(): Promise<void> {
    const perSector = SECTOR / 4;
    const sectors = new Set([...this.#changed].map((b) => Math.floor(b / perSector)));
    for (const s of sectors) {
      const bytes = new Uint8Array(SECTOR).fill(0xff);
      this.#table.subarray(s * perSector, (s + 1) * perSector).forEach((entry, i) => {
        putU32be(bytes, 4 * i, entry);
      });
      await this.file.write(this.#tableOffset + s * SECTOR, bytes);
    }
    this.#changed.clear();
  }

  info(): FormatInfo {
    return { clusterSize: this.blockSize };
  }
}

class FixedVpcNode extends FlatNode {
  override readonly driver: string = 'vpc';
}

async function openVpc(file: BlockNode, context: OpenContext): Promise<VpcNode | FixedVpcNode> {
  let footer = new Uint8Array(FOOTER_BYTES);
  await file.read(0, footer);
  let fixed = false;
  if (!isFooter(footer)) {
    if (file.length < FOOTER_BYTES) throw new UserError('Image not in VPC format');
    footer = new Uint8Array(FOOTER_BYTES);
    await file.read(file.length - FOOTER_BYTES, footer);
    if (!isFooter(footer) || getU32be(footer, 60) !== FIXED) throw new UserError('invalid VPC image');
    fixed = true;
  }
  const given = getU32be(footer, 64);
  const summed = footer.slice();
  putU32be(summed, 64, 0);
  if (checksum(summed) !== given)
    throw new BlockError('EINVAL', `The header checksum of '${file.filename}' is incorrect`);
  const creator = String.fromCharCode(...footer.subarray(28, 32));
  const chs = getU16be(footer, 56) * footer[58]! * footer[59]! * SECTOR;
  const bySize = BY_SIZE.includes(creator) || chs === MAX_CHS_SECTORS * SECTOR || chs === 0;
  const length = bySize ? roundUp(getU64be(footer, 48), SECTOR) : chs;
  if (length > 2 ** 41) throw new BlockError('EFBIG', 'the image is larger than the format allows');
  if (fixed) {
    if (length > file.length) throw new BlockError('EINVAL', 'the image is cut off');
    return new FixedVpcNode(file, { size: length });
  }
  const header = new Uint8Array(HEADER_BYTES);
  const headerOffset = getU64be(footer, 16);
  if (headerOffset > file.length - HEADER_BYTES)
    throw new BlockError('EINVAL', 'the header is beyond the end of the file');
  await file.read(headerOffset, header);
  if (String.fromCharCode(...header.subarray(0, 8)) !== 'cxsparse')
    throw new BlockError('EINVAL', 'the dynamic disk header is missing');
  if (getU32be(footer, 60) !== DYNAMIC) throw new BlockError('ENOTSUP', 'differencing disks are not supported');
  const blockSize = getU32be(header, 32);
  if (!Number.isInteger(Math.log2(blockSize)) || blockSize < SECTOR || blockSize > 2 ** 30) {
    throw new BlockError('EINVAL', `Invalid block size ${blockSize}`);
  }
  const entries = getU32be(header, 28);
  const tableOffset = getU64be(header, 16);
  if (entries > MAX_ENTRIES || entries * blockSize < length) throw new BlockError('EINVAL', 'Page table too small');
  if (tableOffset + 4 * entries > file.length)
    throw new BlockError('EINVAL', 'the table is beyond the end of the file');
  const bytes = new Uint8Array(4 * entries);
  await file.read(tableOffset, bytes);
  const table = new Uint32Array(entries);
  const bitmapBytes = roundUp(blockSize / SECTOR / 8, SECTOR);
  let end = roundUp(tableOffset + 4 * entries, SECTOR);
  for (let i = 0; i < entries; i++) {
    table[i] = getU32be(bytes, 4 * i);
    if (table[i] !== NO_BLOCK) end = Math.max(end, table[i]! * SECTOR + bitmapBytes + blockSize);
  }
  if (end > file.length) throw new BlockError('EINVAL', 'the image is cut off');
  return new VpcNode(file, footer, length, blockSize, table, tableOffset, end, context.readOnly);
}

const isFooter = (bytes: Uint8Array): boolean => String.fromCharCode(...bytes.subarray(0, 8)) === 'conectix';

async function createVpc({ file, size, text, flag, host }: CreateContext): Promise<void> {
  const kind = text('subformat') ?? 'dynamic';
  if (kind !== 'dynamic' && kind !== 'fixed')
    throw new UserError(`Parameter 'subformat' does not accept value '${kind}'`);
  const forced = flag('force_size') ?? false;
  const geometry = fittingGeometry(Math.ceil(size / SECTOR));
  const chs = geometry.cylinders * geometry.heads * geometry.sectors * SECTOR;
  const length = forced || chs < size ? roundUp(size, SECTOR) : chs;
  if (length > 2 ** 41) throw new BlockError('EFBIG', 'the image is larger than the format allows');
  const footer = new Uint8Array(FOOTER_BYTES);
  footer.set(ascii('conectix'));
  putU32be(footer, 8, 2);
  putU32be(footer, 12, 0x10000);
  if (kind === 'fixed') footer.fill(0xff, 16, 24);
  else putU64be(footer, 16, FOOTER_BYTES);
  putU32be(footer, 24, Math.max(0, Math.floor((host.now?.() ?? EPOCH) - EPOCH)));
  // Readers know from these names whether size or geometry counts.
  footer.set(ascii(forced ? 'qem2' : 'qemu'), 28);
  putU16be(footer, 32, 5);
  putU16be(footer, 34, 3);
  footer.set(ascii('Wi2k'), 36);
  putU64be(footer, 40, length);
  putU64be(footer, 48, length);
  putU16be(footer, 56, geometry.cylinders);
  footer[58] = geometry.heads;
  footer[59] = geometry.sectors;
  putU32be(footer, 60, kind === 'fixed' ? FIXED : DYNAMIC);
  host.random?.(footer.subarray(68, 84));
  putU32be(footer, 64, checksum(footer));
  if (kind === 'fixed') {
    await file.truncate(length);
    await file.write(length, footer);
    return;
  }
  const entries = Math.ceil(length / DEFAULT_BLOCK);
  const header = new Uint8Array(HEADER_BYTES);
  header.set(ascii('cxsparse'));
  header.fill(0xff, 8, 16);
  putU64be(header, 16, FOOTER_BYTES + HEADER_BYTES);
  putU32be(header, 24, 0x10000);
  putU32be(header, 28, entries);
  putU32be(header, 32, DEFAULT_BLOCK);
  putU32be(header, 36, checksum(header));
  await file.write(0, footer);
  await file.write(FOOTER_BYTES, header);
  const table = new Uint8Array(roundUp(4 * entries, SECTOR)).fill(0xff);
  await file.write(FOOTER_BYTES + HEADER_BYTES, table);
  await file.write(FOOTER_BYTES + HEADER_BYTES + table.length, footer);
}

export const VPC: Format = {
  name: 'vpc',
  probe: (head) => (isFooter(head) ? 100 : 0),
  open: openVpc,
  createOptions: [
    { name: 'size', type: 'size', help: 'Virtual disk size' },
    {
      name: 'subformat',
      type: 'str',
      help: 'Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} ',
    },
    {
      name: 'force_size',
      type: 'bool',
      help: 'Force disk size calculation to use the actual size specified, rather than using the nearest CHS-based calculation',
    },
  ],
  create: createVpc,
};
