/**
 * Small pieces of WebAssembly SIMD stack code, as text and assembled: what a vector helper does, for in-line use.
 *
 * Words of a code, separated by blanks:
 *   a, b               push the v128 at the operand's address (a helper of one operand uses b)
 *   i16x8.add, ...     the WebAssembly instruction of that name
 *   i16x8.splat#255    push a v128 constant: the number in every lane
 *   i16x8.extract_lane_u#3   the instruction with this lane
 *   32                 push an i32 constant (shift counts)
 *   shuffle:0,1,...    i8x16.shuffle with these 16 lanes
 * The value left is stored at the destination's address: a v128, or an i32 zero-extended to 64 bits in a scalar code.
 * A code reads its operands before it writes, so they may alias.
 */
import { Bug } from '../base/errors.js';

/** Opcodes after the prefix byte, by name. */
export const SIMD_OPCODES: Readonly<Record<string, number>> = {
  'i8x16.swizzle': 0x0e,
  'i8x16.extract_lane_u': 0x16,
  'i16x8.extract_lane_u': 0x19,
  'i32x4.extract_lane': 0x1b,
  'i8x16.eq': 0x23,
  'i8x16.ne': 0x24,
  'i8x16.gt_s': 0x27,
  'i16x8.eq': 0x2d,
  'i16x8.ne': 0x2e,
  'i16x8.gt_s': 0x31,
  'i32x4.eq': 0x37,
  'i32x4.ne': 0x38,
  'i32x4.gt_s': 0x3b,
  'v128.and': 0x4e,
  'v128.andnot': 0x4f,
  'v128.or': 0x50,
  'v128.xor': 0x51,
  'i8x16.abs': 0x60,
  'i8x16.bitmask': 0x64,
  'i8x16.narrow_i16x8_s': 0x65,
  'i8x16.narrow_i16x8_u': 0x66,
  'i8x16.shr_s': 0x6c,
  'i8x16.add': 0x6e,
  'i8x16.add_sat_s': 0x6f,
  'i8x16.add_sat_u': 0x70,
  'i8x16.sub': 0x71,
  'i8x16.sub_sat_s': 0x72,
  'i8x16.sub_sat_u': 0x73,
  'i8x16.min_s': 0x76,
  'i8x16.min_u': 0x77,
  'i8x16.max_s': 0x78,
  'i8x16.max_u': 0x79,
  'i8x16.avgr_u': 0x7b,
  'i16x8.extadd_pairwise_i8x16_u': 0x7d,
  'i32x4.extadd_pairwise_i16x8_u': 0x7f,
  'i16x8.abs': 0x80,
  'i16x8.q15mulr_sat_s': 0x82,
  'i16x8.narrow_i32x4_s': 0x85,
  'i16x8.narrow_i32x4_u': 0x86,
  'i16x8.extend_low_i8x16_s': 0x87,
  'i16x8.extend_low_i8x16_u': 0x89,
  'i16x8.shl': 0x8b,
  'i16x8.shr_s': 0x8c,
  'i16x8.shr_u': 0x8d,
  'i16x8.add': 0x8e,
  'i16x8.add_sat_s': 0x8f,
  'i16x8.add_sat_u': 0x90,
  'i16x8.sub': 0x91,
  'i16x8.sub_sat_s': 0x92,
  'i16x8.sub_sat_u': 0x93,
  'i16x8.mul': 0x95,
  'i16x8.min_s': 0x96,
  'i16x8.min_u': 0x97,
  'i16x8.max_s': 0x98,
  'i16x8.max_u': 0x99,
  'i16x8.avgr_u': 0x9b,
  'i32x4.abs': 0xa0,
  'i32x4.bitmask': 0xa4,
  'i32x4.extend_low_i16x8_s': 0xa7,
  'i32x4.extend_low_i16x8_u': 0xa9,
  'i32x4.shl': 0xab,
  'i32x4.shr_s': 0xac,
  'i32x4.shr_u': 0xad,
  'i32x4.add': 0xae,
  'i32x4.sub': 0xb1,
  'i32x4.mul': 0xb5,
  'i32x4.min_s': 0xb6,
  'i32x4.min_u': 0xb7,
  'i32x4.max_s': 0xb8,
  'i32x4.max_u': 0xb9,
  'i32x4.dot_i16x8_s': 0xba,
  'i32x4.extmul_low_i16x8_s': 0xbc,
  'i32x4.extmul_high_i16x8_s': 0xbd,
  'i32x4.extmul_low_i16x8_u': 0xbe,
  'i32x4.extmul_high_i16x8_u': 0xbf,
  'i64x2.bitmask': 0xc4,
  'i64x2.extend_low_i32x4_s': 0xc7,
  'i64x2.extend_low_i32x4_u': 0xc9,
  'i64x2.shl': 0xcb,
  'i64x2.shr_s': 0xcc,
  'i64x2.shr_u': 0xcd,
  'i64x2.add': 0xce,
  'i64x2.sub': 0xd1,
  'i64x2.mul': 0xd5,
  'i64x2.eq': 0xd6,
  'i64x2.gt_s': 0xd9,
};

/** Prefix byte of SIMD instructions. */
const PREFIX = 0xfd;
export const V128_CONST = 0x0c;
export const SHUFFLE = 0x0d;
const I32_CONST = 0x41;

/** In `VectorCode.bytes`: push operand a, b. */
export const PUSH_A = -1;
export const PUSH_B = -2;

export interface VectorCode {
  /** Bytes of WebAssembly code, and PUSH_A, PUSH_B. */
  readonly bytes: readonly number[];
  /** Leaves an i32 rather than a v128. */
  readonly scalar: boolean;
}

function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** The sixteen bytes of a vector with `value` in every lane of `bits`. */
function splat(bits: number, value: number): number[] {
  return Array.from({ length: 16 }, (_, i) => {
    const shift = (i * 8) % bits;
    return shift >= 32 ? Math.floor(value / 2 ** shift) & 0xff : (value >>> shift) & 0xff;
  });
}

export function assembleVector(code: string, scalar: boolean): VectorCode {
  const bytes: number[] = [];
  for (const word of code.split(' ')) {
    const constant = /^i(\d+)x\d+\.splat#(\d+)$/.exec(word);
    const [name, lane] = word.split('#') as [string, string?];
    if (word === 'a') bytes.push(PUSH_A);
    else if (word === 'b') bytes.push(PUSH_B);
    else if (constant !== null) bytes.push(PREFIX, V128_CONST, ...splat(Number(constant[1]), Number(constant[2])));
    else if (word.startsWith('shuffle:')) bytes.push(PREFIX, SHUFFLE, ...word.slice(8).split(',').map(Number));
    // Signed LEB128: shift counts are below 64.
    else if (/^\d+$/.test(word)) bytes.push(I32_CONST, Number(word));
    else {
      const opcode = SIMD_OPCODES[name];
      if (opcode === undefined) throw new Bug(`vector code: no instruction ${word}`);
      bytes.push(PREFIX, ...unsigned(opcode));
      if (lane !== undefined) bytes.push(Number(lane));
    }
  }
  return { bytes, scalar };
}
