/** System control port A at 92h of a PS/2-style PC: fast A20 gate and fast reset. IBM PS/2 Technical Reference. */
import type { Device } from '../../machine/device.js';
import type { SystemRequests } from '../../machine/device-type.js';
import type { IrqLine } from '../../machine/irq.js';
import type { IsaBus } from '../../machine/isa-bus.js';
import { defineRegisters, RegisterFile } from '../../machine/register-map.js';
import { stateOf } from '../../machine/state.js';

const FAST_RESET = 1;
const A20 = 2;
const PORT92 = defineRegisters(1, [{ name: 'PORTA', at: 0, size: 1, reset: A20 }]);

export interface Port92Wiring {
  /** High: address line 20 is the processor's. */
  readonly a20: IrqLine;
  readonly requests: SystemRequests;
}

export class Port92 implements Device {
  readonly type = 'port92';
  readonly registers: RegisterFile<'PORTA'>;
  readonly #state = stateOf<Port92>(this, 1, ['registers']);
  readonly save = this.#state.save;
  readonly load = this.#state.load;

  constructor(
    bus: Pick<IsaBus, 'mapPorts'>,
    private readonly wiring: Port92Wiring,
  ) {
    this.registers = new RegisterFile(PORT92, {
      written: {
        PORTA: (value, previous) => {
          this.wiring.a20.set((value & A20) !== 0);
          if (value & ~previous & FAST_RESET) this.wiring.requests.reset('guest-reset');
        },
      },
    });
    bus.mapPorts('port92', 0x92, 1, this.registers);
  }

  reset(): void {
    this.registers.reset();
  }
}
