/** Provisional: replaced by the system runtime (x86sys). */
export let walkPhys: u64 = 0;
export let walkProt: u32 = 0;
export const walkGlobal: u32 = 0;
export function walk(cpu: usize, linear: u64, access: u32, mmu: u32): u32 {
  walkPhys = linear;
  walkProt = 7;
  return 0;
}
export function deliverFault(cpu: usize): u32 {
  return 4;
}
export function handleRequests(cpu: usize): u32 {
  return 0;
}
export function linearPc(cpu: usize): u64 {
  return load<u64>(cpu);
}
export function raiseMisaligned(cpu: usize): void {}
export function codeBreakpoint(cpu: usize): u32 {
  return 0;
}
export function localIo(phys: u64, cpu: usize): bool {
  return false;
}
export function localRead(cpu: usize, phys: u64, size: u32): u64 {
  return 0;
}
export function localWrite(cpu: usize, phys: u64, size: u32, value: u64): void {}
