/**
 * Intel 8254 programmable interval timer: three counters at 1.193182 MHz, and the speaker control port 61h.
 * 8254 data sheet (Intel 231164-005); port 61h: 82371SB (PIIX3) data sheet, NMISC.
 */
import { traceEvents } from '../../base/trace.js';
import type { Clock, Timer } from '../../machine/clock.js';
import type { Device } from '../../machine/device.js';
import { type IrqLine, NO_IRQ } from '../../machine/irq.js';
import type { IsaBus } from '../../machine/isa-bus.js';
import { type DeviceState, type Stateful, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';

export const I8254_TRACE = traceEvents({
  pit_ioport_read: 'addr=0x%x value=0x%02x',
  pit_ioport_write: 'addr=0x%x value=0x%02x',
});

export const PIT_HZ = 1_193_182;
const NS_PER_TICK = 1e9 / PIT_HZ;
/** A counter that lags further behind than this (the host slept) gives up on the periods it missed. */
const MAX_LAG_NS = 1e9;
const REFRESH_TOGGLE_NS = 15_085;

/** One counter. Its value is a function of the time since it was loaded; only the output's edges need a timer. */
class Counter implements Stateful {
  mode = 3;
  bcd = false;
  /** Which byte an access reads or writes: 1 low, 2 high, 3 low then high. */
  access = 3;
  /** Initial count, 1..0x10000 (or 10000 in BCD). */
  initial = 0x10000;
  /** Low byte of a two-byte write under way, or -1. */
  writeLow = -1;
  /** The next read of a two-byte pair gives the high byte. */
  readHigh = false;
  /** Latched count, -1 none; in two-byte access the low byte goes first. */
  latch = -1;
  statusLatch = -1;
  gate = true;
  /** Control word written, count not yet. */
  nullCount = true;
  /** When counting began, ns; and the count that it stands at while the gate holds it (-1: not held). */
  start = 0;
  held = -1;
  /** When the next rising edge of OUT is due, ns; Infinity: none. */
  edge = Number.POSITIVE_INFINITY;

  readonly #timer: Timer;
  readonly #state = stateOf<Counter>(
    this,
    1,
    [
      'mode',
      'bcd',
      'access',
      'initial',
      'writeLow',
      'readHigh',
      'latch',
      'statusLatch',
      'gate',
      'nullCount',
      'start',
      'held',
      'edge',
    ],
    () => this.afterLoad(),
    { infinite: ['edge'] },
  );

  constructor(
    private readonly clock: Clock,
    index: number,
    private readonly out: IrqLine,
  ) {
    this.#timer = clock.timer(`pit counter ${index}`, () => this.#edge());
  }

  reset(): void {
    this.mode = 3;
    this.bcd = false;
    this.access = 3;
    this.initial = 0x10000;
    this.writeLow = -1;
    this.readHigh = false;
    this.latch = -1;
    this.statusLatch = -1;
    this.nullCount = true;
    this.held = -1;
    this.start = 0;
    this.#disarm();
    this.out.set(false);
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  afterLoad(): void {
    if (this.edge === Number.POSITIVE_INFINITY) this.#disarm();
    else this.#arm(this.edge);
  }

  /** Derives the next edge of OUT from the count and when it began: for a state that came from elsewhere. */
  reschedule(): void {
    if (this.nullCount || this.held >= 0) this.#disarm();
    else this.#schedule();
  }

  control(value: number): void {
    this.access = (value >> 4) & 3;
    this.mode = (value >> 1) & 7;
    if (this.mode > 5) this.mode -= 4; // bit 2 is "don't care" for modes 2 and 3
    this.bcd = (value & 1) !== 0;
    this.writeLow = -1;
    this.readHigh = false;
    this.latch = -1;
    this.nullCount = true;
    this.#disarm();
    this.out.set(this.output);
  }

  latchCount(): void {
    if (this.latch < 0) this.latch = this.#encode(this.#count());
  }

  latchStatus(): void {
    if (this.statusLatch >= 0) return;
    this.statusLatch =
      (this.output ? 0x80 : 0) |
      (this.nullCount ? 0x40 : 0) |
      (this.access << 4) |
      (this.mode << 1) |
      (this.bcd ? 1 : 0);
  }

  read(): number {
    if (this.statusLatch >= 0) {
      const status = this.statusLatch;
      this.statusLatch = -1;
      return status;
    }
    const value = this.latch >= 0 ? this.latch : this.#encode(this.#count());
    const high = this.access === 2 || (this.access === 3 && this.readHigh);
    if (this.access === 3) this.readHigh = !this.readHigh;
    if (this.access !== 3 || high) this.latch = -1;
    return (high ? value >> 8 : value) & 0xff;
  }

  write(value: number): void {
    if (this.access === 1) this.#load(value);
    else if (this.access === 2) this.#load(value << 8);
    else if (this.writeLow < 0) {
      this.writeLow = value;
      if (this.mode === 0) {
        // The first byte stops a mode 0 count and lowers OUT.
        this.nullCount = true;
        this.#disarm();
        this.out.set(false);
      }
    } else {
      const low = this.writeLow;
      this.writeLow = -1;
      this.#load(low | (value << 8));
    }
  }

  setGate(level: boolean): void {
    if (this.gate === level) return;
    const rising = level;
    if (!rising && !this.nullCount) this.held = this.#count();
    this.gate = level;
    if (this.nullCount) return;
    switch (this.mode) {
      case 0:
      case 4:
        if (rising) {
          this.start = this.clock.now() - (this.initial - this.held) * NS_PER_TICK;
          this.held = -1;
          this.#schedule();
        } else this.#disarm();
        return;
      case 1:
      case 5:
        this.held = -1;
        if (rising) this.#begin();
        return;
      default:
        if (rising) {
          this.held = -1;
          this.#begin();
        } else {
          this.#disarm();
          this.out.set(true);
        }
    }
  }

  /** The level of OUT now. */
  get output(): boolean {
    if (this.nullCount) return this.mode !== 0;
    const elapsed = this.#elapsed();
    switch (this.mode) {
      case 0:
        return elapsed >= this.initial;
      case 1:
        return elapsed >= this.initial;
      case 2:
        return !this.gate || elapsed % this.initial !== this.initial - 1;
      case 3:
        return !this.gate || elapsed % this.initial < Math.ceil(this.initial / 2);
      default:
        return elapsed !== this.initial;
    }
  }

  #elapsed(): number {
    if (this.held >= 0) return this.initial - this.held;
    // Half a nanosecond makes a timer that fires exactly on a tick see that tick.
    return Math.floor((this.clock.now() - this.start + 0.5) / NS_PER_TICK);
  }

  /** The counting element, 0..0xffff (0x10000 shows as 0). */
  #count(): number {
    const elapsed = this.#elapsed();
    const span = this.bcd ? 10_000 : 0x10000;
    if (this.mode === 2) return this.initial - (elapsed % this.initial);
    if (this.mode === 3) return this.initial - ((2 * elapsed) % this.initial);
    const left = (this.initial - elapsed) % span;
    return left < 0 ? left + span : left;
  }

  #encode(count: number): number {
    if (!this.bcd) return count & 0xffff;
    const digits = count % 10_000;
    return (
      (Math.floor(digits / 1000) << 12) |
      (Math.floor((digits / 100) % 10) << 8) |
      (Math.floor((digits / 10) % 10) << 4) |
      Math.floor(digits % 10)
    );
  }

  #load(value: number): void {
    const count = this.bcd
      ? (value >> 12) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15)
      : value;
    this.initial = count || (this.bcd ? 10_000 : 0x10000);
    if (this.mode === 1 || this.mode === 5) {
      // The count is taken over at the next trigger.
      this.nullCount = true;
      return;
    }
    this.#begin();
  }

  #begin(): void {
    this.nullCount = false;
    this.start = this.clock.now();
    const counts = this.gate || this.mode === 1 || this.mode === 5;
    this.held = counts ? -1 : this.initial;
    this.out.set(this.output);
    if (counts) this.#schedule();
    else this.#disarm();
  }

  #schedule(): void {
    const periodic = this.mode === 2 || this.mode === 3;
    const elapsed = this.#elapsed();
    const strobe = this.mode === 4 || this.mode === 5 ? 1 : 0;
    const ticks = periodic ? (Math.floor(elapsed / this.initial) + 1) * this.initial : this.initial + strobe;
    if (!periodic && elapsed >= ticks) this.#disarm();
    else this.#arm(this.start + ticks * NS_PER_TICK);
  }

  /** OUT rises: it had been low, if only for one tick. */
  #edge(): void {
    this.out.set(false);
    this.out.set(true);
    if (this.mode !== 2 && this.mode !== 3) {
      this.edge = Number.POSITIVE_INFINITY;
      return;
    }
    // Periods missed while the guest could not run are made up one by one, so that tick-counting guests keep time.
    const next = this.edge + this.initial * NS_PER_TICK;
    if (this.clock.now() - next > MAX_LAG_NS) this.#schedule();
    else this.#arm(next);
  }

  #arm(at: number): void {
    this.edge = at;
    // Only a connected output needs its edges told.
    if (this.out !== NO_IRQ) this.#timer.arm(at);
  }

  #disarm(): void {
    this.edge = Number.POSITIVE_INFINITY;
    this.#timer.disarm();
  }
}

export class I8254 implements Device, IoHandler {
  readonly type = 'isa-pit';
  readonly sizes = { min: 1, max: 1 } as const;
  readonly counters: readonly Counter[];
  /** Port 61h bits 0..3: gate of counter 2, speaker data, parity and I/O check enables (kept only). */
  control = 0;
  readonly #state = stateOf<I8254>(this, 1, ['counters', 'control']);

  constructor(
    bus: Pick<IsaBus, 'mapPorts'>,
    private readonly clock: Clock,
    irq0: IrqLine,
  ) {
    this.counters = [new Counter(clock, 0, irq0), new Counter(clock, 1, NO_IRQ), new Counter(clock, 2, NO_IRQ)];
    bus.mapPorts('pit', 0x40, 4, this);
    bus.mapPorts('pcspk', 0x61, 1, {
      sizes: { min: 1, max: 1 },
      read: () => this.#readControl(),
      write: (_offset, _size, value) => {
        this.control = value & 15;
        this.counters[2]!.setGate((value & 1) !== 0);
      },
    });
    this.reset();
  }

  read(offset: number, _size: AccessSize): number {
    const value = offset === 3 ? 0 : this.counters[offset]!.read();
    if (I8254_TRACE.pit_ioport_read.enabled) I8254_TRACE.pit_ioport_read.emit(offset, value);
    return value;
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (I8254_TRACE.pit_ioport_write.enabled) I8254_TRACE.pit_ioport_write.emit(offset, value);
    if (offset < 3) this.counters[offset]!.write(value);
    else if (value >> 6 === 3) this.#readBack(value);
    else if ((value & 0x30) === 0) this.counters[value >> 6]!.latchCount();
    else this.counters[value >> 6]!.control(value);
  }

  reset(): void {
    this.control = 0;
    for (const counter of this.counters) counter.reset();
    this.counters[0]!.gate = true;
    this.counters[1]!.gate = true;
    this.counters[2]!.gate = false;
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  #readBack(value: number): void {
    this.counters.forEach((counter, i) => {
      if (!(value & (2 << i))) return;
      if (!(value & 0x20)) counter.latchCount();
      if (!(value & 0x10)) counter.latchStatus();
    });
  }

  #readControl(): number {
    const refresh = Math.floor(this.clock.now() / REFRESH_TOGGLE_NS) & 1;
    return this.control | (refresh << 4) | (this.counters[2]!.output ? 0x20 : 0);
  }
}
