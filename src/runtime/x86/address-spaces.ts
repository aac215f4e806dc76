/** PCIDs to TLB generations: an address space keeps its translations while others run. */
import { tlbFlush, tlbFlushPage, tlbNewGeneration } from '../core/memory';
import { VCPU_TLB_GENERATION } from '../generated/layout';
import { X86_CR3, X86_HUGE_PAGES, X86_LARGE_PAGES, X86_TLB_PCID } from '../generated/x86';
import { CR4_PAE, CR4_PCIDE, CR4_PGE, cr4 } from './cpu';

const PCID_MASK: u64 = 0xfff;
const PCIDS: usize = 4096;

function forgetAll(cpu: usize): void {
  memory.fill(cpu + X86_TLB_PCID, 0, PCIDS * 2);
}

/** Gives `pcid` a fresh generation. Returns it. */
function renew(cpu: usize, pcid: u32): u32 {
  const generation = tlbNewGeneration(cpu);
  // After a wrap every remembered number means nothing.
  if (generation === 1) forgetAll(cpu);
  store<u16>(cpu + X86_TLB_PCID + (pcid << 1), <u16>generation);
  return generation;
}

/** Invalidates all translations of all address spaces. */
export function flushAll(cpu: usize): void {
  tlbFlush(cpu);
  forgetLargePages(cpu);
  if ((cr4(cpu) & CR4_PCIDE) === 0) return;
  forgetAll(cpu);
  const pcid = <u32>(load<u64>(cpu + X86_CR3) & PCID_MASK);
  store<u16>(cpu + X86_TLB_PCID + (pcid << 1), <u16>load<u32>(cpu + VCPU_TLB_GENERATION));
}

/** Invalidates the translations of all address spaces, but for global pages (INVPCID type 3). */
export function flushNotGlobal(cpu: usize): void {
  if ((cr4(cpu) & CR4_PCIDE) !== 0) forgetAll(cpu);
  enterAddressSpace(cpu, false);
}

/** CR3 has been loaded; `keep`: what is cached for its PCID stays valid. Global pages always do. */
export function enterAddressSpace(cpu: usize, keep: bool): void {
  const c4 = cr4(cpu);
  if ((c4 & CR4_PCIDE) === 0) {
    store<u32>(cpu + VCPU_TLB_GENERATION, tlbNewGeneration(cpu));
    if ((c4 & CR4_PGE) === 0) forgetLargePages(cpu);
    return;
  }
  const pcid = <u32>(load<u64>(cpu + X86_CR3) & PCID_MASK);
  let generation: u32 = keep ? load<u16>(cpu + X86_TLB_PCID + (pcid << 1)) : 0;
  if (generation === 0) generation = renew(cpu, pcid);
  store<u32>(cpu + VCPU_TLB_GENERATION, generation);
}

/** Invalidates one PCID's translations (INVPCID type 1). */
export function flushPcid(cpu: usize, pcid: u32): void {
  if ((cr4(cpu) & CR4_PCIDE) !== 0 && pcid !== <u32>(load<u64>(cpu + X86_CR3) & PCID_MASK)) {
    store<u16>(cpu + X86_TLB_PCID + (pcid << 1), 0);
    return;
  }
  enterAddressSpace(cpu, false);
}

// ---------------------------------------------------------------- large pages

const LARGE_BITS: u64 = 8192;

/** Bit number of the 2 MiB region that holds `linear`. */
function largeBit(linear: u64): u64 {
  return ((linear >> 21) ^ (linear >> 34)) & (LARGE_BITS - 1);
}

/** A translation out of a page of `mask` + 1 bytes, larger than 4 KiB, goes into the TLB. */
export function noteLargePage(cpu: usize, linear: u64, mask: u64): void {
  if (mask >= 0x3fffffff) {
    store<u64>(cpu + X86_HUGE_PAGES, load<u64>(cpu + X86_HUGE_PAGES) | ((<u64>1) << ((linear >> 30) & 63)));
    return;
  }
  const bit = largeBit(linear);
  const at = cpu + X86_LARGE_PAGES + ((<usize>bit >> 6) << 3);
  store<u64>(at, load<u64>(at) | ((<u64>1) << (bit & 63)));
}

function testLarge(cpu: usize, linear: u64): bool {
  const bit = largeBit(linear);
  return ((load<u64>(cpu + X86_LARGE_PAGES + ((<usize>bit >> 6) << 3)) >> (bit & 63)) & 1) !== 0;
}

function forgetLargePages(cpu: usize): void {
  memory.fill(cpu + X86_LARGE_PAGES, 0, <usize>LARGE_BITS / 8);
  store<u64>(cpu + X86_HUGE_PAGES, 0);
}

/** INVLPG: one page of whatever size, in all address spaces. */
export function flushPage(cpu: usize, linear: u64): void {
  // 4 MiB pages (32-bit paging) are two regions.
  const pae = (cr4(cpu) & CR4_PAE) !== 0;
  const large =
    testLarge(cpu, linear) ||
    (!pae && testLarge(cpu, linear ^ 0x200000)) ||
    ((load<u64>(cpu + X86_HUGE_PAGES) >> ((linear >> 30) & 63)) & 1) !== 0;
  if (large) flushAll(cpu);
  else tlbFlushPage(cpu, linear);
}
