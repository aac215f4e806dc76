/**
 * What threads beside the machine thread may know of PCI configuration space: which function mechanism 1 has selected, and where
 * there is one. Reading where there is none gives ones and changes nothing, and operating systems do so tens of thousands of times
 * when they start. In shared memory, which the machine thread alone writes.
 */
import { Sequence } from './sequence.js';

export const CONFIG_ADDRESS_PORT = 0xcf8;
export const CONFIG_DATA_PORT = 0xcfc;
/** Bits that the address register has. */
export const CONFIG_ADDRESS_BITS = 0x80ff_fffc;
const ENABLE = 0x8000_0000;

/** `sequence` is odd while the address may be on its way here. Behind these words: a bit for each function of bus 0. */
const Word = { sequence: 0, address: 1, unknown: 2, bridges: 3, answered: 4, functions: 5 } as const;
const FUNCTIONS = 256;
const BYTES = 4 * (Word.functions + FUNCTIONS / 32);

export class PciPresence {
  readonly #words: Int32Array;
  readonly #sequence: Sequence;
  #told = false;
  #watched = false;

  constructor(readonly buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
    this.#sequence = new Sequence(this.#words, Word.sequence);
  }

  /** Of which nothing is known yet. */
  static create(): PciPresence {
    const presence = new PciPresence(new SharedArrayBuffer(BYTES));
    presence.#tellUnknown();
    return presence;
  }

  // The machine thread's side.

  /** `bridges`: other buses may have functions too. */
  setFunctions(isThere: (devfn: number) => boolean, bridges: boolean): void {
    for (let word = 0; word < FUNCTIONS / 32; word++) {
      let bits = 0;
      for (let i = 0; i < 32; i++) if (isThere(32 * word + i)) bits |= 1 << i;
      Atomics.store(this.#words, Word.functions + word, bits);
    }
    Atomics.store(this.#words, Word.bridges, Number(bridges));
    this.#told = true;
    this.#tellUnknown();
  }

  setAddress(address: number): void {
    Atomics.store(this.#words, Word.address, address);
  }

  /** While someone watches, every access is for the machine thread. */
  set watched(watched: boolean) {
    if (watched === this.#watched) return;
    this.#watched = watched;
    this.#tellUnknown();
  }

  /** `take` handles writes that have been gathered: one may be the address. */
  whileChanging(take: () => void): void {
    this.#sequence.whileChanging(take);
  }

  /** How many reads the other threads have answered. */
  get answered(): number {
    return Atomics.load(this.#words, Word.answered) >>> 0;
  }

  #tellUnknown(): void {
    Atomics.store(this.#words, Word.unknown, Number(this.#watched || !this.#told));
  }

  // The other threads' side.

  /**
   * Whether no function is selected. `pending` gives the newest address among the writes that the machine thread has not seen yet,
   * undefined: none is there.
   */
  isAbsent(pending: () => number | undefined): boolean {
    const words = this.#words;
    const seen = this.#sequence.begin();
    if (seen === undefined || Atomics.load(words, Word.unknown) !== 0) return false;
    const address = (pending() ?? Atomics.load(words, Word.address)) & CONFIG_ADDRESS_BITS;
    if (!this.#sequence.isStill(seen) || (address & ENABLE) === 0) return false;
    if ((address & 0xff_0000) !== 0) return Atomics.load(words, Word.bridges) === 0;
    const devfn = (address >>> 8) & 0xff;
    return ((Atomics.load(words, Word.functions + (devfn >> 5)) >>> (devfn & 31)) & 1) === 0;
  }

  countAnswer(): void {
    Atomics.add(this.#words, Word.answered, 1);
  }
}
