/** Hardware task switches (Intel SDM vol. 3A ch. 8) and what else lives in a TSS: inner stacks, the I/O bitmap. */
import { ldU8, ldU16, ldU32, ldU64, probeWrite, stU16, stU32 } from '../core/memory';
import {
  EFLAGS_NT,
  EFLAGS_VM,
  SEG_CS,
  SEG_ES,
  SEG_GDTR,
  SEG_GS,
  SEG_LDTR,
  SEG_SS,
  SEG_TR,
  X86_CR0,
  X86_CR3,
  X86_DR,
} from '../generated/x86';
import { enterAddressSpace } from './address-spaces';
import {
  ATTR_CODE,
  ATTR_DOWN,
  ATTR_P,
  ATTR_S,
  ATTR_WRITABLE,
  CR0_PG,
  CR0_TS,
  cpl,
  cr0,
  DB,
  fault,
  faulted,
  GP,
  inVm86,
  isProtected,
  NP,
  reg,
  SS,
  segAttr,
  segBase,
  segLimit,
  segSelector,
  setPc,
  setReg,
  setSegment,
  systemMmu,
  TS,
} from './cpu';
import { readEflags, writeEflags } from './flags';
import { afterFlags } from './interrupt-flag';
import { updateMode } from './mode';
import {
  attrOf,
  baseOf,
  descHigh,
  descLow,
  dplOf,
  fetchDescriptor,
  isCodeAttr,
  isWritableData,
  limitOf,
  loadLdt,
  markAccessed,
  needDescriptor,
  setCpl,
  setFromDescriptor,
  setReal,
} from './segments';
import { commitStack, openStack, push } from './stack';

export const TASK_JUMP: u32 = 0;
export const TASK_CALL: u32 = 1;
export const TASK_RETURN: u32 = 2;

const DR6_BT: u64 = 1 << 15;
const BUSY: u32 = 2;

/** Set when a switch has passed the point from which faults belong to the new task (and pc is the new task's). */
export let taskCommitted: bool = false;
export function clearTaskCommitted(): void {
  taskCommitted = false;
}

function setBusy(cpu: usize, selector: u32, busy: bool): void {
  const at = segBase(cpu, SEG_GDTR) + (selector & 0xfff8) + 4;
  const mmu = systemMmu(cpu);
  const word = <u32>ldU32(cpu, at, mmu);
  if (faulted(cpu)) return;
  stU32(cpu, at, <u64>(busy ? word | (BUSY << 8) : word & ~(BUSY << 8)), mmu);
}

/** A segment register of the new task, with #TS for what a move would refuse with #GP. */
function loadTaskSegment(cpu: usize, seg: u32, selector: u32): void {
  if (faulted(cpu)) return;
  const code = selector & 0xfffc;
  const level = cpl(cpu);
  const rpl = selector & 3;
  if (code === 0) {
    if (seg === SEG_CS || seg === SEG_SS) fault(cpu, TS, 0);
    return;
  }
  if (!needDescriptor(cpu, selector, TS)) return;
  const attr = attrOf(descHigh);
  const dpl = dplOf(attr);
  let ok: bool;
  if (seg === SEG_CS) ok = isCodeAttr(attr) && ((attr & ATTR_DOWN) !== 0 ? dpl <= rpl : dpl === rpl);
  else if (seg === SEG_SS) ok = isWritableData(attr) && dpl === level && rpl === level;
  else {
    ok = (attr & ATTR_S) !== 0 && (attr & (ATTR_CODE | ATTR_WRITABLE)) !== ATTR_CODE;
    if ((attr & (ATTR_CODE | ATTR_DOWN)) !== (ATTR_CODE | ATTR_DOWN)) ok = ok && dpl >= level && dpl >= rpl;
  }
  if (!ok) {
    fault(cpu, TS, code);
    return;
  }
  if ((attr & ATTR_P) === 0) {
    fault(cpu, seg === SEG_SS ? SS : NP, code);
    return;
  }
  markAccessed(cpu);
  if (!faulted(cpu)) setFromDescriptor(cpu, seg, selector);
}

/**
 * Switches to the task whose TSS descriptor was fetched last (busy bit already checked). `nextPc` is saved as the old task's
 * instruction pointer; an error code, if any, goes to the new task's stack.
 */
export function switchTask(cpu: usize, selector: u32, reason: u32, nextPc: u64, hasCode: bool, code: u32): void {
  taskCommitted = false;
  const attr = attrOf(descHigh);
  const low = descLow;
  const high = descHigh;
  if ((attr & ATTR_P) === 0) {
    fault(cpu, NP, selector & 0xfffc);
    return;
  }
  const wide = (attr & 8) !== 0;
  const limit = limitOf(low, high);
  const least: u32 = wide ? 0x67 : 0x2b;
  if (limit < least) {
    fault(cpu, TS, selector & 0xfffc);
    return;
  }
  const tss = baseOf(low, high);
  const mmu = systemMmu(cpu);

  // The new task's image is read, and the old one's probed, before anything changes.
  const old = segBase(cpu, SEG_TR);
  const oldWide = (segAttr(cpu, SEG_TR) & 8) !== 0;
  const oldSelector = segSelector(cpu, SEG_TR);
  if (!probeWrite(cpu, old + (oldWide ? 0x20 : 0x0e), oldWide ? 0x40 : 0x1c, mmu)) return;
  if (reason === TASK_CALL && !probeWrite(cpu, tss, 2, mmu)) return;
  // 32-bit images sit at 0x1c..0x67 (19 words), 16-bit ones at 0x0e..0x2b (15 half words); read twice: once to fault early.
  const words: u32 = wide ? 19 : 15;
  for (let i: u32 = 0; i < words; i++) {
    if (wide) ldU32(cpu, tss + 0x1c + i * 4, mmu);
    else ldU16(cpu, tss + 0x0e + i * 2, mmu);
    if (faulted(cpu)) return;
  }

  if (reason !== TASK_CALL) setBusy(cpu, oldSelector, false);
  if (faulted(cpu)) return;
  let flags = readEflags(cpu);
  if (reason === TASK_RETURN) flags &= ~(<u64>EFLAGS_NT);
  if (oldWide) {
    stU32(cpu, old + 0x20, nextPc, mmu);
    stU32(cpu, old + 0x24, flags, mmu);
    for (let i: u32 = 0; i < 8; i++) stU32(cpu, old + 0x28 + i * 4, reg(cpu, i), mmu);
    for (let i: u32 = 0; i < 6; i++) stU16(cpu, old + 0x48 + i * 4, segSelector(cpu, i), mmu);
  } else {
    stU16(cpu, old + 0x0e, nextPc, mmu);
    stU16(cpu, old + 0x10, flags, mmu);
    for (let i: u32 = 0; i < 8; i++) stU16(cpu, old + 0x12 + i * 2, reg(cpu, i), mmu);
    for (let i: u32 = 0; i < 4; i++) stU16(cpu, old + 0x22 + i * 2, segSelector(cpu, i), mmu);
  }
  if (faulted(cpu)) return;

  const newCr3 = wide ? ldU32(cpu, tss + 0x1c, mmu) : 0;
  const pc = wide ? ldU32(cpu, tss + 0x20, mmu) : ldU16(cpu, tss + 0x0e, mmu);
  let newFlags = wide ? ldU32(cpu, tss + 0x24, mmu) : ldU16(cpu, tss + 0x10, mmu);
  const regsAt = tss + (wide ? 0x28 : 0x12);
  const segsAt = tss + (wide ? 0x48 : 0x22);
  const segStep: u64 = wide ? 4 : 2;
  const ldt = <u32>ldU16(cpu, tss + (wide ? 0x60 : 0x2a), mmu);
  const trap = wide ? ldU16(cpu, tss + 0x64, mmu) & 1 : 0;
  if (reason === TASK_CALL) {
    stU16(cpu, tss, oldSelector, mmu);
    newFlags |= EFLAGS_NT;
  }
  if (reason !== TASK_RETURN) setBusy(cpu, selector, true);
  if (faulted(cpu)) return;

  // From here on everything belongs to the new task. Registers and selectors are read with the old page tables.
  taskCommitted = true;
  for (let i: u32 = 0; i < 8; i++) {
    // A 16-bit image leaves the upper halves as they are.
    if (wide) setReg(cpu, i, ldU32(cpu, regsAt + i * 4, mmu));
    else setReg(cpu, i, (reg(cpu, i) & 0xffff0000) | ldU16(cpu, regsAt + i * 2, mmu));
  }
  const count: u32 = wide ? 6 : 4;
  for (let seg: u32 = 0; seg < 6; seg++) {
    const value = seg < count ? <u32>ldU16(cpu, segsAt + seg * segStep, mmu) : 0;
    setSegment(cpu, seg, value, 0, 0, 0);
  }
  store<u64>(cpu + X86_CR0, cr0(cpu) | CR0_TS);
  setSegment(cpu, SEG_TR, selector, tss, limit, attr | BUSY);
  if (wide && (cr0(cpu) & CR0_PG) !== 0) {
    store<u64>(cpu + X86_CR3, newCr3);
    enterAddressSpace(cpu, false);
  }
  setPc(cpu, pc);
  writeEflags(cpu, newFlags, wide ? 0x3f7fd5 : 0x7fd5);
  if (!wide) writeEflags(cpu, 0, EFLAGS_VM);
  afterFlags(cpu);
  store<u64>(cpu + X86_DR + 56, load<u64>(cpu + X86_DR + 56) & ~(<u64>0x155));

  setSegment(cpu, SEG_LDTR, 0, 0, 0, 0);
  const vm86 = inVm86(cpu);
  if (vm86) {
    setCpl(cpu, 3);
    for (let seg: u32 = 0; seg < 6; seg++) setReal(cpu, seg, segSelector(cpu, seg));
  } else setCpl(cpu, segSelector(cpu, SEG_CS) & 3);
  updateMode(cpu);
  loadLdt(cpu, ldt, TS, TS);
  if (!vm86) {
    loadTaskSegment(cpu, SEG_CS, segSelector(cpu, SEG_CS));
    loadTaskSegment(cpu, SEG_SS, segSelector(cpu, SEG_SS));
    for (let seg: u32 = SEG_ES; seg <= SEG_GS; seg++) {
      if (seg !== SEG_CS && seg !== SEG_SS) loadTaskSegment(cpu, seg, segSelector(cpu, seg));
    }
  }
  updateMode(cpu);
  if (faulted(cpu)) return;
  if (hasCode) {
    openStack(cpu);
    push(cpu, wide ? 4 : 2, code);
    if (faulted(cpu)) return;
    commitStack(cpu);
  }
  if (pc > segLimit(cpu, SEG_CS)) {
    fault(cpu, GP, 0);
    return;
  }
  if (trap !== 0) {
    store<u64>(cpu + X86_DR + 48, load<u64>(cpu + X86_DR + 48) | DR6_BT);
    fault(cpu, DB, 0);
  }
}

/** Through a task gate: checks the TSS selector in it and switches. `ext` goes into error codes. */
export function switchThroughGate(
  cpu: usize,
  gateLow: u32,
  reason: u32,
  nextPc: u64,
  ext: u32,
  hasCode: bool,
  code: u32,
): void {
  const selector = gateLow >> 16;
  const error = (selector & 0xfffc) | ext;
  taskCommitted = false;
  if ((selector & 4) !== 0 || (selector & 0xfffc) === 0 || !fetchDescriptor(cpu, selector)) {
    fault(cpu, GP, error);
    return;
  }
  const attr = attrOf(descHigh);
  if ((attr & (ATTR_S | 0x17)) !== 1) {
    fault(cpu, GP, error);
    return;
  }
  if ((attr & ATTR_P) === 0) {
    fault(cpu, NP, error);
    return;
  }
  switchTask(cpu, selector, reason, nextPc, hasCode, code);
}

/** IRET with NT set: back to the task that called. */
export function returnFromTask(cpu: usize, nextPc: u64): void {
  taskCommitted = false;
  const selector = <u32>ldU16(cpu, segBase(cpu, SEG_TR), systemMmu(cpu));
  if (faulted(cpu)) return;
  if ((selector & 4) !== 0) {
    fault(cpu, TS, selector & 0xfffc);
    return;
  }
  if (!needDescriptor(cpu, selector, TS)) return;
  const attr = attrOf(descHigh);
  if ((attr & (ATTR_S | 0x17)) !== 3) {
    fault(cpu, TS, selector & 0xfffc);
    return;
  }
  switchTask(cpu, selector, TASK_RETURN, nextPc, false, 0);
}

// ---------------------------------------------------------------- inner stacks

/** Results of `innerStack`: selector and pointer; the descriptor is in descLow/descHigh. */
export let innerSs: u32 = 0;
export let innerSp: u64 = 0;

/** SS:ESP for level `level` from the TSS, with all checks; false after a fault. `ext` goes into error codes. */
export function innerStack(cpu: usize, level: u32, ext: u32): bool {
  const wide = (segAttr(cpu, SEG_TR) & 8) !== 0;
  const index: u32 = wide ? level * 8 + 4 : level * 4 + 2;
  const tr = segSelector(cpu, SEG_TR);
  if ((segAttr(cpu, SEG_TR) & ATTR_P) === 0 || index + (wide ? 5 : 3) > segLimit(cpu, SEG_TR)) {
    fault(cpu, TS, (tr & 0xfffc) | ext);
    return false;
  }
  const mmu = systemMmu(cpu);
  const at = segBase(cpu, SEG_TR) + index;
  innerSp = wide ? ldU32(cpu, at, mmu) : ldU16(cpu, at, mmu);
  innerSs = <u32>ldU16(cpu, at + (wide ? 4 : 2), mmu);
  if (faulted(cpu)) return false;
  const error = (innerSs & 0xfffc) | ext;
  if ((innerSs & 0xfffc) === 0 || (innerSs & 3) !== level || !fetchDescriptor(cpu, innerSs)) {
    fault(cpu, TS, error);
    return false;
  }
  const attr = attrOf(descHigh);
  if (!isWritableData(attr) || dplOf(attr) !== level) {
    fault(cpu, TS, error);
    return false;
  }
  if ((attr & ATTR_P) === 0) {
    fault(cpu, SS, error);
    return false;
  }
  markAccessed(cpu);
  return !faulted(cpu);
}

/** A stack pointer of the 64-bit TSS: slot 0..2 for RSP0..2, 4..10 for IST1..7. */
export function longStack(cpu: usize, slot: u32, ext: u32): u64 {
  const index: u32 = 4 + slot * 8;
  if ((segAttr(cpu, SEG_TR) & ATTR_P) === 0 || index + 7 > segLimit(cpu, SEG_TR)) {
    fault(cpu, TS, (segSelector(cpu, SEG_TR) & 0xfffc) | ext);
    return 0;
  }
  return ldU64(cpu, segBase(cpu, SEG_TR) + index, systemMmu(cpu));
}

// ---------------------------------------------------------------- I/O permission

/** May `size` ports from `port` on be used? Raises #GP(0) if not. */
export function ioAllowed(cpu: usize, port: u32, size: u32): bool {
  if (!isProtected(cpu)) return true;
  const flags = <u32>readEflags(cpu);
  if (!inVm86(cpu) && cpl(cpu) <= ((flags >> 12) & 3)) return true;
  const attr = segAttr(cpu, SEG_TR);
  const limit = segLimit(cpu, SEG_TR);
  if ((attr & ATTR_P) !== 0 && (attr & 8) !== 0 && limit >= 103) {
    const mmu = systemMmu(cpu);
    const base = segBase(cpu, SEG_TR);
    const at = <u32>ldU16(cpu, base + 0x66, mmu) + (port >> 3);
    if (faulted(cpu)) return false;
    if (at + 1 <= limit) {
      const bits = <u32>ldU16(cpu, base + at, mmu) >> (port & 7);
      if (faulted(cpu)) return false;
      if ((bits & ((1 << size) - 1)) === 0) return true;
    }
  }
  fault(cpu, GP, 0);
  return false;
}

/** VME: does the bitmap below the I/O bitmap send software interrupt `vector` to the 8086 program's own handler? */
export function redirectsTo8086(cpu: usize, vector: u32): bool {
  const attr = segAttr(cpu, SEG_TR);
  if ((attr & 8) === 0 || segLimit(cpu, SEG_TR) < 103) return false;
  const mmu = systemMmu(cpu);
  const base = segBase(cpu, SEG_TR);
  const map = <u32>ldU16(cpu, base + 0x66, mmu);
  if (faulted(cpu) || map < 32) return false;
  const at = map - 32 + (vector >> 3);
  if (at > segLimit(cpu, SEG_TR)) return false;
  return ((<u32>ldU8(cpu, base + at, mmu) >> (vector & 7)) & 1) === 0 && !faulted(cpu);
}
