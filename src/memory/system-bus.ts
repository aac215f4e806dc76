// hot path
/** What the accelerator calls when guest code touches a device: ports by number, memory-mapped I/O by region. */
import type { AddressSpace } from './address-space.js';
import type { FlatRange } from './flat-view.js';
import type { AccessSize } from './io.js';
import type { Memory } from './memory.js';
import { readRegion, writeRegion } from './region-access.js';

const PORTS = 65536;

export class SystemBus {
  /** For each port 1 + the index of its range, or 0. */
  readonly #lookup = new Uint16Array(PORTS);
  #ranges: readonly FlatRange[] = [];

  constructor(
    private readonly memory: Memory,
    ports: AddressSpace,
  ) {
    this.#index(ports.ranges);
    ports.changed.subscribe((ranges) => this.#index(ranges));
  }

  /** Unassigned ports read as all ones. */
  portRead(port: number, size: AccessSize): number {
    const range = this.#ranges[this.#lookup[port]! - 1];
    if (range) {
      const offset = port - range.start + range.offset;
      if (size === 1 || offset + size <= range.owner.size) return readRegion(range.owner, offset, size);
    }
    if (size === 1) return 0xff;
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.portRead((port + i) & (PORTS - 1), 1) << (8 * i);
    return value >>> 0;
  }

  portWrite(port: number, size: AccessSize, value: number): void {
    const range = this.#ranges[this.#lookup[port]! - 1];
    if (range) {
      const offset = port - range.start + range.offset;
      if (size === 1 || offset + size <= range.owner.size) {
        writeRegion(range.owner, offset, size, value);
        return;
      }
    }
    if (size === 1) return;
    for (let i = 0; i < size; i++) this.portWrite((port + i) & (PORTS - 1), 1, (value >>> (8 * i)) & 0xff);
  }

  /** `region` is FlatRange.region; 0 is unassigned memory. */
  mmioRead(region: number, offset: number, size: AccessSize): number {
    const owner = this.memory.ioRegions[region];
    if (owner) return readRegion(owner, offset, size);
    return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
  }

  mmioWrite(region: number, offset: number, size: AccessSize, value: number): void {
    const owner = this.memory.ioRegions[region];
    if (owner) writeRegion(owner, offset, size, value);
  }

  #index(ranges: readonly FlatRange[]): void {
    this.#ranges = ranges;
    this.#lookup.fill(0);
    ranges.forEach((range, i) => {
      this.#lookup.fill(i + 1, range.start, range.last + 1);
    });
  }
}
