/** What MMX needs beyond the SSE helpers, which work on the low half of the 16-byte x87 register cells just as well. */
import { X86_FP_TAGS, X86_FP_TOP } from '../generated/x86';

/** Every MMX instruction sets TOP to 0 and marks all registers valid; one written gets sign and exponent all ones. */
export function mmxWritten(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u64>(d, 0xffff, 8);
  store<u32>(cpu + X86_FP_TOP, 0);
  store<u32>(cpu + X86_FP_TAGS, 0);
}
/** The same for an instruction that writes no MMX register. */
export function mmxUsed(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u32>(cpu + X86_FP_TOP, 0);
  store<u32>(cpu + X86_FP_TAGS, 0);
}
export function emms(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u32>(cpu + X86_FP_TOP, 0);
  store<u32>(cpu + X86_FP_TAGS, 0xff);
}
