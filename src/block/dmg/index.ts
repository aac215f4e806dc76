/**
 * Apple disk images (UDIF), read-only: a trailer points to a property list, which has a table of chunks, each stored, zero or
 * packed with zlib. Other ways of packing are refused when such a chunk is read.
 */
import { UserError } from '../../base/errors.js';
import { getU32be, getU64be } from '../big-endian.js';
import type { Codecs, Format, FormatInfo, FormatNode, OpenContext } from '../format.js';
import { BaseNode, BlockError, type BlockNode, type BlockStatus, type Completion } from '../node.js';

const TRAILER_BYTES = 512;
const KOLY = 0x6b6f6c79;
const MISH = 0x6d697368;
const SECTOR = 512;
const MAX_PLIST = 16 << 20;
const MAX_CHUNKS = 1 << 20;
/** Longest chunk that is unpacked. */
const MAX_CHUNK = 64 << 20;
const Chunk = { ZERO: 0, RAW: 1, IGNORE: 2, ZLIB: 0x80000005, COMMENT: 0x7ffffffe, END: 0xffffffff } as const;
const OTHERS = new Map([
  [0x80000004, 'ADC'],
  [0x80000006, 'bzip2'],
  [0x80000007, 'LZFSE'],
  [0x80000008, 'LZMA'],
]);

interface Piece {
  readonly start: number;
  readonly length: number;
  readonly type: number;
  readonly offset: number;
  readonly packed: number;
}

class DmgNode extends BaseNode implements FormatNode {
  readonly driver = 'dmg';
  readonly readOnly = true;
  #last: { piece: Piece; bytes: Uint8Array } | null = null;

  constructor(
    readonly file: BlockNode,
    readonly length: number,
    readonly pieces: readonly Piece[],
    readonly codecs: Codecs | undefined,
  ) {
    super();
    this.children = [{ role: 'file', node: file }];
  }

  get filename(): string {
    return this.file.filename;
  }

  #find(offset: number): Piece | undefined {
    let low = 0;
    let high = this.pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.pieces[middle]!.start <= offset) low = middle;
      else high = middle - 1;
    }
    const piece = this.pieces[low];
    return piece && offset >= piece.start && offset < piece.start + piece.length ? piece : undefined;
  }

  #gap(offset: number): number {
    const next = this.pieces.find((p) => p.start > offset);
    return (next?.start ?? this.length) - offset;
  }

  read(offset: number, into: Uint8Array): Completion {
    return this.#read(offset, into);
  }

  async #read(offset: number, into: Uint8Array): Promise<void> {
    for (let at = 0; at < into.length; ) {
      const piece = this.#find(offset + at);
      const within = piece ? offset + at - piece.start : 0;
      const n = Math.max(1, Math.min(into.length - at, piece ? piece.length - within : this.#gap(offset + at)));
      const part = into.subarray(at, at + n);
      if (!piece || piece.type === Chunk.ZERO || piece.type === Chunk.IGNORE) part.fill(0);
      else if (piece.type === Chunk.RAW) await this.file.read(piece.offset + within, part);
      else part.set((await this.#unpack(piece)).subarray(within, within + n));
      at += n;
    }
  }

  async #unpack(piece: Piece): Promise<Uint8Array> {
    if (this.#last?.piece === piece) return this.#last.bytes;
    const other = OTHERS.get(piece.type);
    if (piece.type !== Chunk.ZLIB)
      throw new BlockError('ENOTSUP', `chunks packed with ${other ?? piece.type.toString(16)} are not supported`);
    const packed = new Uint8Array(piece.packed);
    await this.file.read(piece.offset, packed);
    const bytes = this.codecs?.inflate(packed, piece.length);
    if (!bytes) throw new BlockError('EIO', 'a packed chunk cannot be unpacked');
    this.#last = { piece, bytes };
    return bytes;
  }

  override status(offset: number, length: number): BlockStatus {
    const piece = this.#find(offset);
    const n = piece ? piece.start + piece.length - offset : this.#gap(offset);
    const zero = !piece || piece.type === Chunk.ZERO || piece.type === Chunk.IGNORE;
    return { length: Math.max(1, Math.min(length, n)), data: !zero, zero, allocated: true };
  }

  info(): FormatInfo {
    return {};
  }
}

async function openDmg(file: BlockNode, context: OpenContext): Promise<DmgNode> {
  if (!context.readOnly) throw new UserError('dmg images can only be read: add readonly=on');
  const trailer = new Uint8Array(TRAILER_BYTES);
  if (file.length < TRAILER_BYTES) throw new UserError('Image not in dmg format');
  await file.read(file.length - TRAILER_BYTES, trailer);
  if (getU32be(trailer, 0) !== KOLY) throw new UserError('Could not locate UDIF trailer in dmg file');
  const dataFork = getU64be(trailer, 0x18);
  const plistOffset = getU64be(trailer, 0xd8);
  const plistBytes = getU64be(trailer, 0xe0);
  if (plistBytes === 0 || plistBytes > MAX_PLIST || plistOffset + plistBytes > file.length)
    throw new BlockError('EINVAL', 'the property list is not where it may be');
  const plist = new Uint8Array(plistBytes);
  await file.read(plistOffset, plist);
  const text = new TextDecoder().decode(plist);
  const pieces: Piece[] = [];
  for (const m of text.matchAll(/<data>([^<]*)<\/data>/g)) addTable(pieces, fromBase64(m[1]!), dataFork, file.length);
  pieces.sort((a, b) => a.start - b.start);
  const sectors = getU64be(trailer, 0x1ec);
  const end = pieces.reduce((most, p) => Math.max(most, p.start + p.length), 0);
  const length = Math.max(end, sectors < 2 ** 43 ? sectors * SECTOR : 0);
  return new DmgNode(file, length, pieces, context.host.codecs);
}

function addTable(pieces: Piece[], table: Uint8Array, dataFork: number, fileLength: number): void {
  if (table.length < 204 || getU32be(table, 0) !== MISH) return;
  const first = getU64be(table, 8);
  const base = getU64be(table, 24) + dataFork;
  for (let at = 204; at + 40 <= table.length; at += 40) {
    const type = getU32be(table, at);
    if (type === Chunk.COMMENT) continue;
    if (type === Chunk.END) break;
    const piece: Piece = {
      type,
      start: (first + getU64be(table, at + 8)) * SECTOR,
      length: getU64be(table, at + 16) * SECTOR,
      offset: base + getU64be(table, at + 24),
      packed: getU64be(table, at + 32),
    };
    if (piece.length === 0) continue;
    const stored = type !== Chunk.ZERO && type !== Chunk.IGNORE;
    if (piece.start + piece.length > 2 ** 53 || (stored && piece.offset + piece.packed > fileLength)) {
      throw new BlockError('EINVAL', 'a chunk of the image is not where it may be');
    }
    if (stored && type !== Chunk.RAW && (piece.length > MAX_CHUNK || piece.packed > MAX_CHUNK)) {
      throw new BlockError('EFBIG', 'a packed chunk of the image is too long');
    }
    if (pieces.length >= MAX_CHUNKS) throw new BlockError('EFBIG', 'the image has too many chunks');
    pieces.push(piece);
  }
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

function fromBase64(text: string): Uint8Array {
  const out: number[] = [];
  let bits = 0;
  let count = 0;
  for (const ch of text) {
    const value = BASE64.indexOf(ch);
    if (value < 0) continue;
    bits = ((bits << 6) | value) & 0xffffff;
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push((bits >> count) & 0xff);
    }
  }
  return Uint8Array.from(out);
}

export const DMG: Format = {
  name: 'dmg',
  // The trailer is not among the first bytes: the name must do.
  probe: (_head, file) => (/\.dmg$/i.test(file.filename) ? 2 : 0),
  open: openDmg,
};
