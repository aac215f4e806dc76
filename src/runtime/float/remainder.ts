/** x87 operations that take numbers apart: partial remainders, FSCALE, FXTRACT. Formats and results as in extended.ts. */
import { DE, F80, raise, setRoundedUp } from './control';
import { infinityOf, roundPack, zeroOf } from './core';
import {
  exponent,
  invalid,
  isDenormal,
  isInfinity,
  isNaNX,
  isUnsupported,
  isZero,
  normal,
  propagate,
  result,
} from './extended';

/** What `remainderQuotient` says of a reduction that is incomplete, and of operands without one. */
export const INCOMPLETE: u32 = 8;
export const NO_QUOTIENT: u32 = 16;
/** Low three bits of the quotient, or one of these. */
let quotientBits: u32 = 0;
export function remainderQuotient(): u32 {
  return quotientBits;
}
/**
 * FPREM (`nearest` false: quotient cut) and FPREM1. An exponent difference D of 64 or more is reduced by 32 + D % 32, which
 * is what Intel's and AMD's processors do.
 */
export function remainder(sa: u32, ma: u64, sb: u32, mb: u64, nearest: bool, ctl: u32): u64 {
  quotientBits = NO_QUOTIENT;
  if (isNaNX(sa, ma) || isUnsupported(sa, ma) || isNaNX(sb, mb) || isUnsupported(sb, mb))
    return propagate(sa, ma, sb, mb);
  if (isInfinity(sa, ma) || isZero(sb, mb)) return invalid();
  quotientBits = 0;
  if (isDenormal(sa, ma) || isDenormal(sb, mb)) raise(DE);
  if (isZero(sa, ma)) return result(sa, ma);
  let sign = sa >> 15;
  if (isInfinity(sb, mb)) return roundPack(F80, ctl, sign, exponent(sa, ma), normal(ma), 0);
  const ea = exponent(sa, ma);
  const eb = exponent(sb, mb);
  const a = normal(ma);
  const b = normal(mb);
  const difference = ea - eb;
  if (difference < -1 || (difference < 0 && !nearest)) return roundPack(F80, ctl, sign, ea, a, 0);
  let rest = a;
  let q: u32 = 0;
  let unit = ea;
  if (difference < 0) {
    // a is between b / 4 and b: nearer to b when more than half of it.
    if (a > b) {
      rest = (b << 1) - a;
      sign ^= 1;
      q = 1;
    }
  } else {
    const steps = difference < 64 ? difference : 32 + (difference & 31);
    if (rest >= b) {
      rest -= b;
      q = 1;
    }
    for (let i = 0; i < steps; i++) {
      const carry = i64(rest) < 0;
      rest <<= 1;
      q <<= 1;
      if (carry || rest >= b) {
        rest -= b;
        q |= 1;
      }
    }
    unit = ea - steps;
    if (difference >= 64) q = INCOMPLETE;
    else if (nearest) {
      // rest against b - rest: no carry.
      const other = b - rest;
      if (rest > other || (rest === other && (q & 1) !== 0)) {
        rest = other;
        sign ^= 1;
        q++;
      }
      q &= 7;
    } else q &= 7;
  }
  quotientBits = q;
  if (rest === 0) {
    setRoundedUp(0);
    return zeroOf(F80, sa >> 15);
  }
  const shift = clz(rest);
  return roundPack(F80, ctl, sign, unit - i32(shift), rest << shift, 0);
}

/** a * 2^trunc(b). */
export function scale(sa: u32, ma: u64, sb: u32, mb: u64, ctl: u32): u64 {
  if (isNaNX(sa, ma) || isUnsupported(sa, ma) || isNaNX(sb, mb) || isUnsupported(sb, mb))
    return propagate(sa, ma, sb, mb);
  const sign = sa >> 15;
  const down = (sb & 0x8000) !== 0;
  if (isInfinity(sb, mb)) {
    if (down ? isInfinity(sa, ma) : isZero(sa, ma)) return invalid();
    if (isDenormal(sa, ma)) raise(DE);
    return down ? zeroOf(F80, sign) : infinityOf(F80, sign);
  }
  if (isDenormal(sa, ma) || isDenormal(sb, mb)) raise(DE);
  if (isInfinity(sa, ma) || isZero(sa, ma)) return result(sa, ma);
  const e = isZero(sb, mb) ? -1 : exponent(sb, mb);
  const by = e < 0 ? 0 : e > 16 ? 1 << 17 : i32(normal(mb) >> u64(63 - e));
  return roundPack(F80, ctl, sign, exponent(sa, ma) + (down ? -by : by), normal(ma), 0);
}
