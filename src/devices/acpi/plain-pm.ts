/**
 * Power management of a board without a chipset: ACPI's fixed registers at fixed ports, always in ACPI mode, and a reset
 * register. ACPI 6.4, 4.8.3.
 *
 * QEMU's microvm reduces ACPI's hardware instead; then Linux uses neither PIT nor PM timer, and without a paravirtual clock
 * it cannot find out how fast its time stamp counter runs.
 */
import type { Clock } from '../../machine/clock.js';
import type { Device } from '../../machine/device.js';
import type { SystemRequests } from '../../machine/device-type.js';
import type { IrqLine } from '../../machine/irq.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { Memory } from '../../memory/memory.js';
import type { MemoryRegion } from '../../memory/region.js';
import { PM1_BYTES, Pm1, Pm1Block } from './pm1.js';

const RESET_CONTROL_PORT = 0xcf9;
const RESET_CPU = 4;

export class PlainPm implements Device {
  readonly type = 'acpi-pm';
  readonly pm1: Pm1Block;
  readonly #state = stateOf<PlainPm>(this, 1, ['pm1'], () => this.#update());

  constructor(
    memory: Memory,
    ioSpace: MemoryRegion,
    base: number,
    private readonly wiring: { readonly clock: Clock; readonly sci: IrqLine; readonly requests: SystemRequests },
  ) {
    const { clock, requests } = wiring;
    this.pm1 = new Pm1Block({ clock, requests, changed: () => this.#update() });
    ioSpace.add(memory.io('acpi-pm1', PM1_BYTES, this.pm1.registers), base);
    const reset = memory.io('reset-control', 1, {
      sizes: { min: 1, max: 1 },
      read: () => 0,
      write: (_offset, _size, value) => {
        if (value & RESET_CPU) requests.reset('guest-reset');
      },
    });
    ioSpace.add(reset, RESET_CONTROL_PORT);
  }

  pressPowerButton(): void {
    this.pm1.raise(Pm1.powerButton);
  }

  reset(): void {
    this.pm1.reset();
    this.pm1.acpiEnabled = true;
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  #update(): void {
    this.wiring.sci.set(this.pm1.level(false));
  }
}
