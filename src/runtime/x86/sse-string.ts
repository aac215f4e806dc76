/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (Intel SDM vol. 2, section 4.1 "Imm8 control byte operation"). */

function element(v: usize, i: u32, format: u32): i32 {
  if (format === 0) return <i32>load<u8>(v + i);
  if (format === 1) return <i32>load<u16>(v + (i << 1));
  if (format === 2) return <i32>load<i8>(v + i);
  return <i32>load<i16>(v + (i << 1));
}
/** One bit for each element of two vectors: are they equal? */
function equal(x: v128, y: v128, format: u32): u32 {
  return format & 1 ? i16x8.bitmask(i16x8.eq(x, y)) : i8x16.bitmask(i8x16.eq(x, y));
}
/** The same for all elements of a vector and element i of that at v. */
function equalTo(x: v128, v: usize, i: u32, format: u32): u32 {
  return format & 1
    ? i16x8.bitmask(i16x8.eq(x, v128.load16_splat(v + (i << 1))))
    : i8x16.bitmask(i8x16.eq(x, v128.load8_splat(v + i)));
}
function implicitLength(v: usize, count: u32, format: u32): u32 {
  // The bit behind the last element ends a string without a zero.
  return ctz<u32>(equal(v128.load(v), i64x2(0, 0), format) | (1 << count));
}
function explicitLength(at: usize, count: u32): u32 {
  const n = load<i64>(at);
  const magnitude = n < 0 ? -n : n;
  // the most negative number stays negative, and is as long as can be
  return <u64>magnitude < <u64>count ? <u32>magnitude : count;
}

/** "IntRes1": one bit for each element of b. */
function compare(a: usize, b: usize, lengthA: u32, lengthB: u32, count: u32, control: u32): u32 {
  const format = control & 3;
  const aggregation = (control >> 2) & 3;
  const all: u32 = (1 << count) - 1;
  const validA: u32 = (1 << lengthA) - 1;
  const validB: u32 = (1 << lengthB) - 1;
  let result: u32 = 0;
  if (aggregation === 0) {
    const vector = v128.load(b);
    for (let i: u32 = 0; i < lengthA; i++) result |= equalTo(vector, a, i, format);
    result &= validB;
  } else if (aggregation === 1) {
    for (let j: u32 = 0; j < lengthB; j++) {
      const value = element(b, j, format);
      for (let i: u32 = 0; i + 1 < lengthA; i += 2) {
        if (element(a, i, format) <= value && value <= element(a, i + 1, format)) result |= 1 << j;
      }
    }
  } else if (aggregation === 2) {
    result = (equal(v128.load(a), v128.load(b), format) & validA & validB) | (~validA & ~validB & all);
  } else {
    const vector = v128.load(b);
    result = all;
    // What would lie behind the last element of b counts as a match.
    for (let i: u32 = 0; i < lengthA; i++) {
      result &= ((equalTo(vector, a, i, format) & validB) >> i) | ~(all >> i);
    }
  }
  return result;
}

function compareStrings(d: usize, a: usize, b: usize, lengthA: u32, lengthB: u32, count: u32, control: u32): u32 {
  const all: u32 = (1 << count) - 1;
  let result = compare(a, b, lengthA, lengthB, count, control);
  if (control & 0x10) result ^= control & 0x20 ? (1 << lengthB) - 1 : all;
  const flags: u64 =
    (result ? 1 : 0) | (lengthB < count ? 0x40 : 0) | (lengthA < count ? 0x80 : 0) | (result & 1 ? 0x800 : 0);
  store<u64>(d, flags, 16);
  return result;
}
function index(d: usize, result: u32, count: u32, control: u32): void {
  store<u64>(d, result === 0 ? count : control & 0x40 ? 31 - clz<u32>(result) : ctz<u32>(result));
}
function mask(d: usize, result: u32, control: u32): void {
  if (!(control & 0x40)) {
    v128.store(d, i64x2(<u64>result, 0));
  } else if (control & 1) {
    const bits = i16x8(1, 2, 4, 8, 16, 32, 64, 128);
    v128.store(d, i16x8.eq(v128.and(i16x8.splat(<i16>result), bits), bits));
  } else {
    const bits = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
    const spread = v128.shuffle<i8>(
      i16x8.splat(<i16>result),
      i16x8.splat(0),
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      1,
      1,
      1,
      1,
      1,
      1,
      1,
      1,
    );
    v128.store(d, i8x16.eq(v128.and(spread, bits), bits));
  }
}

// All leave their result at d (index: 64 bits; mask: 16 bytes) and EFLAGS bits at d + 16. imm is the control byte.
// Explicit lengths lie at d + 32 and d + 40: 64-bit signed, of a and then of b.

export function pcmpistri(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const count: u32 = imm & 1 ? 8 : 16;
  const lengthA = implicitLength(a, count, imm & 3);
  index(d, compareStrings(d, a, b, lengthA, implicitLength(b, count, imm & 3), count, imm), count, imm);
}
export function pcmpistrm(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const count: u32 = imm & 1 ? 8 : 16;
  const lengthA = implicitLength(a, count, imm & 3);
  mask(d, compareStrings(d, a, b, lengthA, implicitLength(b, count, imm & 3), count, imm), imm);
}
export function pcmpestri(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const count: u32 = imm & 1 ? 8 : 16;
  const lengthA = explicitLength(d + 32, count);
  const lengthB = explicitLength(d + 40, count);
  index(d, compareStrings(d, a, b, lengthA, lengthB, count, imm), count, imm);
}
export function pcmpestrm(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const count: u32 = imm & 1 ? 8 : 16;
  const lengthA = explicitLength(d + 32, count);
  const lengthB = explicitLength(d + 40, count);
  mask(d, compareStrings(d, a, b, lengthA, lengthB, count, imm), imm);
}
