/**
 * x87 instructions on whole numbers' parts and the transcendental ones: their special operands, and the stack. What the
 * tables of the SDM (vol. 2) leave open is as AMD's processors do it.
 */
import { CTL_ROUND, DE, F80, IE, PE, raise, resultSe, setRoundedUp, ZE } from '../float/control';
import { infinityOf, zeroOf } from '../float/core';
import {
  exponent,
  fromInteger,
  invalid,
  isDenormal,
  isInfinity,
  isNaNX,
  isUnsupported,
  isZero,
  normal,
  propagate,
  propagate1,
  result,
} from '../float/extended';
import { INCOMPLETE, NO_QUOTIENT, remainder, remainderQuotient, scale } from '../float/remainder';
import { angle, atan2, exp2m1, sineOrCosine, tangent, yLog2, yLog2p1 } from '../float/transcendental';
import { X86_FP_TOP, X86_FSW } from '../generated/x86';
import { isIntel } from './cpu';
import {
  C0,
  C1,
  C2,
  C3,
  commit,
  controlFull,
  deliver,
  INDEFINITE_M,
  INDEFINITE_SE,
  isEmpty,
  physical,
  pop,
  push,
  put,
  ready,
  registerAt,
  setCodes,
  signExponent,
  significand,
  stackFault,
  underflow,
} from './x87-state';

const PRE: u32 = IE | DE | ZE;

function special(s: u32, m: u64): bool {
  return isNaNX(s, m) || isUnsupported(s, m);
}
function denormals(sa: u32, ma: u64, sb: u32, mb: u64): void {
  if (isDenormal(sa, ma) || isDenormal(sb, mb)) raise(DE);
}
/** Are ST(0) and ST(1) full? If not, the stack fault has been dealt with. */
function twoOperands(cpu: usize, destination: u32, pops: bool): bool {
  if (!isEmpty(cpu, physical(cpu, 0)) && !isEmpty(cpu, physical(cpu, 1))) return true;
  if (underflow(cpu, physical(cpu, destination)) && pops) pop(cpu);
  return false;
}
function oneOperand(cpu: usize): bool {
  return !isEmpty(cpu, physical(cpu, 0)) || (underflow(cpu, physical(cpu, 0)) && false);
}

/** C2 tells of an incomplete reduction; it is clear after everything else. */
function clearC2(cpu: usize): void {
  store<u32>(cpu + X86_FSW, load<u32>(cpu + X86_FSW) & ~C2);
}

/** FPREM; imm bit 3: FPREM1. */
export function fprem(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  clearC2(cpu);
  if (!twoOperands(cpu, 0, false)) return;
  const x = registerAt(cpu, physical(cpu, 0));
  const y = registerAt(cpu, physical(cpu, 1));
  const ctl = controlFull(cpu);
  const m = remainder(signExponent(x), significand(x), signExponent(y), significand(y), (imm & 8) !== 0, ctl);
  const q = remainderQuotient();
  if (!deliver(cpu, physical(cpu, 0), m) || q === NO_QUOTIENT) return;
  setCodes(cpu, q === INCOMPLETE ? C2 : ((q & 4) !== 0 ? C0 : 0) | ((q & 2) !== 0 ? C3 : 0) | ((q & 1) !== 0 ? C1 : 0));
}
export function fscale(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm) || !twoOperands(cpu, 0, false)) return;
  const x = registerAt(cpu, physical(cpu, 0));
  const y = registerAt(cpu, physical(cpu, 1));
  const m = scale(signExponent(x), significand(x), signExponent(y), significand(y), controlFull(cpu));
  deliver(cpu, physical(cpu, 0), m);
}
/** Replaces ST(0) and pushes a second result, unless the stack is full. */
function full(cpu: usize): bool {
  if (isEmpty(cpu, physical(cpu, 7))) return false;
  if (stackFault(cpu, true)) {
    put(cpu, physical(cpu, 0), INDEFINITE_SE, INDEFINITE_M);
    store<u32>(cpu + X86_FP_TOP, physical(cpu, 7));
    put(cpu, physical(cpu, 0), INDEFINITE_SE, INDEFINITE_M);
  }
  return true;
}
function pushResult(cpu: usize, s: u32, m: u64): void {
  const c1 = load<u32>(cpu + X86_FSW) & C1;
  push(cpu, s, m);
  store<u32>(cpu + X86_FSW, load<u32>(cpu + X86_FSW) | c1);
}
export function fxtract(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const n = physical(cpu, 0);
  if (isEmpty(cpu, n)) {
    if (!stackFault(cpu, false)) return;
    put(cpu, n, INDEFINITE_SE, INDEFINITE_M);
    store<u32>(cpu + X86_FP_TOP, physical(cpu, 7));
    put(cpu, physical(cpu, 0), INDEFINITE_SE, INDEFINITE_M);
    return;
  }
  if (full(cpu)) return;
  const r = registerAt(cpu, n);
  const s = signExponent(r);
  const m = significand(r);
  let em: u64;
  let es: u32;
  let fm: u64;
  let fs: u32;
  if (special(s, m)) {
    fm = propagate1(s, m);
    fs = resultSe();
    em = fm;
    es = fs;
  } else if (isInfinity(s, m)) {
    em = m;
    es = 0x7fff;
    fm = m;
    fs = s;
  } else if (m === 0) {
    raise(ZE);
    em = infinityOf(F80, 1);
    es = resultSe();
    fm = 0;
    fs = s;
  } else {
    if (isDenormal(s, m)) raise(DE);
    em = fromInteger(i64(exponent(s, m)));
    es = resultSe();
    fm = normal(m);
    fs = (s & 0x8000) | 0x3fff;
  }
  if ((commit(cpu) & PRE) !== 0) return;
  put(cpu, n, es, em);
  pushResult(cpu, fs, fm);
}

// ---------------------------------------------------------------- transcendental

export function f2xm1(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm) || !oneOperand(cpu)) return;
  const n = physical(cpu, 0);
  const r = registerAt(cpu, n);
  const s = signExponent(r);
  const m = significand(r);
  let v: u64;
  if (special(s, m)) v = propagate1(s, m);
  else if (isInfinity(s, m)) v = (s & 0x8000) !== 0 ? result(0xbfff, 0x8000000000000000) : result(s, m);
  else if (m === 0) v = result(s, m);
  else {
    if (isDenormal(s, m)) raise(DE);
    const e = exponent(s, m);
    raise(PE);
    if (e < 0) v = exp2m1(controlFull(cpu), s >> 15, e, normal(m));
    else if (e === 0 && m === 0x8000000000000000 && (s & 0x8000) !== 0) v = result(0xbffe, m);
    else v = result(s, m); // 1 gives 1; beyond that the result is undefined: x, as AMD's processors do it
  }
  deliver(cpu, n, v);
}

/** y * log2(x) for ST(1) = y, ST(0) = x. */
function yl2x(sx: u32, mx: u64, sy: u32, my: u64, ctl: u32): u64 {
  if (special(sx, mx) || special(sy, my)) return propagate(sx, mx, sy, my);
  const sign = sy >> 15;
  if (isZero(sx, mx)) {
    if (isZero(sy, my)) return invalid();
    if (isInfinity(sy, my)) return infinityOf(F80, sign ^ 1);
    raise(ZE);
    return infinityOf(F80, sign ^ 1);
  }
  if ((sx & 0x8000) !== 0) return invalid();
  if (isInfinity(sx, mx)) {
    if (isZero(sy, my)) return invalid();
    denormals(sx, mx, sy, my);
    return infinityOf(F80, sign);
  }
  const e = exponent(sx, mx);
  const m = normal(mx);
  const one = e === 0 && m === 0x8000000000000000;
  if (isInfinity(sy, my)) {
    if (one) return invalid();
    denormals(sx, mx, sy, my);
    return infinityOf(F80, sign ^ u32(e < 0));
  }
  denormals(sx, mx, sy, my);
  if (isZero(sy, my)) return zeroOf(F80, sign ^ u32(e < 0));
  return yLog2(ctl, sign, exponent(sy, my), normal(my), e, m, 0);
}
/** y * log2(x + 1). */
function yl2xp1(sx: u32, mx: u64, sy: u32, my: u64, ctl: u32): u64 {
  if (special(sx, mx) || special(sy, my)) return propagate(sx, mx, sy, my);
  const sign = (sx ^ sy) >> 15;
  if (isInfinity(sx, mx)) {
    if ((sx & 0x8000) !== 0 || isZero(sy, my)) return invalid();
    denormals(sx, mx, sy, my);
    return infinityOf(F80, sign);
  }
  if (isInfinity(sy, my)) {
    if (isZero(sx, mx)) return invalid();
    denormals(sx, mx, sy, my);
    return infinityOf(F80, sign);
  }
  denormals(sx, mx, sy, my);
  if (isZero(sx, mx) || isZero(sy, my)) return zeroOf(F80, sign);
  const ex = exponent(sx, mx);
  // At -1 and below the result is undefined.
  if ((sx & 0x8000) !== 0 && ex >= 0) return result(sx, mx);
  return yLog2p1(ctl, sy >> 15, exponent(sy, my), normal(my), sx >> 15, ex, normal(mx));
}
/** FYL2X; imm bit 3: FYL2XP1. */
export function fyl2x(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm) || !twoOperands(cpu, 1, true)) return;
  const x = registerAt(cpu, physical(cpu, 0));
  const y = registerAt(cpu, physical(cpu, 1));
  const ctl = controlFull(cpu);
  setRoundedUp(0);
  const m =
    (imm & 8) !== 0
      ? yl2xp1(signExponent(x), significand(x), signExponent(y), significand(y), ctl)
      : yl2x(signExponent(x), significand(x), signExponent(y), significand(y), ctl);
  if (deliver(cpu, physical(cpu, 1), m)) pop(cpu);
}

function arctangent(sx: u32, mx: u64, sy: u32, my: u64, ctl: u32): u64 {
  if (special(sx, mx) || special(sy, my)) return propagate(sx, mx, sy, my);
  denormals(sx, mx, sy, my);
  const sign = sy >> 15;
  const left = (sx & 0x8000) !== 0;
  if (isInfinity(sy, my)) {
    if (!isInfinity(sx, mx)) return angle(ctl, 2, sign);
    return angle(ctl, left ? 3 : 1, sign);
  }
  if (isZero(sy, my) || isInfinity(sx, mx)) return left ? angle(ctl, 4, sign) : zeroOf(F80, sign);
  if (isZero(sx, mx)) return angle(ctl, 2, sign);
  return atan2(ctl, sign, exponent(sy, my), normal(my), sx >> 15, exponent(sx, mx), normal(mx));
}
export function fpatan(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm) || !twoOperands(cpu, 1, true)) return;
  const x = registerAt(cpu, physical(cpu, 0));
  const y = registerAt(cpu, physical(cpu, 1));
  const m = arctangent(signExponent(x), significand(x), signExponent(y), significand(y), controlFull(cpu));
  if (deliver(cpu, physical(cpu, 1), m)) pop(cpu);
}

/** Angles from 2^63 on are not reduced: C2, with C1 clear. */
function outOfRange(cpu: usize, s: u32, m: u64): bool {
  if (isUnsupported(s, m) || (s & 0x7fff) === 0x7fff || (s & 0x7fff) < 0x3fff + 63) return false;
  store<u32>(cpu + X86_FSW, (load<u32>(cpu + X86_FSW) & ~C1) | C2);
  return true;
}
/** FSIN, FCOS (imm bit 3). */
export function fsin(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  clearC2(cpu);
  if (!oneOperand(cpu)) return;
  const n = physical(cpu, 0);
  const r = registerAt(cpu, n);
  const m = significand(r);
  const s = signExponent(r);
  if (outOfRange(cpu, s, m)) return;
  deliver(cpu, n, (imm & 8) !== 0 ? cosine(s, m, controlFull(cpu)) : sine(cpu, s, m, controlFull(cpu)));
}
/** Intel's processors take the sine and the tangent of a number for the number itself below this exponent. */
const TINY_ANGLE: i32 = -68;
function isItself(cpu: usize, s: u32, m: u64): bool {
  return exponent(s, m) < TINY_ANGLE && isIntel(cpu);
}
function cosine(s: u32, m: u64, ctl: u32): u64 {
  if (special(s, m)) return propagate1(s, m);
  if (isInfinity(s, m)) return invalid();
  if (m === 0) return result(0x3fff, 0x8000000000000000);
  if (isDenormal(s, m)) raise(DE);
  return sineOrCosine(ctl, s >> 15, exponent(s, m), normal(m), 1);
}
function sine(cpu: usize, s: u32, m: u64, ctl: u32): u64 {
  if (special(s, m)) return propagate1(s, m);
  if (isInfinity(s, m)) return invalid();
  if (m === 0) return result(s, m);
  if (isDenormal(s, m)) raise(DE);
  const own = isItself(cpu, s, m);
  const v = sineOrCosine(own ? ctl & ~CTL_ROUND : ctl, s >> 15, exponent(s, m), normal(m), 0);
  if (own) setRoundedUp(0);
  return v;
}
/** FSINCOS (imm bit 3: FPTAN): a second result is pushed. */
export function fsincos(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  clearC2(cpu);
  const n = physical(cpu, 0);
  if (isEmpty(cpu, n)) {
    if (!stackFault(cpu, false)) return;
    put(cpu, n, INDEFINITE_SE, INDEFINITE_M);
    store<u32>(cpu + X86_FP_TOP, physical(cpu, 7));
    put(cpu, physical(cpu, 0), INDEFINITE_SE, INDEFINITE_M);
    return;
  }
  if (full(cpu)) return;
  const r = registerAt(cpu, n);
  const s = signExponent(r);
  const m = significand(r);
  if (outOfRange(cpu, s, m)) return;
  const ctl = controlFull(cpu);
  let firstM: u64;
  let firstS: u32;
  let secondM: u64;
  let secondS: u32;
  if (special(s, m) || isInfinity(s, m)) {
    firstM = special(s, m) ? propagate1(s, m) : invalid();
    firstS = resultSe();
    secondM = firstM;
    secondS = firstS;
  } else if ((imm & 8) !== 0) {
    if (m === 0) firstM = result(s, m);
    else {
      if (isDenormal(s, m)) raise(DE);
      firstM = tangent(isItself(cpu, s, m) ? ctl & ~CTL_ROUND : ctl, s >> 15, exponent(s, m), normal(m));
    }
    firstS = resultSe();
    secondM = 0x8000000000000000;
    secondS = 0x3fff;
  } else {
    secondM = cosine(s, m, ctl);
    secondS = resultSe();
    firstM = sine(cpu, s, m, ctl);
    firstS = resultSe();
  }
  if ((commit(cpu) & PRE) !== 0) return;
  put(cpu, n, firstS, firstM);
  pushResult(cpu, secondS, secondM);
}
