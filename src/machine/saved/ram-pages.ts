// hot path
/** RAM as pages that hold something: the rest is zero and need not be kept. */

export const PAGE = 4096;
/** Pages that are stored, read and checked together. */
export const CHUNK_PAGES = 256;
const PAGE_WORDS = PAGE / 4;
const STEP = 8;

/** A part of a machine's memory. */
export interface RamBlock {
  readonly name: string;
  /** Whole pages. */
  readonly bytes: Uint8Array;
}

const wordsOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Int32Array =>
  new Int32Array(buffer, byteOffset, byteLength / 4);

function isZeroPage(words: Int32Array, page: number): boolean {
  const end = (page + 1) * PAGE_WORDS;
  for (let i = page * PAGE_WORDS; i < end; i += STEP) {
    const any =
      words[i]! |
      words[i + 1]! |
      words[i + 2]! |
      words[i + 3]! |
      words[i + 4]! |
      words[i + 5]! |
      words[i + 6]! |
      words[i + 7]!;
    if (any !== 0) return false;
  }
  return true;
}

/** The pages of a block that are not zero, as pairs: first page, how many. */
export function usedRuns(bytes: Uint8Array): Uint32Array {
  const words = wordsOf(bytes);
  const pages = bytes.length / PAGE;
  const runs: number[] = [];
  let start = -1;
  for (let page = 0; page < pages; page++) {
    const used = !isZeroPage(words, page);
    if (used === start >= 0) continue;
    if (used) start = page;
    else {
      runs.push(start, page - start);
      start = -1;
    }
  }
  if (start >= 0) runs.push(start, pages - start);
  return Uint32Array.from(runs);
}

/** Makes every page outside the runs zero. Pages that are so already are only read: nothing is allocated for them. */
export function zeroOutside(bytes: Uint8Array, runs: Uint32Array): void {
  const words = wordsOf(bytes);
  const clear = (from: number, to: number): void => {
    for (let page = from; page < to; page++) {
      if (!isZeroPage(words, page)) bytes.fill(0, page * PAGE, (page + 1) * PAGE);
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

/** What is stored of the blocks, in its order, cut into chunks: views of their bytes. */
export function* chunks(
  blocks: readonly { readonly bytes: Uint8Array; readonly runs: Uint32Array }[],
): Generator<readonly Uint8Array[]> {
  let views: Uint8Array[] = [];
  let room = CHUNK_PAGES;
  for (const { bytes, runs } of blocks) {
    for (let i = 0; i < runs.length; i += 2) {
      let page = runs[i]!;
      let left = runs[i + 1]!;
      while (left > 0) {
        const count = Math.min(left, room);
        views.push(bytes.subarray(page * PAGE, (page + count) * PAGE));
        page += count;
        left -= count;
        room -= count;
        if (room > 0) continue;
        yield views;
        views = [];
        room = CHUNK_PAGES;
      }
    }
  }
  if (views.length > 0) yield views;
}
