/**
 * A saved machine as a stream of bytes:
 *
 *      0   8  'TNMSTATE'
 *      8   4  version of this layout
 *     12   4  bytes of the description
 *     16   4  CRC-32 of the description
 *     20   4  CRC-32 of all above
 *     24      the description: a value (value-codec.ts)
 *             a map of each block of RAM: a bit for each page, set where the page is stored; the CRC-32 of the maps
 *             zeroes up to a multiple of 4096
 *             the pages of RAM that the maps have, in their order
 *             a checksum of each chunk of them (512 pages of a block, or what is left of it), 4 bytes each; the CRC-32 of these
 *             zeroes up to a multiple of 4096
 *
 * The description says all but the contents of RAM: which machine, every device, every processor, which blocks of RAM. So a
 * reader can tell whether the machine fits and all is there before it changes anything, and pages lie in a file as they lie in
 * memory. What comes before the pages is as long whichever of them are stored, so that pages can be written while the search for
 * more goes on; the checksums come last so that they are found while pages are on their way.
 */
import { getU32, putU32 } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import type { StateValue } from '../state.js';
import {
  CHUNK_PAGES,
  type Chunk,
  checksumOf,
  chunkCount,
  chunks,
  mapBytes,
  PAGE,
  pagesIn,
  type RamBlock,
  runsOf,
  usedChunks,
  viewsOf,
  zeroOutside,
} from './ram-pages.js';
import { decodeValue, encodeValue } from './value-codec.js';

const MAGIC = 'TNMSTATE';
export const LAYOUT_VERSION = 3;
const PROLOGUE_BYTES = 24;
/** What a description is at most: devices with large buffers have some hundred kilobytes. */
const MOST_DESCRIPTION = 64 << 20;
/** All memory of a machine is part of 4 GiB of WebAssembly's. */
const MOST_RAM = 2 ** 32;
/** Chunks that are read at a time. */
const WINDOW = 8;
/** Chunks that are written at a time: so many that the way to another thread weighs little, so few that the last do not. */
const WRITTEN_CHUNKS = 3;

/** CRC-32 (of PNG, zlib). */
export type Crc32 = (bytes: Uint8Array) => number;

/** Where a saved machine goes. Both fail with UserError. */
export interface StateSink {
  /** Bytes can be written at any place; else each write begins where the one before has ended. */
  readonly anywhere: boolean;
  /** So many bytes will come at most. */
  expect?(most: number): Promise<void>;
  /** Bytes up to there come next; while others are still being written. */
  makeRoom?(end: number): Promise<void>;
  /** Begins at once. One call at a time; the bytes stay as they are until it settles. */
  write(position: number, views: readonly Uint8Array[]): Promise<void>;
}

/** Where one comes from. */
export interface StateSource {
  /** Of all there is, when that is known. */
  readonly length?: number;
  /** Reads that are best under way at a time; without it, some chunks are. */
  readonly lanes?: number;
  /** Fills the views with what comes next. May be called before the call before has settled. */
  read(views: readonly Uint8Array[]): Promise<void>;
  /** The same at once, where that takes no longer than to wait for it. */
  readNow?(views: readonly Uint8Array[]): void;
}

/** Is told how many bytes of RAM are done, and how many there are at most; throws to give up. */
export type Progress = (done: number, most: number) => void;

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
/** Bytes of all maps and their CRC. */
const mapsBytes = (ram: readonly { readonly bytes: number }[]): number =>
  4 + ram.reduce((sum, { bytes }) => sum + mapBytes(bytes), 0);
/** Bytes before the pages. */
const headBytes = (description: number, ram: readonly { readonly bytes: number }[]): number =>
  wholePages(PROLOGUE_BYTES + description + mapsBytes(ram));
/** Bytes of the checksums. */
const trailerBytes = (sums: number): number => wholePages(4 * (1 + sums));
const sumsOf = (ram: readonly RamMap[]): number => ram.reduce((sum, { runs }) => sum + chunkCount(runs), 0);

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
  const ram = blocks.map(({ name, bytes }) => ({ name, bytes: bytes.length }));
  const description = encodeValue({ machine, ram });
  const start = headBytes(description.length, ram);
  let most = ram.reduce((sum, { bytes }) => sum + bytes, 0);
  // A block may end with a chunk that is not full.
  await sink.expect?.(start + most + trailerBytes(ram.length + most / PAGE / CHUNK_PAGES));
  const maps = ram.map(({ bytes }) => new Uint8Array(mapBytes(bytes)));
  const found = blocks.map((block, i) => usedChunks(block, maps[i]!));
  // Where what comes first must be written first, all is looked for before.
  let all: readonly Iterable<Chunk>[] = found;
  if (!sink.anywhere) {
    const searched = found.map((some) => [...some]);
    all = searched;
    most = searched.flat().reduce((sum, { bytes }) => sum + bytes, 0);
    await sink.write(0, [head(description, maps, start, crc)]);
  }
  const sums: number[] = [];
  let position = start;
  // One write at a time, as a file takes no more: threads that wait for it take processors from who has work.
  let written: Promise<void> | undefined;
  try {
    for (const [i, block] of blocks.entries()) {
      for (const some of batches(all[i]!, () => (written ? WRITTEN_CHUNKS : 1))) {
        const bytes = some.reduce((sum, chunk) => sum + chunk.bytes, 0);
        await sink.makeRoom?.(position + bytes);
        await written;
        progress(position - start, most);
        written = sink.write(
          position,
          some.flatMap((chunk) => viewsOf(block, chunk)),
        );
        // Its failure is seen when it is waited for.
        written.catch(() => {});
        position += bytes;
        for (const chunk of some) sums.push(checksumOf(block, chunk));
      }
    }
  } finally {
    await written;
  }
  const pages = position - start;
  progress(pages, pages);
  const end = trailer(sums, crc);
  await sink.makeRoom?.(position + end.length);
  await sink.write(position, [end]);
  if (sink.anywhere) await sink.write(0, [head(description, maps, start, crc)]);
  return { total: position + end.length, ram: pages };
}

/** All that comes before the pages. */
function head(description: Uint8Array, maps: readonly Uint8Array[], length: number, crc: Crc32): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < MAGIC.length; i++) bytes[i] = MAGIC.charCodeAt(i);
  putU32(bytes, 8, LAYOUT_VERSION);
  putU32(bytes, 12, description.length);
  putU32(bytes, 16, crc(description));
  putU32(bytes, 20, crc(bytes.subarray(0, 20)));
  bytes.set(description, PROLOGUE_BYTES);
  const first = PROLOGUE_BYTES + description.length;
  let at = first;
  for (const map of maps) {
    bytes.set(map, at);
    at += map.length;
  }
  putU32(bytes, at, crc(bytes.subarray(first, at)));
  return bytes;
}

function trailer(sums: readonly number[], crc: Crc32): Uint8Array {
  const bytes = new Uint8Array(trailerBytes(sums.length));
  for (const [i, sum] of sums.entries()) putU32(bytes, 4 * i, sum);
  putU32(bytes, 4 * sums.length, crc(bytes.subarray(0, 4 * sums.length)));
  return bytes;
}

/** Reads everything but RAM. Throws UserError for what is no saved machine, or a broken one, or one that is too new. */
export async function readDescription(source: StateSource, crc: Crc32): Promise<Description> {
  const steps = describe(source.length, crc);
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    await source.read([step.value]);
  }
}

/** The same of a source that has `readNow`, before anything is waited for. */
export function readDescriptionNow(source: Required<Pick<StateSource, 'readNow' | 'length'>>, crc: Crc32): Description {
  const steps = describe(source.length, crc);
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    source.readNow([step.value]);
  }
}

/** Gives one after the other what is to be filled with what comes next. `all`: bytes that there are, if that is known. */
function* describe(all: number | undefined, crc: Crc32): Generator<Uint8Array, Description, void> {
  const prologue = new Uint8Array(PROLOGUE_BYTES);
  yield prologue;
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
  if (all !== undefined && length > all) throw broken('it is cut off');
  const description = new Uint8Array(length);
  yield description;
  if (crc(description) !== getU32(prologue, 16)) throw broken('checksum of its description');
  const { machine, ram } = asDescription(decodeValue(description));
  const start = headBytes(length, ram);
  // Before anything so large is made.
  if (all !== undefined && start > all) throw broken('it is cut off');
  const maps = new Uint8Array(start - PROLOGUE_BYTES - length);
  yield maps;
  const end = mapsBytes(ram) - 4;
  if (crc(maps.subarray(0, end)) !== getU32(maps, end)) throw broken('checksum of its pages');
  let at = 0;
  const mapped = ram.map(({ name, bytes }): RamMap => {
    const runs = runsOf(maps.subarray(at, at + mapBytes(bytes)), bytes / PAGE);
    if (!runs) throw broken('pages of RAM');
    at += mapBytes(bytes);
    return { name, bytes, runs };
  });
  const total = start + ramBytes(mapped) + trailerBytes(sumsOf(mapped));
  if (all !== undefined && all < total) {
    throw broken(`it is cut off: it has ${all} of ${total} bytes`);
  }
  return { machine, ram: mapped };
}

interface SavedBlock {
  readonly name: string;
  readonly bytes: number;
}

function asDescription(value: StateValue): { machine: StateValue; ram: readonly SavedBlock[] } {
  const { machine, ram } = value as unknown as Partial<Description>;
  if (machine === undefined || !Array.isArray(ram)) throw broken('no description');
  let all = 0;
  for (const { name, bytes } of ram as readonly Partial<SavedBlock>[]) {
    if (typeof name !== 'string' || typeof bytes !== 'number' || !(bytes >= 0) || !Number.isInteger(bytes / PAGE)) {
      throw broken('blocks of RAM');
    }
    all += bytes;
  }
  if (all > MOST_RAM) throw broken(`${all} bytes of RAM`);
  return { machine, ram: ram as readonly SavedBlock[] };
}

/** The checksums of a block's chunks, once it is filled. */
export type Filled = Promise<readonly number[]>;

/**
 * Reads what comes next into the pages of a block that holds nothing else. Of a source with lanes all is asked for at once. Fails
 * with UserError; what the block holds is undefined then.
 */
export async function fillBlock(source: StateSource, map: RamMap, block: RamBlock): Promise<readonly number[]> {
  const sums: number[] = [];
  await fillPages(source, map, block, (chunk) => sums.push(checksumOf(block, chunk)));
  return sums;
}

/** What `fillBlock` gives, of a block that `fillPages` has filled. */
export const checksums = (block: RamBlock, { runs }: RamMap): readonly number[] =>
  Array.from(chunks(runs), (chunk) => checksumOf(block, chunk));

/** The same as `fillBlock`, where nobody can find checksums yet. `filled`: is told of each chunk, in order. */
export async function fillPages(
  source: StateSource,
  { runs }: RamMap,
  block: Pick<RamBlock, 'bytes'>,
  filled: (chunk: Chunk) => void = () => {},
): Promise<void> {
  const fill = async (some: readonly Chunk[]): Promise<readonly Chunk[]> => {
    await source.read(some.flatMap((chunk) => viewsOf(block, chunk)));
    return some;
  };
  const { lanes } = source;
  await inWindow(
    batches(chunks(runs), () => (lanes === undefined ? 1 : Math.ceil(chunkCount(runs) / lanes))),
    fill,
    (some) => some.forEach(filled),
    lanes === undefined ? WINDOW : Number.POSITIVE_INFINITY,
  );
}

/** What the host takes in one call. */
const MOST_PIECES = 1000;

function* batches(all: Iterable<Chunk>, size: () => number): Generator<readonly Chunk[]> {
  let some: Chunk[] = [];
  let pieces = 0;
  for (const chunk of all) {
    const own = chunk.runs.length / 2;
    if (some.length > 0 && pieces + own > MOST_PIECES) {
      yield some;
      some = [];
      pieces = 0;
    }
    some.push(chunk);
    pieces += own;
    if (some.length < size()) continue;
    yield some;
    some = [];
    pieces = 0;
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
  const own = trailer(sums, crc);
  const expected = new Uint8Array(own.length);
  await source.read([expected]);
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
