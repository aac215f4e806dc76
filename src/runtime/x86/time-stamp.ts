/** The time-stamp counter: virtual time in ClockRate.tsc ticks a nanosecond, plus an offset. */
import { virtualNs } from '../core/env';
import { CLOCK_TSC, FEATURE_RDTSCP, X86_TSC_AUX, X86_TSC_OFFSET } from '../generated/x86';
import { CR4_TSD, cpl, cr4, fault, GP, has, setEdxEax, setReg, UD } from './cpu';
import { rearmDeadline } from './lapic';

export function readTsc(cpu: usize): u64 {
  return <u64>virtualNs() * CLOCK_TSC + load<u64>(cpu + X86_TSC_OFFSET);
}
export function writeTsc(cpu: usize, value: u64): void {
  store<u64>(cpu + X86_TSC_OFFSET, value - <u64>virtualNs() * CLOCK_TSC);
  rearmDeadline(cpu);
}

function refused(cpu: usize): bool {
  if ((cr4(cpu) & CR4_TSD) === 0 || cpl(cpu) === 0) return false;
  fault(cpu, GP, 0);
  return true;
}
export function rdtsc(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (!refused(cpu)) setEdxEax(cpu, readTsc(cpu));
  return 0;
}
export function rdtscp(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (!has(cpu, FEATURE_RDTSCP)) return fault(cpu, UD, 0);
  if (refused(cpu)) return 0;
  setEdxEax(cpu, readTsc(cpu));
  setReg(cpu, 1, load<u64>(cpu + X86_TSC_AUX) & 0xffffffff);
  return 0;
}
export function rdpid(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  return load<u64>(cpu + X86_TSC_AUX) & 0xffffffff;
}
/** No performance counter exists, so every number is wrong. */
export function rdpmc(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  return fault(cpu, GP, 0);
}
