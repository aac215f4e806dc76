// hot path
/**
 * What threads beside the machine thread may know of the VGA's window: which of its addresses read what bytes of video memory. All that
 * such a read changes are the latches, which come here too. A kernel that saves a screen of text reads it word by word, and each word
 * was a way to the machine thread and back. In shared memory, which the machine thread alone writes, but for latches and counts.
 */
import type { FlatRange } from '../memory/flat-view.js';
import type { MemoryRegion } from '../memory/region.js';
import { Sequence } from './sequence.js';

/** Offsets of a region from `start` on, as video memory of four planes to a word. */
export interface WindowLayout {
  readonly start: number;
  readonly bytes: number;
  /** Address of video memory in linear memory; it is `mask` + 1 long, a power of two. */
  readonly host: number;
  readonly mask: number;
  /** Of the first word, in bytes of video memory. */
  readonly bank: number;
  /** 1: even and odd addresses are two planes of a word, from `plane` on; 0: each address is plane `plane` of its word. */
  readonly shift: 0 | 1;
  readonly plane: number;
}

/** `first` and `last`: guest addresses; none where `last` is less. Behind these words: a count for each page. */
const Word = {
  sequence: 0,
  watched: 1,
  first: 2,
  last: 3,
  host: 4,
  mask: 5,
  bank: 6,
  shift: 7,
  plane: 8,
  latch: 9,
  latched: 10,
  counts: 11,
} as const;
const PAGE_BITS = 12;
const PAGES = 32;
const BYTES = 4 * (Word.counts + PAGES);
/** Of an access. */
const MOST_BYTES = 8;

export class WindowReads {
  readonly #words: Int32Array;
  readonly #sequence: Sequence;
  #region: MemoryRegion | undefined;
  #layout: WindowLayout | undefined;
  #ranges: readonly FlatRange[] = [];
  /** Page at which the guest saw the region last. */
  #base = 0;
  #vram: Uint8Array = new Uint8Array(0);

  constructor(readonly buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
    this.#sequence = new Sequence(this.#words, Word.sequence);
  }

  /** Of a window of which nothing is known yet. */
  static create(): WindowReads {
    const reads = new WindowReads(new SharedArrayBuffer(BYTES));
    reads.#tell();
    return reads;
  }

  // The machine thread's side.

  /** The window's region, and how it reads now; no layout: as only the device knows. */
  setLayout(region: MemoryRegion, layout: WindowLayout | undefined): void {
    this.#region = region;
    this.#layout = layout;
    this.#tell();
  }

  /** What of the region the guest sees, and where. */
  setRanges(ranges: readonly FlatRange[]): void {
    this.#ranges = ranges;
    this.#tell();
  }

  /** While someone watches, every access is for the machine thread. */
  set watched(watched: boolean) {
    Atomics.store(this.#words, Word.watched, Number(watched));
  }

  whileChanging(change: () => void): void {
    this.#sequence.whileChanging(change);
  }

  /** What the latches took since this was asked last, if anything. */
  takeLatch(): number | undefined {
    if (Atomics.exchange(this.#words, Word.latched, 0) === 0) return undefined;
    return Atomics.load(this.#words, Word.latch) >>> 0;
  }

  /** How many reads the other threads have answered, by the address of the page. */
  answered(): Map<number, number> {
    const counts = new Map<number, number>();
    const range = this.#ranges.find(({ owner }) => owner === this.#region);
    // A window that nobody sees any more has been read where it was last.
    if (range) this.#base = (range.start - range.offset) >>> PAGE_BITS;
    for (let page = this.#base; page < this.#base + PAGES; page++) {
      const count = Atomics.load(this.#words, Word.counts + (page % PAGES)) >>> 0;
      if (count > 0) counts.set(page << PAGE_BITS, count);
    }
    return counts;
  }

  #tell(): void {
    const layout = this.#layout;
    const end = layout ? layout.start + layout.bytes : 0;
    const range =
      layout &&
      this.#ranges.find(
        ({ owner, offset, start, last }) =>
          owner === this.#region && offset <= layout.start && offset + (last - start) >= end - 1,
      );
    this.#sequence.whileChanging(() => {
      const words = this.#words;
      const first = layout && range ? range.start + (layout.start - range.offset) : 0;
      words[Word.first] = first;
      words[Word.last] = layout && range ? first + layout.bytes - 1 : -1;
      if (!layout) return;
      words[Word.host] = layout.host;
      words[Word.mask] = layout.mask;
      words[Word.bank] = layout.bank;
      words[Word.shift] = layout.shift;
      words[Word.plane] = layout.plane;
    });
  }

  // The other threads' side.

  /**
   * Reads `size` bytes at a guest address into `into` at `at`; false: the machine thread must do it. `pending`: whether there are writes
   * to memory that the machine thread has not seen yet.
   */
  read(
    address: number,
    size: number,
    memory: WebAssembly.Memory,
    pending: () => boolean,
    into: DataView,
    at: number,
  ): boolean {
    const words = this.#words;
    const seen = this.#sequence.begin();
    if (seen === undefined || Atomics.load(words, Word.watched) !== 0) return false;
    const first = words[Word.first]!;
    if (address < first || address + size - 1 > words[Word.last]! || size > MOST_BYTES || pending()) return false;
    const host = words[Word.host]! >>> 0;
    const mask = words[Word.mask]!;
    if (host !== this.#vram.byteOffset || mask >= this.#vram.length) {
      // Memory that has grown in another thread may not have here yet.
      if (host + mask >= memory.buffer.byteLength) return false;
      this.#vram = new Uint8Array(memory.buffer, host, mask + 1);
    }
    const vram = this.#vram;
    const shift = words[Word.shift]!;
    let word = 0;
    for (let i = 0; i < size; i++) {
      const offset = address + i - first;
      word = (((offset >> shift) << 2) + words[Word.bank]!) & mask;
      into.setUint8(at + i, vram[word | words[Word.plane]! | (offset & shift)]!);
    }
    const latch = vram[word]! | (vram[word + 1]! << 8) | (vram[word + 2]! << 16) | (vram[word + 3]! << 24);
    if (!this.#sequence.isStill(seen)) return false;
    Atomics.store(words, Word.latch, latch);
    Atomics.store(words, Word.latched, 1);
    Atomics.add(words, Word.counts + ((address >>> PAGE_BITS) % PAGES), 1);
    return true;
  }
}
