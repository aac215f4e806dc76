/** PCIDs to TLB generations: an address space keeps its translations while others run. */
import { tlbFlush, tlbFlushPage, tlbNewGeneration } from '../core/memory';
import { VCPU_TLB_GENERATION } from '../generated/layout';
import { X86_CR3, X86_TLB_PCID } from '../generated/x86';
import { CR4_PCIDE, cr4 } from './cpu';

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
  if ((cr4(cpu) & CR4_PCIDE) === 0) return;
  forgetAll(cpu);
  const pcid = <u32>(load<u64>(cpu + X86_CR3) & PCID_MASK);
  store<u16>(cpu + X86_TLB_PCID + (pcid << 1), <u16>load<u32>(cpu + VCPU_TLB_GENERATION));
}

/** CR3 has been loaded; `keep`: what is cached for its PCID stays valid. */
export function enterAddressSpace(cpu: usize, keep: bool): void {
  if ((cr4(cpu) & CR4_PCIDE) === 0) {
    tlbFlush(cpu);
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

export function flushPage(cpu: usize, linear: u64): void {
  tlbFlushPage(cpu, linear);
}
