/** Debug registers, single step, and a debugger's breakpoints (Intel SDM vol. 3B ch. 17). */
import { tlbFlush } from '../core/memory';
import { VCPU_MODE } from '../generated/layout';
import {
  DEBUGGER_SINGLE,
  DEBUGGER_SKIP,
  EFLAGS_RF,
  EFLAGS_TF,
  INT_DEBUG,
  MODE_INHIBIT,
  SEG_CS,
  X86_BREAKPOINT_COUNT,
  X86_BREAKPOINTS,
  X86_DEBUGGER,
  X86_DR,
  X86_INHIBIT_INTERRUPTS,
  X86_PENDING_DR6,
} from '../generated/x86';
import {
  CR4_DE,
  cr4,
  DB,
  fault,
  faulted,
  GP,
  getPc,
  is64,
  request,
  segBase,
  setSysFlags,
  sysFlags,
  UD,
  unrequest,
} from './cpu';
import { updateMode } from './mode';
import { notKernel } from './segments';

export const DR6_BD: u64 = 1 << 13;
export const DR6_BS: u32 = 1 << 14;
export const DR6_FIXED: u64 = 0xffff0ff0;
export const DR7_FIXED: u64 = 0x400;
const DR7_GD: u64 = 1 << 13;
/** pendingDr6 bit: a debugger's single step ends here. */
export const STEP_DONE: u32 = 0x80000000;

const EXECUTE: u32 = 0;
const WRITE: u32 = 1;
const IO: u32 = 2;
/** R/W = 3, reads and writes, as a bit of `types`. */
const ACCESS: u32 = 8;

export function dr7(cpu: usize): u64 {
  return load<u64>(cpu + X86_DR + 56);
}
export function dr(cpu: usize, i: u32): u64 {
  return load<u64>(cpu + X86_DR + (i << 3));
}
export function orDr6(cpu: usize, bits: u64): void {
  store<u64>(cpu + X86_DR + 48, load<u64>(cpu + X86_DR + 48) | bits);
}
/** #DB's handler runs without general detection. */
export function clearGeneralDetect(cpu: usize): void {
  store<u64>(cpu + X86_DR + 56, dr7(cpu) & ~DR7_GD);
}

function kind(control: u64, i: u32): u32 {
  return <u32>(control >> (16 + i * 4)) & 3;
}
/** Bytes minus one that breakpoint i covers. */
function span(control: u64, i: u32): u64 {
  const length = <u32>(control >> (18 + i * 4)) & 3;
  return length === 2 ? 7 : length;
}

/** Does a data breakpoint lie in this page? Then no access to it may bypass `dataBreakpoint`. */
export function watchesPage(cpu: usize, linear: u64): bool {
  const control = dr7(cpu);
  if ((control & 0xff) === 0) return false;
  for (let i: u32 = 0; i < 4; i++) {
    if (
      ((control >> (i * 2)) & 3) !== 0 &&
      (kind(control, i) & 1) !== 0 &&
      ((dr(cpu, i) ^ linear) & ~(<u64>0xfff)) === 0
    )
      return true;
  }
  return false;
}

/** Bits of DR6 for the enabled breakpoints of `types` (bit mask over R/W values) that an access touches. */
function hits(cpu: usize, at: u64, bytes: u64, types: u32): u32 {
  const control = dr7(cpu);
  let found: u32 = 0;
  for (let i: u32 = 0; i < 4; i++) {
    if (((control >> (i * 2)) & 3) === 0 || ((types >> kind(control, i)) & 1) === 0) continue;
    const size = span(control, i);
    const first = dr(cpu, i) & ~size;
    if (at <= first + size && at + bytes - 1 >= first) found |= 1 << i;
  }
  return found;
}

/** DR6 bits to report after the running instruction. */
function trapLater(cpu: usize, bits: u32): void {
  if (bits === 0) return;
  store<u32>(cpu + X86_PENDING_DR6, load<u32>(cpu + X86_PENDING_DR6) | bits);
  request(cpu, INT_DEBUG);
}

/** A data access: its breakpoint, if it meets one, traps after the instruction. */
export function dataBreakpoint(cpu: usize, linear: u64, bytes: u32, isWrite: bool): void {
  if ((dr7(cpu) & 0xff) !== 0) trapLater(cpu, hits(cpu, linear, bytes, isWrite ? (1 << WRITE) | ACCESS : ACCESS));
}
/** A port access, the same way (CR4.DE). */
export function ioBreakpoint(cpu: usize, port: u32, bytes: u32): void {
  if ((dr7(cpu) & 0xff) !== 0 && (cr4(cpu) & CR4_DE) !== 0) trapLater(cpu, hits(cpu, port, bytes, 1 << IO));
}

/** A software interrupt or SYSCALL has cleared TF: the instruction does not trap. */
export function dropSingleStep(cpu: usize): void {
  const left = load<u32>(cpu + X86_PENDING_DR6) & ~DR6_BS;
  store<u32>(cpu + X86_PENDING_DR6, left);
  if (left === 0) unrequest(cpu, INT_DEBUG);
}

/** Linear address of the instruction at pc. */
export function linearPc(cpu: usize): u64 {
  const pc = getPc(cpu);
  return is64(cpu) ? pc : (segBase(cpu, SEG_CS) + pc) & 0xffffffff;
}

/** Before the instruction at pc: 0 go on, 1 a #DB is recorded, 2 stop for the debugger. */
export function codeBreakpoint(cpu: usize): u32 {
  const at = linearPc(cpu);
  const wishes = load<u32>(cpu + X86_DEBUGGER);
  if ((wishes & DEBUGGER_SKIP) !== 0) store<u32>(cpu + X86_DEBUGGER, wishes & ~DEBUGGER_SKIP);
  else {
    const count = load<u32>(cpu + X86_BREAKPOINT_COUNT);
    for (let i: u32 = 0; i < count; i++) {
      if (load<u64>(cpu + X86_BREAKPOINTS + (i << 3)) === at) {
        // When the debugger lets the guest go on, this instruction must run.
        store<u32>(cpu + X86_DEBUGGER, wishes | DEBUGGER_SKIP);
        return 2;
      }
    }
  }
  if ((dr7(cpu) & 0xff) === 0 || (sysFlags(cpu) & EFLAGS_RF) !== 0) return 0;
  const found = hits(cpu, at, 1, 1 << EXECUTE);
  if (found === 0) return 0;
  orDr6(cpu, found);
  fault(cpu, DB, 0);
  return 1;
}

/** Before the only instruction of its block: interrupt shadow and RF end with it, TF traps after it. */
export function armSingleStep(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  store<u32>(cpu + X86_INHIBIT_INTERRUPTS, 0);
  store<u32>(cpu + VCPU_MODE, load<u32>(cpu + VCPU_MODE) & ~MODE_INHIBIT);
  const flags = sysFlags(cpu);
  if ((flags & EFLAGS_RF) !== 0) setSysFlags(cpu, 0, EFLAGS_RF);
  let pending: u32 = 0;
  if ((flags & EFLAGS_TF) !== 0) pending = DR6_BS;
  if ((load<u32>(cpu + X86_DEBUGGER) & DEBUGGER_SINGLE) !== 0) pending |= STEP_DONE;
  if (pending !== 0) {
    store<u32>(cpu + X86_PENDING_DR6, load<u32>(cpu + X86_PENDING_DR6) | pending);
    request(cpu, INT_DEBUG);
  }
  return 0;
}

/** DR4 and DR5 are DR6 and DR7 unless CR4.DE; checks that MOV DR makes. Register number, or 8 after a fault. */
function debugRegister(cpu: usize, number: u32): u32 {
  if (notKernel(cpu)) return 8;
  if (number === 4 || number === 5) {
    if ((cr4(cpu) & CR4_DE) !== 0) {
      fault(cpu, UD, 0);
      return 8;
    }
    number += 2;
  }
  if (number > 7) fault(cpu, UD, 0);
  else if ((dr7(cpu) & DR7_GD) !== 0) {
    orDr6(cpu, DR6_BD);
    fault(cpu, DB, 0);
  }
  return faulted(cpu) ? 8 : number;
}
export function readDr(cpu: usize, _a: u64, _b: u64, imm: u32): u64 {
  const number = debugRegister(cpu, imm);
  return number === 8 ? 0 : dr(cpu, number);
}
export function writeDr(cpu: usize, a: u64, _b: u64, imm: u32): u64 {
  const number = debugRegister(cpu, imm);
  if (number === 8) return 0;
  if (number >= 6 && a >> 32 !== 0) return fault(cpu, GP, 0);
  let value = a;
  if (number === 6) value = (a & 0xe00f) | DR6_FIXED;
  else if (number === 7) value = (a & 0xffff23ff) | DR7_FIXED;
  store<u64>(cpu + X86_DR + (number << 3), value);
  // Watched pages must leave the TLB.
  if (number !== 6) tlbFlush(cpu);
  updateMode(cpu);
  return 0;
}
