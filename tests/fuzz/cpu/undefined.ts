/** What the architecture leaves undefined or to the operating system: the one place that says why something is not compared. */

export const FLAG = { CF: 1, PF: 4, AF: 0x10, ZF: 0x40, SF: 0x80, DF: 0x400, OF: 0x800, AC: 0x40000 } as const;
const { CF, PF, AF, ZF, SF, OF } = FLAG;
const ALL = CF | PF | AF | ZF | SF | OF;
/** What conditions (Jcc, SETcc, CMOVcc, FCMOVcc, LOOPcc) can read. */
const CONDITIONS = ALL & ~AF;

/** Instructions that are left out, with the reason. */
export const EXCLUDED: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/^(RDTSCP?|RDPMC|RDRAND|RDSEED)$/, 'its result differs from run to run'],
  [/^(CPUID|RDPID|XGETBV)$/, 'tells what processor this is'],
  [/^(SYSCALL|SYSENTER|INT|INT1)$/, 'enters the operating system'],
  [/^(SYSRET|SYSEXIT|SYSRETW|SYSEXITW|RSM|IRETW|RETF|LES|LDS|LSS|LFS|LGS)/, 'loads segments of the operating system'],
  [/^(SGDT|SIDT|SLDT|STR|SMSW|LAR|LSL|VERR|VERW)$/, "reads the operating system's tables, or is emulated by it"],
  [/^(WR|RD)(FS|GS)BASE$/, 'changes what later sequences run with'],
  [/^(RDPKRU|WRPKRU|MONITOR|MWAIT|INVPCID|CLWB)$/, 'belongs to features the operating system may not enable'],
  [/^(XSAVE|XRSTOR)/, "the area's size and components are the host's (tests/silicon/save-rows.test.ts has them)"],
  [/^(FXSAVE|FXRSTOR|FNSTENV|FLDENV|FNSAVE|FRSTOR)/, 'last instruction and data pointers differ between vendors'],
  [/^(RETN?|CALL|JMP|LOOP\w*|JC?XZ|JECXZ|JRCXZ|JCXZ)$/, 'targets: made by the generator instead'],
  [/^J\w+$/, 'targets: made by the generator instead'],
  [/^POPF/, 'sets TF, AC and NT at random'],
  [/^ENTER$/, 'processors differ in which accesses they check first'],
  [/^HLT$/, 'is how handlers end'],
  [/^(EXTRQ|INSERTQ|PREFETCHW?)$/, 'not on all processors (rows are compared in tests/silicon)'],
];

/** Operands that are left out. */
export const EXCLUDED_OPERANDS: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/\b(ES|CS|SS|DS|FS|GS|Sw)\b/, "segment registers are the operating system's"],
  [/\b[CD]\b/, 'control and debug registers: privileged, with exceptions in an order of their own'],
  [/\b(Ap|Mp)\b/, 'far targets'],
];

export const exclusion = (mnemonic: string, assembly: string): string | undefined =>
  EXCLUDED.find(([pattern]) => pattern.test(mnemonic))?.[1] ??
  EXCLUDED_OPERANDS.find(([pattern]) => pattern.test(assembly))?.[1];

export interface FlagEffect {
  readonly reads: number;
  /** Flags with a defined value afterwards whatever they were before. */
  readonly defines: number;
  /** Flags that may be undefined afterwards. */
  readonly undefined: number;
}
const effect = (reads: number, defines: number, undefinedFlags = 0): FlagEffect => ({
  reads,
  defines,
  undefined: undefinedFlags,
});

/** `count`: of a shift, masked; -1 when it is in CL. `size` in bits. */
export function flagEffect(name: string, count: number, size: number, repeated: boolean): FlagEffect {
  switch (name) {
    case 'ADD':
    case 'SUB':
    case 'CMP':
    case 'NEG':
    case 'XADD':
    case 'CMPXCHG':
    case 'PTEST':
    case 'VPTEST':
    case 'VTESTPS':
    case 'VTESTPD':
    case 'POPCNT':
    case 'UCOMISS':
    case 'UCOMISD':
    case 'COMISS':
    case 'COMISD':
    case 'VUCOMISS':
    case 'VUCOMISD':
    case 'VCOMISS':
    case 'VCOMISD':
      return effect(0, ALL);
    case 'FCOMI':
    case 'FCOMIP':
    case 'FUCOMI':
    case 'FUCOMIP':
      return effect(0, 0); // unchanged after an unmasked exception
    case 'PCMPESTRI':
    case 'PCMPESTRM':
    case 'PCMPISTRI':
    case 'PCMPISTRM':
      return effect(0, ALL);
    case 'ADC':
    case 'SBB':
      return effect(CF, ALL);
    case 'CMPS':
    case 'SCAS':
      return effect(0, repeated ? 0 : ALL); // unchanged for a count of zero
    case 'AND':
    case 'OR':
    case 'XOR':
    case 'TEST':
      return effect(0, ALL, AF);
    case 'INC':
    case 'DEC':
      return effect(0, ALL & ~CF);
    case 'SHL':
    case 'SHR':
    case 'SAR':
      if (count < 0) return effect(0, 0, AF | OF | (size < 32 && name !== 'SAR' ? CF : 0));
      if (count === 0) return effect(0, 0);
      return effect(0, ALL, AF | (count === 1 ? 0 : OF) | (count >= size && name !== 'SAR' ? CF : 0));
    case 'SHLD':
    case 'SHRD':
      if (count < 0) return effect(0, 0, AF | OF);
      if (count === 0) return effect(0, 0);
      return effect(0, ALL, AF | (count === 1 ? 0 : OF));
    case 'ROL':
    case 'ROR':
      return effect(0, count > 0 ? CF | OF : 0, count === 1 || count === 0 ? 0 : OF);
    case 'RCL':
    case 'RCR':
      return effect(CF, count > 0 ? CF | OF : 0, count === 1 || count === 0 ? 0 : OF);
    case 'MUL':
    case 'IMUL':
      return effect(0, ALL, PF | AF | ZF | SF);
    case 'DIV':
    case 'IDIV':
      return effect(0, ALL, ALL);
    case 'BSF':
    case 'BSR':
      return effect(0, ALL, ALL & ~ZF);
    case 'BT':
    case 'BTS':
    case 'BTR':
    case 'BTC':
      return effect(0, ALL & ~ZF, PF | AF | SF | OF);
    case 'TZCNT':
    case 'LZCNT':
      return effect(0, ALL, PF | AF | SF | OF);
    case 'ANDN':
    case 'BLSR':
    case 'BLSI':
    case 'BLSMSK':
    case 'BZHI':
      return effect(0, ALL, PF | AF);
    case 'BEXTR':
      return effect(0, ALL, PF | AF | SF);
    case 'DAA':
    case 'DAS':
      return effect(CF | AF, ALL, OF);
    case 'AAA':
    case 'AAS':
      return effect(AF, ALL, PF | ZF | SF | OF);
    case 'AAM':
    case 'AAD':
      return effect(0, ALL, CF | AF | OF);
    case 'STC':
    case 'CLC':
      return effect(0, CF);
    case 'CMC':
    case 'SALC':
    case 'ADCX':
      return effect(CF, CF);
    case 'ADOX':
      return effect(OF, OF);
    case 'LAHF':
      return effect(ALL & ~OF, 0);
    case 'SAHF':
      return effect(0, ALL & ~OF);
    case 'CMPXCHG8B':
    case 'CMPXCHG16B':
    case 'ARPL':
      return effect(0, ZF);
    case 'INTO':
      return effect(OF, 0);
  }
  if (/^PUSHF/.test(name)) return effect(ALL, 0);
  if (/^(SET|CMOV|FCMOV)/.test(name)) return effect(CONDITIONS, 0);
  return effect(0, 0);
}
/** Of a conditional jump. */
export const JUMP_READS = CONDITIONS;

/** Instructions whose whole result is undefined with these operands. */
export function undefinedResult(name: string, opSize: number, count: number): boolean {
  if (/^SH[LR]D$/.test(name)) return opSize === 16 && (count < 0 || count > 16);
  return name === 'BSWAP' && opSize === 16;
}

/** Exceptions of accesses to memory: #SS, #GP, #PF, #AC. */
const ACCESS_VECTORS: readonly number[] = [12, 13, 14, 17];
const PAGE_FAULT = 14;
const SIMD_ERROR = 19;
/** In bytes: an XSAVE area is not among what is compared, an FNSAVE image neither. */
const LARGEST_OPERAND = 32n;

/** Instructions whose exceptions leave something else on each processor: that they raise one is all that is compared. */
export const VAGUE_FAULTS: readonly (readonly [pattern: RegExp, vectors: readonly number[], reason: string])[] = [
  [/^(CMPS|MOVS) /, ACCESS_VECTORS, 'which of the two operands is looked at first is not said'],
  [/GATHER/, ACCESS_VECTORS, 'which elements are done already is the processor’s own choice, and the mask shows it'],
  [/^ARPL /, ACCESS_VECTORS, 'whether its operand is read first or wanted for writing at once'],
  [/^V?P?MASKMOV/, ACCESS_VECTORS, 'masked-out elements may fault, and the address may be that of the whole operand'],
  [/^CVT.*[PQ]pi/, [...ACCESS_VECTORS, SIMD_ERROR], 'whether the x87 registers are in MMX state by then'],
];

/**
 * Accesses of 32-bit code that run over 4 GiB, with a segment limit of FFFFFFFFh: whether they are within the limit is open
 * (Intel SDM vol. 3A, 5.3). AMD's processors and Tinamou say #GP or #SS, Intel's the page fault of the last
 * bytes below.
 */
export const beyond4GiB = (vector: number, address: bigint): boolean =>
  vector === PAGE_FAULT && address > 0xffffffffn - LARGEST_OPERAND && address <= 0xffffffffn;

/** MXCSR.MM: AMD's processors have it, to allow misaligned operands; others (and Tinamou) refuse to load it: #GP. */
export const MXCSR_MISALIGNED = 1 << 17;

/** VEX.W chooses a 64-bit general register, where there is none: ignored by Intel's processors, #UD on AMD's. */
export const vagueW = (map: number, w: number, assembly: string): boolean =>
  map >= 4 && w === 1 && /\b[EMGR]q\b/.test(assembly);

/** x87 instructions whose results may be one unit in the last place from another processor's. */
export const TRANSCENDENTAL = /^(F2XM1|FYL2X|FYL2XP1|FPTAN|FPATAN|FSIN|FCOS|FSINCOS)$/;
/** x87 status bits that tell how such a result was rounded: C1 and PE; with another result UE, as it may be tiny or not. */
export const ROUNDING_STATUS = 0x220;
export const UNDERFLOW_STATUS = 0x10;
