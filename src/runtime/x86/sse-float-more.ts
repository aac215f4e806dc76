/** SSE floating point beyond plain arithmetic: fused multiply-add, horizontal forms, dot products, reciprocal estimates. */
import { clearFlags, F32, F64, PE, raise } from '../float/control';
import { add, fma, mul, subtract } from '../float/packed';
import { reciprocalEstimate, rootEstimate } from '../float/reciprocal';
import { X86_MXCSR } from '../generated/x86';
import { isIntel } from './cpu';
import { begin, commit, finishScalar32, finishScalar64, scratch, storePacked, WIDE } from './sse-float-common';

// ---------------------------------------------------------------- fused multiply-add

/**
 * d = product +- addend: d is the first operand, a the second, b the third. imm bits 8..9: which operands are multiplied, 0:
 * 132 (d * b + a), 1: 213 (a * d + b), 2: 231 (a * b + d); bit 10 negates the product; bits 11..12: 0 adds, 1 subtracts, 2
 * subtracts in even lanes (ADDSUB), 3 in odd lanes (SUBADD).
 */
function negatesAddend(imm: u32, lane: u32): bool {
  const kind = (imm >> 11) & 3;
  return kind === 1 || (kind === 2 && (lane & 1) === 0) || (kind === 3 && (lane & 1) !== 0);
}
function fused(fmt: u32, x: u64, y: u64, z: u64, lane: u32, imm: u32, ctl: u32): u64 {
  const form = (imm >> 8) & 3;
  const negate = (imm & 0x400) !== 0;
  const minus = negatesAddend(imm, lane);
  if (form === 0) return fma(fmt, x, z, y, negate, minus, ctl);
  if (form === 1) return fma(fmt, y, x, z, negate, minus, ctl);
  return fma(fmt, y, z, x, negate, minus, ctl);
}

/** MXCSR: rounding and the precision mask; the value that allows the fast paths. */
const FAST_MASK: u32 = 0x7000;
const FAST: u32 = 0x1000;
const INTEGER_BIT: u64 = 0x8000000000000000;
const SIGN: u64 = 0x8000000000000000;

/** What a fast path raised: PE or nothing. */
let inexact: u32 = 0;

/** x * y + z for normal numbers with a normal result above the smallest, rounded to nearest; 0 for all others. */
function fusedFast64(x: u64, y: u64, z: u64): u64 {
  const ex = u32(x >> 52) & 0x7ff;
  const ey = u32(y >> 52) & 0x7ff;
  const ez = u32(z >> 52) & 0x7ff;
  if (ex - 1 > 0x7fd || ey - 1 > 0x7fd || ez - 1 > 0x7fd) return 0;
  let e = i32(ex + ey) - 1023;
  // The product of two 53-bit significands, aligned to bit 127: the middle words cannot overflow.
  const mx = (x << 11) | INTEGER_BIT;
  const my = (y << 11) | INTEGER_BIT;
  const xl = mx & 0xffffffff;
  const xh = mx >> 32;
  const yl = my & 0xffffffff;
  const yh = my >> 32;
  const ll = xl * yl;
  const middle = (ll >> 32) + xl * yh;
  const rest = (middle & 0xffffffff) + xh * yl;
  let hi = xh * yh + (middle >> 32) + (rest >> 32);
  let lo = (rest << 32) | (ll & 0xffffffff);
  if (i64(hi) < 0) e++;
  else {
    hi = (hi << 1) | (lo >> 63);
    lo <<= 1;
  }
  let sign = (x ^ y) & SIGN;
  let bh = (z << 11) | INTEGER_BIT;
  let bl: u64 = 0;
  const minus = sign !== (z & SIGN);
  let d = e - i32(ez);
  if (d < 0 || (d === 0 && hi < bh)) {
    const h = hi;
    hi = bh;
    bh = h;
    bl = lo;
    lo = 0;
    e = i32(ez);
    d = 0 - d;
    sign = z & SIGN;
  }
  // The smaller one to the right, what is lost jammed into the last bit.
  if (d >= 64) {
    if (d >= 128) {
      bl = 1;
      bh = 0;
    } else {
      const lost = d === 64 ? bl : (bh << u64(128 - d)) | bl;
      bl = (bh >> u64(d - 64)) | u64(lost !== 0);
      bh = 0;
    }
  } else if (d !== 0) {
    const lost = bl << u64(64 - d);
    bl = (bh << u64(64 - d)) | (bl >> u64(d)) | u64(lost !== 0);
    bh >>= u64(d);
  }
  if (minus) {
    const borrow = u64(lo < bl);
    lo -= bl;
    hi = hi - bh - borrow;
    if (i64(hi) >= 0) {
      if (hi === 0) return 0;
      const shift = clz(hi);
      hi = (hi << shift) | (lo >> (64 - shift));
      lo <<= shift;
      e -= i32(shift);
    }
  } else {
    lo += bl;
    const carry = u64(lo < bl);
    const sum = hi + bh + carry;
    if (sum < hi || (carry !== 0 && sum === hi)) {
      lo = u64((lo | (sum & 1)) !== 0);
      hi = (sum >> 1) | INTEGER_BIT;
      e++;
    } else hi = sum;
  }
  if (e < 2 || e > 2045) return 0;
  const cut = hi & 0x7ff;
  let m = hi >> 11;
  inexact = 0;
  if ((cut | lo) !== 0) {
    inexact = PE;
    if (cut > 0x400 || (cut === 0x400 && (lo !== 0 || (m & 1) !== 0))) m++;
  }
  // The integer bit adds one to the exponent, and so does a carry.
  return sign | ((u64(e - 1) << 52) + m);
}

const MIN32: f32 = 1.1754943508222875e-38;
const MAX32: f32 = 3.4028234663852886e38;
/** Rounds x * y + z of normal floats once: in f64 the product is exact, and the sum is made odd when it is not. */
function fusedFast32(x: f32, y: f32, z: f32): f32 {
  const p = f64(x) * f64(y);
  const c = f64(z);
  const s = p + c;
  const t = s - p;
  const error = p - (s - t) + (c - t);
  inexact = 0;
  if (error === 0) {
    const r = f32(s);
    if (f64(r) !== s) inexact = PE;
    return r;
  }
  inexact = PE;
  let bits = reinterpret<u64>(s);
  // One unit towards the error makes the even one odd.
  if ((bits & 1) === 0) bits += error > 0 === i64(bits) >= 0 ? 1 : -1;
  return f32(reinterpret<f64>(bits));
}
function isNormal32(x: f32): bool {
  return abs(x) >= MIN32 && abs(x) <= MAX32;
}

/** The operands by form: x, y, z of x * y + z. */
function operand64(d: usize, a: usize, b: usize, form: u32, which: u32): u64 {
  if (which === 0) return load<u64>(form === 0 ? d : a);
  if (which === 1) return load<u64>(form === 1 ? d : b);
  return load<u64>(form === 0 ? a : form === 1 ? b : d);
}
function fastLane64(d: usize, a: usize, b: usize, lane: u32, imm: u32): u64 {
  const form = (imm >> 8) & 3;
  const x = operand64(d, a, b, form, 0) ^ ((imm & 0x400) !== 0 ? SIGN : 0);
  const z = operand64(d, a, b, form, 2) ^ (negatesAddend(imm, lane) ? SIGN : 0);
  return fusedFast64(x, operand64(d, a, b, form, 1), z);
}
function fastLane32(d: usize, a: usize, b: usize, lane: u32, imm: u32): f32 {
  const form = (imm >> 8) & 3;
  let x = load<f32>(form === 0 ? d : a);
  const y = load<f32>(form === 1 ? d : b);
  let z = load<f32>(form === 0 ? a : form === 1 ? b : d);
  if (!isNormal32(x) || !isNormal32(y) || !isNormal32(z)) return 0;
  if ((imm & 0x400) !== 0) x = -x;
  if (negatesAddend(imm, lane)) z = -z;
  const r = fusedFast32(x, y, z);
  return abs(r) > MIN32 && abs(r) <= MAX32 ? r : 0;
}

export function fmasd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const mxcsr = load<u32>(cpu + X86_MXCSR);
  if ((mxcsr & FAST_MASK) === FAST) {
    const fast = fastLane64(d, a, b, 0, imm);
    if (fast !== 0) {
      store<u32>(cpu + X86_MXCSR, mxcsr | inexact);
      store<u64>(d, fast);
      finishScalar64(d, d, imm);
      return;
    }
  }
  const ctl = begin(cpu);
  const r = fused(F64, load<u64>(d), load<u64>(a), load<u64>(b), 0, imm, ctl);
  if (!commit(cpu, ctl)) return;
  store<u64>(d, r);
  finishScalar64(d, d, imm);
}
export function fmass(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const mxcsr = load<u32>(cpu + X86_MXCSR);
  if ((mxcsr & FAST_MASK) === FAST) {
    const fast = fastLane32(d, a, b, 0, imm);
    if (fast !== 0) {
      store<u32>(cpu + X86_MXCSR, mxcsr | inexact);
      store<f32>(d, fast);
      finishScalar32(d, d, imm);
      return;
    }
  }
  const ctl = begin(cpu);
  const r = fused(F32, load<u32>(d), load<u32>(a), load<u32>(b), 0, imm, ctl);
  if (!commit(cpu, ctl)) return;
  store<u32>(d, u32(r));
  finishScalar32(d, d, imm);
}
export function fmapd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const lanes: u32 = (imm & WIDE) !== 0 ? 4 : 2;
  const quick = (ctl & FAST_MASK) === FAST;
  for (let i: u32 = 0; i < lanes; i++) {
    const at: usize = i * 8;
    if (quick) {
      const fast = fastLane64(d + at, a + at, b + at, i, imm);
      if (fast !== 0) {
        raise(inexact);
        store<u64>(s + at, fast);
        continue;
      }
    }
    store<u64>(s + at, fused(F64, load<u64>(d + at), load<u64>(a + at), load<u64>(b + at), i, imm, ctl));
  }
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
export function fmaps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const lanes: u32 = (imm & WIDE) !== 0 ? 8 : 4;
  const quick = (ctl & FAST_MASK) === FAST;
  for (let i: u32 = 0; i < lanes; i++) {
    const at: usize = i * 4;
    if (quick) {
      const fast = fastLane32(d + at, a + at, b + at, i, imm);
      if (fast !== 0) {
        raise(inexact);
        store<f32>(s + at, fast);
        continue;
      }
    }
    store<u32>(s + at, u32(fused(F32, load<u32>(d + at), load<u32>(a + at), load<u32>(b + at), i, imm, ctl)));
  }
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}

// ---------------------------------------------------------------- horizontal and alternating

/** imm bit 8: subtract. */
const MINUS: u32 = 256;
function sum(fmt: u32, x: u64, y: u64, minus: bool, ctl: u32): u64 {
  return minus ? subtract(fmt, x, y, ctl) : add(fmt, x, y, ctl);
}
/** HADDPD, HSUBPD: within each 128 bits. */
export function haddpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  const minus = (imm & MINUS) !== 0;
  for (let i: usize = 0; i < bytes; i += 16) {
    store<u64>(s + i, sum(F64, load<u64>(a + i), load<u64>(a + i, 8), minus, ctl));
    store<u64>(s + i, sum(F64, load<u64>(b + i), load<u64>(b + i, 8), minus, ctl), 8);
  }
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
export function haddps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  const minus = (imm & MINUS) !== 0;
  for (let i: usize = 0; i < bytes; i += 16) {
    store<u32>(s + i, u32(sum(F32, load<u32>(a + i), load<u32>(a + i, 4), minus, ctl)));
    store<u32>(s + i, u32(sum(F32, load<u32>(a + i, 8), load<u32>(a + i, 12), minus, ctl)), 4);
    store<u32>(s + i, u32(sum(F32, load<u32>(b + i), load<u32>(b + i, 4), minus, ctl)), 8);
    store<u32>(s + i, u32(sum(F32, load<u32>(b + i, 8), load<u32>(b + i, 12), minus, ctl)), 12);
  }
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
/** ADDSUBxx: subtracts in even lanes. */
export function addsubpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 8)
    store<u64>(s + i, sum(F64, load<u64>(a + i), load<u64>(b + i), (i & 8) === 0, ctl));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
export function addsubps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 4)
    store<u32>(s + i, u32(sum(F32, load<u32>(a + i), load<u32>(b + i), (i & 4) === 0, ctl)));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}

/**
 * Ends a stage of a dot product: its exceptions stay whatever the next stage raises. False when an unmasked one ends the
 * instruction here.
 */
function stage(cpu: usize, ctl: u32): bool {
  const ok = commit(cpu, ctl | load<u32>(cpu + X86_MXCSR));
  clearFlags();
  return ok;
}
/**
 * DPPS: imm bits 8..15 are the instruction's immediate. Products are rounded, then summed in pairs. Which of several NaNs
 * comes out is left to the processor: AMD's compute one sum, Intel's one for each lane, from another order of operands.
 */
export function dpps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 16)
    for (let k: u32 = 0; k < 4; k++) {
      const at: usize = i + k * 4;
      const used = ((imm >> (12 + k)) & 1) !== 0;
      store<u32>(s + at, used ? u32(mul(F32, load<u32>(a + at), load<u32>(b + at), ctl)) : 0);
    }
  if (!stage(cpu, ctl)) return;
  const intel = isIntel(cpu);
  for (let i = s; i < s + bytes; i += 16) {
    const low = u32(add(F32, load<u32>(i), load<u32>(i, 4), ctl));
    const high = u32(add(F32, load<u32>(i, 8), load<u32>(i, 12), ctl));
    // Lane k: the product of its neighbour, k ^ 1, and its own.
    const lowFirst = intel ? u32(add(F32, load<u32>(i, 4), load<u32>(i), ctl)) : low;
    const highFirst = intel ? u32(add(F32, load<u32>(i, 12), load<u32>(i, 8), ctl)) : high;
    store<u32>(i, lowFirst);
    store<u32>(i, low, 4);
    store<u32>(i, highFirst, 8);
    store<u32>(i, high, 12);
  }
  if (!stage(cpu, ctl)) return;
  for (let i = s; i < s + bytes; i += 16) {
    const a0 = load<u32>(i);
    const a1 = load<u32>(i, 4);
    const a2 = load<u32>(i, 8);
    const a3 = load<u32>(i, 12);
    const total = u32(add(F32, a0, a2, ctl));
    for (let k: u32 = 0; k < 4; k++) {
      let lane = total;
      if (intel && k === 1) lane = u32(add(F32, a1, a3, ctl));
      else if (intel && k === 2) lane = u32(add(F32, a2, a0, ctl));
      else if (intel && k === 3) lane = u32(add(F32, a3, a1, ctl));
      store<u32>(i + k * 4, ((imm >> (8 + k)) & 1) !== 0 ? lane : 0);
    }
  }
  if (stage(cpu, ctl)) storePacked(cpu, d, imm);
}
export function dppd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  for (let k: u32 = 0; k < 2; k++) {
    const at: usize = k * 8;
    const used = ((imm >> (12 + k)) & 1) !== 0;
    store<u64>(s + at, used ? mul(F64, load<u64>(a + at), load<u64>(b + at), ctl) : 0);
  }
  if (!stage(cpu, ctl)) return;
  const low = load<u64>(s);
  const high = load<u64>(s, 8);
  const total = add(F64, low, high, ctl);
  store<u64>(s, ((imm >> 8) & 1) !== 0 ? total : 0);
  store<u64>(s, ((imm >> 9) & 1) === 0 ? 0 : isIntel(cpu) ? add(F64, high, low, ctl) : total, 8);
  if (stage(cpu, ctl)) storePacked(cpu, d, imm);
}

// ---------------------------------------------------------------- estimates

export function rcpss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u32>(d, reciprocalEstimate(load<u32>(b), isIntel(cpu)));
  finishScalar32(d, a, imm);
}
export function rsqrtss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u32>(d, rootEstimate(load<u32>(b), isIntel(cpu)));
  finishScalar32(d, a, imm);
}
export function rcpps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const intel = isIntel(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 4) store<u32>(s + i, reciprocalEstimate(load<u32>(b + i), intel));
  storePacked(cpu, d, imm);
}
export function rsqrtps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const intel = isIntel(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 4) store<u32>(s + i, rootEstimate(load<u32>(b + i), intel));
  storePacked(cpu, d, imm);
}
