/** The PCI bus as a function on it sees it. */
import type { DmaMemory } from '../memory/io.js';
import type { Memory } from '../memory/memory.js';
import type { MemoryRegion } from '../memory/region.js';

/** What the bus calls on the function that sits in a slot. `PciFunction` (devices/pci) implements it. */
export interface PciConfigSpace {
  /** Configuration reads and writes: `offset` 0..255 (4095 on PCI Express), `size` 1, 2 or 4, naturally aligned. */
  configRead(offset: number, size: 1 | 2 | 4): number;
  configWrite(offset: number, size: 1 | 2 | 4, value: number): void;
}

/** A bus behind a bridge, as the bus before it reaches it. */
export interface PciChildBus {
  /** As firmware or the guest numbered it; 0: not yet. */
  readonly number: number;
  /** The last number behind it. */
  readonly subordinate: number;
  /** The bus with this number, at or behind this one. */
  find(number: number): PciChildBus | undefined;
  configRead(devfn: number, offset: number, size: 1 | 2 | 4): number;
  configWrite(devfn: number, offset: number, size: 1 | 2 | 4, value: number): void;
}

/** One device and function number of a bus; made by `PciBus.slot(devfn)`. */
export interface PciSlot {
  /** Device number * 8 + function number. */
  readonly devfn: number;
  readonly busNumber: number;
  /** The user wants further functions beside this one. */
  readonly multifunction: boolean;
  readonly memory: Memory;
  /** Guest physical memory, without the bus-master check (PciFunction.dma makes it). */
  readonly dma: DmaMemory;
  /** Where the BARs of this bus are mapped. */
  readonly memorySpace: MemoryRegion;
  readonly ioSpace: MemoryRegion;
  /** Puts the function's configuration space on the bus. */
  plug(config: PciConfigSpace): void;
  /** Takes it off again. */
  unplug(): void;
  /** The function is a bridge to `bus`. */
  bridge(bus: PciChildBus): void;
  /** Drives INTA (1) to INTD (4). Idempotent. */
  setIntx(pin: number, level: boolean): void;
  /** A message-signalled interrupt: a 32-bit write of `data` to `address`. */
  sendMsi(address: number, data: number): void;
}
