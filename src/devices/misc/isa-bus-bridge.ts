/** Where an ISA bus without a PCI bridge hangs on the processor's bus: no registers of its own. */
import type { Device } from '../../machine/device.js';
import { type Stateful, stateOf } from '../../machine/state.js';

export class IsaBusBridge implements Device {
  readonly type = 'isabus-bridge';
  readonly #state: Stateful = stateOf<IsaBusBridge>(this, 1, []);
  readonly save = this.#state.save;
  readonly load = this.#state.load;

  reset(): void {}
}
