/** A PCI bus: slots, configuration accesses, INTx from devices to the bus's interrupt router. */
import { Bug } from '../../base/errors.js';
import { traceEvents } from '../../base/trace.js';
import type { PciChildBus, PciConfigSpace, PciSlot } from '../../machine/pci-slot.js';
import type { DmaMemory } from '../../memory/io.js';
import type { Memory } from '../../memory/memory.js';
import type { MemoryRegion } from '../../memory/region.js';

export const PCI_TRACE = traceEvents({
  pci_cfg_read: '%02x:%02x.%d @0x%02x -> 0x%x',
  pci_cfg_write: '%02x:%02x.%d @0x%02x <- 0x%x',
});

export interface PciBusHost {
  readonly memory: Memory;
  readonly dma: DmaMemory;
  readonly memorySpace: MemoryRegion;
  readonly ioSpace: MemoryRegion;
  /** Device `device` drives its `pin` (1..4). Called on changes only. */
  setIntx(device: number, pin: number, level: boolean): void;
  sendMsi(address: number, data: number): void;
}

const FUNCTIONS = 256;

export class PciBus implements PciChildBus {
  readonly #functions: (PciConfigSpace | undefined)[] = new Array(FUNCTIONS).fill(undefined);
  /** Bit 4 * function + pin - 1 of each device: what its functions drive. */
  readonly #levels = new Uint32Array(FUNCTIONS / 8);

  /** Buses behind bridges on this one. */
  readonly children: PciChildBus[] = [];
  #changed: () => void = () => {};
  /** The last bus number behind this one's bridge. */
  subordinate = 255;

  /** `number` of a bus behind a bridge is what firmware or the guest gives it; 0: none yet. */
  constructor(
    readonly host: PciBusHost,
    public number = 0,
  ) {}

  /** The bus with this number, at or behind this one. */
  find(number: number): PciChildBus | undefined {
    if (number === this.number) return this;
    for (const child of this.children) {
      if (child.number !== 0 && number >= child.number && number <= child.subordinate) return child.find(number);
    }
    return undefined;
  }

  /** Calls back now and whenever functions or bridges come or go. */
  watch(changed: () => void): void {
    this.#changed = changed;
    changed();
  }

  slot(devfn: number, multifunction = false): PciSlot {
    const { memory, dma, memorySpace, ioSpace } = this.host;
    const bus = this;
    return {
      devfn,
      multifunction,
      get busNumber() {
        return bus.number;
      },
      memory,
      dma,
      memorySpace,
      ioSpace,
      plug: (config) => {
        if (this.#functions[devfn]) throw new Bug(`PCI function ${devfn} is taken`);
        this.#functions[devfn] = config;
        this.#changed();
      },
      bridge: (child) => {
        this.children.push(child);
        this.#changed();
      },
      unplug: () => {
        for (let pin = 1; pin <= 4; pin++) this.#setIntx(devfn, pin, false);
        this.#functions[devfn] = undefined;
        this.#changed();
      },
      setIntx: (pin, level) => this.#setIntx(devfn, pin, level),
      sendMsi: (address, data) => this.host.sendMsi(address, data),
    };
  }

  /** The first device number from `from` on with no function plugged; undefined when the bus is full. */
  freeDevice(from = 0): number | undefined {
    for (let device = from; device < FUNCTIONS / 8; device++) {
      if (!this.#functions.slice(8 * device, 8 * device + 8).some(Boolean)) return device;
    }
    return undefined;
  }

  functionAt(devfn: number): PciConfigSpace | undefined {
    return this.#functions[devfn];
  }

  /** All functions with their numbers, in order. */
  functions(): readonly { readonly devfn: number; readonly config: PciConfigSpace }[] {
    return this.#functions.flatMap((config, devfn) => (config ? [{ devfn, config }] : []));
  }

  /** An absent function reads as all ones. */
  configRead(devfn: number, offset: number, size: 1 | 2 | 4): number {
    const config = this.#functions[devfn];
    const absent = size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    const value = config ? config.configRead(offset, size) : absent;
    if (PCI_TRACE.pci_cfg_read.enabled) {
      PCI_TRACE.pci_cfg_read.emit(this.number, devfn >> 3, devfn & 7, offset, value);
    }
    return value;
  }

  configWrite(devfn: number, offset: number, size: 1 | 2 | 4, value: number): void {
    if (PCI_TRACE.pci_cfg_write.enabled) {
      PCI_TRACE.pci_cfg_write.emit(this.number, devfn >> 3, devfn & 7, offset, value);
    }
    this.#functions[devfn]?.configWrite(offset, size, value);
  }

  #setIntx(devfn: number, pin: number, level: boolean): void {
    const device = devfn >> 3;
    const pins = 0x1111_1111 << (pin - 1);
    const bit = 1 << (4 * (devfn & 7) + pin - 1);
    const before = this.#levels[device]!;
    const after = level ? before | bit : before & ~bit;
    this.#levels[device] = after;
    if (!(before & pins) !== !(after & pins)) this.host.setIntx(device, pin, (after & pins) !== 0);
  }
}
