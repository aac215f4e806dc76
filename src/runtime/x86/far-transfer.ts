/** Far JMP, CALL and RET, IRET, SYSCALL and SYSENTER with their returns (Intel SDM vol. 2, vol. 3A ch. 5). */
import { ldU64 } from '../core/memory';
import {
  EFLAGS_AC,
  EFLAGS_ID,
  EFLAGS_IF,
  EFLAGS_IOPL,
  EFLAGS_NT,
  EFLAGS_RF,
  EFLAGS_TF,
  EFLAGS_VIF,
  EFLAGS_VIP,
  EFLAGS_VM,
  FEATURE_SEP,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_SS,
  X86_CSTAR,
  X86_FMASK,
  X86_LSTAR,
  X86_NMI_BLOCKED,
  X86_STAR,
  X86_SYSENTER_CS,
  X86_SYSENTER_EIP,
  X86_SYSENTER_ESP,
} from '../generated/x86';
import {
  ATTR_DB,
  ATTR_DOWN,
  ATTR_L,
  ATTR_P,
  ATTR_S,
  CR4_VME,
  cpl,
  cr4,
  EFER_SCE,
  efer,
  fault,
  faulted,
  GP,
  getPc,
  has,
  inVm86,
  iopl,
  is64,
  isCanonical,
  isLong,
  isProtected,
  isReal,
  NP,
  reg,
  SS,
  segAttr,
  segLimit,
  segSelector,
  setPc,
  setReg,
  setSegment,
  setSysFlags,
  sysFlags,
  systemMmu,
  UD,
} from './cpu';
import { dropSingleStep } from './debug';
import { deliverHere } from './exceptions';
import { readEflags, writeEflags } from './flags';
import { afterFlags } from './interrupt-flag';
import { updateMode } from './mode';
import {
  attrOf,
  baseOf,
  descAt,
  descHigh,
  descLow,
  dplOf,
  dropInner,
  isCodeAttr,
  isWritableData,
  limitOf,
  markAccessed,
  needDescriptor,
  setCpl,
  setFromDescriptor,
  setReal,
  TYPE_CALL,
  TYPE_CALL16,
  TYPE_TASK,
  TYPE_TSS,
  TYPE_TSS16,
  typeOf,
} from './segments';
import { commitStack, drop, openLong, openOther, openStack, peek, pop, push, setPointer } from './stack';
import {
  innerSp,
  innerSs,
  innerStack,
  longStack,
  returnFromTask,
  switchTask,
  switchThroughGate,
  TASK_CALL,
  TASK_JUMP,
  taskCommitted,
} from './tasks';

/** All arithmetic and system flags that a privileged 32-bit flags image may set. */
const FLAGS_ALL: u64 = 0x3f7fd5;

export function checkTarget(cpu: usize, a: u64, _b: u64, _imm: u32): u64 {
  offsetOk(cpu, a, segAttr(cpu, SEG_CS), segLimit(cpu, SEG_CS));
  return 0;
}

/** #GP(0) unless `offset` can be executed in the code segment `attr`/`limit`. */
function offsetOk(cpu: usize, offset: u64, attr: u32, limit: u32): bool {
  const ok = isLong(cpu) && (attr & ATTR_L) !== 0 ? isCanonical(cpu, offset) : offset <= limit;
  if (!ok) fault(cpu, GP, 0);
  return ok;
}

/** CS from the descriptor last fetched, at privilege `level`. */
function setCs(cpu: usize, selector: u32, level: u32): void {
  setSegment(
    cpu,
    SEG_CS,
    (selector & 0xfffc) | level,
    baseOf(descLow, descHigh),
    limitOf(descLow, descHigh),
    attrOf(descHigh),
  );
  setCpl(cpu, level);
}

/** A real-mode or V86 far jump or call target. */
function realTarget(cpu: usize, selector: u32, offset: u64): bool {
  if (offset > segLimit(cpu, SEG_CS)) {
    fault(cpu, GP, 0);
    return false;
  }
  setReal(cpu, SEG_CS, selector);
  setPc(cpu, offset);
  updateMode(cpu);
  return true;
}

/** After a task switch: its late faults belong to the new task and are delivered right here. */
function finishTask(cpu: usize): u64 {
  if (faulted(cpu) && taskCommitted) deliverHere(cpu);
  else updateMode(cpu);
  return 0;
}

/** A direct jump's or call's code descriptor (in descLow/descHigh); false after a fault. */
function directTarget(cpu: usize, selector: u32): bool {
  const attr = attrOf(descHigh);
  const dpl = dplOf(attr);
  const level = cpl(cpu);
  const code = selector & 0xfffc;
  const ok = isCodeAttr(attr) && ((attr & ATTR_DOWN) !== 0 ? dpl <= level : (selector & 3) <= level && dpl === level);
  if (!ok || (isLong(cpu) && (attr & (ATTR_L | ATTR_DB)) === (ATTR_L | ATTR_DB))) {
    fault(cpu, GP, code);
    return false;
  }
  if ((attr & ATTR_P) === 0) {
    fault(cpu, NP, code);
    return false;
  }
  return true;
}

// The call gate that `readGate` read.
let gateSelector: u32 = 0;
let gateOffset: u64 = 0;
let gateWide: u32 = 0; // operand size: 2, 4, 8
let gateParameters: u32 = 0;

/** Checks the call gate in descLow/descHigh and fetches its code descriptor; false after a fault. */
function readGate(cpu: usize, selector: u32, jump: bool): bool {
  const error = selector & 0xfffc;
  const attr = attrOf(descHigh);
  const dpl = dplOf(attr);
  const level = cpl(cpu);
  if (dpl < level || dpl < (selector & 3)) {
    fault(cpu, GP, error);
    return false;
  }
  if ((attr & ATTR_P) === 0) {
    fault(cpu, NP, error);
    return false;
  }
  const long = isLong(cpu);
  gateWide = long ? 8 : typeOf(attr) === TYPE_CALL ? 4 : 2;
  gateSelector = descLow >> 16;
  gateOffset = gateWide === 2 ? <u64>(descLow & 0xffff) : <u64>((descLow & 0xffff) | (descHigh & 0xffff0000));
  gateParameters = descHigh & 31;
  if (long) {
    const upper = ldU64(cpu, descAt + 8, systemMmu(cpu));
    if (faulted(cpu)) return false;
    if ((upper & 0x1f0000000000) !== 0) {
      fault(cpu, GP, error);
      return false;
    }
    gateOffset |= upper << 32;
  }
  if ((gateSelector & 0xfffc) === 0) {
    fault(cpu, GP, 0);
    return false;
  }
  if (!needDescriptor(cpu, gateSelector, GP)) return false;
  const codeAttr = attrOf(descHigh);
  const codeDpl = dplOf(codeAttr);
  const code = gateSelector & 0xfffc;
  const conforming = (codeAttr & ATTR_DOWN) !== 0;
  if (
    !isCodeAttr(codeAttr) ||
    codeDpl > level ||
    (jump && !conforming && codeDpl !== level) ||
    (long && (codeAttr & (ATTR_L | ATTR_DB)) !== ATTR_L)
  ) {
    fault(cpu, GP, code);
    return false;
  }
  if ((codeAttr & ATTR_P) === 0) {
    fault(cpu, NP, code);
    return false;
  }
  return true;
}

/** What a far JMP or CALL names; the result of `classify`. */
const TARGET_FAULT: u32 = 0;
const TARGET_CODE: u32 = 1;
const TARGET_GATE: u32 = 2;
const TARGET_DONE: u32 = 3; // a task switch, finished

function classify(cpu: usize, selector: u32, reason: u32): u32 {
  if ((selector & 0xfffc) === 0) {
    fault(cpu, GP, 0);
    return TARGET_FAULT;
  }
  if (!needDescriptor(cpu, selector, GP)) return TARGET_FAULT;
  const attr = attrOf(descHigh);
  if ((attr & ATTR_S) !== 0) return directTarget(cpu, selector) ? TARGET_CODE : TARGET_FAULT;
  const type = typeOf(attr);
  const long = isLong(cpu);
  if (type === TYPE_CALL || (type === TYPE_CALL16 && !long)) {
    return readGate(cpu, selector, reason === TASK_JUMP) ? TARGET_GATE : TARGET_FAULT;
  }
  const code = selector & 0xfffc;
  const dpl = dplOf(attr);
  if (
    long ||
    (type !== TYPE_TSS && type !== TYPE_TSS16 && type !== TYPE_TASK) ||
    dpl < cpl(cpu) ||
    dpl < (selector & 3)
  ) {
    fault(cpu, GP, code);
    return TARGET_FAULT;
  }
  if ((attr & ATTR_P) === 0) {
    fault(cpu, NP, code);
    return TARGET_FAULT;
  }
  if (type === TYPE_TASK) switchThroughGate(cpu, descLow, reason, getPc(cpu), 0, false, 0);
  else switchTask(cpu, selector, reason, getPc(cpu), false, 0);
  finishTask(cpu);
  return TARGET_DONE;
}

export function farJump(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const selector = <u32>a & 0xffff;
  let offset = imm === 2 ? b & 0xffff : imm === 4 ? b & 0xffffffff : b;
  if (isReal(cpu)) {
    realTarget(cpu, selector, offset);
    return 0;
  }
  const kind = classify(cpu, selector, TASK_JUMP);
  if (kind === TARGET_FAULT || kind === TARGET_DONE) return 0;
  let target = selector;
  if (kind === TARGET_GATE) {
    target = gateSelector;
    offset = gateOffset;
  }
  if (!offsetOk(cpu, offset, attrOf(descHigh), limitOf(descLow, descHigh))) return 0;
  markAccessed(cpu);
  if (faulted(cpu)) return 0;
  setCs(cpu, target, cpl(cpu));
  setPc(cpu, offset);
  updateMode(cpu);
  return 0;
}

export function farCall(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const selector = <u32>a & 0xffff;
  const offset = imm === 2 ? b & 0xffff : imm === 4 ? b & 0xffffffff : b;
  if (isReal(cpu)) {
    if (offset > segLimit(cpu, SEG_CS)) return fault(cpu, GP, 0);
    openStack(cpu);
    push(cpu, imm, segSelector(cpu, SEG_CS));
    push(cpu, imm, getPc(cpu));
    if (faulted(cpu)) return 0;
    commitStack(cpu);
    realTarget(cpu, selector, offset);
    return 0;
  }
  const kind = classify(cpu, selector, TASK_CALL);
  if (kind === TARGET_FAULT || kind === TARGET_DONE) return 0;
  if (kind === TARGET_GATE) return callGate(cpu);
  if (!offsetOk(cpu, offset, attrOf(descHigh), limitOf(descLow, descHigh))) return 0;
  markAccessed(cpu);
  openStack(cpu);
  push(cpu, imm, segSelector(cpu, SEG_CS));
  push(cpu, imm, getPc(cpu));
  if (faulted(cpu)) return 0;
  commitStack(cpu);
  setCs(cpu, selector, cpl(cpu));
  setPc(cpu, offset);
  updateMode(cpu);
  return 0;
}

/** CALL through the gate that `readGate` accepted. */
function callGate(cpu: usize): u64 {
  const selector = gateSelector;
  const offset = gateOffset;
  const size = gateWide;
  const codeLow = descLow;
  const codeHigh = descHigh;
  const attr = attrOf(codeHigh);
  const level = cpl(cpu);
  if (!offsetOk(cpu, offset, attr, limitOf(codeLow, codeHigh))) return 0;
  markAccessed(cpu);
  if (faulted(cpu)) return 0;
  const target = (attr & ATTR_DOWN) !== 0 ? level : dplOf(attr);
  const oldSs = segSelector(cpu, SEG_SS);
  const oldSp = reg(cpu, 4);
  const oldCs = segSelector(cpu, SEG_CS);
  const pc = getPc(cpu);
  if (target < level) {
    if (size === 8) {
      const sp = longStack(cpu, target, 0);
      if (faulted(cpu)) return 0;
      if (!isCanonical(cpu, sp)) return fault(cpu, SS, 0);
      openLong(sp, systemMmu(cpu));
      push(cpu, 8, oldSs);
      push(cpu, 8, oldSp);
      push(cpu, 8, oldCs);
      push(cpu, 8, pc);
      if (faulted(cpu)) return 0;
      setSegment(cpu, SEG_SS, target, 0, 0, target << 5);
    } else {
      if (!innerStack(cpu, target, 0)) return 0;
      const ss = innerSs;
      const base = baseOf(descLow, descHigh);
      const limit = limitOf(descLow, descHigh);
      const ssAttr = attrOf(descHigh);
      // Parameters come from the caller's stack, which is read before the new one is opened.
      const mmu = systemMmu(cpu);
      const sp = innerSp;
      for (let i: u32 = 0; i < gateParameters; i++) {
        openStack(cpu);
        store<u32>(parameters + ((<usize>i) << 2), <u32>peek(cpu, i * size, size));
        if (faulted(cpu)) return 0;
      }
      openOther(base, limit, ssAttr, sp, mmu, ss & 0xfffc);
      push(cpu, size, oldSs);
      push(cpu, size, oldSp);
      for (let i = <i32>gateParameters - 1; i >= 0; i--) push(cpu, size, load<u32>(parameters + ((<usize>i) << 2)));
      push(cpu, size, oldCs);
      push(cpu, size, pc);
      if (faulted(cpu)) return 0;
      setSegment(cpu, SEG_SS, (ss & 0xfffc) | target, base, limit, ssAttr);
    }
  } else {
    openStack(cpu);
    push(cpu, size, oldCs);
    push(cpu, size, pc);
    if (faulted(cpu)) return 0;
  }
  commitStack(cpu);
  setSegment(
    cpu,
    SEG_CS,
    (selector & 0xfffc) | target,
    baseOf(codeLow, codeHigh),
    limitOf(codeLow, codeHigh),
    attr | 1,
  );
  setCpl(cpu, target);
  setPc(cpu, offset);
  updateMode(cpu);
  return 0;
}
/** The up to 31 parameters that a call gate copies. */
const parameters = memory.data(128, 4);

/** The data segment registers that may not follow a return to an outer level. */
function dropInnerSegments(cpu: usize): void {
  dropInner(cpu, SEG_ES);
  dropInner(cpu, SEG_DS);
  dropInner(cpu, SEG_FS);
  dropInner(cpu, SEG_GS);
}

/** Checks a far return's CS selector, leaving its descriptor in descLow/descHigh; false after a fault. */
function returnCs(cpu: usize, selector: u32): bool {
  if ((selector & 0xfffc) === 0) {
    fault(cpu, GP, 0);
    return false;
  }
  if (!needDescriptor(cpu, selector, GP)) return false;
  const attr = attrOf(descHigh);
  const dpl = dplOf(attr);
  const rpl = selector & 3;
  const code = selector & 0xfffc;
  const ok = isCodeAttr(attr) && rpl >= cpl(cpu) && ((attr & ATTR_DOWN) !== 0 ? dpl <= rpl : dpl === rpl);
  if (!ok || (isLong(cpu) && (attr & (ATTR_L | ATTR_DB)) === (ATTR_L | ATTR_DB))) {
    fault(cpu, GP, code);
    return false;
  }
  if ((attr & ATTR_P) === 0) {
    fault(cpu, NP, code);
    return false;
  }
  return true;
}

/** Checks an outer return's SS selector for level `level`; a null one leaves nullSs set. False after a fault. */
let nullSs: bool = false;
function returnSs(cpu: usize, selector: u32, level: u32, to64: bool, isIret: bool): bool {
  nullSs = (selector & 0xfffc) === 0;
  if (nullSs) {
    if (to64 && level !== 3 && (selector & 3) === level) return true;
    fault(cpu, GP, 0);
    return false;
  }
  if (!needDescriptor(cpu, selector, GP)) return false;
  const attr = attrOf(descHigh);
  const code = selector & 0xfffc;
  if ((selector & 3) !== level || !isWritableData(attr) || dplOf(attr) !== level) {
    fault(cpu, GP, code);
    return false;
  }
  if ((attr & ATTR_P) === 0) {
    // The two instructions' descriptions differ.
    fault(cpu, isIret ? NP : SS, code);
    return false;
  }
  markAccessed(cpu);
  return !faulted(cpu);
}

/** Width mask of a stack with these attributes. */
function widthOf(cpu: usize, ssAttr: u32): u64 {
  return is64(cpu) ? <u64>-1 : (ssAttr & ATTR_DB) !== 0 ? 0xffffffff : 0xffff;
}

/** The common end of RETF and IRET in protected mode: `extra` bytes released; flags are the caller's. False after a fault. */
function returnTo(cpu: usize, size: u32, pc: u64, selector: u32, extra: u64, isIret: bool): bool {
  if (!returnCs(cpu, selector)) return false;
  const codeLow = descLow;
  const codeHigh = descHigh;
  const attr = attrOf(codeHigh);
  const level = selector & 3;
  const to64 = isLong(cpu) && (attr & ATTR_L) !== 0;
  if (!offsetOk(cpu, pc, attr, limitOf(codeLow, codeHigh))) return false;
  markAccessed(cpu);
  drop(extra);
  if (level === cpl(cpu) && !(isIret && is64(cpu))) {
    if (faulted(cpu)) return false;
    commitStack(cpu);
    setSegment(cpu, SEG_CS, selector, baseOf(codeLow, codeHigh), limitOf(codeLow, codeHigh), attr | 1);
    setPc(cpu, pc);
    return true;
  }
  const newSp = pop(cpu, size);
  const ss = <u32>pop(cpu, size) & 0xffff;
  if (faulted(cpu)) return false;
  if (!returnSs(cpu, ss, level, to64, isIret)) return false;
  const outer = level !== cpl(cpu);
  if (nullSs) setSegment(cpu, SEG_SS, ss, 0, 0, level << 5);
  else setFromDescriptor(cpu, SEG_SS, ss);
  setSegment(cpu, SEG_CS, selector, baseOf(codeLow, codeHigh), limitOf(codeLow, codeHigh), attr | 1);
  setCpl(cpu, level);
  setPc(cpu, pc);
  const width = widthOf(cpu, segAttr(cpu, SEG_SS));
  setPointer(cpu, newSp + extra, width);
  if (outer) dropInnerSegments(cpu);
  return true;
}

export function farReturn(cpu: usize, a: u64, _b: u64, imm: u32): u64 {
  openStack(cpu);
  const pc = pop(cpu, imm);
  const selector = <u32>pop(cpu, imm) & 0xffff;
  if (faulted(cpu)) return 0;
  if (isReal(cpu)) {
    drop(a);
    if (pc > segLimit(cpu, SEG_CS)) return fault(cpu, GP, 0);
    commitStack(cpu);
    realTarget(cpu, selector, pc);
    return 0;
  }
  if (returnTo(cpu, imm, pc, selector, a, false)) updateMode(cpu);
  return 0;
}

/** IRET to virtual-8086 mode: six more words, all segment registers the 8086 way. */
function toVm86(cpu: usize, pc: u64, selector: u32, image: u64): void {
  const sp = pop(cpu, 4);
  const ss = <u32>pop(cpu, 4);
  const es = <u32>pop(cpu, 4);
  const ds = <u32>pop(cpu, 4);
  const fs = <u32>pop(cpu, 4);
  const gs = <u32>pop(cpu, 4);
  if (faulted(cpu)) return;
  writeEflags(cpu, image, FLAGS_ALL);
  setReal(cpu, SEG_CS, selector);
  setReal(cpu, SEG_SS, ss);
  setReal(cpu, SEG_ES, es);
  setReal(cpu, SEG_DS, ds);
  setReal(cpu, SEG_FS, fs);
  setReal(cpu, SEG_GS, gs);
  setCpl(cpu, 3);
  setPc(cpu, pc & 0xffff);
  setReg(cpu, 4, sp);
}

export function iret(cpu: usize, _a: u64, _b: u64, imm: u32): u64 {
  if (isReal(cpu)) return iretReal(cpu, imm);
  if ((sysFlags(cpu) & EFLAGS_NT) !== 0) {
    if (isLong(cpu)) return fault(cpu, GP, 0);
    returnFromTask(cpu, getPc(cpu));
    store<u32>(cpu + X86_NMI_BLOCKED, 0);
    if (!faulted(cpu) || taskCommitted) finishTask(cpu);
    afterFlags(cpu);
    return 0;
  }
  openStack(cpu);
  const pc = pop(cpu, imm);
  const selector = <u32>pop(cpu, imm) & 0xffff;
  const image = pop(cpu, imm);
  if (faulted(cpu)) return 0;
  const level = cpl(cpu);
  if (imm === 4 && (image & EFLAGS_VM) !== 0 && level === 0 && !isLong(cpu)) {
    toVm86(cpu, pc, selector, image);
  } else {
    let mask: u64 = 0x4dd5 | EFLAGS_TF; // arithmetic flags, DF, NT, TF
    if (imm !== 2) mask |= EFLAGS_RF | EFLAGS_AC | EFLAGS_ID;
    if (level <= iopl(cpu)) mask |= EFLAGS_IF;
    if (level === 0) mask |= imm === 2 ? <u64>EFLAGS_IOPL : EFLAGS_IOPL | EFLAGS_VIF | EFLAGS_VIP;
    if (returnTo(cpu, imm, pc, selector, 0, true)) writeEflags(cpu, image, mask);
  }
  if (faulted(cpu)) return 0;
  store<u32>(cpu + X86_NMI_BLOCKED, 0);
  updateMode(cpu);
  afterFlags(cpu);
  return 0;
}

function iretReal(cpu: usize, size: u32): u64 {
  const vm86 = inVm86(cpu);
  const full = !vm86 || iopl(cpu) === 3;
  if (!full && (size !== 2 || (cr4(cpu) & CR4_VME) === 0)) return fault(cpu, GP, 0);
  openStack(cpu);
  const pc = pop(cpu, size);
  const selector = <u32>pop(cpu, size) & 0xffff;
  const image = pop(cpu, size);
  if (faulted(cpu)) return 0;
  if (pc > segLimit(cpu, SEG_CS)) return fault(cpu, GP, 0);
  let mask: u64 = 0x4dd5 | EFLAGS_TF;
  if (size !== 2) mask |= EFLAGS_RF | EFLAGS_AC | EFLAGS_ID;
  if (full) mask |= EFLAGS_IF;
  else {
    // VME: IF of the image means VIF, and a pending virtual interrupt or TF is the monitor's business.
    if ((image & EFLAGS_TF) !== 0 || ((image & EFLAGS_IF) !== 0 && (sysFlags(cpu) & EFLAGS_VIP) !== 0))
      return fault(cpu, GP, 0);
    setSysFlags(cpu, (image & EFLAGS_IF) !== 0 ? EFLAGS_VIF : 0, EFLAGS_VIF);
  }
  if (!vm86) mask |= EFLAGS_IOPL;
  commitStack(cpu);
  writeEflags(cpu, image, mask);
  setReal(cpu, SEG_CS, selector);
  setPc(cpu, pc);
  store<u32>(cpu + X86_NMI_BLOCKED, 0);
  updateMode(cpu);
  afterFlags(cpu);
  return 0;
}

// ---------------------------------------------------------------- SYSCALL, SYSENTER

const FLAT_CODE32: u32 = 0xc09b;
const FLAT_CODE64: u32 = 0xa09b;
const FLAT_DATA: u32 = 0xc093;

function setFlat(cpu: usize, cs: u32, csAttr: u32, ss: u32, level: u32): void {
  setSegment(cpu, SEG_CS, (cs & 0xfffc) | level, 0, 0xffffffff, csAttr | (level << 5));
  setSegment(cpu, SEG_SS, (ss & 0xfffc) | level, 0, 0xffffffff, FLAT_DATA | (level << 5));
  setCpl(cpu, level);
}

export function syscall(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if ((efer(cpu) & EFER_SCE) === 0 || !isProtected(cpu)) return fault(cpu, UD, 0);
  const star = load<u64>(cpu + X86_STAR);
  const selector = <u32>(star >> 32) & 0xffff;
  if (isLong(cpu)) {
    const from64 = is64(cpu);
    const flags = readEflags(cpu);
    setReg(cpu, 1, getPc(cpu));
    setReg(cpu, 11, flags & ~(<u64>EFLAGS_RF));
    writeEflags(cpu, flags & ~load<u64>(cpu + X86_FMASK) & ~(<u64>EFLAGS_RF), FLAGS_ALL);
    setFlat(cpu, selector, FLAT_CODE64, selector + 8, 0);
    setPc(cpu, load<u64>(cpu + (from64 ? X86_LSTAR : X86_CSTAR)));
  } else {
    setReg(cpu, 1, getPc(cpu) & 0xffffffff);
    setSysFlags(cpu, 0, EFLAGS_IF | EFLAGS_RF | EFLAGS_VM);
    setFlat(cpu, selector, FLAT_CODE32, selector + 8, 0);
    setPc(cpu, star & 0xffffffff);
  }
  if ((sysFlags(cpu) & EFLAGS_TF) === 0) dropSingleStep(cpu);
  updateMode(cpu);
  return 0;
}

export function sysret(cpu: usize, _a: u64, _b: u64, imm: u32): u64 {
  if ((efer(cpu) & EFER_SCE) === 0 || !isProtected(cpu)) return fault(cpu, UD, 0);
  if (cpl(cpu) !== 0) return fault(cpu, GP, 0);
  const star = load<u64>(cpu + X86_STAR);
  const selector = <u32>(star >> 48);
  if (isLong(cpu)) {
    const pc = reg(cpu, 1);
    if (imm === 8 && !isCanonical(cpu, pc)) return fault(cpu, GP, 0);
    const image = reg(cpu, 11);
    writeEflags(cpu, image & ~(<u64>(EFLAGS_RF | EFLAGS_VM)), FLAGS_ALL);
    if (imm === 8) setFlat(cpu, selector + 16, FLAT_CODE64, selector + 8, 3);
    else setFlat(cpu, selector, FLAT_CODE32, selector + 8, 3);
    setPc(cpu, imm === 8 ? pc : pc & 0xffffffff);
  } else {
    setSysFlags(cpu, EFLAGS_IF, 0);
    setFlat(cpu, selector, FLAT_CODE32, selector + 8, 3);
    setPc(cpu, reg(cpu, 1) & 0xffffffff);
  }
  updateMode(cpu);
  afterFlags(cpu);
  return 0;
}

export function sysenter(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (!has(cpu, FEATURE_SEP)) return fault(cpu, UD, 0);
  const selector = <u32>load<u64>(cpu + X86_SYSENTER_CS) & 0xffff;
  if (!isProtected(cpu) || (selector & 0xfffc) === 0) return fault(cpu, GP, 0);
  const long = isLong(cpu);
  setSysFlags(cpu, 0, EFLAGS_VM | EFLAGS_IF | EFLAGS_RF);
  setFlat(cpu, selector, long ? FLAT_CODE64 : FLAT_CODE32, selector + 8, 0);
  const sp = load<u64>(cpu + X86_SYSENTER_ESP);
  const pc = load<u64>(cpu + X86_SYSENTER_EIP);
  setReg(cpu, 4, long ? sp : sp & 0xffffffff);
  setPc(cpu, long ? pc : pc & 0xffffffff);
  updateMode(cpu);
  return 0;
}

export function sysexit(cpu: usize, _a: u64, _b: u64, imm: u32): u64 {
  if (!has(cpu, FEATURE_SEP)) return fault(cpu, UD, 0);
  const selector = <u32>load<u64>(cpu + X86_SYSENTER_CS) & 0xffff;
  if (!isProtected(cpu) || (selector & 0xfffc) === 0 || cpl(cpu) !== 0) return fault(cpu, GP, 0);
  const sp = reg(cpu, 1);
  const pc = reg(cpu, 2);
  if (imm === 8) {
    if (!isCanonical(cpu, sp) || !isCanonical(cpu, pc)) return fault(cpu, GP, 0);
    setFlat(cpu, selector + 32, FLAT_CODE64, selector + 40, 3);
  } else setFlat(cpu, selector + 16, FLAT_CODE32, selector + 24, 3);
  setReg(cpu, 4, imm === 8 ? sp : sp & 0xffffffff);
  setPc(cpu, imm === 8 ? pc : pc & 0xffffffff);
  updateMode(cpu);
  return 0;
}
