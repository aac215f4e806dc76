/** CPUID from the table that the CPU model wrote, with what depends on the processor's state; RDRAND and RDSEED. */
import { hostRandom } from '../core/env';
import {
  EFLAGS_ARITHMETIC,
  EFLAGS_CF,
  FEATURE_RDRAND,
  FEATURE_RDSEED,
  LAPIC_INITIAL_ID,
  X86_CPUID,
  X86_CPUID_COUNT,
  X86_CPUID_INDEX,
  X86_LAPIC,
  X86_XCR0,
} from '../generated/x86';
import { CR4_OSXSAVE, CR4_PKE, cr4, fault, has, reg, setReg, UD } from './cpu';
import { writeEflags } from './flags';
import { isEnabled } from './lapic';

const ANY: u32 = 0xffffffff;

/** Address of the four words for a leaf, or 0. */
function find(cpu: usize, leaf: u32, subleaf: u32): usize {
  const count = load<u32>(cpu + X86_CPUID_COUNT);
  for (let i: u32 = 0; i < count; i++) {
    const at = cpu + X86_CPUID_INDEX + ((<usize>i) << 3);
    if (load<u32>(at) !== leaf) continue;
    const sub = load<u32>(at + 4);
    if (sub === ANY || sub === subleaf) return cpu + X86_CPUID + ((<usize>i) << 4);
  }
  return 0;
}
/** Highest leaf of the range that `leaf` is in. */
function highestLeaf(cpu: usize, leaf: u32): u32 {
  const at = find(cpu, leaf & 0xf0000000, 0);
  return at === 0 ? 0 : load<u32>(at);
}

/** Bytes of the XSAVE area for the components in `mask`, in the standard or the compacted format. */
function xsaveBytes(cpu: usize, mask: u64, compacted: bool): u32 {
  let bytes: u32 = 576;
  for (let i: u32 = 2; i < 63; i++) {
    if (((mask >> i) & 1) === 0) continue;
    const at = find(cpu, 0xd, i);
    if (at === 0) continue;
    const size = load<u32>(at);
    const end = size + (compacted ? bytes : load<u32>(at + 4));
    if (end > bytes) bytes = end;
  }
  return bytes;
}

export function cpuid(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  let leaf = <u32>reg(cpu, 0);
  const subleaf = <u32>reg(cpu, 1);
  // Beyond the last leaf the last basic one answers.
  if (leaf > highestLeaf(cpu, leaf)) leaf = highestLeaf(cpu, 0);
  const at = find(cpu, leaf, subleaf);
  let eax: u32 = 0;
  let ebx: u32 = 0;
  let ecx: u32 = 0;
  let edx: u32 = 0;
  if (at !== 0) {
    eax = load<u32>(at);
    ebx = load<u32>(at + 4);
    ecx = load<u32>(at + 8);
    edx = load<u32>(at + 12);
  }
  const id = load<u32>(cpu + X86_LAPIC + LAPIC_INITIAL_ID);
  switch (leaf) {
    case 1:
      ebx = (ebx & 0xffffff) | (id << 24);
      if ((cr4(cpu) & CR4_OSXSAVE) !== 0) ecx |= 1 << 27;
      if (!isEnabled(cpu)) edx &= ~((<u32>1) << 9);
      break;
    case 7:
      if (subleaf === 0 && (cr4(cpu) & CR4_PKE) !== 0) ecx |= 1 << 4;
      break;
    case 0xb:
      ecx = (ecx & ~0xff) | (subleaf & 0xff);
      edx = id;
      break;
    case 0xd:
      if (at !== 0 && subleaf <= 1) ebx = xsaveBytes(cpu, load<u64>(cpu + X86_XCR0), subleaf === 1);
      break;
    case 0x8000001e:
      eax = id;
      break;
  }
  setReg(cpu, 0, eax);
  setReg(cpu, 3, ebx);
  setReg(cpu, 1, ecx);
  setReg(cpu, 2, edx);
  return 0;
}

function random(cpu: usize, size: u32): u64 {
  writeEflags(cpu, EFLAGS_CF, EFLAGS_ARITHMETIC);
  const low = <u64>hostRandom();
  if (size === 8) return low | ((<u64>hostRandom()) << 32);
  return size === 2 ? low & 0xffff : low;
}
export function rdrand(cpu: usize, _a: u64, _b: u64, imm: u32): u64 {
  return has(cpu, FEATURE_RDRAND) ? random(cpu, imm) : fault(cpu, UD, 0);
}
export function rdseed(cpu: usize, _a: u64, _b: u64, imm: u32): u64 {
  return has(cpu, FEATURE_RDSEED) ? random(cpu, imm) : fault(cpu, UD, 0);
}
