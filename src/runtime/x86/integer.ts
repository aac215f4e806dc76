/** Integer instructions that are not worth ops of their own (src/guest/x86/helpers/integer.ts says what each takes). */

import { probeRead } from '../core/memory';
import { VCPU_FLAG_OP, VCPU_FLAG_RES, VCPU_MMU_INDEX, VCPU_MODE } from '../generated/layout';
import {
  EFLAGS_AF,
  EFLAGS_CF,
  EFLAGS_OF,
  FLAG_LOGIC,
  MODE_PROTECTED,
  MODE_VM86,
  X86_CS_BASE,
  X86_ES_ATTR,
  X86_ES_BASE,
  X86_ES_LIMIT,
  X86_RAX,
  X86_RDX,
} from '../generated/x86';
import { conditionOfBits, lazyFlags, setLazyFlags } from './flags';
import { misalignedAccess } from './paging';
import { raise } from './system';

const VECTOR_DE: u32 = 0;
const VECTOR_SS: u32 = 12;
const VECTOR_GP: u32 = 13;
const HAS_CODE: u32 = 256;

/** Bytes from one segment's fields to the next one's. */
const SEGMENT_STRIDE: usize = X86_CS_BASE - X86_ES_BASE;
const ATTR_WRITABLE: u32 = 2; // data: may be written; code: may be read
const ATTR_DOWN: u32 = 4;
const ATTR_CODE: u32 = 8;
const ATTR_PRESENT: u32 = 0x80;
const ATTR_BIG: u32 = 0x4000;

export function checkSegment(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const seg = imm & 7;
  const fields = cpu + <usize>seg * SEGMENT_STRIDE;
  const limit = <u64>load<u32>(fields, X86_ES_LIMIT);
  const last = a + <u64>(imm >> 4) - 1;
  let good: bool;
  if ((load<u32>(cpu, VCPU_MODE) & (MODE_PROTECTED | MODE_VM86)) !== MODE_PROTECTED) good = last <= limit;
  else {
    const attr = load<u32>(fields, X86_ES_ATTR);
    const code = (attr & ATTR_CODE) !== 0;
    if ((attr & ATTR_PRESENT) === 0) good = false;
    else if ((imm & 8) !== 0 ? code || (attr & ATTR_WRITABLE) === 0 : code && (attr & ATTR_WRITABLE) === 0)
      good = false;
    else if (!code && (attr & ATTR_DOWN) !== 0) {
      good = a > limit && last <= ((attr & ATTR_BIG) !== 0 ? <u64>0xffffffff : <u64>0xffff);
    } else good = last <= limit;
  }
  if (!good) raise(cpu, 0, 0, (seg === 2 ? VECTOR_SS : VECTOR_GP) | HAS_CODE);
  return <u64>good;
}

export function misaligned(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  misalignedAccess(cpu, a, imm);
  return 0;
}
export function probeOperand(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  probeRead(cpu, a, imm, load<u32>(cpu + VCPU_MMU_INDEX));
  return 0;
}

// ---------------------------------------------------------------- division

function divideError(cpu: usize): u64 {
  raise(cpu, 0, 0, VECTOR_DE);
  return 0;
}

// Results of the 128-bit division. Globals are per thread.
let quotient: u64 = 0;
let remainder: u64 = 0;

/** high:low / d with high < d: shift and subtract. */
function divide128(high: u64, low: u64, d: u64): void {
  if (high === 0) {
    quotient = low / d;
    remainder = low % d;
    return;
  }
  let r = high;
  let q = low;
  for (let n = 0; n < 64; n++) {
    const carry = r >> 63;
    r = (r << 1) | (q >> 63);
    q <<= 1;
    if (carry !== 0 || r >= d) {
      r -= d;
      q |= 1;
    }
  }
  quotient = q;
  remainder = r;
}

export function divide(cpu: usize, d: u64, b: u64, size: u32): u64 {
  if (d === 0) return divideError(cpu);
  const rax = load<u64>(cpu, X86_RAX);
  const rdx = load<u64>(cpu, X86_RDX);
  switch (size) {
    case 8: {
      const n = rax & 0xffff;
      const q = n / d;
      if (q > 0xff) return divideError(cpu);
      store<u16>(cpu, <u16>(q | ((n % d) << 8)), X86_RAX);
      break;
    }
    case 16: {
      const n = ((rdx & 0xffff) << 16) | (rax & 0xffff);
      const q = n / d;
      if (q > 0xffff) return divideError(cpu);
      store<u16>(cpu, <u16>q, X86_RAX);
      store<u16>(cpu, <u16>(n % d), X86_RDX);
      break;
    }
    case 32: {
      const n = (rdx << 32) | (rax & 0xffffffff);
      const q = n / d;
      if (q > 0xffffffff) return divideError(cpu);
      store<u64>(cpu, q, X86_RAX);
      store<u64>(cpu, n % d, X86_RDX);
      break;
    }
    default: {
      if (rdx >= d) return divideError(cpu);
      divide128(rdx, rax, d);
      store<u64>(cpu, quotient, X86_RAX);
      store<u64>(cpu, remainder, X86_RDX);
    }
  }
  return 0;
}

export function divideSigned(cpu: usize, a: u64, b: u64, size: u32): u64 {
  if (a === 0) return divideError(cpu);
  const rax = load<u64>(cpu, X86_RAX);
  const rdx = load<u64>(cpu, X86_RDX);
  switch (size) {
    case 8: {
      const n = <i32>(<i16>rax);
      const d = <i32>(<i8>a);
      const q = n / d;
      if (q !== <i32>(<i8>q)) return divideError(cpu);
      store<u16>(cpu, <u16>((q & 0xff) | ((n % d) << 8)), X86_RAX);
      break;
    }
    case 16: {
      const n = <i64>(<i32>(((rdx & 0xffff) << 16) | (rax & 0xffff)));
      const d = <i64>(<i16>a);
      const q = n / d;
      if (q !== <i64>(<i16>q)) return divideError(cpu);
      store<u16>(cpu, <u16>q, X86_RAX);
      store<u16>(cpu, <u16>(n % d), X86_RDX);
      break;
    }
    case 32: {
      const n = <i64>((rdx << 32) | (rax & 0xffffffff));
      const d = <i64>(<i32>a);
      // The one quotient that does not even fit 64 bits would trap.
      if (d === -1 && n === i64.MIN_VALUE) return divideError(cpu);
      const q = n / d;
      if (q !== <i64>(<i32>q)) return divideError(cpu);
      store<u64>(cpu, q & 0xffffffff, X86_RAX);
      store<u64>(cpu, (n % d) & 0xffffffff, X86_RDX);
      break;
    }
    default: {
      const negative = <i64>rdx < 0;
      let high = rdx;
      let low = rax;
      if (negative) {
        low = 0 - low;
        high = ~high + <u64>(low === 0);
      }
      const d: u64 = <i64>a < 0 ? 0 - a : a;
      if (high >= d) return divideError(cpu);
      divide128(high, low, d);
      const opposite = negative !== <i64>a < 0;
      if (quotient > (opposite ? <u64>i64.MIN_VALUE : <u64>i64.MAX_VALUE)) return divideError(cpu);
      store<u64>(cpu, opposite ? 0 - quotient : quotient, X86_RAX);
      store<u64>(cpu, negative ? 0 - remainder : remainder, X86_RDX);
    }
  }
  return 0;
}

// ---------------------------------------------------------------- decimal

/** SF, ZF, PF of AL (as a logical operation sets them) with CF and AF as given. */
function decimalFlags(cpu: usize, al: u32, carry: bool, adjust: bool): void {
  store<u64>(cpu, <u64>(FLAG_LOGIC << 2), VCPU_FLAG_OP);
  store<u64>(cpu, <u64>al, VCPU_FLAG_RES);
  const f = lazyFlags(cpu) | (carry ? <u64>EFLAGS_CF : 0) | (adjust ? <u64>EFLAGS_AF : 0);
  setLazyFlags(cpu, f);
}

export function daa(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const f = lazyFlags(cpu);
  const old = <u32>load<u8>(cpu, X86_RAX);
  let al = old;
  const adjust = (al & 15) > 9 || (f & EFLAGS_AF) !== 0;
  if (adjust) al += 6;
  const carry = old > 0x99 || (f & EFLAGS_CF) !== 0;
  if (carry) al += 0x60;
  store<u8>(cpu, <u8>al, X86_RAX);
  decimalFlags(cpu, al & 0xff, carry, adjust);
  return 0;
}

export function das(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const f = lazyFlags(cpu);
  const old = <u32>load<u8>(cpu, X86_RAX);
  const hadCarry = (f & EFLAGS_CF) !== 0;
  let al = old;
  let carry = false;
  const adjust = (al & 15) > 9 || (f & EFLAGS_AF) !== 0;
  if (adjust) {
    carry = hadCarry || al < 6;
    al -= 6;
  }
  if (old > 0x99 || hadCarry) {
    al -= 0x60;
    carry = true;
  }
  store<u8>(cpu, <u8>al, X86_RAX);
  decimalFlags(cpu, al & 0xff, carry, adjust);
  return 0;
}

function asciiAdjust(cpu: usize, step: u32): u64 {
  const ax = <u32>load<u16>(cpu, X86_RAX);
  const adjust = (ax & 15) > 9 || (lazyFlags(cpu) & EFLAGS_AF) !== 0;
  const r = (adjust ? ax + step : ax) & 0xff0f;
  store<u16>(cpu, <u16>r, X86_RAX);
  decimalFlags(cpu, r & 0xff, adjust, adjust);
  return 0;
}

export function aaa(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return asciiAdjust(cpu, 0x106);
}

export function aas(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return asciiAdjust(cpu, <u32>-0x106);
}

export function aam(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const al = <u32>load<u8>(cpu, X86_RAX);
  const r = al % imm;
  store<u16>(cpu, <u16>(((al / imm) << 8) | r), X86_RAX);
  decimalFlags(cpu, r, false, false);
  return 0;
}

export function aad(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const ax = <u32>load<u16>(cpu, X86_RAX);
  const r = ((ax & 0xff) + (ax >> 8) * imm) & 0xff;
  store<u16>(cpu, <u16>r, X86_RAX);
  decimalFlags(cpu, r, false, false);
  return 0;
}

// ---------------------------------------------------------------- rotates

export function rotateFlags(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const top = <u64>((imm & 0x7f) - 1);
  const high = (b >> top) & 1;
  const cf = (imm & 256) !== 0 ? high : b & 1;
  const ovf = high ^ ((imm & 256) !== 0 ? (b >> (top - 1)) & 1 : cf);
  return (a & ~(<u64>(EFLAGS_CF | EFLAGS_OF))) | cf | (ovf << 11);
}

export function rotateThroughCarry(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const size = imm & 0x7f;
  const masked = <u32>b & (size === 64 ? 63 : 31);
  const count = size >= 32 ? masked : masked % (size + 1);
  if (count === 0) return size === 64 ? a : a & (<u64>-1 >> <u64>(64 - size));
  const flags = lazyFlags(cpu);
  const top = <u64>(size - 1);
  let cf = conditionOfBits(flags, 2);
  let r = size === 64 ? a : a & (<u64>-1 >> <u64>(64 - size));
  const right = (imm & 256) !== 0;
  for (let n: u32 = 0; n < count; n++) {
    if (right) {
      const out = r & 1;
      r = (r >> 1) | (cf << top);
      cf = out;
    } else {
      const out = (r >> top) & 1;
      r = (r << 1) | cf;
      if (size !== 64) r &= <u64>-1 >> <u64>(64 - size);
      cf = out;
    }
  }
  const ovf = ((r >> top) & 1) ^ (right ? (r >> (top - 1)) & 1 : cf);
  setLazyFlags(cpu, (flags & ~(<u64>(EFLAGS_CF | EFLAGS_OF))) | cf | (ovf << 11));
  return r;
}

// ---------------------------------------------------------------- BMI

export function bextr(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const start = b & 0xff;
  const length = (b >> 8) & 0xff;
  const r = start > 63 ? 0 : a >> start;
  return length > 63 ? r : r & (((<u64>1) << length) - 1);
}

export function pdep(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  let r: u64 = 0;
  for (let mask = b; mask !== 0; mask &= mask - 1) {
    if ((a & 1) !== 0) r |= mask & (0 - mask);
    a >>= 1;
  }
  return r;
}

export function pext(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  let r: u64 = 0;
  let bit: u64 = 1;
  for (let mask = b; mask !== 0; mask &= mask - 1) {
    if ((a & mask & (0 - mask)) !== 0) r |= bit;
    bit <<= 1;
  }
  return r;
}
