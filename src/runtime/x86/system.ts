/** The helpers of src/guest/x86/helpers/system.ts, from the files that implement them. */
export {
  clts,
  invlpg,
  invpcid,
  lmsw,
  rdpkru,
  readCr,
  smsw,
  wbinvd,
  writeCr,
  wrpkru,
  xgetbv,
  xsetbv,
} from './control-registers';
export { cpuid, rdrand, rdseed } from './cpuid';
export { armSingleStep, readDr, writeDr } from './debug';
export { interrupt, raise } from './exceptions';
export { checkTarget, farCall, farJump, farReturn, iret, syscall, sysenter, sysexit, sysret } from './far-transfer';
export { clac, cli, popf, pushf, stac, sti } from './interrupt-flag';
export { rdmsr, wrmsr } from './msr';
export { checkIo, inPort, outPort } from './ports';
export { hlt, monitor, mwait, pause } from './requests';
export { readBase, swapgs, writeBase } from './segment-bases';
export {
  lar,
  lgdt,
  lidt,
  lldt,
  loadSegment,
  lsl,
  ltr,
  sgdt,
  sidt,
  sldt,
  str,
  verr,
  verw,
} from './segments';
export { rsm } from './smm';
export { rdpid, rdpmc, rdtsc, rdtscp } from './time-stamp';
