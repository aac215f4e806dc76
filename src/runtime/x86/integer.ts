export function checkSegment(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
