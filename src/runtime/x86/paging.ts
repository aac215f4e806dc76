/** Address translation (Intel SDM vol. 3A ch. 4): every paging mode, permissions, accessed and dirty bits. */
import { physLd32, physLd64, physSt32, physSt64 } from '../core/memory';
import { VCPU_FAULT_ADDRESS, VCPU_MODE } from '../generated/layout';
import {
  FEATURE_PDPE1GB,
  FEATURE_PSE36,
  MODE_ADD_SEG,
  X86_A20_CLOSED,
  X86_CR3,
  X86_PHYS_BITS,
  X86_PKRU,
} from '../generated/x86';
import { noteLargePage } from './address-spaces';
import {
  AC,
  CR0_PG,
  CR0_WP,
  CR4_LA57,
  CR4_PAE,
  CR4_PGE,
  CR4_PKE,
  CR4_PSE,
  CR4_SMEP,
  cr0,
  cr4,
  EFER_LMA,
  EFER_NXE,
  efer,
  fault,
  GP,
  has,
  is64,
  isCanonical,
  isIntel,
  pageFault,
} from './cpu';
import { watchesPage } from './debug';
import { NOT_CANONICAL } from './faulting-instruction';

/** Results of `walk`. */
export let walkPhys: u64 = 0;
export let walkProt: u32 = 0;
export let walkGlobal: u32 = 0;

export const PROT_READ: u32 = 1;
export const PROT_WRITE: u32 = 2;
export const PROT_EXECUTE: u32 = 4;
export const ACCESS_READ: u32 = 0;
export const ACCESS_WRITE: u32 = 1;
export const ACCESS_EXECUTE: u32 = 2;

const P: u64 = 1;
const RW: u64 = 2;
const US: u64 = 4;
const A: u64 = 0x20;
const D: u64 = 0x40;
const PS: u64 = 0x80;
const G: u64 = 0x100;
const NX: u64 = 0x8000000000000000;

const ERR_P: u32 = 1;
const ERR_W: u32 = 2;
const ERR_U: u32 = 4;
const ERR_RSVD: u32 = 8;
const ERR_I: u32 = 16;
const ERR_PK: u32 = 32;

// The leaf that `findLeaf` found: the entry, where it is, its width, the page's mask, and what all levels allow together.
let leaf: u64 = 0;
let leafAt: u64 = 0;
let leafWide: bool = false;
let leafMask: u64 = 0;
let allowed: u64 = 0; // RW and US as in an entry; NX inverted into bit 63 = executable
let leafError: u32 = 0; // ERR_ bits when there is none

/** Walks the tables to the leaf for `linear`. `set`: set accessed bits on the way. False: leafError says why. */
function findLeaf(cpu: usize, linear: u64, set: bool): bool {
  const c4 = cr4(cpu);
  const a20 = ~load<u64>(cpu + X86_A20_CLOSED);
  const cr3 = load<u64>(cpu + X86_CR3);
  allowed = RW | US | NX;
  if ((c4 & CR4_PAE) === 0) return findLeaf32(cpu, linear, set, c4, a20, cr3);
  leafWide = true;
  const physMask: u64 = ((<u64>1) << load<u32>(cpu + X86_PHYS_BITS)) - 1;
  const addressMask: u64 = 0x000ffffffffff000 & physMask;
  const e = efer(cpu);
  const long = (e & EFER_LMA) !== 0;
  let reserved: u64 = 0x000fffffffffffff & ~physMask;
  if ((e & EFER_NXE) === 0) reserved |= NX;
  if (!long) reserved |= 0x7ff0000000000000;
  let level: i32 = long ? ((c4 & CR4_LA57) !== 0 ? 5 : 4) : 3;
  let table: u64 = long ? cr3 & addressMask : cr3 & 0xffffffe0;
  if (!long) linear &= 0xffffffff;
  while (true) {
    const shift: u64 = 12 + 9 * (level - 1);
    leafAt = (table + (((linear >> shift) & 511) << 3)) & a20;
    const entry = physLd64(cpu, leafAt);
    leafError = 0;
    if ((entry & P) === 0) return false;
    leafError = ERR_P | ERR_RSVD;
    if ((entry & reserved) !== 0) return false;
    if (level === 3 && !long) {
      // Page-directory-pointer entries of PAE paging have no permissions and no accessed bit.
      if ((entry & (NX | 0x1e6)) !== 0) return false;
    } else {
      allowed &= entry ^ NX;
      const large = level > 1 && (entry & PS) !== 0;
      if (large && (level > 3 || (level === 3 && !has(cpu, FEATURE_PDPE1GB)))) return false;
      if (level === 1 || large) {
        leafMask = ((<u64>1) << shift) - 1;
        if (large && (entry & leafMask & ~0x1fff) !== 0) return false;
        leaf = entry;
        leafError = 0;
        walkPhys = ((entry & addressMask & ~leafMask) | (linear & leafMask)) & a20;
        return true;
      }
      if (set && (entry & A) === 0) physSt64(cpu, leafAt, entry | A);
    }
    table = entry & addressMask;
    level--;
  }
}

function findLeaf32(cpu: usize, linear: u64, set: bool, c4: u64, a20: u64, cr3: u64): bool {
  leafWide = false;
  leafError = 0;
  leafAt = ((cr3 & 0xfffff000) + ((linear >> 20) & 0xffc)) & a20;
  const pde: u64 = physLd32(cpu, leafAt) & 0xffffffff;
  if ((pde & P) === 0) return false;
  allowed &= pde | NX;
  if ((pde & PS) !== 0 && (c4 & CR4_PSE) !== 0) {
    const high: u64 = has(cpu, FEATURE_PSE36) ? (pde >> 13) & 0xff : 0;
    const physBits = load<u32>(cpu + X86_PHYS_BITS);
    const bad: u64 = has(cpu, FEATURE_PSE36)
      ? (pde & 0x200000) | (physBits < 40 ? high >> (physBits - 32) : 0)
      : pde & 0x3fe000;
    leafError = ERR_P | ERR_RSVD;
    if (bad !== 0) return false;
    leafError = 0;
    leaf = pde;
    leafMask = 0x3fffff;
    walkPhys = ((high << 32) | (pde & 0xffc00000) | (linear & leafMask)) & a20;
    return true;
  }
  if (set && (pde & A) === 0) physSt32(cpu, leafAt, pde | A);
  leafAt = ((pde & 0xfffff000) + ((linear >> 10) & 0xffc)) & a20;
  leaf = physLd32(cpu, leafAt) & 0xffffffff;
  if ((leaf & P) === 0) return false;
  allowed &= leaf | NX;
  leafMask = 0xfff;
  walkPhys = ((leaf & 0xfffff000) | (linear & leafMask)) & a20;
  return true;
}

/**
 * Translates `linear` for an access (0 read, 1 write, 2 execute) as MMU index `mmu`; 0: walkPhys (whole address, A20 mask
 * applied), walkProt and walkGlobal hold the result; 1: a fault is recorded.
 */
export function walk(cpu: usize, linear: u64, access: u32, mmu: u32): u32 {
  const c0 = cr0(cpu);
  walkGlobal = 0;
  if ((c0 & CR0_PG) === 0) {
    walkPhys = linear & 0xffffffff & ~load<u64>(cpu + X86_A20_CLOSED);
    walkProt = PROT_READ | PROT_WRITE | PROT_EXECUTE;
    if (watchesPage(cpu, linear)) walkProt = PROT_EXECUTE;
    return 0;
  }
  const c4 = cr4(cpu);
  const e = efer(cpu);
  const long = (e & EFER_LMA) !== 0;
  const user = mmu === 1;
  let error: u32 = (access === ACCESS_WRITE ? ERR_W : 0) | (user ? ERR_U : 0);
  if (access === ACCESS_EXECUTE && ((c4 & CR4_SMEP) !== 0 || ((e & EFER_NXE) !== 0 && (c4 & CR4_PAE) !== 0)))
    error |= ERR_I;
  if (long && !isCanonical(cpu, linear)) {
    if (access === ACCESS_EXECUTE) fault(cpu, GP, 0);
    else {
      store<u64>(cpu + VCPU_FAULT_ADDRESS, linear);
      fault(cpu, GP, NOT_CANONICAL);
    }
    return 1;
  }
  if (!findLeaf(cpu, linear, true)) {
    pageFault(cpu, linear, error | leafError);
    return 1;
  }
  const userPage = (allowed & US) !== 0;
  let prot: u32 = 0;
  if (user) {
    if (userPage) {
      prot = PROT_READ;
      if ((allowed & RW) !== 0) prot |= PROT_WRITE;
      if ((allowed & NX) !== 0) prot |= PROT_EXECUTE;
    }
  } else {
    if (!userPage || mmu !== 2) {
      prot = PROT_READ;
      if ((allowed & RW) !== 0 || (c0 & CR0_WP) === 0) prot |= PROT_WRITE;
    }
    if ((allowed & NX) !== 0 && (!userPage || (c4 & CR4_SMEP) === 0)) prot |= PROT_EXECUTE;
  }
  if (userPage && (c4 & CR4_PKE) !== 0 && long) {
    const key = (leaf >> 59) & 15;
    const rights = <u32>(load<u64>(cpu + X86_PKRU) >> (key * 2)) & 3;
    let keyed = prot;
    if ((rights & 1) !== 0) keyed &= ~(PROT_READ | PROT_WRITE);
    if ((rights & 2) !== 0 && (user || (c0 & CR0_WP) !== 0)) keyed &= ~PROT_WRITE;
    if (((prot >> access) & 1) !== 0 && ((keyed >> access) & 1) === 0) error |= ERR_PK;
    prot = keyed;
  }
  if (((prot >> access) & 1) === 0) {
    pageFault(cpu, linear, error | ERR_P);
    return 1;
  }
  const bits: u64 = access === ACCESS_WRITE ? A | D : A;
  if ((leaf & bits) !== bits) {
    leaf |= bits;
    if (leafWide) physSt64(cpu, leafAt, leaf);
    else physSt32(cpu, leafAt, leaf);
  }
  if ((leaf & D) === 0) prot &= ~PROT_WRITE;
  if (watchesPage(cpu, linear)) prot &= PROT_EXECUTE;
  if (leafMask > 0xfff) noteLargePage(cpu, linear, leafMask);
  walkProt = prot;
  if ((leaf & G) !== 0 && (c4 & CR4_PGE) !== 0) walkGlobal = 1;
  return 0;
}

/**
 * Of an access that crosses pages: does it begin at an address there is and end beyond what there is (the hole between the
 * halves, or 4 GiB outside 64-bit mode)? Processors look at the whole access first, so the fault for that is recorded before
 * any page of it is looked up.
 */
export function endsOutside(cpu: usize, linear: u64, bytes: u32): bool {
  const last = linear + <u64>(bytes - 1);
  if (is64(cpu)) {
    if (!isCanonical(cpu, linear) || isCanonical(cpu, last)) return false;
  } else if (linear >> 32 !== 0 || last >> 32 === 0 || (load<u32>(cpu + VCPU_MODE) & MODE_ADD_SEG) !== 0) return false;
  store<u64>(cpu + VCPU_FAULT_ADDRESS, linear);
  fault(cpu, GP, NOT_CANONICAL);
  return true;
}

/**
 * Alignment check: #AC comes before page faults, but after the address itself was found to be one: of the whole operand for
 * AMD's processors, of its first byte for Intel's.
 */
export function misalignedAccess(cpu: usize, linear: u64, bytes: u32): void {
  if (is64(cpu) && !isCanonical(cpu, linear)) {
    store<u64>(cpu + VCPU_FAULT_ADDRESS, linear);
    fault(cpu, GP, NOT_CANONICAL);
  } else if (isIntel(cpu) || !endsOutside(cpu, linear, bytes)) fault(cpu, AC, 0);
}

/** Translates for monitors and debuggers: no permission checks, nothing changed. Physical address, or all ones. */
export function debugTranslate(cpu: usize, linear: u64): u64 {
  if ((cr0(cpu) & CR0_PG) === 0) return linear & 0xffffffff & ~load<u64>(cpu + X86_A20_CLOSED);
  return findLeaf(cpu, linear, false) ? walkPhys : <u64>-1;
}

/** After `debugTranslate`: the leaf's flags and what all levels allow (bit 1 RW, bit 2 US, bit 63 executable). */
export function debugLeaf(): u64 {
  return (leaf & 0xfff & ~(RW | US)) | (allowed & (RW | US | NX));
}
/** After `debugTranslate`: bytes of the page minus one. */
export function debugPageMask(): u64 {
  return leafMask;
}
