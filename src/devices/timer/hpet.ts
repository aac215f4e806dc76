/**
 * High precision event timers: a 64-bit counter at 100 MHz and three comparators.
 * IA-PC HPET Specification 1.0a.
 */
import { traceEvents } from '../../base/trace.js';
import type { Clock, Timer } from '../../machine/clock.js';
import type { Device } from '../../machine/device.js';
import { type IrqLine, pulse } from '../../machine/irq.js';
import { type DeviceState, type Stateful, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';

export const HPET_TRACE = traceEvents({
  hpet_ram_read: 'enter hpet_ram_readl at 0x%x',
  hpet_ram_write: 'enter hpet_ram_writel at 0x%x = 0x%x',
  hpet_timer: 'timer %d fires',
});

export const HPET_BASE = 0xfed0_0000;
export const HPET_BYTES = 0x400;
export const HPET_TIMERS = 3;
/** Low half of GCAP_ID: vendor 8086, legacy replacement, 64-bit counter, number of timers, revision 1. */
export const HPET_ID = 0x8086_a001 | ((HPET_TIMERS - 1) << 8);
const NS_PER_TICK = 10;
const FEMTOSECONDS_PER_TICK = NS_PER_TICK * 1e6;
const TWO_32 = 2 ** 32;
const MASK_32 = 0xffff_ffffn;
const MASK_64 = 0xffff_ffff_ffff_ffffn;
/** Periods missed for longer than this (the host slept) are given up. */
const MAX_LAG_TICKS = 100_000_000n;
/** A high half read this soon after its low half belongs to it: a 64-bit read that was split. */
const PAIR_NS = 1000;

const Reg = {
  id: 0x000,
  period: 0x004,
  config: 0x010,
  status: 0x020,
  counter: 0x0f0,
  counterHigh: 0x0f4,
  timers: 0x100,
} as const;
const TimerReg = { config: 0x00, routes: 0x04, comparator: 0x08, comparatorHigh: 0x0c, stride: 0x20 } as const;
const Config = { enable: 1, legacy: 2 } as const;
const TimerConfig = {
  level: 0x02,
  enable: 0x04,
  periodic: 0x08,
  periodicCapable: 0x10,
  wideCapable: 0x20,
  setValue: 0x40,
  mode32: 0x100,
  routeShift: 9,
  writable: 0x3f4e,
} as const;
/** GSI 2 only, as the PC's other interrupt inputs have their owners. */
const ROUTE_CAPABILITIES = 1 << 2;

export interface HpetWiring {
  readonly clock: Clock;
  /** Board interrupt inputs 0..23. */
  readonly gsis: readonly IrqLine[];
  /** In legacy replacement mode timers 0 and 1 drive these instead of 8254 and RTC. */
  readonly irq0: IrqLine;
  readonly irq8: IrqLine;
  /** Takes 8254 and RTC off their interrupts, or gives them back. */
  legacyReplacement(on: boolean): void;
}

class HpetTimer implements Stateful {
  config = 0;
  comparator = MASK_64;
  period = 0n;
  /** Until when (virtual ns) a write of the comparator's high half belongs to one of its low half that was direct. */
  directUntil = Number.NEGATIVE_INFINITY;
  readonly timer: Timer;
  readonly #state = stateOf<HpetTimer>(this, 1, ['config', 'comparator', 'period']);

  constructor(
    readonly index: number,
    clock: Clock,
    fire: () => void,
  ) {
    this.timer = clock.timer(`hpet ${index}`, fire);
    this.reset();
  }

  reset(): void {
    this.config = TimerConfig.periodicCapable | TimerConfig.wideCapable;
    this.comparator = MASK_64;
    this.period = 0n;
    this.directUntil = Number.NEGATIVE_INFINITY;
    this.timer.disarm();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  get mask(): bigint {
    return this.config & TimerConfig.mode32 ? MASK_32 : MASK_64;
  }

  get periodic(): boolean {
    return (this.config & TimerConfig.periodic) !== 0;
  }
}

export class Hpet implements Device, IoHandler {
  readonly type = 'hpet';
  readonly sizes = { min: 4, max: 4 } as const;
  config = 0;
  /** Pending level-triggered interrupts, a bit per timer. */
  status = 0;
  /** Counter while stopped; while running, the counter at virtual time 0. */
  baseLow = 0;
  baseHigh = 0;
  readonly timers: readonly HpetTimer[];
  #latchedHigh = 0;
  #latchedAt = Number.NEGATIVE_INFINITY;
  readonly #state = stateOf<Hpet>(this, 1, ['config', 'status', 'baseLow', 'baseHigh', 'timers'], () => {
    this.wiring.legacyReplacement(this.#legacy);
    this.#rearmAll();
  });

  constructor(private readonly wiring: HpetWiring) {
    this.timers = Array.from({ length: HPET_TIMERS }, (_, i) => new HpetTimer(i, wiring.clock, () => this.#fire(i)));
  }

  reset(): void {
    for (const timer of this.timers) {
      this.#line(timer)?.set(false);
      timer.reset();
    }
    this.config = 0;
    this.status = 0;
    this.baseLow = 0;
    this.baseHigh = 0;
    this.wiring.legacyReplacement(false);
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  read(offset: number, _size: AccessSize): number {
    if (HPET_TRACE.hpet_ram_read.enabled) HPET_TRACE.hpet_ram_read.emit(offset);
    switch (offset) {
      case Reg.id:
        return HPET_ID >>> 0;
      case Reg.period:
        return FEMTOSECONDS_PER_TICK;
      case Reg.config:
        return this.config;
      case Reg.status:
        return this.status;
      case Reg.counter:
        this.#latchedAt = this.wiring.clock.now();
        this.#latchedHigh = this.#counterHigh();
        return this.#counterLow();
      case Reg.counterHigh:
        return this.wiring.clock.now() - this.#latchedAt < PAIR_NS ? this.#latchedHigh : this.#counterHigh();
      default: {
        const timer = this.#timerAt(offset);
        return timer ? this.#readTimer(timer, offset % TimerReg.stride) : 0;
      }
    }
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (HPET_TRACE.hpet_ram_write.enabled) HPET_TRACE.hpet_ram_write.emit(offset, value);
    switch (offset) {
      case Reg.config:
        this.#configure(value & (Config.enable | Config.legacy));
        return;
      case Reg.status:
        this.#acknowledge(value);
        return;
      case Reg.counter:
        if (!this.#running) this.baseLow = value;
        return;
      case Reg.counterHigh:
        if (!this.#running) this.baseHigh = value;
        return;
      default: {
        const timer = this.#timerAt(offset);
        if (timer) this.#writeTimer(timer, offset % TimerReg.stride, value);
      }
    }
  }

  get #running(): boolean {
    return (this.config & Config.enable) !== 0;
  }

  get #legacy(): boolean {
    return (this.config & Config.legacy) !== 0;
  }

  /** Ticks since virtual time 0. */
  #ticks(): number {
    return Math.floor((this.wiring.clock.now() + 0.5) / NS_PER_TICK);
  }

  #counterLow(): number {
    return this.#running ? (this.baseLow + this.#ticks()) % TWO_32 : this.baseLow;
  }

  #counterHigh(): number {
    if (!this.#running) return this.baseHigh;
    return (this.baseHigh + Math.floor((this.baseLow + this.#ticks()) / TWO_32)) % TWO_32;
  }

  #counter(): bigint {
    return (BigInt(this.#counterHigh()) << 32n) | BigInt(this.#counterLow());
  }

  #setBase(value: bigint): void {
    this.baseLow = Number(value & MASK_32);
    this.baseHigh = Number((value >> 32n) & MASK_32);
  }

  #timerAt(offset: number): HpetTimer | undefined {
    return offset < Reg.timers ? undefined : this.timers[Math.floor((offset - Reg.timers) / TimerReg.stride)];
  }

  #readTimer(timer: HpetTimer, register: number): number {
    switch (register) {
      case TimerReg.config:
        return timer.config;
      case TimerReg.routes:
        return ROUTE_CAPABILITIES;
      case TimerReg.comparator:
        return Number(timer.comparator & MASK_32);
      case TimerReg.comparatorHigh:
        return Number(timer.comparator >> 32n);
      default:
        return 0;
    }
  }

  #configure(value: number): void {
    const changed = this.config ^ value;
    if (changed & Config.enable) {
      const counter = this.#counter();
      const ticks = BigInt(this.#ticks());
      this.#setBase((value & Config.enable ? counter - ticks : counter) & MASK_64);
    }
    if (changed & Config.legacy) for (const timer of this.timers) this.#line(timer)?.set(false);
    this.config = value;
    if (changed & Config.legacy) this.wiring.legacyReplacement((value & Config.legacy) !== 0);
    for (const timer of this.timers) this.#driveLevel(timer);
    this.#rearmAll();
  }

  #acknowledge(value: number): void {
    this.status &= ~value;
    for (const timer of this.timers) if (value & (1 << timer.index)) this.#driveLevel(timer);
  }

  #writeTimer(timer: HpetTimer, register: number, value: number): void {
    switch (register) {
      case TimerReg.config: {
        this.#line(timer)?.set(false);
        timer.config = (timer.config & ~TimerConfig.writable) | (value & TimerConfig.writable);
        if (timer.config & TimerConfig.mode32) {
          timer.comparator &= MASK_32;
          timer.period &= MASK_32;
        }
        if (!(timer.config & TimerConfig.level)) this.status &= ~(1 << timer.index);
        this.#driveLevel(timer);
        break;
      }
      case TimerReg.comparator:
        this.#setComparator(timer, 0n, value);
        break;
      case TimerReg.comparatorHigh:
        if (timer.config & TimerConfig.mode32) return;
        this.#setComparator(timer, 32n, value);
        break;
      default:
        return;
    }
    this.#arm(timer);
  }

  /**
   * A periodic timer's comparator can be set directly only while VAL_SET is on; every write gives the period. VAL_SET
   * ends with the write. A 64-bit write comes as two halves: the high one is as direct as the low one just before it.
   */
  #setComparator(timer: HpetTimer, shift: bigint, value: number): void {
    const now = this.wiring.clock.now();
    const put = (old: bigint): bigint => (old & ~(MASK_32 << shift)) | (BigInt(value) << shift);
    const valueSet = (timer.config & TimerConfig.setValue) !== 0 || (shift > 0n && now < timer.directUntil);
    timer.directUntil = valueSet && shift === 0n ? now + PAIR_NS : Number.NEGATIVE_INFINITY;
    timer.config &= ~TimerConfig.setValue;
    if (!timer.periodic || valueSet) timer.comparator = put(timer.comparator) & timer.mask;
    if (timer.periodic) timer.period = put(timer.period) & timer.mask;
  }

  #rearmAll(): void {
    for (const timer of this.timers) this.#arm(timer);
  }

  #arm(timer: HpetTimer): void {
    if (!this.#running) {
      timer.timer.disarm();
      return;
    }
    const away = (timer.comparator - this.#counter()) & timer.mask;
    this.#armIn(timer, away);
  }

  #armIn(timer: HpetTimer, ticks: bigint): void {
    const at = (this.#ticks() + Number(ticks)) * NS_PER_TICK;
    // A deadline beyond what a double holds exactly is decades away.
    if (at > Number.MAX_SAFE_INTEGER) timer.timer.disarm();
    else timer.timer.arm(at);
  }

  #fire(index: number): void {
    const timer = this.timers[index]!;
    if (HPET_TRACE.hpet_timer.enabled) HPET_TRACE.hpet_timer.emit(index);
    this.#interrupt(timer);
    if (timer.periodic && timer.period > 0n) {
      const late = (this.#counter() - timer.comparator) & timer.mask;
      // Missed periods are made up one by one, unless there are too many of them.
      const periods = late > MAX_LAG_TICKS ? late / timer.period + 1n : 1n;
      timer.comparator = (timer.comparator + periods * timer.period) & timer.mask;
      const done = periods * timer.period;
      this.#armIn(timer, done > late ? done - late : 0n);
    } else if (timer.config & TimerConfig.mode32) this.#armIn(timer, MASK_32 + 1n);
  }

  /** The interrupt line of a timer; undefined when its route is not one of the board's. */
  #line(timer: HpetTimer): IrqLine | undefined {
    if (this.#legacy && timer.index === 0) return this.wiring.irq0;
    if (this.#legacy && timer.index === 1) return this.wiring.irq8;
    return this.wiring.gsis[(timer.config >> TimerConfig.routeShift) & 31];
  }

  #interrupt(timer: HpetTimer): void {
    if (timer.config & TimerConfig.level) {
      this.status |= 1 << timer.index;
      this.#driveLevel(timer);
    } else if (timer.config & TimerConfig.enable) {
      const line = this.#line(timer);
      if (line) pulse(line);
    }
  }

  #driveLevel(timer: HpetTimer): void {
    if (!(timer.config & TimerConfig.level)) return;
    const raised = (this.status & (1 << timer.index)) !== 0 && (timer.config & TimerConfig.enable) !== 0;
    this.#line(timer)?.set(raised);
  }
}
