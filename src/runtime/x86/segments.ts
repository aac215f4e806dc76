/** Descriptors and segment registers (Intel SDM vol. 3A ch. 3 and 5): loading with every check, table registers, LAR & co. */
import { ldU16, ldU32, ldU64, stU8, stU16, stU32, stU64 } from '../core/memory';
import { EFLAGS_ZF, SEG_CS, SEG_FS, SEG_GDTR, SEG_IDTR, SEG_LDTR, SEG_SS, SEG_TR, X86_CPL } from '../generated/x86';
import {
  ATTR_ACCESSED,
  ATTR_CODE,
  ATTR_DOWN,
  ATTR_G,
  ATTR_MASK,
  ATTR_P,
  ATTR_S,
  ATTR_WRITABLE,
  CR4_UMIP,
  cpl,
  cr4,
  dataMmu,
  fault,
  faulted,
  GP,
  inVm86,
  is64,
  isCanonical,
  isLong,
  isReal,
  NP,
  SS,
  segAttr,
  segBase,
  segLimit,
  segSelector,
  setSegment,
  systemMmu,
  UD,
} from './cpu';
import { writeEflags } from './flags';
import { castShadow } from './interrupt-flag';
import { updateMode } from './mode';

/** Attributes that a segment register has in real mode and in virtual-8086 mode. */
export const REAL_DATA: u32 = ATTR_P | ATTR_S | ATTR_WRITABLE | ATTR_ACCESSED;
export const REAL_CODE: u32 = REAL_DATA | ATTR_CODE;
export const VM86_ATTR: u32 = REAL_DATA | 0x60;

// System descriptor types.
export const TYPE_TSS16: u32 = 1;
export const TYPE_LDT: u32 = 2;
export const TYPE_TSS16_BUSY: u32 = 3;
export const TYPE_CALL16: u32 = 4;
export const TYPE_TASK: u32 = 5;
export const TYPE_INT16: u32 = 6;
export const TYPE_TRAP16: u32 = 7;
export const TYPE_TSS: u32 = 9;
export const TYPE_TSS_BUSY: u32 = 11;
export const TYPE_CALL: u32 = 12;
export const TYPE_INT: u32 = 14;
export const TYPE_TRAP: u32 = 15;

/** The descriptor that `fetchDescriptor` read, and where. */
export let descLow: u32 = 0;
export let descHigh: u32 = 0;
export let descAt: u64 = 0;

/** Reads a selector's descriptor. False: outside its table, or (then `faulted`) a page fault. */
export function fetchDescriptor(cpu: usize, selector: u32): bool {
  const table = (selector & 4) !== 0 ? SEG_LDTR : SEG_GDTR;
  const index = selector & 0xfff8;
  if (table === SEG_LDTR && (segAttr(cpu, SEG_LDTR) & ATTR_P) === 0) return false;
  if (index + 7 > segLimit(cpu, table)) return false;
  descAt = segBase(cpu, table) + index;
  if (!isLong(cpu)) descAt &= 0xffffffff;
  const whole = ldU64(cpu, descAt, systemMmu(cpu));
  descLow = <u32>whole;
  descHigh = <u32>(whole >> 32);
  return !faulted(cpu);
}
/** `fetchDescriptor` that raises `vector`(selector) when the selector is outside its table. */
export function needDescriptor(cpu: usize, selector: u32, vector: u32): bool {
  if (fetchDescriptor(cpu, selector)) return true;
  fault(cpu, vector, selector & 0xfffc);
  return false;
}

export function attrOf(high: u32): u32 {
  return (high >> 8) & ATTR_MASK;
}
export function baseOf(low: u32, high: u32): u64 {
  return <u64>((low >> 16) | ((high & 0xff) << 16) | (high & 0xff000000));
}
export function limitOf(low: u32, high: u32): u32 {
  const limit = (low & 0xffff) | (high & 0xf0000);
  return (high & (ATTR_G << 8)) !== 0 ? (limit << 12) | 0xfff : limit;
}
export function dplOf(attr: u32): u32 {
  return (attr >> 5) & 3;
}
export function typeOf(attr: u32): u32 {
  return attr & 15;
}
export function isCodeAttr(attr: u32): bool {
  return (attr & (ATTR_S | ATTR_CODE)) === (ATTR_S | ATTR_CODE);
}
export function isWritableData(attr: u32): bool {
  return (attr & (ATTR_S | ATTR_CODE | ATTR_WRITABLE)) === (ATTR_S | ATTR_WRITABLE);
}

/** Sets the accessed bit of the descriptor last fetched. */
export function markAccessed(cpu: usize): void {
  if ((descHigh & 0x100) !== 0) return;
  descHigh |= 0x100;
  stU8(cpu, descAt + 5, <u64>(descHigh >> 8), systemMmu(cpu));
}

/** Loads a segment register from the descriptor last fetched; no checks. */
export function setFromDescriptor(cpu: usize, seg: u32, selector: u32): void {
  setSegment(cpu, seg, selector, baseOf(descLow, descHigh), limitOf(descLow, descHigh), attrOf(descHigh));
}

/** Loads a segment register the real-mode way; limit and type stay (unreal mode), in V86 mode they are fixed. */
export function setReal(cpu: usize, seg: u32, selector: u32): void {
  selector &= 0xffff;
  if (inVm86(cpu)) {
    setSegment(cpu, seg, selector, <u64>(selector << 4), 0xffff, VM86_ATTR);
    return;
  }
  let attr = segAttr(cpu, seg);
  let limit = segLimit(cpu, seg);
  // A register left null by protected mode is usable again after a load in real mode.
  if ((attr & ATTR_P) === 0) {
    attr = seg === SEG_CS ? REAL_CODE : REAL_DATA;
    limit = 0xffff;
  }
  setSegment(cpu, seg, selector, <u64>(selector << 4), limit, attr);
}

/** Loads ES, SS, DS, FS or GS with all checks. Nothing has changed when it faults. The caller updates the mode. */
export function loadData(cpu: usize, seg: u32, selector: u32): void {
  selector &= 0xffff;
  if (isReal(cpu)) {
    setReal(cpu, seg, selector);
    return;
  }
  const level = cpl(cpu);
  const rpl = selector & 3;
  if ((selector & 0xfffc) === 0) {
    if (seg === SEG_SS) {
      if (!is64(cpu) || level === 3 || rpl !== level) {
        fault(cpu, GP, 0);
        return;
      }
      setSegment(cpu, seg, selector, 0, 0, level << 5);
      return;
    }
    setSegment(cpu, seg, selector, 0, 0, 0);
    return;
  }
  if (!needDescriptor(cpu, selector, GP)) return;
  const attr = attrOf(descHigh);
  const dpl = dplOf(attr);
  const code = selector & 0xfffc;
  if (seg === SEG_SS) {
    if (rpl !== level || !isWritableData(attr) || dpl !== level) {
      fault(cpu, GP, code);
      return;
    }
  } else {
    if ((attr & ATTR_S) === 0 || (attr & (ATTR_CODE | ATTR_WRITABLE)) === ATTR_CODE) {
      fault(cpu, GP, code);
      return;
    }
    const conforming = (attr & (ATTR_CODE | ATTR_DOWN)) === (ATTR_CODE | ATTR_DOWN);
    if (!conforming && (rpl > dpl || level > dpl)) {
      fault(cpu, GP, code);
      return;
    }
  }
  if ((attr & ATTR_P) === 0) {
    fault(cpu, seg === SEG_SS ? SS : NP, code);
    return;
  }
  markAccessed(cpu);
  if (faulted(cpu)) return;
  setFromDescriptor(cpu, seg, selector);
}

export function loadSegment(cpu: usize, a: u64, _b: u64, imm: u32): u64 {
  loadData(cpu, imm & 7, <u32>a);
  if (faulted(cpu)) return 0;
  if ((imm & 256) !== 0 && (imm & 7) === SEG_SS) castShadow(cpu);
  updateMode(cpu);
  return 0;
}

// ---------------------------------------------------------------- table registers

/** UMIP: SGDT, SIDT, SLDT, STR and SMSW are privileged. True when that refuses them. */
export function umipRefuses(cpu: usize): bool {
  if ((cr4(cpu) & CR4_UMIP) === 0 || cpl(cpu) === 0) return false;
  fault(cpu, GP, 0);
  return true;
}
/** #GP(0) unless CPL is 0. True when it faulted. */
export function notKernel(cpu: usize): bool {
  if (cpl(cpu) === 0) return false;
  fault(cpu, GP, 0);
  return true;
}

function storeTable(cpu: usize, at: u64, size: u32, seg: u32): u64 {
  if (umipRefuses(cpu)) return 0;
  const mmu = dataMmu(cpu);
  stU16(cpu, at, <u64>(segLimit(cpu, seg) & 0xffff), mmu);
  if (faulted(cpu)) return 0;
  if (size === 8) stU64(cpu, at + 2, segBase(cpu, seg), mmu);
  else stU32(cpu, at + 2, segBase(cpu, seg) & (size === 2 ? 0xffffff : 0xffffffff), mmu);
  return 0;
}
function loadTable(cpu: usize, at: u64, size: u32, seg: u32): u64 {
  if (notKernel(cpu)) return 0;
  const mmu = dataMmu(cpu);
  const limit = <u32>ldU16(cpu, at, mmu);
  if (faulted(cpu)) return 0;
  let base = size === 8 ? ldU64(cpu, at + 2, mmu) : ldU32(cpu, at + 2, mmu);
  if (faulted(cpu)) return 0;
  if (size === 2) base &= 0xffffff;
  if (size === 8 && !isCanonical(cpu, base)) return fault(cpu, GP, 0);
  setSegment(cpu, seg, 0, base, limit, 0);
  return 0;
}
export function sgdt(cpu: usize, a: u64, _b: u64, imm: u32): u64 {
  return storeTable(cpu, a, imm, SEG_GDTR);
}
export function sidt(cpu: usize, a: u64, _b: u64, imm: u32): u64 {
  return storeTable(cpu, a, imm, SEG_IDTR);
}
export function lgdt(cpu: usize, a: u64, _b: u64, imm: u32): u64 {
  return loadTable(cpu, a, imm, SEG_GDTR);
}
export function lidt(cpu: usize, a: u64, _b: u64, imm: u32): u64 {
  return loadTable(cpu, a, imm, SEG_IDTR);
}
export function sldt(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (isReal(cpu)) return fault(cpu, UD, 0);
  if (umipRefuses(cpu)) return 0;
  return segSelector(cpu, SEG_LDTR);
}
export function str(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (isReal(cpu)) return fault(cpu, UD, 0);
  if (umipRefuses(cpu)) return 0;
  return segSelector(cpu, SEG_TR);
}

/** Upper half of the base in a 16-byte system descriptor; faults with `vector` when it lies outside the table. */
function upperBase(cpu: usize, selector: u32): u64 {
  if ((selector & 0xfff8) + 15 > segLimit(cpu, SEG_GDTR)) {
    fault(cpu, GP, selector & 0xfffc);
    return 0;
  }
  const whole = ldU64(cpu, descAt + 8, systemMmu(cpu));
  if (faulted(cpu)) return 0;
  if ((whole & 0x1f0000000000) !== 0) {
    fault(cpu, GP, selector & 0xfffc);
    return 0;
  }
  return whole << 32;
}

/** LDTR from `selector` with LLDT's checks, raising `vector` (task switches use #TS). */
export function loadLdt(cpu: usize, selector: u32, vector: u32, missing: u32): void {
  if ((selector & 0xfffc) === 0) {
    setSegment(cpu, SEG_LDTR, selector, 0, 0, 0);
    return;
  }
  if ((selector & 4) !== 0) {
    fault(cpu, vector, selector & 0xfffc);
    return;
  }
  if (!needDescriptor(cpu, selector, vector)) return;
  const attr = attrOf(descHigh);
  if ((attr & ATTR_S) !== 0 || typeOf(attr) !== TYPE_LDT) {
    fault(cpu, vector, selector & 0xfffc);
    return;
  }
  if ((attr & ATTR_P) === 0) {
    fault(cpu, missing, selector & 0xfffc);
    return;
  }
  let base = baseOf(descLow, descHigh);
  if (isLong(cpu)) {
    base |= upperBase(cpu, selector);
    if (faulted(cpu)) return;
    if (!isCanonical(cpu, base)) {
      fault(cpu, vector, selector & 0xfffc);
      return;
    }
  }
  setSegment(cpu, SEG_LDTR, selector, base, limitOf(descLow, descHigh), attr);
}
export function lldt(cpu: usize, a: u64, _b: u64, _imm: u32): u64 {
  if (isReal(cpu)) return fault(cpu, UD, 0);
  if (notKernel(cpu)) return 0;
  loadLdt(cpu, <u32>a & 0xffff, GP, NP);
  return 0;
}
export function ltr(cpu: usize, a: u64, _b: u64, _imm: u32): u64 {
  if (isReal(cpu)) return fault(cpu, UD, 0);
  if (notKernel(cpu)) return 0;
  const selector = <u32>a & 0xffff;
  const code = selector & 0xfffc;
  if (code === 0) return fault(cpu, GP, 0);
  if ((selector & 4) !== 0) return fault(cpu, GP, code);
  if (!needDescriptor(cpu, selector, GP)) return 0;
  const attr = attrOf(descHigh);
  const type = typeOf(attr);
  const long = isLong(cpu);
  if ((attr & ATTR_S) !== 0 || (type !== TYPE_TSS && (type !== TYPE_TSS16 || long))) return fault(cpu, GP, code);
  if ((attr & ATTR_P) === 0) return fault(cpu, NP, code);
  let base = baseOf(descLow, descHigh);
  if (long) {
    base |= upperBase(cpu, selector);
    if (faulted(cpu)) return 0;
    if (!isCanonical(cpu, base)) return fault(cpu, GP, code);
  }
  stU32(cpu, descAt + 4, <u64>(descHigh | 0x200), systemMmu(cpu));
  if (faulted(cpu)) return 0;
  setSegment(cpu, SEG_TR, selector, base, limitOf(descLow, descHigh), attr | 2);
  return 0;
}

// ---------------------------------------------------------------- LAR, LSL, VERR, VERW, ARPL

function setZf(cpu: usize, on: bool): void {
  writeEflags(cpu, on ? EFLAGS_ZF : 0, EFLAGS_ZF);
}

/**
 * Is the selector's descriptor visible from here and of one of the system types in the bit mask `systemTypes` (or a code or
 * data segment)? Leaves the descriptor in descLow/descHigh.
 */
function visible(cpu: usize, selector: u32, systemTypes: u32): bool {
  if ((selector & 0xfffc) === 0 || !fetchDescriptor(cpu, selector)) return false;
  const attr = attrOf(descHigh);
  const dpl = dplOf(attr);
  if ((attr & ATTR_S) !== 0) {
    if ((attr & (ATTR_CODE | ATTR_DOWN)) === (ATTR_CODE | ATTR_DOWN)) return true;
  } else if (((systemTypes >> typeOf(attr)) & 1) === 0) return false;
  return dpl >= cpl(cpu) && dpl >= (selector & 3);
}

export function lar(cpu: usize, a: u64, b: u64, _imm: u32): u64 {
  if (isReal(cpu)) return fault(cpu, UD, 0);
  const types: u32 = isLong(cpu)
    ? (1 << TYPE_LDT) | (1 << TYPE_TSS) | (1 << TYPE_TSS_BUSY) | (1 << TYPE_CALL)
    : (1 << TYPE_LDT) |
      (1 << TYPE_TSS16) |
      (1 << TYPE_TSS16_BUSY) |
      (1 << TYPE_CALL16) |
      (1 << TYPE_TASK) |
      (1 << TYPE_TSS) |
      (1 << TYPE_TSS_BUSY) |
      (1 << TYPE_CALL);
  const ok = visible(cpu, <u32>a & 0xffff, types);
  if (faulted(cpu)) return 0;
  setZf(cpu, ok);
  return ok ? <u64>(descHigh & 0xf0ff00) : b;
}
export function lsl(cpu: usize, a: u64, b: u64, _imm: u32): u64 {
  if (isReal(cpu)) return fault(cpu, UD, 0);
  const types: u32 = isLong(cpu)
    ? (1 << TYPE_LDT) | (1 << TYPE_TSS) | (1 << TYPE_TSS_BUSY)
    : (1 << TYPE_LDT) | (1 << TYPE_TSS16) | (1 << TYPE_TSS16_BUSY) | (1 << TYPE_TSS) | (1 << TYPE_TSS_BUSY);
  const ok = visible(cpu, <u32>a & 0xffff, types);
  if (faulted(cpu)) return 0;
  setZf(cpu, ok);
  return ok ? <u64>limitOf(descLow, descHigh) : b;
}
export function verr(cpu: usize, a: u64, _b: u64, _imm: u32): u64 {
  if (isReal(cpu)) return fault(cpu, UD, 0);
  const ok = visible(cpu, <u32>a & 0xffff, 0) && (attrOf(descHigh) & (ATTR_CODE | ATTR_WRITABLE)) !== ATTR_CODE;
  if (!faulted(cpu)) setZf(cpu, ok);
  return 0;
}
export function verw(cpu: usize, a: u64, _b: u64, _imm: u32): u64 {
  if (isReal(cpu)) return fault(cpu, UD, 0);
  const ok = visible(cpu, <u32>a & 0xffff, 0) && isWritableData(attrOf(descHigh));
  if (!faulted(cpu)) setZf(cpu, ok);
  return 0;
}

/** CPL, which is also CS's and (outside long mode) SS's privilege. The caller updates the mode. */
export function setCpl(cpu: usize, level: u32): void {
  store<u32>(cpu + X86_CPL, level);
}

/** After a return to an outer level: a data segment register the new level may not use becomes null. */
export function dropInner(cpu: usize, seg: u32): void {
  const attr = segAttr(cpu, seg);
  if ((attr & ATTR_P) === 0) return;
  const conforming = (attr & (ATTR_CODE | ATTR_DOWN)) === (ATTR_CODE | ATTR_DOWN);
  if (!conforming && dplOf(attr) < cpl(cpu)) setSegment(cpu, seg, 0, seg < SEG_FS ? 0 : segBase(cpu, seg), 0, 0);
}
