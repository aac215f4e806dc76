/** The helpers of src/guest/x86/helpers/system.ts. Written one by one; those still missing return 0. */
export function loadSegment(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function sgdt(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function sidt(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function lgdt(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function lidt(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function sldt(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function lldt(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function str(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function ltr(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function lar(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function lsl(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function verr(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function verw(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function arpl(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function farJump(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function farCall(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function farReturn(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function iret(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function interrupt(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function syscall(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function sysret(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function sysenter(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function sysexit(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function rsm(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function raise(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function cli(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function sti(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function pushf(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function popf(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function clac(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function stac(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function armSingleStep(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function readCr(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function writeCr(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function readDr(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function writeDr(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function smsw(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function lmsw(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function clts(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function invlpg(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function invpcid(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function wbinvd(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function xgetbv(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function xsetbv(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function rdpkru(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function wrpkru(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function rdmsr(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function wrmsr(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function rdtsc(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function rdtscp(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function rdpmc(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function rdpid(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function cpuid(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function rdrand(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function rdseed(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function readBase(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function writeBase(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function swapgs(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function hlt(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function monitor(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function mwait(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function pause(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function inPort(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function outPort(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
export function checkIo(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  return 0;
}
