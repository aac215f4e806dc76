/**
 * The local APIC in xAPIC and x2APIC mode (Intel SDM vol. 3A ch. 11): registers, priorities, timer, and the line from the
 * 8259. Messages between APICs are in apic-bus.ts.
 */
import { ioapicEoi, picAcknowledge, virtualNs } from '../core/env';
import {
  CLOCK_APIC_BUS,
  CLOCK_TSC,
  FEATURE_TSC_DEADLINE,
  FEATURE_X2APIC,
  INT_HARD,
  INT_NMI,
  LAPIC_DFR,
  LAPIC_ESR,
  LAPIC_ESR_PENDING,
  LAPIC_EXTERNAL,
  LAPIC_ICR_HIGH,
  LAPIC_ICR_LOW,
  LAPIC_ID,
  LAPIC_INITIAL_ID,
  LAPIC_INTR,
  LAPIC_IRR,
  LAPIC_ISR,
  LAPIC_LDR,
  LAPIC_LVT,
  LAPIC_SIZE,
  LAPIC_SVR,
  LAPIC_TIMER_DIVIDE,
  LAPIC_TIMER_INITIAL,
  LAPIC_TIMER_START,
  LAPIC_TMR,
  LAPIC_TPR,
  X86_APIC_BASE,
  X86_HARD_PENDING,
  X86_LAPIC,
  X86_LAPIC_DEADLINE,
  X86_PHYS_BITS,
  X86_TSC_DEADLINE,
  X86_TSC_OFFSET,
} from '../generated/x86';
import { flushAll } from './address-spaces';
import { commandTo, sendIpi } from './apic-bus';
import { fault, GP, has, request, returnToHost, unrequest } from './cpu';

export const BASE_BSP: u64 = 1 << 8;
export const BASE_X2APIC: u64 = 1 << 10;
export const BASE_ENABLE: u64 = 1 << 11;
export const BASE_RESET: u64 = 0xfee00000;

const SVR_ENABLE: u32 = 0x100;
const LVT_MASKED: u32 = 0x10000;
const LVT_PENDING: u32 = 0x1000;
const LVT_TIMER: usize = 0;
const LVT_LINT0: usize = 3;
const LVT_LINT1: usize = 4;
const LVT_ERROR: usize = 5;
const TIMER_PERIODIC: u32 = 1;
const TIMER_DEADLINE: u32 = 2;
/** Writable bits of each LVT entry. */
const LVT_BITS = memory.data<u32>([0x710ff, 0x117ff, 0x117ff, 0x1f7ff, 0x1f7ff, 0x110ff]);

// Delivery modes.
export const MODE_FIXED: u32 = 0;
export const MODE_LOWEST: u32 = 1;
export const MODE_SMI: u32 = 2;
export const MODE_NMI: u32 = 4;
export const MODE_INIT: u32 = 5;
export const MODE_SIPI: u32 = 6;
export const MODE_EXTINT: u32 = 7;

const ESR_SEND_ILLEGAL: u32 = 0x20;
const ESR_RECEIVE_ILLEGAL: u32 = 0x40;
const ESR_ILLEGAL_REGISTER: u32 = 0x80;

export function apicGet(cpu: usize, field: usize): u32 {
  return load<u32>(cpu + X86_LAPIC + field);
}
export function apicSet(cpu: usize, field: usize, value: u32): void {
  store<u32>(cpu + X86_LAPIC + field, value);
}
function lvt(cpu: usize, entry: usize): u32 {
  return apicGet(cpu, LAPIC_LVT + (entry << 2));
}
function base(cpu: usize): u64 {
  return load<u64>(cpu + X86_APIC_BASE);
}
export function isX2apic(cpu: usize): bool {
  return (base(cpu) & BASE_X2APIC) !== 0;
}
export function isEnabled(cpu: usize): bool {
  return (base(cpu) & BASE_ENABLE) !== 0;
}
export function isSoftwareEnabled(cpu: usize): bool {
  return (apicGet(cpu, LAPIC_SVR) & SVR_ENABLE) !== 0;
}

/** Highest set bit of a 256-bit register, or -1. */
function highest(cpu: usize, field: usize): i32 {
  for (let i: i32 = 7; i >= 0; i--) {
    const word = apicGet(cpu, field + ((<usize>i) << 2));
    if (word !== 0) return i * 32 + 31 - <i32>clz<u32>(word);
  }
  return -1;
}
function setBit(cpu: usize, field: usize, vector: u32): void {
  const at = field + ((vector >> 5) << 2);
  apicSet(cpu, at, apicGet(cpu, at) | (1 << (vector & 31)));
}
function clearBit(cpu: usize, field: usize, vector: u32): void {
  const at = field + ((vector >> 5) << 2);
  apicSet(cpu, at, apicGet(cpu, at) & ~(1 << (vector & 31)));
}
function testBit(cpu: usize, field: usize, vector: u32): bool {
  return ((apicGet(cpu, field + ((vector >> 5) << 2)) >> (vector & 31)) & 1) !== 0;
}

function processorPriority(cpu: usize): u32 {
  const tpr = apicGet(cpu, LAPIC_TPR);
  const isr = highest(cpu, LAPIC_ISR);
  const inService: u32 = isr < 0 ? 0 : <u32>isr & 0xf0;
  return (tpr & 0xf0) >= inService ? tpr : inService;
}

/** Vector that the APIC would give the processor now, or -1. */
function candidate(cpu: usize): i32 {
  if (!isEnabled(cpu) || !isSoftwareEnabled(cpu)) return -1;
  const irr = highest(cpu, LAPIC_IRR);
  return irr >= 0 && (<u32>irr & 0xf0) > (processorPriority(cpu) & 0xf0) ? irr : -1;
}
/** Does the 8259's output reach this processor as an external interrupt, and is it raised? Or did a message say so? */
function externalPending(cpu: usize): bool {
  if (apicGet(cpu, LAPIC_EXTERNAL) !== 0) return true;
  if (apicGet(cpu, LAPIC_INTR) === 0) return false;
  if (!isEnabled(cpu)) return (base(cpu) & BASE_BSP) !== 0;
  const lint0 = lvt(cpu, LVT_LINT0);
  return (lint0 & LVT_MASKED) === 0 && ((lint0 >> 8) & 7) === MODE_EXTINT;
}

/** Re-derives whether an interrupt waits for this processor; after every change of IRR, ISR, TPR, SVR, LINT0 or INTR. */
export function updateApic(cpu: usize): void {
  const pending = candidate(cpu) >= 0 || externalPending(cpu);
  store<u32>(cpu + X86_HARD_PENDING, pending ? 1 : 0);
  if (pending) request(cpu, INT_HARD);
  else unrequest(cpu, INT_HARD);
}

/** Takes the interrupt to deliver: its vector, or -1 when there is none after all. */
export function acceptInterrupt(cpu: usize): i32 {
  const vector = candidate(cpu);
  if (vector >= 0) {
    clearBit(cpu, LAPIC_IRR, vector);
    setBit(cpu, LAPIC_ISR, vector);
    updateApic(cpu);
    return vector;
  }
  if (externalPending(cpu)) {
    apicSet(cpu, LAPIC_EXTERNAL, 0);
    const external = <i32>picAcknowledge(cpu);
    updateApic(cpu);
    return external;
  }
  updateApic(cpu);
  return -1;
}

function error(cpu: usize, bit: u32): void {
  apicSet(cpu, LAPIC_ESR_PENDING, apicGet(cpu, LAPIC_ESR_PENDING) | bit);
  const entry = lvt(cpu, LVT_ERROR);
  if ((entry & LVT_MASKED) === 0 && (entry & 0xff) >= 16) setIrr(cpu, entry & 0xff, false);
}

/** A fixed interrupt arrives. */
export function setIrr(cpu: usize, vector: u32, level: bool): void {
  if (vector < 16) {
    error(cpu, ESR_RECEIVE_ILLEGAL);
    return;
  }
  setBit(cpu, LAPIC_IRR, vector);
  if (level) setBit(cpu, LAPIC_TMR, vector);
  else clearBit(cpu, LAPIC_TMR, vector);
  updateApic(cpu);
}

/** An ExtINT message arrives (from the I/O APIC's pin of the 8259). */
export function setExternal(cpu: usize): void {
  apicSet(cpu, LAPIC_EXTERNAL, 1);
  updateApic(cpu);
}

function endOfInterrupt(cpu: usize): void {
  const vector = highest(cpu, LAPIC_ISR);
  if (vector < 0) return;
  clearBit(cpu, LAPIC_ISR, vector);
  if (testBit(cpu, LAPIC_TMR, vector)) ioapicEoi(vector);
  updateApic(cpu);
}

/** Output of the 8259 changed: INTR, or LINT0 of an enabled local APIC. */
export function setIntr(cpu: usize, level: u32): void {
  const old = apicGet(cpu, LAPIC_INTR);
  apicSet(cpu, LAPIC_INTR, level);
  const lint0 = lvt(cpu, LVT_LINT0);
  if (level !== 0 && old === 0 && isEnabled(cpu) && (lint0 & LVT_MASKED) === 0 && ((lint0 >> 8) & 7) !== MODE_EXTINT)
    sendIpi(cpu, cpu, (lint0 >> 8) & 7, lint0 & 0xff, false);
  updateApic(cpu);
}

/** The board's NMI line: LINT1 of an enabled local APIC, the processor's own pin without one. */
export function raiseNmi(cpu: usize): void {
  if (!isEnabled(cpu)) {
    request(cpu, INT_NMI);
    return;
  }
  const lint1 = lvt(cpu, LVT_LINT1);
  if ((lint1 & LVT_MASKED) === 0) sendIpi(cpu, cpu, (lint1 >> 8) & 7, lint1 & 0xff, false);
}

export function readTpr(cpu: usize): u32 {
  return apicGet(cpu, LAPIC_TPR);
}
export function writeTpr(cpu: usize, value: u32): void {
  apicSet(cpu, LAPIC_TPR, value & 0xff);
  updateApic(cpu);
}

// ---------------------------------------------------------------- timer

/** Nanoseconds of one timer count. */
function timerStep(cpu: usize): f64 {
  const code = apicGet(cpu, LAPIC_TIMER_DIVIDE);
  const shift = (((code & 3) | ((code >> 1) & 4)) + 1) & 7;
  return <f64>(1 << shift) / <f64>CLOCK_APIC_BUS;
}
function timerMode(cpu: usize): u32 {
  return (lvt(cpu, LVT_TIMER) >> 17) & 3;
}
function timerStart(cpu: usize): f64 {
  return load<f64>(cpu + X86_LAPIC + LAPIC_TIMER_START);
}
function setTimerStart(cpu: usize, at: f64): void {
  store<f64>(cpu + X86_LAPIC + LAPIC_TIMER_START, at);
}

/** Sets when the timer is due; an earlier time than before must reach the host's sleep. */
function setDeadline(cpu: usize, at: f64): void {
  const before = load<f64>(cpu + X86_LAPIC_DEADLINE);
  store<f64>(cpu + X86_LAPIC_DEADLINE, at);
  if (at < before) returnToHost(cpu);
}

/** The counter starts now. It may run out before anybody looks at the clock again: that is no reason not to fire. */
function startTimer(cpu: usize): void {
  const now = virtualNs();
  const initial = apicGet(cpu, LAPIC_TIMER_INITIAL);
  if (initial === 0 || timerMode(cpu) === TIMER_DEADLINE) {
    setTimerStart(cpu, -1);
    armTimer(cpu);
    return;
  }
  setTimerStart(cpu, now);
  const masked = (lvt(cpu, LVT_TIMER) & LVT_MASKED) !== 0;
  setDeadline(cpu, masked ? Infinity : now + <f64>initial * timerStep(cpu));
}

/** Derives the deadline from the registers, after a change of LVT or divider; what ran out while masked is gone. */
function armTimer(cpu: usize): void {
  const mode = timerMode(cpu);
  if ((lvt(cpu, LVT_TIMER) & LVT_MASKED) !== 0) {
    setDeadline(cpu, Infinity);
    return;
  }
  if (mode === TIMER_DEADLINE) {
    const at = load<u64>(cpu + X86_TSC_DEADLINE);
    setDeadline(cpu, at === 0 ? Infinity : <f64>(<i64>(at - load<u64>(cpu + X86_TSC_OFFSET))) / <f64>CLOCK_TSC);
    return;
  }
  const start = timerStart(cpu);
  const period = <f64>apicGet(cpu, LAPIC_TIMER_INITIAL) * timerStep(cpu);
  if (start < 0 || period === 0) {
    setDeadline(cpu, Infinity);
    return;
  }
  const now = virtualNs();
  // A count that was armed is still to fire, even if it has run out since the clock was read last.
  const armed = load<f64>(cpu + X86_LAPIC_DEADLINE) < Infinity;
  if (mode === TIMER_PERIODIC) setDeadline(cpu, start + (floor((now - start) / period) + 1) * period);
  else setDeadline(cpu, armed || start + period > now ? start + period : Infinity);
}

function currentCount(cpu: usize): u32 {
  const start = timerStart(cpu);
  const initial = apicGet(cpu, LAPIC_TIMER_INITIAL);
  if (start < 0 || initial === 0 || timerMode(cpu) === TIMER_DEADLINE) return 0;
  const gone = floor((virtualNs() - start) / timerStep(cpu));
  if (timerMode(cpu) === TIMER_PERIODIC) return initial - <u32>(gone - floor(gone / <f64>initial) * <f64>initial);
  return gone >= <f64>initial ? 0 : initial - <u32>gone;
}

/** The host calls this when `lapicDeadline` has passed. */
export function lapicTimerExpired(cpu: usize): void {
  if (virtualNs() < load<f64>(cpu + X86_LAPIC_DEADLINE)) return;
  const entry = lvt(cpu, LVT_TIMER);
  if (timerMode(cpu) === TIMER_PERIODIC) armTimer(cpu);
  else {
    store<u64>(cpu + X86_TSC_DEADLINE, 0);
    setTimerStart(cpu, -1);
    store<f64>(cpu + X86_LAPIC_DEADLINE, Infinity);
  }
  if ((entry & LVT_MASKED) === 0 && isEnabled(cpu)) setIrr(cpu, entry & 0xff, false);
}

/** IA32_TSC_DEADLINE; ignored outside deadline mode. */
export function writeDeadline(cpu: usize, value: u64): void {
  if (timerMode(cpu) !== TIMER_DEADLINE) return;
  store<u64>(cpu + X86_TSC_DEADLINE, value);
  armTimer(cpu);
}
export function readDeadline(cpu: usize): u64 {
  return timerMode(cpu) === TIMER_DEADLINE ? load<u64>(cpu + X86_TSC_DEADLINE) : 0;
}
/** The TSC was moved: a deadline in its terms moves with it. */
export function rearmDeadline(cpu: usize): void {
  if (timerMode(cpu) === TIMER_DEADLINE) armTimer(cpu);
}

// ---------------------------------------------------------------- registers

/** Logical destination in x2APIC mode: cluster and bit from the ID. */
export function x2apicLdr(cpu: usize): u32 {
  const id = apicGet(cpu, LAPIC_INITIAL_ID);
  return ((id >> 4) << 16) | (1 << (id & 15));
}

/** Register by number (offset / 16). */
function readRegister(cpu: usize, number: u32): u32 {
  if (number >= 0x10 && number < 0x28) {
    const word = (number & 7) << 2;
    const field = number < 0x18 ? LAPIC_ISR : number < 0x20 ? LAPIC_TMR : LAPIC_IRR;
    return apicGet(cpu, field + word);
  }
  if (number >= 0x32 && number <= 0x37) return lvt(cpu, number - 0x32);
  switch (number) {
    case 0x02:
      return isX2apic(cpu) ? apicGet(cpu, LAPIC_INITIAL_ID) : apicGet(cpu, LAPIC_ID);
    case 0x03:
      return 0x50014;
    case 0x08:
      return readTpr(cpu);
    case 0x09: {
      const irr = highest(cpu, LAPIC_IRR);
      const ppr = processorPriority(cpu);
      return irr >= 0 && (<u32>irr & 0xf0) > (ppr & 0xf0) ? irr & 0xf0 : ppr;
    }
    case 0x0a:
      return processorPriority(cpu);
    case 0x0b:
    case 0x38:
      return number === 0x38 ? apicGet(cpu, LAPIC_TIMER_INITIAL) : 0;
    case 0x0d:
      return isX2apic(cpu) ? x2apicLdr(cpu) : apicGet(cpu, LAPIC_LDR);
    case 0x0e:
      return apicGet(cpu, LAPIC_DFR);
    case 0x0f:
      return apicGet(cpu, LAPIC_SVR);
    case 0x28:
      return apicGet(cpu, LAPIC_ESR);
    case 0x30:
      return apicGet(cpu, LAPIC_ICR_LOW);
    case 0x31:
      return apicGet(cpu, LAPIC_ICR_HIGH);
    case 0x39:
      return currentCount(cpu);
    case 0x3e:
      return apicGet(cpu, LAPIC_TIMER_DIVIDE);
  }
  error(cpu, ESR_ILLEGAL_REGISTER);
  return 0;
}

function writeRegister(cpu: usize, number: u32, value: u32): void {
  if (number >= 0x32 && number <= 0x37) {
    const entry = <usize>(number - 0x32);
    if (!isSoftwareEnabled(cpu)) value |= LVT_MASKED;
    value = (value & load<u32>(LVT_BITS + (entry << 2))) | (lvt(cpu, entry) & LVT_PENDING);
    if (entry === LVT_TIMER) {
      if (!has(cpu, FEATURE_TSC_DEADLINE)) value &= ~0x40000;
      const modeBefore = timerMode(cpu);
      apicSet(cpu, LAPIC_LVT, value);
      if ((timerMode(cpu) === TIMER_DEADLINE) !== (modeBefore === TIMER_DEADLINE)) {
        store<u64>(cpu + X86_TSC_DEADLINE, 0);
        setTimerStart(cpu, -1);
      }
      armTimer(cpu);
    } else apicSet(cpu, LAPIC_LVT + (entry << 2), value);
    updateApic(cpu);
    return;
  }
  switch (number) {
    case 0x02:
      apicSet(cpu, LAPIC_ID, value & 0xff000000);
      return;
    case 0x03:
    case 0x09:
    case 0x0a:
    case 0x39:
      return;
    case 0x08:
      writeTpr(cpu, value);
      return;
    case 0x0b:
      endOfInterrupt(cpu);
      return;
    case 0x0d:
      apicSet(cpu, LAPIC_LDR, value & 0xff000000);
      return;
    case 0x0e:
      apicSet(cpu, LAPIC_DFR, value | 0x0fffffff);
      return;
    case 0x0f:
      apicSet(cpu, LAPIC_SVR, value & 0x1ff);
      if ((value & SVR_ENABLE) === 0) {
        for (let entry: usize = 0; entry < 6; entry++)
          apicSet(cpu, LAPIC_LVT + (entry << 2), lvt(cpu, entry) | LVT_MASKED);
        armTimer(cpu);
      }
      updateApic(cpu);
      return;
    case 0x28:
      apicSet(cpu, LAPIC_ESR, apicGet(cpu, LAPIC_ESR_PENDING));
      apicSet(cpu, LAPIC_ESR_PENDING, 0);
      return;
    case 0x30:
      apicSet(cpu, LAPIC_ICR_LOW, value & 0xccfff);
      sendCommand(cpu, value, apicGet(cpu, LAPIC_ICR_HIGH));
      return;
    case 0x31:
      apicSet(cpu, LAPIC_ICR_HIGH, value);
      return;
    case 0x38:
      apicSet(cpu, LAPIC_TIMER_INITIAL, value);
      startTimer(cpu);
      return;
    case 0x3e: {
      apicSet(cpu, LAPIC_TIMER_DIVIDE, value & 0xb);
      armTimer(cpu);
      return;
    }
  }
  error(cpu, ESR_ILLEGAL_REGISTER);
}

/** Executes an interrupt command: `high` is the destination as the mode in force writes it. */
function sendCommand(cpu: usize, low: u32, high: u32): void {
  const mode = (low >> 8) & 7;
  const vector = low & 0xff;
  if ((mode === MODE_FIXED || mode === MODE_LOWEST) && vector < 16) {
    error(cpu, ESR_SEND_ILLEGAL);
    return;
  }
  // INIT level de-assert did something only on processors before the Pentium 4.
  const level = (low & 0x8000) !== 0;
  if (mode === MODE_INIT && level && (low & 0x4000) === 0) return;
  commandTo(cpu, low, isX2apic(cpu) ? high : high >> 24);
}

// ---------------------------------------------------------------- the two faces

/** Is `phys` in this processor's local APIC page? */
export function localIo(phys: u64, cpu: usize): bool {
  const b = base(cpu);
  return (phys ^ b) >> 12 === 0 && (b & (BASE_ENABLE | BASE_X2APIC)) === BASE_ENABLE;
}
export function localRead(cpu: usize, phys: u64, size: u32): u64 {
  const offset = <u32>phys & 0xfff;
  if ((offset & 15) > 3) return 0;
  const word = <u64>readRegister(cpu, offset >> 4) >> ((offset & 3) << 3);
  return size >= 4 ? word : word & ((1 << (size << 3)) - 1);
}
/** Only aligned 32-bit writes are defined; others are ignored. */
export function localWrite(cpu: usize, phys: u64, size: u32, value: u64): void {
  const offset = <u32>phys & 0xfff;
  if ((offset & 15) !== 0 || size < 4) return;
  writeRegister(cpu, offset >> 4, <u32>value);
}

/** x2APIC registers that exist: readable, writable. */
function x2Readable(number: u32): bool {
  return (
    number === 2 ||
    number === 3 ||
    number === 8 ||
    number === 0xa ||
    number === 0xd ||
    number === 0xf ||
    (number >= 0x10 && number <= 0x28) ||
    number === 0x30 ||
    (number >= 0x32 && number <= 0x39) ||
    number === 0x3e
  );
}
export function readX2apic(cpu: usize, number: u32): u64 {
  if (!isX2apic(cpu) || !x2Readable(number)) return fault(cpu, GP, 0);
  const low = <u64>readRegister(cpu, number);
  return number === 0x30 ? low | ((<u64>apicGet(cpu, LAPIC_ICR_HIGH)) << 32) : low;
}
export function writeX2apic(cpu: usize, number: u32, value: u64): void {
  let ok = isX2apic(cpu);
  if (number === 0x30) {
    if (ok) {
      apicSet(cpu, LAPIC_ICR_HIGH, <u32>(value >> 32));
      writeRegister(cpu, 0x30, <u32>value);
      return;
    }
  } else if (number === 0x3f) {
    if (ok) {
      setIrr(cpu, <u32>value & 0xff, false);
      return;
    }
  }
  if (value >> 32 !== 0) ok = false;
  if ((number === 0xb || number === 0x28) && value !== 0) ok = false;
  const writable =
    number === 8 ||
    number === 0xb ||
    number === 0xf ||
    number === 0x28 ||
    (number >= 0x32 && number <= 0x38) ||
    number === 0x3e;
  if (!ok || !writable) {
    fault(cpu, GP, 0);
    return;
  }
  writeRegister(cpu, number, <u32>value);
}

/** IA32_APIC_BASE: enables, disables, moves; the way into x2APIC mode is one-way but through disabled. */
export function writeApicBase(cpu: usize, value: u64): void {
  const old = base(cpu);
  const allowed = (((<u64>1) << load<u32>(cpu + X86_PHYS_BITS)) - 1) & ~(<u64>0x2ff);
  const x2 = (value & BASE_X2APIC) !== 0;
  const enable = (value & BASE_ENABLE) !== 0;
  if (
    (value & ~allowed & ~BASE_BSP) !== 0 ||
    (x2 && (!enable || !has(cpu, FEATURE_X2APIC))) ||
    (x2 && (old & BASE_ENABLE) === 0) ||
    (!x2 && enable && (old & BASE_X2APIC) !== 0)
  ) {
    fault(cpu, GP, 0);
    return;
  }
  store<u64>(cpu + X86_APIC_BASE, (value & ~BASE_BSP) | (old & BASE_BSP));
  if (!enable && (old & BASE_ENABLE) !== 0) resetApic(cpu);
  else if (x2 && (old & BASE_X2APIC) === 0) apicSet(cpu, LAPIC_ICR_HIGH, 0);
  if (((value ^ old) & ~(<u64>0xfff)) !== 0 || enable !== ((old & BASE_ENABLE) !== 0)) flushAll(cpu);
  updateApic(cpu);
}

/** Power-on and INIT state; ID and the level of the 8259's line stay. */
export function resetApic(cpu: usize): void {
  const id = apicGet(cpu, LAPIC_INITIAL_ID);
  const intr = apicGet(cpu, LAPIC_INTR);
  memory.fill(cpu + X86_LAPIC, 0, LAPIC_SIZE);
  apicSet(cpu, LAPIC_INITIAL_ID, id);
  apicSet(cpu, LAPIC_ID, id << 24);
  apicSet(cpu, LAPIC_INTR, intr);
  apicSet(cpu, LAPIC_DFR, 0xffffffff);
  apicSet(cpu, LAPIC_SVR, 0xff);
  for (let entry: usize = 0; entry < 6; entry++) apicSet(cpu, LAPIC_LVT + (entry << 2), LVT_MASKED);
  setTimerStart(cpu, -1);
  store<u64>(cpu + X86_TSC_DEADLINE, 0);
  store<f64>(cpu + X86_LAPIC_DEADLINE, Infinity);
  updateApic(cpu);
}
