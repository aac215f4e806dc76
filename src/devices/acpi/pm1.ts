/**
 * ACPI's fixed registers as Intel's south bridges have them: PM1 events and control, PM timer. ACPI 6.4, 4.8.3.
 */
import { guestError } from '../../base/log.js';
import { traceEvents } from '../../base/trace.js';
import type { Clock, Timer } from '../../machine/clock.js';
import type { SystemRequests } from '../../machine/device-type.js';
import { defineRegisters, RegisterFile } from '../../machine/register-map.js';
import { type DeviceState, type Stateful, stateOf } from '../../machine/state.js';

export const PM1_TRACE = traceEvents({ acpi_pm_sleep: 'type %d' });

export const PM_TIMER_HZ = 3_579_545;
const NS_PER_TICK = 1e9 / PM_TIMER_HZ;
const TIMER_BITS = 24;
export const PM1_BYTES = 0x10;

/** SLP_TYP values for the \_Sx packages. */
export const SleepType = { s5: 0, s3: 1, s4: 2 } as const;

export const Pm1 = {
  timer: 0x0001,
  busMaster: 0x0010,
  global: 0x0020,
  powerButton: 0x0100,
  sleepButton: 0x0200,
  rtc: 0x0400,
  wake: 0x8000,
} as const;
const PM1_EVENTS = Pm1.timer | Pm1.global | Pm1.powerButton | Pm1.sleepButton | Pm1.rtc;
const Control = { sciEnable: 0x0001, sleepTypeShift: 10, sleepEnable: 0x2000 } as const;

const PM_IO = defineRegisters(PM1_BYTES, [
  { name: 'PM1_STS', at: 0x00, size: 2, w1c: PM1_EVENTS | Pm1.busMaster | Pm1.wake, rsvd: 0x78ce },
  { name: 'PM1_EN', at: 0x02, size: 2, rsvd: 0xffff & ~PM1_EVENTS },
  { name: 'PM1_CNT', at: 0x04, size: 2, rsvd: 0xc1f8 | Control.sleepEnable },
  { name: 'PM_TMR', at: 0x08, size: 4, ro: 0xffff_ffff },
]);

export interface Pm1Wiring {
  readonly clock: Clock;
  readonly requests: SystemRequests;
  /** An event came or went, or what is enabled changed: the interrupt is to be driven anew. */
  changed(): void;
}

export class Pm1Block implements Stateful {
  readonly registers: RegisterFile<(typeof PM_IO)['registers'][number]['name']>;
  /** Virtual time at which the timer's top bit changes next. */
  overflow = 0;
  readonly #timer: Timer;
  readonly #state = stateOf<Pm1Block>(this, 1, ['registers', 'overflow']);

  constructor(private readonly wiring: Pm1Wiring) {
    this.#timer = wiring.clock.timer('pm timer', () => wiring.changed());
    this.registers = new RegisterFile(PM_IO, {
      read: {
        PM1_STS: () => {
          this.#catchUp();
          return this.registers.get('PM1_STS');
        },
        PM1_CNT: (stored) => stored & ~Control.sleepEnable,
        PM_TMR: () => this.#ticks() % 2 ** TIMER_BITS,
      },
      written: {
        PM1_STS: (_value, _previous, written) => {
          if (written & Pm1.timer) this.#rearmOverflow();
          wiring.changed();
        },
        PM1_EN: () => wiring.changed(),
        PM1_CNT: (value, _previous, written) => {
          wiring.changed();
          if (written & Control.sleepEnable) this.#sleep((value >> Control.sleepTypeShift) & 7);
        },
      },
    });
    this.#rearmOverflow();
  }

  reset(): void {
    this.registers.reset();
    this.#rearmOverflow();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  /** Events happen. */
  raise(bits: number): void {
    this.registers.set('PM1_STS', this.registers.get('PM1_STS') | bits);
    this.wiring.changed();
  }

  /** The guest takes power management over from firmware, or gives it back. */
  set acpiEnabled(on: boolean) {
    const control = this.registers.get('PM1_CNT');
    this.registers.set('PM1_CNT', on ? control | Control.sciEnable : control & ~Control.sciEnable);
    this.wiring.changed();
  }

  /** The level of the system control interrupt, given that of the general purpose events; arms the timer as needed. */
  level(general: boolean): boolean {
    this.#catchUp();
    const enabled = this.registers.get('PM1_EN');
    const fixed = this.registers.get('PM1_STS') & enabled & PM1_EVENTS;
    if (enabled & Pm1.timer && !(fixed & Pm1.timer)) this.#timer.arm(this.overflow);
    else this.#timer.disarm();
    return (fixed !== 0 || general) && (this.registers.get('PM1_CNT') & Control.sciEnable) !== 0;
  }

  #ticks(): number {
    return Math.floor((this.wiring.clock.now() + 0.5) / NS_PER_TICK);
  }

  #rearmOverflow(): void {
    const half = 2 ** (TIMER_BITS - 1);
    this.overflow = (Math.floor(this.#ticks() / half) + 1) * half * NS_PER_TICK;
  }

  #catchUp(): void {
    if (this.wiring.clock.now() < this.overflow) return;
    this.registers.set('PM1_STS', this.registers.get('PM1_STS') | Pm1.timer);
    this.#rearmOverflow();
  }

  #sleep(type: number): void {
    if (PM1_TRACE.acpi_pm_sleep.enabled) PM1_TRACE.acpi_pm_sleep.emit(type);
    if (type === SleepType.s5 || type === SleepType.s4) this.wiring.requests.shutdown('guest-shutdown');
    else if (type === SleepType.s3) this.wiring.requests.suspend();
    else guestError('acpi: sleep type %d', type);
  }
}
