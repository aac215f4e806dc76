/**
 * The x87 registers, stack and exceptions as its instructions see them.
 *
 * A pending unmasked exception (ES) is delivered by the next waiting instruction: each begins with `ready`. `imm` of every
 * instruction helper: bits 0..2 ST(i), bits 3..11 the helper's own, bits 12..14 segment of a memory operand, bits 16..26
 * the opcode for FOP.
 */
// hot path

import { fpuError } from '../core/env';
import { clearFlags, DE, floatFlags, IE, PE, resultSe, roundedUp, ZE } from '../float/control';
import {
  X86_CS_SELECTOR,
  X86_ES_SELECTOR,
  X86_FCS,
  X86_FCW,
  X86_FDS,
  X86_FOP,
  X86_FP_TAGS,
  X86_FP_TOP,
  X86_FPR,
  X86_FSW,
} from '../generated/x86';
import { CR0_NE, cr0, fault } from './cpu';

// Status word.
export const SF: u32 = 0x40;
export const ES: u32 = 0x80;
export const C0: u32 = 0x100;
export const C1: u32 = 0x200;
export const C2: u32 = 0x400;
export const C3: u32 = 0x4000;
export const B: u32 = 0x8000;

const VECTOR_MF: u32 = 16;
const SEGMENT_BYTES: usize = X86_CS_SELECTOR - X86_ES_SELECTOR;

export const INDEFINITE_SE: u32 = 0xffff;
export const INDEFINITE_M: u64 = 0xc000000000000000;

/** An unmasked exception is pending: #MF, or FERR# and going on where CR0.NE is clear. */
function pendingError(cpu: usize): bool {
  if ((cr0(cpu) & CR0_NE) !== 0) {
    fault(cpu, VECTOR_MF, 0);
    return false;
  }
  fpuError(1);
  return true;
}
/** Waits for pending exceptions; false when there is one. For control instructions. */
export function waited(cpu: usize): bool {
  return (load<u32>(cpu + X86_FSW) & ES) === 0 || pendingError(cpu);
}
/** Records the opcode and code segment of a non-control instruction. */
export function noteOpcode(cpu: usize, imm: u32): void {
  store<u32>(cpu + X86_FOP, imm >> 16);
  store<u32>(cpu + X86_FCS, load<u32>(cpu + X86_CS_SELECTOR));
}
/** Records the segment of its memory operand. */
export function noteSegment(cpu: usize, imm: u32): void {
  store<u32>(cpu + X86_FDS, load<u32>(cpu + X86_ES_SELECTOR + SEGMENT_BYTES * ((imm >> 12) & 7)));
}
/** Begins a non-control instruction. */
export function ready(cpu: usize, imm: u32): bool {
  if (!waited(cpu)) return false;
  noteOpcode(cpu, imm);
  clearFlags();
  return true;
}
/** The same for one with a memory operand. */
export function readyMemory(cpu: usize, imm: u32): bool {
  if (!ready(cpu, imm)) return false;
  noteSegment(cpu, imm);
  return true;
}

/** Rounding, precision and masks in the form of float/control.ts. */
export function control(cpu: usize): u32 {
  const fcw = load<u32>(cpu + X86_FCW);
  // PC = 1 is reserved; processors take it for 3.
  return ((fcw & 0xc00) << 3) | (((fcw & 0x300) | ((fcw & 0x100) << 1)) << 8) | ((fcw & 0x3f) << 7);
}
/** The same with 64-bit precision whatever PC says. */
export function controlFull(cpu: usize): u32 {
  return control(cpu) | 0x30000;
}

/** Number of the physical register that is ST(i). */
export function physical(cpu: usize, i: u32): u32 {
  return (load<u32>(cpu + X86_FP_TOP) + i) & 7;
}
export function registerAt(cpu: usize, number: u32): usize {
  return cpu + X86_FPR + (number << 4);
}
export function isEmpty(cpu: usize, number: u32): bool {
  return ((load<u32>(cpu + X86_FP_TAGS) >> number) & 1) !== 0;
}
export function significand(r: usize): u64 {
  return load<u64>(r);
}
export function signExponent(r: usize): u32 {
  return load<u16>(r, 8);
}
export function put(cpu: usize, number: u32, s: u32, m: u64): void {
  const r = registerAt(cpu, number);
  store<u64>(r, m);
  store<u16>(r, <u16>s, 8);
  store<u32>(cpu + X86_FP_TAGS, load<u32>(cpu + X86_FP_TAGS) & ~(1 << number));
}
export function pop(cpu: usize): void {
  const top = load<u32>(cpu + X86_FP_TOP);
  store<u32>(cpu + X86_FP_TAGS, load<u32>(cpu + X86_FP_TAGS) | (1 << top));
  store<u32>(cpu + X86_FP_TOP, (top + 1) & 7);
}

/** Sets condition codes. */
export function setCodes(cpu: usize, codes: u32): void {
  store<u32>(cpu + X86_FSW, (load<u32>(cpu + X86_FSW) & ~(C0 | C1 | C2 | C3)) | codes);
}
export function setC1(cpu: usize, on: bool): void {
  const fsw = load<u32>(cpu + X86_FSW);
  store<u32>(cpu + X86_FSW, on ? fsw | C1 : fsw & ~C1);
}

/**
 * Puts the exceptions raised into the status word, with C1. Returns those that are unmasked; IE, DE and ZE among them
 * mean that the operation has not taken place.
 */
export function commit(cpu: usize): u32 {
  let flags = floatFlags();
  const fsw = load<u32>(cpu + X86_FSW) & ~C1;
  if (flags === 0) {
    store<u32>(cpu + X86_FSW, fsw);
    return 0;
  }
  const fcw = load<u32>(cpu + X86_FCW);
  const unmasked = flags & ~fcw & 0x3f;
  if ((unmasked & (IE | DE | ZE)) !== 0) flags &= IE | DE | ZE;
  const c1 = (flags & PE) !== 0 && roundedUp() !== 0 ? C1 : 0;
  store<u32>(cpu + X86_FSW, fsw | flags | c1 | (unmasked !== 0 ? ES | B : 0));
  return unmasked;
}
/** Commits and, unless an unmasked exception forbids it, writes the result (resultSe, m) to a register. */
export function deliver(cpu: usize, number: u32, m: u64): bool {
  const s = resultSe();
  const unmasked = commit(cpu);
  if ((unmasked & (IE | DE | ZE)) !== 0) return false;
  put(cpu, number, s, m);
  return true;
}
/** Stack fault: IE and SF, C1 telling overflow; true when IE is masked, so that the default response follows. */
export function stackFault(cpu: usize, over: bool): bool {
  const masked = (load<u32>(cpu + X86_FCW) & IE) !== 0;
  const fsw = load<u32>(cpu + X86_FSW) & ~C1;
  store<u32>(cpu + X86_FSW, fsw | SF | IE | (over ? C1 : 0) | (masked ? 0 : ES | B));
  return masked;
}
/** Stack underflow whose masked response is the indefinite in a register; false when unmasked. */
export function underflow(cpu: usize, number: u32): bool {
  if (!stackFault(cpu, false)) return false;
  put(cpu, number, INDEFINITE_SE, INDEFINITE_M);
  return true;
}
/** Pushes; stack overflow is handled. C1 is cleared. */
export function push(cpu: usize, s: u32, m: u64): void {
  const number = physical(cpu, 7);
  if (!isEmpty(cpu, number)) {
    if (!stackFault(cpu, true)) return;
    s = INDEFINITE_SE;
    m = INDEFINITE_M;
  } else store<u32>(cpu + X86_FSW, load<u32>(cpu + X86_FSW) & ~C1);
  store<u32>(cpu + X86_FP_TOP, number);
  put(cpu, number, s, m);
}

/** ES and B follow from the flags and the masks. */
export function updateSummary(cpu: usize): void {
  const fsw = load<u32>(cpu + X86_FSW) & ~(ES | B);
  const pending = (fsw & ~load<u32>(cpu + X86_FCW) & 0x3f) !== 0;
  if (!pending && (load<u32>(cpu + X86_FSW) & ES) !== 0 && (cr0(cpu) & CR0_NE) === 0) fpuError(0);
  store<u32>(cpu + X86_FSW, pending ? fsw | ES | B : fsw);
}
export function statusWord(cpu: usize): u32 {
  return load<u32>(cpu + X86_FSW) | (load<u32>(cpu + X86_FP_TOP) << 11);
}
export function setStatusWord(cpu: usize, value: u32): void {
  store<u32>(cpu + X86_FP_TOP, (value >> 11) & 7);
  store<u32>(cpu + X86_FSW, value & 0xc7ff);
  updateSummary(cpu);
}
/** Bits 6 reads as one, 7 and 13..15 as zero. */
export function setControlWord(cpu: usize, value: u32): void {
  store<u32>(cpu + X86_FCW, (value & 0x1f3f) | 0x40);
  updateSummary(cpu);
}
/** The tag word in full: 0 valid, 1 zero, 2 special, 3 empty, two bits a register. */
export function tagWord(cpu: usize): u32 {
  let word: u32 = 0;
  for (let n: u32 = 0; n < 8; n++) {
    const r = registerAt(cpu, n);
    const e = signExponent(r) & 0x7fff;
    const m = significand(r);
    const tag: u32 = isEmpty(cpu, n) ? 3 : e === 0 && m === 0 ? 1 : e === 0 || e === 0x7fff || i64(m) >= 0 ? 2 : 0;
    word |= tag << (n * 2);
  }
  return word;
}
export function setTagWord(cpu: usize, word: u32): void {
  let tags: u32 = 0;
  for (let n: u32 = 0; n < 8; n++) if (((word >> (n * 2)) & 3) === 3) tags |= 1 << n;
  store<u32>(cpu + X86_FP_TAGS, tags);
}
