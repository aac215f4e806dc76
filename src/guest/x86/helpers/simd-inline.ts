/**
 * Vector helpers whose meaning is a few WebAssembly SIMD instructions, as codes in the notation of ir/vector-code.ts. The
 * generator turns those of SIMD_INLINE into AssemblyScript helpers for the interpreter (the others are written by hand, as
 * their immediate is a variable there); the region compiler emits the same code in line.
 */
import { assembleVector, type VectorCode } from '../../../ir/vector-code.js';

const lanes = (n: number, f: (i: number) => number): string => `shuffle:${Array.from({ length: n }, (_, i) => f(i))}`;
/** Interleaves elements of `size` bytes of a and b, starting at byte `from`. */
const interleave = (size: number, from: number): string =>
  `a b ${lanes(16, (i) => {
    const element = Math.floor(i / size);
    return from + (element >> 1) * size + (i % size) + (element & 1 ? 16 : 0);
  })}`;
/** Even (`odd` 0) or odd (`odd` 1) elements of `size` bytes of a, then of b. */
const alternate = (size: number, odd: 0 | 1): string =>
  `a b ${lanes(16, (i) => (Math.floor(i / size) * 2 + odd) * size + (i % size))}`;
/** The same for 64-bit operands: result in the low half. */
const alternate64 = (size: number, odd: 0 | 1): string =>
  `a b ${lanes(16, (i) => {
    const byte = (Math.floor((i % 8) / size) * 2 + odd) * size + (i % size);
    return byte < 8 ? byte : byte + 8;
  })}`;
const BOTH_LOW_HALVES = `a b ${lanes(16, (i) => (i < 8 ? i : i + 8))}`;
const repeat = (size: number): string => `b b ${lanes(16, (i) => i % size)}`;
const horizontal = (pick: (size: number, odd: 0 | 1) => string, size: number, add: string): string =>
  `${pick(size, 0)} ${pick(size, 1)} ${add}`;
/** Products of 16-bit lanes: high halves. */
const highHalves = (sign: 's' | 'u'): string =>
  `a b i32x4.extmul_low_i16x8_${sign} a b i32x4.extmul_high_i16x8_${sign} ${lanes(
    16,
    (i) => Math.floor(i / 2) * 4 + 2 + (i % 2),
  )}`;
const LOW32 = 'i64x2.splat#4294967295 v128.and';
/** |a - b| of bytes is the one of two saturated differences that is not zero; summed up by fours. */
const DISTANCES =
  'a b i8x16.sub_sat_u b a i8x16.sub_sat_u v128.or i16x8.extadd_pairwise_i8x16_u i32x4.extadd_pairwise_i16x8_u';
const SIGN32 = '32 i64x2.shl 32 i64x2.shr_s';
/** Lanes of a with the sign of b's lanes applied: negated, kept, or zero. */
const sign = (shape: string, bits: number): string =>
  // (a ^ m) - m negates where m is -1; lanes where b is zero are cleared.
  `a b ${bits - 1} ${shape}.shr_s v128.xor b ${bits - 1} ${shape}.shr_s ${shape}.sub b i64x2.splat#0 ${shape}.ne v128.and`;

/** Code by helper name. */
export const SIMD_INLINE: Readonly<Record<string, string>> = {
  // moves
  movdqa: 'b',
  vzero: 'i64x2.splat#0',
  movss: `a b ${lanes(16, (i) => (i < 4 ? i + 16 : i))}`,
  movddup: repeat(8),
  movsldup: `b b ${lanes(16, (i) => i & ~4)}`,
  movshdup: `b b ${lanes(16, (i) => i | 4)}`,
  pbroadcastb: repeat(1),
  pbroadcastw: repeat(2),
  pbroadcastd: repeat(4),
  // bits
  pand: 'a b v128.and',
  pandn: 'b a v128.andnot',
  por: 'a b v128.or',
  pxor: 'a b v128.xor',
  // addition, subtraction
  paddb: 'a b i8x16.add',
  paddw: 'a b i16x8.add',
  paddd: 'a b i32x4.add',
  paddq: 'a b i64x2.add',
  psubb: 'a b i8x16.sub',
  psubw: 'a b i16x8.sub',
  psubd: 'a b i32x4.sub',
  psubq: 'a b i64x2.sub',
  paddsb: 'a b i8x16.add_sat_s',
  paddsw: 'a b i16x8.add_sat_s',
  paddusb: 'a b i8x16.add_sat_u',
  paddusw: 'a b i16x8.add_sat_u',
  psubsb: 'a b i8x16.sub_sat_s',
  psubsw: 'a b i16x8.sub_sat_s',
  psubusb: 'a b i8x16.sub_sat_u',
  psubusw: 'a b i16x8.sub_sat_u',
  phaddw: horizontal(alternate, 2, 'i16x8.add'),
  phaddd: horizontal(alternate, 4, 'i32x4.add'),
  phaddsw: horizontal(alternate, 2, 'i16x8.add_sat_s'),
  phsubw: horizontal(alternate, 2, 'i16x8.sub'),
  phsubd: horizontal(alternate, 4, 'i32x4.sub'),
  phsubsw: horizontal(alternate, 2, 'i16x8.sub_sat_s'),
  phaddw64: horizontal(alternate64, 2, 'i16x8.add'),
  phaddd64: horizontal(alternate64, 4, 'i32x4.add'),
  phaddsw64: horizontal(alternate64, 2, 'i16x8.add_sat_s'),
  phsubw64: horizontal(alternate64, 2, 'i16x8.sub'),
  phsubd64: horizontal(alternate64, 4, 'i32x4.sub'),
  phsubsw64: horizontal(alternate64, 2, 'i16x8.sub_sat_s'),
  pavgb: 'a b i8x16.avgr_u',
  pavgw: 'a b i16x8.avgr_u',
  psadbw: `${DISTANCES} ${LOW32} ${DISTANCES} 32 i64x2.shr_u i64x2.add`,
  pabsb: 'b i8x16.abs',
  pabsw: 'b i16x8.abs',
  pabsd: 'b i32x4.abs',
  psignb: sign('i8x16', 8),
  psignw: sign('i16x8', 16),
  psignd: sign('i32x4', 32),
  // multiplication
  pmullw: 'a b i16x8.mul',
  pmulld: 'a b i32x4.mul',
  pmulhw: highHalves('s'),
  pmulhuw: highHalves('u'),
  pmuludq: `a ${LOW32} b ${LOW32} i64x2.mul`,
  pmuldq: `a ${SIGN32} b ${SIGN32} i64x2.mul`,
  pmaddwd: 'a b i32x4.dot_i16x8_s',
  // unsigned bytes of a times signed bytes of b: each product fits 16 bits, their sum saturates
  pmaddubsw:
    'a i16x8.splat#255 v128.and b 8 i16x8.shl 8 i16x8.shr_s i16x8.mul a 8 i16x8.shr_u b 8 i16x8.shr_s i16x8.mul ' +
    'i16x8.add_sat_s',
  // q15mulr saturates -1 * -1, the x86 instruction wraps
  pmulhrsw: 'a b i16x8.q15mulr_sat_s a i16x8.splat#32768 i16x8.eq b i16x8.splat#32768 i16x8.eq v128.and v128.xor',
  // comparison
  pcmpeqb: 'a b i8x16.eq',
  pcmpeqw: 'a b i16x8.eq',
  pcmpeqd: 'a b i32x4.eq',
  pcmpeqq: 'a b i64x2.eq',
  pcmpgtb: 'a b i8x16.gt_s',
  pcmpgtw: 'a b i16x8.gt_s',
  pcmpgtd: 'a b i32x4.gt_s',
  pcmpgtq: 'a b i64x2.gt_s',
  pminub: 'a b i8x16.min_u',
  pminuw: 'a b i16x8.min_u',
  pminud: 'a b i32x4.min_u',
  pminsb: 'a b i8x16.min_s',
  pminsw: 'a b i16x8.min_s',
  pminsd: 'a b i32x4.min_s',
  pmaxub: 'a b i8x16.max_u',
  pmaxuw: 'a b i16x8.max_u',
  pmaxud: 'a b i32x4.max_u',
  pmaxsb: 'a b i8x16.max_s',
  pmaxsw: 'a b i16x8.max_s',
  pmaxsd: 'a b i32x4.max_s',
  // packing and unpacking; the …64 forms work on MMX operands in the low halves
  packsswb: 'a b i8x16.narrow_i16x8_s',
  packssdw: 'a b i16x8.narrow_i32x4_s',
  packuswb: 'a b i8x16.narrow_i16x8_u',
  packusdw: 'a b i16x8.narrow_i32x4_u',
  packsswb64: `${BOTH_LOW_HALVES} ${BOTH_LOW_HALVES} i8x16.narrow_i16x8_s`,
  packssdw64: `${BOTH_LOW_HALVES} ${BOTH_LOW_HALVES} i16x8.narrow_i32x4_s`,
  packuswb64: `${BOTH_LOW_HALVES} ${BOTH_LOW_HALVES} i8x16.narrow_i16x8_u`,
  punpcklbw: interleave(1, 0),
  punpcklwd: interleave(2, 0),
  punpckldq: interleave(4, 0),
  punpcklqdq: interleave(8, 0),
  punpckhbw: interleave(1, 8),
  punpckhwd: interleave(2, 8),
  punpckhdq: interleave(4, 8),
  punpckhqdq: interleave(8, 8),
  punpckhbw64: interleave(1, 4),
  punpckhwd64: interleave(2, 4),
  punpckhdq64: interleave(4, 4),
  // A set top bit puts the index out of swizzle's range, which gives zero just so.
  pshufb: 'a b i8x16.splat#143 v128.and i8x16.swizzle',
  pshufb64: 'a b i8x16.splat#135 v128.and i8x16.swizzle',
};

const pick = (imm: number, field: number): number => (imm >> (2 * field)) & 3;
const shift = (shape: string, bits: number, op: 'shl' | 'shr_u'): ((imm: number) => string) => {
  return (imm) => (imm >= bits ? 'i64x2.splat#0' : `b ${imm} ${shape}.${op}`);
};
const blend =
  (size: number): ((imm: number) => string) =>
  (imm) =>
    `a b ${lanes(16, (i) => ((imm >> Math.floor(i / size)) & 1 ? i + 16 : i))}`;

const LANE_BITS: Readonly<Record<string, number>> = { b: 8, w: 16, d: 32, q: 64 };
/** PMOVSX and PMOVZX between two element sizes; the helper's `imm` is where in b the source begins. */
function widening(sizes: string): [string, (imm: number) => string][] {
  const from = LANE_BITS[sizes[0] as string] as number;
  const to = LANE_BITS[sizes[1] as string] as number;
  return (['s', 'u'] as const).map((kind) => {
    let steps = '';
    for (let bits = from; bits < to; bits *= 2) {
      steps += ` i${bits * 2}x${64 / bits}.extend_low_i${bits}x${128 / bits}_${kind}`;
    }
    const code = (imm: number): string => (imm === 0 ? 'b' : `b b ${lanes(16, (i) => (i + imm) & 15)}`) + steps;
    return [`pmov${kind === 's' ? 's' : 'z'}x${sizes}`, code];
  });
}

/** The same for helpers that take an immediate: code by helper name and the helper's `imm`. */
export const SIMD_INLINE_IMM: Readonly<Record<string, (imm: number) => string>> = {
  psllwi: shift('i16x8', 16, 'shl'),
  pslldi: shift('i32x4', 32, 'shl'),
  psllqi: shift('i64x2', 64, 'shl'),
  psrlwi: shift('i16x8', 16, 'shr_u'),
  psrldi: shift('i32x4', 32, 'shr_u'),
  psrlqi: shift('i64x2', 64, 'shr_u'),
  psrawi: (imm) => `b ${Math.min(imm, 15)} i16x8.shr_s`,
  psradi: (imm) => `b ${Math.min(imm, 31)} i32x4.shr_s`,
  pslldqi: (imm) => `b i64x2.splat#0 ${lanes(16, (i) => (i >= imm ? i - imm : 16))}`,
  psrldqi: (imm) => `b i64x2.splat#0 ${lanes(16, (i) => Math.min(i + imm, 16))}`,
  pshufd: (imm) => `b b ${lanes(16, (i) => pick(imm, i >> 2) * 4 + (i & 3))}`,
  pshuflw: (imm) => `b b ${lanes(16, (i) => (i < 8 ? pick(imm, i >> 1) * 2 + (i & 1) : i))}`,
  pshufhw: (imm) => `b b ${lanes(16, (i) => (i < 8 ? i : 8 + pick(imm, (i >> 1) & 3) * 2 + (i & 1)))}`,
  shufps: (imm) => `a b ${lanes(16, (i) => pick(imm, i >> 2) * 4 + (i & 3) + (i < 8 ? 0 : 16))}`,
  shufpd: (imm) => `a b ${lanes(16, (i) => ((imm >> (i >> 3)) & 1) * 8 + (i & 7) + (i < 8 ? 0 : 16))}`,
  palignr: (imm) =>
    imm < 16 ? `b a ${lanes(16, (i) => i + imm)}` : `a i64x2.splat#0 ${lanes(16, (i) => Math.min(i + imm - 16, 16))}`,
  pblendw: blend(2),
  blendps: blend(4),
  blendpd: blend(8),
  ...Object.fromEntries(['bw', 'bd', 'bq', 'wd', 'wq', 'dq'].flatMap(widening)),
};

/** Helpers that leave a 64-bit number; undefined: not for this immediate. */
export const SIMD_INLINE_SCALAR: Readonly<Record<string, (imm: number) => string | undefined>> = {
  pmovmskb: (imm) => (imm === 0 ? 'b i8x16.bitmask' : undefined),
  movmskps: (imm) => (imm === 0 ? 'b i32x4.bitmask' : undefined),
  movmskpd: (imm) => (imm === 0 ? 'b i64x2.bitmask' : undefined),
  pextrb: (imm) => `b i8x16.extract_lane_u#${imm & 15}`,
  pextrw: (imm) => `b i16x8.extract_lane_u#${imm & 7}`,
  pextrd: (imm) => `b i32x4.extract_lane#${imm & 3}`,
};

const cache = new Map<string, VectorCode | undefined>();

/** The code to put in place of a call of helper `name` with `imm`, if there is one. */
export function inlineVector(name: string, imm: number): VectorCode | undefined {
  const fixed = SIMD_INLINE[name];
  const key = fixed === undefined ? `${name} ${imm}` : name;
  if (cache.has(key)) return cache.get(key);
  const code = fixed ?? SIMD_INLINE_IMM[name]?.(imm) ?? SIMD_INLINE_SCALAR[name]?.(imm);
  const assembled = code === undefined ? undefined : assembleVector(code, name in SIMD_INLINE_SCALAR);
  cache.set(key, assembled);
  return assembled;
}
