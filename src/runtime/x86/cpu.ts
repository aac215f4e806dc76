/** What the system files share: fields of the vCPU record, segment registers, raising faults, the stack. */
import {
  MACHINE_VCPU_COUNT,
  MACHINE_VCPUS,
  VCPU_EXIT_REQUEST,
  VCPU_FAULT_ADDRESS,
  VCPU_FAULT_CODE,
  VCPU_FAULT_PENDING,
  VCPU_FAULT_VECTOR,
  VCPU_INTERRUPT_REQUEST,
  VCPU_MACHINE,
  VCPU_MMU_INDEX,
  VCPU_PC,
} from '../generated/layout';
import {
  EFLAGS_AC,
  EFLAGS_IOPL,
  EFLAGS_VM,
  VENDOR_INTEL,
  X86_CPL,
  X86_CPUID,
  X86_CR0,
  X86_CR4,
  X86_CS_BASE,
  X86_EFER,
  X86_EFLAGS,
  X86_ES_ATTR,
  X86_ES_BASE,
  X86_ES_LIMIT,
  X86_ES_SELECTOR,
  X86_FEATURES,
  X86_RAX,
} from '../generated/x86';

export const CR0_PE: u64 = 1;
export const CR0_MP: u64 = 2;
export const CR0_EM: u64 = 4;
export const CR0_TS: u64 = 8;
export const CR0_ET: u64 = 16;
export const CR0_NE: u64 = 32;
export const CR0_WP: u64 = 1 << 16;
export const CR0_AM: u64 = 1 << 18;
export const CR0_NW: u64 = 1 << 29;
export const CR0_CD: u64 = 1 << 30;
export const CR0_PG: u64 = 0x80000000;

export const CR4_VME: u64 = 1 << 0;
export const CR4_PVI: u64 = 1 << 1;
export const CR4_TSD: u64 = 1 << 2;
export const CR4_DE: u64 = 1 << 3;
export const CR4_PSE: u64 = 1 << 4;
export const CR4_PAE: u64 = 1 << 5;
export const CR4_MCE: u64 = 1 << 6;
export const CR4_PGE: u64 = 1 << 7;
export const CR4_PCE: u64 = 1 << 8;
export const CR4_OSFXSR: u64 = 1 << 9;
export const CR4_OSXMMEXCPT: u64 = 1 << 10;
export const CR4_UMIP: u64 = 1 << 11;
export const CR4_LA57: u64 = 1 << 12;
export const CR4_FSGSBASE: u64 = 1 << 16;
export const CR4_PCIDE: u64 = 1 << 17;
export const CR4_OSXSAVE: u64 = 1 << 18;
export const CR4_SMEP: u64 = 1 << 20;
export const CR4_SMAP: u64 = 1 << 21;
export const CR4_PKE: u64 = 1 << 22;

export const EFER_SCE: u64 = 1;
export const EFER_LME: u64 = 1 << 8;
export const EFER_LMA: u64 = 1 << 10;
export const EFER_NXE: u64 = 1 << 11;
export const EFER_FFXSR: u64 = 1 << 14;

// Descriptor bits as `attr` holds them (second descriptor word >> 8).
export const ATTR_ACCESSED: u32 = 1;
export const ATTR_WRITABLE: u32 = 2; // data: writable; code: readable
export const ATTR_DOWN: u32 = 4; // data: expand-down; code: conforming
export const ATTR_CODE: u32 = 8;
export const ATTR_S: u32 = 0x10;
export const ATTR_P: u32 = 0x80;
export const ATTR_L: u32 = 0x2000;
export const ATTR_DB: u32 = 0x4000;
export const ATTR_G: u32 = 0x8000;
/** What of `second word >> 8` belongs to the attributes (the rest is limit). */
export const ATTR_MASK: u32 = 0xf0ff;

// Vectors.
export const DE: u32 = 0;
export const DB: u32 = 1;
export const NMI: u32 = 2;
export const BP: u32 = 3;
export const OF: u32 = 4;
export const UD: u32 = 6;
export const NM: u32 = 7;
export const DF: u32 = 8;
export const TS: u32 = 10;
export const NP: u32 = 11;
export const SS: u32 = 12;
export const GP: u32 = 13;
export const PF: u32 = 14;
export const AC: u32 = 17;
export const MC: u32 = 18;

export const SEG_BYTES: usize = X86_CS_BASE - X86_ES_BASE;

export function segBase(cpu: usize, seg: u32): u64 {
  return load<u64>(cpu + X86_ES_BASE + <usize>seg * SEG_BYTES);
}
export function segLimit(cpu: usize, seg: u32): u32 {
  return load<u32>(cpu + X86_ES_LIMIT + <usize>seg * SEG_BYTES);
}
export function segAttr(cpu: usize, seg: u32): u32 {
  return load<u32>(cpu + X86_ES_ATTR + <usize>seg * SEG_BYTES);
}
export function segSelector(cpu: usize, seg: u32): u32 {
  return load<u32>(cpu + X86_ES_SELECTOR + <usize>seg * SEG_BYTES);
}
export function setSegment(cpu: usize, seg: u32, selector: u32, base: u64, limit: u32, attr: u32): void {
  const at = cpu + <usize>seg * SEG_BYTES;
  store<u64>(at + X86_ES_BASE, base);
  store<u32>(at + X86_ES_LIMIT, limit);
  store<u32>(at + X86_ES_ATTR, attr);
  store<u32>(at + X86_ES_SELECTOR, selector);
}
export function setSegBase(cpu: usize, seg: u32, base: u64): void {
  store<u64>(cpu + X86_ES_BASE + <usize>seg * SEG_BYTES, base);
}
export function setSegSelector(cpu: usize, seg: u32, selector: u32): void {
  store<u32>(cpu + X86_ES_SELECTOR + <usize>seg * SEG_BYTES, selector);
}
export function setSegAttr(cpu: usize, seg: u32, attr: u32): void {
  store<u32>(cpu + X86_ES_ATTR + <usize>seg * SEG_BYTES, attr);
}

export function cpl(cpu: usize): u32 {
  return load<u32>(cpu + X86_CPL);
}
export function cr0(cpu: usize): u64 {
  return load<u64>(cpu + X86_CR0);
}
export function cr4(cpu: usize): u64 {
  return load<u64>(cpu + X86_CR4);
}
export function efer(cpu: usize): u64 {
  return load<u64>(cpu + X86_EFER);
}
/** EFLAGS bits other than CF PF AF ZF SF OF and DF. */
export function sysFlags(cpu: usize): u64 {
  return load<u64>(cpu + X86_EFLAGS);
}
export function setSysFlags(cpu: usize, set: u64, clear: u64): void {
  store<u64>(cpu + X86_EFLAGS, (load<u64>(cpu + X86_EFLAGS) & ~clear) | set);
}
export function iopl(cpu: usize): u32 {
  return (<u32>sysFlags(cpu) & EFLAGS_IOPL) >> 12;
}
export function inVm86(cpu: usize): bool {
  return (sysFlags(cpu) & EFLAGS_VM) !== 0;
}
export function isProtected(cpu: usize): bool {
  return (cr0(cpu) & CR0_PE) !== 0;
}
/** Real mode or virtual-8086 mode: selectors are paragraphs. */
export function isReal(cpu: usize): bool {
  return (cr0(cpu) & CR0_PE) === 0 || inVm86(cpu);
}
export function isLong(cpu: usize): bool {
  return (efer(cpu) & EFER_LMA) !== 0;
}
export function is64(cpu: usize): bool {
  return (efer(cpu) & EFER_LMA) !== 0 && (load<u32>(cpu + X86_ES_ATTR + SEG_BYTES) & ATTR_L) !== 0;
}
/** Is the CPU model one of Intel's? Leaf 0 is the first of the leaves. */
export function isIntel(cpu: usize): bool {
  return load<u32>(cpu + X86_CPUID + 4) === VENDOR_INTEL;
}
/** Does the CPU model have this feature (a FEATURE_ constant)? */
export function has(cpu: usize, feature: u32): bool {
  return ((load<u32>(cpu + X86_FEATURES + ((feature >> 5) << 2)) >> (feature & 31)) & 1) !== 0;
}

export function reg(cpu: usize, number: u32): u64 {
  return load<u64>(cpu + X86_RAX + (number << 3));
}
export function setReg(cpu: usize, number: u32, value: u64): void {
  store<u64>(cpu + X86_RAX + (number << 3), value);
}
export function setPc(cpu: usize, pc: u64): void {
  store<u64>(cpu + VCPU_PC, pc);
}
export function getPc(cpu: usize): u64 {
  return load<u64>(cpu + VCPU_PC);
}

/** EDX:EAX as RDMSR, RDTSC and friends write it. */
export function setEdxEax(cpu: usize, value: u64): void {
  setReg(cpu, 0, value & 0xffffffff);
  setReg(cpu, 2, value >> 32);
}
export function edxEax(cpu: usize): u64 {
  return (reg(cpu, 0) & 0xffffffff) | (reg(cpu, 2) << 32);
}

/** Records a guest fault; the first one stands. Returns 0 so that helpers may end with `return fault(...)`. */
export function fault(cpu: usize, vector: u32, code: u32): u64 {
  if (load<u32>(cpu + VCPU_FAULT_PENDING) === 0) {
    store<u32>(cpu + VCPU_FAULT_PENDING, 1);
    store<u32>(cpu + VCPU_FAULT_VECTOR, vector);
    store<u32>(cpu + VCPU_FAULT_CODE, code);
  }
  return 0;
}
export function pageFault(cpu: usize, linear: u64, code: u32): void {
  store<u32>(cpu + VCPU_FAULT_PENDING, 1);
  store<u32>(cpu + VCPU_FAULT_VECTOR, PF);
  store<u32>(cpu + VCPU_FAULT_CODE, code);
  store<u64>(cpu + VCPU_FAULT_ADDRESS, linear);
}
export function faulted(cpu: usize): bool {
  return load<u32>(cpu + VCPU_FAULT_PENDING) !== 0;
}

/** exitRequest bits (core/run.ts): look for requests; give the host a turn. */
const REQUEST_POLL: u32 = 1;
const REQUEST_RETURN: u32 = 2;

/** Ends the slice soon: the host has something new to wait for. */
export function returnToHost(cpu: usize): void {
  atomic.or<u32>(cpu + VCPU_EXIT_REQUEST, REQUEST_RETURN);
}
/** Posts request bits (IntReq) to a vCPU and makes it look soon. */
export function request(cpu: usize, bits: u32): void {
  atomic.or<u32>(cpu + VCPU_INTERRUPT_REQUEST, bits);
  atomic.or<u32>(cpu + VCPU_EXIT_REQUEST, REQUEST_POLL);
}
export function unrequest(cpu: usize, bits: u32): void {
  atomic.and<u32>(cpu + VCPU_INTERRUPT_REQUEST, ~bits);
}

/** MMU index of accesses the processor makes on its own: descriptor tables, TSS, stacks of inner levels. */
export function systemMmu(cpu: usize): u32 {
  if ((cr4(cpu) & CR4_SMAP) === 0) return 0;
  return cpl(cpu) < 3 && (sysFlags(cpu) & EFLAGS_AC) !== 0 ? 0 : 2;
}
export function dataMmu(cpu: usize): u32 {
  return load<u32>(cpu + VCPU_MMU_INDEX);
}

/** Is a linear address canonical under the paging mode in force? */
export function isCanonical(cpu: usize, address: u64): bool {
  const shift: u64 = (cr4(cpu) & CR4_LA57) !== 0 ? 7 : 16;
  return <u64>(<i64>(address << shift) >> shift) === address;
}

export function vcpuCount(cpu: usize): u32 {
  return load<u32>(<usize>load<u32>(cpu + VCPU_MACHINE) + MACHINE_VCPU_COUNT);
}
export function vcpuAt(cpu: usize, index: u32): usize {
  return load<u32>(<usize>load<u32>(cpu + VCPU_MACHINE) + MACHINE_VCPUS + ((<usize>index) << 2));
}
