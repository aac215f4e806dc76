/**
 * The x87 extended format: `s` is sign and exponent (16 bits), `m` the significand with its explicit integer bit.
 * Results: the significand is returned, sign and exponent are `resultSe()`.
 */
import { DE, DOWN, F64, F80, IE, PE, raise, rounding, setResultSe, setRoundedUp, ZE } from './control';
import {
  addCore,
  defaultNaN,
  divideCore,
  infinityOf,
  integerInexact,
  integerMagnitude,
  integerOf,
  multiplyCore,
  roundPack,
  sqrtCore,
  zeroOf,
} from './core';
import { isNaNBits } from './packed';

export const INTEGER_BIT: u64 = 0x8000000000000000;
const QUIET: u64 = 0x4000000000000000;

export function isZero(s: u32, m: u64): bool {
  return m === 0 && (s & 0x7fff) === 0;
}
export function isDenormal(s: u32, m: u64): bool {
  return (s & 0x7fff) === 0 && m !== 0;
}
export function isInfinity(s: u32, m: u64): bool {
  return (s & 0x7fff) === 0x7fff && m === INTEGER_BIT;
}
export function isNaNX(s: u32, m: u64): bool {
  return (s & 0x7fff) === 0x7fff && m > INTEGER_BIT;
}
/** Unnormals, pseudo-NaNs and pseudo-infinities: invalid operands since the 387. */
export function isUnsupported(s: u32, m: u64): bool {
  return (s & 0x7fff) !== 0 && i64(m) >= 0;
}
export function isSignalingNaN(s: u32, m: u64): bool {
  return isNaNX(s, m) && (m & QUIET) === 0;
}
/** Neither zero nor denormal, infinite, NaN or unsupported. */
export function isNormal(s: u32, m: u64): bool {
  return i64(m) < 0 && (s & 0x7fff) - 1 < 0x7ffe;
}
/** Exponent of a finite number that is not zero, whose significand is normalised by `normal`. */
export function exponent(s: u32, m: u64): i32 {
  const biased = i32(s & 0x7fff);
  return (biased === 0 ? 1 : biased) - 16383 - i32(clz(m));
}
export function normal(m: u64): u64 {
  return m << clz(m);
}
export function result(s: u32, m: u64): u64 {
  setResultSe(s);
  return m;
}
export function invalid(): u64 {
  raise(IE);
  return defaultNaN(F80);
}
/** Of one operand that is a NaN or unsupported. */
export function propagate1(s: u32, m: u64): u64 {
  if (isUnsupported(s, m)) return invalid();
  if ((m & QUIET) === 0) raise(IE);
  return result(s, m | QUIET);
}
/** Of two NaNs the one with the larger significand; the positive one when they are equal. */
export function propagate(sa: u32, ma: u64, sb: u32, mb: u64): u64 {
  if (isUnsupported(sa, ma) || isUnsupported(sb, mb)) return invalid();
  if (isSignalingNaN(sa, ma) || isSignalingNaN(sb, mb)) raise(IE);
  const first = !isNaNX(sb, mb) || (isNaNX(sa, ma) && (ma > mb || (ma === mb && sa < sb)));
  return first ? result(sa, ma | QUIET) : result(sb, mb | QUIET);
}
function special(s: u32, m: u64): bool {
  return isNaNX(s, m) || isUnsupported(s, m);
}
function checkDenormals(sa: u32, ma: u64, sb: u32, mb: u64): void {
  if (isDenormal(sa, ma) || isDenormal(sb, mb)) raise(DE);
}

export function addX(sa: u32, ma: u64, sb: u32, mb: u64, ctl: u32): u64 {
  if (special(sa, ma) || special(sb, mb)) return propagate(sa, ma, sb, mb);
  return addNumbers(sa, ma, sb, mb, ctl);
}
/** a - b; `reverse`: b - a. */
export function subtractX(sa: u32, ma: u64, sb: u32, mb: u64, ctl: u32): u64 {
  if (special(sa, ma) || special(sb, mb)) return propagate(sa, ma, sb, mb);
  return addNumbers(sa, ma, sb ^ 0x8000, mb, ctl);
}
function addNumbers(sa: u32, ma: u64, sb: u32, mb: u64, ctl: u32): u64 {
  if (isNormal(sa, ma) && isNormal(sb, mb))
    return addCore(F80, ctl, sa >> 15, i32(sa & 0x7fff) - 16383, ma, sb >> 15, i32(sb & 0x7fff) - 16383, mb);
  const signA = sa >> 15;
  const signB = sb >> 15;
  if (isInfinity(sa, ma) && isInfinity(sb, mb)) return signA === signB ? result(sa, ma) : invalid();
  checkDenormals(sa, ma, sb, mb);
  if (isInfinity(sa, ma)) return result(sa, ma);
  if (isInfinity(sb, mb)) return result(sb, mb);
  if (isZero(sa, ma)) {
    if (isZero(sb, mb)) return zeroOf(F80, signA === signB ? signA : u32(rounding(ctl) === DOWN));
    return roundPack(F80, ctl, signB, exponent(sb, mb), normal(mb), 0);
  }
  if (isZero(sb, mb)) return roundPack(F80, ctl, signA, exponent(sa, ma), normal(ma), 0);
  return addCore(F80, ctl, signA, exponent(sa, ma), normal(ma), signB, exponent(sb, mb), normal(mb));
}

export function multiplyX(sa: u32, ma: u64, sb: u32, mb: u64, ctl: u32): u64 {
  const sign = (sa ^ sb) >> 15;
  if (isNormal(sa, ma) && isNormal(sb, mb))
    return multiplyCore(F80, ctl, sign, i32(sa & 0x7fff) - 16383, ma, i32(sb & 0x7fff) - 16383, mb);
  if (special(sa, ma) || special(sb, mb)) return propagate(sa, ma, sb, mb);
  if (isInfinity(sa, ma) || isInfinity(sb, mb)) {
    if (isZero(sa, ma) || isZero(sb, mb)) return invalid();
    checkDenormals(sa, ma, sb, mb);
    return infinityOf(F80, sign);
  }
  checkDenormals(sa, ma, sb, mb);
  if (isZero(sa, ma) || isZero(sb, mb)) return zeroOf(F80, sign);
  return multiplyCore(F80, ctl, sign, exponent(sa, ma), normal(ma), exponent(sb, mb), normal(mb));
}

/** a / b. */
export function divideX(sa: u32, ma: u64, sb: u32, mb: u64, ctl: u32): u64 {
  const sign = (sa ^ sb) >> 15;
  if (isNormal(sa, ma) && isNormal(sb, mb))
    return divideCore(F80, ctl, sign, i32(sa & 0x7fff) - 16383, ma, i32(sb & 0x7fff) - 16383, mb);
  if (special(sa, ma) || special(sb, mb)) return propagate(sa, ma, sb, mb);
  if (isInfinity(sa, ma)) {
    if (isInfinity(sb, mb)) return invalid();
    checkDenormals(sa, ma, sb, mb);
    return infinityOf(F80, sign);
  }
  if (isZero(sb, mb)) {
    if (isZero(sa, ma)) return invalid();
    raise(ZE);
    return infinityOf(F80, sign);
  }
  checkDenormals(sa, ma, sb, mb);
  if (isInfinity(sb, mb) || isZero(sa, ma)) return zeroOf(F80, sign);
  return divideCore(F80, ctl, sign, exponent(sa, ma), normal(ma), exponent(sb, mb), normal(mb));
}

export function sqrtX(s: u32, m: u64, ctl: u32): u64 {
  if (special(s, m)) return propagate1(s, m);
  if (isZero(s, m)) return result(s, m);
  if ((s & 0x8000) !== 0) return invalid();
  if (isInfinity(s, m)) return result(s, m);
  if (isDenormal(s, m)) raise(DE);
  return sqrtCore(F80, ctl, exponent(s, m), normal(m));
}

/** -1 less, 0 equal, 1 greater, 2 unordered. `quiet`: quiet NaNs raise nothing. */
export function compareX(sa: u32, ma: u64, sb: u32, mb: u64, quiet: bool): i32 {
  if (special(sa, ma) || special(sb, mb)) {
    if (!quiet || isUnsupported(sa, ma) || isUnsupported(sb, mb) || isSignalingNaN(sa, ma) || isSignalingNaN(sb, mb))
      raise(IE);
    return 2;
  }
  checkDenormals(sa, ma, sb, mb);
  if (isZero(sa, ma) && isZero(sb, mb)) return 0;
  const na = (sa & 0x8000) !== 0;
  const nb = (sb & 0x8000) !== 0;
  if (na !== nb) return na ? -1 : 1;
  // A pseudo-denormal's exponent counts as 1.
  const ea = (sa & 0x7fff) === 0 ? 1 : sa & 0x7fff;
  const eb = (sb & 0x7fff) === 0 ? 1 : sb & 0x7fff;
  if (ea === eb && ma === mb) return 0;
  const less = ea < eb || (ea === eb && ma < mb);
  return less !== na ? -1 : 1;
}

/** From f32 or f64 bits. */
export function fromPacked(fmt: u32, a: u64): u64 {
  const fractionBits: u64 = fmt === F64 ? 52 : 23;
  const max: u32 = fmt === F64 ? 0x7ff : 0xff;
  const biased = u32(a >> fractionBits) & max;
  const sign = u32(a >> (fmt === F64 ? 63 : 31)) << 15;
  const fraction = (a << (63 - fractionBits)) & ~INTEGER_BIT;
  if (biased - 1 < max - 1) return result(sign | (biased + 16383 - (max >> 1)), INTEGER_BIT | fraction);
  if (biased === 0) {
    if (fraction === 0) return result(sign, 0);
    raise(DE);
    const shift = clz(fraction);
    return result(sign | (16384 - (max >> 1) - u32(shift)), fraction << shift);
  }
  if (isNaNBits(fmt, a) && (fraction & QUIET) === 0) {
    raise(IE);
    return result(sign | 0x7fff, INTEGER_BIT | QUIET | fraction);
  }
  return result(sign | 0x7fff, INTEGER_BIT | fraction);
}

/** To f32 or f64 bits. Denormal operands raise no DE. */
export function toPacked(fmt: u32, s: u32, m: u64, ctl: u32): u64 {
  const sign = s >> 15;
  if (isUnsupported(s, m)) {
    raise(IE);
    return defaultNaN(fmt);
  }
  if (isNaNX(s, m)) {
    if ((m & QUIET) === 0) raise(IE);
    return infinityOf(fmt, sign) | (((m | QUIET) & ~INTEGER_BIT) >> (fmt === F64 ? 11 : 40));
  }
  if (isInfinity(s, m)) return infinityOf(fmt, sign);
  if (m === 0) return zeroOf(fmt, sign);
  return roundPack(fmt, ctl, sign, exponent(s, m), normal(m), 0);
}

export function fromInteger(value: i64): u64 {
  if (value === 0) return result(0, 0);
  const magnitude: u64 = value < 0 ? 0 - u64(value) : u64(value);
  const shift = clz(magnitude);
  return result((value < 0 ? 0x8000 : 0) | (16383 + 63 - u32(shift)), magnitude << shift);
}

/** Signed integer of 16, 32 or 64 bits; IE and the integer indefinite when it does not fit. */
export function toInteger(s: u32, m: u64, bits: u32, mode: u32): u64 {
  const indefinite = ~u64(0) << (bits - 1);
  if ((s & 0x7fff) === 0x7fff || isUnsupported(s, m)) {
    raise(IE);
    return indefinite;
  }
  if (m === 0) return 0;
  const sign = s >> 15;
  const fits = integerOf(mode, sign, exponent(s, m), normal(m));
  const magnitude = integerMagnitude();
  const limit: u64 = ((<u64>1) << (bits - 1)) - u64(sign === 0);
  if (!fits || magnitude > limit) {
    raise(IE);
    setRoundedUp(0);
    return indefinite;
  }
  if (integerInexact()) raise(PE);
  return sign !== 0 ? 0 - magnitude : magnitude;
}

/** FRNDINT. */
export function roundIntegerX(s: u32, m: u64, mode: u32): u64 {
  if (special(s, m)) return propagate1(s, m);
  if (isDenormal(s, m)) raise(DE);
  if (isInfinity(s, m) || m === 0) return result(s, m);
  const e = exponent(s, m);
  if (e >= 63) return result(s, m);
  integerOf(mode, s >> 15, e, normal(m));
  if (integerInexact()) raise(PE);
  const magnitude = integerMagnitude();
  if (magnitude === 0) return result(s & 0x8000, 0);
  const shift = clz(magnitude);
  return result((s & 0x8000) | (16383 + 63 - u32(shift)), magnitude << shift);
}
