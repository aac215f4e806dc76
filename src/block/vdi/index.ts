/**
 * VirtualBox disk images (VDI 1.1): a header, a map with a 32-bit number for each block of 1 MiB, and the blocks. All numbers
 * are little-endian.
 */

import { getU32, getU64, putU32, putU64 } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import { roundUp } from '../big-endian.js';
import { BlockMapNode, UNALLOCATED, ZERO_BLOCK } from '../block-map.js';
import { type CheckResult, newCheckResult, say } from '../check.js';
import type { CreateContext, Format, FormatInfo, OpenContext } from '../format.js';
import { BlockError, type BlockNode } from '../node.js';

const SIGNATURE = 0xbeda107f;
const VERSION = 0x00010001;
const HEADER_BYTES = 512;
const TYPE_DYNAMIC = 1;
const TYPE_STATIC = 2;
const BLOCK = 1 << 20;
const NO_BLOCK = 0xffffffff;
const DISCARDED = 0xfffffffe;
const MAX_BLOCKS = 0x3fffffff;
/** Largest map that is kept in memory: a disk of 64 TiB. */
const MAX_MAP = 1 << 26;
const SECTOR = 512;

class VdiNode extends BlockMapNode {
  readonly driver = 'vdi';
  readonly #header: Uint8Array;
  readonly #map: Uint32Array;
  readonly #mapOffset: number;
  readonly #dataOffset: number;
  #allocated: number;
  #changedFrom = Number.POSITIVE_INFINITY;
  #changedTo = 0;

  constructor(file: BlockNode, header: Uint8Array, map: Uint32Array, readOnly: boolean) {
    super(file, roundUp(getU64(header, 0x170), SECTOR), BLOCK, readOnly);
    this.#header = header;
    this.#map = map;
    this.#mapOffset = getU32(header, 0x154);
    this.#dataOffset = getU32(header, 0x158);
    this.#allocated = getU32(header, 0x184);
  }

  protected override place(block: number): number {
    const entry = this.#map[block] ?? NO_BLOCK;
    if (entry === NO_BLOCK) return UNALLOCATED;
    return entry === DISCARDED ? ZERO_BLOCK : this.#dataOffset + entry * BLOCK;
  }

  protected override allocate(): number {
    return this.#dataOffset + this.#allocated * BLOCK;
  }

  protected override record(block: number): void {
    this.#map[block] = this.#allocated++;
    this.#changedFrom = Math.min(this.#changedFrom, block);
    this.#changedTo = Math.max(this.#changedTo, block + 1);
  }

  /** A static image has all blocks from the beginning on. */
  hasHoles(): boolean {
    return getU32(this.#header, 0x4c) === TYPE_STATIC;
  }

  protected override get mapChanged(): boolean {
    return this.#changedTo > 0;
  }

  protected override async writeMap(): Promise<void> {
    // First how many blocks there are: a stop then loses some, instead of giving one away twice.
    putU32(this.#header, 0x184, this.#allocated);
    await this.file.write(0, this.#header);
    await this.file.flush();
    const perSector = SECTOR / 4;
    const from = Math.floor(this.#changedFrom / perSector) * perSector;
    const to = Math.min(this.#map.length, roundUp(this.#changedTo, perSector));
    this.#changedFrom = Number.POSITIVE_INFINITY;
    this.#changedTo = 0;
    await this.file.write(this.#mapOffset + 4 * from, mapBytes(this.#map.subarray(from, to)));
  }

  info(): FormatInfo {
    return { clusterSize: BLOCK };
  }

  check(): Promise<CheckResult> {
    const result = newCheckResult();
    const used = new Set<number>();
    this.#map.forEach((entry, i) => {
      if (entry >= DISCARDED) return;
      if (entry >= this.#allocated) {
        result.corruptions++;
        say(result, `ERROR: block index ${i} out of range, is ${entry}`);
      } else if (used.has(entry)) {
        result.corruptions++;
        say(result, `ERROR: block index ${i} also used by ${entry}`);
      } else used.add(entry);
    });
    if (used.size !== this.#allocated) {
      result.corruptions++;
      say(result, `ERROR: allocated blocks mismatch, is ${used.size}, should be ${this.#allocated}`);
    }
    return Promise.resolve(result);
  }
}

function mapBytes(map: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(map.length * 4);
  map.forEach((entry, i) => {
    putU32(bytes, 4 * i, entry);
  });
  return bytes;
}

async function openVdi(file: BlockNode, context: OpenContext): Promise<VdiNode> {
  const header = new Uint8Array(HEADER_BYTES);
  await file.read(0, header);
  if (getU32(header, 0x40) !== SIGNATURE) throw new UserError('Image not in VDI format (bad signature)');
  if (getU32(header, 0x44) !== VERSION) throw new BlockError('ENOTSUP', 'unsupported VDI image (version)');
  const size = getU64(header, 0x170);
  const blocks = getU32(header, 0x180);
  const fail = (what: string): never => {
    throw new BlockError('ENOTSUP', `unsupported VDI image (${what})`);
  };
  if (getU32(header, 0x178) !== BLOCK) fail(`block size ${getU32(header, 0x178)} is not ${BLOCK}`);
  if (getU32(header, 0x154) % SECTOR !== 0) fail('unaligned block map offset');
  if (getU32(header, 0x158) % SECTOR !== 0) fail('unaligned data offset');
  if (getU32(header, 0x168) !== SECTOR) fail(`sector size ${getU32(header, 0x168)} is not ${SECTOR}`);
  if (size > blocks * BLOCK || blocks > MAX_BLOCKS || blocks > MAX_MAP)
    fail(`disk size ${size}, image bitmap has room for ${blocks} blocks`);
  if (header.subarray(0x1a8, 0x1c8).some((b) => b !== 0)) fail('non-NULL link or parent UUID');
  if (getU32(header, 0x154) + 4 * blocks > file.length) fail('the block map is cut off');
  const bytes = new Uint8Array(4 * blocks);
  await file.read(getU32(header, 0x154), bytes);
  const map = new Uint32Array(blocks);
  for (let i = 0; i < blocks; i++) map[i] = getU32(bytes, 4 * i);
  return new VdiNode(file, header, map, context.readOnly);
}

async function createVdi({ file, size, flag, host }: CreateContext): Promise<void> {
  const fixed = flag('static') ?? false;
  const blocks = Math.ceil(size / BLOCK);
  if (blocks > MAX_MAP) {
    const most = (MAX_MAP * BLOCK).toString(16);
    throw new UserError(`Unsupported VDI image size (size is 0x${size.toString(16)}, max supported is 0x${most})`);
  }
  const mapOffset = HEADER_BYTES;
  const dataOffset = mapOffset + roundUp(4 * blocks, SECTOR);
  const header = new Uint8Array(HEADER_BYTES);
  header.set(new TextEncoder().encode('<<< Tinamou Virtual Disk Image >>>\n'));
  putU32(header, 0x40, SIGNATURE);
  putU32(header, 0x44, VERSION);
  putU32(header, 0x48, 0x180);
  putU32(header, 0x4c, fixed ? TYPE_STATIC : TYPE_DYNAMIC);
  putU32(header, 0x154, mapOffset);
  putU32(header, 0x158, dataOffset);
  putU32(header, 0x168, SECTOR);
  putU64(header, 0x170, size);
  putU32(header, 0x178, BLOCK);
  putU32(header, 0x180, blocks);
  putU32(header, 0x184, fixed ? blocks : 0);
  host.random?.(header.subarray(0x188, 0x1a8));
  await file.write(0, header);
  const map = new Uint32Array(Math.max(1, roundUp(4 * blocks, SECTOR) / 4)).fill(NO_BLOCK);
  if (fixed) for (let i = 0; i < blocks; i++) map[i] = i;
  await file.write(mapOffset, mapBytes(map));
  if (fixed) await file.truncate(dataOffset + blocks * BLOCK);
}

export const VDI: Format = {
  name: 'vdi',
  probe: (head) => (getU32(head, 0x40) === SIGNATURE ? 100 : 0),
  open: openVdi,
  createOptions: [
    { name: 'size', type: 'size', help: 'Virtual disk size' },
    { name: 'static', type: 'bool', help: 'VDI static (pre-allocated) image', initial: 'off' },
  ],
  create: createVdi,
};
