/** SSE conversions, MXCSR, ROUNDxx. Integers from and for general registers pass through vector scratch fields. */
// hot path
import { CTL_DAZ, CTL_UM, DOWN, F16, F32, F64, NEAREST, PE, raise, rounding, UP, ZERO } from '../float/control';
import { convert, fromSigned, roundToIntegral, toSigned } from '../float/packed';
import { X86_MXCSR } from '../generated/x86';
import { fault, GP, isIntel } from './cpu';
import {
  begin,
  clearUpper,
  commit,
  finishScalar32,
  finishScalar64,
  scratch,
  storePacked,
  VEX,
  WIDE,
} from './sse-float-common';

/** imm bit 8: the integer has 64 bits. */
const LONG: u32 = 256;
/** imm bit 9: truncate whatever MXCSR says. */
const TRUNCATE: u32 = 512;

const FAST_MASK: u32 = 0x7000;
const FAST: u32 = 0x1000;
const MXCSR_RESERVED: u32 = 0xffff0000;

function modeOf(imm: u32, ctl: u32): u32 {
  return (imm & TRUNCATE) !== 0 ? ZERO : rounding(ctl);
}

/** CVTSI2SD: b is the integer's field. */
export function cvtsi2sd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if ((imm & LONG) === 0) store<f64>(d, f64(load<i32>(b)));
  else if (abs(load<i64>(b)) <= (<i64>1) << 53) store<f64>(d, f64(load<i64>(b)));
  else {
    const ctl = begin(cpu);
    const r = fromSigned(F64, load<i64>(b), ctl);
    if (!commit(cpu, ctl)) return;
    store<u64>(d, r);
  }
  finishScalar64(d, a, imm);
}
export function cvtsi2ss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const n = load<i32>(b);
  if ((imm & LONG) === 0 && (carefree(cpu) || (n <= 1 << 24 && n >= -(1 << 24)))) {
    store<f32>(d, f32(n));
    finishScalar32(d, a, imm);
    return;
  }
  const ctl = begin(cpu);
  const value = (imm & LONG) === 0 ? i64(load<i32>(b)) : load<i64>(b);
  const r = fromSigned(F32, value, ctl);
  if (!commit(cpu, ctl)) return;
  store<u32>(d, u32(r));
  finishScalar32(d, a, imm);
}

/** CVT(T)SD2SI: the integer goes to d, zero-extended from 32 bits unless LONG. */
export function cvtsd2si(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<f64>(b);
  if (abs(x) < 2147483648.0) {
    // Exact, or truncation with PE already sticky and masked.
    const n = i32(x);
    if (f64(n) === x || ((imm & TRUNCATE) !== 0 && (load<u32>(cpu + X86_MXCSR) & (PE | FAST)) === (PE | FAST))) {
      store<u64>(d, (imm & LONG) !== 0 ? u64(i64(n)) : u64(u32(n)));
      return;
    }
  }
  const ctl = begin(cpu);
  const r = toSigned(F64, load<u64>(b), (imm & LONG) !== 0 ? 64 : 32, modeOf(imm, ctl), ctl);
  if (commit(cpu, ctl)) store<u64>(d, (imm & LONG) !== 0 ? r : r & 0xffffffff);
}
export function cvtss2si(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<f32>(b);
  if (abs(x) < <f32>2147483648.0) {
    const n = i32(x);
    if (f32(n) === x || ((imm & TRUNCATE) !== 0 && (load<u32>(cpu + X86_MXCSR) & (PE | FAST)) === (PE | FAST))) {
      store<u64>(d, (imm & LONG) !== 0 ? u64(i64(n)) : u64(u32(n)));
      return;
    }
  }
  const ctl = begin(cpu);
  const r = toSigned(F32, load<u32>(b), (imm & LONG) !== 0 ? 64 : 32, modeOf(imm, ctl), ctl);
  if (commit(cpu, ctl)) store<u64>(d, (imm & LONG) !== 0 ? r : r & 0xffffffff);
}

export function cvtss2sd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<f32>(b);
  if ((abs(x) >= <f32>1.1754943508222875e-38) | (x === 0)) store<f64>(d, f64(x));
  else {
    const ctl = begin(cpu);
    const r = convert(F32, F64, load<u32>(b), ctl);
    if (!commit(cpu, ctl)) return;
    store<u64>(d, r);
  }
  finishScalar64(d, a, imm);
}
export function cvtsd2ss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<f64>(b);
  const r = f32(x);
  const mxcsr = load<u32>(cpu + X86_MXCSR);
  const size = abs(r);
  if (
    (mxcsr & FAST_MASK) === FAST &&
    (x === 0) | ((size > <f32>1.1754943508222875e-38) & (size <= <f32>3.4028234663852886e38))
  ) {
    if (f64(r) !== x && (mxcsr & PE) === 0) store<u32>(cpu + X86_MXCSR, mxcsr | PE);
    store<f32>(d, r);
  } else {
    const ctl = begin(cpu);
    const soft = convert(F64, F32, load<u64>(b), ctl);
    if (!commit(cpu, ctl)) return;
    store<u32>(d, u32(soft));
  }
  finishScalar32(d, a, imm);
}

/** PE is masked and set, rounding to nearest: nothing can be told of an inexact result. */
function carefree(cpu: usize): bool {
  return (load<u32>(cpu + X86_MXCSR) & (FAST_MASK | PE)) === (FAST | PE);
}
function allPlain32(x: v128): bool {
  return i32x4.all_true(
    v128.or(f32x4.ge(f32x4.abs(x), f32x4.splat(<f32>1.1754943508222875e-38)), f32x4.eq(x, f32x4.splat(0))),
  );
}

/** CVTPS2PD: two or four floats of b. */
export function cvtps2pd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if ((imm & WIDE) === 0) {
    const x = v128.load64_zero(b);
    if (allPlain32(x)) {
      v128.store(d, f64x2.promote_low_f32x4(x));
      if ((imm & VEX) !== 0) clearUpper(d);
      return;
    }
  }
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const lanes: usize = (imm & WIDE) !== 0 ? 4 : 2;
  for (let i: usize = 0; i < lanes; i++) store<u64>(s + i * 8, convert(F32, F64, load<u32>(b + i * 4), ctl));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
/** Packed results of half the width: the rest of bits 0..127 is zero, and bits above under VEX. */
function storeNarrow(cpu: usize, d: usize, imm: u32): void {
  const s = scratch(cpu);
  if ((imm & WIDE) === 0) store<u64>(s, 0, 8);
  v128.store(d, v128.load(s));
  if ((imm & VEX) !== 0) clearUpper(d);
}
export function cvtpd2ps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const lanes: usize = (imm & WIDE) !== 0 ? 4 : 2;
  for (let i: usize = 0; i < lanes; i++) store<u32>(s + i * 4, u32(convert(F64, F32, load<u64>(b + i * 8), ctl)));
  if (commit(cpu, ctl)) storeNarrow(cpu, d, imm);
}
export function cvtdq2ps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if ((imm & WIDE) === 0 && carefree(cpu)) {
    v128.store(d, f32x4.convert_i32x4_s(v128.load(b)));
    if ((imm & VEX) !== 0) clearUpper(d);
    return;
  }
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 4) store<u32>(s + i, u32(fromSigned(F32, i64(load<i32>(b + i)), ctl)));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
/** CVT(T)PS2DQ. */
export function cvtps2dq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if ((imm & WIDE) === 0 && carefree(cpu)) {
    const x = v128.load(b);
    // Neither NaNs nor anything that rounds to what an i32 does not hold.
    if (i32x4.all_true(f32x4.lt(f32x4.abs(x), f32x4.splat(2147483648.0)))) {
      v128.store(d, i32x4.trunc_sat_f32x4_s((imm & TRUNCATE) !== 0 ? x : f32x4.nearest(x)));
      if ((imm & VEX) !== 0) clearUpper(d);
      return;
    }
  }
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const mode = modeOf(imm, ctl);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 4) store<u32>(s + i, u32(toSigned(F32, load<u32>(b + i), 32, mode, ctl)));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
export function cvtdq2pd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const s = scratch(cpu);
  const lanes: usize = (imm & WIDE) !== 0 ? 4 : 2;
  for (let i: usize = 0; i < lanes; i++) store<f64>(s + i * 8, f64(load<i32>(b + i * 4)));
  storePacked(cpu, d, imm);
}
/** CVT(T)PD2DQ. */
export function cvtpd2dq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const mode = modeOf(imm, ctl);
  const lanes: usize = (imm & WIDE) !== 0 ? 4 : 2;
  for (let i: usize = 0; i < lanes; i++) store<u32>(s + i * 4, u32(toSigned(F64, load<u64>(b + i * 8), 32, mode, ctl)));
  if (commit(cpu, ctl)) storeNarrow(cpu, d, imm);
}

/** With an MMX register: b or d is its 8-byte field. */
export function cvtpi2ps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const low = u32(fromSigned(F32, i64(load<i32>(b)), ctl));
  const high = u32(fromSigned(F32, i64(load<i32>(b, 4)), ctl));
  if (!commit(cpu, ctl)) return;
  store<u32>(d, low);
  store<u32>(d, high, 4);
}
export function cvtpi2pd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const low = load<i32>(b);
  const high = load<i32>(b, 4);
  store<f64>(d, f64(low));
  store<f64>(d, f64(high), 8);
}
/** CVT(T)PS2PI. */
export function cvtps2pi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const mode = modeOf(imm, ctl);
  const low = toSigned(F32, load<u32>(b), 32, mode, ctl) & 0xffffffff;
  const high = toSigned(F32, load<u32>(b, 4), 32, mode, ctl);
  if (commit(cpu, ctl)) store<u64>(d, low | (high << 32));
}
/** CVT(T)PD2PI. */
export function cvtpd2pi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const mode = modeOf(imm, ctl);
  const low = toSigned(F64, load<u64>(b), 32, mode, ctl) & 0xffffffff;
  const high = toSigned(F64, load<u64>(b, 8), 32, mode, ctl);
  if (commit(cpu, ctl)) store<u64>(d, low | (high << 32));
}

/** VCVTPH2PS: four or eight halves of b. Denormal halves are numbers whatever DAZ says, and raise nothing. */
export function cvtph2ps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const lanes: usize = (imm & WIDE) !== 0 ? 8 : 4;
  for (let i: usize = 0; i < lanes; i++) store<u32>(s + i * 4, u32(convert(F16, F32, load<u16>(b + i * 2), ctl)));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
/**
 * VCVTPS2PH: imm bits 8..10 are the instruction's rounding control; bit 11: the destination is memory (a scratch field, of
 * which nothing but the result is written).
 */
function isDenormal32(x: u32): bool {
  return (x & 0x7f800000) === 0 && (x & 0x7fffff) !== 0;
}
export function cvtps2ph(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const control = imm >> 8;
  const used = (control & 4) !== 0 ? ctl : (ctl & ~0x6000) | ((control & 3) << 13);
  const lanes: usize = (imm & WIDE) !== 0 ? 8 : 4;
  for (let i: usize = 0; i < lanes; i++) {
    const x = load<u32>(b + i * 4);
    store<u16>(s + i * 2, u16(convert(F32, F16, x, used)));
    // With underflow unmasked, Intel's processors take the result of a denormal operand for inexact in any case.
    if ((ctl & (CTL_UM | CTL_DAZ)) === 0 && isDenormal32(x) && isIntel(cpu)) raise(PE);
  }
  if (!commit(cpu, ctl)) return;
  if ((imm & 0x800) === 0) storeNarrow(cpu, d, imm);
  else v128.store(d, v128.load(s));
}

/** ROUNDxx: imm bits 8..11 are the instruction's immediate. */
function roundMode(imm: u32, ctl: u32): u32 {
  const control = imm >> 8;
  return (control & 4) !== 0 ? rounding(ctl) : control & 3;
}
const SUPPRESS: u32 = 8 << 8;
export function roundsd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<f64>(b);
  if ((abs(x) >= 2.2250738585072014e-308 || x === 0) && ((imm & SUPPRESS) !== 0 || carefree(cpu))) {
    const mode = roundMode(imm, load<u32>(cpu + X86_MXCSR));
    store<f64>(
      d,
      mode === NEAREST ? nearest(x) : mode === DOWN ? Math.floor(x) : mode === UP ? Math.ceil(x) : Math.trunc(x),
    );
    finishScalar64(d, a, imm);
    return;
  }
  const ctl = begin(cpu);
  const r = roundToIntegral(F64, load<u64>(b), roundMode(imm, ctl), (imm & SUPPRESS) !== 0, ctl);
  if (!commit(cpu, ctl)) return;
  store<u64>(d, r);
  finishScalar64(d, a, imm);
}
export function roundss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<f32>(b);
  if ((abs(x) >= <f32>1.1754943508222875e-38 || x === 0) && ((imm & SUPPRESS) !== 0 || carefree(cpu))) {
    const mode = roundMode(imm, load<u32>(cpu + X86_MXCSR));
    store<f32>(
      d,
      mode === NEAREST ? nearest(x) : mode === DOWN ? Mathf.floor(x) : mode === UP ? Mathf.ceil(x) : Mathf.trunc(x),
    );
    finishScalar32(d, a, imm);
    return;
  }
  const ctl = begin(cpu);
  const r = roundToIntegral(F32, load<u32>(b), roundMode(imm, ctl), (imm & SUPPRESS) !== 0, ctl);
  if (!commit(cpu, ctl)) return;
  store<u32>(d, u32(r));
  finishScalar32(d, a, imm);
}
export function roundpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const mode = roundMode(imm, ctl);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 8)
    store<u64>(s + i, roundToIntegral(F64, load<u64>(b + i), mode, (imm & SUPPRESS) !== 0, ctl));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
export function roundps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const mode = roundMode(imm, ctl);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 4)
    store<u32>(s + i, u32(roundToIntegral(F32, load<u32>(b + i), mode, (imm & SUPPRESS) !== 0, ctl)));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}

/** LDMXCSR from a scratch field; #GP for reserved bits. */
export function ldmxcsr(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const value = load<u32>(b);
  if ((value & MXCSR_RESERVED) !== 0) {
    fault(cpu, GP, 0);
    return;
  }
  store<u32>(cpu + X86_MXCSR, value);
}
