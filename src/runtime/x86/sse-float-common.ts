/**
 * What all SSE floating-point helpers share. `imm` bits 0..7 of every helper:
 *
 *     bit 0 VEX: bits above the result are cleared, scalar results take the rest of bits 0..127 from `a`
 *     bit 1 256-bit operation
 *
 * Bits from 8 on are the helper's own.
 */
import { clearFlags, DE, floatFlags, IE, ZE } from '../float/control';
import { X86_MXCSR, X86_VTEMP } from '../generated/x86';
import { CR4_OSXMMEXCPT, cr4, fault, UD } from './cpu';

export const VEX: u32 = 1;
export const WIDE: u32 = 2;

const VECTOR_XM: u32 = 19;

/** Where results wait until it is known that no exception keeps them out (the last 64 bytes of vtemp). */
export function scratch(cpu: usize): usize {
  return cpu + X86_VTEMP + 7 * 64;
}

export function begin(cpu: usize): u32 {
  clearFlags();
  return load<u32>(cpu + X86_MXCSR);
}

/** Puts the exceptions raised since `begin` into MXCSR; false when one is unmasked and the instruction must not complete. */
export function commit(cpu: usize, ctl: u32): bool {
  let flags = floatFlags();
  if (flags === 0) return true;
  const unmasked = flags & ~(ctl >> 7);
  // An unmasked exception found before computing keeps the ones found by computing from being seen.
  if ((unmasked & (IE | DE | ZE)) !== 0) flags &= IE | DE | ZE;
  store<u32>(cpu + X86_MXCSR, ctl | flags);
  if (unmasked === 0) return true;
  fault(cpu, (cr4(cpu) & CR4_OSXMMEXCPT) !== 0 ? VECTOR_XM : UD, 0);
  return false;
}

/** Clears bits 128..511 of a register. */
export function clearUpper(d: usize): void {
  const zero = i64x2.splat(0);
  v128.store(d, zero, 16);
  v128.store(d, zero, 32);
  v128.store(d, zero, 48);
}
export function clearUpper256(d: usize): void {
  const zero = i64x2.splat(0);
  v128.store(d, zero, 32);
  v128.store(d, zero, 48);
}

/** Stores `bytes` (16 or 32) from scratch as a packed result. */
export function storePacked(cpu: usize, d: usize, imm: u32): void {
  const s = scratch(cpu);
  v128.store(d, v128.load(s));
  if ((imm & WIDE) !== 0) {
    v128.store(d, v128.load(s, 16), 16);
    clearUpper256(d);
  } else if ((imm & VEX) !== 0) clearUpper(d);
}

/** Bits 64..127 of a scalar double's destination, and above. */
export function finishScalar64(d: usize, a: usize, imm: u32): void {
  if ((imm & VEX) !== 0) {
    store<u64>(d, load<u64>(a, 8), 8);
    clearUpper(d);
  }
}
export function finishScalar32(d: usize, a: usize, imm: u32): void {
  if ((imm & VEX) !== 0) {
    store<u32>(d, load<u32>(a, 4), 4);
    store<u64>(d, load<u64>(a, 8), 8);
    clearUpper(d);
  }
}
