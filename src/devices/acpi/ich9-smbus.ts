/** The SMBus controller of Intel's ICH9, with nothing on its bus. Intel ICH9 data sheet (316972-004), chapter 19. */
import type { Device } from '../../machine/device.js';
import type { PciSlot } from '../../machine/pci-slot.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import { PciFunction } from '../pci/pci-function.js';
import { SMBUS_BYTES, SmbusHost } from './smbus-host.js';

const CONFIG = [{ name: 'HOSTC', at: 0x40, size: 1, rsvd: 0xf8 }] as const;

export class Ich9Smbus implements Device {
  readonly type = 'ICH9-SMB';
  readonly smbus = new SmbusHost();
  readonly pci: PciFunction<(typeof CONFIG)[number]['name']>;
  readonly #state = stateOf<Ich9Smbus>(this, 1, ['pci', 'smbus']);

  constructor(slot: PciSlot) {
    this.pci = new PciFunction(slot, {
      vendorId: 0x8086,
      deviceId: 0x2930,
      revision: 2,
      classCode: 0x0c0500,
      interruptPin: 1,
      bars: [{ index: 4, kind: 'io', region: slot.memory.io('ich9-smbus', SMBUS_BYTES, this.smbus) }],
      registers: CONFIG,
    });
  }

  reset(): void {
    this.pci.reset();
    this.smbus.reset();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }
}
