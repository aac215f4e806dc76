/**
 * RCPSS and RSQRTSS: estimates with 12 bits, as AMD's Zen 4 and Intel's processors (seen on Sapphire Rapids) give them bit
 * for bit. They raise nothing, read denormals as zeros and give zeros for denormals, whatever MXCSR says.
 */
import { RECIPROCAL, ROOT_EVEN, ROOT_ODD } from './reciprocal-table';

/** Intel's processors look at this many bits of the significand, AMD's at 12. */
const INTEL_RECIPROCAL_BITS: u32 = 11;
const INTEL_ROOT_BITS: u32 = 10;

/** The middle of the interval of [1, 2) that the first `bits` bits of a's fraction choose. */
function middleOf(a: u32, bits: u32): f64 {
  return 1.0 + (f64((a & 0x7fffff) >> (23 - bits)) + 0.5) / f64(1 << bits);
}

/** Bits 11..22 of an estimate in [0.5, 1): what `exact` (of the interval's middle) gives, corrected by the table. */
function amd(exact: f64, table: usize, a: u32): u32 {
  const index = (a >> 11) & 0xfff;
  const correction = u32(load<u64>(table + ((index >> 5) << 3)) >> u64((index & 31) << 1)) & 3;
  return u32(4096.0 * (2.0 * exact - 1.0)) + correction - 1;
}
/** The same for Intel's: the nearest. */
function nearest(exact: f64): u32 {
  return u32(4096.0 * (2.0 * exact - 1.0) + 0.5);
}

export function reciprocalEstimate(a: u32, intel: bool): u32 {
  const sign = a & 0x80000000;
  const biased = (a >> 23) & 0xff;
  if (biased === 0xff) return (a & 0x7fffff) !== 0 ? a | 0x400000 : sign;
  if (biased === 0) return sign | 0x7f800000;
  const e = 253 - i32(biased);
  if (e <= 0) return sign;
  const fraction = intel
    ? nearest(1.0 / middleOf(a, INTEL_RECIPROCAL_BITS))
    : amd(1.0 / middleOf(a, 12), RECIPROCAL, a);
  return sign | (u32(e) << 23) | (fraction << 11);
}

export function rootEstimate(a: u32, intel: bool): u32 {
  const sign = a & 0x80000000;
  const biased = (a >> 23) & 0xff;
  if (biased === 0xff && (a & 0x7fffff) !== 0) return a | 0x400000;
  if (biased === 0) return sign | 0x7f800000;
  if (sign !== 0) return 0xffc00000;
  if (biased === 0xff) return 0;
  // Exponent 127 (of 1.0) is even.
  const odd = (biased & 1) === 0;
  const scale = odd ? 2.0 : 1.0;
  const fraction = intel
    ? nearest(1.0 / Math.sqrt(middleOf(a, INTEL_ROOT_BITS) * scale))
    : amd(1.0 / Math.sqrt(middleOf(a, 12) * scale), odd ? ROOT_ODD : ROOT_EVEN, a);
  const e = 126 - ((i32(biased) - (odd ? 128 : 127)) >> 1);
  return (u32(e) << 23) + (fraction << 11);
}
