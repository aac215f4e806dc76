/**
 * Soft f16, f32 and f64 as bit patterns in a u64 (format `fmt`), by the rules of SSE: of two NaN operands the first wins,
 * denormal operands raise DE unless DAZ makes them zeros.
 */
import { CTL_DAZ, CTL_FTZ, DE, DOWN, F16, F32, F64, IE, PE, raise, rounding, ZE } from './control';
import {
  addCore,
  defaultNaN,
  divideCore,
  fmaCore,
  infinityOf,
  integerInexact,
  integerMagnitude,
  integerOf,
  maxExponent,
  multiplyCore,
  roundInteger,
  roundPack,
  sqrtCore,
  zeroOf,
} from './core';

function fractionBits(fmt: u32): u64 {
  return fmt === F64 ? 52 : fmt === F32 ? 23 : 10;
}
function signOf(fmt: u32, a: u64): u32 {
  return u32(a >> (fmt === F64 ? 63 : fmt === F32 ? 31 : 15)) & 1;
}
function signBit(fmt: u32): u64 {
  return fmt === F64 ? 0x8000000000000000 : fmt === F32 ? 0x80000000 : 0x8000;
}
function exponentMask(fmt: u32): u64 {
  return fmt === F64 ? 0x7ff0000000000000 : fmt === F32 ? 0x7f800000 : 0x7c00;
}
function quietBit(fmt: u32): u64 {
  return fmt === F64 ? 0x8000000000000 : fmt === F32 ? 0x400000 : 0x200;
}
export function isNaNBits(fmt: u32, a: u64): bool {
  return (a & (signBit(fmt) - 1)) > exponentMask(fmt);
}
function isInfinityBits(fmt: u32, a: u64): bool {
  return (a & (signBit(fmt) - 1)) === exponentMask(fmt);
}
function isZeroBits(fmt: u32, a: u64): bool {
  return (a & (signBit(fmt) - 1)) === 0;
}
function isDenormalBits(fmt: u32, a: u64): bool {
  return (a & exponentMask(fmt)) === 0 && !isZeroBits(fmt, a);
}
function isSignaling(fmt: u32, a: u64): bool {
  return isNaNBits(fmt, a) && (a & quietBit(fmt)) === 0;
}

/** Exponent of a finite, non-zero number; its normalised significand is `significandOf`. */
function exponentOf(fmt: u32, a: u64): i32 {
  const biased = i32((a & exponentMask(fmt)) >> fractionBits(fmt));
  if (biased !== 0) return biased - maxExponent(fmt);
  const fraction = a & (signBit(fmt) - 1);
  return 64 - i32(clz(fraction)) - i32(fractionBits(fmt)) - maxExponent(fmt);
}
function significandOf(fmt: u32, a: u64): u64 {
  const bits = fractionBits(fmt);
  const fraction = a & (((<u64>1) << bits) - 1);
  if ((a & exponentMask(fmt)) !== 0) return (((<u64>1) << bits) | fraction) << (63 - bits);
  return fraction << clz(fraction);
}

/** Applies DAZ, or raises DE for a denormal; halves are exempt from both. */
function input(fmt: u32, a: u64, ctl: u32): u64 {
  if (!isDenormalBits(fmt, a) || fmt === F16) return a;
  if ((ctl & CTL_DAZ) !== 0) return a & signBit(fmt);
  raise(DE);
  return a;
}

function nanOf2(fmt: u32, a: u64, b: u64): u64 {
  if (isSignaling(fmt, a) || isSignaling(fmt, b)) raise(IE);
  return (isNaNBits(fmt, a) ? a : b) | quietBit(fmt);
}
function invalid(fmt: u32): u64 {
  raise(IE);
  return defaultNaN(fmt);
}

export function add(fmt: u32, a: u64, b: u64, ctl: u32): u64 {
  if (isNaNBits(fmt, a) || isNaNBits(fmt, b)) return nanOf2(fmt, a, b);
  const sa = signOf(fmt, a);
  const sb = signOf(fmt, b);
  if (isInfinityBits(fmt, a) && isInfinityBits(fmt, b)) return sa === sb ? a : invalid(fmt);
  a = input(fmt, a, ctl);
  b = input(fmt, b, ctl);
  if (isInfinityBits(fmt, a)) return a;
  if (isInfinityBits(fmt, b)) return b;
  if (isZeroBits(fmt, a)) {
    if (isZeroBits(fmt, b)) return sa === sb ? a : zeroOf(fmt, u32(rounding(ctl) === DOWN));
    return roundPack(fmt, ctl, sb, exponentOf(fmt, b), significandOf(fmt, b), 0);
  }
  if (isZeroBits(fmt, b)) return roundPack(fmt, ctl, sa, exponentOf(fmt, a), significandOf(fmt, a), 0);
  return addCore(
    fmt,
    ctl,
    sa,
    exponentOf(fmt, a),
    significandOf(fmt, a),
    sb,
    exponentOf(fmt, b),
    significandOf(fmt, b),
  );
}

export function subtract(fmt: u32, a: u64, b: u64, ctl: u32): u64 {
  return add(fmt, a, isNaNBits(fmt, b) ? b : b ^ signBit(fmt), ctl);
}

export function mul(fmt: u32, a: u64, b: u64, ctl: u32): u64 {
  if (isNaNBits(fmt, a) || isNaNBits(fmt, b)) return nanOf2(fmt, a, b);
  const flushA = isDenormalBits(fmt, a) && (ctl & CTL_DAZ) !== 0 ? a & signBit(fmt) : a;
  const flushB = isDenormalBits(fmt, b) && (ctl & CTL_DAZ) !== 0 ? b & signBit(fmt) : b;
  const sign = signOf(fmt, a) ^ signOf(fmt, b);
  if (isInfinityBits(fmt, a) || isInfinityBits(fmt, b)) {
    if (isZeroBits(fmt, flushA) || isZeroBits(fmt, flushB)) return invalid(fmt);
    input(fmt, a, ctl);
    input(fmt, b, ctl);
    return infinityOf(fmt, sign);
  }
  a = input(fmt, a, ctl);
  b = input(fmt, b, ctl);
  if (isZeroBits(fmt, a) || isZeroBits(fmt, b)) return zeroOf(fmt, sign);
  return multiplyCore(
    fmt,
    ctl,
    sign,
    exponentOf(fmt, a),
    significandOf(fmt, a),
    exponentOf(fmt, b),
    significandOf(fmt, b),
  );
}

export function div(fmt: u32, a: u64, b: u64, ctl: u32): u64 {
  if (isNaNBits(fmt, a) || isNaNBits(fmt, b)) return nanOf2(fmt, a, b);
  const sign = signOf(fmt, a) ^ signOf(fmt, b);
  const flushA = isDenormalBits(fmt, a) && (ctl & CTL_DAZ) !== 0 ? a & signBit(fmt) : a;
  const flushB = isDenormalBits(fmt, b) && (ctl & CTL_DAZ) !== 0 ? b & signBit(fmt) : b;
  if (isInfinityBits(fmt, a)) {
    if (isInfinityBits(fmt, b)) return invalid(fmt);
    input(fmt, b, ctl);
    return infinityOf(fmt, sign);
  }
  if (isZeroBits(fmt, flushB)) {
    if (isZeroBits(fmt, flushA)) return invalid(fmt);
    raise(ZE);
    return infinityOf(fmt, sign);
  }
  a = input(fmt, a, ctl);
  b = input(fmt, b, ctl);
  if (isInfinityBits(fmt, b) || isZeroBits(fmt, a)) return zeroOf(fmt, sign);
  return divideCore(
    fmt,
    ctl,
    sign,
    exponentOf(fmt, a),
    significandOf(fmt, a),
    exponentOf(fmt, b),
    significandOf(fmt, b),
  );
}

export function sqrt(fmt: u32, a: u64, ctl: u32): u64 {
  if (isNaNBits(fmt, a)) return nanOf2(fmt, a, a);
  const flushed = isDenormalBits(fmt, a) && (ctl & CTL_DAZ) !== 0 ? a & signBit(fmt) : a;
  if (isZeroBits(fmt, flushed)) return flushed;
  if (signOf(fmt, a) !== 0) return invalid(fmt);
  if (isInfinityBits(fmt, a)) return a;
  input(fmt, a, ctl);
  return sqrtCore(fmt, ctl, exponentOf(fmt, a), significandOf(fmt, a));
}

/** a * b + c with one rounding; negate operands beforehand (NaN operands keep their signs: pass `negate` instead). */
export function fma(fmt: u32, a: u64, b: u64, c: u64, negateProduct: bool, negateAddend: bool, ctl: u32): u64 {
  if (isNaNBits(fmt, a) || isNaNBits(fmt, b) || isNaNBits(fmt, c)) {
    if (isSignaling(fmt, a) || isSignaling(fmt, b) || isSignaling(fmt, c)) raise(IE);
    return (isNaNBits(fmt, a) ? a : isNaNBits(fmt, b) ? b : c) | quietBit(fmt);
  }
  const flush = (ctl & CTL_DAZ) !== 0;
  const fa = flush && isDenormalBits(fmt, a) ? a & signBit(fmt) : a;
  const fb = flush && isDenormalBits(fmt, b) ? b & signBit(fmt) : b;
  const sp = signOf(fmt, a) ^ signOf(fmt, b) ^ u32(negateProduct);
  const sc = signOf(fmt, c) ^ u32(negateAddend);
  const infiniteProduct = isInfinityBits(fmt, a) || isInfinityBits(fmt, b);
  if (infiniteProduct) {
    if (isZeroBits(fmt, fa) || isZeroBits(fmt, fb)) return invalid(fmt);
    if (isInfinityBits(fmt, c) && sc !== sp) return invalid(fmt);
  }
  a = input(fmt, a, ctl);
  b = input(fmt, b, ctl);
  c = input(fmt, c, ctl);
  if (infiniteProduct) return infinityOf(fmt, sp);
  if (isInfinityBits(fmt, c)) return infinityOf(fmt, sc);
  if (isZeroBits(fmt, a) || isZeroBits(fmt, b)) {
    if (isZeroBits(fmt, c)) return zeroOf(fmt, sp === sc ? sp : u32(rounding(ctl) === DOWN));
    return roundPack(fmt, ctl, sc, exponentOf(fmt, c), significandOf(fmt, c), 0);
  }
  const ea = exponentOf(fmt, a);
  const ma = significandOf(fmt, a);
  const eb = exponentOf(fmt, b);
  const mb = significandOf(fmt, b);
  if (isZeroBits(fmt, c)) return multiplyCore(fmt, ctl, sp, ea, ma, eb, mb);
  return fmaCore(fmt, ctl, sp, ea, ma, eb, mb, sc, exponentOf(fmt, c), significandOf(fmt, c));
}

/** MINxx: the second operand when they are equal, both zero, or one is a NaN (which raises IE, quiet or not). */
export function minimum(fmt: u32, a: u64, b: u64, ctl: u32): u64 {
  return extreme(fmt, a, b, ctl, -1);
}
/** MAXxx, likewise. */
export function maximum(fmt: u32, a: u64, b: u64, ctl: u32): u64 {
  return extreme(fmt, a, b, ctl, 1);
}
function extreme(fmt: u32, a: u64, b: u64, ctl: u32, wanted: i32): u64 {
  // DAZ shows in the result, also in one that is returned because of a NaN.
  if (isNaNBits(fmt, a) || isNaNBits(fmt, b)) {
    raise(IE);
    return (ctl & CTL_DAZ) !== 0 && isDenormalBits(fmt, b) ? b & signBit(fmt) : b;
  }
  a = input(fmt, a, ctl);
  b = input(fmt, b, ctl);
  return ordered(fmt, a, b) === wanted ? a : b;
}

/** -1, 0, 1 of two numbers that are no NaNs. */
function ordered(fmt: u32, a: u64, b: u64): i32 {
  if (isZeroBits(fmt, a) && isZeroBits(fmt, b)) return 0;
  const ka = signOf(fmt, a) !== 0 ? -i64(a & (signBit(fmt) - 1)) : i64(a);
  const kb = signOf(fmt, b) !== 0 ? -i64(b & (signBit(fmt) - 1)) : i64(b);
  return ka < kb ? -1 : i32(ka > kb);
}

/** -1 less, 0 equal, 1 greater, 2 unordered. `quiet`: IE for signaling NaNs only. */
export function compare(fmt: u32, a: u64, b: u64, ctl: u32, quiet: bool): i32 {
  if (isNaNBits(fmt, a) || isNaNBits(fmt, b)) {
    if (!quiet || isSignaling(fmt, a) || isSignaling(fmt, b)) raise(IE);
    return 2;
  }
  return ordered(fmt, input(fmt, a, ctl), input(fmt, b, ctl));
}

/** Between f16, f32 and f64. */
export function convert(from: u32, to: u32, a: u64, ctl: u32): u64 {
  const sign = signOf(from, a);
  if (isNaNBits(from, a)) {
    if (isSignaling(from, a)) raise(IE);
    const payload = (a & (((<u64>1) << fractionBits(from)) - 1)) << (52 - fractionBits(from));
    const quiet = (payload | quietBit(F64)) >> (52 - fractionBits(to));
    return infinityOf(to, sign) | quiet;
  }
  if (isInfinityBits(from, a)) return infinityOf(to, sign);
  a = input(from, a, ctl);
  if (isZeroBits(from, a)) return zeroOf(to, sign);
  return roundPack(to, ctl, sign, exponentOf(from, a), significandOf(from, a), 0);
}

/** Signed integer of `bits` (32 or 64), sign-extended; IE and the integer indefinite when it does not fit. */
export function toSigned(fmt: u32, a: u64, bits: u32, mode: u32, ctl: u32): u64 {
  const indefinite: u64 = bits === 64 ? 0x8000000000000000 : 0xffffffff80000000;
  if ((a & exponentMask(fmt)) === exponentMask(fmt)) {
    raise(IE);
    return indefinite;
  }
  // Conversions to integers do not raise DE, but DAZ holds.
  if (isDenormalBits(fmt, a) && (ctl & CTL_DAZ) !== 0) return 0;
  if (isZeroBits(fmt, a)) return 0;
  const sign = signOf(fmt, a);
  if (!integerOf(mode, sign, exponentOf(fmt, a), significandOf(fmt, a))) {
    raise(IE);
    return indefinite;
  }
  const magnitude = integerMagnitude();
  const limit: u64 = ((<u64>1) << (bits - 1)) - u64(sign === 0);
  if (magnitude > limit) {
    raise(IE);
    return indefinite;
  }
  if (integerInexact()) raise(PE);
  return sign !== 0 ? 0 - magnitude : magnitude;
}

export function fromSigned(fmt: u32, value: i64, ctl: u32): u64 {
  return value < 0 ? roundInteger(fmt, ctl, 1, 0 - u64(value)) : roundInteger(fmt, ctl, 0, u64(value));
}
export function fromUnsigned(fmt: u32, value: u64, ctl: u32): u64 {
  return roundInteger(fmt, ctl, 0, value);
}

/** ROUNDxx: an integral value in the same format; PE unless `suppress`. */
export function roundToIntegral(fmt: u32, a: u64, mode: u32, suppress: bool, ctl: u32): u64 {
  if (isNaNBits(fmt, a)) return nanOf2(fmt, a, a);
  if (isInfinityBits(fmt, a)) return a;
  if (isDenormalBits(fmt, a) && (ctl & CTL_DAZ) !== 0) a &= signBit(fmt);
  if (isZeroBits(fmt, a)) return a;
  const e = exponentOf(fmt, a);
  if (e >= i32(fractionBits(fmt))) return a;
  const sign = signOf(fmt, a);
  integerOf(mode, sign, e, significandOf(fmt, a));
  if (integerInexact() && !suppress) raise(PE);
  const magnitude = integerMagnitude();
  if (magnitude === 0) return zeroOf(fmt, sign);
  const shift = clz(magnitude);
  return roundPack(fmt, ctl & ~CTL_FTZ, sign, 63 - i32(shift), magnitude << shift, 0);
}
