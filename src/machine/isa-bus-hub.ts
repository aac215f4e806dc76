/** The ISA bus of a board: port and memory space, interrupt lines that several devices may share, DMA channels. */
import { Bug } from '../base/errors.js';
import type { IoHandler } from '../memory/io.js';
import type { Memory } from '../memory/memory.js';
import type { MemoryRegion } from '../memory/region.js';
import { type IrqLine, WiredOr } from './irq.js';
import type { DmaChannel, IsaBus } from './isa-bus.js';

export interface IsaBusParts {
  readonly memory: Memory;
  readonly ioSpace: MemoryRegion;
  readonly memorySpace: MemoryRegion;
  /** Where interrupts 0..15 go. */
  readonly irqs: readonly IrqLine[];
}

export class IsaBusHub implements IsaBus {
  readonly #lines: readonly WiredOr[];
  #channels: readonly (DmaChannel | undefined)[] = [];

  constructor(private readonly parts: IsaBusParts) {
    this.#lines = parts.irqs.map((line) => new WiredOr(line));
  }

  mapPorts(name: string, base: number, length: number, handler: IoHandler, priority = 0): MemoryRegion {
    const region = this.parts.memory.io(name, length, handler);
    this.parts.ioSpace.add(region, base, priority);
    return region;
  }

  mapMemory(region: MemoryRegion, address: number, priority = 1): void {
    this.parts.memorySpace.add(region, address, priority);
  }

  irq(line: number): IrqLine {
    const wire = this.#lines[line];
    if (!wire) throw new Bug(`there is no ISA interrupt ${line}`);
    return wire.input();
  }

  /** The DMA controllers' channels, by number. */
  connectDma(channels: readonly (DmaChannel | undefined)[]): void {
    this.#channels = channels;
  }

  dma(channel: number): DmaChannel {
    const found = this.#channels[channel];
    if (!found) throw new Bug(`there is no DMA channel ${channel}`);
    return found;
  }
}
