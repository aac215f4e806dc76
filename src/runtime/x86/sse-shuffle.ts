/** Shuffles, blends, inserts, extracts, widening moves. Operands are read before the result is stored: they may alias. */

function lane32(v: usize, field: u32): u32 {
  return load<u32>(v + ((field & 3) << 2));
}
function lane16(v: usize, field: u32): u64 {
  return <u64>load<u16>(v + ((field & 3) << 1));
}
function words(v: usize, imm: u32): u64 {
  return lane16(v, imm) | (lane16(v, imm >> 2) << 16) | (lane16(v, imm >> 4) << 32) | (lane16(v, imm >> 6) << 48);
}

export function pshufd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i32x4(lane32(b, imm), lane32(b, imm >> 2), lane32(b, imm >> 4), lane32(b, imm >> 6)));
}
export function pshuflw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i64x2(words(b, imm), load<u64>(b, 8)));
}
export function pshufhw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i64x2(load<u64>(b), words(b + 8, imm)));
}
export function shufps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i32x4(lane32(a, imm), lane32(a, imm >> 2), lane32(b, imm >> 4), lane32(b, imm >> 6)));
}
export function shufpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i64x2(load<u64>(a + ((imm & 1) << 3)), load<u64>(b + ((imm & 2) << 2))));
}
/** VPERMILPS by the control vector b. */
export function vpermilps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(
    d,
    i32x4(lane32(a, load<u32>(b)), lane32(a, load<u32>(b, 4)), lane32(a, load<u32>(b, 8)), lane32(a, load<u32>(b, 12))),
  );
}
/** VPERMILPD by the control vector b: bit 1 of each half chooses. */
export function vpermilpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const low = load<u64>(a + ((load<u32>(b) & 2) << 2));
  const high = load<u64>(a + ((load<u32>(b, 8) & 2) << 2));
  v128.store(d, i64x2(low, high));
}

// Across 256 bits

/** VPERMQ, VPERMPD. */
export function vpermq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const q0 = load<u64>(b + ((imm & 3) << 3));
  const q1 = load<u64>(b + (((imm >> 2) & 3) << 3));
  const q2 = load<u64>(b + (((imm >> 4) & 3) << 3));
  const q3 = load<u64>(b + (((imm >> 6) & 3) << 3));
  store<u64>(d, q0);
  store<u64>(d, q1, 8);
  store<u64>(d, q2, 16);
  store<u64>(d, q3, 24);
}
function lane8of32(v: usize, index: u32): u32 {
  return load<u32>(v + ((index & 7) << 2));
}
/** VPERMD, VPERMPS: indexes in a, data in b. */
export function vpermd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const low = i32x4(
    lane8of32(b, load<u32>(a)),
    lane8of32(b, load<u32>(a, 4)),
    lane8of32(b, load<u32>(a, 8)),
    lane8of32(b, load<u32>(a, 12)),
  );
  const high = i32x4(
    lane8of32(b, load<u32>(a, 16)),
    lane8of32(b, load<u32>(a, 20)),
    lane8of32(b, load<u32>(a, 24)),
    lane8of32(b, load<u32>(a, 28)),
  );
  v128.store(d, low);
  v128.store(d, high, 16);
}
function half(a: usize, b: usize, control: u32): v128 {
  if (control & 8) return i64x2.splat(0);
  return v128.load((control & 2 ? b : a) + ((control & 1) << 4));
}
/** VPERM2F128, VPERM2I128. */
export function vperm2x128(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const low = half(a, b, imm);
  const high = half(a, b, imm >> 4);
  v128.store(d, low);
  v128.store(d, high, 16);
}

// Blends

function chooseBits(imm: u32, bits: v128): v128 {
  return v128.and(i16x8.splat(<i16>imm), bits);
}
export function pblendw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const bits = i16x8(1, 2, 4, 8, 16, 32, 64, 128);
  v128.store(d, v128.bitselect(v128.load(b), v128.load(a), i16x8.eq(chooseBits(imm, bits), bits)));
}
export function blendps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const bits = i32x4(1, 2, 4, 8);
  const chosen = i32x4.eq(v128.and(i32x4.splat(imm), bits), bits);
  v128.store(d, v128.bitselect(v128.load(b), v128.load(a), chosen));
}
export function blendpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const bits = i64x2(1, 2);
  const chosen = i64x2.eq(v128.and(i64x2.splat(<u64>imm), bits), bits);
  v128.store(d, v128.bitselect(v128.load(b), v128.load(a), chosen));
}
// The selecting vector of the variable blends is at byte offset imm of the state; its lanes' top bits choose.
export function pblendvb(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, v128.bitselect(v128.load(b), v128.load(a), i8x16.shr_s(v128.load(cpu + imm), 7)));
}
export function blendvps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, v128.bitselect(v128.load(b), v128.load(a), i32x4.shr_s(v128.load(cpu + imm), 31)));
}
export function blendvpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, v128.bitselect(v128.load(b), v128.load(a), i64x2.shr_s(v128.load(cpu + imm), 63)));
}

// Inserts and extracts of one element: imm numbers it; the value inserted is the low part of b

export function pinsrb(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const value = load<u8>(b);
  v128.store(d, v128.load(a));
  store<u8>(d + (imm & 15), value);
}
export function pinsrw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const value = load<u16>(b);
  v128.store(d, v128.load(a));
  store<u16>(d + ((imm & 7) << 1), value);
}
export function pinsrd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const value = load<u32>(b);
  v128.store(d, v128.load(a));
  store<u32>(d + ((imm & 3) << 2), value);
}
export function pinsrq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const value = load<u64>(b);
  v128.store(d, v128.load(a));
  store<u64>(d + ((imm & 1) << 3), value);
}
/** Bits 7:6 choose the element of b, 5:4 its place, 3:0 elements cleared. */
export function insertps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const value = lane32(b, imm >> 6);
  v128.store(d, v128.load(a));
  store<u32>(d + ((imm >> 2) & 12), value);
  const bits = i32x4(1, 2, 4, 8);
  const cleared = i32x4.eq(v128.and(i32x4.splat(imm), bits), bits);
  v128.store(d, v128.andnot(v128.load(d), cleared));
}
// The extracts leave the element zero-extended to 64 bits at d.
export function pextrb(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u64>(d, <u64>load<u8>(b + (imm & 15)));
}
export function pextrw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u64>(d, <u64>load<u16>(b + ((imm & 7) << 1)));
}
export function pextrd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u64>(d, <u64>load<u32>(b + ((imm & 3) << 2)));
}

// Sign and zero extension: the source begins imm bytes into b (the second half of a 256-bit result starts later)

export function pmovsxbw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, v128.load8x8_s(b + imm));
}
export function pmovsxwd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, v128.load16x4_s(b + imm));
}
export function pmovsxdq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, v128.load32x2_s(b + imm));
}
export function pmovsxbd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(b + imm))));
}
export function pmovsxwq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i64x2.extend_low_i32x4_s(i32x4.extend_low_i16x8_s(v128.load32_zero(b + imm))));
}
export function pmovsxbq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i64x2(<i64>load<i8>(b + imm), <i64>load<i8>(b + imm, 1)));
}
export function pmovzxbw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, v128.load8x8_u(b + imm));
}
export function pmovzxwd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, v128.load16x4_u(b + imm));
}
export function pmovzxdq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, v128.load32x2_u(b + imm));
}
export function pmovzxbd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(b + imm))));
}
export function pmovzxwq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i64x2.extend_low_i32x4_u(i32x4.extend_low_i16x8_u(v128.load32_zero(b + imm))));
}
export function pmovzxbq(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  v128.store(d, i64x2(<u64>load<u8>(b + imm), <u64>load<u8>(b + imm, 1)));
}
