/** FSGSBASE instructions and SWAPGS. */
import { SEG_FS, SEG_GS, X86_KERNEL_GS_BASE } from '../generated/x86';
import { CR4_FSGSBASE, cr4, fault, GP, is64, isCanonical, segBase, setSegBase, UD } from './cpu';
import { notKernel } from './segments';

function allowed(cpu: usize): bool {
  if (is64(cpu) && (cr4(cpu) & CR4_FSGSBASE) !== 0) return true;
  fault(cpu, UD, 0);
  return false;
}
export function readBase(cpu: usize, _a: u64, _b: u64, imm: u32): u64 {
  return allowed(cpu) ? segBase(cpu, SEG_FS + imm) : 0;
}
export function writeBase(cpu: usize, a: u64, _b: u64, imm: u32): u64 {
  if (!allowed(cpu)) return 0;
  if (!isCanonical(cpu, a)) return fault(cpu, GP, 0);
  setSegBase(cpu, SEG_FS + imm, a);
  return 0;
}
export function swapgs(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (!is64(cpu)) return fault(cpu, UD, 0);
  if (notKernel(cpu)) return 0;
  const base = segBase(cpu, SEG_GS);
  setSegBase(cpu, SEG_GS, load<u64>(cpu + X86_KERNEL_GS_BASE));
  store<u64>(cpu + X86_KERNEL_GS_BASE, base);
  return 0;
}
