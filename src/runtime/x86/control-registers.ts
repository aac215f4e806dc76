/** MOV CR and its relatives, XCR0 and PKRU, TLB invalidation instructions (Intel SDM vol. 3A ch. 2). */
import { traceInterrupt } from '../core/env';
import { ldU64 } from '../core/memory';
import { MACHINE_TRACE_MASK, TRACE_MMU, VCPU_MACHINE } from '../generated/layout';
import {
  FEATURE_AVX,
  FEATURE_DE,
  FEATURE_FSGSBASE,
  FEATURE_FXSR,
  FEATURE_INVPCID,
  FEATURE_LA57,
  FEATURE_MCE,
  FEATURE_PAE,
  FEATURE_PCID,
  FEATURE_PGE,
  FEATURE_PKU,
  FEATURE_PSE,
  FEATURE_SMAP,
  FEATURE_SMEP,
  FEATURE_SSE,
  FEATURE_TSC,
  FEATURE_UMIP,
  FEATURE_VME,
  FEATURE_XGETBV1,
  FEATURE_XSAVE,
  SEG_CS,
  SEG_TR,
  X86_CR0,
  X86_CR2,
  X86_CR3,
  X86_CR4,
  X86_EFER,
  X86_PHYS_BITS,
  X86_PKRU,
  X86_XCR0,
} from '../generated/x86';
import { enterAddressSpace, flushAll, flushNotGlobal, flushPage, flushPcid } from './address-spaces';
import {
  ATTR_L,
  CR0_AM,
  CR0_CD,
  CR0_EM,
  CR0_ET,
  CR0_MP,
  CR0_NE,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR0_WP,
  CR4_DE,
  CR4_FSGSBASE,
  CR4_LA57,
  CR4_MCE,
  CR4_OSFXSR,
  CR4_OSXMMEXCPT,
  CR4_OSXSAVE,
  CR4_PAE,
  CR4_PCE,
  CR4_PCIDE,
  CR4_PGE,
  CR4_PKE,
  CR4_PSE,
  CR4_PVI,
  CR4_SMAP,
  CR4_SMEP,
  CR4_TSD,
  CR4_UMIP,
  CR4_VME,
  cr0,
  cr4,
  dataMmu,
  EFER_LMA,
  EFER_LME,
  edxEax,
  efer,
  fault,
  faulted,
  GP,
  has,
  is64,
  isCanonical,
  isLong,
  reg,
  segAttr,
  setEdxEax,
  UD,
} from './cpu';
import { readTpr, writeTpr } from './lapic';
import { updateMode } from './mode';
import { notKernel, TYPE_TSS16, typeOf, umipRefuses } from './segments';
import { xinuse } from './x87-save';

const CR0_BITS: u64 = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
/** Changes of these invalidate cached translations. */
const CR0_PAGING: u64 = CR0_PG | CR0_WP | CR0_PE;
const CR4_PAGING: u64 = CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_LA57;
const CR3_NO_FLUSH: u64 = 0x8000000000000000;

function loadCr0(cpu: usize, value: u64): void {
  const old = cr0(cpu);
  if (
    value >> 32 !== 0 ||
    ((value & CR0_PG) !== 0 && (value & CR0_PE) === 0) ||
    ((value & CR0_NW) !== 0 && (value & CR0_CD) === 0)
  ) {
    fault(cpu, GP, 0);
    return;
  }
  value = (value & CR0_BITS) | CR0_ET;
  let e = efer(cpu);
  if (((value ^ old) & CR0_PG) !== 0) {
    if ((value & CR0_PG) !== 0) {
      if ((e & EFER_LME) !== 0) {
        const tss16 = (typeOf(segAttr(cpu, SEG_TR)) & ~(<u32>2)) === TYPE_TSS16;
        if ((cr4(cpu) & CR4_PAE) === 0 || (segAttr(cpu, SEG_CS) & ATTR_L) !== 0 || tss16) {
          fault(cpu, GP, 0);
          return;
        }
        e |= EFER_LMA;
      }
    } else {
      if (is64(cpu) || (cr4(cpu) & CR4_PCIDE) !== 0) {
        fault(cpu, GP, 0);
        return;
      }
      e &= ~EFER_LMA;
    }
    store<u64>(cpu + X86_EFER, e);
  }
  store<u64>(cpu + X86_CR0, value);
  if (((value ^ old) & CR0_PAGING) !== 0) flushAll(cpu);
}

function loadCr3(cpu: usize, value: u64): void {
  let keep = false;
  if ((cr4(cpu) & CR4_PCIDE) !== 0) {
    keep = (value & CR3_NO_FLUSH) !== 0;
    value &= ~CR3_NO_FLUSH;
  }
  if (isLong(cpu)) {
    if (value >> load<u32>(cpu + X86_PHYS_BITS) !== 0) {
      fault(cpu, GP, 0);
      return;
    }
  } else value &= 0xffffffff;
  store<u64>(cpu + X86_CR3, value);
  if ((cr0(cpu) & CR0_PG) !== 0) enterAddressSpace(cpu, keep);
}

function bitFor(cpu: usize, feature: u32, bits: u64): u64 {
  return has(cpu, feature) ? bits : 0;
}
/** CR4 bits that the CPU model has. */
function cr4Allowed(cpu: usize): u64 {
  return (
    CR4_PCE |
    bitFor(cpu, FEATURE_VME, CR4_VME | CR4_PVI) |
    bitFor(cpu, FEATURE_TSC, CR4_TSD) |
    bitFor(cpu, FEATURE_DE, CR4_DE) |
    bitFor(cpu, FEATURE_PSE, CR4_PSE) |
    bitFor(cpu, FEATURE_PAE, CR4_PAE) |
    bitFor(cpu, FEATURE_MCE, CR4_MCE) |
    bitFor(cpu, FEATURE_PGE, CR4_PGE) |
    bitFor(cpu, FEATURE_FXSR, CR4_OSFXSR) |
    bitFor(cpu, FEATURE_SSE, CR4_OSXMMEXCPT) |
    bitFor(cpu, FEATURE_UMIP, CR4_UMIP) |
    bitFor(cpu, FEATURE_LA57, CR4_LA57) |
    bitFor(cpu, FEATURE_FSGSBASE, CR4_FSGSBASE) |
    bitFor(cpu, FEATURE_PCID, CR4_PCIDE) |
    bitFor(cpu, FEATURE_XSAVE, CR4_OSXSAVE) |
    bitFor(cpu, FEATURE_SMEP, CR4_SMEP) |
    bitFor(cpu, FEATURE_SMAP, CR4_SMAP) |
    bitFor(cpu, FEATURE_PKU, CR4_PKE)
  );
}
function loadCr4(cpu: usize, value: u64): void {
  const old = cr4(cpu);
  const changed = value ^ old;
  const long = isLong(cpu);
  if (
    (value & ~cr4Allowed(cpu)) !== 0 ||
    (long && ((value & CR4_PAE) === 0 || (changed & CR4_LA57) !== 0)) ||
    ((changed & value & CR4_PCIDE) !== 0 && (!long || (load<u64>(cpu + X86_CR3) & 0xfff) !== 0))
  ) {
    fault(cpu, GP, 0);
    return;
  }
  store<u64>(cpu + X86_CR4, value);
  if ((changed & CR4_PAGING) !== 0) flushAll(cpu);
}

export function readCr(cpu: usize, _a: u64, _b: u64, imm: u32): u64 {
  if (notKernel(cpu)) return 0;
  switch (imm) {
    case 0:
      return cr0(cpu);
    case 2:
      return load<u64>(cpu + X86_CR2);
    case 3:
      return load<u64>(cpu + X86_CR3);
    case 4:
      return cr4(cpu);
    case 8:
      return readTpr(cpu) >> 4;
  }
  return fault(cpu, UD, 0);
}
export function writeCr(cpu: usize, a: u64, _b: u64, imm: u32): u64 {
  if (notKernel(cpu)) return 0;
  switch (imm) {
    case 0:
      loadCr0(cpu, a);
      break;
    case 2:
      store<u64>(cpu + X86_CR2, a);
      break;
    case 3:
      loadCr3(cpu, a);
      break;
    case 4:
      loadCr4(cpu, a);
      break;
    case 8:
      if (a > 15) return fault(cpu, GP, 0);
      writeTpr(cpu, (<u32>a) << 4);
      break;
    default:
      return fault(cpu, UD, 0);
  }
  if (faulted(cpu)) return 0;
  updateMode(cpu);
  if ((load<u32>(<usize>load<u32>(cpu + VCPU_MACHINE) + MACHINE_TRACE_MASK) & TRACE_MMU) !== 0)
    traceInterrupt(cpu, TRACED_CONTROL_REGISTER, imm, 0);
  return 0;
}
/** traceInterrupt's kind for a control register that was written. */
const TRACED_CONTROL_REGISTER: u32 = 5;

export function smsw(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  return umipRefuses(cpu) ? 0 : cr0(cpu);
}
/** LMSW sets PE, MP, EM and TS; it cannot clear PE. */
export function lmsw(cpu: usize, a: u64, _b: u64, _imm: u32): u64 {
  if (notKernel(cpu)) return 0;
  const old = cr0(cpu);
  loadCr0(cpu, (old & ~(<u64>14)) | (a & 15) | (old & CR0_PE));
  if (!faulted(cpu)) updateMode(cpu);
  return 0;
}
export function clts(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (notKernel(cpu)) return 0;
  store<u64>(cpu + X86_CR0, cr0(cpu) & ~CR0_TS);
  updateMode(cpu);
  return 0;
}

export function invlpg(cpu: usize, a: u64, _b: u64, _imm: u32): u64 {
  if (notKernel(cpu)) return 0;
  flushPage(cpu, a);
  return 0;
}
export function invpcid(cpu: usize, a: u64, b: u64, _imm: u32): u64 {
  if (!has(cpu, FEATURE_INVPCID)) return fault(cpu, UD, 0);
  if (notKernel(cpu)) return 0;
  const mmu = dataMmu(cpu);
  const pcid = ldU64(cpu, b, mmu);
  if (faulted(cpu)) return 0;
  const linear = ldU64(cpu, b + 8, mmu);
  if (faulted(cpu)) return 0;
  if (a > 3 || pcid >> 12 !== 0) return fault(cpu, GP, 0);
  if (a <= 1 && pcid !== 0 && (cr4(cpu) & CR4_PCIDE) === 0) return fault(cpu, GP, 0);
  if (a === 0) {
    if (!isCanonical(cpu, linear)) return fault(cpu, GP, 0);
    flushPage(cpu, linear);
  } else if (a === 1) flushPcid(cpu, <u32>pcid);
  else if (a === 2) flushAll(cpu);
  else flushNotGlobal(cpu);
  return 0;
}
/** Caches are not modelled. */
export function wbinvd(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  notKernel(cpu);
  return 0;
}

export function xgetbv(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if ((cr4(cpu) & CR4_OSXSAVE) === 0) return fault(cpu, UD, 0);
  const which = reg(cpu, 1) & 0xffffffff;
  if (which === 0) setEdxEax(cpu, load<u64>(cpu + X86_XCR0));
  else if (which === 1 && has(cpu, FEATURE_XGETBV1)) setEdxEax(cpu, load<u64>(cpu + X86_XCR0) & xinuse(cpu));
  else fault(cpu, GP, 0);
  return 0;
}
/** XCR0 components of the CPU model: x87, SSE, AVX, PKRU. */
export function xcr0Allowed(cpu: usize): u64 {
  return 3 | bitFor(cpu, FEATURE_AVX, 4) | bitFor(cpu, FEATURE_PKU, 0x200);
}
export function xsetbv(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if ((cr4(cpu) & CR4_OSXSAVE) === 0) return fault(cpu, UD, 0);
  if (notKernel(cpu)) return 0;
  const value = edxEax(cpu);
  const bad = (reg(cpu, 1) & 0xffffffff) !== 0 || (value & 1) === 0 || (value & ~xcr0Allowed(cpu)) !== 0;
  if (bad || (value & 6) === 4) return fault(cpu, GP, 0);
  store<u64>(cpu + X86_XCR0, value);
  updateMode(cpu);
  return 0;
}

export function rdpkru(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if ((cr4(cpu) & CR4_PKE) === 0) return fault(cpu, UD, 0);
  if ((reg(cpu, 1) & 0xffffffff) !== 0) return fault(cpu, GP, 0);
  setEdxEax(cpu, load<u64>(cpu + X86_PKRU) & 0xffffffff);
  return 0;
}
export function wrpkru(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if ((cr4(cpu) & CR4_PKE) === 0) return fault(cpu, UD, 0);
  if (((reg(cpu, 1) | reg(cpu, 2)) & 0xffffffff) !== 0) return fault(cpu, GP, 0);
  store<u64>(cpu + X86_PKRU, reg(cpu, 0) & 0xffffffff);
  flushAll(cpu);
  return 0;
}
