/**
 * A saved machine as a stream of bytes:
 *
 *      0   8  'TNMSTATE'
 *      8   4  version of this layout
 *     12   4  bytes of the description
 *     16   4  CRC-32 of the description
 *     20   4  CRC-32 of all above
 *     24      the description: a value (value-codec.ts)
 *             zeroes up to a multiple of 4096
 *             pages of RAM: those that the description names, in its order
 *             a checksum of each chunk of them (512 pages of a block, or what is left of it), 4 bytes each; the CRC-32 of these
 *             zeroes up to a multiple of 4096
 *
 * The description says all but the contents of RAM: which machine, every device, every processor, and which pages follow. So a
 * reader can tell whether the machine fits and all is there before it changes anything, and pages lie in a file as they lie in
 * memory. The checksums come last so that they are found while the pages are on their way.
 */
import { getU32, putU32 } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import type { StateValue } from '../state.js';
import {
  areRuns,
  type Chunk,
  checksumOf,
  chunkCount,
  chunks,
  PAGE,
  pagesIn,
  type RamBlock,
  usedRuns,
  viewsOf,
  zeroOutside,
} from './ram-pages.js';
import { decodeValue, encodeValue } from './value-codec.js';

const MAGIC = 'TNMSTATE';
export const LAYOUT_VERSION = 2;
const PROLOGUE_BYTES = 24;
/** What a description is at most: devices with large buffers have some hundred kilobytes. */
const MOST_DESCRIPTION = 64 << 20;
/** Chunks that are under way at a time. */
const WINDOW = 8;

/** CRC-32 (of PNG, zlib). */
export type Crc32 = (bytes: Uint8Array) => number;

/** Where a saved machine goes. Both fail with UserError. */
export interface StateSink {
  /** So many bytes will come. */
  expect?(bytes: number): Promise<void>;
  /** Appends; the bytes stay as they are until it settles. May be called before the call before has settled. */
  write(views: readonly Uint8Array[]): Promise<void>;
}

/** Where one comes from. */
export interface StateSource {
  /** Of all there is, when that is known. */
  readonly length?: number;
  /** Reads that are best under way at a time; without it, some chunks are. */
  readonly lanes?: number;
  /** Fills the views with what comes next. May be called before the call before has settled. */
  read(views: readonly Uint8Array[]): Promise<void>;
}

/** Is told how many bytes of RAM are done; throws to give up. */
export type Progress = (done: number, total: number) => void;

export interface RamMap {
  readonly name: string;
  readonly bytes: number;
  readonly runs: Uint32Array;
}

export interface Description {
  readonly machine: StateValue;
  readonly ram: readonly RamMap[];
}

const wholePages = (bytes: number): number => Math.ceil(bytes / PAGE) * PAGE;
const padding = (description: number): number =>
  wholePages(PROLOGUE_BYTES + description) - PROLOGUE_BYTES - description;
/** Bytes of the checksums. */
const trailerBytes = (ram: readonly RamMap[]): number =>
  wholePages(4 * (1 + ram.reduce((sum, { runs }) => sum + chunkCount(runs), 0)));

const broken = (what: string): UserError => new UserError(`the saved state is broken: ${what}`);

/** Bytes of the stored pages. */
export const ramBytes = (ram: readonly RamMap[]): number => PAGE * ram.reduce((sum, b) => sum + pagesIn(b.runs), 0);

/** Writes a machine that stands still. Gives how many bytes it took, and how many of them are RAM. */
export async function writeState(
  sink: StateSink,
  machine: StateValue,
  blocks: readonly RamBlock[],
  crc: Crc32,
  progress: Progress = () => {},
): Promise<{ readonly total: number; readonly ram: number }> {
  const ram = blocks.map((block): RamMap => ({ name: block.name, bytes: block.bytes.length, runs: usedRuns(block) }));
  const description = encodeValue({ machine, ram: ram as unknown as StateValue });
  const head = new Uint8Array(PROLOGUE_BYTES + description.length + padding(description.length));
  for (let i = 0; i < MAGIC.length; i++) head[i] = MAGIC.charCodeAt(i);
  putU32(head, 8, LAYOUT_VERSION);
  putU32(head, 12, description.length);
  putU32(head, 16, crc(description));
  putU32(head, 20, crc(head.subarray(0, 20)));
  head.set(description, PROLOGUE_BYTES);
  const pages = ramBytes(ram);
  const total = head.length + pages + trailerBytes(ram);
  await sink.expect?.(total);
  progress(0, pages);
  await sink.write([head]);
  const sums: number[] = [];
  let done = 0;
  for (const [i, block] of blocks.entries()) {
    await inWindow(
      chunks(ram[i]!.runs),
      async (chunk) => {
        const written = sink.write(viewsOf(block, chunk));
        sums.push(checksumOf(block, chunk));
        await written;
        return chunk.bytes;
      },
      (bytes) => {
        done += bytes;
        progress(done, pages);
      },
    );
  }
  await sink.write([trailer(sums, ram, crc)]);
  return { total, ram: pages };
}

function trailer(sums: readonly number[], ram: readonly RamMap[], crc: Crc32): Uint8Array {
  const bytes = new Uint8Array(trailerBytes(ram));
  for (const [i, sum] of sums.entries()) putU32(bytes, 4 * i, sum);
  putU32(bytes, 4 * sums.length, crc(bytes.subarray(0, 4 * sums.length)));
  return bytes;
}

/** Reads everything but RAM. Throws UserError for what is no saved machine, or a broken one, or one that is too new. */
export async function readDescription(source: StateSource, crc: Crc32): Promise<Description> {
  const prologue = new Uint8Array(PROLOGUE_BYTES);
  await source.read([prologue]);
  if (String.fromCharCode(...prologue.subarray(0, 8)) !== MAGIC) {
    throw new UserError('this is not a saved machine: it does not begin with TNMSTATE');
  }
  const version = getU32(prologue, 8);
  if (version > LAYOUT_VERSION) {
    throw new UserError(
      `the saved state has format ${version}, newer than ${LAYOUT_VERSION}, the newest known here: use a newer Tinamou`,
    );
  }
  if (crc(prologue.subarray(0, 20)) !== getU32(prologue, 20)) throw broken('checksum of its first bytes');
  if (version < LAYOUT_VERSION) {
    throw new UserError(
      `the saved state has format ${version}, older than ${LAYOUT_VERSION}, the only one known here: save the machine anew`,
    );
  }
  const length = getU32(prologue, 12);
  if (length > MOST_DESCRIPTION) throw broken(`a description of ${length} bytes`);
  if (source.length !== undefined && length > source.length) throw broken('it is cut off');
  const description = new Uint8Array(length);
  await source.read([description, new Uint8Array(padding(length))]);
  if (crc(description) !== getU32(prologue, 16)) throw broken('checksum of its description');
  const read = asDescription(decodeValue(description));
  const total = PROLOGUE_BYTES + length + padding(length) + ramBytes(read.ram) + trailerBytes(read.ram);
  if (source.length !== undefined && source.length < total) {
    throw broken(`it is cut off: it has ${source.length} of ${total} bytes`);
  }
  return read;
}

function asDescription(value: StateValue): Description {
  const { machine, ram } = value as unknown as Partial<Description>;
  if (machine === undefined || !Array.isArray(ram)) throw broken('no description');
  for (const block of ram as readonly Partial<RamMap>[]) {
    const { name, bytes, runs } = block;
    const right =
      typeof name === 'string' &&
      typeof bytes === 'number' &&
      Number.isInteger(bytes / PAGE) &&
      runs instanceof Uint32Array &&
      areRuns(runs, bytes / PAGE);
    if (!right) throw broken('pages of RAM');
  }
  return { machine, ram: ram as readonly RamMap[] };
}

/** The checksums of a block's chunks, once it is filled. */
export type Filled = Promise<readonly number[]>;

/**
 * Reads what comes next into the pages of a block that holds nothing else. Of a source with lanes all is asked for at once. Fails
 * with UserError; what the block holds is undefined then.
 */
export async function fillBlock(source: StateSource, { runs }: RamMap, block: RamBlock): Promise<readonly number[]> {
  const sums: number[] = [];
  const fill = async (some: readonly Chunk[]): Promise<readonly Chunk[]> => {
    await source.read(some.flatMap((chunk) => viewsOf(block, chunk)));
    return some;
  };
  const { lanes } = source;
  await inWindow(
    batches(chunks(runs), lanes === undefined ? 1 : Math.ceil(chunkCount(runs) / lanes)),
    fill,
    (some) => {
      for (const chunk of some) sums.push(checksumOf(block, chunk));
    },
    lanes === undefined ? WINDOW : Number.POSITIVE_INFINITY,
  );
  return sums;
}

/** What the host takes in one call. */
const MOST_PIECES = 1000;

function* batches(all: Iterable<Chunk>, size: number): Generator<readonly Chunk[]> {
  let some: Chunk[] = [];
  let pieces = 0;
  for (const chunk of all) {
    const own = chunk.runs.length / 2;
    if (some.length === size || (some.length > 0 && pieces + own > MOST_PIECES)) {
      yield some;
      some = [];
      pieces = 0;
    }
    some.push(chunk);
    pieces += own;
  }
  if (some.length > 0) yield some;
}

/**
 * Fills the machine's memory, whose blocks are those of the description. `untouched`: nothing has been written to the block
 * since it was made. `ahead`: of the first blocks, which are filled already or about to be. Throws UserError when a page is not
 * what was saved; memory is undefined then.
 */
export async function readRam(
  source: StateSource,
  { ram }: Description,
  blocks: readonly (RamBlock & { readonly untouched: boolean })[],
  crc: Crc32,
  ahead: readonly Filled[] = [],
): Promise<void> {
  const sums: number[] = [];
  for (const [i, block] of blocks.entries()) {
    const map = ram[i]!;
    if (!block.untouched && !ahead[i]) zeroOutside(block, map.runs);
    for (const sum of await (ahead[i] ?? fillBlock(source, map, block))) sums.push(sum);
  }
  const expected = new Uint8Array(trailerBytes(ram));
  await source.read([expected]);
  const own = trailer(sums, ram, crc);
  if (own.some((byte, i) => byte !== expected[i])) throw broken('checksum of its RAM');
}

/**
 * Works on each of `all`, on `window` of them at a time; `after` each, in order, with what the work gave. Waits for all that was
 * begun, also when some of it fails.
 */
async function inWindow<T, R>(
  all: Iterable<T>,
  work: (item: T) => Promise<R>,
  after: (result: R) => void,
  window = WINDOW,
): Promise<void> {
  const running: Promise<R>[] = [];
  try {
    for (const item of all) {
      if (running.length >= window) after(await running.shift()!);
      const started = work(item);
      // Its failure is seen when its turn comes.
      started.catch(() => {});
      running.push(started);
    }
    while (running.length > 0) after(await running.shift()!);
  } finally {
    await Promise.allSettled(running);
  }
}
