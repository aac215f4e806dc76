/** The mode bits that key translated blocks, derived from the registers they summarise. */
import { VCPU_MMU_INDEX, VCPU_MODE } from '../generated/layout';
import {
  DEBUGGER_BREAKPOINTS,
  DEBUGGER_SINGLE,
  EFLAGS_AC,
  EFLAGS_TF,
  EFLAGS_VM,
  MODE_ADD_SEG,
  MODE_ALIGN,
  MODE_AVX,
  MODE_BREAKPOINTS,
  MODE_CS_BASE,
  MODE_CS_LIMIT,
  MODE_CS32,
  MODE_CS64,
  MODE_EM,
  MODE_INHIBIT,
  MODE_IOPL_SHIFT,
  MODE_LIMITS,
  MODE_LMA,
  MODE_MP,
  MODE_OSFXSR,
  MODE_PROTECTED,
  MODE_SINGLE,
  MODE_SMAP_ON,
  MODE_SMM,
  MODE_SS32,
  MODE_TRAP,
  MODE_TS,
  MODE_UMIP,
  MODE_VM86,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_SS,
  X86_DEBUGGER,
  X86_DR,
  X86_IN_SMM,
  X86_INHIBIT_INTERRUPTS,
  X86_XCR0,
} from '../generated/x86';
import {
  ATTR_CODE,
  ATTR_DB,
  ATTR_DOWN,
  ATTR_L,
  ATTR_S,
  ATTR_WRITABLE,
  CR0_AM,
  CR0_EM,
  CR0_MP,
  CR0_PE,
  CR0_TS,
  CR4_OSFXSR,
  CR4_OSXSAVE,
  CR4_SMAP,
  CR4_UMIP,
  cpl,
  cr0,
  cr4,
  EFER_LMA,
  efer,
  iopl,
  segAttr,
  segBase,
  segLimit,
  sysFlags,
} from './cpu';

/** Is a data segment 4 GiB of plain writable memory, so that no access needs a look at limit or type? */
function flat(cpu: usize, seg: u32): bool {
  const kind = segAttr(cpu, seg) & (ATTR_S | ATTR_CODE | ATTR_DOWN | ATTR_WRITABLE);
  return segLimit(cpu, seg) === 0xffffffff && kind === (ATTR_S | ATTR_WRITABLE);
}

/**
 * Recomputes mode bits and MMU index; call it after any change of segment registers, CR0, CR4, EFER, XCR0, DR7, TF, VM,
 * AC, IOPL, CPL, SMM, the interrupt shadow, or the x87 exception summary.
 */
export function updateMode(cpu: usize): void {
  const c0 = cr0(cpu);
  const c4 = cr4(cpu);
  const flags = <u32>sysFlags(cpu);
  const level = cpl(cpu);
  let mode = level | (iopl(cpu) << MODE_IOPL_SHIFT);
  const csAttr = segAttr(cpu, SEG_CS);
  const lma = (efer(cpu) & EFER_LMA) !== 0;
  if (lma) mode |= MODE_LMA;
  if (lma && (csAttr & ATTR_L) !== 0) mode |= MODE_CS64 | MODE_PROTECTED;
  else {
    if ((csAttr & ATTR_DB) !== 0) mode |= MODE_CS32;
    if ((segAttr(cpu, SEG_SS) & ATTR_DB) !== 0) mode |= MODE_SS32;
    if ((c0 & CR0_PE) !== 0) mode |= MODE_PROTECTED;
    if ((flags & EFLAGS_VM) !== 0) mode |= MODE_VM86;
    if (segLimit(cpu, SEG_CS) < ((csAttr & ATTR_DB) !== 0 ? 0xffffffff : 0xffff)) mode |= MODE_CS_LIMIT;
    if (segBase(cpu, SEG_CS) !== 0) mode |= MODE_CS_BASE;
    if ((segBase(cpu, SEG_DS) | segBase(cpu, SEG_ES) | segBase(cpu, SEG_SS)) !== 0) mode |= MODE_ADD_SEG;
    if (!flat(cpu, SEG_DS) || !flat(cpu, SEG_ES) || !flat(cpu, SEG_SS) || segLimit(cpu, SEG_CS) !== 0xffffffff)
      mode |= MODE_LIMITS;
  }
  if ((flags & EFLAGS_TF) !== 0) mode |= MODE_TRAP;
  if ((c0 & CR0_MP) !== 0) mode |= MODE_MP;
  if ((c0 & CR0_EM) !== 0) mode |= MODE_EM;
  if ((c0 & CR0_TS) !== 0) mode |= MODE_TS;
  if ((c4 & CR4_OSFXSR) !== 0) mode |= MODE_OSFXSR;
  if ((c4 & CR4_UMIP) !== 0) mode |= MODE_UMIP;
  if ((c4 & CR4_OSXSAVE) !== 0 && (load<u64>(cpu + X86_XCR0) & 6) === 6) mode |= MODE_AVX;
  let mmu: u32 = 0;
  if (level === 3) {
    mmu = 1;
    if ((c0 & CR0_AM) !== 0 && (flags & EFLAGS_AC) !== 0) mode |= MODE_ALIGN;
  } else if ((c4 & CR4_SMAP) !== 0 && (flags & EFLAGS_AC) === 0) {
    mode |= MODE_SMAP_ON;
    mmu = 2;
  }
  if (load<u32>(cpu + X86_IN_SMM) !== 0) mode |= MODE_SMM;
  if (load<u32>(cpu + X86_INHIBIT_INTERRUPTS) === 2) mode |= MODE_INHIBIT;
  const wishes = load<u32>(cpu + X86_DEBUGGER);
  if ((load<u64>(cpu + X86_DR + 7 * 8) & 0xff) !== 0 || (wishes & DEBUGGER_BREAKPOINTS) !== 0) mode |= MODE_BREAKPOINTS;
  if ((wishes & DEBUGGER_SINGLE) !== 0) mode |= MODE_SINGLE;
  store<u32>(cpu + VCPU_MODE, mode);
  store<u32>(cpu + VCPU_MMU_INDEX, mmu);
}
