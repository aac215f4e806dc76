/** 128-bit integer arithmetic on pairs of u64. Two-word results: the high word is returned, the low one is `lowWord()`. */
let low: u64 = 0;

export function lowWord(): u64 {
  return low;
}
export function setLowWord(value: u64): void {
  low = value;
}

/** a * b, 128 bits. */
export function multiply(a: u64, b: u64): u64 {
  const al = a & 0xffffffff;
  const ah = a >> 32;
  const bl = b & 0xffffffff;
  const bh = b >> 32;
  const ll = al * bl;
  const lh = al * bh;
  const hl = ah * bl;
  const middle = (ll >> 32) + (lh & 0xffffffff) + (hl & 0xffffffff);
  low = (middle << 32) | (ll & 0xffffffff);
  return ah * bh + (lh >> 32) + (hl >> 32) + (middle >> 32);
}

/** Shifts right by any count; bits lost are or-ed into bit 0. */
export function shiftRightJam(hi: u64, lo: u64, count: u32): u64 {
  if (count === 0) {
    low = lo;
    return hi;
  }
  if (count < 64) {
    const lost = lo << (64 - count);
    low = (hi << (64 - count)) | (lo >> count) | u64(lost !== 0);
    return hi >> count;
  }
  if (count < 128) {
    const lost = count === 64 ? lo : (hi << (128 - count)) | lo;
    low = (hi >> (count - 64)) | u64(lost !== 0);
    return 0;
  }
  low = u64((hi | lo) !== 0);
  return 0;
}

/** Shifts left by 0..127; bits pushed out are lost. */
export function shiftLeft(hi: u64, lo: u64, count: u32): u64 {
  if (count === 0) {
    low = lo;
    return hi;
  }
  if (count < 64) {
    low = lo << count;
    return (hi << count) | (lo >> (64 - count));
  }
  low = 0;
  return lo << (count - 64);
}

/** Quotient of hi:lo / d for a normalised d (bit 63 set) and hi < d; the remainder is the low word. */
export function divide(hi: u64, lo: u64, d: u64): u64 {
  const dh = d >> 32;
  const dl = d & 0xffffffff;
  let q1 = hi / dh;
  let r = hi - q1 * dh;
  while (q1 > 0xffffffff || q1 * dl > ((r << 32) | (lo >> 32))) {
    q1--;
    r += dh;
    if (r > 0xffffffff) break;
  }
  const n = ((hi << 32) | (lo >> 32)) - q1 * d;
  let q0 = n / dh;
  r = n - q0 * dh;
  while (q0 > 0xffffffff || q0 * dl > ((r << 32) | (lo & 0xffffffff))) {
    q0--;
    r += dh;
    if (r > 0xffffffff) break;
  }
  low = ((n << 32) | (lo & 0xffffffff)) - q0 * d;
  return (q1 << 32) + q0;
}

/**
 * Integer square root of hi:lo for hi >= 2^62: a root with bit 63 set. The low word says how the rest compares to what
 * rounding needs: 0 exact, else a value below or above 2^63 as the root's next bits are below or above one half.
 */
export function squareRoot(hi: u64, lo: u64): u64 {
  const estimate = Math.sqrt(f64(hi)) * 4294967296.0;
  let r: u64 = estimate >= 18446744073709551615.0 ? 0xffffffffffffffff : u64(estimate);
  if (r <= hi) r = hi + 1 === 0 ? hi : hi + 1;
  if (r > hi) {
    const q = divideAny(hi, lo, r);
    // (r + q) / 2 without losing the carry
    r = (r >> 1) + (q >> 1) + (r & q & 1);
  }
  let sh = multiply(r, r);
  let sl = low;
  while (sh > hi || (sh === hi && sl > lo)) {
    r--;
    sh = multiply(r, r);
    sl = low;
  }
  // rest = N - r * r; one more fits as long as rest > 2r
  let restHigh = hi - sh - u64(lo < sl);
  let rest = lo - sl;
  while (restHigh > r >> 63 || (restHigh === r >> 63 && rest > r << 1)) {
    const step = (r << 1) + 1;
    restHigh = restHigh - (r >> 63) - u64(rest < step);
    rest -= step;
    r++;
  }
  low = (rest | restHigh) === 0 ? 0 : restHigh !== 0 || rest > r ? 0xc000000000000000 : 0x4000000000000000;
  return r;
}

/** `divide` for a divisor with bit 63 possibly clear (hi < d). */
function divideAny(hi: u64, lo: u64, d: u64): u64 {
  const shift = u32(clz(d));
  if (shift === 0) return divide(hi, lo, d);
  const nh = shiftLeft(hi, lo, shift);
  const q = divide(nh, low, d << u64(shift));
  low >>= u64(shift);
  return q;
}
