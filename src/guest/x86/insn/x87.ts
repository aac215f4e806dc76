/** x87 instructions. Each is one helper call (src/runtime/x86/x87.ts says what the bits of imm mean), then FIP and FDP. */
import type { Slot } from '../../../ir/builder.js';
import type { Insn } from '../decode.js';
import { Cc } from '../flags.js';
import { X86 } from '../state.js';
import type { Translator } from '../translator.js';
import type { Meaning, Row } from './row.js';

const FIP: Slot = (X86.at['fip'] as number) / 8;
const FDP: Slot = (X86.at['fdp'] as number) / 8;

const POP = 8;
const TO_STI = 16;
const REVERSE = 32;
const POP_TWICE = 16;
const QUIET = 32;

/** What every helper's imm has: the opcode for FOP, and the segment of a memory operand. */
const common = (t: Translator, i: Insn): number =>
  ((((i.opcode & 7) << 8) | i.modrm) << 16) | (i.mod === 3 ? i.modrm & 7 : t.segment() << 12);

/** The last instruction and data pointers; after the helper, which an earlier exception may have kept from running. */
function pointers(t: Translator, i: Insn): void {
  t.b.pcrel(FIP, i.offset, t.pcMask);
  if (i.mod !== 3) t.b.mov(FDP, t.effective(FDP));
}

/** On registers. */
const registers =
  (helper: string, bits = 0): Meaning =>
  (t, i) => {
    const v = t.vtemp(0);
    t.call(helper, v, v, v, common(t, i) | bits);
    pointers(t, i);
  };
/** With ST(0) only: `bits` take the place of the register number. */
const single =
  (helper: string, bits = 0): Meaning =>
  (t, i) => {
    const v = t.vtemp(0);
    t.call(helper, v, v, v, (common(t, i) & ~7) | bits);
    pointers(t, i);
  };
/** With a memory operand of 16, 32, 64 or 80 bits to read. */
const load =
  (helper: string, size: 16 | 32 | 64 | 80, bits = 0): Meaning =>
  (t, i) => {
    let v = t.vtemp(0);
    if (size === 80) {
      t.addressOfParts(10, 8);
      t.loadMem(64, v);
      t.loadMem(16, v + 1, 8);
    } else v = t.loadMem(size);
    t.call(helper, v, v, v, common(t, i) | bits);
    pointers(t, i);
  };
/** To memory, once it is known to be there: unless the helper leaves, as an unmasked exception forbids it. */
const store =
  (helper: string, size: 16 | 32 | 64, bits = 0): Meaning =>
  (t, i) => {
    const v = t.b.temp();
    t.probeMem(size / 8);
    t.call(helper, v, v, v, common(t, i) | bits);
    t.storeMem(size, v);
    pointers(t, i);
  };
/** The same to ten bytes. */
const store80 =
  (helper: string): Meaning =>
  (t, i) => {
    const v = t.vtemp(0);
    t.probeMem(10, 8);
    t.call(helper, v, v, v, common(t, i) | POP);
    t.storeMem(64, v);
    t.storeMem(16, v + 1, 8);
    pointers(t, i);
  };
const compareFlags =
  (bits: number): Meaning =>
  (t, i) => {
    const v = t.b.temp();
    t.call('fcomi', v, v, v, common(t, i) | bits);
    pointers(t, i);
    t.setFlagBits(v);
  };
const conditionalMove =
  (cc: number): Meaning =>
  (t, i) => {
    const v = t.vtemp(0);
    t.setCondition(cc, v);
    t.call('fcmov', v, v, v, common(t, i));
    pointers(t, i);
  };

/** Rows of one opcode byte whose /r (and C0 + 8r + i) are the arithmetic operations. */
const ARITHMETIC = [
  ['ADD', 'fadd', 0],
  ['MUL', 'fmul', 0],
  ['COM', 'fcom', 0],
  ['COMP', 'fcom', POP],
  ['SUB', 'fsub', 0],
  ['SUBR', 'fsub', REVERSE],
  ['DIV', 'fdiv', 0],
  ['DIVR', 'fdiv', REVERSE],
] as const;
const memoryArithmetic = (byte: string, prefix: string, operand: string, size: 16 | 32 | 64, type: number): Row[] =>
  ARITHMETIC.map(([name, helper, bits], n) => [
    `${byte} /${n}`,
    `${prefix}${name} ${operand}`,
    'fpu',
    load(`${helper}m`, size, bits | (type << 6)),
  ]);
const hex = (n: number): string => n.toString(16).toUpperCase();
const registerArithmetic = (): Row[] =>
  ARITHMETIC.map(([name, helper, bits], n) => [
    `D8 ${hex(0xc0 + 8 * n)}+i`,
    `F${name} ST0,T`,
    'fpu',
    registers(helper, bits),
  ]);

export const X87_ROWS: readonly Row[] = [
  ...memoryArithmetic('D8', 'F', 'Md', 32, 0),
  ...memoryArithmetic('DC', 'F', 'Mq', 64, 1),
  ...memoryArithmetic('DE', 'FI', 'Mw', 16, 2),
  ...memoryArithmetic('DA', 'FI', 'Md', 32, 3),
  ...registerArithmetic(),
  // With ST(i) as destination, FSUB and FSUBR (FDIV and FDIVR) change places in the encoding.
  ['DC C0+i', 'FADD T,ST0', 'fpu', registers('fadd', TO_STI)],
  ['DC C8+i', 'FMUL T,ST0', 'fpu', registers('fmul', TO_STI)],
  ['DC D0+i', 'FCOM2 T', 'fpu', registers('fcom')],
  ['DC D8+i', 'FCOMP3 T', 'fpu', registers('fcom', POP)],
  ['DC E0+i', 'FSUBR T,ST0', 'fpu', registers('fsub', TO_STI | REVERSE)],
  ['DC E8+i', 'FSUB T,ST0', 'fpu', registers('fsub', TO_STI)],
  ['DC F0+i', 'FDIVR T,ST0', 'fpu', registers('fdiv', TO_STI | REVERSE)],
  ['DC F8+i', 'FDIV T,ST0', 'fpu', registers('fdiv', TO_STI)],
  ['DE C0+i', 'FADDP T,ST0', 'fpu', registers('fadd', TO_STI | POP)],
  ['DE C8+i', 'FMULP T,ST0', 'fpu', registers('fmul', TO_STI | POP)],
  ['DE D0+i', 'FCOMP5 T', 'fpu', registers('fcom', POP)],
  ['DE D9', 'FCOMPP', 'fpu', single('fcom', 1 | POP_TWICE)],
  ['DE E0+i', 'FSUBRP T,ST0', 'fpu', registers('fsub', TO_STI | REVERSE | POP)],
  ['DE E8+i', 'FSUBP T,ST0', 'fpu', registers('fsub', TO_STI | POP)],
  ['DE F0+i', 'FDIVRP T,ST0', 'fpu', registers('fdiv', TO_STI | REVERSE | POP)],
  ['DE F8+i', 'FDIVP T,ST0', 'fpu', registers('fdiv', TO_STI | POP)],

  ['D9 /0', 'FLD Md', 'fpu', load('fldm', 32, 0)],
  ['DD /0', 'FLD Mq', 'fpu', load('fldm', 64, 1 << 6)],
  ['DF /0', 'FILD Mw', 'fpu', load('fldm', 16, 2 << 6)],
  ['DB /0', 'FILD Md', 'fpu', load('fldm', 32, 3 << 6)],
  ['DF /5', 'FILD Mq', 'fpu', load('fild64', 64)],
  ['DB /5', 'FLD Mt', 'fpu', load('fld80', 80)],
  ['DF /4', 'FBLD Mt', 'fpu', load('fbld', 80)],
  ['D9 C0+i', 'FLD T', 'fpu', registers('fld')],
  ['D9 E8', 'FLD1', 'fpu', single('fldconst', 0)],
  ['D9 E9', 'FLDL2T', 'fpu', single('fldconst', 1)],
  ['D9 EA', 'FLDL2E', 'fpu', single('fldconst', 2)],
  ['D9 EB', 'FLDPI', 'fpu', single('fldconst', 3)],
  ['D9 EC', 'FLDLG2', 'fpu', single('fldconst', 4)],
  ['D9 ED', 'FLDLN2', 'fpu', single('fldconst', 5)],
  ['D9 EE', 'FLDZ', 'fpu', single('fldconst', 6)],

  ['D9 /2', 'FST Md', 'fpu', store('fst32', 32)],
  ['D9 /3', 'FSTP Md', 'fpu', store('fst32', 32, POP)],
  ['DD /2', 'FST Mq', 'fpu', store('fst64', 64)],
  ['DD /3', 'FSTP Mq', 'fpu', store('fst64', 64, POP)],
  ['DB /7', 'FSTP Mt', 'fpu', store80('fst80')],
  ['DF /6', 'FBSTP Mt', 'fpu', store80('fbstp')],
  ['DF /2', 'FIST Mw', 'fpu', store('fist', 16)],
  ['DB /2', 'FIST Md', 'fpu', store('fist', 32, 1 << 4)],
  ['DF /3', 'FISTP Mw', 'fpu', store('fist', 16, POP)],
  ['DB /3', 'FISTP Md', 'fpu', store('fist', 32, (1 << 4) | POP)],
  ['DF /7', 'FISTP Mq', 'fpu', store('fist', 64, (2 << 4) | POP)],
  ['DF /1', 'FISTTP Mw', 'pni', store('fist', 16, 64 | POP)],
  ['DB /1', 'FISTTP Md', 'pni', store('fist', 32, 64 | (1 << 4) | POP)],
  ['DD /1', 'FISTTP Mq', 'pni', store('fist', 64, 64 | (2 << 4) | POP)],
  ['DD D0+i', 'FST T', 'fpu', registers('fst')],
  ['DD D8+i', 'FSTP T', 'fpu', registers('fst', POP)],
  ['D9 D8+i', 'FSTP1 T', 'fpu', registers('fst', POP | 16)],
  ['DF D0+i', 'FSTP8 T', 'fpu', registers('fst', POP)],
  ['DF D8+i', 'FSTP9 T', 'fpu', registers('fst', POP)],

  ['DD E0+i', 'FUCOM T', 'fpu', registers('fcom', QUIET)],
  ['DD E8+i', 'FUCOMP T', 'fpu', registers('fcom', QUIET | POP)],
  ['DA E9', 'FUCOMPP', 'fpu', single('fcom', 1 | QUIET | POP_TWICE)],
  ['DB E8+i', 'FUCOMI ST0,T', 'cmov', compareFlags(QUIET)],
  ['DB F0+i', 'FCOMI ST0,T', 'cmov', compareFlags(0)],
  ['DF E8+i', 'FUCOMIP ST0,T', 'cmov', compareFlags(QUIET | POP)],
  ['DF F0+i', 'FCOMIP ST0,T', 'cmov', compareFlags(POP)],
  ['D9 E4', 'FTST', 'fpu', single('ftst')],
  ['D9 E5', 'FXAM', 'fpu', single('fxam')],

  ['D9 C8+i', 'FXCH T', 'fpu', registers('fxch')],
  ['DD C8+i', 'FXCH4 T', 'fpu', registers('fxch')],
  ['DF C8+i', 'FXCH7 T', 'fpu', registers('fxch')],
  ['DA C0+i', 'FCMOVB ST0,T', 'cmov', conditionalMove(Cc.b)],
  ['DA C8+i', 'FCMOVE ST0,T', 'cmov', conditionalMove(Cc.e)],
  ['DA D0+i', 'FCMOVBE ST0,T', 'cmov', conditionalMove(Cc.be)],
  ['DA D8+i', 'FCMOVU ST0,T', 'cmov', conditionalMove(Cc.p)],
  ['DB C0+i', 'FCMOVNB ST0,T', 'cmov', conditionalMove(Cc.b | 1)],
  ['DB C8+i', 'FCMOVNE ST0,T', 'cmov', conditionalMove(Cc.e | 1)],
  ['DB D0+i', 'FCMOVNBE ST0,T', 'cmov', conditionalMove(Cc.be | 1)],
  ['DB D8+i', 'FCMOVNU ST0,T', 'cmov', conditionalMove(Cc.p | 1)],
  ['DD C0+i', 'FFREE T', 'fpu', registers('ffree')],
  ['DF C0+i', 'FFREEP T', 'fpu', registers('ffree', POP)],
  ['D9 F7', 'FINCSTP', 'fpu', single('fincstp')],
  ['D9 F6', 'FDECSTP', 'fpu', single('fdecstp')],
  ['D9 D0', 'FNOP', 'fpu', single('fnop')],

  ['D9 E0', 'FCHS', 'fpu', single('fsign', 8)],
  ['D9 E1', 'FABS', 'fpu', single('fsign', 0)],
  ['D9 FA', 'FSQRT', 'fpu', single('fsqrt')],
  ['D9 FC', 'FRNDINT', 'fpu', single('frndint')],
  ['D9 F8', 'FPREM', 'fpu', single('fprem')],
  ['D9 F5', 'FPREM1', 'fpu', single('fprem', 8)],
  ['D9 FD', 'FSCALE', 'fpu', single('fscale')],
  ['D9 F4', 'FXTRACT', 'fpu', single('fxtract')],
];

/** Results within one unit in the last place of the processor's. */
export const X87_TRANSCENDENTAL_ROWS: readonly Row[] = [
  ['D9 F0', 'F2XM1', 'fpu', single('f2xm1')],
  ['D9 F1', 'FYL2X', 'fpu', single('fyl2x')],
  ['D9 F9', 'FYL2XP1', 'fpu', single('fyl2x', 8)],
  ['D9 F2', 'FPTAN', 'fpu', single('fsincos', 8)],
  ['D9 F3', 'FPATAN', 'fpu', single('fpatan')],
  ['D9 FE', 'FSIN', 'fpu', single('fsin')],
  ['D9 FF', 'FCOS', 'fpu', single('fsin', 8)],
  ['D9 FB', 'FSINCOS', 'fpu', single('fsincos')],
];
