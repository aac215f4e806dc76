/** Random sequences of integer instructions, made from the rows, with what the architecture leaves undefined about each. */
import { Decoded, Decoder, type Form, Insn } from '../../src/guest/x86/decode.js';
import { type Encoded, encode } from '../../src/guest/x86/encode.js';
import { ARITHMETIC_ROWS } from '../../src/guest/x86/insn/arithmetic.js';
import { BIT_ROWS } from '../../src/guest/x86/insn/bits.js';
import { MOVE_ROWS } from '../../src/guest/x86/insn/move.js';
import type { Row } from '../../src/guest/x86/insn/row.js';
import { SHIFT_ROWS } from '../../src/guest/x86/insn/shift.js';
import { STRING_ROWS } from '../../src/guest/x86/insn/string.js';
import { Mode } from '../../src/guest/x86/state.js';
import { AREA, Case, type CodeSize, DATA } from './integer-bench.js';
import type { Operands } from './operands.js';

const CF = 1;
const PF = 4;
const AF = 0x10;
const ZF = 0x40;
const SF = 0x80;
const OF = 0x800;

/** Not for user mode, not deterministic, or about segments. */
const EXCLUDED = /^(PUSHF|POPF|ENTER|INS|OUTS|BOUND)/;
const EXCLUDED_OPERANDS = /\b(ES|CS|SS|DS|FS|GS|Ob|Ov)\b/;

const usable = (row: Row): boolean => !EXCLUDED.test(row[1]) && !EXCLUDED_OPERANDS.test(row[1]);

const FORMS: readonly Form[] = new Decoder(
  [...ARITHMETIC_ROWS, ...MOVE_ROWS, ...SHIFT_ROWS, ...BIT_ROWS, ...STRING_ROWS].filter(usable),
).forms;
const FORMS64 = FORMS.filter((f) => f.encoding.only64 !== 0);
const FORMS32 = FORMS.filter((f) => f.encoding.only64 !== 1 && (f.encoding.map >= 4 || f.encoding.w !== 1));

/** Flags that are undefined after an instruction; `count`: its masked shift count. */
export function undefinedFlags(name: string, count: number, size: number): number {
  switch (name) {
    case 'SHL':
    case 'SHR':
    case 'SAR':
      if (count === 0) return 0;
      return AF | (count === 1 ? 0 : OF) | (count >= size && name !== 'SAR' ? CF : 0);
    case 'SHLD':
    case 'SHRD':
      if (count === 0) return 0;
      return count > size ? CF | PF | AF | ZF | SF | OF : AF | (count === 1 ? 0 : OF);
    case 'ROL':
    case 'ROR':
    case 'RCL':
    case 'RCR':
      return count <= 1 ? 0 : OF;
    case 'MUL':
    case 'IMUL':
      return PF | AF | ZF | SF;
    case 'DIV':
    case 'IDIV':
      return CF | PF | AF | ZF | SF | OF;
    case 'AND':
    case 'OR':
    case 'XOR':
    case 'TEST':
      return AF;
    case 'BSF':
    case 'BSR':
      return CF | PF | AF | SF | OF;
    case 'BT':
    case 'BTS':
    case 'BTR':
    case 'BTC':
    case 'TZCNT':
    case 'LZCNT':
      return PF | AF | SF | OF;
    case 'ANDN':
    case 'BLSR':
    case 'BLSI':
    case 'BLSMSK':
    case 'BZHI':
      return PF | AF;
    case 'BEXTR':
      return PF | AF | SF;
    case 'DAA':
    case 'DAS':
      return OF;
    case 'AAA':
    case 'AAS':
      return OF | SF | ZF | PF;
    case 'AAM':
    case 'AAD':
      return OF | AF | CF;
    default:
      return 0;
  }
}

/** A 64-bit value, often at a corner of some size. */
function value(random: Operands): bigint {
  switch (random.below(6)) {
    case 0:
      return BigInt(random.below(256));
    case 1:
      return BigInt.asUintN(64, -BigInt(random.below(256)));
    case 2: {
      const bit = 1n << BigInt(random.below(64));
      return BigInt.asUintN(64, bit + BigInt(random.below(3)) - 1n);
    }
    case 3:
      return BigInt(random.u32());
    default:
      return random.u64();
  }
}

const REGISTERS = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const insn = new Insn();

/** Would an instruction with byte operands write BL or BH in 32-bit mode? Only those are near the pointers. */
function changesPointer(form: Form, reg: number, rm: number): boolean {
  return form.operands.some(
    (o) =>
      o.size === 'b' && (('GZ'.includes(o.kind) && (reg & 3) === 3) || (o.kind === 'E' && rm >= 0 && (rm & 3) === 3)),
  );
}

export interface Generated {
  readonly case: Case;
  readonly names: string;
  /** Flags not to compare. */
  readonly ignore: number;
}

/**
 * A case of `length` instructions of which all but the last few are from `forms`; then, half of the time, a conditional
 * jump over an increment, so that conditions are seen fused too.
 */
export function generate(random: Operands, decoder: Decoder, length: number, codeSize: CodeSize): Generated {
  const narrow = codeSize !== 64;
  const c = new Case();
  c.size = codeSize;
  const data = codeSize === 16 ? DATA - AREA : DATA;
  const mode =
    codeSize === 16
      ? Mode.protected
      : narrow
        ? Mode.cs32 | Mode.ss32 | Mode.protected
        : Mode.cs64 | Mode.protected | Mode.lma;
  const forms = narrow ? FORMS32 : FORMS64;
  for (let n = 0; n < 16; n++) c.setReg(n, value(random));
  for (let n = 0; n < c.data.length; n++) c.data[n] = random.below(256);
  c.setReg(4, BigInt(data + 512 + random.below(8) * 8));
  // Bits of flags that are undefined so far: later readers of flags would spread them.
  let ignore = 0;
  const names: string[] = [];
  const code: number[] = [];
  // Two registers stay pointer and index.
  const base = narrow ? 3 : 15;
  const index = codeSize === 16 ? 6 : narrow ? 5 : 14;
  c.setReg(base, BigInt(data + 480 + random.below(64)));
  c.setReg(index, BigInt(random.below(4)));
  const general = narrow ? [0, 1, 2, 7, codeSize === 16 ? 5 : 6] : REGISTERS.slice(0, 13);
  for (let tries = 0; names.length < length && tries < 100; tries++) {
    const form = forms[random.below(forms.length)] as Form;
    const name = form.mnemonics[0] as string;
    const string = /^(MOVS|CMPS|STOS|LODS|SCAS)$/.test(name);
    if (string && names.length > 0) continue;
    const e: Encoded = encode(form, {
      below: (n) => random.below(n),
      code: codeSize,
      registers: general,
      pointers: [base, index],
      sizes: narrow ? [16, 32] : [16, 32, 64],
      memory: 40,
      lock: 20,
    });
    if (e.memory !== undefined && e.memory.base !== base) continue;
    if (e.memory !== undefined && e.memory.index >= 0 && e.memory.index !== index) continue;
    const bytes = [...e.bytes];
    if (string) {
      c.setReg(6, BigInt(data + 256 + random.below(128)));
      c.setReg(7, BigInt(data + 256 + random.below(128)));
      c.setReg(1, BigInt(random.below(20)));
      if (random.below(2) === 0) bytes.unshift(random.below(2) === 0 ? 0xf3 : 0xf2);
      if (/CMPS|SCAS/.test(name) && random.below(2) === 0) c.data.fill(random.below(4), 200, 500);
    }
    if (decoder.decode(insn, Uint8Array.from(bytes), 0, bytes.length, mode) !== Decoded.ok)
      throw new Error(`cannot decode ${form.row[0]} ${form.row[1]}: ${bytes.map((x) => x.toString(16)).join(' ')}`);
    if (/^BT/.test(name) && e.memory !== undefined && form.operands[1]?.kind === 'G') {
      if (names.length > 0) continue;
      c.setReg(e.reg, BigInt.asUintN(64, BigInt(random.below(1600) - 800)));
    }
    if (name === 'XLAT') {
      if (names.length > 0) continue;
      if (!narrow) c.setReg(3, BigInt(data + 256));
    }
    if (name === 'LEAVE') {
      if (names.length > 0) continue;
      c.setReg(5, BigInt(data + 512));
    }
    if (name === 'CMPXCHG16B' && random.below(2) === 0) continue;
    if (/^POPA/.test(name) && names.length > 0) continue;
    // A byte register field 3, 5, 7 is BL, CH or BH: the pointers would change.
    if (narrow && changesPointer(form, e.reg, e.rm)) continue;
    if (name === 'BSWAP' && e.opSize === 16) continue;
    const byCl = form.operands.some((o) => o.text === 'CL');
    let count = 1;
    if (byCl) {
      if (names.length > 0) continue; // the count would not be known
      c.setReg(1, (c.reg(1) & ~0xffn) | BigInt(random.below(random.below(2) === 0 ? 256 : 34)));
      count = Number(c.reg(1) & 0xffn);
    } else if (form.immediates.length > 0) count = insn.imm & 0xff;
    count &= insn.opSize === 64 ? 63 : 31;
    const size = insn.size;
    if (/^SH[LR]D$/.test(name) && count > size) continue;
    if (byCl && ignore !== 0) continue;
    // What reads undefined flags gives undefined results.
    if (ignore !== 0 && !/^(MOV|LEA|XCHG|NOT|PUSH|POP|BSWAP|NOP|PREFETCH)/.test(name)) {
      const whole = /^(ADD|SUB|CMP|NEG|XADD|CMPXCHG)$/.test(name);
      if (!whole) continue;
      ignore = 0;
    }
    ignore |= undefinedFlags(name, count, size);
    code.push(...bytes);
    names.push(`${form.row[1]} [${bytes.map((x) => x.toString(16).padStart(2, '0')).join(' ')}]`);
    if (/^(DIV|IDIV|POPA|AAM|LEAVE|MOVS|CMPS|LODS|STOS|SCAS)/.test(name)) break;
  }
  if (ignore === 0 && random.below(2) === 0) {
    const cc = random.below(16);
    // jcc over inc r14, or inc ebp, si
    code.push(0x70 | cc, ...(codeSize === 16 ? [1, 0x46] : narrow ? [1, 0x45] : [3, 0x49, 0xff, 0xc6]));
    names.push(`J${cc}`);
  }
  c.flags = (random.u32() & 0x8d5) | (random.below(4) === 0 ? 0x400 : 0) | 0x202;
  c.code = code;
  return { case: c, names: names.join('; '), ignore };
}
