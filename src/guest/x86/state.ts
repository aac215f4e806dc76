/** The x86 vCPU state: one record in linear memory, read by interpreter, compiled code and helpers alike. */
import { type FieldSpec, layout, VCPU } from '../../ir/layout.js';

export const GPR = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;
/** In the encoding order of the segment registers; then the system segments. */
export const SEG = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr', 'gdtr', 'idtr'] as const;

/** Rates of the processor's clocks, in ticks a nanosecond of virtual time. */
export const ClockRate = { tsc: 1, apicBus: 1 } as const;

/** A local APIC. Registers in the layout of their xAPIC words; the interrupt-command register's halves apart. */
export const LAPIC = layout('Lapic', [
  ['initialId', 'u32'], // what CPUID and x2APIC mode call this APIC
  ['id', 'u32'], // xAPIC ID register, bits 31..24
  ['ldr', 'u32'],
  ['dfr', 'u32'],
  ['svr', 'u32'],
  ['tpr', 'u32'],
  ['esr', 'u32'],
  ['esrPending', 'u32'], // errors since the last write to ESR
  ['icrLow', 'u32'],
  ['icrHigh', 'u32'],
  ['lvt', 'u32', 6], // timer, thermal, performance, LINT0, LINT1, error
  ['timerInitial', 'u32'],
  ['timerDivide', 'u32'],
  ['isr', 'u32', 8],
  ['tmr', 'u32', 8],
  ['irr', 'u32', 8],
  ['timerStart', 'f64'], // virtual ns at which the running count was loaded; negative: not running
  ['intr', 'u32'], // level of the 8259's output at LINT0
  ['external', 'u32'], // an ExtINT message came: the 8259 is to be asked for a vector
]);

/**
 * KVM's own model-specific registers, which make it write into guest memory: system time, wall clock, asynchronous page
 * faults (their vector first), steal time, end of interrupt.
 */
export const PARAVIRTUAL_MSRS = [0x4b564d01, 0x4b564d00, 0x4b564d06, 0x4b564d02, 0x4b564d03, 0x4b564d04] as const;

const fields: FieldSpec[] = [];
for (const r of GPR) fields.push([r, 'u64']);
fields.push(
  ['eflags', 'u64'], // all bits but CF PF AF ZF SF OF (lazy, see flags.ts) and DF; bit 1 set
  ['df', 'u64'], // 1 or -1 (two's complement): the step of string instructions
);
for (const s of SEG) {
  // `attr` holds descriptor bits 40..55 as in the second descriptor word >> 8: type, S, DPL, P, AVL, L, D/B, G
  // (limit is expanded to bytes). A null selector in a data segment register leaves attr 0.
  fields.push(
    [`${s}Base`, 'u64'],
    [`${s}Limit`, 'u32'],
    [`${s}Attr`, 'u32'],
    [`${s}Selector`, 'u32'],
    [`${s}Pad`, 'u32'],
  );
}
fields.push(
  ['cr0', 'u64'],
  ['cr2', 'u64'],
  ['cr3', 'u64'],
  ['cr4', 'u64'],
  ['efer', 'u64'],
  ['dr', 'u64', 8],
  ['star', 'u64'],
  ['lstar', 'u64'],
  ['cstar', 'u64'],
  ['fmask', 'u64'],
  ['kernelGsBase', 'u64'],
  ['sysenterCs', 'u64'],
  ['sysenterEsp', 'u64'],
  ['sysenterEip', 'u64'],
  ['pat', 'u64'],
  ['tscOffset', 'u64'],
  ['tscAdjust', 'u64'],
  ['tscAux', 'u64'],
  ['tscDeadline', 'u64'],
  ['miscEnable', 'u64'],
  ['mtrrDefType', 'u64'],
  ['mtrrFixed', 'u64', 11],
  ['mtrrVar', 'u64', 16],
  ['mcgStatus', 'u64'],
  ['mcgCtl', 'u64'],
  ['mcBanks', 'u64', 40],
  ['xcr0', 'u64'],
  ['xss', 'u64'],
  ['pkru', 'u64'],
  ['shadowPc', 'u64'],
  ['smbase', 'u64'],
  ['a20Closed', 'u64'], // physical address bits forced to zero: bit 20 while the A20 gate is closed
  ['apicBase', 'u64'],
  ['bootMsrs', 'u64', 8], // feature control, microcode revision and the like
  // After STI, MOV SS, POP SS: 1 = no interrupts while pc is still shadowPc; 2 = one is waiting, Mode.inhibit is set and the
  // next block is the one instruction in the shadow.
  ['inhibitInterrupts', 'u32'],
  ['nmiBlocked', 'u32'],
  ['inSmm', 'u32'],
  ['cpl', 'u32'],
  ['oldException', 'u32'], // for double faults: vector being delivered, or 0xffffffff
  ['waitForSipi', 'u32'],
  ['sipiVector', 'u32'],
  ['monitorArmed', 'u32'],
  ['hardPending', 'u32'], // local APIC or 8259 have an interrupt that only IF may hold back
  ['pendingDr6', 'u32'], // DR6 bits of a debug trap to deliver after the running instruction
  ['debugger', 'u32'], // DebuggerFlag: a debugger's wishes for this vCPU
  ['breakpointCount', 'u32'],
  ['breakpoints', 'u64', 32], // a debugger's instruction breakpoints: linear addresses
  ['cpuid', 'u32', 4 * 128], // leaves of the chosen model: written by cpu-models.ts, read by the CPUID helper
  ['cpuidIndex', 'u32', 2 * 128], // (leaf, subleaf) of each, 0xffffffff in subleaf: any
  ['cpuidCount', 'u32'],
  ['physBits', 'u32'],
  ['features', 'u32', 16], // FeatureWord by FeatureWord (cpu-models.ts)
  ['tlbPcid', 'u16', 4096], // PCID to TLB generation, 0: none
  // Where translations of large pages may be cached, so that INVLPG knows when one page is many TLB entries: a bit per
  // hashed 2 MiB region, and per hashed 1 GiB region.
  ['largePages', 'u64', 128],
  ['hugePages', 'u64'],
  ['lapic', { bytes: LAPIC.size, align: 16 }],
  ['lapicDeadline', 'f64'], // virtual ns at which the local APIC timer is due, Infinity: not armed
  ['stringScratch', 'u64', 16],
  // The x87's last instruction and operand: every one of its instructions writes them.
  ['fip', 'u64'],
  ['fdp', 'u64'],
  // From here on: vector and floating point state. Vector ops address it; the region compiler never caches it in locals.
  ['vectorBase', { bytes: 0, align: 64 }],
  ['zmm', { bytes: 16 * 64, align: 64 }], // register i at 64*i; bytes 0..15 xmm, 0..31 ymm
  ['vtemp', { bytes: 8 * 64, align: 64 }], // scratch for memory operands
  ['fpr', { bytes: 8 * 16, align: 16 }], // physical registers R0..R7: u64 significand (MMX), u16 sign and exponent
  ['fpTop', 'u32'], // TOP, 0..7
  ['fpTags', 'u32'], // bit i: R_i empty
  ['fcw', 'u32'],
  ['fsw', 'u32'], // without TOP
  ['fop', 'u32'],
  ['fcs', 'u32'],
  ['fds', 'u32'],
  ['mxcsr', 'u32'],
  // What only guests under other accelerators use.
  ['opmask', 'u64', 8],
  ['zmmHigh', { bytes: 16 * 64, align: 64 }], // ZMM16..31
  ['specCtrl', 'u64'],
  ['paravirtual', 'u64', PARAVIRTUAL_MSRS.length],
  ['paravirtualClock', 'u64'], // ns; of the whole machine, the same in each record
);

/** Field offsets count from the start of the vCPU header. */
export const X86 = layout('X86', fields, VCPU.size);

/**
 * Mode bits: the x86 part of a block's key. What is here may be assumed by translated code; a change of any of it ends
 * the block. Kept up to date by `updateMode` in the runtime.
 */
export const Mode = {
  cplMask: 3, //        bits 0..1
  cs32: 1 << 2, //      default operand and address size 32 (CS.D), not in 64-bit mode
  cs64: 1 << 3, //      64-bit mode (EFER.LMA and CS.L)
  ss32: 1 << 4, //      stack pointer is ESP (SS.B)
  addSeg: 1 << 5, //    some of DS, ES, SS has a non-zero base or is not flat: add bases
  protected: 1 << 6, // CR0.PE
  vm86: 1 << 7,
  lma: 1 << 8,
  trap: 1 << 9, //      EFLAGS.TF: one instruction a block, then #DB
  mp: 1 << 10, //       CR0.MP
  em: 1 << 11, //       CR0.EM
  ts: 1 << 12, //       CR0.TS
  osfxsr: 1 << 13,
  avx: 1 << 14, //      CR4.OSXSAVE and XCR0 allows YMM
  smapOn: 1 << 15, //   supervisor, CR4.SMAP and not EFLAGS.AC: data accesses use MMU index 2
  align: 1 << 16, //    CR0.AM and EFLAGS.AC at CPL 3
  smm: 1 << 17,
  csBase: 1 << 18, //   CS base is not zero (the linear pc is base + pc)
  limits: 1 << 19, //   limit or type of ES, CS, SS or DS must be checked: not 4 GiB flat, null, read-only, expand-down.
  //                    Never in 64-bit mode. FS and GS are not covered: outside 64-bit mode always check those.
  ioplShift: 20, //     bits 20..21: IOPL
  umip: 1 << 22,
  // With trap, inhibit, breakpoints or single a block has one instruction, its first op is the helper armSingleStep and
  // its last one `leave` (the mode changes after it).
  inhibit: 1 << 23, //  interrupts inhibited for this one instruction
  breakpoints: 1 << 24, // DR7 has an instruction breakpoint, or a debugger has: one instruction a block
  single: 1 << 25, //   one instruction a block for other reasons (debugger step)
  csLimit: 1 << 26, //  the limit of CS is below what its size can address: each instruction looks whether it lies inside
} as const;

/** Bits of the `debugger` field: instruction breakpoints exist; stop after each instruction; run the next one regardless. */
export const DebuggerFlag = { breakpoints: 1, single: 2, skip: 4 } as const;

/** interruptRequest bits. */
export const IntReq = {
  hard: 1,
  nmi: 2,
  smi: 4,
  init: 8,
  sipi: 16,
  reset: 32,
  poll: 64,
  mce: 128,
  debug: 256,
  a20: 512,
  shutdown: 1024, // a triple fault met inside a helper
} as const;
