/** The ISA bus as a device sees it: port ranges, memory, interrupt lines and DMA channels. */
import type { IoHandler } from '../memory/io.js';
import type { MemoryRegion } from '../memory/region.js';
import type { IrqLine } from './irq.js';

export interface IsaBus {
  /** Answers `length` ports from `base` on; offsets count from `base`. The region can be disabled or removed later. */
  mapPorts(name: string, base: number, length: number, handler: IoHandler, priority?: number): MemoryRegion;
  /** Puts a region into the ISA memory space (below 16 MiB). */
  mapMemory(region: MemoryRegion, address: number, priority?: number): void;
  /** Interrupt line 0..15, as a driver of its own: several devices may share one. */
  irq(line: number): IrqLine;
  /** Channel 0..3 (8 bit) or 5..7 (16 bit). */
  dma(channel: number): DmaChannel;
}

/** A channel of the 8237 as the device on it sees it. */
export interface DmaChannel {
  /** Asserts or drops DREQ. While it is asserted and the channel unmasked, `transfer` of the device is called. */
  request(asserted: boolean): void;
  /** The device's side; called between slices of guest code. At most one per channel. */
  attach(device: DmaClient): void;
  /** Whether the guest has the channel unmasked and its mode is not cascade. */
  readonly ready: boolean;
}

export interface DmaClient {
  /**
   * Device to memory (`direction` 'write', as the 8237 calls it): fill `buffer` and return how many bytes were put in.
   * Memory to device ('read'): take bytes from `buffer` and return how many were taken. 'verify': as 'write' without
   * effect on memory. Fewer bytes than `buffer.length` leave the rest for the next call. `terminalCount` tells that the
   * bytes offered reach the end of the programmed count.
   */
  transfer(direction: 'read' | 'write' | 'verify', buffer: Uint8Array, terminalCount: boolean): number;
}
