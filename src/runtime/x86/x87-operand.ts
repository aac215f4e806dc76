/** Memory operands of x87 instructions on their fast paths. `imm` bits 6..7: 0 f32, 1 f64, 2 i16, 3 i32. */
// hot path
import { INTEGER_BIT } from '../float/extended';

/** Sign and exponent of the last `plainOperand`. */
let se: u32 = 0;
export function plainSe(): u32 {
  return se;
}
/** The memory operand when it is a normal f32 or f64 or an integer other than zero; else 0. */
export function plainOperand(b: usize, imm: u32): u64 {
  const type = (imm >> 6) & 3;
  if (type === 1) {
    const x = load<u64>(b);
    const biased = u32(x >> 52) & 0x7ff;
    se = (u32(x >> 48) & 0x8000) | (biased + 15360);
    return biased - 1 < 0x7fe ? (x << 11) | INTEGER_BIT : 0;
  }
  if (type === 0) {
    const x = load<u32>(b);
    const biased = (x >> 23) & 0xff;
    se = ((x >> 16) & 0x8000) | (biased + 16256);
    return biased - 1 < 0xfe ? (u64(x) << 40) | INTEGER_BIT : 0;
  }
  const value = type === 2 ? i64(load<i16>(b)) : i64(load<i32>(b));
  if (value === 0) return 0;
  const magnitude = u64(abs(value));
  const shift = clz(magnitude);
  se = (value < 0 ? 0x8000 : 0) | (16383 + 63 - u32(shift));
  return magnitude << shift;
}
