/**
 * The stack that a control transfer is working on: opened, pushed to or popped from, and committed to RSP only when nothing
 * can fault any more. One at a time for each thread.
 */
import { ldU16, ldU32, ldU64, stU16, stU32, stU64 } from '../core/memory';
import { SEG_SS } from '../generated/x86';
import { ATTR_DB, ATTR_DOWN, dataMmu, fault, faulted, is64, reg, SS, segAttr, segBase, segLimit, setReg } from './cpu';

const RSP: u32 = 4;

let base: u64 = 0;
let mask: u64 = 0;
let limit: u32 = 0;
let attr: u32 = 0;
let mmu: u32 = 0;
let long: bool = false;
let errorCode: u32 = 0; // of the #SS for an access outside the segment
export let stackPointer: u64 = 0;

/** The current stack, accessed with the current privilege. */
export function openStack(cpu: usize): void {
  long = is64(cpu);
  base = long ? 0 : segBase(cpu, SEG_SS);
  limit = segLimit(cpu, SEG_SS);
  attr = segAttr(cpu, SEG_SS);
  mask = long ? <u64>-1 : (attr & ATTR_DB) !== 0 ? 0xffffffff : 0xffff;
  mmu = dataMmu(cpu);
  stackPointer = reg(cpu, RSP);
  errorCode = 0;
}
/** Another stack: segment base, limit and attributes, pointer, MMU index, and the error code of its #SS. */
export function openOther(newBase: u64, newLimit: u32, newAttr: u32, sp: u64, newMmu: u32, code: u32): void {
  long = false;
  base = newBase;
  limit = newLimit;
  attr = newAttr;
  mask = (attr & ATTR_DB) !== 0 ? 0xffffffff : 0xffff;
  mmu = newMmu;
  stackPointer = sp;
  errorCode = code;
}
/** A flat 64-bit stack. */
export function openLong(sp: u64, newMmu: u32): void {
  long = true;
  base = 0;
  mask = <u64>-1;
  mmu = newMmu;
  stackPointer = sp;
  errorCode = 0;
}

function at(cpu: usize, offset: u64, size: u32): u64 {
  if (long) return offset;
  const last = offset + size - 1;
  const ok =
    (attr & ATTR_DOWN) !== 0
      ? offset > limit && last <= ((attr & ATTR_DB) !== 0 ? 0xffffffff : 0xffff)
      : last <= limit && last <= mask;
  if (!ok) fault(cpu, SS, errorCode);
  return (base + offset) & 0xffffffff;
}

/** Pushes 2, 4 or 8 bytes. */
export function push(cpu: usize, size: u32, value: u64): void {
  if (faulted(cpu)) return;
  const offset = (stackPointer - size) & mask;
  const linear = at(cpu, offset, size);
  if (faulted(cpu)) return;
  if (size === 8) stU64(cpu, linear, value, mmu);
  else if (size === 4) stU32(cpu, linear, value, mmu);
  else stU16(cpu, linear, value, mmu);
  stackPointer = (stackPointer & ~mask) | offset;
}
/** Pops 2, 4 or 8 bytes; 0 after a fault. */
export function pop(cpu: usize, size: u32): u64 {
  if (faulted(cpu)) return 0;
  const offset = stackPointer & mask;
  const linear = at(cpu, offset, size);
  if (faulted(cpu)) return 0;
  stackPointer = (stackPointer & ~mask) | ((offset + size) & mask);
  if (size === 8) return ldU64(cpu, linear, mmu);
  if (size === 4) return ldU32(cpu, linear, mmu);
  return ldU16(cpu, linear, mmu);
}
/** Reads a parameter `bytes` above the pointer without popping. */
export function peek(cpu: usize, bytes: u32, size: u32): u64 {
  const linear = at(cpu, (stackPointer + bytes) & mask, size);
  if (faulted(cpu)) return 0;
  return size === 4 ? ldU32(cpu, linear, mmu) : ldU16(cpu, linear, mmu);
}
export function drop(bytes: u64): void {
  stackPointer = (stackPointer & ~mask) | ((stackPointer + bytes) & mask);
}

/** Makes the pointer RSP: only as many bits as the stack's width has. */
export function commitStack(cpu: usize): void {
  setPointer(cpu, stackPointer, mask);
}
/** RSP = `value` in the bits of `width`; 32-bit writes clear the upper half. */
export function setPointer(cpu: usize, value: u64, width: u64): void {
  if (width === 0xffff) setReg(cpu, RSP, (reg(cpu, RSP) & ~(<u64>0xffff)) | (value & 0xffff));
  else setReg(cpu, RSP, value & width);
}
