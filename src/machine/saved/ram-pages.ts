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

/** The pages of a block that are not zero, as pairs: first page, how many. */
export function usedRuns({ bytes, findPage }: RamBlock): Uint32Array {
  const pages = bytes.length / PAGE;
  const runs: number[] = [];
  for (let start = findPage(0, pages, true); start < pages; ) {
    const end = findPage(start, pages, false);
    runs.push(start, end - start);
    start = findPage(end, pages, true);
  }
  return Uint32Array.from(runs);
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

/** Whether the runs are in order, apart, and inside so many pages. */
export function areRuns(runs: Uint32Array, pages: number): boolean {
  if (runs.length % 2 !== 0) return false;
  let end = -1;
  for (let i = 0; i < runs.length; i += 2) {
    const start = runs[i]!;
    const count = runs[i + 1]!;
    if (start <= end || count === 0 || start + count > pages) return false;
    end = start + count;
  }
  return true;
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

/** What is stored of a block, in its order, cut into chunks. */
export function* chunks(runs: Uint32Array): Generator<Chunk> {
  let some: number[] = [];
  let room = CHUNK_PAGES;
  const chunk = (): Chunk => ({ runs: some, bytes: (CHUNK_PAGES - room) * PAGE });
  for (let i = 0; i < runs.length; i += 2) {
    let page = runs[i]!;
    let left = runs[i + 1]!;
    while (left > 0) {
      const count = Math.min(left, room);
      some.push(page, count);
      page += count;
      left -= count;
      room -= count;
      if (room > 0) continue;
      yield chunk();
      some = [];
      room = CHUNK_PAGES;
    }
  }
  if (some.length > 0) yield chunk();
}

export const chunkCount = (runs: Uint32Array): number => Math.ceil(pagesIn(runs) / CHUNK_PAGES);

/** A chunk's pages in memory. */
export function viewsOf({ bytes }: RamBlock, { runs }: Chunk): Uint8Array[] {
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
