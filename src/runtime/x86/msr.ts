/** Model-specific registers (Intel SDM vol. 4, AMD APM vol. 2 appendix A). One that no model here has raises #GP(0). */
import {
  CLOCK_APIC_BUS,
  FEATURE_FXSR_OPT,
  FEATURE_LM,
  FEATURE_MCA,
  FEATURE_MTRR,
  FEATURE_NX,
  FEATURE_PAT,
  FEATURE_RDPID,
  FEATURE_RDTSCP,
  FEATURE_SEP,
  FEATURE_SYSCALL,
  FEATURE_TSC_ADJUST,
  FEATURE_TSC_DEADLINE,
  FEATURE_XSAVES,
  SEG_FS,
  SEG_GS,
  X86_APIC_BASE,
  X86_BOOT_MSRS,
  X86_CSTAR,
  X86_EFER,
  X86_FMASK,
  X86_KERNEL_GS_BASE,
  X86_LSTAR,
  X86_MC_BANKS,
  X86_MCG_CTL,
  X86_MCG_STATUS,
  X86_MISC_ENABLE,
  X86_MTRR_DEF_TYPE,
  X86_MTRR_FIXED,
  X86_MTRR_VAR,
  X86_PAT,
  X86_PHYS_BITS,
  X86_STAR,
  X86_SYSENTER_CS,
  X86_SYSENTER_EIP,
  X86_SYSENTER_ESP,
  X86_TSC_ADJUST,
  X86_TSC_AUX,
  X86_XSS,
} from '../generated/x86';
import { flushAll } from './address-spaces';
import {
  CR0_PG,
  cr0,
  EFER_FFXSR,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  EFER_SCE,
  edxEax,
  efer,
  fault,
  faulted,
  GP,
  has,
  isCanonical,
  reg,
  segBase,
  setEdxEax,
  setSegBase,
} from './cpu';
import { readDeadline, readX2apic, writeApicBase, writeDeadline, writeX2apic } from './lapic';
import { updateMode } from './mode';
import { notKernel } from './segments';
import { readTsc, writeTsc } from './time-stamp';

// Indices into bootMsrs.
const FEATURE_CONTROL: usize = 0;
const MICROCODE: usize = 8;
const MISC_FEATURES: usize = 16;
const DEBUGCTL: usize = 32;
const HWCR: usize = 40;
const SYSCFG: usize = 48;

const MC_BANKS: u32 = 10;
const VARIABLE_MTRRS: u32 = 8;
/** Eight variable ranges, fixed ranges, write combining. */
const MTRR_CAP: u64 = 0x508;
/** Ten banks; MCG_CTL present. */
const MCG_CAP: u64 = 0x100 | MC_BANKS;

/** Field that holds a plain 64-bit register, or 0. */
function plainField(cpu: usize, msr: u32): usize {
  switch (msr) {
    case 0x174:
      return has(cpu, FEATURE_SEP) ? X86_SYSENTER_CS : 0;
    case 0x17a:
      return has(cpu, FEATURE_MCA) ? X86_MCG_STATUS : 0;
    case 0x17b:
      return has(cpu, FEATURE_MCA) ? X86_MCG_CTL : 0;
    case 0x1a0:
      return X86_MISC_ENABLE;
    case 0x1d9:
      return X86_BOOT_MSRS + DEBUGCTL;
    case 0x3a:
      return X86_BOOT_MSRS + FEATURE_CONTROL;
    case 0x140:
      return X86_BOOT_MSRS + MISC_FEATURES;
    case 0xc0000081:
      return has(cpu, FEATURE_SYSCALL) ? X86_STAR : 0;
    case 0xc0000084:
      return has(cpu, FEATURE_LM) ? X86_FMASK : 0;
    case 0xc0010010:
      return X86_BOOT_MSRS + SYSCFG;
    case 0xc0010015:
      return X86_BOOT_MSRS + HWCR;
  }
  if (msr >= 0x200 && msr < 0x200 + 2 * VARIABLE_MTRRS && has(cpu, FEATURE_MTRR))
    return X86_MTRR_VAR + ((msr - 0x200) << 3);
  const fixed = fixedMtrr(msr);
  if (fixed >= 0 && has(cpu, FEATURE_MTRR)) return X86_MTRR_FIXED + ((<usize>fixed) << 3);
  if (msr >= 0x400 && msr < 0x400 + 4 * MC_BANKS && has(cpu, FEATURE_MCA)) return X86_MC_BANKS + ((msr - 0x400) << 3);
  return 0;
}
/** Canonical-address registers. */
function addressField(cpu: usize, msr: u32): usize {
  switch (msr) {
    case 0x175:
      return has(cpu, FEATURE_SEP) ? X86_SYSENTER_ESP : 0;
    case 0x176:
      return has(cpu, FEATURE_SEP) ? X86_SYSENTER_EIP : 0;
    case 0xc0000082:
      return has(cpu, FEATURE_LM) ? X86_LSTAR : 0;
    case 0xc0000083:
      return has(cpu, FEATURE_LM) ? X86_CSTAR : 0;
    case 0xc0000102:
      return has(cpu, FEATURE_LM) ? X86_KERNEL_GS_BASE : 0;
  }
  return 0;
}
function fixedMtrr(msr: u32): i32 {
  if (msr === 0x250) return 0;
  if (msr === 0x258 || msr === 0x259) return msr - 0x257;
  return msr >= 0x268 && msr <= 0x26f ? msr - 0x265 : -1;
}
/** Registers that read as zero and take writes without effect: thermal, power, last branch, AMD chipset configuration. */
function ignored(msr: u32): bool {
  switch (msr) {
    case 0x2a: // EBL_CR_POWERON
    case 0x2c: // EBC_FREQUENCY_ID
    case 0x34: // SMI count
    case 0x79: // microcode update trigger
    case 0x11e: // BBL_CR_CTL3
    case 0x198:
    case 0x199:
    case 0x19a:
    case 0x19b:
    case 0x19c:
    case 0x1b0:
    case 0x1c8:
    case 0x1c9:
    case 0x1db:
    case 0x1dc:
    case 0x1dd:
    case 0x1de:
    case 0x1fc: // POWER_CTL
    case 0x280: // MC0_CTL2
    case 0xc001001f: // NB_CFG
    case 0xc0010055: // interrupt pending message
    case 0xc0010058: // MMIO configuration base
    case 0xc0010112: // SMM TSEG base
    case 0xc0010113: // SMM TSEG mask
    case 0xc0010114: // VM_CR
    case 0xc0010117: // VM_HSAVE_PA
    case 0xc0010140: // OS visible workarounds
    case 0xc0010141:
    case 0xc001001a: // TOP_MEM
    case 0xc001001d: // TOP_MEM2
      return true;
  }
  return (msr >= 0xc0010061 && msr <= 0xc001006b) || (msr >= 0xc0011020 && msr <= 0xc001102d);
}

function read(cpu: usize, msr: u32): u64 {
  const field = plainField(cpu, msr);
  if (field !== 0) return load<u64>(cpu + field);
  const address = addressField(cpu, msr);
  if (address !== 0) return load<u64>(cpu + address);
  if (msr >= 0x800 && msr < 0x900) return readX2apic(cpu, msr - 0x800);
  switch (msr) {
    case 0x10:
      return readTsc(cpu);
    case 0x17: // platform ID
    case 0xcd: // FSB_FREQ
      return 0;
    case 0xce: // platform info: ratio of 100 MHz
      return CLOCK_APIC_BUS * 10 * 0x100;
    case 0x1b:
      return load<u64>(cpu + X86_APIC_BASE);
    case 0x3b:
      if (has(cpu, FEATURE_TSC_ADJUST)) return load<u64>(cpu + X86_TSC_ADJUST);
      break;
    case 0x8b:
      return load<u64>(cpu + X86_BOOT_MSRS + MICROCODE);
    case 0xfe:
      if (has(cpu, FEATURE_MTRR)) return MTRR_CAP;
      break;
    case 0x179:
      if (has(cpu, FEATURE_MCA)) return MCG_CAP;
      break;
    case 0x277:
      if (has(cpu, FEATURE_PAT)) return load<u64>(cpu + X86_PAT);
      break;
    case 0x2ff:
      if (has(cpu, FEATURE_MTRR)) return load<u64>(cpu + X86_MTRR_DEF_TYPE);
      break;
    case 0x6e0:
      if (has(cpu, FEATURE_TSC_DEADLINE)) return readDeadline(cpu);
      break;
    case 0xda0:
      if (has(cpu, FEATURE_XSAVES)) return load<u64>(cpu + X86_XSS);
      break;
    case 0xc0000080:
      if (has(cpu, FEATURE_SYSCALL) || has(cpu, FEATURE_NX) || has(cpu, FEATURE_LM)) return efer(cpu);
      break;
    case 0xc0000100:
      if (has(cpu, FEATURE_LM)) return segBase(cpu, SEG_FS);
      break;
    case 0xc0000101:
      if (has(cpu, FEATURE_LM)) return segBase(cpu, SEG_GS);
      break;
    case 0xc0000103:
      if (has(cpu, FEATURE_RDTSCP) || has(cpu, FEATURE_RDPID)) return load<u64>(cpu + X86_TSC_AUX);
      break;
  }
  return ignored(msr) ? 0 : fault(cpu, GP, 0);
}

function writeEfer(cpu: usize, value: u64): void {
  let allowed: u64 = 0;
  if (has(cpu, FEATURE_SYSCALL)) allowed |= EFER_SCE;
  if (has(cpu, FEATURE_LM)) allowed |= EFER_LME | EFER_LMA;
  if (has(cpu, FEATURE_NX)) allowed |= EFER_NXE;
  if (has(cpu, FEATURE_FXSR_OPT)) allowed |= EFER_FFXSR;
  const old = efer(cpu);
  if ((value & ~allowed) !== 0 || (((value ^ old) & EFER_LME) !== 0 && (cr0(cpu) & CR0_PG) !== 0)) {
    fault(cpu, GP, 0);
    return;
  }
  value = (value & ~EFER_LMA) | (old & EFER_LMA);
  store<u64>(cpu + X86_EFER, value);
  if (((value ^ old) & EFER_NXE) !== 0) flushAll(cpu);
  updateMode(cpu);
}

/** PAT and MTRR memory types: 0, 1, 4, 5, 6, and 7 (PAT only). */
function typesOk(value: u64, pat: bool): bool {
  for (let i = 0; i < 8; i++) {
    const type = <u32>(value >> (i * 8)) & 0xff;
    if (type === 2 || type === 3 || type > 7 || (type === 7 && !pat)) return false;
  }
  return true;
}

function write(cpu: usize, msr: u32, value: u64): void {
  const address = addressField(cpu, msr);
  if (address !== 0) {
    if (isCanonical(cpu, value)) store<u64>(cpu + address, value);
    else fault(cpu, GP, 0);
    return;
  }
  const field = plainField(cpu, msr);
  if (field !== 0) {
    if (fixedMtrr(msr) >= 0 && !typesOk(value, false)) {
      fault(cpu, GP, 0);
      return;
    }
    if (msr >= 0x200 && msr < 0x210 && value >> load<u32>(cpu + X86_PHYS_BITS) !== 0) {
      fault(cpu, GP, 0);
      return;
    }
    // Bank control registers take all ones or all zeros; status only zero.
    const isStatus = msr >= 0x400 && msr < 0x400 + 4 * MC_BANKS && (msr & 3) === 1;
    if (isStatus && value !== 0) {
      fault(cpu, GP, 0);
      return;
    }
    store<u64>(cpu + field, value);
    return;
  }
  if (msr >= 0x800 && msr < 0x900) {
    writeX2apic(cpu, msr - 0x800, value);
    return;
  }
  switch (msr) {
    case 0x10:
      if (has(cpu, FEATURE_TSC_ADJUST)) {
        store<u64>(cpu + X86_TSC_ADJUST, load<u64>(cpu + X86_TSC_ADJUST) + value - readTsc(cpu));
      }
      writeTsc(cpu, value);
      return;
    case 0x1b:
      writeApicBase(cpu, value);
      return;
    case 0x3b:
      if (!has(cpu, FEATURE_TSC_ADJUST)) break;
      writeTsc(cpu, readTsc(cpu) + value - load<u64>(cpu + X86_TSC_ADJUST));
      store<u64>(cpu + X86_TSC_ADJUST, value);
      return;
    case 0x8b: // written as zero before CPUID, to read the revision
      return;
    case 0x277:
      if (!has(cpu, FEATURE_PAT) || !typesOk(value, true)) break;
      store<u64>(cpu + X86_PAT, value);
      return;
    case 0x2ff:
      if (!has(cpu, FEATURE_MTRR) || (value & ~(<u64>0xcff)) !== 0 || !typesOk(value & 0xff, false)) break;
      store<u64>(cpu + X86_MTRR_DEF_TYPE, value);
      return;
    case 0x6e0:
      if (!has(cpu, FEATURE_TSC_DEADLINE)) break;
      writeDeadline(cpu, value);
      return;
    case 0xda0:
      if (!has(cpu, FEATURE_XSAVES) || value !== 0) break;
      return;
    case 0xc0000080:
      writeEfer(cpu, value);
      return;
    case 0xc0000100:
    case 0xc0000101:
      if (!has(cpu, FEATURE_LM) || !isCanonical(cpu, value)) break;
      setSegBase(cpu, msr === 0xc0000100 ? SEG_FS : SEG_GS, value);
      return;
    case 0xc0000103:
      if ((!has(cpu, FEATURE_RDTSCP) && !has(cpu, FEATURE_RDPID)) || value >> 32 !== 0) break;
      store<u64>(cpu + X86_TSC_AUX, value);
      return;
    default:
      if (ignored(msr)) return;
  }
  fault(cpu, GP, 0);
}

export function rdmsr(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (notKernel(cpu)) return 0;
  const value = read(cpu, <u32>reg(cpu, 1));
  if (!faulted(cpu)) setEdxEax(cpu, value);
  return 0;
}
export function wrmsr(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (notKernel(cpu)) return 0;
  write(cpu, <u32>reg(cpu, 1), edxEax(cpu));
  return 0;
}
