/**
 * The memory controller hub of Intel's Q35 chipset: shadow and system management RAM, and where configuration space lies in
 * memory. Intel 3 Series Express Chipset Family data sheet (316966-002), chapter 5.
 */
import type { Device } from '../../machine/device.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { MemoryRegion } from '../../memory/region.js';
import { MMCONFIG_BUS_BYTES, mmconfig } from './mmconfig.js';
import type { PciBus } from './pci-bus.js';
import { PciFunction } from './pci-function.js';
import { ShadowRam, type ShadowWiring, smramAfter } from './shadow-ram.js';

const CONFIG = [
  { name: 'PCIEXBAR', at: 0x60, size: 4, rsvd: 0x03ff_fff8 },
  { name: 'PCIEXBAR_HIGH', at: 0x64, size: 4, rsvd: 0xffff_fff0 },
  { name: 'PAM0', at: 0x90, size: 1, rsvd: 0xcf },
  { name: 'PAM1', at: 0x91, size: 1, rsvd: 0xcc },
  { name: 'PAM2', at: 0x92, size: 1, rsvd: 0xcc },
  { name: 'PAM3', at: 0x93, size: 1, rsvd: 0xcc },
  { name: 'PAM4', at: 0x94, size: 1, rsvd: 0xcc },
  { name: 'PAM5', at: 0x95, size: 1, rsvd: 0xcc },
  { name: 'PAM6', at: 0x96, size: 1, rsvd: 0xcc },
  { name: 'SMRAM', at: 0x9d, size: 1, reset: 0x02, ro: 0x07 },
  { name: 'ESMRAMC', at: 0x9e, size: 1, reset: 0x38, ro: 0xff },
] as const;
const PAMS = ['PAM0', 'PAM1', 'PAM2', 'PAM3', 'PAM4', 'PAM5', 'PAM6'] as const;
const PCIEX_ENABLE = 1;
/** PCIEXBAR bits 2 and 1: how many buses; 3 is reserved. */
const BUSES = [256, 128, 64, 0] as const;

export interface Q35MchWiring extends ShadowWiring {
  readonly bus: PciBus;
}

export class Q35Mch implements Device {
  readonly type = 'mch';
  readonly pci: PciFunction<(typeof CONFIG)[number]['name']>;
  readonly #shadow: ShadowRam;
  readonly #config: MemoryRegion;
  #mapped: number | undefined;
  readonly #state = stateOf<Q35Mch>(this, 1, ['pci'], () => this.#update());

  constructor(private readonly wiring: Q35MchWiring) {
    const { bus, memory } = wiring;
    this.#shadow = new ShadowRam(wiring);
    this.#config = memory.io('pcie-mmcfg-mmio', BUSES[0] * MMCONFIG_BUS_BYTES, mmconfig(bus));
    const update = (): void => this.#update();
    this.pci = new PciFunction(
      bus.slot(0),
      {
        vendorId: 0x8086,
        deviceId: 0x29c0,
        classCode: 0x060000,
        command: { reset: 0x0006, writable: 0x0100 },
        status: 0x0080,
        registers: CONFIG,
      },
      {
        written: {
          PCIEXBAR: update,
          PCIEXBAR_HIGH: update,
          PAM0: update,
          PAM1: update,
          PAM2: update,
          PAM3: update,
          PAM4: update,
          PAM5: update,
          PAM6: update,
          SMRAM: (value, previous) => {
            this.pci.set('SMRAM', smramAfter(value, previous));
            this.#update();
          },
        },
      },
    );
    this.#update();
  }

  reset(): void {
    this.pci.reset();
    this.#update();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  #update(): void {
    const { memory, pciMemory } = this.wiring;
    memory.transaction(() => {
      this.#shadow.update(
        PAMS.map((name) => this.pci.get(name)),
        this.pci.get('SMRAM'),
      );
      const low = this.pci.get('PCIEXBAR');
      const bytes = BUSES[((low >> 1) & 3) as 0 | 1 | 2 | 3] * MMCONFIG_BUS_BYTES;
      const base = Math.floor(low / 2 ** 26) * 2 ** 26 + this.pci.get('PCIEXBAR_HIGH') * 2 ** 32;
      const wanted = low & PCIEX_ENABLE && bytes > 0 ? base : undefined;
      if (wanted !== this.#mapped) {
        pciMemory.remove(this.#config);
        if (wanted !== undefined) pciMemory.add(this.#config, wanted, 2);
        this.#mapped = wanted;
      }
      if (bytes > 0) this.#config.size = bytes;
    });
  }
}
