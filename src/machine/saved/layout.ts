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
 *
 * The description says all but the contents of RAM: which machine, every device, every processor, which pages follow and the
 * CRC-32 of each mebibyte of them. So a reader can tell whether the machine fits before it changes anything, and pages lie in a
 * file as they lie in memory.
 */
import { getU32, putU32 } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import type { StateValue } from '../state.js';
import { areRuns, CHUNK_PAGES, chunks, PAGE, pagesIn, type RamBlock, usedRuns, zeroOutside } from './ram-pages.js';
import { decodeValue, encodeValue } from './value-codec.js';

const MAGIC = 'TNMSTATE';
export const LAYOUT_VERSION = 1;
const PROLOGUE_BYTES = 24;
/** What a description is at most: devices with large buffers have some hundred kilobytes. */
const MOST_DESCRIPTION = 64 << 20;
/** Chunks that are under way at a time. */
const WINDOW = 4;

/** CRC-32 (of PNG, zlib). */
export interface Checksums {
  /** `seed`: that of what came before. */
  of(bytes: Uint8Array, seed?: number): number;
  /** The same, in another thread where that can be had; the bytes stay as they are until it settles. */
  beside(bytes: Uint8Array): Promise<number>;
}

/** Where a saved machine goes. Both fail with UserError. */
export interface StateSink {
  /** Appends; the bytes stay as they are until it settles. May be called before the call before has settled. */
  write(views: readonly Uint8Array[]): Promise<void>;
}

/** Where one comes from. */
export interface StateSource {
  /** Of all there is, when that is known. */
  readonly length?: number;
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
  readonly checksums: Uint32Array;
}

const padding = (description: number): number => (PAGE - ((PROLOGUE_BYTES + description) % PAGE)) % PAGE;

const broken = (what: string): UserError => new UserError(`the saved state is broken: ${what}`);

/** Bytes of the stored pages. */
export const ramBytes = (ram: readonly RamMap[]): number => PAGE * ram.reduce((sum, b) => sum + pagesIn(b.runs), 0);

/** Writes a machine that stands still. Gives how many bytes it took, and how many of them are RAM. */
export async function writeState(
  sink: StateSink,
  machine: StateValue,
  blocks: readonly RamBlock[],
  crc: Checksums,
  progress: Progress = () => {},
): Promise<{ readonly total: number; readonly ram: number }> {
  const used = blocks.map((block) => ({ name: block.name, bytes: block.bytes, runs: usedRuns(block) }));
  const checksums: number[] = [];
  const pieces = new Pieces();
  await inWindow(chunks(used), async (views, index) => {
    const whole = pieces.joined(views);
    checksums[index] = await crc.beside(whole);
    pieces.done(whole, views);
    return views;
  });
  const ram = used.map(({ name, bytes, runs }): RamMap => ({ name, bytes: bytes.length, runs }));
  const description = encodeValue({
    machine,
    ram: ram as unknown as StateValue,
    checksums: Uint32Array.from(checksums),
  });
  const head = new Uint8Array(PROLOGUE_BYTES + description.length + padding(description.length));
  for (let i = 0; i < MAGIC.length; i++) head[i] = MAGIC.charCodeAt(i);
  putU32(head, 8, LAYOUT_VERSION);
  putU32(head, 12, description.length);
  putU32(head, 16, crc.of(description));
  putU32(head, 20, crc.of(head.subarray(0, 20)));
  head.set(description, PROLOGUE_BYTES);
  const pages = ramBytes(ram);
  progress(0, pages);
  await sink.write([head]);
  await inWindow(
    chunks(used),
    async (views, _index) => {
      await sink.write(views);
      return views;
    },
    (views, done) => progress(done + bytesOf(views), pages),
  );
  return { total: head.length + pages, ram: pages };
}

/** Reads everything but RAM. Throws UserError for what is no saved machine, or a broken one, or one that is too new. */
export async function readDescription(source: StateSource, crc: Checksums): Promise<Description> {
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
  if (crc.of(prologue.subarray(0, 20)) !== getU32(prologue, 20)) throw broken('checksum of its first bytes');
  if (version !== LAYOUT_VERSION) throw broken(`format ${version}`);
  const length = getU32(prologue, 12);
  if (length > MOST_DESCRIPTION) throw broken(`a description of ${length} bytes`);
  if (source.length !== undefined && length > source.length) throw broken('it is cut off');
  const description = new Uint8Array(length);
  await source.read([description, new Uint8Array(padding(length))]);
  if (crc.of(description) !== getU32(prologue, 16)) throw broken('checksum of its description');
  const read = asDescription(decodeValue(description));
  const total = PROLOGUE_BYTES + length + padding(length) + ramBytes(read.ram);
  if (source.length !== undefined && source.length < total) {
    throw broken(`it is cut off: it has ${source.length} of ${total} bytes`);
  }
  return read;
}

function asDescription(value: StateValue): Description {
  const { machine, ram, checksums } = value as unknown as Partial<Description>;
  if (machine === undefined || !Array.isArray(ram) || !(checksums instanceof Uint32Array))
    throw broken('no description');
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
  const description = { machine, ram: ram as readonly RamMap[], checksums };
  if (checksums.length !== Math.ceil(ramBytes(description.ram) / (CHUNK_PAGES * PAGE))) throw broken('pages of RAM');
  return description;
}

/**
 * Fills the machine's memory, whose blocks are those of the description. `untouched`: nothing has been written to the block
 * since it was made. Throws UserError when a page is not what was saved; memory is undefined then.
 */
export async function readRam(
  source: StateSource,
  { ram, checksums }: Description,
  blocks: readonly (RamBlock & { readonly untouched: boolean })[],
  crc: Checksums,
): Promise<void> {
  const used = blocks.map(({ bytes }, i) => ({ bytes, runs: ram[i]!.runs }));
  blocks.forEach((block, i) => {
    if (!block.untouched) zeroOutside(block, ram[i]!.runs);
  });
  const pieces = new Pieces();
  await inWindow(chunks(used), async (views, index) => {
    const whole = pieces.whole(views);
    await source.read([whole]);
    if ((await crc.beside(whole)) !== checksums[index]) throw broken('checksum of its RAM');
    pieces.spread(whole, views);
    pieces.done(whole, views);
    return views;
  });
}

/** Chunks in one piece: a call of the host costs much for each piece, so those in many have a buffer meanwhile. */
class Pieces {
  readonly #spare: Uint8Array[] = [];

  /** Where the chunk is, or room for it. */
  whole(views: readonly Uint8Array[]): Uint8Array {
    if (views.length === 1) return views[0]!;
    return (this.#spare.pop() ?? new Uint8Array(CHUNK_PAGES * PAGE)).subarray(0, bytesOf(views));
  }

  /** The chunk's bytes. */
  joined(views: readonly Uint8Array[]): Uint8Array {
    const whole = this.whole(views);
    if (views.length === 1) return whole;
    let at = 0;
    for (const view of views) {
      whole.set(view, at);
      at += view.length;
    }
    return whole;
  }

  /** Puts what is in the buffer in its place. */
  spread(whole: Uint8Array, views: readonly Uint8Array[]): void {
    if (views.length === 1) return;
    let at = 0;
    for (const view of views) {
      view.set(whole.subarray(at, at + view.length));
      at += view.length;
    }
  }

  /** The buffer, if it was one, is for the next. */
  done(whole: Uint8Array, views: readonly Uint8Array[]): void {
    if (views.length > 1) this.#spare.push(new Uint8Array(whole.buffer));
  }
}

const bytesOf = (views: readonly Uint8Array[]): number => views.reduce((sum, v) => sum + v.length, 0);

/** Works on each chunk, on some at a time; `after` each, in order, with the bytes that went before. Waits for all, also when one fails. */
async function inWindow(
  all: Iterable<readonly Uint8Array[]>,
  work: (views: readonly Uint8Array[], index: number) => Promise<readonly Uint8Array[]>,
  after: (views: readonly Uint8Array[], done: number) => void = () => {},
): Promise<void> {
  const running: Promise<readonly Uint8Array[]>[] = [];
  let done = 0;
  const oldest = async (): Promise<void> => {
    const views = await running.shift()!;
    after(views, done);
    done += bytesOf(views);
  };
  try {
    let index = 0;
    for (const views of all) {
      if (running.length >= WINDOW) await oldest();
      const started = work(views, index++);
      // Its failure is seen when its turn comes.
      started.catch(() => {});
      running.push(started);
    }
    while (running.length > 0) await oldest();
  } finally {
    await Promise.allSettled(running);
  }
}
