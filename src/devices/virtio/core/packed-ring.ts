// hot path
/**
 * Packed virtqueues. VIRTIO 1.2, 2.8.
 *
 *   descriptor  address u64 | length u32 | id u16 | flags u16
 *   event       offset (15 bits) and wrap counter u16 | flags u16: 0 enable, 1 disable, 2 at the place of `offset`
 */
import { append, Chain, MOST_DESCRIPTORS } from './chain.js';
import { Feature } from './features.js';
import type { Ring, RingHost, RingState } from './ring.js';
import { indirectTable, whole } from './split-ring.js';

const DESCRIPTOR_BYTES = 16;
const EVENT_BYTES = 4;
const Flag = { next: 1, write: 2, indirect: 4, available: 0x80, used: 0x8000 } as const;
const Event = { enable: 0, disable: 1, atPlace: 2 } as const;
const EVENT_WRAP = 0x8000;

export class PackedRing implements Ring {
  readonly #words: Uint32Array;
  readonly #halves: Uint16Array;
  /** How the driver wants interrupts, and how the device wants notifications. */
  readonly #driverEvent: Uint16Array;
  readonly #deviceEvent: Uint16Array;
  readonly #view: Uint8Array;
  readonly #deviceView: Uint8Array;
  readonly #eventIndex: boolean;
  readonly #indirect: boolean;
  #notify = true;

  private constructor(
    private readonly state: RingState,
    private readonly host: RingHost,
    ring: Uint8Array,
    driver: Uint8Array,
    device: Uint8Array,
  ) {
    this.#words = new Uint32Array(ring.buffer, ring.byteOffset, ring.length >> 2);
    this.#halves = new Uint16Array(ring.buffer, ring.byteOffset, ring.length >> 1);
    this.#driverEvent = new Uint16Array(driver.buffer, driver.byteOffset, 2);
    this.#deviceEvent = new Uint16Array(device.buffer, device.byteOffset, 2);
    this.#view = ring;
    this.#deviceView = device;
    this.#eventIndex = host.has(Feature.eventIndex);
    this.#indirect = host.has(Feature.indirectDescriptors);
  }

  /** Undefined when the areas are misaligned or not in RAM. */
  static map(state: RingState, host: RingHost): PackedRing | undefined {
    const { size, descriptorArea, driverArea, deviceArea } = state;
    if (descriptorArea % DESCRIPTOR_BYTES || driverArea % EVENT_BYTES || deviceArea % EVENT_BYTES) return undefined;
    const ring = whole(host.memory, descriptorArea, DESCRIPTOR_BYTES * size);
    const driver = whole(host.memory, driverArea, EVENT_BYTES);
    const device = whole(host.memory, deviceArea, EVENT_BYTES);
    return ring && driver && device ? new PackedRing(state, host, ring, driver, device) : undefined;
  }

  get pending(): boolean {
    const flags = Atomics.load(this.#halves, 8 * this.state.nextAvailable + 7);
    const available = (flags & Flag.available) !== 0;
    return available === this.state.availableWrap && available !== ((flags & Flag.used) !== 0);
  }

  pop(): Chain | undefined {
    if (!this.pending) return undefined;
    const { state, host } = this;
    const chain = new Chain(0, 0);
    const wrong = this.#walk(chain, state.nextAvailable);
    if (wrong !== undefined) {
      host.fail(wrong);
      return undefined;
    }
    this.#advance(chain.slots);
    return chain;
  }

  unpop(chain: Chain): void {
    this.#advance(-chain.slots);
  }

  push(chain: Chain, written: number): void {
    const { state } = this;
    const at = state.nextUsed;
    this.#words[4 * at + 2] = written;
    this.#halves[8 * at + 6] = chain.id;
    const flags = (state.usedWrap ? Flag.available | Flag.used : 0) | (written > 0 ? Flag.write : 0);
    Atomics.store(this.#halves, 8 * at + 7, flags);
    state.nextUsed += chain.slots;
    if (state.nextUsed >= state.size) {
      state.nextUsed -= state.size;
      state.usedWrap = !state.usedWrap;
    }
  }

  wantsInterrupt(): boolean {
    const { state, host } = this;
    // Places count through both laps, so that an equal place a lap later is another one.
    const now = state.nextUsed + (state.usedWrap ? 0 : state.size);
    const previous = state.signalled;
    state.signalled = now;
    host.memory.wrote(this.#view);
    const flags = Atomics.load(this.#driverEvent, 1) & 3;
    if (flags === Event.disable) return false;
    if (flags !== Event.atPlace || !this.#eventIndex || previous < 0) return true;
    const wanted = this.#driverEvent[0]!;
    const place = (wanted & ~EVENT_WRAP) + (wanted & EVENT_WRAP ? 0 : state.size);
    const lap = 2 * state.size;
    // The first place used since the last time, counted from there, is `previous`.
    return (place - previous + lap) % lap < (now - previous + lap) % lap;
  }

  setNotify(wanted: boolean): void {
    this.#notify = wanted;
    this.#announce();
  }

  #announce(): void {
    const { state } = this;
    if (this.#eventIndex && this.#notify) {
      this.#deviceEvent[0] = state.nextAvailable | (state.availableWrap ? EVENT_WRAP : 0);
      Atomics.store(this.#deviceEvent, 1, Event.atPlace);
    } else Atomics.store(this.#deviceEvent, 1, this.#notify ? Event.enable : Event.disable);
    this.host.memory.wrote(this.#deviceView);
  }

  #advance(by: number): void {
    const { state } = this;
    state.nextAvailable += by;
    if (state.nextAvailable >= state.size) {
      state.nextAvailable -= state.size;
      state.availableWrap = !state.availableWrap;
    } else if (state.nextAvailable < 0) {
      state.nextAvailable += state.size;
      state.availableWrap = !state.availableWrap;
    }
    if (this.#eventIndex) this.#announce();
  }

  /** Takes the descriptors of one buffer; gives what is wrong with them, if anything. */
  #walk(chain: Chain, first: number): string | undefined {
    const { size } = this.state;
    let at = first;
    for (;;) {
      const flags = this.#halves[8 * at + 7]!;
      const address = this.#words[4 * at]! + this.#words[4 * at + 1]! * 2 ** 32;
      const length = this.#words[4 * at + 2]!;
      chain.id = this.#halves[8 * at + 6]!;
      chain.slots++;
      const wrong =
        flags & Flag.indirect
          ? this.#walkIndirect(chain, flags, address, length)
          : append(chain, this.host.memory, address, length, (flags & Flag.write) !== 0);
      if (wrong !== undefined) return wrong;
      if (!(flags & Flag.next)) return undefined;
      if (chain.slots >= size) return 'a chain longer than its ring';
      at = at + 1 === size ? 0 : at + 1;
    }
  }

  /** The descriptors of an indirect table are simply one after the other. */
  #walkIndirect(chain: Chain, flags: number, address: number, length: number): string | undefined {
    const { memory } = this.host;
    if (!this.#indirect || flags & Flag.next || chain.slots > 1) return 'an indirect table where none may be';
    if (length > DESCRIPTOR_BYTES * MOST_DESCRIPTORS) return 'an indirect table that is too long';
    const table = indirectTable(memory, address, length);
    if (!table) return 'an indirect table of a wrong size or outside RAM';
    const words = new Uint32Array(table.buffer, table.byteOffset, table.length >> 2);
    for (let i = 0; i < words.length; i += 4) {
      const writable = ((words[i + 3]! >>> 16) & Flag.write) !== 0;
      const wrong = append(chain, memory, words[i]! + words[i + 1]! * 2 ** 32, words[i + 2]!, writable);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  }
}
