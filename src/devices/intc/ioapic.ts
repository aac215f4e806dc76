/**
 * 82093AA I/O Advanced Programmable Interrupt Controller: 24 inputs, messages to the local APICs.
 * 82093AA data sheet (Intel 290566-001); the EOI register is that of version 0x20 parts (ICH and later).
 */
import { traceEvents } from '../../base/trace.js';
import type { ApicMessage } from '../../machine/apic-message.js';
import type { Device } from '../../machine/device.js';
import { IrqInput, type IrqLine } from '../../machine/irq.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';

export const IOAPIC_TRACE = traceEvents({
  ioapic_mem_read: 'reg 0x%x val 0x%x',
  ioapic_mem_write: 'reg 0x%x val 0x%x',
  ioapic_set_irq: 'vector: %d level: %d',
  ioapic_deliver: 'pin %d vector 0x%02x delivery mode %d destination 0x%x',
});

export const IOAPIC_PINS = 24;
export const IOAPIC_BASE = 0xfec0_0000;
export const IOAPIC_BYTES = 0x1000;

const Select = { index: 0x00, data: 0x10, eoi: 0x40 } as const;
const Register = { id: 0, version: 1, arbitration: 2, redirection: 0x10 } as const;
const VERSION = 0x20;
const Low = {
  vector: 0xff,
  deliveryShift: 8,
  logical: 1 << 11,
  status: 1 << 12,
  activeLow: 1 << 13,
  remoteIrr: 1 << 14,
  level: 1 << 15,
  masked: 1 << 16,
  writable: 0x0001_afff,
} as const;

export interface IoapicPinInfo {
  /** The whole redirection entry. */
  readonly entry: bigint;
  readonly destination: number;
  readonly logical: boolean;
  readonly deliveryMode: number;
  readonly vector: number;
  readonly activeLow: boolean;
  readonly level: boolean;
  readonly masked: boolean;
  readonly requested: boolean;
  readonly remoteIrr: boolean;
}

export interface IoapicInfo {
  readonly version: number;
  readonly id: number;
  readonly select: number;
  readonly pins: readonly IoapicPinInfo[];
}

export class Ioapic implements Device, IoHandler {
  readonly type = 'ioapic';
  id = 0;
  select = 0;
  /** Requests: an edge until it was sent, a level while it lasts. */
  irr = 0;
  levels = 0;
  readonly low = new Uint32Array(IOAPIC_PINS);
  readonly high = new Uint32Array(IOAPIC_PINS);
  readonly pins: readonly IrqLine[];
  /** How often each pin sent a message since power-on, for `info irq`: no part of the state. */
  readonly counts = new Uint32Array(IOAPIC_PINS);
  readonly #state = stateOf<Ioapic>(this, 1, ['id', 'select', 'irr', 'levels', 'low', 'high']);

  constructor(private readonly deliver: (message: ApicMessage) => void) {
    this.pins = Array.from({ length: IOAPIC_PINS }, (_, pin) => new IrqInput((level) => this.#setPin(pin, level)));
    this.reset();
  }

  /** The levels belong to the devices that drive them. */
  reset(): void {
    this.id = 0;
    this.select = 0;
    this.irr = 0;
    this.low.fill(Low.masked);
    this.high.fill(0);
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  /** A local APIC finished a level-triggered interrupt. */
  eoi(vector: number): void {
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const entry = this.low[pin]!;
      if (!(entry & Low.remoteIrr) || (entry & Low.vector) !== vector) continue;
      this.low[pin] = entry & ~Low.remoteIrr;
      this.#service(pin);
    }
  }

  /** `info pic`. */
  describe(): IoapicInfo {
    const pins = Array.from(this.low, (entry, pin) => ({
      entry: (BigInt(this.high[pin]!) << 32n) | BigInt(entry),
      destination: this.high[pin]! >>> 24,
      logical: (entry & Low.logical) !== 0,
      deliveryMode: (entry >> Low.deliveryShift) & 7,
      vector: entry & Low.vector,
      activeLow: (entry & Low.activeLow) !== 0,
      level: (entry & Low.level) !== 0,
      masked: (entry & Low.masked) !== 0,
      requested: (this.irr & (1 << pin)) !== 0,
      remoteIrr: (entry & Low.remoteIrr) !== 0,
    }));
    return { version: VERSION, id: this.id, select: this.select, pins };
  }

  read(offset: number, _size: AccessSize): number {
    const value = offset === Select.index ? this.select : offset === Select.data ? this.#readRegister() : 0;
    if (IOAPIC_TRACE.ioapic_mem_read.enabled) IOAPIC_TRACE.ioapic_mem_read.emit(this.select, value);
    return value;
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (IOAPIC_TRACE.ioapic_mem_write.enabled) IOAPIC_TRACE.ioapic_mem_write.emit(this.select, value);
    if (offset === Select.index) this.select = value & 0xff;
    else if (offset === Select.data) this.#writeRegister(value);
    else if (offset === Select.eoi) this.eoi(value & 0xff);
  }

  #readRegister(): number {
    switch (this.select) {
      case Register.id:
      case Register.arbitration:
        return (this.id << 24) >>> 0;
      case Register.version:
        return ((IOAPIC_PINS - 1) << 16) | VERSION;
      default: {
        const pin = (this.select - Register.redirection) >> 1;
        if (pin < 0 || pin >= IOAPIC_PINS) return 0;
        return this.select & 1 ? this.high[pin]! : this.low[pin]!;
      }
    }
  }

  #writeRegister(value: number): void {
    if (this.select === Register.id) {
      this.id = (value >>> 24) & 15;
      return;
    }
    const pin = (this.select - Register.redirection) >> 1;
    if (pin < 0 || pin >= IOAPIC_PINS) return;
    if (this.select & 1) {
      this.high[pin] = value & 0xff00_0000;
      return;
    }
    const kept = this.low[pin]! & (Low.remoteIrr | Low.status);
    let entry = (value & Low.writable) | kept;
    // An edge-triggered entry has no remote IRR: guests clear a stuck one by going through edge mode.
    if (!(entry & Low.level)) entry &= ~Low.remoteIrr;
    this.low[pin] = entry;
    const bit = 1 << pin;
    if (entry & Low.level) this.irr = (this.irr & ~bit) | (this.levels & bit);
    this.#service(pin);
  }

  #setPin(pin: number, level: boolean): void {
    if (IOAPIC_TRACE.ioapic_set_irq.enabled) IOAPIC_TRACE.ioapic_set_irq.emit(pin, Number(level));
    const bit = 1 << pin;
    this.levels = level ? this.levels | bit : this.levels & ~bit;
    const entry = this.low[pin]!;
    if (entry & Low.level) this.irr = level ? this.irr | bit : this.irr & ~bit;
    // An edge that comes while the pin is masked is lost (data sheet, 3.2.4, interrupt mask).
    else if (level && !(entry & Low.masked)) this.irr |= bit;
    this.#service(pin);
  }

  #service(pin: number): void {
    const bit = 1 << pin;
    const entry = this.low[pin]!;
    if (!(this.irr & bit) || entry & Low.masked) return;
    const level = (entry & Low.level) !== 0;
    if (level) {
      if (entry & Low.remoteIrr) return;
      this.low[pin] = entry | Low.remoteIrr;
    } else this.irr &= ~bit;
    const message: ApicMessage = {
      destination: this.high[pin]! >>> 24,
      logical: (entry & Low.logical) !== 0,
      deliveryMode: (entry >> Low.deliveryShift) & 7,
      vector: entry & Low.vector,
      level: true,
      levelTriggered: level,
    };
    if (IOAPIC_TRACE.ioapic_deliver.enabled) {
      IOAPIC_TRACE.ioapic_deliver.emit(pin, message.vector, message.deliveryMode, message.destination);
    }
    this.counts[pin] = this.counts[pin]! + 1;
    this.deliver(message);
  }
}
