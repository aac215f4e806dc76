/** A flattened region tree that can be read and written: guest physical memory, or the I/O ports. */
import { Event } from '../base/event.js';
import { FlatFlag } from '../ir/layout.js';
import { type FlatRange, flatten } from './flat-view.js';
import type { AccessSize, DmaMemory } from './io.js';
import type { RamSource } from './memory.js';
import type { MemoryRegion } from './region.js';
import { readRegion, writeRegion } from './region-access.js';

export class AddressSpace implements DmaMemory {
  /** Fired after the flat view changed. */
  readonly changed = new Event<readonly FlatRange[]>();
  #ranges: readonly FlatRange[];
  #lastHit: FlatRange | undefined;
  #generation = 0;

  /** Use `Memory.addressSpace`. */
  constructor(
    readonly name: string,
    readonly root: MemoryRegion,
    private readonly source: RamSource,
  ) {
    this.#ranges = flatten(root);
  }

  /** Sorted by start; what is in none is unassigned. */
  get ranges(): readonly FlatRange[] {
    return this.#ranges;
  }

  /** Recomputes the flat view; tells only when it differs. Called by `Memory`. */
  rebuild(): void {
    const ranges = flatten(this.root);
    const before = this.#ranges;
    if (ranges.length === before.length && ranges.every((r, i) => sameRange(r, before[i]!))) return;
    this.#ranges = ranges;
    this.#lastHit = undefined;
    this.#generation++;
    this.changed.fire(ranges);
  }

  get generation(): number {
    return this.#generation;
  }

  find(address: number): FlatRange | undefined {
    const hit = this.#lastHit;
    if (hit && address >= hit.start && address <= hit.last) return hit;
    let low = 0;
    let high = this.#ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const range = this.#ranges[middle]!;
      if (address < range.start) high = middle - 1;
      else if (address > range.last) low = middle + 1;
      else {
        this.#lastHit = range;
        return range;
      }
    }
    return undefined;
  }

  /** Guest RAM at `address`, as bytes that can be changed in place; undefined unless all of it is one piece of RAM. */
  ramAt(address: number, length: number): Uint8Array | undefined {
    const range = this.find(address);
    if (!range || !(range.flags & FlatFlag.ramWrite) || address + length - 1 > range.last) return undefined;
    return new Uint8Array(this.source.memory.buffer, range.host + (address - range.start), length);
  }

  ram(address: number, atMost: number, forWriting: boolean): Uint8Array | undefined {
    const range = this.find(address);
    if (!range || !(range.flags & (forWriting ? FlatFlag.ramWrite : FlatFlag.ramRead))) return undefined;
    const length = Math.min(atMost, range.last - address + 1);
    return new Uint8Array(this.source.memory.buffer, range.host + (address - range.start), length);
  }

  wrote(view: Uint8Array): void {
    this.source.notifyWrite(view.byteOffset, view.length);
  }

  read(address: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const at = address + done;
      const range = this.find(at);
      if (!range) {
        into[done++] = 0xff;
        continue;
      }
      const length = Math.min(into.length - done, range.last - at + 1);
      if (range.flags & FlatFlag.ramRead) {
        into.set(new Uint8Array(this.source.memory.buffer, range.host + (at - range.start), length), done);
        done += length;
      } else {
        const size = accessSize(at, length);
        const value = readRegion(range.owner, range.offset + (at - range.start), size);
        for (let i = 0; i < size; i++) into[done++] = value >>> (8 * i);
      }
    }
  }

  write(address: number, from: Uint8Array): void {
    for (let done = 0; done < from.length; ) {
      const at = address + done;
      const range = this.find(at);
      if (!range) {
        done++;
        continue;
      }
      const length = Math.min(from.length - done, range.last - at + 1);
      if (range.flags & FlatFlag.ramWrite) {
        const host = range.host + (at - range.start);
        new Uint8Array(this.source.memory.buffer, host, length).set(from.subarray(done, done + length));
        this.source.notifyWrite(host, length);
        done += length;
      } else if (range.flags & FlatFlag.ioWrite) {
        const size = accessSize(at, length);
        let value = 0;
        for (let i = 0; i < size; i++) value |= from[done++]! << (8 * i);
        writeRegion(range.owner, range.offset + (at - range.start), size, value >>> 0);
      } else done += length;
    }
  }

  /** Reads one value of 1, 2 or 4 bytes, little endian. */
  readValue(address: number, size: AccessSize): number {
    const bytes = new Uint8Array(size);
    this.read(address, bytes);
    let value = 0;
    for (let i = 0; i < size; i++) value |= bytes[i]! << (8 * i);
    return value >>> 0;
  }

  writeValue(address: number, size: AccessSize, value: number): void {
    this.write(
      address,
      Uint8Array.from({ length: size }, (_, i) => value >>> (8 * i)),
    );
  }
}

const accessSize = (address: number, length: number): AccessSize =>
  address % 4 === 0 && length >= 4 ? 4 : address % 2 === 0 && length >= 2 ? 2 : 1;

const sameRange = (a: FlatRange, b: FlatRange): boolean =>
  a.start === b.start && a.last === b.last && a.flags === b.flags && a.owner === b.owner && a.offset === b.offset;
