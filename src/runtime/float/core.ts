/**
 * Arithmetic on finite, non-zero, unpacked numbers: sign 0/1, exponent, and a significand with bit 63 set, the value being
 * (-1)^sign * significand / 2^63 * 2^exponent. Every result goes through `roundPack`, the only place that rounds.
 */
import {
  CTL_FTZ,
  CTL_PRECISION_SHIFT,
  CTL_UM,
  DOWN,
  F16,
  F32,
  F64,
  F80,
  NEAREST,
  OE,
  PE,
  raise,
  rounding,
  setResultSe,
  setRoundedUp,
  UE,
  UP,
} from './control';
import { divide, lowWord, multiply, setLowWord, shiftLeft, shiftRightJam, squareRoot } from './wide';

/** What x87 adds to (subtracts from) the exponent of a result whose underflow (overflow) is not masked. */
export const BIAS_ADJUST: i32 = 24576;

function precisionOf(fmt: u32, ctl: u32): u32 {
  if (fmt === F64) return 53;
  if (fmt === F32) return 24;
  if (fmt === F80) {
    const pc = (ctl >> CTL_PRECISION_SHIFT) & 3;
    return pc === 3 ? 64 : pc === 2 ? 53 : 24;
  }
  return 11;
}
export function maxExponent(fmt: u32): i32 {
  return fmt === F64 ? 1023 : fmt === F32 ? 127 : fmt === F80 ? 16383 : 15;
}
function packed(fmt: u32, sign: u32, biased: u32, significand: u64): u64 {
  if (fmt === F64) return (u64(sign) << 63) | (u64(biased) << 52) | ((significand >> 11) & 0xfffffffffffff);
  if (fmt === F32) return u64((sign << 31) | (biased << 23) | (u32(significand >> 40) & 0x7fffff));
  if (fmt === F80) {
    setResultSe((sign << 15) | biased);
    return significand;
  }
  return u64((sign << 15) | (biased << 10) | (u32(significand >> 53) & 0x3ff));
}
export function zeroOf(fmt: u32, sign: u32): u64 {
  return packed(fmt, sign, 0, 0);
}
export function infinityOf(fmt: u32, sign: u32): u64 {
  return packed(fmt, sign, u32(maxExponent(fmt) * 2 + 1), 0x8000000000000000);
}
/** The default NaN of x86: negative, quiet, no payload. */
export function defaultNaN(fmt: u32): u64 {
  return packed(fmt, 1, u32(maxExponent(fmt) * 2 + 1), 0xc000000000000000);
}

/** Whether a significand whose dropped bits are `rest` (aligned to bit 63) is rounded away from zero. */
function roundsUp(mode: u32, sign: u32, odd: bool, rest: u64): bool {
  if (rest === 0) return false;
  if (mode === NEAREST) return rest > 0x8000000000000000 || (rest === 0x8000000000000000 && odd);
  return mode === UP ? sign === 0 : mode === DOWN ? sign !== 0 : false;
}

/** Rounds hi:lo (bit 127 set) * 2^exponent to the format, raising what that raises. */
export function roundPack(fmt: u32, ctl: u32, sign: u32, exponent: i32, hi: u64, lo: u64): u64 {
  const precision = precisionOf(fmt, ctl);
  const drop = u64(64 - precision);
  const unit: u64 = 1 << drop;
  const mode = rounding(ctl);
  const max = maxExponent(fmt);
  let rest: u64 = drop === 0 ? lo : (hi << u64(precision)) | u64(lo !== 0);
  let significand = hi & ~(unit - 1);
  let tiny = false;

  if (exponent < 1 - max) {
    // Tininess is judged after rounding with an unbounded exponent.
    tiny = !(exponent === -max && roundsUp(mode, sign, (significand & unit) !== 0, rest) && significand + unit === 0);
    if (tiny && (ctl & CTL_UM) === 0) {
      raise(UE);
      // SSE delivers no result then; PE says whether the unbounded one was inexact.
      if (fmt !== F80) {
        if (rest !== 0) raise(PE);
        return 0;
      }
      exponent += BIAS_ADJUST;
      if (exponent < 1 - max) {
        // Too small even for the adjusted exponent (FSCALE): a zero, rounded.
        raise(PE);
        setRoundedUp(0);
        return zeroOf(fmt, sign);
      }
    } else {
      if (tiny && (ctl & CTL_FTZ) !== 0 && fmt !== F16) {
        raise(UE | PE);
        setRoundedUp(0);
        return zeroOf(fmt, sign);
      }
      significand = shiftRightJam(hi, lo, u32(1 - max - exponent));
      lo = lowWord();
      rest = drop === 0 ? lo : (significand << u64(precision)) | u64(lo !== 0);
      significand &= ~(unit - 1);
      const increment = roundsUp(mode, sign, (significand & unit) !== 0, rest);
      if (increment) significand += unit;
      if (rest !== 0) {
        raise(tiny ? UE | PE : PE);
        setRoundedUp(u32(increment));
      } else setRoundedUp(0);
      return packed(fmt, sign, u32(significand >> 63), significand);
    }
  }

  const increment = roundsUp(mode, sign, (significand & unit) !== 0, rest);
  if (increment) {
    significand += unit;
    if (significand === 0) {
      significand = 0x8000000000000000;
      exponent++;
    }
  }
  if (exponent > max) return overflow(fmt, ctl, sign, exponent, significand, rest, increment);
  setRoundedUp(u32(increment));
  if (rest !== 0) raise(PE);
  return packed(fmt, sign, u32(exponent + max), significand);
}

function overflow(fmt: u32, ctl: u32, sign: u32, exponent: i32, significand: u64, rest: u64, increment: bool): u64 {
  const max = maxExponent(fmt);
  raise(OE);
  if ((ctl & (1 << 10)) === 0) {
    // Not masked: x87 registers take the result with its exponent wrapped.
    if (rest !== 0) raise(PE);
    setRoundedUp(u32(increment));
    if (fmt === F80 && exponent - BIAS_ADJUST <= max)
      return packed(fmt, sign, u32(exponent - BIAS_ADJUST + max), significand);
    // Too large even so (FSCALE).
    if (fmt === F80) {
      raise(PE);
      setRoundedUp(1);
    }
    return infinityOf(fmt, sign);
  }
  raise(PE);
  const mode = rounding(ctl);
  if (mode === NEAREST || (mode === UP && sign === 0) || (mode === DOWN && sign !== 0)) {
    setRoundedUp(1);
    return infinityOf(fmt, sign);
  }
  setRoundedUp(0);
  const drop = u64(64 - precisionOf(fmt, ctl));
  return packed(fmt, sign, u32(max * 2), ~u64(0) << drop);
}

/** Rounds an integer magnitude to the format. */
export function roundInteger(fmt: u32, ctl: u32, sign: u32, magnitude: u64): u64 {
  if (magnitude === 0) return zeroOf(fmt, sign);
  const shift = clz(magnitude);
  return roundPack(fmt, ctl, sign, 63 - i32(shift), magnitude << shift, 0);
}

/** a + b; subtract by passing the other sign. */
export function addCore(fmt: u32, ctl: u32, sa: u32, ea: i32, ma: u64, sb: u32, eb: i32, mb: u64): u64 {
  if (ea < eb || (ea === eb && ma < mb)) {
    const s = sa;
    sa = sb;
    sb = s;
    const e = ea;
    ea = eb;
    eb = e;
    const m = ma;
    ma = mb;
    mb = m;
  }
  let bh = shiftRightJam(mb, 0, u32(ea - eb));
  let lo = lowWord();
  if (sa === sb) {
    const hi = ma + bh;
    if (hi >= ma) return roundPack(fmt, ctl, sa, ea, hi, lo);
    lo = (lo >> 1) | (lo & 1) | (hi << 63);
    return roundPack(fmt, ctl, sa, ea + 1, (hi >> 1) | 0x8000000000000000, lo);
  }
  bh = ma - bh - u64(lo !== 0);
  lo = 0 - lo;
  if ((bh | lo) === 0) {
    setRoundedUp(0);
    return zeroOf(fmt, u32(rounding(ctl) === DOWN));
  }
  const shift = bh !== 0 ? u32(clz(bh)) : 64 + u32(clz(lo));
  bh = shiftLeft(bh, lo, shift);
  return roundPack(fmt, ctl, sa, ea - i32(shift), bh, lowWord());
}

export function multiplyCore(fmt: u32, ctl: u32, sign: u32, ea: i32, ma: u64, eb: i32, mb: u64): u64 {
  const hi = multiply(ma, mb);
  const lo = lowWord();
  if (i64(hi) < 0) return roundPack(fmt, ctl, sign, ea + eb + 1, hi, lo);
  return roundPack(fmt, ctl, sign, ea + eb, (hi << 1) | (lo >> 63), lo << 1);
}

export function divideCore(fmt: u32, ctl: u32, sign: u32, ea: i32, ma: u64, eb: i32, mb: u64): u64 {
  let q: u64;
  let e = ea - eb;
  if (ma >= mb) q = divide(ma >> 1, ma << 63, mb);
  else {
    q = divide(ma, 0, mb);
    e--;
  }
  const rest = lowWord();
  let lo: u64 = 0;
  if (rest !== 0) {
    const other = mb - rest;
    lo = rest > other ? 0xc000000000000000 : rest === other ? 0x8000000000000000 : 0x4000000000000000;
  }
  return roundPack(fmt, ctl, sign, e, q, lo);
}

/** Square root of a positive number. */
export function sqrtCore(fmt: u32, ctl: u32, e: i32, m: u64): u64 {
  const odd = (e & 1) !== 0;
  const root = odd ? squareRoot(m, 0) : squareRoot(m >> 1, m << 63);
  return roundPack(fmt, ctl, 0, e >> 1, root, lowWord());
}

/** a * b + c for significands of at most 53 bits (F32, F64): 128 bits and a sticky bit are enough. */
export function fmaCore(
  fmt: u32,
  ctl: u32,
  sp: u32,
  ea: i32,
  ma: u64,
  eb: i32,
  mb: u64,
  sc: u32,
  ec: i32,
  mc: u64,
): u64 {
  let ph = multiply(ma, mb);
  let pl = lowWord();
  let ep = ea + eb + 1;
  if (i64(ph) >= 0) {
    ph = (ph << 1) | (pl >> 63);
    pl <<= 1;
    ep--;
  }
  let ch = mc;
  let cl: u64 = 0;
  let sign = sp;
  // Larger magnitude into p.
  if (ep < ec || (ep === ec && (ph < ch || (ph === ch && pl < cl)))) {
    const th = ph;
    const tl = pl;
    const te = ep;
    ph = ch;
    pl = cl;
    ep = ec;
    ch = th;
    cl = tl;
    ec = te;
    sign = sc;
  }
  ch = shiftRightJam(ch, cl, u32(ep - ec));
  cl = lowWord();
  if (sp === sc) {
    const lo = pl + cl;
    const carry = u64(lo < pl);
    const hi = ph + ch + carry;
    if (hi > ph || (hi === ph && ch === 0 && carry === 0)) return roundPack(fmt, ctl, sign, ep, hi, lo);
    return roundPack(fmt, ctl, sign, ep + 1, (hi >> 1) | 0x8000000000000000, (lo >> 1) | (lo & 1) | (hi << 63));
  }
  let hi = ph - ch - u64(pl < cl);
  const lo = pl - cl;
  if ((hi | lo) === 0) {
    setRoundedUp(0);
    return zeroOf(fmt, u32(rounding(ctl) === DOWN));
  }
  const shift = hi !== 0 ? u32(clz(hi)) : 64 + u32(clz(lo));
  hi = shiftLeft(hi, lo, shift);
  return roundPack(fmt, ctl, sign, ep - i32(shift), hi, lowWord());
}

/** Value shifted so that bit 64 is the unit, rounded to an integer: what `toIntegerCore` and round-to-integral share. */
let roundedInteger: u64 = 0;
let roundedInexact: bool = false;
/** Integer magnitude of the number under a rounding mode; false when it does not fit in 64 bits. */
export function integerOf(mode: u32, sign: u32, e: i32, m: u64): bool {
  if (e > 63) return false;
  const hi = shiftRightJam(m, 0, u32(63 - e));
  const rest = lowWord();
  const increment = roundsUp(mode, sign, (hi & 1) !== 0, rest);
  roundedInexact = rest !== 0;
  roundedInteger = hi + u64(increment);
  setRoundedUp(u32(increment));
  setLowWord(0);
  return !(increment && roundedInteger === 0);
}
export function integerMagnitude(): u64 {
  return roundedInteger;
}
export function integerInexact(): bool {
  return roundedInexact;
}
