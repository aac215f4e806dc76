/** Vector to scalar: masks, tests, and the searching instructions PHMINPOSUW and MPSADBW. */

// The mask instructions leave a 64-bit number at d. imm: 16-byte lanes of the operand less one.

export function pmovmskb(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  let mask = <u32>i8x16.bitmask(v128.load(b));
  if (imm) mask |= (<u32>i8x16.bitmask(v128.load(b, 16))) << 16;
  store<u64>(d, <u64>mask);
}
/** Of an MMX register. */
export function pmovmskb64(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u64>(d, <u64>(i8x16.bitmask(v128.load(b)) & 0xff));
}
export function movmskps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  let mask = i32x4.bitmask(v128.load(b));
  if (imm) mask |= i32x4.bitmask(v128.load(b, 16)) << 4;
  store<u64>(d, <u64>mask);
}
export function movmskpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  let mask = i64x2.bitmask(v128.load(b));
  if (imm) mask |= i64x2.bitmask(v128.load(b, 16)) << 2;
  store<u64>(d, <u64>mask);
}

// The tests leave EFLAGS bits at d: ZF when a & b is zero, CF when ~a & b is. imm as above.

function zeroAndCarry(d: usize, both: v128, only: v128): void {
  store<u64>(d, (v128.any_true(both) ? 0 : 0x40) | (v128.any_true(only) ? 0 : 1));
}
export function ptest(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  let both = v128.and(v128.load(a), v128.load(b));
  let only = v128.andnot(v128.load(b), v128.load(a));
  if (imm) {
    both = v128.or(both, v128.and(v128.load(a, 16), v128.load(b, 16)));
    only = v128.or(only, v128.andnot(v128.load(b, 16), v128.load(a, 16)));
  }
  zeroAndCarry(d, both, only);
}
/** The same of the sign bits of 32-bit lanes. */
export function vtestps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  let both = v128.and(v128.load(a), v128.load(b));
  let only = v128.andnot(v128.load(b), v128.load(a));
  if (imm) {
    both = v128.or(both, v128.and(v128.load(a, 16), v128.load(b, 16)));
    only = v128.or(only, v128.andnot(v128.load(b, 16), v128.load(a, 16)));
  }
  zeroAndCarry(d, i32x4.shr_s(both, 31), i32x4.shr_s(only, 31));
}
/** The same of the sign bits of 64-bit lanes. */
export function vtestpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  let both = v128.and(v128.load(a), v128.load(b));
  let only = v128.andnot(v128.load(b), v128.load(a));
  if (imm) {
    both = v128.or(both, v128.and(v128.load(a, 16), v128.load(b, 16)));
    only = v128.or(only, v128.andnot(v128.load(b, 16), v128.load(a, 16)));
  }
  zeroAndCarry(d, i64x2.shr_s(both, 63), i64x2.shr_s(only, 63));
}

/** The smallest unsigned word of b and, above it, its index. */
export function phminposuw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  let best = <u32>load<u16>(b);
  let index: u32 = 0;
  for (let i: u32 = 1; i < 8; i++) {
    const value = <u32>load<u16>(b + (i << 1));
    if (value < best) {
      best = value;
      index = i;
    }
  }
  v128.store(d, i64x2(<u64>(best | (index << 16)), 0));
}

function distance(x: v128, y: v128): v128 {
  return v128.or(i8x16.sub_sat_u(x, y), i8x16.sub_sat_u(y, x));
}
/** Sums of absolute differences of 4 bytes of b (chosen by imm 1:0) with each 4 of 11 bytes of a (from imm 2). */
export function mpsadbw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const from = a + (imm & 4);
  const block = b + ((imm & 3) << 2);
  // Eight sums side by side: 16-bit lane i adds up |a[i + k] - b[k]| over k.
  const s0 = distance(v128.load64_zero(from), i8x16.splat(load<u8>(block)));
  const s1 = distance(v128.load64_zero(from, 1), i8x16.splat(load<u8>(block, 1)));
  const s2 = distance(v128.load64_zero(from, 2), i8x16.splat(load<u8>(block, 2)));
  const s3 = distance(v128.load64_zero(from, 3), i8x16.splat(load<u8>(block, 3)));
  const s01 = i16x8.add(i16x8.extend_low_i8x16_u(s0), i16x8.extend_low_i8x16_u(s1));
  const s23 = i16x8.add(i16x8.extend_low_i8x16_u(s2), i16x8.extend_low_i8x16_u(s3));
  v128.store(d, i16x8.add(s01, s23));
}
