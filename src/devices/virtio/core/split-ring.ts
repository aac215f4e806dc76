// hot path
/**
 * Split virtqueues. VIRTIO 1.2, 2.7.
 *
 *   descriptor  address u64 | length u32 | flags u16 | next u16
 *   available   flags u16 | index u16 | heads u16 [size] | used_event u16
 *   used        flags u16 | index u16 | { id u32 | length u32 } [size] | avail_event u16
 */
import { isPowerOfTwo } from '../../../base/bits.js';
import type { DmaMemory } from '../../../memory/io.js';
import { append, Chain, MOST_DESCRIPTORS } from './chain.js';
import { Feature } from './features.js';
import { passed, type Ring, type RingHost, type RingState } from './ring.js';

const DESCRIPTOR_BYTES = 16;
const Flag = { next: 1, write: 2, indirect: 4 } as const;
const NO_INTERRUPT = 1;
const NO_NOTIFY = 1;

/** Descriptors as the two kinds of words that they consist of. */
class Table {
  readonly #words: Uint32Array;
  readonly #halves: Uint16Array;

  constructor(view: Uint8Array) {
    this.#words = new Uint32Array(view.buffer, view.byteOffset, view.length >> 2);
    this.#halves = new Uint16Array(view.buffer, view.byteOffset, view.length >> 1);
  }

  get size(): number {
    return this.#words.length >> 2;
  }
  address(i: number): number {
    return this.#words[4 * i]! + this.#words[4 * i + 1]! * 2 ** 32;
  }
  length(i: number): number {
    return this.#words[4 * i + 2]!;
  }
  flags(i: number): number {
    return this.#halves[8 * i + 6]!;
  }
  next(i: number): number {
    return this.#halves[8 * i + 7]!;
  }
}

export const SPLIT_ALIGNMENT = { descriptors: 16, driver: 2, device: 4 } as const;
export const availableBytes = (size: number): number => 6 + 2 * size;
export const usedBytes = (size: number): number => 6 + 8 * size;

/** `bytes` of RAM in one piece; undefined where there are not. */
export function whole(memory: DmaMemory, address: number, bytes: number): Uint8Array | undefined {
  const view = memory.ram(address, bytes, true);
  return view?.length === bytes ? view : undefined;
}

export class SplitRing implements Ring {
  readonly #table: Table;
  readonly #available: Uint16Array;
  readonly #used: Uint16Array;
  readonly #usedWords: Uint32Array;
  readonly #usedView: Uint8Array;
  readonly #eventIndex: boolean;
  readonly #indirect: boolean;

  private constructor(
    private readonly state: RingState,
    private readonly host: RingHost,
    table: Uint8Array,
    available: Uint8Array,
    used: Uint8Array,
  ) {
    const { size } = state;
    this.#table = new Table(table);
    this.#available = new Uint16Array(available.buffer, available.byteOffset, size + 3);
    this.#used = new Uint16Array(used.buffer, used.byteOffset, 4 * size + 3);
    this.#usedWords = new Uint32Array(used.buffer, used.byteOffset, 2 * size + 1);
    this.#usedView = used;
    this.#eventIndex = host.has(Feature.eventIndex);
    this.#indirect = host.has(Feature.indirectDescriptors);
  }

  /** Undefined when the size is none of a split ring, or the areas are misaligned or not in RAM. */
  static map(state: RingState, host: RingHost): SplitRing | undefined {
    const { size, descriptorArea, driverArea, deviceArea } = state;
    const { memory } = host;
    if (!isPowerOfTwo(size)) return undefined;
    if (descriptorArea % SPLIT_ALIGNMENT.descriptors || driverArea % SPLIT_ALIGNMENT.driver) return undefined;
    if (deviceArea % SPLIT_ALIGNMENT.device) return undefined;
    const table = whole(memory, descriptorArea, DESCRIPTOR_BYTES * size);
    const available = whole(memory, driverArea, availableBytes(size));
    const used = whole(memory, deviceArea, usedBytes(size));
    return table && available && used ? new SplitRing(state, host, table, available, used) : undefined;
  }

  get pending(): boolean {
    return Atomics.load(this.#available, 1) !== this.state.nextAvailable;
  }

  pop(): Chain | undefined {
    const { state, host } = this;
    const waiting = (Atomics.load(this.#available, 1) - state.nextAvailable) & 0xffff;
    if (waiting === 0) return undefined;
    if (waiting > state.size) {
      host.fail(`the available index went ${waiting} ahead`);
      return undefined;
    }
    const head = this.#available[2 + (state.nextAvailable & (state.size - 1))]!;
    const chain = new Chain(head);
    const wrong = this.#walk(chain, head);
    if (wrong !== undefined) {
      host.fail(wrong);
      return undefined;
    }
    this.#advance(1);
    return chain;
  }

  unpop(): void {
    this.#advance(-1);
  }

  push(chain: Chain, written: number): void {
    const { state } = this;
    const entry = 1 + 2 * (state.nextUsed & (state.size - 1));
    this.#usedWords[entry] = chain.id;
    this.#usedWords[entry + 1] = written;
    state.nextUsed = (state.nextUsed + 1) & 0xffff;
    Atomics.store(this.#used, 1, state.nextUsed);
  }

  wantsInterrupt(): boolean {
    const { state, host } = this;
    const previous = state.signalled;
    state.signalled = state.nextUsed;
    host.memory.wrote(this.#usedView);
    if (host.has(Feature.notifyOnEmpty) && !this.pending) return true;
    if (!this.#eventIndex) return !(Atomics.load(this.#available, 0) & NO_INTERRUPT);
    const event = Atomics.load(this.#available, 2 + state.size);
    return previous < 0 || passed(event, state.nextUsed, previous);
  }

  setNotify(wanted: boolean): void {
    if (!this.#eventIndex) Atomics.store(this.#used, 0, wanted ? 0 : NO_NOTIFY);
    else if (wanted) Atomics.store(this.#used, 2 + 4 * this.state.size, this.state.nextAvailable);
  }

  #advance(by: number): void {
    this.state.nextAvailable = (this.state.nextAvailable + by) & 0xffff;
    if (this.#eventIndex) this.setNotify(true);
  }

  /** Follows a chain from its head; gives what is wrong with it, if anything. */
  #walk(chain: Chain, head: number): string | undefined {
    let table = this.#table;
    let indirect = false;
    let i = head;
    for (let steps = 0; steps <= MOST_DESCRIPTORS; steps++) {
      if (i >= table.size) return `descriptor ${i} of a table of ${table.size}`;
      const flags = table.flags(i);
      const address = table.address(i);
      const length = table.length(i);
      if (flags & Flag.indirect) {
        if (indirect || !this.#indirect || flags & Flag.next) return 'an indirect table where none may be';
        const inner = indirectTable(this.host.memory, address, length);
        if (!inner) return 'an indirect table of a wrong size or outside RAM';
        table = new Table(inner);
        indirect = true;
        i = 0;
        continue;
      }
      const wrong = append(chain, this.host.memory, address, length, (flags & Flag.write) !== 0);
      if (wrong !== undefined) return wrong;
      if (!(flags & Flag.next)) return undefined;
      i = table.next(i);
    }
    return 'a chain that loops';
  }
}

/** An indirect table, as a copy when it is not aligned or not in one piece; undefined when it cannot be. */
export function indirectTable(memory: DmaMemory, address: number, bytes: number): Uint8Array | undefined {
  if (bytes === 0 || bytes % DESCRIPTOR_BYTES !== 0) return undefined;
  // What lies beyond is never used: a chain has no more.
  const length = Math.min(bytes, DESCRIPTOR_BYTES * MOST_DESCRIPTORS);
  const view = memory.ram(address, length, false);
  if (!view) return undefined;
  if (view.length === length && view.byteOffset % 4 === 0) return view;
  const copy = new Uint8Array(length);
  memory.read(address, copy);
  return copy;
}
