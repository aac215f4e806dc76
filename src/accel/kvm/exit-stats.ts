// hot path
/** How often and for how long processors leave the guest, and for which ports and addresses. */
import { CONFIG_DATA_PORT } from '../../machine/pci-presence.js';
import { Exit, exitName } from './abi.js';

/** Reasons by number, shifted so that `interrupted` (-1) is 0; numbers from here on share the last place. */
const REASONS = 64;
/** Behind a count and a time for each reason: the time in the guest. */
const GUEST = 2 * REASONS;
const DOUBLES = GUEST + 1;
/** A guest may touch every address: only so many are told apart. */
const MOST_PLACES = 4096;
const PAGE = 4096;

export const STATS_BYTES = DOUBLES * 8;

/** Written by the vCPU's thread alone; others may read at any time. Times in ns. */
export class ExitClock {
  readonly #sums: Float64Array;
  #left: number;
  #place = 0;

  constructor(buffer: SharedArrayBuffer, index: number, now: number) {
    this.#sums = new Float64Array(buffer, index * STATS_BYTES, DOUBLES);
    this.#left = now;
  }

  /** About to enter the guest: ends the time that the last exit took. */
  enter(now: number): void {
    this.#sums[this.#place + 1]! += now - this.#left;
    this.#left = now;
  }

  /** Back from the guest. */
  exit(now: number, reason: number): void {
    const place = 2 * Math.min(reason - Exit.interrupted, REASONS - 1);
    this.#sums[GUEST]! += now - this.#left;
    this.#sums[place]! += 1;
    this.#left = now;
    this.#place = place;
  }
}

export interface ExitCount {
  readonly reason: string;
  readonly count: number;
  /** Spent outside the guest, ns. */
  readonly ns: number;
}

export interface VcpuExits {
  /** Spent in KVM_RUN, ns: guest code, what the kernel does for it, and halts there. */
  readonly guestNs: number;
  /** The most frequent first. */
  readonly exits: readonly ExitCount[];
}

export function readExits(buffer: SharedArrayBuffer, index: number): VcpuExits {
  const sums = new Float64Array(buffer, index * STATS_BYTES, DOUBLES);
  const exits: ExitCount[] = [];
  for (let place = 0; place < REASONS; place++) {
    const count = sums[2 * place]!;
    if (count > 0) exits.push({ reason: exitName(place + Exit.interrupted), count, ns: sums[2 * place + 1]! });
  }
  return { guestNs: sums[GUEST]!, exits: exits.sort((a, b) => b.count - a.count) };
}

export interface AccessCount {
  readonly space: 'port' | 'memory';
  readonly write: boolean;
  /** Of memory, the page. */
  readonly address: number;
  readonly count: number;
}

/** Which ports and pages of device memory guests touch. */
export class AccessCounts {
  readonly #counts = new Map<number, number>();

  /** Ports are told from pages by their halves: key = 4 * address + 2 for ports + 1 for writes. */
  port(port: number, write: boolean): void {
    this.#add(4 * port + (write ? 3 : 2));
  }

  memory(address: number, write: boolean): void {
    this.#add(4 * (address - (address % PAGE)) + (write ? 1 : 0));
  }

  /**
   * The most frequent first. What the vCPUs' threads answered: `absent` reads of PCI functions that are not there, and by the page those
   * of the VGA's window.
   */
  read(absent: number, window: ReadonlyMap<number, number>): AccessCount[] {
    const all = new Map(this.#counts);
    const add = (key: number, count: number): void => {
      if (count > 0) all.set(key, (all.get(key) ?? 0) + count);
    };
    add(4 * CONFIG_DATA_PORT + 2, absent);
    for (const [page, count] of window) add(4 * page, count);
    return [...all]
      .map(([key, count]): AccessCount => {
        const kind = key % 4;
        return { space: kind >= 2 ? 'port' : 'memory', write: kind % 2 === 1, address: (key - kind) / 4, count };
      })
      .sort((a, b) => b.count - a.count);
  }

  #add(key: number): void {
    const before = this.#counts.get(key);
    if (before === undefined && this.#counts.size >= MOST_PLACES) return;
    this.#counts.set(key, (before ?? 0) + 1);
  }
}
