/**
 * The watchdog of Intel's ICH9 (TCO): counts ticks of 0.6 s; a second time-out in a row resets the machine, unless the
 * chipset's NO_REBOOT strap says otherwise. Intel I/O Controller Hub 9 data sheet (316972-004), section 13.9.
 */
import type { Clock, Timer } from '../../machine/clock.js';
import { defineRegisters, RegisterFile } from '../../machine/register-map.js';
import { type DeviceState, type Stateful, stateOf } from '../../machine/state.js';

export const TCO_BYTES = 0x20;
const TICK_NS = 6e8;
const IDLE = Number.MAX_VALUE;
const LEAST_TICKS = 2;
const MOST_TICKS = 0x3ff;

const Status1 = { timeout: 0x0008 } as const;
const Status2 = { secondTimeout: 0x0002, boot: 0x0004 } as const;
const Control1 = { lock: 0x1000, halt: 0x0800 } as const;

const TCO = defineRegisters(TCO_BYTES, [
  { name: 'TCO_RLD', at: 0x00, size: 2 },
  { name: 'TCO_DAT_IN', at: 0x02, size: 1 },
  { name: 'TCO_DAT_OUT', at: 0x03, size: 1 },
  { name: 'TCO1_STS', at: 0x04, size: 2, w1c: 0x33cf, rsvd: 0xcc30 },
  { name: 'TCO2_STS', at: 0x06, size: 2, w1c: 0x001f, rsvd: 0xffe0 },
  { name: 'TCO1_CNT', at: 0x08, size: 2, rsvd: 0xe4ff },
  { name: 'TCO2_CNT', at: 0x0a, size: 2, reset: 0x0008 },
  { name: 'TCO_MESSAGE1', at: 0x0c, size: 1 },
  { name: 'TCO_MESSAGE2', at: 0x0d, size: 1 },
  { name: 'TCO_WDCNT', at: 0x0e, size: 1 },
  { name: 'SW_IRQ_GEN', at: 0x10, size: 1, reset: 0x03 },
  { name: 'TCO_TMR', at: 0x12, size: 2, reset: 0x0004, rsvd: 0xfc00 },
]);

export interface TcoWiring {
  readonly clock: Clock;
  /** It has timed out twice in a row. */
  expired(): void;
}

export class Ich9Tco implements Stateful {
  readonly registers: RegisterFile<(typeof TCO)['registers'][number]['name']>;
  /** Virtual time of the next time-out, or IDLE. */
  deadline = IDLE;
  readonly #timer: Timer;
  readonly #state = stateOf<Ich9Tco>(this, 1, ['registers', 'deadline'], () => this.#arm());

  constructor(private readonly wiring: TcoWiring) {
    this.#timer = wiring.clock.timer('tco watchdog', () => this.#timeout());
    this.registers = new RegisterFile(TCO, {
      read: { TCO_RLD: () => this.#ticksLeft() },
      written: {
        // Any write: the guest is alive.
        TCO_RLD: () => {
          this.registers.set('TCO1_STS', this.registers.get('TCO1_STS') & ~Status1.timeout);
          this.#start();
        },
        TCO1_CNT: (value, previous) => {
          if (previous & Control1.lock) this.registers.set('TCO1_CNT', value | Control1.lock);
          this.#start();
        },
      },
    });
  }

  /** It does not run before the guest has asked it to. */
  reset(): void {
    this.registers.reset();
    this.deadline = IDLE;
    this.#arm();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  #ticksLeft(): number {
    if (this.deadline === IDLE) return this.registers.get('TCO_TMR');
    return Math.min(MOST_TICKS, Math.max(0, Math.ceil((this.deadline - this.wiring.clock.now()) / TICK_NS)));
  }

  #start(): void {
    const ticks = Math.max(LEAST_TICKS, this.registers.get('TCO_TMR'));
    const halted = (this.registers.get('TCO1_CNT') & Control1.halt) !== 0;
    this.deadline = halted ? IDLE : this.wiring.clock.now() + ticks * TICK_NS;
    this.#arm();
  }

  #arm(): void {
    if (this.deadline === IDLE) this.#timer.disarm();
    else this.#timer.arm(this.deadline);
  }

  #timeout(): void {
    const first = this.registers.get('TCO1_STS');
    if (first & Status1.timeout) {
      const second = this.registers.get('TCO2_STS');
      this.registers.set('TCO2_STS', second | Status2.secondTimeout | Status2.boot);
      this.registers.set('TCO1_STS', first & ~Status1.timeout);
      this.wiring.expired();
    } else {
      this.registers.set('TCO1_STS', first | Status1.timeout);
    }
    this.#start();
  }
}
