/** Buses for tests of single devices: they keep what a device maps, and reach it as a guest would. */

import type { AddressSpace } from '../../memory/address-space.js';
import { Memory } from '../../memory/memory.js';
import type { MemoryRegion } from '../../memory/region.js';
import { readRegion, writeRegion } from '../../memory/region-access.js';
import { IsaBusHub } from '../isa-bus-hub.js';
import type { PciConfigSpace, PciSlot } from '../pci-slot.js';
import type { ConformanceRegion } from './conformance.js';
import { FakeAccelerator } from './fake-accelerator.js';
import { ProbeLine } from './manual-clock.js';

/** A region as the guest reaches it, with the memory core's splitting and widening. */
export function throughRegion(region: MemoryRegion): ConformanceRegion {
  return {
    name: region.name,
    size: region.size,
    handler: {
      read: (offset, size) => readRegion(region, offset, size),
      write: (offset, size, value) => writeRegion(region, offset, size, value),
    },
  };
}

/** Memory, ports, an ISA bus and one PCI slot. */
export class ProbeBus {
  readonly accelerator = new FakeAccelerator();
  readonly memory = new Memory(this.accelerator);
  readonly ioSpace: MemoryRegion = this.memory.container('io', 0x10000);
  readonly memorySpace: MemoryRegion = this.memory.container('memory');
  readonly system: AddressSpace = this.memory.addressSpace('memory', this.memorySpace);
  readonly irqs: readonly ProbeLine[] = Array.from({ length: 16 }, () => new ProbeLine());
  readonly isa = new IsaBusHub({
    memory: this.memory,
    ioSpace: this.ioSpace,
    memorySpace: this.memorySpace,
    irqs: this.irqs,
  });
  /** Levels of INTA..INTD. */
  readonly intx = [false, false, false, false];
  readonly msis: (readonly [address: number, data: number])[] = [];
  config: PciConfigSpace | undefined;

  readonly slot: PciSlot = {
    devfn: 0x10,
    busNumber: 0,
    multifunction: false,
    memory: this.memory,
    dma: this.system,
    memorySpace: this.memorySpace,
    ioSpace: this.ioSpace,
    plug: (config) => {
      this.config = config;
    },
    bridge: () => {},
    unplug: () => {
      this.config = undefined;
    },
    setIntx: (pin, level) => {
      this.intx[pin - 1] = level;
    },
    sendMsi: (address, data) => {
      this.msis.push([address, data]);
    },
  };

  /** Everything that is mapped now, and the configuration space. */
  regions(): ConformanceRegion[] {
    const regions = [...this.ioSpace.subRegions, ...this.memorySpace.subRegions]
      .filter(({ region }) => region.kind === 'io')
      .map(({ region }) => throughRegion(region));
    const { config } = this;
    if (config) {
      regions.push({
        name: 'configuration space',
        size: 256,
        handler: {
          read: (offset, size) => config.configRead(offset, size),
          write: (offset, size, value) => config.configWrite(offset, size, value),
        },
      });
    }
    return regions;
  }
}
