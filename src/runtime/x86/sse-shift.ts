/** Vector shifts (Intel SDM vol. 2: PSLL, PSRL, PSRA, PSLLDQ, PSRLDQ, VPSLLV, VPSRLV, VPSRAV). */

/** The whole low half of `b` is the count of every lane. */
function count(b: usize, limit: u64): i32 {
  return <i32>min<u64>(load<u64>(b), limit);
}

export function psllw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  psllwi(cpu, d, 0, a, count(b, 16));
}
export function pslld(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  pslldi(cpu, d, 0, a, count(b, 32));
}
export function psllq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  psllqi(cpu, d, 0, a, count(b, 64));
}
export function psrlw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  psrlwi(cpu, d, 0, a, count(b, 16));
}
export function psrld(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  psrldi(cpu, d, 0, a, count(b, 32));
}
export function psrlq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  psrlqi(cpu, d, 0, a, count(b, 64));
}
export function psraw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  psrawi(cpu, d, 0, a, count(b, 15));
}
export function psrad(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  psradi(cpu, d, 0, a, count(b, 31));
}

export function psllwi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, imm > 15 ? i64x2.splat(0) : i16x8.shl(v128.load(b), imm));
}
export function pslldi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, imm > 31 ? i64x2.splat(0) : i32x4.shl(v128.load(b), imm));
}
export function psllqi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, imm > 63 ? i64x2.splat(0) : i64x2.shl(v128.load(b), imm));
}
export function psrlwi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, imm > 15 ? i64x2.splat(0) : i16x8.shr_u(v128.load(b), imm));
}
export function psrldi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, imm > 31 ? i64x2.splat(0) : i32x4.shr_u(v128.load(b), imm));
}
export function psrlqi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, imm > 63 ? i64x2.splat(0) : i64x2.shr_u(v128.load(b), imm));
}
export function psrawi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i16x8.shr_s(v128.load(b), min<u32>(imm, 15)));
}
export function psradi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i32x4.shr_s(v128.load(b), min<u32>(imm, 31)));
}

/** Bytes 0, 1, ... 15. */
function iota(): v128 {
  return i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
export function pslldqi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const index = i8x16.sub(iota(), i8x16.splat(<i8>min<u32>(imm, 16)));
  v128.store(d, i8x16.swizzle(v128.load(b), index));
}
export function psrldqi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const index = i8x16.add(iota(), i8x16.splat(<i8>min<u32>(imm, 16)));
  v128.store(d, i8x16.swizzle(v128.load(b), index));
}
export function palignr(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const low = i8x16.add(iota(), i8x16.splat(<i8>min<u32>(imm, 32)));
  const high = i8x16.sub(low, i8x16.splat(16));
  v128.store(d, v128.or(i8x16.swizzle(v128.load(b), low), i8x16.swizzle(v128.load(a), high)));
}
/** The MMX form: 8 bytes out of 16. */
export function palignr64(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const both = i64x2(load<u64>(b), load<u64>(a));
  const index = i8x16.add(iota(), i8x16.splat(<i8>min<u32>(imm, 16)));
  v128.store(d, i8x16.swizzle(both, index));
}

export function psllvd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const v = v128.load(a);
  const n = v128.load(b);
  let r = i32x4.splat(shl32(i32x4.extract_lane(v, 0), i32x4.extract_lane(n, 0)));
  r = i32x4.replace_lane(r, 1, shl32(i32x4.extract_lane(v, 1), i32x4.extract_lane(n, 1)));
  r = i32x4.replace_lane(r, 2, shl32(i32x4.extract_lane(v, 2), i32x4.extract_lane(n, 2)));
  v128.store(d, i32x4.replace_lane(r, 3, shl32(i32x4.extract_lane(v, 3), i32x4.extract_lane(n, 3))));
}
function shl32(v: u32, n: u32): u32 {
  return n < 32 ? v << n : 0;
}
function shr32(v: u32, n: u32): u32 {
  return n < 32 ? v >> n : 0;
}
function sar32(v: i32, n: u32): i32 {
  return v >> min<u32>(n, 31);
}
export function psrlvd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const v = v128.load(a);
  const n = v128.load(b);
  let r = i32x4.splat(shr32(i32x4.extract_lane(v, 0), i32x4.extract_lane(n, 0)));
  r = i32x4.replace_lane(r, 1, shr32(i32x4.extract_lane(v, 1), i32x4.extract_lane(n, 1)));
  r = i32x4.replace_lane(r, 2, shr32(i32x4.extract_lane(v, 2), i32x4.extract_lane(n, 2)));
  v128.store(d, i32x4.replace_lane(r, 3, shr32(i32x4.extract_lane(v, 3), i32x4.extract_lane(n, 3))));
}
export function psravd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const v = v128.load(a);
  const n = v128.load(b);
  let r = i32x4.splat(sar32(i32x4.extract_lane(v, 0), i32x4.extract_lane(n, 0)));
  r = i32x4.replace_lane(r, 1, sar32(i32x4.extract_lane(v, 1), i32x4.extract_lane(n, 1)));
  r = i32x4.replace_lane(r, 2, sar32(i32x4.extract_lane(v, 2), i32x4.extract_lane(n, 2)));
  v128.store(d, i32x4.replace_lane(r, 3, sar32(i32x4.extract_lane(v, 3), i32x4.extract_lane(n, 3))));
}
export function psllvq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const low = load<u64>(b) < 64 ? load<u64>(a) << load<u64>(b) : 0;
  const high = load<u64>(b, 8) < 64 ? load<u64>(a, 8) << load<u64>(b, 8) : 0;
  v128.store(d, i64x2(low, high));
}
export function psrlvq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const low = load<u64>(b) < 64 ? load<u64>(a) >> load<u64>(b) : 0;
  const high = load<u64>(b, 8) < 64 ? load<u64>(a, 8) >> load<u64>(b, 8) : 0;
  v128.store(d, i64x2(low, high));
}

// SSE4a (AMD APM vol. 4): bit fields of the low half. Length 0 means 64. The upper half is undefined; processors
// clear it.

function fieldMask(length: u32): u64 {
  return (length & 63) === 0 ? <u64>-1 : ((<u64>1) << (length & 63)) - 1;
}
function extractField(d: usize, a: usize, length: u32, index: u32): void {
  v128.store(d, i64x2((load<u64>(a) >> (index & 63)) & fieldMask(length), 0));
}
function insertField(d: usize, a: usize, b: usize, length: u32, index: u32): void {
  const mask = fieldMask(length) << (index & 63);
  v128.store(d, i64x2((load<u64>(a) & ~mask) | ((load<u64>(b) << (index & 63)) & mask), 0));
}
/** imm: length | index << 8. */
export function extrqi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  extractField(d, a, imm, imm >> 8);
}
/** Length and index in the bytes of b. */
export function extrq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  extractField(d, a, load<u8>(b), load<u8>(b, 1));
}
export function insertqi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  insertField(d, a, b, imm, imm >> 8);
}
/** Length and index in the bytes of b's upper half. */
export function insertq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  insertField(d, a, b, load<u8>(b, 8), load<u8>(b, 9));
}
