/** CLI, STI, PUSHF, POPF with IOPL, VME and PVI; the flags that AC, TF and IF gate (Intel SDM vol. 2, vol. 3B ch. 21). */
import { VCPU_MMU_INDEX, VCPU_MODE } from '../generated/layout';
import {
  EFLAGS_AC,
  EFLAGS_ID,
  EFLAGS_IF,
  EFLAGS_IOPL,
  EFLAGS_RF,
  EFLAGS_TF,
  EFLAGS_VIF,
  EFLAGS_VIP,
  EFLAGS_VM,
  FEATURE_SMAP,
  INT_HARD,
  MODE_SMAP_ON,
  X86_HARD_PENDING,
  X86_INHIBIT_INTERRUPTS,
  X86_SHADOW_PC,
} from '../generated/x86';
import {
  CR4_PVI,
  CR4_SMAP,
  CR4_VME,
  cpl,
  cr4,
  fault,
  GP,
  getPc,
  has,
  inVm86,
  iopl,
  isProtected,
  request,
  setSysFlags,
  sysFlags,
  UD,
} from './cpu';
import { readEflags, writeEflags } from './flags';
import { updateMode } from './mode';

/** Flags that the mode bits depend on. */
const MODE_FLAGS: u64 = EFLAGS_TF | EFLAGS_AC | EFLAGS_IOPL | EFLAGS_VM;

/** IF may have become set: a waiting hardware interrupt is looked at again. */
export function afterFlags(cpu: usize): void {
  if ((sysFlags(cpu) & EFLAGS_IF) !== 0 && load<u32>(cpu + X86_HARD_PENDING) !== 0) request(cpu, INT_HARD);
}

/** No interrupts or debug traps before the instruction at pc has run. */
export function castShadow(cpu: usize): void {
  store<u32>(cpu + X86_INHIBIT_INTERRUPTS, 1);
  store<u64>(cpu + X86_SHADOW_PC, getPc(cpu));
}

/** Is the instruction at pc in the shadow? Then the next block is that one instruction alone. */
export function inShadow(cpu: usize): bool {
  const state = load<u32>(cpu + X86_INHIBIT_INTERRUPTS);
  if (state === 0) return false;
  if (load<u64>(cpu + X86_SHADOW_PC) !== getPc(cpu)) {
    store<u32>(cpu + X86_INHIBIT_INTERRUPTS, 0);
    updateMode(cpu);
    return false;
  }
  store<u32>(cpu + X86_INHIBIT_INTERRUPTS, 2);
  updateMode(cpu);
  return true;
}

/** What CLI and STI act on here: the real IF, VIF, or nothing (then #GP). */
const ACTS_IF: u32 = 0;
const ACTS_VIF: u32 = 1;
const ACTS_NOT: u32 = 2;
function interruptFlagRule(cpu: usize): u32 {
  if (!isProtected(cpu)) return ACTS_IF;
  const level = cpl(cpu);
  if (level <= iopl(cpu)) return ACTS_IF;
  if (inVm86(cpu)) return (cr4(cpu) & CR4_VME) !== 0 ? ACTS_VIF : ACTS_NOT;
  return level === 3 && (cr4(cpu) & CR4_PVI) !== 0 ? ACTS_VIF : ACTS_NOT;
}

export function cli(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  const rule = interruptFlagRule(cpu);
  if (rule === ACTS_NOT) return fault(cpu, GP, 0);
  setSysFlags(cpu, 0, rule === ACTS_IF ? EFLAGS_IF : EFLAGS_VIF);
  return 0;
}

export function sti(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  const rule = interruptFlagRule(cpu);
  if (rule === ACTS_NOT || (rule === ACTS_VIF && (sysFlags(cpu) & EFLAGS_VIP) !== 0)) return fault(cpu, GP, 0);
  if (rule === ACTS_VIF) {
    setSysFlags(cpu, EFLAGS_VIF, 0);
    return 0;
  }
  if ((sysFlags(cpu) & EFLAGS_IF) !== 0) return 0;
  setSysFlags(cpu, EFLAGS_IF, 0);
  castShadow(cpu);
  afterFlags(cpu);
  return 0;
}

export function pushf(cpu: usize, _a: u64, _b: u64, imm: u32): u64 {
  let image = readEflags(cpu) & ~(<u64>(EFLAGS_RF | EFLAGS_VM));
  if (inVm86(cpu) && iopl(cpu) < 3) {
    if (imm !== 2 || (cr4(cpu) & CR4_VME) === 0) return fault(cpu, GP, 0);
    image = (image | EFLAGS_IOPL) & ~(<u64>EFLAGS_IF);
    if ((image & EFLAGS_VIF) !== 0) image |= EFLAGS_IF;
  }
  return image;
}

export function popf(cpu: usize, a: u64, _b: u64, imm: u32): u64 {
  const vm86 = inVm86(cpu);
  const level = cpl(cpu);
  const io = iopl(cpu);
  let mask: u64 = 0x4dd5; // CF PF AF ZF SF TF DF OF NT
  if (imm !== 2) mask |= EFLAGS_AC | EFLAGS_ID;
  if (vm86 && io < 3) {
    if (imm !== 2 || (cr4(cpu) & CR4_VME) === 0) return fault(cpu, GP, 0);
    if ((a & EFLAGS_TF) !== 0 || ((a & EFLAGS_IF) !== 0 && (sysFlags(cpu) & EFLAGS_VIP) !== 0))
      return fault(cpu, GP, 0);
    setSysFlags(cpu, (a & EFLAGS_IF) !== 0 ? EFLAGS_VIF : 0, EFLAGS_VIF);
  } else {
    if (level <= io || !isProtected(cpu)) mask |= EFLAGS_IF;
    if (level === 0) mask |= EFLAGS_IOPL;
  }
  const before = sysFlags(cpu);
  writeEflags(cpu, a, mask);
  if (imm !== 2) setSysFlags(cpu, 0, EFLAGS_RF);
  if (((sysFlags(cpu) ^ before) & MODE_FLAGS) !== 0) updateMode(cpu);
  afterFlags(cpu);
  return 0;
}

/** CLAC and STAC: kernels surround each access to user memory with them, so the mode is adjusted in place. */
function setAc(cpu: usize, on: bool): u64 {
  if (!has(cpu, FEATURE_SMAP) || cpl(cpu) !== 0) return fault(cpu, UD, 0);
  setSysFlags(cpu, on ? EFLAGS_AC : 0, EFLAGS_AC);
  if ((cr4(cpu) & CR4_SMAP) !== 0) {
    const mode = load<u32>(cpu + VCPU_MODE);
    store<u32>(cpu + VCPU_MODE, on ? mode & ~MODE_SMAP_ON : mode | MODE_SMAP_ON);
    store<u32>(cpu + VCPU_MMU_INDEX, on ? 0 : 2);
  }
  return 0;
}
export function clac(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  return setAc(cpu, false);
}
export function stac(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  return setAc(cpu, true);
}
