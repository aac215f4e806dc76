/** What every device is. A device knows no bus, no machine and no event loop: its constructor gets narrow capabilities. */
import type { Stateful } from './state.js';

export interface Device extends Stateful {
  /** QEMU's name of the type: `isa-serial`, `piix3-ide`. */
  readonly type: string;
  /** Puts every register to its reset value (power-on and system reset alike). */
  reset(): void;
  /** Takes the device off its bus while the machine runs; `dispose` follows. Devices without it stay. */
  unplug?(): void;
  /** Releases host resources (timers, files). */
  dispose?(): void;
}
