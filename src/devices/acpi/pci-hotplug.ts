/**
 * Hot plugging of PCI devices by ACPI, at QEMU's ports ("QEMU<->ACPI BIOS PCI hotplug interface"): a general purpose event,
 * and registers that say which slots of the root bus have something new, or are to be ejected.
 *
 *   0xae00 UP     slots with a new device; reading clears      0xae04 DOWN   slots whose device is to go
 *   0xae08 EJECT  a one ejects; reads as 0                      0xae0c RMV    slots that can be unplugged
 */
import type { Device } from '../../machine/device.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { IoHandler } from '../../memory/io.js';
import type { Memory } from '../../memory/memory.js';
import type { MemoryRegion } from '../../memory/region.js';

export const PCI_HOTPLUG_BASE = 0xae00;
export const PCI_HOTPLUG_BYTES = 0x10;
const Register = { up: 0, down: 4, eject: 8, removable: 12 } as const;

export interface PciHotplugWiring {
  /** Tells the guest that registers changed: GPE 1. */
  notify(): void;
  /** The guest has let go of a slot: its devices may go. */
  ejected(slot: number): void;
}

export class AcpiPciHotplug implements Device {
  readonly type = 'acpi-pci-hotplug';
  up = 0;
  down = 0;
  /** Slots whose device came while the machine ran, or may go. */
  removable = 0;
  readonly #state = stateOf<AcpiPciHotplug>(this, 1, ['up', 'down', 'removable']);

  constructor(
    memory: Memory,
    ioSpace: MemoryRegion,
    private readonly wiring: PciHotplugWiring,
  ) {
    ioSpace.add(memory.io('acpi-pci-hotplug', PCI_HOTPLUG_BYTES, this.#registers()), PCI_HOTPLUG_BASE);
  }

  /** A device came into a slot. */
  plugged(slot: number): void {
    this.up = (this.up | (1 << slot)) >>> 0;
    this.wiring.notify();
  }

  /** Asks the guest to let go of a slot. */
  requestUnplug(slot: number): void {
    this.down = (this.down | (1 << slot)) >>> 0;
    this.wiring.notify();
  }

  /** What was asked for and not answered happens now: nobody works with it any more. */
  reset(): void {
    const waiting = this.down;
    this.up = this.down = 0;
    for (let slot = 0; slot < 32; slot++) if (waiting & (1 << slot)) this.wiring.ejected(slot);
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  #registers(): IoHandler {
    return {
      sizes: { min: 4, max: 4 },
      read: (offset) => {
        if (offset === Register.down) return this.down;
        if (offset === Register.removable) return this.removable;
        if (offset !== Register.up) return 0;
        const { up } = this;
        this.up = 0;
        return up;
      },
      write: (offset, _size, value) => {
        if (offset !== Register.eject) return;
        for (let slot = 0; slot < 32; slot++) {
          if (!(value & this.removable & (1 << slot))) continue;
          this.down = (this.down & ~(1 << slot)) >>> 0;
          this.wiring.ejected(slot);
        }
      },
    };
  }
}
