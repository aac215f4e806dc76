/**
 * Intel 440FX PCI host bridge: shadow RAM (PAM) and system management RAM.
 * Intel 440FX PCIset data sheet (290549-001), 3.2.
 */

import type { Device } from '../../machine/device.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { PciBus } from './pci-bus.js';
import { PciFunction } from './pci-function.js';
import { ShadowRam, type ShadowWiring, smramAfter } from './shadow-ram.js';

const CONFIG = [
  { name: 'PMCCFG', at: 0x50, size: 2 },
  { name: 'DETURBO', at: 0x52, size: 1 },
  { name: 'DBC', at: 0x53, size: 1, reset: 0x80 },
  { name: 'AXC', at: 0x54, size: 1 },
  { name: 'DRT', at: 0x55, size: 2 },
  { name: 'DRAMC', at: 0x57, size: 1 },
  { name: 'DRAMT', at: 0x58, size: 1 },
  { name: 'PAM0', at: 0x59, size: 1, rsvd: 0xcf },
  { name: 'PAM1', at: 0x5a, size: 1, rsvd: 0xcc },
  { name: 'PAM2', at: 0x5b, size: 1, rsvd: 0xcc },
  { name: 'PAM3', at: 0x5c, size: 1, rsvd: 0xcc },
  { name: 'PAM4', at: 0x5d, size: 1, rsvd: 0xcc },
  { name: 'PAM5', at: 0x5e, size: 1, rsvd: 0xcc },
  { name: 'PAM6', at: 0x5f, size: 1, rsvd: 0xcc },
  { name: 'DRB0_3', at: 0x60, size: 4 },
  { name: 'DRB4_7', at: 0x64, size: 4 },
  { name: 'FDHC', at: 0x68, size: 1 },
  { name: 'MTT', at: 0x70, size: 1 },
  { name: 'CLT', at: 0x71, size: 1 },
  { name: 'SMRAM', at: 0x72, size: 1, reset: 0x02, ro: 0x07 },
  { name: 'ERRCMD', at: 0x90, size: 1 },
  { name: 'ERRSTS', at: 0x91, size: 1, w1c: 0x11 },
] as const;

const PAMS = ['PAM0', 'PAM1', 'PAM2', 'PAM3', 'PAM4', 'PAM5', 'PAM6'] as const;

export interface I440fxWiring extends ShadowWiring {
  readonly bus: PciBus;
}

export class I440fx implements Device {
  readonly type = 'i440FX';
  readonly pci: PciFunction<(typeof CONFIG)[number]['name']>;
  readonly #shadow: ShadowRam;
  readonly #state = stateOf<I440fx>(this, 1, ['pci'], () => this.#update());

  constructor(wiring: I440fxWiring) {
    const { bus } = wiring;
    this.#shadow = new ShadowRam(wiring);
    const update = (): void => this.#update();
    this.pci = new PciFunction(
      bus.slot(0),
      {
        vendorId: 0x8086,
        deviceId: 0x1237,
        revision: 2,
        classCode: 0x060000,
        command: { reset: 0x0006, writable: 0x0100 },
        status: 0x0280,
        registers: CONFIG,
      },
      {
        written: {
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

  /** What firmware does, or a direct loader in its place: C0000..FFFFF is RAM. */
  shadowAll(): void {
    this.pci.configWrite(0x59, 1, 0x30);
    for (let at = 0x5a; at <= 0x5f; at++) this.pci.configWrite(at, 1, 0x33);
  }

  #update(): void {
    this.#shadow.update(
      PAMS.map((name) => this.pci.get(name)),
      this.pci.get('SMRAM'),
    );
  }
}
