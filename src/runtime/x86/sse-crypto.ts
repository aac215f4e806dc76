/** AES (FIPS 197), carry-less multiplication, SHA-1 and SHA-256 (FIPS 180-4) and CRC-32C, as the x86 instructions cut them. */
import { AES_INVERSE_SBOX, AES_SBOX, CRC32C } from '../generated/crypto-tables';

function substitute(v: v128, box: usize): v128 {
  let r = i8x16.splat(load<u8>(box + i8x16.extract_lane_u(v, 0)));
  r = i8x16.replace_lane(r, 1, load<u8>(box + i8x16.extract_lane_u(v, 1)));
  r = i8x16.replace_lane(r, 2, load<u8>(box + i8x16.extract_lane_u(v, 2)));
  r = i8x16.replace_lane(r, 3, load<u8>(box + i8x16.extract_lane_u(v, 3)));
  r = i8x16.replace_lane(r, 4, load<u8>(box + i8x16.extract_lane_u(v, 4)));
  r = i8x16.replace_lane(r, 5, load<u8>(box + i8x16.extract_lane_u(v, 5)));
  r = i8x16.replace_lane(r, 6, load<u8>(box + i8x16.extract_lane_u(v, 6)));
  r = i8x16.replace_lane(r, 7, load<u8>(box + i8x16.extract_lane_u(v, 7)));
  r = i8x16.replace_lane(r, 8, load<u8>(box + i8x16.extract_lane_u(v, 8)));
  r = i8x16.replace_lane(r, 9, load<u8>(box + i8x16.extract_lane_u(v, 9)));
  r = i8x16.replace_lane(r, 10, load<u8>(box + i8x16.extract_lane_u(v, 10)));
  r = i8x16.replace_lane(r, 11, load<u8>(box + i8x16.extract_lane_u(v, 11)));
  r = i8x16.replace_lane(r, 12, load<u8>(box + i8x16.extract_lane_u(v, 12)));
  r = i8x16.replace_lane(r, 13, load<u8>(box + i8x16.extract_lane_u(v, 13)));
  r = i8x16.replace_lane(r, 14, load<u8>(box + i8x16.extract_lane_u(v, 14)));
  return i8x16.replace_lane(r, 15, load<u8>(box + i8x16.extract_lane_u(v, 15)));
}
// The state is in column order: byte r + 4c is row r of column c.
function shiftRows(v: v128): v128 {
  return v128.shuffle<i8>(v, v, 0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11);
}
function inverseShiftRows(v: v128): v128 {
  return v128.shuffle<i8>(v, v, 0, 13, 10, 7, 4, 1, 14, 11, 8, 5, 2, 15, 12, 9, 6, 3);
}
/** Each byte times 2 in GF(2^8). */
function times2(v: v128): v128 {
  return v128.xor(i8x16.shl(v, 1), v128.and(i8x16.shr_s(v, 7), i8x16.splat(0x1b)));
}
/** Every column's byte i becomes its byte i + 1, or i + 2. */
function rotate1(v: v128): v128 {
  return v128.or(i32x4.shr_u(v, 8), i32x4.shl(v, 24));
}
function rotate2(v: v128): v128 {
  return v128.or(i32x4.shr_u(v, 16), i32x4.shl(v, 16));
}
/** 2 a[i] + 3 a[i+1] + a[i+2] + a[i+3]. */
function mixColumns(v: v128): v128 {
  const next = rotate1(v);
  const pair = v128.xor(v, next);
  return v128.xor(v128.xor(times2(pair), next), rotate2(pair));
}
/** The inverse matrix is the forward one times (5, 0, 4, 0). */
function inverseMixColumns(v: v128): v128 {
  return mixColumns(v128.xor(v, times2(times2(v128.xor(v, rotate2(v))))));
}

export function aesenc(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const v = mixColumns(substitute(shiftRows(v128.load(a)), AES_SBOX));
  v128.store(d, v128.xor(v, v128.load(b)));
}
export function aesenclast(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const v = substitute(shiftRows(v128.load(a)), AES_SBOX);
  v128.store(d, v128.xor(v, v128.load(b)));
}
export function aesdec(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const v = inverseMixColumns(substitute(inverseShiftRows(v128.load(a)), AES_INVERSE_SBOX));
  v128.store(d, v128.xor(v, v128.load(b)));
}
export function aesdeclast(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const v = substitute(inverseShiftRows(v128.load(a)), AES_INVERSE_SBOX);
  v128.store(d, v128.xor(v, v128.load(b)));
}
export function aesimc(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, inverseMixColumns(v128.load(b)));
}
export function aeskeygenassist(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const v = substitute(v128.load(b), AES_SBOX);
  const x1 = <u32>i32x4.extract_lane(v, 1);
  const x3 = <u32>i32x4.extract_lane(v, 3);
  v128.store(d, i32x4(x1, rotr<u32>(x1, 8) ^ imm, x3, rotr<u32>(x3, 8) ^ imm));
}

/** 0x1111..., 0x0f0f..., 0x3333..., 0x5555...: all ones divided by 15, 17, 5, 3. */
const EVERY_FOURTH: u64 = <u64>-1 / 15;
const LOW_NIBBLES: u64 = <u64>-1 / 17;
const LOW_PAIRS: u64 = <u64>-1 / 5;
const EVEN_BITS: u64 = <u64>-1 / 3;

/**
 * Low 64 bits of a carry-less product. Operands are cut into four with every fourth bit set, so that carries of the
 * integer products (at most 16 ones a column) fall into the three bits between and are masked away.
 */
function carrylessLow(x: u64, y: u64): u64 {
  const m0: u64 = EVERY_FOURTH;
  const m1 = m0 << 1;
  const m2 = m0 << 2;
  const m3 = m0 << 3;
  const x0 = x & m0;
  const x1 = x & m1;
  const x2 = x & m2;
  const x3 = x & m3;
  const y0 = y & m0;
  const y1 = y & m1;
  const y2 = y & m2;
  const y3 = y & m3;
  const z0 = (x0 * y0) ^ (x1 * y3) ^ (x2 * y2) ^ (x3 * y1);
  const z1 = (x0 * y1) ^ (x1 * y0) ^ (x2 * y3) ^ (x3 * y2);
  const z2 = (x0 * y2) ^ (x1 * y1) ^ (x2 * y0) ^ (x3 * y3);
  const z3 = (x0 * y3) ^ (x1 * y2) ^ (x2 * y1) ^ (x3 * y0);
  return (z0 & m0) | (z1 & m1) | (z2 & m2) | (z3 & m3);
}
function reverseBits(x: u64): u64 {
  let v = bswap<u64>(x);
  v = ((v >> 4) & LOW_NIBBLES) | ((v & LOW_NIBBLES) << 4);
  v = ((v >> 2) & LOW_PAIRS) | ((v & LOW_PAIRS) << 2);
  return ((v >> 1) & EVEN_BITS) | ((v & EVEN_BITS) << 1);
}
/** imm bit 0 chooses the half of a, bit 4 that of b. */
export function pclmulqdq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<u64>(a + ((imm & 1) << 3));
  const y = load<u64>(b + ((imm & 16) >> 1));
  const high = reverseBits(carrylessLow(reverseBits(x), reverseBits(y))) >> 1;
  v128.store(d, i64x2(carrylessLow(x, y), high));
}

function sha1Function(round: u32, b: u32, c: u32, d: u32): u32 {
  if (round === 0) return (b & c) ^ (~b & d);
  if (round === 2) return (b & c) ^ (b & d) ^ (c & d);
  return b ^ c ^ d;
}
export function sha1rnds4(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const round = imm & 3;
  const k: u32 = round === 0 ? 0x5a827999 : round === 1 ? 0x6ed9eba1 : round === 2 ? 0x8f1bbcdc : 0xca62c1d6;
  let va = load<u32>(a, 12);
  let vb = load<u32>(a, 8);
  let vc = load<u32>(a, 4);
  let vd = load<u32>(a);
  let ve: u32 = 0; // the first message word comes with E added in
  for (let i: usize = 0; i < 4; i++) {
    const next = sha1Function(round, vb, vc, vd) + rotl<u32>(va, 5) + load<u32>(b + 12 - (i << 2)) + ve + k;
    ve = vd;
    vd = vc;
    vc = rotl<u32>(vb, 30);
    vb = va;
    va = next;
  }
  v128.store(d, i32x4(vd, vc, vb, va));
}
export function sha1nexte(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const e = load<u32>(b, 12) + rotl<u32>(load<u32>(a, 12), 30);
  v128.store(d, i32x4.replace_lane(v128.load(b), 3, e));
}
export function sha1msg1(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, v128.xor(v128.load(a), i64x2(load<u64>(b, 8), load<u64>(a))));
}
export function sha1msg2(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const w16 = rotl<u32>(load<u32>(a, 12) ^ load<u32>(b, 8), 1);
  const w17 = rotl<u32>(load<u32>(a, 8) ^ load<u32>(b, 4), 1);
  const w18 = rotl<u32>(load<u32>(a, 4) ^ load<u32>(b), 1);
  const w19 = rotl<u32>(load<u32>(a) ^ w16, 1);
  v128.store(d, i32x4(w19, w18, w17, w16));
}

/** Two rounds; imm: byte offset in the state of the register with the two message words plus constants (XMM0). */
export function sha256rnds2(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  let va = load<u32>(b, 12);
  let vb = load<u32>(b, 8);
  let vc = load<u32>(a, 12);
  let vd = load<u32>(a, 8);
  let ve = load<u32>(b, 4);
  let vf = load<u32>(b);
  let vg = load<u32>(a, 4);
  let vh = load<u32>(a);
  for (let i: usize = 0; i < 2; i++) {
    const choose = (ve & vf) ^ (~ve & vg);
    const majority = (va & vb) ^ (va & vc) ^ (vb & vc);
    const s1 = rotr<u32>(ve, 6) ^ rotr<u32>(ve, 11) ^ rotr<u32>(ve, 25);
    const s0 = rotr<u32>(va, 2) ^ rotr<u32>(va, 13) ^ rotr<u32>(va, 22);
    const t = choose + s1 + load<u32>(cpu + imm + (i << 2)) + vh;
    vh = vg;
    vg = vf;
    vf = ve;
    ve = vd + t;
    vd = vc;
    vc = vb;
    vb = va;
    va = t + majority + s0;
  }
  v128.store(d, i32x4(vf, ve, vb, va));
}
function sigma0(x: u32): u32 {
  return rotr<u32>(x, 7) ^ rotr<u32>(x, 18) ^ (x >> 3);
}
function sigma1(x: u32): u32 {
  return rotr<u32>(x, 17) ^ rotr<u32>(x, 19) ^ (x >> 10);
}
export function sha256msg1(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const s = i32x4(sigma0(load<u32>(a, 4)), sigma0(load<u32>(a, 8)), sigma0(load<u32>(a, 12)), sigma0(load<u32>(b)));
  v128.store(d, i32x4.add(v128.load(a), s));
}
export function sha256msg2(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const w16 = load<u32>(a) + sigma1(load<u32>(b, 8));
  const w17 = load<u32>(a, 4) + sigma1(load<u32>(b, 12));
  const w18 = load<u32>(a, 8) + sigma1(w16);
  const w19 = load<u32>(a, 12) + sigma1(w17);
  v128.store(d, i32x4(w16, w17, w18, w19));
}

/** CRC32: a is the checksum so far, b the data, imm its bytes. */
export function crc32(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  let crc = <u32>a;
  for (let i: u32 = 0; i < imm; i++) {
    crc = load<u32>(CRC32C + ((<usize>((crc ^ <u32>(b >> (i << 3))) & 0xff)) << 2)) ^ (crc >> 8);
  }
  return <u64>crc;
}
