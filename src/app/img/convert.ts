/** `convert` and `dd`: copies from image to image. */
import { UserError } from '../../base/errors.js';
import { chainStatus } from '../../block/chain.js';
import { relativeTo } from '../../block/filename.js';
import type { FormatNode } from '../../block/format.js';
import { formatNamed } from '../../block/formats.js';
import { type BlockNode, isZero, settled } from '../../block/node.js';
import { Bitmap, loadBitmaps } from '../../block/qcow2/bitmaps.js';
import { Qcow2Node } from '../../block/qcow2/node.js';
import { type Command, noSnapshots, using } from './context.js';
import { keyValues, sizeOption } from './getopt.js';
import { checkOptionLists, creatable, makeImage, optionsHelp } from './make.js';
import { Pace } from './pace.js';

const SECTOR = 512;
const BUFFER = 2 << 20;
const DEFAULT_SPARSE = 4096;
const MAX_SPARSE = 16 << 20;
const MAX_COROUTINES = 16;

interface Source {
  readonly node: BlockNode;
  readonly start: number;
}

export async function convert(c: Command): Promise<number> {
  const { options } = c;
  const targetFormat = options.get('O') ?? 'raw';
  const target = options.operands.at(-1);
  checkOptionLists(options.all('o'));
  if (options.all('o').includes('help')) {
    c.print(optionsHelp(creatable(targetFormat, ''), target));
    return 0;
  }
  const names = options.operands.slice(0, -1);
  if (target === undefined || names.length < 1) throw new UserError('Must specify image file name');
  if (options.has('target-image-opts') && !options.has('n'))
    throw new UserError('--target-image-opts requires use of -n flag');
  if (options.has('target-is-zero') && !options.has('n'))
    throw new UserError('--target-is-zero requires use of -n flag');
  if (options.has('B') && !options.has('F') && !options.has('n'))
    throw new UserError('Use of backing file requires explicit backing format');
  if (options.has('skip-broken-bitmaps') && !options.has('bitmaps'))
    throw new UserError('Use of --skip-broken-bitmaps requires --bitmaps');
  const sparse = options.has('S') ? sizeOption('buffer size for sparse output', options.get('S')!) : DEFAULT_SPARSE;
  if (sparse % SECTOR !== 0 || sparse > MAX_SPARSE)
    throw new UserError(
      `Invalid buffer size for sparse output specified. Valid sizes are multiples of ${SECTOR} up to ${MAX_SPARSE}. Select 0 to disable sparse detection (fully allocates output).`,
    );
  const coroutines = Number(options.get('m') ?? 1);
  if (!(coroutines >= 1 && coroutines <= MAX_COROUTINES))
    throw new UserError(
      `Invalid number of coroutines. Allowed number of coroutines is between 1 and ${MAX_COROUTINES}`,
    );
  const pace = new Pace(options);
  if (options.has('C')) {
    if (options.has('S')) throw new UserError('Cannot enable copy offloading when -S is used');
    if (options.has('c')) throw new UserError('Cannot enable copy offloading when -c is used');
    if (options.has('salvage')) throw new UserError('Cannot use copy offloading in salvaging mode');
  }
  const snapshot = options.get('l');
  if (snapshot !== undefined && names.length > 1) throw new UserError('No support for concatenating multiple snapshot');
  const format = options.get('f');
  const opened: FormatNode[] = [];
  try {
    for (const name of names) {
      opened.push(
        await c.open(name, {
          readOnly: true,
          cache: c.cache('T', 'writeback'),
          // What comes next is read while something is written.
          beside: true,
          ...(format !== undefined && { format }),
        }),
      );
    }
    const sources: Source[] = [];
    let total = 0;
    for (const node of opened) {
      const from = snapshot === undefined ? node : await snapshotOf(node, snapshot);
      sources.push({ node: from, start: total });
      total += from.length;
    }
    return await copyTo(c, sources, opened[0]!, target, targetFormat, total, sparse, pace);
  } finally {
    for (const node of opened) await node.close();
  }
}

async function snapshotOf(node: FormatNode, text: string): Promise<BlockNode> {
  const pairs = text.startsWith('snapshot.') ? keyValues(text) : null;
  const name = pairs ? (pairs.get('snapshot.id') ?? pairs.get('snapshot.name') ?? '') : text;
  if (!node.snapshots) throw noSnapshots(node);
  return node.snapshots.open(name);
}

async function copyTo(
  c: Command,
  sources: readonly Source[],
  first: FormatNode,
  target: string,
  targetFormat: string,
  total: number,
  sparse: number,
  pace: Pace,
): Promise<number> {
  const { options } = c;
  const said = new Map(options.all('o').flatMap((text) => [...keyValues(text)]));
  // Named either way, it shows through where the target has nothing.
  const backing = options.get('B') ?? said.get('backing_file');
  if (options.has('bitmaps') && !(first instanceof Qcow2Node)) throw new UserError('Source lacks bitmap support');
  if (!options.has('n')) {
    await makeImage({
      filename: target,
      format: targetFormat,
      options: options.all('o'),
      size: total,
      backingFile: options.get('B'),
      backingFormat: options.get('F'),
      secrets: c.secrets,
      purpose: `error while converting ${targetFormat}`,
    });
  }
  // What the target was encrypted with opens it too.
  const secrets: Record<string, string> = {};
  for (const [name, value] of said) if (name.endsWith('key-secret')) secrets[name] = value;
  const byOptions = options.has('target-image-opts');
  const node = await c.open(
    target,
    { ...(!byOptions && { format: targetFormat }), cache: c.cache('t', 'unsafe'), options: secrets },
    byOptions,
  );
  return using(node, async () => {
    const compress = options.has('c') || (node.onlyCompressed ?? false);
    if (compress && !node.writeCompressed) throw new UserError(`Compression not supported for this file format`);
    if (node.length < total) {
      throw new UserError(`Target image is too small: ${node.length} bytes for ${total}`);
    }
    const zeroed =
      !options.has('n') && backing === undefined && targetFormat !== 'host_device'
        ? true
        : options.has('target-is-zero');
    const progress = c.progress();
    await copy(sources, node, {
      compress,
      sparse,
      pace,
      zeroed,
      salvage: options.has('salvage'),
      base:
        backing === undefined ? null : await openSame(c, target, backing, options.get('F') ?? said.get('backing_fmt')),
      note: (text) => c.error(text),
      progress: (done) => progress.at(total === 0 ? 1 : done / total),
    });
    if (options.has('bitmaps') && first instanceof Qcow2Node) await copyBitmaps(c, first, node);
    await node.flush();
    progress.end();
    return 0;
  });
}

async function openSame(c: Command, target: string, backing: string, format: string | undefined): Promise<BlockNode> {
  return c.open(relativeTo(target, backing), { readOnly: true, ...(format !== undefined && { format }) }, false);
}

interface CopyOptions {
  readonly compress: boolean;
  /** Zeroes of this many bytes are left out; 0: nothing is. */
  readonly sparse: number;
  /** The target reads as zeroes already. */
  readonly zeroed: boolean;
  readonly salvage: boolean;
  /** Copied is only what differs from it. */
  readonly base: BlockNode | null;
  readonly pace: Pace;
  readonly note: (text: string) => void;
  readonly progress: (done: number) => void;
}

async function copy(sources: readonly Source[], target: FormatNode, o: CopyOptions): Promise<void> {
  const unit = o.compress ? (target.compressedUnit ?? 65536) : SECTOR;
  // Threads that compress have several clusters to choose from.
  const size = Math.max(BUFFER, o.compress ? 4 * unit : unit);
  const buffers = [new Uint8Array(size), new Uint8Array(size)];
  const pieces = piecesOf(sources, size, unit);
  const begin = ({ value: piece, done }: IteratorResult<Piece, void>): Begun | null => {
    if (done || !piece) return null;
    if (piece.zero && !(o.sparse === 0 && !o.compress)) return { ...piece, data: null, reading: undefined };
    const data = buffers.reverse()[0]!.subarray(0, piece.length);
    const reading = readAll(sources, piece.at, data, o);
    reading.catch(() => {}); // Told when it is this piece's turn.
    return { ...piece, data, reading };
  };
  let ahead = begin(await pieces.next());
  while (ahead) {
    const { at, length, data, reading } = ahead;
    await reading;
    ahead = begin(await pieces.next());
    if (data !== null || !o.zeroed) await o.pace.before(length);
    if (data === null) {
      if (o.base) {
        if (!(await baseIsZero(o.base, at, length))) await target.writeZeroes(at, length, true);
      } else if (!o.zeroed) await target.writeZeroes(at, length, true);
    } else if (o.compress) await writeCompressed(target, at, data, unit, o);
    else if (o.base) await writeDifferent(o.base, target, at, data);
    else await writeSparse(target, at, data, o);
    o.progress(at + length);
  }
  await o.base?.close();
}

interface Piece {
  readonly at: number;
  readonly length: number;
  readonly zero: boolean;
}

interface Begun extends Piece {
  /** Null for what need not be read. */
  readonly data: Uint8Array | null;
  readonly reading: Promise<void> | undefined;
}

async function* piecesOf(sources: readonly Source[], most: number, unit: number): AsyncGenerator<Piece, void> {
  const end = sources.reduce((sum, s) => sum + s.node.length, 0);
  let extent: Extent | null = null;
  for (let at = 0; at < end; ) {
    // What is known of a long stretch is not asked again for each piece of it.
    if (!extent || at >= extent.end) extent = await extentAt(sources, at);
    const piece = nextPiece(extent, at, most, unit, end);
    yield { at, ...piece };
    at += piece.length;
  }
}

interface Extent {
  readonly end: number;
  readonly zero: boolean;
}

async function extentAt(sources: readonly Source[], at: number): Promise<Extent> {
  const source = sources.findLast((s) => s.start <= at)!;
  const within = at - source.start;
  const status = await chainStatus(source.node, within, Math.min(source.node.length - within, 1 << 30));
  return { end: at + status.length, zero: status.zero || (!status.allocated && !status.data) };
}

function nextPiece(
  extent: Extent,
  at: number,
  most: number,
  unit: number,
  end: number,
): { readonly length: number; readonly zero: boolean } {
  const known = extent.end - at;
  if (extent.zero) {
    if (extent.end >= end) return { length: end - at, zero: true };
    // Compression goes by whole clusters, which may have parts that are zero.
    const whole = Math.floor(known / unit) * unit;
    if (whole > 0) return { length: whole, zero: true };
    return { length: Math.min(unit, end - at), zero: false };
  }
  return { length: Math.min(Math.ceil(known / unit) * unit, most, end - at), zero: false };
}

async function readAll(sources: readonly Source[], at: number, into: Uint8Array, o: CopyOptions): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const source = sources.findLast((s) => s.start <= at + done)!;
    const within = at + done - source.start;
    const n = Math.min(into.length - done, source.node.length - within);
    const part = into.subarray(done, done + n);
    try {
      const reading = source.node.read(within, part);
      if (reading) await reading;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      if (!o.salvage) throw new UserError(`error while reading at byte ${within}: ${error.message}`);
      await salvage(source.node, within, part, o);
    }
    done += n;
  }
}

/** Sector by sector; what cannot be read is zero. */
async function salvage(node: BlockNode, offset: number, into: Uint8Array, o: CopyOptions): Promise<void> {
  for (let at = 0; at < into.length; at += SECTOR) {
    const sector = into.subarray(at, at + SECTOR);
    try {
      await node.read(offset + at, sector);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      o.note(`warning: error while reading offset ${offset + at}: ${error.message}`);
      sector.fill(0);
    }
  }
}

async function writeCompressed(
  target: FormatNode,
  at: number,
  data: Uint8Array,
  unit: number,
  o: CopyOptions,
): Promise<void> {
  const writing: Promise<void>[] = [];
  for (let i = 0; i < data.length; i += unit) {
    const part = data.subarray(i, i + unit);
    if (o.zeroed && isZero(part)) continue;
    const done = target.writeCompressed!(at + i, part);
    if (target.compressesBeside) writing.push(done);
    else await done;
  }
  await settled(writing);
}

/** Leaves out aligned pieces of zeroes. */
async function writeSparse(target: BlockNode, at: number, data: Uint8Array, o: CopyOptions): Promise<void> {
  if (o.sparse === 0) {
    const writing = target.write(at, data);
    if (writing) await writing;
    return;
  }
  for (let start = 0; start < data.length; ) {
    const zero = isZeroPiece(data, start, o.sparse);
    const end = stretchEnd(data, start, o.sparse, zero);
    if (!zero) {
      const writing = target.write(at + start, data.subarray(start, end));
      if (writing) await writing;
    } else if (!o.zeroed) await target.writeZeroes(at + start, end - start, true);
    start = end;
  }
}

/** Where pieces of `unit` bytes that are all zero, or all not, end. A function of its own: V8 compiles it soon, and little with it. */
function stretchEnd(data: Uint8Array, start: number, unit: number, zero: boolean): number {
  let end = start + unit;
  while (end < data.length && isZeroPiece(data, end, unit) === zero) end += unit;
  return Math.min(end, data.length);
}

function isZeroPiece(data: Uint8Array, start: number, unit: number): boolean {
  const end = Math.min(start + unit, data.length);
  // Mostly one of these tells.
  if (data[start] !== 0 || data[end - 1] !== 0 || data[(start + end) >>> 1] !== 0) return false;
  return isZero(data.subarray(start, end));
}

async function baseIsZero(base: BlockNode, at: number, length: number): Promise<boolean> {
  while (length > 0 && at < base.length) {
    const s = await chainStatus(base, at, Math.min(length, base.length - at));
    if (!s.zero && (s.data || s.allocated)) return false;
    at += s.length;
    length -= s.length;
  }
  return true;
}

const COMPARE_UNIT = 65536;

async function writeDifferent(base: BlockNode, target: BlockNode, at: number, data: Uint8Array): Promise<void> {
  const old = new Uint8Array(COMPARE_UNIT);
  for (let i = 0; i < data.length; i += COMPARE_UNIT) {
    const part = data.subarray(i, i + COMPARE_UNIT);
    const there = old.subarray(0, part.length);
    there.fill(0);
    if (at + i < base.length) {
      await base.read(at + i, there.subarray(0, Math.min(part.length, base.length - at - i)));
    }
    if (Buffer.compare(part, there) !== 0) await target.write(at + i, part);
  }
}

async function copyBitmaps(c: Command, from: Qcow2Node, to: FormatNode): Promise<void> {
  if (!(to instanceof Qcow2Node) || to.image.header.version < 3)
    throw new UserError(`Format driver '${to.driver}' does not support bitmaps`);
  to.bitmaps ??= [];
  for (const b of await loadBitmaps(from.image)) {
    if (b.inconsistent) {
      if (!c.options.has('skip-broken-bitmaps')) throw new UserError(`Cannot copy inconsistent bitmap '${b.name}'`);
      c.error(`warning: Skipping inconsistent bitmap '${b.name}'`);
      continue;
    }
    if (to.bitmaps.some((there) => there.name === b.name))
      throw new UserError(`Failed to create bitmap ${b.name}: Bitmap already exists: ${b.name}`);
    const copied = new Bitmap(b.name, b.granularityBits, to.length, b.enabled, false);
    copied.bits.set(b.bits.subarray(0, copied.bits.length));
    to.bitmaps.push(copied);
    to.bitmapsChanged = true;
  }
}

/** Most bytes of dd's bs. */
const MAX_BLOCK = 2 ** 31 - 1;

export async function dd(c: Command): Promise<number> {
  const values = new Map<string, string>();
  for (const operand of c.options.operands) {
    const [, name = operand, value = ''] = /^([^=]*)=(.*)$/s.exec(operand) ?? [];
    if (!operand.includes('=')) throw new UserError(`unrecognized operand ${operand}`);
    if (!['bs', 'count', 'if', 'of', 'skip'].includes(name)) throw new UserError(`unrecognized operand ${name}`);
    values.set(name, value);
  }
  const from = values.get('if');
  const to = values.get('of');
  if (from === undefined || to === undefined) throw new UserError('Must specify both input and output files');
  const number = (name: string, otherwise: number): number => {
    const text = values.get(name);
    if (text === undefined) return otherwise;
    return name === 'bs' ? sizeOption(name, text, 1, MAX_BLOCK) : sizeOption(name, text);
  };
  const targetFormat = c.options.get('O') ?? 'raw';
  if (!formatNamed(targetFormat)) throw new UserError('Unknown file format');
  const block = number('bs', SECTOR);
  const skip = number('skip', 0) * block;
  const format = c.options.get('f');
  const source = await c.open(from, { readOnly: true, ...(format !== undefined && { format }) });
  return using(source, async () => {
    const limit = values.has('count') ? number('count', 0) * block : Number.POSITIVE_INFINITY;
    const size = Math.max(0, Math.min(source.length, skip + limit) - skip);
    if (skip > source.length) c.error(`${from}: cannot skip to specified offset`);
    await makeImage({
      filename: to,
      format: targetFormat,
      options: [],
      size,
      secrets: c.secrets,
      purpose: 'error while creating output image',
    });
    const target = await c.open(to, { format: targetFormat, cache: 'unsafe' }, false);
    return using(target, async () => {
      const buffer = new Uint8Array(BUFFER);
      for (let at = 0; at < size; at += buffer.length) {
        const data = buffer.subarray(0, Math.min(buffer.length, size - at));
        await source.read(skip + at, data);
        await target.write(at, data);
      }
      return 0;
    });
  });
}
