/**
 * Hyper-V disks (VHDX): a table with 64 bits for each block, which is changed in place after the block's data is on disk (an
 * entry lies within a sector, so no log is needed). What others left in the log is carried out when the image is opened.
 */

import { getU16, getU32, getU64, putU16, putU32, putU64 } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import { roundUp } from '../big-endian.js';
import { BlockMapNode, UNALLOCATED, ZERO_BLOCK } from '../block-map.js';
import { type CheckResult, newCheckResult } from '../check.js';
import type { CreateContext, Format, FormatInfo, OpenContext } from '../format.js';
import { BlockError, type BlockNode } from '../node.js';
import {
  type Header,
  Item,
  KIB,
  logGuid,
  MIB,
  newHeader,
  putSum,
  REGION_BYTES,
  REGION_OFFSETS,
  Region,
  readHeader,
  replayLog,
  sameGuid,
  signature,
  sumIsRight,
  writeHeader,
} from './structures.js';

const State = { NOT_PRESENT: 0, UNDEFINED: 1, ZERO: 2, UNMAPPED: 3, PRESENT: 6, PARTIAL: 7 } as const;
const HAS_PARENT = 2;
const SECTOR = 512;
const ENTRY = 8;
const MAX_DISK = 64 * 2 ** 40;
const MAX_METADATA_ENTRIES = 2047;
const MAX_REGIONS = 2047;
const MAX_BAT = 256 << 20;
const MAX_BLOCK = 256 * MIB;

class VhdxNode extends BlockMapNode {
  readonly driver = 'vhdx';
  readonly #header: Header;
  readonly #bat: Uint8Array;
  readonly #batOffset: number;
  readonly #ratio: number;
  readonly #random: (bytes: Uint8Array) => void;
  readonly #changed = new Set<number>();
  #end: number;
  #announced = false;

  constructor(
    file: BlockNode,
    disk: { readonly length: number; readonly blockSize: number; readonly ratio: number },
    header: Header,
    bat: Uint8Array,
    batOffset: number,
    readOnly: boolean,
    random: (bytes: Uint8Array) => void,
  ) {
    super(file, disk.length, disk.blockSize, readOnly);
    this.#header = header;
    this.#bat = bat;
    this.#batOffset = batOffset;
    this.#ratio = disk.ratio;
    this.#random = random;
    this.#end = roundUp(file.length, MIB);
  }

  /** After as many payload entries as the ratio says comes one for their bitmap. */
  #entryAt(block: number): number {
    return ENTRY * (block + Math.floor(block / this.#ratio));
  }

  protected override place(block: number): number {
    const at = this.#entryAt(block);
    if (at + ENTRY > this.#bat.length) return ZERO_BLOCK;
    const low = getU32(this.#bat, at);
    switch (low & 7) {
      case State.PRESENT: {
        const offset = getU64(this.#bat, at) - (low % MIB);
        if (offset < MIB || offset + this.blockSize > roundUp(this.file.length, this.blockSize) + this.blockSize) {
          throw new BlockError('EIO', `the place of block ${block} is outside the file`);
        }
        return offset;
      }
      case State.PARTIAL:
        throw new BlockError('ENOTSUP', 'VHDX images with partially present blocks are not supported');
      case State.NOT_PRESENT:
        return UNALLOCATED;
      default:
        return ZERO_BLOCK;
    }
  }

  protected override async allocate(): Promise<number> {
    await this.#announce();
    return this.#end;
  }

  override write(offset: number, from: Uint8Array): ReturnType<BlockMapNode['write']> {
    if (this.#announced || this.readOnly) return super.write(offset, from);
    return this.#announce().then(() => super.write(offset, from));
  }

  /** Others are told by new identifiers that the file and the disk have changed. */
  async #announce(): Promise<void> {
    if (this.#announced) return;
    this.#announced = true;
    this.#random(this.#header.bytes.subarray(16, 48));
    await writeHeader(this.file, this.#header);
  }

  protected override record(block: number, host: number): void {
    const at = this.#entryAt(block);
    putU64(this.#bat, at, host);
    this.#bat[at] = State.PRESENT;
    this.#changed.add(Math.floor(at / SECTOR));
    this.#end = host + this.blockSize;
  }

  protected override get mapChanged(): boolean {
    return this.#changed.size > 0;
  }

  protected override async writeMap(): Promise<void> {
    for (const sector of this.#changed) {
      const from = sector * SECTOR;
      await this.file.write(this.#batOffset + from, this.#bat.slice(from, Math.min(this.#bat.length, from + SECTOR)));
    }
    this.#changed.clear();
  }

  info(): FormatInfo {
    return { clusterSize: this.blockSize };
  }

  check(): Promise<CheckResult> {
    return Promise.resolve(newCheckResult());
  }
}

async function openVhdx(file: BlockNode, context: OpenContext): Promise<VhdxNode> {
  const head = new Uint8Array(8);
  await file.read(0, head);
  if (!signature(head, 0, 'vhdxfile')) throw new UserError('Image not in VHDX format');
  const header = await readHeader(file);
  if (logGuid(header).some((b) => b !== 0)) {
    if (context.readOnly) {
      throw new UserError(
        `VHDX image file '${context.filename}' opened read-only, but contains a log that needs to be replayed`,
      );
    }
    await replayLog(file, header);
  }
  const regions = await readRegions(file);
  const metadata = await readMetadata(file, regions.metadata.offset, regions.metadata.length);
  const { blockSize, sectorSize, size } = metadata;
  const ratio = (2 ** 23 * sectorSize) / blockSize;
  const blocks = Math.ceil(size / blockSize);
  const entries = blocks + Math.floor(Math.max(0, blocks - 1) / ratio);
  if (entries * ENTRY > regions.bat.length) throw new BlockError('EINVAL', 'the block table is too short');
  if (entries * ENTRY > MAX_BAT) throw new BlockError('EFBIG', 'the block table is too large');
  const bat = new Uint8Array(entries * ENTRY);
  await file.read(regions.bat.offset, bat);
  return new VhdxNode(
    file,
    { length: size, blockSize, ratio },
    header,
    bat,
    regions.bat.offset,
    context.readOnly,
    (bytes) => context.host.random?.(bytes),
  );
}

interface Place {
  readonly offset: number;
  readonly length: number;
}

async function readRegions(file: BlockNode): Promise<{ bat: Place; metadata: Place }> {
  for (const offset of REGION_OFFSETS) {
    const bytes = new Uint8Array(REGION_BYTES);
    await file.read(offset, bytes);
    const count = getU32(bytes, 8);
    if (!signature(bytes, 0, 'regi') || !sumIsRight(bytes, 4) || count > MAX_REGIONS) continue;
    const found = new Map<'bat' | 'metadata', Place>();
    for (let i = 0; i < count; i++) {
      const at = 16 + 32 * i;
      const place = { offset: getU64(bytes, at + 16), length: getU32(bytes, at + 24) };
      if (place.offset < MIB || place.offset % MIB !== 0 || place.offset + place.length > file.length) {
        throw new BlockError('EINVAL', 'a region of the image is not where it may be');
      }
      if (sameGuid(bytes, at, Region.BAT)) found.set('bat', place);
      else if (sameGuid(bytes, at, Region.METADATA)) found.set('metadata', place);
      else if (getU32(bytes, at + 28) & 1)
        throw new BlockError('ENOTSUP', 'the image has a required region that is not known');
    }
    const bat = found.get('bat');
    const metadata = found.get('metadata');
    if (bat && metadata) return { bat, metadata };
  }
  throw new BlockError('EINVAL', 'the image has no valid region table');
}

async function readMetadata(
  file: BlockNode,
  offset: number,
  length: number,
): Promise<{ blockSize: number; sectorSize: number; size: number }> {
  const table = new Uint8Array(64 * KIB);
  await file.read(offset, table);
  const count = getU16(table, 10);
  if (!signature(table, 0, 'metadata') || count > MAX_METADATA_ENTRIES)
    throw new BlockError('EINVAL', 'the metadata of the image are broken');
  const item = async (id: Uint8Array, bytes: number): Promise<Uint8Array> => {
    for (let i = 0; i < count; i++) {
      const at = 32 + 32 * i;
      if (!sameGuid(table, at, id)) continue;
      const where = getU32(table, at + 16);
      if (where + bytes > length || getU32(table, at + 20) < bytes) break;
      const value = new Uint8Array(bytes);
      await file.read(offset + where, value);
      return value;
    }
    throw new BlockError('EINVAL', 'the image lacks required metadata');
  };
  const parameters = await item(Item.FILE_PARAMETERS, 8);
  const blockSize = getU32(parameters, 0);
  if (getU32(parameters, 4) & HAS_PARENT)
    throw new BlockError('ENOTSUP', 'VHDX images with a parent are not supported');
  const size = getU64(await item(Item.DISK_SIZE, 8), 0);
  const sectorSize = getU32(await item(Item.LOGICAL_SECTOR, 4), 0);
  if (!Number.isInteger(Math.log2(blockSize)) || blockSize < MIB || blockSize > MAX_BLOCK)
    throw new BlockError('EINVAL', `Invalid block size ${blockSize}`);
  if (sectorSize !== 512 && sectorSize !== 4096) throw new BlockError('EINVAL', `Invalid sector size ${sectorSize}`);
  if (size > MAX_DISK || size % sectorSize !== 0) throw new BlockError('EINVAL', `Invalid disk size ${size}`);
  return { blockSize, sectorSize, size };
}

function defaultBlockSize(size: number): number {
  if (size > 32 * 2 ** 40) return 64 * MIB;
  if (size > 100 * 2 ** 30) return 32 * MIB;
  return size > 2 ** 30 ? 16 * MIB : 8 * MIB;
}

async function createVhdx(c: CreateContext): Promise<void> {
  const { file } = c;
  const size = roundUp(c.size, SECTOR);
  if (size > MAX_DISK) throw new UserError('Image size too large; max of 64TB');
  const kind = c.text('subformat') ?? 'dynamic';
  if (kind !== 'dynamic' && kind !== 'fixed')
    throw new UserError(`Parameter 'subformat' does not accept value '${kind}'`);
  const blockSize = Math.min(roundUp(c.number('block_size') || defaultBlockSize(size), MIB), MAX_BLOCK);
  if (!Number.isInteger(Math.log2(blockSize))) throw new UserError('Block size must be a power of two');
  const logBytes = roundUp(c.number('log_size') || MIB, MIB);
  const random = (bytes: Uint8Array): void => c.host.random?.(bytes);
  const metadataOffset = MIB + logBytes;
  const batOffset = metadataOffset + MIB;
  const ratio = (2 ** 23 * SECTOR) / blockSize;
  const blocks = Math.ceil(size / blockSize);
  const entries = blocks + Math.floor(Math.max(0, blocks - 1) / ratio);
  const batBytes = roundUp(Math.max(1, entries * ENTRY), MIB);
  const dataOffset = batOffset + batBytes;
  await file.truncate(dataOffset);
  const identifier = new Uint8Array(64);
  identifier.set(new TextEncoder().encode('vhdxfile'));
  [...'Tinamou'].forEach((ch, i) => {
    putU16(identifier, 8 + 2 * i, ch.charCodeAt(0));
  });
  await file.write(0, identifier);
  await writeHeader(file, newHeader(MIB, logBytes, random));
  const region = new Uint8Array(REGION_BYTES);
  region.set(new TextEncoder().encode('regi'));
  putU32(region, 8, 2);
  [
    [Region.BAT, batOffset, batBytes],
    [Region.METADATA, metadataOffset, MIB],
  ].forEach(([id, offset, length], i) => {
    const at = 16 + 32 * i;
    region.set(id as Uint8Array, at);
    putU64(region, at + 16, offset as number);
    putU32(region, at + 24, length as number);
    putU32(region, at + 28, 1);
  });
  putSum(region, 4);
  for (const offset of REGION_OFFSETS) await file.write(offset, region);
  await file.write(metadataOffset, metadataBytes(blockSize, kind === 'fixed', size, random));
  if (kind !== 'fixed') return;
  const bat = new Uint8Array(entries * ENTRY);
  for (let i = 0; i < blocks; i++) {
    const at = ENTRY * (i + Math.floor(i / ratio));
    putU64(bat, at, dataOffset + i * blockSize);
    bat[at] = State.PRESENT;
  }
  await file.write(batOffset, bat);
  await file.truncate(dataOffset + blocks * blockSize);
}

function metadataBytes(
  blockSize: number,
  fixed: boolean,
  size: number,
  random: (bytes: Uint8Array) => void,
): Uint8Array {
  const bytes = new Uint8Array(64 * KIB + 64);
  bytes.set(new TextEncoder().encode('metadata'));
  const values = new Uint8Array(64);
  putU32(values, 0, blockSize);
  putU32(values, 4, fixed ? 1 : 0);
  putU64(values, 8, size);
  random(values.subarray(16, 32));
  putU32(values, 32, SECTOR);
  putU32(values, 36, 4096);
  const items: readonly (readonly [Uint8Array, number, number, number])[] = [
    [Item.FILE_PARAMETERS, 0, 8, 4],
    [Item.DISK_SIZE, 8, 8, 6],
    [Item.PAGE_83, 16, 16, 6],
    [Item.LOGICAL_SECTOR, 32, 4, 6],
    [Item.PHYSICAL_SECTOR, 36, 4, 6],
  ];
  putU16(bytes, 10, items.length);
  items.forEach(([id, offset, length, flags], i) => {
    const at = 32 + 32 * i;
    bytes.set(id, at);
    putU32(bytes, at + 16, 64 * KIB + offset);
    putU32(bytes, at + 20, length);
    putU32(bytes, at + 24, flags);
  });
  bytes.set(values, 64 * KIB);
  return bytes;
}

export const VHDX: Format = {
  name: 'vhdx',
  probe: (head) => (signature(head, 0, 'vhdxfile') ? 100 : 0),
  open: openVhdx,
  createOptions: [
    { name: 'size', type: 'size', help: 'Virtual disk size; max of 64TB.' },
    { name: 'log_size', type: 'size', help: 'Log size; min 1MB.', initial: '1048576' },
    {
      name: 'block_size',
      type: 'size',
      help: 'Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.',
      initial: '0',
    },
    {
      name: 'subformat',
      type: 'str',
      help: "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'.",
    },
    {
      name: 'block_state_zero',
      type: 'bool',
      help: "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' when using 'qemu-img convert' with subformat=dynamic.",
    },
  ],
  create: createVhdx,
};
