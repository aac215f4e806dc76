// hot path
/** RAM as pages that hold something: the rest is zero and need not be kept. */

export const PAGE = 4096;
/** Pages that are stored, read and checked together. */
export const CHUNK_PAGES = 512;

/** A part of a machine's memory. */
export interface RamBlock {
  readonly name: string;
  /** Whole pages. */
  readonly bytes: Uint8Array;
  /** The first page from `from` on, before `end`, that holds something, or (`used` false) is all zero; `end`: none. */
  findPage(from: number, end: number, used: boolean): number;
  /** A checksum of the pages from `from` on, before `end`; `sum`: of those before them. */
  checksum(from: number, end: number, sum: number): number;
}

/** A bit for each page of a block, the first page's the lowest of the first byte. */
export const mapBytes = (blockBytes: number): number => Math.ceil(blockBytes / PAGE / 8);

function setPages(map: Uint8Array, from: number, end: number): void {
  for (let page = from; page < end; page++) {
    if (page % 8 === 0 && page + 8 <= end) {
      map[page >> 3] = 0xff;
      page += 7;
    } else map[page >> 3]! |= 1 << (page % 8);
  }
}

/** The pages whose bits are set, as pairs: first page, how many. Undefined when a bit is set that has no page. */
export function runsOf(map: Uint8Array, pages: number): Uint32Array | undefined {
  const runs: number[] = [];
  let start = -1;
  for (let at = 0; at < map.length; at++) {
    const bits = map[at]!;
    if (bits === (start < 0 ? 0 : 0xff)) continue;
    for (let bit = 0; bit < 8; bit++) {
      const used = (bits & (1 << bit)) !== 0;
      if (used === start >= 0) continue;
      const page = 8 * at + bit;
      if (used) start = page;
      else {
        runs.push(start, page - start);
        start = -1;
      }
    }
  }
  if (start >= 0) runs.push(start, 8 * map.length - start);
  return runs.length > 0 && runs.at(-2)! + runs.at(-1)! > pages ? undefined : Uint32Array.from(runs);
}

/** Makes every page outside the runs zero. Pages that are so already are only read: nothing is allocated for them. */
export function zeroOutside({ bytes, findPage }: RamBlock, runs: Uint32Array): void {
  const clear = (from: number, to: number): void => {
    for (let page = findPage(from, to, true); page < to; page = findPage(page, to, true)) {
      bytes.fill(0, page * PAGE, (page + 1) * PAGE);
    }
  };
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    clear(at, runs[i]!);
    at = runs[i]! + runs[i + 1]!;
  }
  clear(at, bytes.length / PAGE);
}

export function pagesIn(runs: Uint32Array): number {
  let sum = 0;
  for (let i = 1; i < runs.length; i += 2) sum += runs[i]!;
  return sum;
}

/** Some pages of a block, stored one after the other. */
export interface Chunk {
  /** Pairs: first page, how many. */
  readonly runs: readonly number[];
  readonly bytes: number;
}

/** Looks for the pages of a block that hold something, gives them in chunks, and sets their bits in `map`. */
export function* usedChunks({ bytes, findPage }: RamBlock, map: Uint8Array): Generator<Chunk> {
  const pages = bytes.length / PAGE;
  const cut = new Cutter();
  for (let start = findPage(0, pages, true); start < pages; ) {
    // A chunk is given as soon as it is full: where all is in use, the search would go on to the end.
    const end = findPage(start, Math.min(pages, start + CHUNK_PAGES), false);
    setPages(map, start, end);
    yield* cut.add(start, end - start);
    start = findPage(end, pages, true);
  }
  yield* cut.rest();
}

/** What is stored of a block, in its order, cut into chunks. */
export function* chunks(runs: Uint32Array): Generator<Chunk> {
  const cut = new Cutter();
  for (let i = 0; i < runs.length; i += 2) yield* cut.add(runs[i]!, runs[i + 1]!);
  yield* cut.rest();
}

class Cutter {
  #runs: number[] = [];
  #room = CHUNK_PAGES;

  *add(page: number, count: number): Generator<Chunk> {
    while (count > 0) {
      const some = Math.min(count, this.#room);
      const { length } = this.#runs;
      if (length > 0 && this.#runs[length - 2]! + this.#runs[length - 1]! === page) this.#runs[length - 1]! += some;
      else this.#runs.push(page, some);
      page += some;
      count -= some;
      this.#room -= some;
      if (this.#room === 0) yield* this.rest();
    }
  }

  *rest(): Generator<Chunk> {
    if (this.#runs.length === 0) return;
    yield { runs: this.#runs, bytes: (CHUNK_PAGES - this.#room) * PAGE };
    this.#runs = [];
    this.#room = CHUNK_PAGES;
  }
}

export const chunkCount = (runs: Uint32Array): number => Math.ceil(pagesIn(runs) / CHUNK_PAGES);

/** A chunk's pages in memory. */
export function viewsOf({ bytes }: Pick<RamBlock, 'bytes'>, { runs }: Chunk): Uint8Array[] {
  const views: Uint8Array[] = [];
  for (let i = 0; i < runs.length; i += 2) {
    views.push(bytes.subarray(runs[i]! * PAGE, (runs[i]! + runs[i + 1]!) * PAGE));
  }
  return views;
}

export function checksumOf(block: RamBlock, { runs }: Chunk): number {
  let sum = 0;
  for (let i = 0; i < runs.length; i += 2) sum = block.checksum(runs[i]!, runs[i]! + runs[i + 1]!, sum);
  return sum >>> 0;
}
