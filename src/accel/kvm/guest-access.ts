/** What a guest's accesses to ports and to memory without a slot do, on the machine thread. */
import { FlatFlag } from '../../ir/layout.js';
import type { FlatRange } from '../../memory/flat-view.js';
import type { MachineServices } from '../accelerator.js';
import { AccessCounts } from './exit-stats.js';
import type { KvmExit } from './interface.js';
import { KVM_TRACE } from './trace.js';

/** 1: what system management mode sees. */
export type Space = 0 | 1;

export class GuestAccess {
  readonly counts = new AccessCounts();
  readonly #ranges: [readonly FlatRange[], readonly FlatRange[]] = [[], []];

  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly services: () => MachineServices,
  ) {}

  setRanges(space: Space, ranges: readonly FlatRange[]): void {
    this.#ranges[space] = ranges;
  }

  /** An `io` exit of processor `index`. */
  io(index: number, { port, size, count, write, data }: Extract<KvmExit, { reason: 'io' }>): void {
    this.counts.port(port, write);
    const services = this.services();
    for (let i = 0; i < count; i++) {
      if (write) services.portWrite(port, size, load(data, i * size, size));
      else save(data, i * size, size, services.portRead(port, size));
    }
    if (KVM_TRACE.kvm_pio.enabled) {
      KVM_TRACE.kvm_pio.emit(index, write ? 'write' : 'read', port, size, count, hexBytes(data));
    }
  }

  /** An `mmio` exit of processor `index`. */
  mmio(index: number, space: Space, { address, write, data }: Extract<KvmExit, { reason: 'mmio' }>): void {
    this.counts.memory(address, write);
    this.#pieces(space, address, write, data);
    if (KVM_TRACE.kvm_mmio.enabled) {
      KVM_TRACE.kvm_mmio.emit(index, write ? 'write' : 'read', address, data.length, hexBytes(data));
    }
  }

  /** A write that KVM gathered. */
  coalesced(space: 'port' | 'memory', address: number, data: Uint8Array): void {
    const size = data.length as 1 | 2 | 4;
    if (space === 'memory') this.#pieces(0, address, true, data);
    else this.services().portWrite(address, size, load(data, 0, size));
  }

  /** Linear-memory address of RAM or ROM; undefined: neither is there. */
  host(space: Space, address: number): number | undefined {
    const range = find(this.#ranges[space], address);
    return range && range.flags & FlatFlag.ramRead ? range.host + (address - range.start) : undefined;
  }

  /** The bytes of RAM or ROM there, as many of `count` as there are. */
  code(space: Space, address: number, count: number): Uint8Array {
    const range = find(this.#ranges[space], address);
    if (!range || !(range.flags & FlatFlag.ramRead)) return new Uint8Array(0);
    return this.#ram(range, address, Math.min(count, range.last + 1 - address)).slice();
  }

  #pieces(space: Space, start: number, write: boolean, data: Uint8Array): void {
    for (let done = 0; done < data.length; ) {
      const size = data.length - done >= 4 ? 4 : data.length - done >= 2 ? 2 : 1;
      if (write) this.#write(space, start + done, size, load(data, done, size));
      else save(data, done, size, this.#read(space, start + done, size));
      done += size;
    }
  }

  #read(space: Space, address: number, size: 1 | 2 | 4): number {
    const range = find(this.#ranges[space], address);
    if (range && range.flags & FlatFlag.ramRead) return load(this.#ram(range, address, size), 0, size);
    return this.services().mmioRead(range?.region ?? 0, range ? range.offset + (address - range.start) : 0, size);
  }

  #write(space: Space, address: number, size: 1 | 2 | 4, value: number): void {
    const range = find(this.#ranges[space], address);
    if (range && range.flags & FlatFlag.ramWrite) save(this.#ram(range, address, size), 0, size, value);
    else if (range) this.services().mmioWrite(range.region, range.offset + (address - range.start), size, value);
  }

  #ram(range: FlatRange, address: number, size: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, range.host + (address - range.start), size);
  }
}

function find(ranges: readonly FlatRange[], address: number): FlatRange | undefined {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle]!;
    if (address < range.start) high = middle - 1;
    else if (address > range.last) low = middle + 1;
    else return range;
  }
  return undefined;
}

export function load(data: Uint8Array, at: number, size: 1 | 2 | 4): number {
  if (size === 1) return data[at]!;
  const low = data[at]! | (data[at + 1]! << 8);
  return size === 2 ? low : (low | (data[at + 2]! << 16) | (data[at + 3]! << 24)) >>> 0;
}

export function save(data: Uint8Array, at: number, size: 1 | 2 | 4, value: number): void {
  for (let i = 0; i < size; i++) data[at + i] = value >>> (8 * i);
}

export const hexBytes = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(' ');
