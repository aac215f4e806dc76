/**
 * The transcendental functions of the x87, with about 120 good bits before the one rounding. Operands are numbers that need
 * no special treatment (that is x87-functions.ts' part): sign, exponent, normalised significand as in core.ts.
 *
 * Angles are reduced by pi to 66 bits, as Intel's and AMD's processors do; everything else is the true function.
 */
import { F80, PE, raise, resultSe, UE } from './control';
import { multiplyCore, roundPack, zeroOf } from './core';
import { divideFractions, divideSmall, multiplyTop } from './fixed';
import { lowWord, multiply, setLowWord, shiftLeft, shiftRightJam } from './wide';

const ONE: u64 = 0x8000000000000000; // 1 with 127 fraction bits

// A positive number in the making: (high:low) / 2^127 * 2^exponent.
let high: u64 = 0;
let low: u64 = 0;
let exponent: i32 = 0;

function set(e: i32, h: u64, l: u64): void {
  exponent = e;
  high = h;
  low = l;
}
function normalise(): void {
  const shift = high !== 0 ? u32(clz(high)) : low !== 0 ? 64 + u32(clz(low)) : 0;
  high = shiftLeft(high, low, shift);
  low = lowWord();
  exponent -= i32(shift);
}
/** Times (h:l) / 2^127 * 2^e, both normalised. */
function times(e: i32, h: u64, l: u64): void {
  high = multiplyTop(high, low, h, l);
  low = lowWord();
  exponent += e + 1;
  normalise();
}
/** Rounds what is there; always inexact. */
function finish(ctl: u32, sign: u32): u64 {
  return roundPack(F80, ctl, sign, exponent, high, low | 1);
}
/** The number, below 1, as a fraction with 128 bits: high word returned. */
function fraction(h: u64, l: u64, e: i32): u64 {
  return shiftRightJam(h, l, u32(min(-1 - e, 128)));
}

/** Quotient of two normalised numbers into the accumulator. */
function divideNumbers(ea: i32, ah: u64, al: u64, eb: i32, bh: u64, bl: u64): void {
  // Halved, the dividend is the smaller.
  const h = divideFractions(ah >> 1, (ah << 63) | (al >> 1), bh, bl);
  set(ea - eb, h, lowWord());
  normalise();
}

// ---------------------------------------------------------------- 2^x - 1

const LN2_HIGH: u64 = 0xb17217f7d1cf79ab;
const LN2_LOW: u64 = 0xc9e3b39803f2f6af;

/** 2^x - 1 for |x| < 1. */
export function exp2m1(ctl: u32, sign: u32, e: i32, m: u64): u64 {
  // y = |x| ln 2; 2^x - 1 = +-y (1 +- y/2 (1 +- y/3 (...)))
  set(e, m, 0);
  times(-1, LN2_HIGH, LN2_LOW);
  const yh = fraction(high, low, exponent);
  const yl = lowWord();
  let th = ONE;
  let tl: u64 = 0;
  for (let n: u64 = 28; n > 1; n--) {
    th = multiplyTop(th, tl, yh, yl);
    th = divideSmall(th, lowWord(), n);
    tl = lowWord();
    if (sign !== 0) {
      tl = 0 - tl;
      th = ONE - th - u64(tl !== 0);
    } else th += ONE;
  }
  scaleBy(th, tl);
  return finish(ctl, sign);
}
/** Multiplies the accumulator by a fixed-point factor with 127 fraction bits, below 2 and not tiny. */
function scaleBy(th: u64, tl: u64): void {
  const shift = u32(clz(th));
  const h = shiftLeft(th, tl, shift);
  times(-i32(shift), h, lowWord());
}

// ---------------------------------------------------------------- logarithms

/** 2 / ln 2, exponent 1. */
const TWO_OVER_LN2_HIGH: u64 = 0xb8aa3b295c17f0bb;
const TWO_OVER_LN2_LOW: u64 = 0xbe87fed0691d3e88;
const SQRT2_HIGH: u64 = 0xb504f333f9de6484;

/** Accumulator z (at most 1/3 or so) becomes log2((1 + z) / (1 - z)). */
function log2OfRatio(): void {
  const zh = fraction(high, low, exponent);
  const zl = lowWord();
  const wh = multiplyTop(zh, zl, zh, zl);
  const wl = lowWord();
  let th: u64 = 0;
  let tl: u64 = 0;
  for (let k: u64 = exponent >= -2 ? 71 : 47, last = false; !last; k -= 2) {
    last = k === 1;
    th = multiplyTop(th, tl, wh, wl);
    tl = lowWord();
    const ch = divideSmall(ONE, 0, k);
    tl += lowWord();
    th += ch + u64(tl < lowWord());
  }
  scaleBy(th, tl);
  times(1, TWO_OVER_LN2_HIGH, TWO_OVER_LN2_LOW);
}

/** y * log2(2^e * m), m = (mh:ml) / 2^127; `sign` is that of y. */
export function yLog2(ctl: u32, sign: u32, ey: i32, my: u64, e: i32, mh: u64, ml: u64): u64 {
  // m between sqrt(1/2) and sqrt(2): 1 = ONE, or one bit lower.
  let scaleDown: u32 = 0;
  if (mh > SQRT2_HIGH) {
    e++;
    scaleDown = 1;
  }
  const below = scaleDown !== 0;
  const negativeE = e < 0;
  const integer = u64(negativeE ? -e : e);
  if (!below && mh === ONE && ml === 0) {
    // A power of two: exact, though processors report PE (and UE) all the same.
    if (e === 0) return zeroOf(F80, sign);
    raise(PE);
    const shift = clz(integer);
    const product = multiplyCore(F80, ctl, sign ^ u32(negativeE), 63 - i32(shift), integer << shift, ey, my);
    if ((resultSe() & 0x7fff) === 0) raise(UE);
    return product;
  }
  // difference |m - 1| and sum m + 1, both scaled by 2^126 (m halved) or 2^127
  let dh: u64;
  let dl: u64;
  if (below) {
    // m/2 against 1: in units of 2^-128 both double.
    dl = 0 - ml;
    dh = 0 - mh - u64(ml !== 0);
    // 1 - m/2 = (2^128 - m) / 2^128
    set(-1, dh, dl);
  } else {
    dh = mh - ONE;
    dl = ml;
    set(0, dh, dl);
  }
  normalise();
  const de = exponent;
  dh = high;
  dl = low;
  // m/2 + 1 = (m + 2^128) / 2^128, m + 1 = (m + 2^127) / 2^127: one more bit.
  const sh = below ? (mh >> 1) | ONE : (mh >> 1) + (ONE >> 1);
  const sl = (mh << 63) | (ml >> 1);
  set(below ? 0 : 1, sh, sl);
  normalise();
  const se = exponent;
  const nh = high;
  const nl = low;
  divideNumbers(de, dh, dl, se, nh, nl);
  log2OfRatio();
  let negative = below;
  if (e !== 0) {
    // Integer part in 16 bits, fraction in 112.
    const fh = shiftRightJam(high, low, u32(min(15 - exponent, 128)));
    const fl = lowWord();
    const ih = integer << 48;
    if (negative === negativeE) {
      low = fl;
      high = ih + fh;
    } else {
      low = 0 - fl;
      high = ih - fh - u64(fl !== 0);
    }
    negative = negativeE;
    exponent = 15;
    normalise();
  }
  times(ey, my, 0);
  return finish(ctl, sign ^ u32(negative));
}

/** y * log2(1 + x), x with its sign `sx`, above -1. `sign` is that of y. */
export function yLog2p1(ctl: u32, sign: u32, ey: i32, my: u64, sx: u32, ex: i32, mx: u64): u64 {
  if (ex >= -1) {
    // Far from zero: 1 + x in 128 bits.
    let h: u64;
    let l: u64;
    if (sx === 0) {
      const top = max(ex, 0);
      const oh = shiftRightJam(ONE, 0, u32(min(top - 0, 128)) + 1);
      const ol = lowWord();
      h = shiftRightJam(mx, 0, u32(top - ex) + 1);
      l = lowWord() + ol;
      h += oh + u64(l < ol);
      set(top + 1, h, l);
    } else {
      // 1 - |x| with |x| in [1/2, 1)
      h = shiftRightJam(mx, 0, u32(-1 - ex));
      l = lowWord();
      set(-1, 0 - h - u64(l !== 0), 0 - l);
    }
    normalise();
    return yLog2(ctl, sign, ey, my, exponent, high, low);
  }
  // z = x / (2 + x)
  const h = shiftRightJam(mx, 0, u32(min(2 - ex, 128)));
  let l = lowWord();
  // 2 with 125 fraction bits is bit 126.
  let dh: u64 = ONE >> 1;
  if (sx === 0) dh += h;
  else {
    l = 0 - l;
    dh = dh - h - u64(l !== 0);
  }
  set(2, dh, l);
  normalise();
  const se = exponent;
  const nh = high;
  const nl = low;
  divideNumbers(ex, mx, 0, se, nh, nl);
  log2OfRatio();
  times(ey, my, 0);
  return finish(ctl, sign ^ sx);
}

// ---------------------------------------------------------------- arctangent

/** atan(k / 16) with 126 fraction bits, k = 0 .. 16. */
const ATAN: usize = memory.data<u64>([
  0x0000000000000000, 0x0000000000000000, 0x03feab76e59fbd38, 0xdb2c9e4b7038b835, 0x07f56ea6ab0bdb71,
  0x9644bcc4f9f44477, 0x0bdcbda5e72d8113, 0x47b0b4f881c9c748, 0x0fadbafc96406eb1, 0x56dc79ef5f7a217e,
  0x1362773707ebcbcd, 0x38b576931a4f5e65, 0x16f61941e4def08e, 0x715464245b9fc890, 0x1a64eec3cc23fcb6,
  0xc84f92bd2003ce26, 0x1dac670561bb4f68, 0xadfc88bd978751a0, 0x20cafd29b6619f8a, 0x92da8272d8694570,
  0x23c01757bdfd67e6, 0xd720d78599710dd1, 0x268be0399c6f7688, 0x1089be388813fcef, 0x292f1f464d3dc249,
  0x066a1fca915f6b27, 0x2bab130e2d363020, 0x051c978bcf9481c2, 0x2e014f8af08c679c, 0xf2cb69548429110f,
  0x3033a16e2b149990, 0x227758b11ba4be89, 0x3243f6a8885a308d, 0x313198a2e0370734,
]);
const PI_HIGH: u64 = 0xc90fdaa22168c234; // with 126 fraction bits
const PI_LOW: u64 = 0xc4c6628b80dc1cd1;
const HALF_PI_HIGH: u64 = 0x6487ed5110b4611a;
const HALF_PI_LOW: u64 = 0x62633145c06e0e68;

/** Accumulator z (at most 1/32 or so) becomes atan(z). */
function atanSeries(): void {
  const zh = fraction(high, low, exponent);
  const zl = lowWord();
  const wh = multiplyTop(zh, zl, zh, zl);
  const wl = lowWord();
  let th: u64 = 0;
  let tl: u64 = 0;
  for (let k: u64 = 25, last = false; !last; k -= 2) {
    last = k === 1;
    th = multiplyTop(th, tl, wh, wl);
    const pl = lowWord();
    const ch = divideSmall(ONE, 0, k);
    tl = lowWord() - pl;
    th = ch - th - u64(lowWord() < pl);
  }
  scaleBy(th, tl);
}
/** `eighths` (1 .. 4) times pi / 4: the angles of points with zero or infinite coordinates. */
export function angle(ctl: u32, eighths: u32, sign: u32): u64 {
  const n = u64(eighths);
  let h = multiply(PI_LOW, n);
  const l = lowWord();
  const product = PI_HIGH * n;
  h += product;
  const carry = multiply(PI_HIGH, n) + u64(h < product);
  // pi / 4 with 128 fraction bits is what pi is with 126.
  if (carry === 0) set(-1, h, l);
  else set(1, (h >> 2) | (carry << 62), (l >> 2) | (h << 62));
  normalise();
  return finish(ctl, sign);
}
/** atan2(y, x) of finite numbers that are not zero. */
export function atan2(ctl: u32, sy: u32, ey: i32, my: u64, sx: u32, ex: i32, mx: u64): u64 {
  const swap = ey > ex || (ey === ex && my > mx);
  const ea = swap ? ey : ex;
  const a = swap ? my : mx;
  const eb = swap ? ex : ey;
  const b = swap ? mx : my;
  const d = ea - eb;
  let k: u32 = 0;
  if (d < 6) k = u32((f64(b) / f64(a) / f64(1 << d)) * 16.0 + 0.5);
  let negative = false;
  let zero = false;
  if (k === 0) divideNumbers(eb, b, 0, ea, a, 0);
  else {
    // z = (16 b - k a) / (16 a + k b) with a = mantissa << d; all in 128 bits
    const ah = d === 0 ? 0 : a >> u64(64 - d);
    const al = a << u64(d);
    let kah = multiply(al, u64(k));
    const kal = lowWord();
    kah += ah * u64(k);
    const bh = b >> 60;
    const bl = b << 4;
    negative = bh < kah || (bh === kah && bl < kal);
    let nh: u64;
    let nl: u64;
    if (negative) {
      nl = kal - bl;
      nh = kah - bh - u64(kal < bl);
    } else {
      nl = bl - kal;
      nh = bh - kah - u64(bl < kal);
    }
    zero = (nh | nl) === 0;
    if (!zero) {
      set(0, nh, nl);
      normalise();
      const ne = exponent;
      const nmh = high;
      const nml = low;
      let sh = multiply(b, u64(k));
      let sl = lowWord();
      const a16l = al << 4;
      sl += a16l;
      sh += ((ah << 4) | (al >> 60)) + u64(sl < a16l);
      set(0, sh, sl);
      normalise();
      const de = exponent;
      const dmh = high;
      const dml = low;
      divideNumbers(ne, nmh, nml, de, dmh, dml);
    }
  }
  if (!zero) atanSeries();
  if (k === 0 && !swap && sx === 0) return finish(ctl, sy);
  // With 126 fraction bits.
  let th = load<u64>(ATAN + (k << 4));
  let tl = load<u64>(ATAN + (k << 4), 8);
  if (!zero) {
    const rh = shiftRightJam(high, low, u32(min(1 - exponent, 128)));
    const rl = lowWord();
    if (negative) {
      const before = tl;
      tl -= rl;
      th = th - rh - u64(before < rl);
    } else {
      tl += rl;
      th += rh + u64(tl < rl);
    }
  }
  if (swap) {
    const before = tl;
    tl = HALF_PI_LOW - tl;
    th = HALF_PI_HIGH - th - u64(HALF_PI_LOW < before);
  }
  if (sx !== 0) {
    const before = tl;
    tl = PI_LOW - tl;
    th = PI_HIGH - th - u64(PI_LOW < before);
  }
  set(1, th, tl);
  normalise();
  return finish(ctl, sy);
}

// ---------------------------------------------------------------- sine, cosine, tangent

/** pi / 2 in units of 2^-65: its 66 bits. */
const HALF_PI66_HIGH: u64 = 3;
const HALF_PI66_LOW: u64 = 0x243f6a8885a308d3;

let quadrant: u32 = 0;
let reducedNegative: bool = false;
let reducedZero: bool = false;
/** |x| less a multiple of pi/2 into the accumulator, between 0 and pi/4; sets quadrant and sign. e < 63. */
function reduce(e: i32, m: u64): void {
  quadrant = 0;
  reducedNegative = false;
  reducedZero = false;
  if (e < -1) {
    set(e, m, 0);
    return;
  }
  // x = m * 2^(e - 63), in units of 2^-65: m * 2^(e + 2)
  let rh: u64 = 0;
  let rl = m;
  for (let i = e + 2; i > 0; i--) {
    rh = (rh << 1) | (rl >> 63);
    rl <<= 1;
    quadrant <<= 1;
    if (rh > HALF_PI66_HIGH || (rh === HALF_PI66_HIGH && rl >= HALF_PI66_LOW)) {
      rh = rh - HALF_PI66_HIGH - u64(rl < HALF_PI66_LOW);
      rl -= HALF_PI66_LOW;
      quadrant |= 1;
    }
  }
  // The other side is nearer?
  let oh = HALF_PI66_HIGH - rh - u64(HALF_PI66_LOW < rl);
  const ol = HALF_PI66_LOW - rl;
  if (oh < rh || (oh === rh && ol < rl)) {
    rh = oh;
    rl = ol;
    oh = 0;
    quadrant++;
    reducedNegative = true;
  }
  reducedZero = (rh | rl) === 0;
  set(62, rh, rl);
  normalise();
}

let sinHigh: u64 = 0;
let sinLow: u64 = 0;
let sinExponent: i32 = 0;
/** Square of the accumulator as a fraction, for the two series. */
let squareHigh: u64 = 0;
let squareLow: u64 = 0;

/** 1 - s/(n (n-1)) (1 - s/((n-2)(n-3)) ...) down to `last`: cosine for last = 2, sine / x for last = 3. 127 fraction bits. */
function alternating(first: u64, last: u64): u64 {
  let th = ONE;
  let tl: u64 = 0;
  for (let n = first; n >= last && n > 1; n -= 2) {
    th = multiplyTop(th, tl, squareHigh, squareLow);
    th = divideSmall(th, lowWord(), n * (n - 1));
    tl = 0 - lowWord();
    th = ONE - th - u64(tl !== 0);
  }
  // Never quite 1, so that rounding goes the right way.
  if (i64(th) < 0) {
    th = ONE - 1;
    tl = ~(<u64>0);
  }
  setLowWord(tl);
  return th;
}
function square(): void {
  const h = multiplyTop(high, low, high, low);
  // [1, 4) with 126 fraction bits, times 2^(2 exponent)
  squareHigh = shiftRightJam(h, lowWord(), u32(min(-2 - 2 * exponent, 128)));
  squareLow = lowWord();
}
/** The sine of the accumulator into the accumulator. */
function sineSeries(): void {
  const th = alternating(27, 3);
  scaleBy(th, lowWord());
}
function cosineSeries(): void {
  const th = alternating(28, 2);
  set(0, th, lowWord());
  normalise();
}

/** The function of |x| that the quadrants ask for: 0 sine, 1 cosine; |x| < 2^63. */
export function sineOrCosine(ctl: u32, sign: u32, e: i32, m: u64, cosine: u32): u64 {
  reduce(e, m);
  square();
  const q = quadrant + cosine;
  let negative = (q & 2) !== 0;
  if ((q & 1) === 0) {
    negative = negative !== reducedNegative;
    // A multiple of pi/2 to 66 bits is no extended number but zero.
    if (reducedZero) return zeroOf(F80, sign);
    sineSeries();
  } else cosineSeries();
  if (cosine === 0) negative = negative !== (sign !== 0);
  return finish(ctl, u32(negative));
}
export function tangent(ctl: u32, sign: u32, e: i32, m: u64): u64 {
  reduce(e, m);
  square();
  const re = exponent;
  const rh = high;
  const rl = low;
  cosineSeries();
  const ce = exponent;
  const ch = high;
  const cl = low;
  set(re, rh, rl);
  sineSeries();
  sinExponent = exponent;
  sinHigh = high;
  sinLow = low;
  const odd = (quadrant & 1) !== 0;
  if (odd) divideNumbers(ce, ch, cl, sinExponent, sinHigh, sinLow);
  else divideNumbers(sinExponent, sinHigh, sinLow, ce, ch, cl);
  const negative = (odd !== reducedNegative) !== (sign !== 0);
  return finish(ctl, u32(negative));
}
