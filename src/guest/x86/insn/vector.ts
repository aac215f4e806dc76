/**
 * Rows of vector instructions from one declaration an operation.
 *
 * An operation is a helper on 16 bytes (helpers/simd-inline.ts, helpers/sse.ts). Its legacy form has two operands, its
 * VEX.128 form three and clears the register above, its VEX.256 form is the helper on both 16-byte lanes, its MMX form the
 * same helper on the 16-byte x87 register cells, whose upper half is then put right.
 */
import type { Slot } from '../../../ir/builder.js';
import type { Insn } from '../decode.js';
import { type Helper, helper } from '../helpers/index.js';
import { X86 } from '../state.js';
import type { Translator } from '../translator.js';
import type { Meaning, Row } from './row.js';

/** Slots of a 16-byte lane. */
export const LANE = 2;

const ZERO = helper('vzero');
const MMX_WRITTEN = helper('mmxWritten');
const MMX_USED = helper('mmxUsed');
const MOVE = helper('movdqa');

export function vcall(t: Translator, h: Helper, d: Slot, a: Slot, b: Slot, imm = 0): void {
  t.b.call(h.kind as 'vcall' | 'vcallf', h.id, d, a, b, imm);
}
/** Byte offset of vector register `n` in the state, for helpers that take a register in `imm`. */
export const registerOffset = (n: number): number => (X86.at['zmm'] as number) + n * 64;

/** VEX.128 forms clear what is above their 16-byte result. */
export function clearUpper(t: Translator, d: Slot): void {
  vcall(t, ZERO, d + LANE, d, d);
}

/** The helper on the lanes that VEX.L asks for; the upper lane first, as a shift count in `b` may be overwritten below. */
export function lanes(
  t: Translator,
  h: Helper,
  d: Slot,
  a: Slot,
  b: Slot,
  imm = 0,
  upperImm = imm,
  bStep = LANE,
): void {
  if (t.i.vex && t.i.l === 1) vcall(t, h, d + LANE, a + LANE, b + bStep, upperImm);
  vcall(t, h, d, a, b, imm);
  if (t.i.vex && t.i.l === 0) clearUpper(t, d);
}

/** Copies a whole vector of the size VEX.L says. */
export function moveVector(t: Translator, d: Slot, b: Slot): void {
  lanes(t, MOVE, d, b, b);
}

/**
 * Operand W: the register, or scratch vector 0 loaded with `bits` (what is above is left over from before). Sixteen bytes
 * must be aligned in legacy forms.
 */
export function operandW(t: Translator, i: Insn, bits: number): Slot {
  if (i.mod === 3) return t.xmm(i.rm);
  const v = t.vtemp(0);
  if (bits === 256) return t.loadMemVector('ld256', v);
  if (bits === 128) return t.loadMemVector(i.vex ? 'ld128' : 'ld128a', v);
  return t.loadMem(bits, v);
}
/** Bits of a full vector. */
export const fullSize = (i: Insn): number => (i.vex && i.l === 1 ? 256 : 128);
/** First source: VEX.vvvv, or the destination in legacy forms. */
export const operandH = (t: Translator, i: Insn): Slot => t.xmm(i.vex ? i.vvvv : i.reg);

// ---------------------------------------------------------------- MMX

/** First thing in every MMX instruction: a pending x87 exception is reported. */
export function mmxBegin(t: Translator): void {
  const v = t.vtemp(0);
  t.call('fwait', v, v, v);
}
export function mmxOperandQ(t: Translator, i: Insn, bits = 64): Slot {
  return i.mod === 3 ? t.mm(i.rm) : t.loadMem(bits, t.vtemp(0));
}
/** Last thing: TOP and tags; sign and exponent of the register written. */
export function mmxWritten(t: Translator, d: Slot): void {
  vcall(t, MMX_WRITTEN, d, d, d);
}
export function mmxUsed(t: Translator): void {
  const v = t.vtemp(0);
  vcall(t, MMX_USED, v, v, v);
}

// ---------------------------------------------------------------- rows

export type Prefix = 'NP' | '66' | 'F3' | 'F2';

/** `VEX.128.66.0F38.WIG 00 /r` for `66`, `0F 38 00`. */
export function vexEncoding(l: '128' | '256' | 'LIG', prefix: Prefix, opcode: string, w = 'WIG', modrm = '/r'): string {
  const bytes = opcode.split(' ');
  return `VEX.${l}.${prefix}.${bytes.slice(0, -1).join('')}.${w} ${bytes[bytes.length - 1]} ${modrm}`;
}

export interface Group {
  readonly prefix: Prefix;
  /** CPUID feature of the MMX, legacy and VEX.256 forms; none: no such form. VEX.128 forms need `avx` unless `avx128` says. */
  readonly mmx?: string;
  readonly sse?: string;
  readonly avx128?: string;
  readonly avx256?: string;
  /** VEX.W, when it matters. */
  readonly w?: 'W0' | 'W1';
  /** One source (in W), no first source. */
  readonly unary?: boolean;
  /** The second source is a shift count: 16 bytes in all forms, for both lanes. */
  readonly count?: boolean;
  /** Bits of a memory operand in MMX forms (64). */
  readonly mmxMemory?: number;
  /** An immediate byte follows, which the helper gets; the upper lane gets it shifted right by so many bits. */
  readonly imm?: number;
}

/**
 * Rows of a group. `list` has an operation a line: mnemonic, opcode bytes, then `helper` when it is not the mnemonic in
 * lower case, and `mmx=helper` when MMX has another.
 */
export function group(g: Group, list: string): Row[] {
  return list
    .trim()
    .split(/\s*[\n;]\s*/)
    .flatMap((line) => operation(g, line));
}

function operation(g: Group, line: string): Row[] {
  const rows: Row[] = [];
  const [mnemonic, ...rest] = line.split(/\s+/) as [string, ...string[]];
  const opcode = rest.filter((w) => /^[0-9A-F]{2}$/.test(w)).join(' ');
  const mmxName = rest.find((w) => w.startsWith('mmx='))?.slice(4);
  const name = rest.find((w) => /^[a-z]/.test(w) && !w.startsWith('mmx=')) ?? mnemonic.toLowerCase();
  const h = helper(name);
  const ib = g.imm === undefined ? '' : ',Ib';
  if (g.mmx !== undefined) {
    rows.push([`NP ${opcode} /r`, `${mnemonic} Pq,Qq${ib}`, g.mmx, mmxBinary(helper(mmxName ?? name), g)]);
  }
  if (g.sse !== undefined) rows.push([`${g.prefix} ${opcode} /r`, `${mnemonic} Vdq,Wdq${ib}`, g.sse, binary(h, g)]);
  const v = mnemonic.startsWith('V') ? mnemonic : `V${mnemonic}`;
  const second = (x: string): string => (g.unary ? '' : `H${x},`);
  if (g.avx128 !== undefined || g.sse !== undefined) {
    rows.push([
      vexEncoding('128', g.prefix, opcode, g.w),
      `${v} Vdq,${second('dq')}Wdq${ib}`,
      g.avx128 ?? 'avx',
      binary(h, g),
    ]);
  }
  if (g.avx256 !== undefined) {
    rows.push([
      vexEncoding('256', g.prefix, opcode, g.w),
      `${v} Vqq,${second('qq')}W${g.count ? 'dq' : 'qq'}${ib}`,
      g.avx256,
      binary(h, g),
    ]);
  }
  return rows;
}

function binary(h: Helper, g: Group): Meaning {
  const shift = g.imm ?? 0;
  if (g.count) {
    return (t, i) => {
      const b = operandW(t, i, 128);
      lanes(t, h, t.xmm(i.reg), operandH(t, i), b, 0, 0, 0);
    };
  }
  return (t, i) => {
    const b = operandW(t, i, fullSize(i));
    const imm = i.imm & 0xff;
    lanes(t, h, t.xmm(i.reg), operandH(t, i), b, imm, imm >> shift);
  };
}

function mmxBinary(h: Helper, g: Group): Meaning {
  return (t, i) => {
    mmxBegin(t);
    const b = mmxOperandQ(t, i, g.mmxMemory);
    const d = t.mm(i.reg);
    vcall(t, h, d, d, b, i.imm & 0xff);
    mmxWritten(t, d);
  };
}
