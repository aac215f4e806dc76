/**
 * Motorola MC146818 real-time clock with 128 bytes of battery-backed RAM, at ports 70h and 71h.
 * MC146818A data sheet (Motorola ADI-1020); CMOS use of the PC: IBM PC/AT Technical Reference.
 */
import { fromBcd, toBcd } from '../../base/bits.js';
import { traceEvents } from '../../base/trace.js';
import type { Clock, Timer } from '../../machine/clock.js';
import type { Device } from '../../machine/device.js';
import type { IrqLine } from '../../machine/irq.js';
import type { IsaBus } from '../../machine/isa-bus.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';

export const MC146818_TRACE = traceEvents({
  cmos_ioport_read: 'index 0x%02x val 0x%02x',
  cmos_ioport_write: 'index 0x%02x val 0x%02x',
});

const Reg = {
  seconds: 0,
  secondsAlarm: 1,
  minutes: 2,
  minutesAlarm: 3,
  hours: 4,
  hoursAlarm: 5,
  dayOfWeek: 6,
  dayOfMonth: 7,
  month: 8,
  year: 9,
  a: 10,
  b: 11,
  c: 12,
  d: 13,
  century: 0x32,
} as const;
const A = { uip: 0x80, divider: 0x70, running: 0x20, rate: 15 } as const;
const B = { set: 0x80, pie: 0x40, aie: 0x20, uie: 0x10, binary: 4, hours24: 2 } as const;
const C = { irq: 0x80, periodic: 0x40, alarm: 0x20, update: 0x10 } as const;
const D_VALID = 0x80;
/** An alarm byte with both top bits set matches anything. */
const ANY = 0xc0;
const SECOND = 1e9;
/** UIP rises this long before an update (t_BUC). */
const UPDATE_WARNING_NS = 244_000;
const DAY_MS = 86_400_000;
const TIME_REGISTERS: ReadonlySet<number> = new Set([
  Reg.seconds,
  Reg.minutes,
  Reg.hours,
  Reg.dayOfWeek,
  Reg.dayOfMonth,
  Reg.month,
  Reg.year,
  Reg.century,
]);

export class Mc146818 implements Device, IoHandler {
  readonly type = 'mc146818rtc';
  readonly sizes = { min: 1, max: 1 } as const;
  /** All 128 bytes; the time registers are brought up to date when they are read. */
  readonly cmos = new Uint8Array(128);
  index = 0;
  /** What the guest's calendar is ahead of the clock, ms. */
  offsetMs: number;
  /** Guest calendar time (ms since 1970) while the clock is held (SET, or the divider chain stopped); -1: it runs. */
  heldMs = -1;
  /** The last second (since 1970, guest calendar) for which update and alarm were looked at. */
  lastSecond: number;
  /** Clock time of the last periodic event, ns. */
  lastPeriodic: number;

  readonly #startOffset: number;
  readonly #second: Timer;
  readonly #periodic: Timer;
  readonly #state = stateOf<Mc146818>(
    this,
    1,
    ['cmos', 'index', 'offsetMs', 'heldMs', 'lastSecond', 'lastPeriodic'],
    () => this.#rearm(),
  );

  /** `offsetMs`: what the guest's calendar is ahead of `clock` (ns since 1970) at power-on. */
  constructor(
    bus: Pick<IsaBus, 'mapPorts'>,
    private readonly clock: Clock,
    private readonly irq: IrqLine,
    offsetMs = 0,
    /** The guest set the calendar; ms by which it is now ahead of what it was at power-on. */
    private readonly changed: (aheadMs: number) => void = () => {},
  ) {
    this.offsetMs = offsetMs;
    this.#startOffset = offsetMs;
    this.#second = clock.timer('rtc second', () => this.#everySecond());
    this.#periodic = clock.timer('rtc periodic', () => this.#everyPeriod());
    bus.mapPorts('rtc', 0x70, 2, this);
    this.cmos[Reg.a] = A.running | 6;
    this.cmos[Reg.b] = B.hours24;
    this.cmos[Reg.d] = D_VALID;
    this.lastSecond = Math.floor(this.#now() / 1000);
    this.lastPeriodic = clock.now();
    this.#refresh();
    this.#rearm();
  }

  /** Bytes that firmware reads: memory sizes, boot order, drive types. The time registers cannot be set so. */
  setByte(index: number, value: number): void {
    this.cmos[index] = value;
  }

  /** Little-endian, at `index` and the next. */
  setWord(index: number, value: number): void {
    this.cmos[index] = value;
    this.cmos[index + 1] = value >> 8;
  }

  /** The battery keeps the time and RAM; the RESET pin clears interrupt enables and flags. */
  reset(): void {
    this.index = 0;
    this.cmos[Reg.b] = this.cmos[Reg.b]! & ~(B.pie | B.aie | B.uie);
    this.cmos[Reg.c] = 0;
    this.#updateIrq();
    this.#rearm();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
    this.#updateIrq();
  }

  read(offset: number, _size: AccessSize): number {
    if (offset === 0) return 0xff;
    const value = this.#read();
    if (MC146818_TRACE.cmos_ioport_read.enabled) MC146818_TRACE.cmos_ioport_read.emit(this.index, value);
    return value;
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (offset === 0) {
      this.index = value & 0x7f;
      return;
    }
    if (MC146818_TRACE.cmos_ioport_write.enabled) MC146818_TRACE.cmos_ioport_write.emit(this.index, value);
    this.#write(value);
  }

  /** Guest calendar time, ms since 1970 as if it were UTC. */
  get calendarMs(): number {
    return this.heldMs >= 0 ? this.heldMs : this.#now();
  }

  #now(): number {
    return this.clock.now() / 1e6 + this.offsetMs;
  }

  get #running(): boolean {
    return (this.cmos[Reg.a]! & A.divider) === A.running;
  }

  #read(): number {
    if (TIME_REGISTERS.has(this.index)) this.#refresh();
    const value = this.cmos[this.index]!;
    if (this.index === Reg.a) return this.#updating() ? value | A.uip : value;
    if (this.index !== Reg.c) return value;
    this.#catchUp();
    const flags = this.cmos[Reg.c]!;
    this.cmos[Reg.c] = 0;
    this.#updateIrq();
    return flags;
  }

  #write(value: number): void {
    switch (this.index) {
      case Reg.a:
        this.#catchUp();
        this.cmos[Reg.a] = value & ~A.uip;
        this.#hold();
        return;
      case Reg.b:
        this.#catchUp();
        // SET ends an update cycle and clears its interrupt enable.
        this.cmos[Reg.b] = value & B.set ? value & ~B.uie : value;
        this.#hold();
        this.#updateIrq();
        return;
      case Reg.c:
      case Reg.d:
        return;
      default:
    }
    if (!TIME_REGISTERS.has(this.index)) {
      this.cmos[this.index] = value;
      return;
    }
    this.#refresh();
    this.cmos[this.index] = value;
    if (this.heldMs < 0) this.#setCalendar();
  }

  /** Follows SET and the divider: while either holds the clock, the registers are what the guest writes. */
  #hold(): void {
    const hold = (this.cmos[Reg.b]! & B.set) !== 0 || !this.#running;
    if (hold && this.heldMs < 0) {
      this.#refresh();
      this.heldMs = this.#now();
    } else if (!hold && this.heldMs >= 0) {
      this.heldMs = -1;
      this.#setCalendar();
    }
    this.#rearm();
  }

  /** Starts the calendar from the registers. */
  #setCalendar(): void {
    const value = (register: number): number => this.#decode(this.cmos[register]!);
    const raw = this.cmos[Reg.hours]!;
    let hours = this.#decode(raw & 0x7f);
    if (!(this.cmos[Reg.b]! & B.hours24)) hours = (hours % 12) + (raw & 0x80 ? 12 : 0);
    const year = value(Reg.century) * 100 + value(Reg.year);
    const wanted = Date.UTC(
      year,
      value(Reg.month) - 1,
      value(Reg.dayOfMonth),
      hours,
      value(Reg.minutes),
      value(Reg.seconds),
    );
    if (Number.isNaN(wanted)) return;
    this.offsetMs += wanted - this.#now();
    this.lastSecond = Math.floor(wanted / 1000);
    this.changed(this.offsetMs - this.#startOffset);
    this.#rearm();
  }

  /** Brings the time registers up to date. */
  #refresh(): void {
    if (this.heldMs >= 0) return;
    const date = new Date(this.#now());
    const put = (register: number, value: number): void => {
      this.cmos[register] = this.#encode(value);
    };
    const hours = date.getUTCHours();
    put(Reg.seconds, date.getUTCSeconds());
    put(Reg.minutes, date.getUTCMinutes());
    if (this.cmos[Reg.b]! & B.hours24) put(Reg.hours, hours);
    else this.cmos[Reg.hours] = this.#encode(hours % 12 || 12) | (hours >= 12 ? 0x80 : 0);
    put(Reg.dayOfWeek, date.getUTCDay() + 1);
    put(Reg.dayOfMonth, date.getUTCDate());
    put(Reg.month, date.getUTCMonth() + 1);
    put(Reg.year, date.getUTCFullYear() % 100);
    put(Reg.century, Math.floor(date.getUTCFullYear() / 100));
  }

  #encode(value: number): number {
    return this.cmos[Reg.b]! & B.binary ? value : toBcd(value);
  }

  #decode(value: number): number {
    return this.cmos[Reg.b]! & B.binary ? value : fromBcd(value);
  }

  #updating(): boolean {
    if (this.heldMs >= 0) return false;
    const intoSecond = (this.#now() * 1e6) % SECOND;
    return intoSecond >= SECOND - UPDATE_WARNING_NS;
  }

  /** Period of the periodic interrupt in ns; Infinity when the rate is 0 or the divider is stopped. */
  #period(): number {
    const rate = this.cmos[Reg.a]! & A.rate;
    if (rate === 0 || !this.#running) return Number.POSITIVE_INFINITY;
    const shift = rate <= 2 ? rate + 7 : rate;
    return (SECOND / 32_768) * 2 ** (shift - 1);
  }

  /** Arms what can interrupt; flags that nobody enabled are made good when register C is read. */
  #rearm(): void {
    const enables = this.cmos[Reg.b]!;
    const period = this.#period();
    if (enables & B.pie && period !== Number.POSITIVE_INFINITY) {
      const now = this.clock.now();
      if (now - this.lastPeriodic >= period) this.lastPeriodic = now - (now % period);
      this.#periodic.arm(this.lastPeriodic + period);
    } else this.#periodic.disarm();
    if (enables & (B.aie | B.uie) && this.heldMs < 0) this.#second.arm(this.#nextSecond());
    else this.#second.disarm();
  }

  #nextSecond(): number {
    const now = this.#now();
    return this.clock.now() + (1000 - (now % 1000)) * 1e6 + 1000;
  }

  #everySecond(): void {
    this.#catchUp();
    this.#updateIrq();
    this.#rearm();
  }

  #everyPeriod(): void {
    this.lastPeriodic += this.#period();
    this.cmos[Reg.c] = this.cmos[Reg.c]! | C.periodic;
    this.#updateIrq();
    this.#rearm();
  }

  /** Sets the flags of everything that has happened since they were last looked at. */
  #catchUp(): void {
    const now = this.clock.now();
    let flags = this.cmos[Reg.c]!;
    const period = this.#period();
    if (now - this.lastPeriodic >= period) {
      flags |= C.periodic;
      this.lastPeriodic = now - (now % period);
    }
    if (this.heldMs < 0) {
      const second = Math.floor(this.#now() / 1000);
      if (second !== this.lastSecond) {
        flags |= C.update;
        if (this.#alarmBetween(this.lastSecond + 1, second)) flags |= C.alarm;
        this.lastSecond = second;
      }
    }
    this.cmos[Reg.c] = flags;
  }

  /** Whether the alarm matches any second of first..last. */
  #alarmBetween(first: number, last: number): boolean {
    const alarm = [Reg.secondsAlarm, Reg.minutesAlarm, Reg.hoursAlarm].map((r) => this.cmos[r]!);
    const [seconds, minutes, hours] = alarm.map((raw, i) => {
      if ((raw & ANY) === ANY) return -1;
      if (i < 2 || this.cmos[Reg.b]! & B.hours24) return this.#decode(raw);
      return (this.#decode(raw & 0x7f) % 12) + (raw & 0x80 ? 12 : 0);
    });
    for (let s = Math.max(first, last - DAY_MS / 1000); s <= last; s++) {
      const time = s % 86_400;
      if (seconds !== -1 && seconds !== time % 60) continue;
      if (minutes !== -1 && minutes !== Math.floor(time / 60) % 60) continue;
      if (hours !== -1 && hours !== Math.floor(time / 3600)) continue;
      return true;
    }
    return false;
  }

  #updateIrq(): void {
    const flags = this.cmos[Reg.c]! & ~C.irq;
    const raised = (flags & this.cmos[Reg.b]! & (C.periodic | C.alarm | C.update)) !== 0;
    this.cmos[Reg.c] = raised ? flags | C.irq : flags;
    this.irq.set(raised);
  }
}
