/**
 * RCPSS and RSQRTSS: estimates with 12 bits, as AMD's Zen 4 gives them bit for bit. They raise nothing, read denormals as
 * zeros and give zeros for denormals, whatever MXCSR says.
 */
import { RECIPROCAL, ROOT_EVEN, ROOT_ODD } from './reciprocal-table';

/** Bits 11..22 of an estimate in [0.5, 1): what `exact` (of the interval's middle) gives, corrected by the table. */
function estimate(exact: f64, table: usize, index: u32): u32 {
  const correction = u32(load<u64>(table + ((index >> 5) << 3)) >> u64((index & 31) << 1)) & 3;
  return u32(4096.0 * (2.0 * exact - 1.0)) + correction - 1;
}

export function reciprocalEstimate(a: u32): u32 {
  const sign = a & 0x80000000;
  const biased = (a >> 23) & 0xff;
  if (biased === 0xff) return (a & 0x7fffff) !== 0 ? a | 0x400000 : sign;
  if (biased === 0) return sign | 0x7f800000;
  const index = (a >> 11) & 0xfff;
  const fraction = estimate(1.0 / (1.0 + (f64(index) + 0.5) / 4096.0), RECIPROCAL, index);
  const e = 253 - i32(biased);
  return e <= 0 ? sign : sign | (u32(e) << 23) | (fraction << 11);
}

export function rootEstimate(a: u32): u32 {
  const sign = a & 0x80000000;
  const biased = (a >> 23) & 0xff;
  if (biased === 0xff && (a & 0x7fffff) !== 0) return a | 0x400000;
  if (biased === 0) return sign | 0x7f800000;
  if (sign !== 0) return 0xffc00000;
  if (biased === 0xff) return 0;
  const index = (a >> 11) & 0xfff;
  // Exponent 127 (of 1.0) is even.
  const odd = (biased & 1) === 0;
  const middle = (1.0 + (f64(index) + 0.5) / 4096.0) * (odd ? 2.0 : 1.0);
  const fraction = estimate(1.0 / Math.sqrt(middle), odd ? ROOT_ODD : ROOT_EVEN, index);
  const e = 126 - ((i32(biased) - (odd ? 128 : 127)) >> 1);
  return (u32(e) << 23) + (fraction << 11);
}
