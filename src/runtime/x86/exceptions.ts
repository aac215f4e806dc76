/** Delivery of exceptions and interrupts (Intel SDM vol. 3A ch. 6, AMD APM vol. 2 ch. 8) in every mode. */
import { traceInterrupt } from '../core/env';
import { ldU16, ldU64 } from '../core/memory';
import { setCurrentBlock } from '../generated/interpreter';
import {
  MACHINE_TRACE_MASK,
  TRACE_INT,
  VCPU_FAULT_ADDRESS,
  VCPU_FAULT_CODE,
  VCPU_FAULT_PENDING,
  VCPU_FAULT_VECTOR,
  VCPU_HALTED,
  VCPU_MACHINE,
} from '../generated/layout';
import { EXIT_SHUTDOWN } from '../generated/ops';
import {
  EFLAGS_AC,
  EFLAGS_IF,
  EFLAGS_IOPL,
  EFLAGS_NT,
  EFLAGS_RF,
  EFLAGS_TF,
  EFLAGS_VIF,
  EFLAGS_VM,
  INT_DEBUG,
  INT_SHUTDOWN,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_IDTR,
  SEG_SS,
  X86_CR2,
  X86_FSW,
  X86_INHIBIT_INTERRUPTS,
  X86_OLD_EXCEPTION,
  X86_PENDING_DR6,
} from '../generated/x86';
import {
  AC,
  ATTR_DB,
  ATTR_DOWN,
  ATTR_L,
  ATTR_P,
  BP,
  CR0_NE,
  CR4_VME,
  cpl,
  cr0,
  cr4,
  DB,
  DF,
  fault,
  faulted,
  GP,
  getPc,
  inVm86,
  iopl,
  isCanonical,
  isLong,
  isProtected,
  NP,
  OF,
  PF,
  reg,
  request,
  SS,
  segBase,
  segLimit,
  segSelector,
  setPc,
  setSegBase,
  setSegment,
  setSegSelector,
  setSysFlags,
  systemMmu,
  TS,
  unrequest,
} from './cpu';
import { clearGeneralDetect, dropSingleStep } from './debug';
import { faultingInstruction, IN_STACK, NOT_CANONICAL, WAITS } from './faulting-instruction';
import { readEflags } from './flags';
import { updateMode } from './mode';
import {
  attrOf,
  baseOf,
  descHigh,
  descLow,
  dplOf,
  fetchDescriptor,
  isCodeAttr,
  limitOf,
  markAccessed,
  setCpl,
  TYPE_INT,
  TYPE_INT16,
  TYPE_TASK,
  TYPE_TRAP,
  TYPE_TRAP16,
} from './segments';
import { commitStack, openLong, openOther, openStack, push } from './stack';
import {
  clearTaskCommitted,
  innerSp,
  innerSs,
  innerStack,
  longStack,
  redirectsTo8086,
  switchThroughGate,
  TASK_CALL,
  taskCommitted,
} from './tasks';
import { endStoppedStore } from './x87-stopped';

/** What is being delivered. */
export const EVENT_EXCEPTION: u32 = 0;
export const EVENT_INT_N: u32 = 1;
export const EVENT_INT3: u32 = 2; // INT3 and INTO: gate privilege counts, IOPL in V86 mode does not
export const EVENT_INT1: u32 = 3; // no privilege counts
export const EVENT_HARDWARE: u32 = 4;

const NO_EXCEPTION: u32 = 0xffffffff;
const MF: u32 = 16;

/** Does an exception push an error code? */
export function hasErrorCode(vector: u32): bool {
  return vector === DF || (vector >= TS && vector <= PF) || vector === AC || vector === 21;
}

function pushedFlags(cpu: usize, vector: u32, event: u32): u64 {
  const flags = readEflags(cpu);
  // Faults are restarted past instruction breakpoints; #DB itself leaves RF as it is.
  return event === EVENT_EXCEPTION && vector !== DB ? flags | EFLAGS_RF : flags;
}

function deliverReal(cpu: usize, vector: u32, event: u32, pc: u64): void {
  const offset = vector * 4;
  if (offset + 3 > segLimit(cpu, SEG_IDTR)) {
    fault(cpu, GP, vector * 8 + 2);
    return;
  }
  const at = segBase(cpu, SEG_IDTR) + offset;
  const newIp = ldU16(cpu, at, 0);
  const newCs = <u32>ldU16(cpu, at + 2, 0);
  openStack(cpu);
  push(cpu, 2, pushedFlags(cpu, vector, event));
  push(cpu, 2, segSelector(cpu, SEG_CS));
  push(cpu, 2, pc);
  if (faulted(cpu)) return;
  commitStack(cpu);
  setPc(cpu, newIp);
  setSegSelector(cpu, SEG_CS, newCs);
  setSegBase(cpu, SEG_CS, newCs << 4);
  setSysFlags(cpu, 0, EFLAGS_IF | EFLAGS_TF | EFLAGS_AC | EFLAGS_RF);
}

/** INT n inside virtual-8086 mode goes to the 8086 program's own handler (VME). */
function deliverVme(cpu: usize, vector: u32, pc: u64): void {
  const mmu = systemMmu(cpu);
  const newIp = ldU16(cpu, vector * 4, mmu);
  const newCs = <u32>ldU16(cpu, vector * 4 + 2, mmu);
  let flags = readEflags(cpu);
  const full = iopl(cpu) === 3;
  if (!full) {
    flags = (flags | EFLAGS_IOPL) & ~(<u64>EFLAGS_IF);
    if ((flags & EFLAGS_VIF) !== 0) flags |= EFLAGS_IF;
  }
  openStack(cpu);
  push(cpu, 2, flags);
  push(cpu, 2, segSelector(cpu, SEG_CS));
  push(cpu, 2, pc);
  if (faulted(cpu)) return;
  commitStack(cpu);
  setPc(cpu, newIp);
  setSegSelector(cpu, SEG_CS, newCs);
  setSegBase(cpu, SEG_CS, newCs << 4);
  setSysFlags(cpu, 0, EFLAGS_TF | EFLAGS_RF | (full ? EFLAGS_IF : EFLAGS_VIF));
}

/** Checks a gate's code selector (descriptor in descLow/descHigh after it); returns the handler's level, 4 after a fault. */
function gateTarget(cpu: usize, selector: u32, ext: u32): u32 {
  if ((selector & 0xfffc) === 0) {
    fault(cpu, GP, ext);
    return 4;
  }
  const error = (selector & 0xfffc) | ext;
  if (!fetchDescriptor(cpu, selector)) {
    fault(cpu, GP, error);
    return 4;
  }
  const attr = attrOf(descHigh);
  const dpl = dplOf(attr);
  const level = cpl(cpu);
  if (!isCodeAttr(attr) || dpl > level) {
    fault(cpu, GP, error);
    return 4;
  }
  if ((attr & ATTR_P) === 0) {
    fault(cpu, NP, error);
    return 4;
  }
  const target = (attr & ATTR_DOWN) !== 0 ? level : dpl;
  if (inVm86(cpu) && target !== 0) {
    fault(cpu, GP, error);
    return 4;
  }
  return target;
}

/** Gate privilege and presence; false after a fault. */
function gateOpen(cpu: usize, vector: u32, event: u32, gateAttr: u32, ext: u32): bool {
  if ((event === EVENT_INT_N || event === EVENT_INT3) && dplOf(gateAttr) < cpl(cpu)) {
    fault(cpu, GP, vector * 8 + 2);
    return false;
  }
  if ((gateAttr & ATTR_P) === 0) {
    fault(cpu, NP, vector * 8 + 2 + ext);
    return false;
  }
  return true;
}

function deliverProtected(cpu: usize, vector: u32, event: u32, hasCode: bool, code: u32, pc: u64): void {
  const ext: u32 = event === EVENT_INT_N || event === EVENT_INT3 ? 0 : 1;
  const mmu = systemMmu(cpu);
  if (vector * 8 + 7 > segLimit(cpu, SEG_IDTR)) {
    fault(cpu, GP, vector * 8 + 2 + ext);
    return;
  }
  const gate = ldU64(cpu, segBase(cpu, SEG_IDTR) + vector * 8, mmu);
  if (faulted(cpu)) return;
  const gateAttr = <u32>(gate >> 40) & 0xff;
  const type = gateAttr & 0x1f;
  if (type !== TYPE_TASK && type !== TYPE_INT16 && type !== TYPE_TRAP16 && type !== TYPE_INT && type !== TYPE_TRAP) {
    fault(cpu, GP, vector * 8 + 2 + ext);
    return;
  }
  if (!gateOpen(cpu, vector, event, gateAttr, ext)) return;
  if (type === TYPE_TASK) {
    switchThroughGate(cpu, <u32>gate, TASK_CALL, pc, ext, hasCode, code);
    return;
  }
  const selector = <u32>(gate >> 16) & 0xffff;
  const target = gateTarget(cpu, selector, ext);
  if (target === 4) return;
  const wide = (type & 8) !== 0;
  const size: u32 = wide ? 4 : 2;
  const newPc = wide ? (gate & 0xffff) | ((gate >> 32) & 0xffff0000) : gate & 0xffff;
  const codeLow = descLow;
  const codeHigh = descHigh;
  if (newPc > limitOf(codeLow, codeHigh)) {
    fault(cpu, GP, ext);
    return;
  }
  markAccessed(cpu);
  const codeAttr = attrOf(descHigh);
  const inner = target < cpl(cpu);
  const vm86 = inVm86(cpu);
  let ssSelector: u32 = 0;
  let ssBase: u64 = 0;
  let ssLimit: u32 = 0;
  let ssAttr: u32 = 0;
  if (inner) {
    if (!innerStack(cpu, target, ext)) return;
    ssSelector = innerSs;
    ssBase = baseOf(descLow, descHigh);
    ssLimit = limitOf(descLow, descHigh);
    ssAttr = attrOf(descHigh);
    openOther(ssBase, ssLimit, ssAttr, innerSp, mmu, (ssSelector & 0xfffc) | ext);
    if (vm86) {
      push(cpu, size, segSelector(cpu, SEG_GS));
      push(cpu, size, segSelector(cpu, SEG_FS));
      push(cpu, size, segSelector(cpu, SEG_DS));
      push(cpu, size, segSelector(cpu, SEG_ES));
    }
    push(cpu, size, segSelector(cpu, SEG_SS));
    push(cpu, size, reg(cpu, 4));
  } else openStack(cpu);
  push(cpu, size, pushedFlags(cpu, vector, event));
  push(cpu, size, segSelector(cpu, SEG_CS));
  push(cpu, size, pc);
  if (hasCode) push(cpu, size, code);
  if (faulted(cpu)) return;

  if (inner) {
    if (vm86) {
      setSegment(cpu, SEG_ES, 0, 0, 0, 0);
      setSegment(cpu, SEG_DS, 0, 0, 0, 0);
      setSegment(cpu, SEG_FS, 0, 0, 0, 0);
      setSegment(cpu, SEG_GS, 0, 0, 0, 0);
    }
    setSegment(cpu, SEG_SS, (ssSelector & 0xfffc) | target, ssBase, ssLimit, ssAttr);
  }
  commitStack(cpu);
  setSegment(
    cpu,
    SEG_CS,
    (selector & 0xfffc) | target,
    baseOf(codeLow, codeHigh),
    limitOf(codeLow, codeHigh),
    codeAttr,
  );
  setCpl(cpu, target);
  setPc(cpu, newPc);
  // Interrupt gates (even types) also clear IF.
  setSysFlags(cpu, 0, EFLAGS_TF | EFLAGS_VM | EFLAGS_RF | EFLAGS_NT | ((type & 1) === 0 ? EFLAGS_IF : 0));
}

function deliverLong(cpu: usize, vector: u32, event: u32, hasCode: bool, code: u32, pc: u64): void {
  const ext: u32 = event === EVENT_INT_N || event === EVENT_INT3 ? 0 : 1;
  const mmu = systemMmu(cpu);
  if (vector * 16 + 15 > segLimit(cpu, SEG_IDTR)) {
    fault(cpu, GP, vector * 8 + 2 + ext);
    return;
  }
  const at = segBase(cpu, SEG_IDTR) + vector * 16;
  const gate = ldU64(cpu, at, mmu);
  if (faulted(cpu)) return;
  const gateHigh = ldU64(cpu, at + 8, mmu);
  if (faulted(cpu)) return;
  const gateAttr = <u32>(gate >> 40) & 0xff;
  const type = gateAttr & 0x1f;
  if (type !== TYPE_INT && type !== TYPE_TRAP) {
    fault(cpu, GP, vector * 8 + 2 + ext);
    return;
  }
  if (!gateOpen(cpu, vector, event, gateAttr, ext)) return;
  const selector = <u32>(gate >> 16) & 0xffff;
  const target = gateTarget(cpu, selector, ext);
  if (target === 4) return;
  if ((attrOf(descHigh) & (ATTR_L | ATTR_DB)) !== ATTR_L) {
    fault(cpu, GP, (selector & 0xfffc) | ext);
    return;
  }
  const newPc = (gate & 0xffff) | ((gate >> 32) & 0xffff0000) | (gateHigh << 32);
  markAccessed(cpu);
  if (faulted(cpu)) return;
  const codeLow = descLow;
  const codeHigh = descHigh;
  const ist = <u32>(gate >> 32) & 7;
  const inner = target < cpl(cpu);
  let sp: u64;
  if (ist !== 0) sp = longStack(cpu, ist + 3, ext);
  else sp = inner ? longStack(cpu, target, ext) : reg(cpu, 4);
  if (faulted(cpu)) return;
  if (!isCanonical(cpu, sp)) {
    fault(cpu, SS, ext);
    return;
  }
  openLong(sp & ~(<u64>15), mmu);
  push(cpu, 8, segSelector(cpu, SEG_SS));
  push(cpu, 8, reg(cpu, 4));
  push(cpu, 8, pushedFlags(cpu, vector, event));
  push(cpu, 8, segSelector(cpu, SEG_CS));
  push(cpu, 8, pc);
  if (hasCode) push(cpu, 8, code);
  if (faulted(cpu)) return;

  if (inner) setSegment(cpu, SEG_SS, target, 0, 0, target << 5);
  commitStack(cpu);
  setSegment(
    cpu,
    SEG_CS,
    (selector & 0xfffc) | target,
    baseOf(codeLow, codeHigh),
    limitOf(codeLow, codeHigh),
    attrOf(codeHigh),
  );
  setCpl(cpu, target);
  setPc(cpu, newPc);
  setSysFlags(cpu, 0, EFLAGS_TF | EFLAGS_VM | EFLAGS_RF | EFLAGS_NT | (type === TYPE_INT ? EFLAGS_IF : 0));
}

/** Delivers an event through the IVT or IDT. Leaves a fault pending when that fails; otherwise the mode is up to date. */
export function deliver(cpu: usize, vector: u32, event: u32, hasCode: bool, code: u32, pc: u64): void {
  if ((load<u32>(<usize>load<u32>(cpu + VCPU_MACHINE) + MACHINE_TRACE_MASK) & TRACE_INT) !== 0)
    traceInterrupt(cpu, event, vector, code);
  clearTaskCommitted();
  if (!isProtected(cpu)) deliverReal(cpu, vector, event, pc);
  else if (isLong(cpu)) deliverLong(cpu, vector, event, hasCode, code, pc);
  else deliverProtected(cpu, vector, event, hasCode, code, pc);
  if (faulted(cpu)) return;
  if (event === EVENT_EXCEPTION) {
    if (vector === DB) clearGeneralDetect(cpu);
  } else if (event !== EVENT_HARDWARE) dropSingleStep(cpu);
  updateMode(cpu);
}

/** For double faults: 0 benign, 1 contributory, 2 page fault. */
function faultClass(vector: u32): u32 {
  if (vector === PF) return 2;
  return vector === 0 || (vector >= TS && vector <= GP) || vector === 21 ? 1 : 0;
}

/** An instruction has left with a fault: sees to it; 0, or EXIT_SHUTDOWN + 1 after a triple fault. */
export function deliverInstructionFault(cpu: usize): u32 {
  if (!endStoppedStore(cpu)) return deliverFault(cpu);
  setCurrentBlock(0);
  return 0;
}

/** Delivers the pending fault, and what comes of that; 0, or EXIT_SHUTDOWN + 1 after a triple fault. */
export function deliverFault(cpu: usize): u32 {
  setCurrentBlock(0);
  // The instruction did not complete: its traps and its interrupt shadow are void.
  store<u32>(cpu + X86_PENDING_DR6, 0);
  store<u32>(cpu + X86_INHIBIT_INTERRUPTS, 0);
  unrequest(cpu, INT_DEBUG);
  while (faulted(cpu)) {
    let vector = load<u32>(cpu + VCPU_FAULT_VECTOR);
    let code = load<u32>(cpu + VCPU_FAULT_CODE);
    store<u32>(cpu + VCPU_FAULT_PENDING, 0);
    const old = load<u32>(cpu + X86_OLD_EXCEPTION);
    const notCanonical = vector === GP && code === NOT_CANONICAL;
    if (notCanonical) code = 0;
    const x87Pending = (vector === PF || vector === GP || vector === SS || vector === AC) && x87ErrorPending(cpu);
    if (old === NO_EXCEPTION && (notCanonical || x87Pending)) {
      const instruction = faultingInstruction(cpu);
      if (x87Pending && (instruction & WAITS) !== 0) {
        vector = MF;
        code = 0;
      } else if (notCanonical && (instruction & IN_STACK) !== 0) vector = SS;
    }
    if (vector === PF) store<u64>(cpu + X86_CR2, load<u64>(cpu + VCPU_FAULT_ADDRESS));
    if (old !== NO_EXCEPTION) {
      const first = old === DF ? 2 : faultClass(old);
      const second = faultClass(vector);
      if ((first === 1 && second === 1) || (first === 2 && second !== 0)) {
        if (old === DF) {
          store<u32>(cpu + X86_OLD_EXCEPTION, NO_EXCEPTION);
          return EXIT_SHUTDOWN + 1;
        }
        vector = DF;
        code = 0;
      }
    }
    store<u32>(cpu + X86_OLD_EXCEPTION, vector);
    deliver(cpu, vector, EVENT_EXCEPTION, hasErrorCode(vector), code, getPc(cpu));
  }
  store<u32>(cpu + X86_OLD_EXCEPTION, NO_EXCEPTION);
  return 0;
}

/** An unmasked x87 error waits to be raised as #MF. */
function x87ErrorPending(cpu: usize): bool {
  return (load<u32>(cpu + X86_FSW) & 0x80) !== 0 && (cr0(cpu) & CR0_NE) !== 0;
}

/** Delivers a fault from inside a helper, where the pc is already another task's. A triple fault is left as a request. */
export function deliverHere(cpu: usize): void {
  if (deliverFault(cpu) !== 0) request(cpu, INT_SHUTDOWN);
}

/** Delivers a hardware interrupt or NMI between instructions; EXIT_SHUTDOWN + 1 after a triple fault, else 0. */
export function deliverHardware(cpu: usize, vector: u32): u32 {
  store<u32>(cpu + VCPU_HALTED, 0);
  store<u32>(cpu + X86_OLD_EXCEPTION, NO_EXCEPTION);
  deliver(cpu, vector, EVENT_HARDWARE, false, 0, getPc(cpu));
  return faulted(cpu) ? deliverFault(cpu) : 0;
}

/** INT n, INT3, INTO, INT1: imm = vector | kind << 8. */
export function interrupt(cpu: usize, _a: u64, _b: u64, imm: u32): u64 {
  const vector = imm & 0xff;
  const kind = imm >> 8;
  const pc = getPc(cpu);
  if (kind === 0 && inVm86(cpu)) {
    if ((cr4(cpu) & CR4_VME) !== 0 && redirectsTo8086(cpu, vector)) {
      deliverVme(cpu, vector, pc);
      if (!faulted(cpu)) updateMode(cpu);
      return 0;
    }
    if (faulted(cpu)) return 0;
    if (iopl(cpu) < 3) return fault(cpu, GP, 0);
  }
  let event = EVENT_INT_N;
  if (kind === 3) event = EVENT_INT1;
  else if (kind !== 0 && (vector === BP || vector === OF)) event = EVENT_INT3;
  deliver(cpu, vector, event, false, 0, pc);
  if (faulted(cpu) && taskCommitted) deliverHere(cpu);
  return 0;
}

/** Raises a fault at the running instruction: a = error code, imm = vector | (has code) << 8. */
export function raise(cpu: usize, a: u64, _b: u64, imm: u32): u64 {
  return fault(cpu, imm & 0xff, <u32>a);
}

/** Misaligned operand of an SSE instruction that wants alignment. */
export function raiseMisaligned(cpu: usize): void {
  fault(cpu, GP, 0);
}
