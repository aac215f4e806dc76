/**
 * The condition codes of x86: lazy form to bits and back. `src/guest/x86/flags.ts` says what the flag slots mean.
 */
import { VCPU_FLAG_OP, VCPU_FLAG_RES, VCPU_FLAG_SRC, VCPU_FLAG_SRC2 } from '../generated/layout';
import {
  EFLAGS_AF,
  EFLAGS_ARITHMETIC,
  EFLAGS_CF,
  EFLAGS_DF,
  EFLAGS_OF,
  EFLAGS_PF,
  EFLAGS_SF,
  EFLAGS_ZF,
  FLAG_ADC,
  FLAG_ADD,
  FLAG_CARRY,
  FLAG_DEC,
  FLAG_EXPLICIT,
  FLAG_IMUL,
  FLAG_INC,
  FLAG_LOGIC,
  FLAG_MUL,
  FLAG_POPCNT,
  FLAG_SBB,
  FLAG_SHL,
  FLAG_SHR,
  FLAG_SUB,
  X86_DF,
  X86_EFLAGS,
} from '../generated/x86';

/** High half of the signed 128-bit product. */
function mulHighSigned(x: i64, y: i64): i64 {
  const xl = <u64>x & 0xffffffff;
  const yl = <u64>y & 0xffffffff;
  const xh = x >> 32;
  const yh = y >> 32;
  const mid = xh * <i64>yl + <i64>((xl * yl) >> 32);
  const mid2 = <i64>xl * yh + (mid & 0xffffffff);
  return xh * yh + (mid >> 32) + (mid2 >> 32);
}

/** The lazy flags as EFLAGS bits. */
export function flagBits(op: u64, res: u64, src: u64, src2: u64): u64 {
  const kind = <u32>op >> 2;
  if (kind === FLAG_EXPLICIT) return res & EFLAGS_ARITHMETIC;
  const width: u64 = 8 << (op & 3);
  const mask: u64 = <u64>-1 >> (64 - width);
  const top = width - 1;
  const r = res & mask;
  const s = src & mask;
  const zf: u64 = r === 0 ? EFLAGS_ZF : 0;
  if (kind === FLAG_POPCNT) return zf;
  let f = zf | (((r >> top) & 1) << 7) | ((popcnt<u32>(<u32>r & 0xff) & 1) === 0 ? <u64>EFLAGS_PF : 0);
  switch (kind) {
    case FLAG_ADD: {
      const b = r - s;
      f |= <u64>(r < s) | ((s ^ b ^ r) & EFLAGS_AF) | (((((s ^ r) & (b ^ r)) >> top) & 1) << 11);
      break;
    }
    case FLAG_ADC: {
      const b = r - s - src2;
      f |= <u64>(src2 !== 0 ? r <= s : r < s) | ((s ^ b ^ r) & EFLAGS_AF) | (((((s ^ r) & (b ^ r)) >> top) & 1) << 11);
      break;
    }
    case FLAG_SUB: {
      const b = s - r;
      f |= <u64>(r > s) | ((s ^ b ^ r) & EFLAGS_AF) | (((((s ^ b) & (s ^ r)) >> top) & 1) << 11);
      break;
    }
    case FLAG_SBB: {
      const b = s - r - src2;
      f |= <u64>(src2 !== 0 ? r >= s : r > s) | ((s ^ b ^ r) & EFLAGS_AF) | (((((s ^ b) & (s ^ r)) >> top) & 1) << 11);
      break;
    }
    case FLAG_LOGIC:
      break;
    case FLAG_INC:
      f |= src & 1;
      if ((r & 15) === 0) f |= EFLAGS_AF;
      if (r === (<u64>1) << top) f |= EFLAGS_OF;
      break;
    case FLAG_DEC:
      f |= src & 1;
      if ((r & 15) === 15) f |= EFLAGS_AF;
      if (r === mask >> 1) f |= EFLAGS_OF;
      break;
    case FLAG_SHL:
      f |= ((s >> top) & 1) | ((((s ^ r) >> top) & 1) << 11);
      break;
    case FLAG_SHR:
      f |= (s & 1) | ((((s ^ r) >> top) & 1) << 11);
      break;
    case FLAG_MUL:
      if (src !== 0) f |= EFLAGS_CF | EFLAGS_OF;
      break;
    case FLAG_CARRY:
      f |= src & 1;
      break;
    case FLAG_IMUL: {
      const up = 64 - width;
      const x = <i64>(src << up) >> up;
      const y = <i64>(src2 << up) >> up;
      const fits = width < 64 ? x * y === <i64>((x * y) << up) >> up : mulHighSigned(x, y) === (x * y) >> 63;
      if (!fits) f |= EFLAGS_CF | EFLAGS_OF;
      break;
    }
  }
  return f;
}

/** Is condition `cc` (0..15 as encoded in Jcc) true of these flag bits? */
export function conditionOfBits(f: u64, cc: u32): u64 {
  let r: bool;
  switch (cc >> 1) {
    case 0:
      r = (f & EFLAGS_OF) !== 0;
      break;
    case 1:
      r = (f & EFLAGS_CF) !== 0;
      break;
    case 2:
      r = (f & EFLAGS_ZF) !== 0;
      break;
    case 3:
      r = (f & (EFLAGS_CF | EFLAGS_ZF)) !== 0;
      break;
    case 4:
      r = (f & EFLAGS_SF) !== 0;
      break;
    case 5:
      r = (f & EFLAGS_PF) !== 0;
      break;
    case 6:
      r = (((f >> 7) ^ (f >> 11)) & 1) !== 0;
      break;
    default:
      r = (((f >> 7) ^ (f >> 11)) & 1) !== 0 || (f & EFLAGS_ZF) !== 0;
      break;
  }
  return <u64>r ^ (cc & 1);
}

/** The `cond` op: condition `cc` (0..15) as 0 or 1, or, for 16 and above, all lazy flags as EFLAGS bits. */
export function flagCondition(op: u64, res: u64, src: u64, src2: u64, cc: u32): u64 {
  const kind = <u32>op >> 2;
  if (cc < 16) {
    // The two that blocks begin with most: equality after anything, and orderings after a compare.
    const up: u64 = 64 - (8 << (op & 3));
    if (cc >> 1 === 2 && kind !== FLAG_EXPLICIT) return <u64>(res << up === 0) ^ (cc & 1);
    if (kind === FLAG_SUB) {
      const a = src << up;
      const b = (src - res) << up;
      switch (cc >> 1) {
        case 1:
          return <u64>(a < b) ^ (cc & 1);
        case 3:
          return <u64>(a <= b) ^ (cc & 1);
        case 6:
          return <u64>(<i64>a < <i64>b) ^ (cc & 1);
        case 7:
          return <u64>(<i64>a <= <i64>b) ^ (cc & 1);
      }
    }
    // The carry that INC and DEC keep.
    if (cc >> 1 === 1) {
      if (kind === FLAG_INC || kind === FLAG_DEC || kind === FLAG_CARRY) return (src & 1) ^ (cc & 1);
      if (kind === FLAG_ADD) return <u64>(res << up < src << up) ^ (cc & 1);
      if (kind === FLAG_LOGIC) return cc & 1;
    }
    return conditionOfBits(flagBits(op, res, src, src2), cc);
  }
  return flagBits(op, res, src, src2);
}

/** Lazy flags of the vCPU as EFLAGS bits. */
export function lazyFlags(cpu: usize): u64 {
  return flagBits(
    load<u64>(cpu, VCPU_FLAG_OP),
    load<u64>(cpu, VCPU_FLAG_RES),
    load<u64>(cpu, VCPU_FLAG_SRC),
    load<u64>(cpu, VCPU_FLAG_SRC2),
  );
}

/** Condition `cc` (0..15) of the vCPU: 0 or 1. */
export function condition(cpu: usize, cc: u32): u64 {
  return flagCondition(
    load<u64>(cpu, VCPU_FLAG_OP),
    load<u64>(cpu, VCPU_FLAG_RES),
    load<u64>(cpu, VCPU_FLAG_SRC),
    load<u64>(cpu, VCPU_FLAG_SRC2),
    cc,
  );
}

/** Makes the arithmetic flags explicit with these EFLAGS bits. */
export function setLazyFlags(cpu: usize, bits: u64): void {
  store<u64>(cpu, FLAG_EXPLICIT, VCPU_FLAG_OP);
  store<u64>(cpu, bits & EFLAGS_ARITHMETIC, VCPU_FLAG_RES);
}

/** The whole architectural RFLAGS. */
export function readEflags(cpu: usize): u64 {
  const df: u64 = <i64>load<u64>(cpu, X86_DF) < 0 ? EFLAGS_DF : 0;
  return load<u64>(cpu, X86_EFLAGS) | lazyFlags(cpu) | df | 2;
}

/**
 * Replaces the RFLAGS bits in `mask` by those of `value`. Does not look at privileges, and does not recompute the mode
 * bits: who changes TF, IOPL, VM or AC calls `updateMode` (system.ts).
 */
export function writeEflags(cpu: usize, value: u64, mask: u64): void {
  if ((mask & EFLAGS_ARITHMETIC) !== 0) setLazyFlags(cpu, (lazyFlags(cpu) & ~mask) | (value & mask));
  if ((mask & EFLAGS_DF) !== 0) store<u64>(cpu, (value & EFLAGS_DF) !== 0 ? <u64>-1 : 1, X86_DF);
  const kept = mask & ~(<u64>(EFLAGS_ARITHMETIC | EFLAGS_DF));
  store<u64>(cpu, (load<u64>(cpu, X86_EFLAGS) & ~kept) | (value & kept) | 2, X86_EFLAGS);
}
