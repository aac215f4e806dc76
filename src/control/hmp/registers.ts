/** `info registers`, and the names that expressions know, for x86. */

import type { SegmentName, X86Registers } from '../../guest/x86/registers.js';
import { GPR, SEG } from '../../guest/x86/state.js';

const hex = (value: bigint | number, digits: number): string => value.toString(16).padStart(digits, '0');

const LONG_MODE_ACTIVE = 1n << 10n;
const PROTECTED = 1n;
const FLAG_LETTERS: readonly (readonly [letter: string, bit: number])[] = [
  ['D', 10],
  ['O', 11],
  ['S', 7],
  ['Z', 6],
  ['A', 4],
  ['P', 2],
  ['C', 0],
];
/** Descriptor bits in QEMU's notation: the second word of a descriptor. */
const D_BIG = 1 << 22;
const D_LONG = 1 << 21;
const D_PRESENT = 1 << 15;
const D_CODE_DATA = 1 << 12;
const D_CODE = 1 << 11;

const SYSTEM_TYPES_32 =
  'Reserved TSS16-avl LDT TSS16-busy CallGate16 TaskGate IntGate16 TrapGate16 Reserved TSS32-avl Reserved TSS32-busy CallGate32 Reserved IntGate32 TrapGate32'.split(
    ' ',
  );
const SYSTEM_TYPES_64 =
  '<hiword> Reserved LDT Reserved Reserved Reserved Reserved Reserved Reserved TSS64-avl Reserved TSS64-busy CallGate64 Reserved IntGate64 TrapGate64'.split(
    ' ',
  );

export function longCode(r: X86Registers): boolean {
  return (r.get('efer') & LONG_MODE_ACTIVE) !== 0n && (descriptor(r, 'cs') & D_LONG) !== 0;
}

/** The address of the next instruction, with the segment's base outside 64-bit mode. */
export const linearPc = (r: X86Registers): bigint =>
  longCode(r) ? r.get('rip') : BigInt.asUintN(32, r.get('rip') + r.segment('cs').base);

function descriptor(r: X86Registers, name: SegmentName): number {
  const { attributes, limit } = r.segment(name);
  const word = attributes << 8;
  const units = word & (1 << 23) ? limit >>> 12 : limit;
  return (word | (units & 0xf0000)) >>> 0;
}

function segmentLine(r: X86Registers, label: string, name: SegmentName): string {
  const { selector, base, limit } = r.segment(name);
  const flags = descriptor(r, name);
  const lma = (r.get('efer') & LONG_MODE_ACTIVE) !== 0n;
  const wide = longCode(r) ? 16 : 8;
  const start = `${label.padEnd(3)}=${hex(selector, 4)} ${hex(BigInt.asUintN(wide * 4, base), wide)} ${hex(limit >>> 0, 8)} ${hex(flags, 8)}`;
  if ((r.get('cr0') & PROTECTED) === 0n || !(flags & D_PRESENT)) return start;
  const dpl = ` DPL=${(flags >> 13) & 3} `;
  const bit = (mask: number, yes: string): string => (flags & mask ? yes : '-');
  if (!(flags & D_CODE_DATA)) return start + dpl + (lma ? SYSTEM_TYPES_64 : SYSTEM_TYPES_32)[(flags >> 8) & 15];
  const kind =
    flags & D_CODE
      ? `${flags & D_LONG ? 'CS64' : flags & D_BIG ? 'CS32' : 'CS16'} [${bit(1 << 10, 'C')}${bit(1 << 9, 'R')}`
      : `${flags & D_BIG || lma ? 'DS  ' : 'DS16'} [${bit(1 << 10, 'E')}${bit(1 << 9, 'W')}`;
  return `${start + dpl + kind + bit(1 << 8, 'A')}]`;
}

/** What the dump needs besides registers. */
export interface CpuFlags {
  readonly halted: boolean;
  /** Whether the A20 gate is open. */
  readonly a20: boolean;
}

export function dumpRegisters(r: X86Registers, { halted, a20 }: CpuFlags): string {
  const long = longCode(r);
  const digits = long ? 16 : 8;
  const value = (name: string): string => hex(BigInt.asUintN(digits * 4, r.get(name)), digits);
  const rflags = r.get('rflags');
  const letters = FLAG_LETTERS.map(([letter, bit]) => ((rflags >> BigInt(bit)) & 1n ? letter : '-')).join('');
  const inhibited = r.field('inhibitInterrupts') !== 0 ? 1 : 0;
  const state = `[${letters}] CPL=${r.field('cpl')} II=${inhibited} A20=${a20 ? 1 : 0} SMM=${r.field('inSmm')} HLT=${halted ? 1 : 0}`;
  const legacy = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'];
  const names = long ? [...legacy, ...GPR.slice(8)] : legacy;
  const label = (name: string): string => (long ? name : `e${name.slice(1)}`).toUpperCase().padEnd(3);
  const lines: string[] = [];
  for (let i = 0; i < names.length; i += 4) {
    lines.push(
      names
        .slice(i, i + 4)
        .map((n) => `${label(n)}=${value(n)}`)
        .join(' '),
    );
  }
  lines.push(
    `${long ? 'RIP' : 'EIP'}=${value('rip')} ${long ? 'RFL' : 'EFL'}=${hex(rflags & 0xffffffffn, 8)} ${state}`,
  );
  for (const name of SEG.slice(0, 6)) lines.push(segmentLine(r, name.toUpperCase(), name));
  lines.push(segmentLine(r, 'LDT', 'ldtr'), segmentLine(r, 'TR', 'tr'));
  for (const name of ['gdtr', 'idtr'] as const) {
    const { base, limit } = r.segment(name);
    lines.push(
      `${name.slice(0, 3).toUpperCase()}=     ${hex(BigInt.asUintN(digits * 4, base), digits)} ${hex(limit, 8)}`,
    );
  }
  lines.push(`CR0=${hex(r.get('cr0'), 8)} CR2=${value('cr2')} CR3=${value('cr3')} CR4=${hex(r.get('cr4'), 8)}`);
  const dr = (n: number): string => `DR${n}=${hex(r.wide('dr', n), 16)}`;
  lines.push(`${[0, 1, 2, 3].map(dr).join(' ')} `, `${dr(6)} ${dr(7)}`, `EFER=${hex(r.get('efer'), 16)}`);
  lines.push(...floatLines(r), ...vectorLines(r, long ? 16 : 8));
  return `${lines.join('\n')}\n`;
}

function floatLines(r: X86Registers): string[] {
  const top = r.field('fpTop');
  const fsw = (r.field('fsw') & ~0x3800) | (top << 11);
  // The abridged tag word of FXSAVE: 1 for a register in use.
  const ftw = ~r.field('fpTags') & 0xff;
  const lines = [
    `FCW=${hex(r.field('fcw'), 4)} FSW=${hex(fsw, 4)} [ST=${top}] FTW=${hex(ftw, 2)} MXCSR=${hex(r.field('mxcsr'), 8)}`,
  ];
  const fpr = (n: number): string =>
    `FPR${n}=${hex(r.wide('fpr', 2 * n), 16)} ${hex(r.wide('fpr', 2 * n + 1) & 0xffffn, 4)}`;
  for (let n = 0; n < 8; n += 2) lines.push(`${fpr(n)} ${fpr(n + 1)}`);
  return lines;
}

const XCR0_YMM = 4n;

function vectorLines(r: X86Registers, count: number): string[] {
  const word = (n: number, w: number): string => hex(r.vector(n, w), 16);
  const lines: string[] = [];
  if (r.wide('xcr0', 0) & XCR0_YMM) {
    for (let n = 0; n < count; n++) {
      lines.push(`YMM${String(n).padStart(2, '0')}=${[3, 2, 1, 0].map((w) => word(n, w)).join(' ')}`);
    }
    return lines;
  }
  const xmm = (n: number): string => `XMM${String(n).padStart(2, '0')}=${word(n, 1)} ${word(n, 0)}`;
  for (let n = 0; n < count; n += 2) lines.push(`${xmm(n)} ${xmm(n + 1)}`);
  return lines;
}

/** A register by the names that QEMU's monitor takes: rax, eax, ax, pc, eflags, cs, cr3. */
export function registerNamed(r: X86Registers, name: string): bigint | undefined {
  if (name === 'pc' || name === 'eip') return linearPc(r);
  if (name === 'eflags') return r.get('rflags') & 0xffffffffn;
  if ((SEG as readonly string[]).includes(name)) return BigInt(r.segment(name as SegmentName).selector);
  if (/^cr[0234]$/.test(name) || name === 'efer' || name === 'rip' || (GPR as readonly string[]).includes(name)) {
    return r.get(name);
  }
  const wide = `r${name.slice(1)}`;
  if (/^e/.test(name) && (GPR as readonly string[]).includes(wide)) return r.get(wide) & 0xffffffffn;
  if ((GPR as readonly string[]).includes(`r${name}`)) return r.get(`r${name}`) & 0xffffn;
  return undefined;
}
