/** Integer arithmetic and logic. SDM volume 2; flags per appendix A of volume 1. */
import { FLAG_SRC2, type Slot } from '../../../ir/builder.js';
import type { OpName } from '../../../ir/ops.js';
import { EFLAGS, type FlagKindName } from '../flags.js';
import { RAX, RBX, RCX, RDX, type Translator, Vector } from '../translator.js';
import type { Meaning, Row } from './row.js';

type Plain = 'add' | 'sub' | 'and' | 'or' | 'xor' | 'mul';
const op = (name: Plain, size: number): OpName => (size === 64 ? name : `${name}32`);
const opImm = (name: Plain, size: number): OpName => (size === 64 ? `${name}i` : `${name}i32`);

/** dst = a op operand 1, which may be an immediate. */
function combine(t: Translator, name: Plain, dst: Slot, a: Slot, size: number): Slot {
  if (t.isImmediate(1)) return t.b.dai(opImm(name, size), dst, a, t.immediate(1));
  return t.b.dab(op(name, size), dst, a, t.read(1));
}

/** Writes operand 0 and sets the flags: memory first, because the store may fault; a register last, because `src` may be it. */
function finish(t: Translator, kind: FlagKindName, size: number, res: Slot, src: Slot): void {
  if (t.operandRegister(0) < 0) {
    t.write(0, res);
    t.setFlags(kind, size, res, src);
  } else {
    t.setFlags(kind, size, res, src);
    t.writeClean(0, res);
  }
}

const add: Meaning = (t, i) => {
  const a = t.readModify(0);
  const size = i.size;
  const dst = t.target(0);
  if (t.isImmediate(1) && dst !== a) {
    t.b.dai(opImm('add', size), dst, a, t.immediate(1));
    return finish(t, 'add', size, dst, a);
  }
  let other = t.read(1);
  if (other === dst) other = t.b.mov(t.b.temp(), other);
  t.b.dab(op('add', size), dst, a, other);
  finish(t, 'add', size, dst, other);
};

const sub: Meaning = (t, i) => {
  const a = t.readModify(0);
  finish(t, 'sub', i.size, combine(t, 'sub', t.b.temp(), a, i.size), a);
};

const cmp: Meaning = (t, i) => {
  const a = t.read(0);
  if (t.isImmediate(1)) {
    const v = t.immediate(1);
    t.setCompareFlags(i.size, t.b.dai(opImm('sub', i.size), t.b.temp(), a, v), a, v, true);
  } else {
    const other = t.read(1);
    t.setCompareFlags(i.size, t.b.dab(op('sub', i.size), t.b.temp(), a, other), a, other, false);
  }
};

const withCarry =
  (name: 'add' | 'sub', kind: 'adc' | 'sbb'): Meaning =>
  (t, i) => {
    const carry = t.carry();
    const a = t.readModify(0);
    const r = combine(t, name, t.b.temp(), a, i.size);
    t.b.dab(op(name, i.size), r, r, carry);
    if (t.operandRegister(0) < 0) t.write(0, r);
    t.setFlagCarryIn(carry);
    t.setFlags(kind, i.size, r, a);
    if (t.operandRegister(0) >= 0) t.writeClean(0, r);
  };

const logic =
  (name: 'and' | 'or' | 'xor'): Meaning =>
  (t, i) => {
    const r0 = t.operandRegister(0);
    const dst = t.target(0);
    if (name === 'xor' && r0 >= 0 && i.size >= 32 && r0 === t.operandRegister(1)) t.b.movi(dst, 0);
    else combine(t, name, dst, t.readModify(0), i.size);
    finish(t, 'logic', i.size, dst, dst);
  };

const test: Meaning = (t, i) => {
  const a = t.read(0);
  const r0 = t.operandRegister(0);
  const r = r0 >= 0 && r0 === t.operandRegister(1) ? a : combine(t, 'and', t.b.temp(), a, i.size);
  t.setFlags('logic', i.size, r);
};

const step =
  (kind: 'inc' | 'dec'): Meaning =>
  (t, i) => {
    const carry = t.carry();
    const dst = t.target(0);
    t.b.dai(opImm('add', i.size), dst, t.readModify(0), kind === 'inc' ? 1 : -1);
    finish(t, kind, i.size, dst, carry);
  };

const neg: Meaning = (t, i) => {
  const a = t.readModify(0);
  const zero = t.constant(0);
  finish(t, 'sub', i.size, t.b.dab(op('sub', i.size), t.target(0), zero, a), zero);
};

const not: Meaning = (t, i) => {
  const a = t.readModify(0);
  t.writeClean(0, t.b.da(i.size === 64 ? 'not' : 'not32', t.target(0), a));
};

/** MUL and one-operand IMUL: rDX:rAX (AX for bytes) = rAX * operand. */
const multiply =
  (signed: boolean): Meaning =>
  (t, i) => {
    const b = t.b;
    const size = i.size;
    const ext = (s: Slot): Slot => (signed ? t.sext(s, size) : t.zext(s, size));
    const x = signed ? t.readS(0) : t.readZ(0);
    const over = b.temp();
    if (size === 64) {
      const high = b.dab(signed ? 'mulhs' : 'mulhu', b.temp(), RAX, x);
      b.dab('mul', RAX, RAX, x);
      b.mov(RDX, high);
      if (signed) b.dab('xor', over, high, b.dai('sari', over, RAX, 63));
      t.setFlags('mul', 64, RAX, signed ? over : high);
      return;
    }
    const product = b.dab('mul', b.temp(), ext(RAX), x);
    if (size === 8) t.setReg(0, 16, product);
    else {
      t.setReg(0, size, product);
      t.setReg(2, size, b.dai('shri', b.temp(), product, size));
    }
    if (signed) b.dab('xor', over, product, t.sext(product, size));
    else b.dai('shri', over, product, size);
    t.setFlags('mul', size, product, over);
  };

/** IMUL with two or three operands. */
const imul: Meaning = (t, i) => {
  const b = t.b;
  const three = i.form.operands.length === 3;
  const x = t.read(three ? 1 : 0);
  const r = b.temp();
  if (three) {
    b.dai(opImm('mul', i.size), r, x, i.imm);
    b.movi(FLAG_SRC2, i.imm);
  } else {
    const y = t.read(1);
    b.dab(op('mul', i.size), r, x, y);
    b.mov(FLAG_SRC2, y);
  }
  t.setFlags('imul', i.size, r, x);
  t.writeClean(0, r);
};

/** In line where the quotient is sure to fit and the dividend is one word, or two unsigned ones of 32 bits. */
const divide =
  (signed: boolean): Meaning =>
  (t, i) => {
    const { b } = t;
    const { size } = i;
    const divisor = t.readZ(0);
    const help = (): void => t.callVoid(signed ? 'divideSigned' : 'divide', divisor, 0, size);
    if (size < 32) {
      help();
      return;
    }
    const narrow = size === 32;
    const usual = b.temp();
    let low = RAX;
    let by = divisor;
    if (signed) {
      // A dividend that CDQ or CQO has made of one word; a quotient of 0 or -1 is the helper's.
      b.dab(narrow ? 'set_eq32' : 'set_eq', usual, RDX, b.dai(narrow ? 'sari32' : 'sari', b.temp(), RAX, size - 1));
      const next = b.dai(opImm('add', size), b.temp(), divisor, 1);
      b.dab('and', usual, usual, b.dai(narrow ? 'set_gtui32' : 'set_gtui', b.temp(), next, 1));
      if (narrow) {
        low = b.da('ext32s', b.temp(), RAX);
        by = b.da('ext32s', b.temp(), divisor);
      }
    } else if (narrow) {
      b.dab('set_ltu32', usual, RDX, divisor);
      low = b.dab('or', b.temp(), b.da('ext32u', b.temp(), RAX), b.dai('shli', b.temp(), RDX, 32));
    } else {
      b.dai('set_eqi', usual, RDX, 0);
      b.dab('and', usual, usual, b.dai('set_nei', b.temp(), divisor, 0));
    }
    const unusual = b.beginIfImm('eq', usual, 0);
    help();
    b.endIf(unusual);
    const body = b.beginIfImm('ne', usual, 0);
    const quotient = b.dab(signed ? 'divs' : 'divu', b.temp(), low, by);
    const product = b.dab(op('mul', size), b.temp(), quotient, divisor);
    b.dab(op('sub', size), RDX, RAX, product);
    if (narrow) b.da('ext32u', RAX, quotient);
    else b.mov(RAX, quotient);
    b.endIf(body);
  };

/** Arithmetic on packed and unpacked decimal digits. */
const decimal =
  (name: string): Meaning =>
  (t, i) =>
    t.callVoid(name, 0, 0, i.imm & 0xff);

const aam: Meaning = (t, i) => ((i.imm & 0xff) === 0 ? t.raise(Vector.de) : t.callVoid('aam', 0, 0, i.imm & 0xff));

/** CBW, CWDE, CDQE. */
const widenAccumulator: Meaning = (t, i) => {
  if (i.opSize === 64) t.b.da('ext32s', RAX, RAX);
  else if (i.opSize === 32) t.b.da('ext32u', RAX, t.b.da('ext16s', t.b.temp(), RAX));
  else t.setReg(0, 16, t.b.da('ext8s', t.b.temp(), RAX));
};

/** CWD, CDQ, CQO. */
const signToDx: Meaning = (t, i) => {
  const b = t.b;
  if (i.opSize === 64) b.dai('sari', RDX, RAX, 63);
  else if (i.opSize === 32) b.dai('sari32', RDX, RAX, 31);
  else t.setReg(2, 16, b.dai('sari32', b.temp(), b.da('ext16s', b.temp(), RAX), 15));
};

const xadd: Meaning = (t, i) => {
  const size = i.size;
  const a = t.readModify(0);
  const other = t.b.mov(t.b.temp(), t.read(1));
  const r = t.b.dab(op('add', size), t.b.temp(), a, other);
  if (t.operandRegister(0) < 0) t.write(0, r);
  const old = t.b.mov(t.b.temp(), a);
  t.setReg(i.reg, size, old);
  if (t.operandRegister(0) >= 0) t.write(0, r);
  t.setFlags('add', size, r, other);
};

const cmpxchg: Meaning = (t, i) => {
  const b = t.b;
  const size = i.size;
  const old = t.readModify(0);
  const r = b.dab(op('sub', size), b.temp(), RAX, old);
  const equal = b.temp();
  if (size < 32) b.dai('set_eqi32', equal, t.zext(r, size), 0);
  else b.dai(size === 64 ? 'set_eqi' : 'set_eqi32', equal, r, 0);
  const acc = b.mov(b.temp(), RAX);
  if (t.operandRegister(0) < 0) {
    // Memory is written either way.
    t.write(0, b.sel(b.temp(), equal, t.read(1), old));
    t.setFlags('sub', size, r, acc);
    const failed = b.beginIfImm('eq', equal, 0);
    t.setReg(0, size, old);
    b.endIf(failed);
    return;
  }
  // A register is not written at all when the comparison fails, not even its upper half.
  const kept = b.mov(b.temp(), old);
  const other = b.mov(b.temp(), t.read(1));
  t.setFlags('sub', size, r, acc);
  const failed = b.beginIfImm('eq', equal, 0);
  t.setReg(0, size, kept);
  b.endIf(failed);
  const done = b.beginIfImm('ne', equal, 0);
  t.setReg(t.operandRegister(0), size, other);
  b.endIf(done);
};

/** ZF = bit 0 of a slot, the other flags stay. */
function setZero(t: Translator, bit: Slot): void {
  t.mergeFlags(t.b.dai('shli', t.b.temp(), bit, 6), EFLAGS.zf);
}

const cmpxchg8b: Meaning = (t) => {
  const b = t.b;
  const join = (high: Slot, low: Slot): Slot => {
    const h = b.dai('shli', b.temp(), high, 32);
    return b.dab('or', h, h, b.da('ext32u', b.temp(), low));
  };
  const old = t.loadMemModify(64);
  const equal = b.dab('set_eq', b.temp(), old, join(RDX, RAX));
  t.storeMem(64, b.sel(b.temp(), equal, join(RCX, RBX), old));
  setZero(t, equal);
  const body = b.beginIfImm('eq', equal, 0);
  b.da('ext32u', RAX, old);
  b.dai('shri', RDX, old, 32);
  b.endIf(body);
};

const cmpxchg16b: Meaning = (t) => {
  const b = t.b;
  const address = t.address(16, true, 1);
  const misaligned = b.beginIfImm('tstne', address, 15);
  t.raiseHere(Vector.gp, 0);
  b.endIf(misaligned);
  const low = b.load('ldm64', b.temp(), address, 0);
  const high = b.load('ldm64', b.temp(), address, 8);
  const x = b.dab('xor', b.temp(), low, RAX);
  const y = b.dab('xor', b.temp(), high, RDX);
  const equal = b.dai('set_eqi', b.temp(), b.dab('or', x, x, y), 0);
  b.store('st64', address, b.sel(b.temp(), equal, RBX, low), 0);
  b.store('st64', address, b.sel(b.temp(), equal, RCX, high), 8);
  setZero(t, equal);
  const body = b.beginIfImm('eq', equal, 0);
  b.mov(RAX, low);
  b.mov(RDX, high);
  b.endIf(body);
};

/** ADCX (CF) and ADOX (OF): add with, and change, one flag only. */
const addWithFlag =
  (flag: number): Meaning =>
  (t, i) => {
    const b = t.b;
    const size = i.opSize === 64 ? 64 : 32;
    const shift = flag === EFLAGS.of ? 11 : 0;
    const f = t.flagBits();
    const carry = b.dai('andi32', b.temp(), b.dai('shri32', b.temp(), f, shift), 1);
    const other = t.readZ(1);
    const a = t.zext(t.gpr(i.reg), size);
    const out = b.temp();
    const r = b.dab('add', b.temp(), a, other);
    if (size === 32) {
      b.dab('add', r, r, carry);
      b.dai('shri', out, r, 32);
    } else {
      b.dab('set_ltu', out, r, other);
      b.dab('add', r, r, carry);
      b.dab('or', out, out, b.dab('set_ltu', b.temp(), r, carry));
    }
    b.dai('andi32', f, f, ~flag);
    b.dab('or', f, f, b.dai('shli', out, out, shift));
    t.setFlagBits(f);
    t.setReg(i.reg, size, r);
  };

const ALU: readonly (readonly [name: string, digit: number, meaning: Meaning])[] = [
  ['ADD', 0, add],
  ['OR', 1, logic('or')],
  ['ADC', 2, withCarry('add', 'adc')],
  ['SBB', 3, withCarry('sub', 'sbb')],
  ['AND', 4, logic('and')],
  ['SUB', 5, sub],
  ['XOR', 6, logic('xor')],
  ['CMP', 7, cmp],
];
const hex = (n: number): string => n.toString(16).toUpperCase().padStart(2, '0');

export const ARITHMETIC_ROWS: readonly Row[] = [
  ...ALU.flatMap(([name, digit, meaning]): Row[] => {
    const base = digit * 8;
    const lock = name === 'CMP' ? '' : ' LOCK';
    return [
      [`${hex(base)} /r${lock}`, `${name} Eb,Gb`, '', meaning],
      [`${hex(base + 1)} /r${lock}`, `${name} Ev,Gv`, '', meaning],
      [`${hex(base + 2)} /r`, `${name} Gb,Eb`, '', meaning],
      [`${hex(base + 3)} /r`, `${name} Gv,Ev`, '', meaning],
      [hex(base + 4), `${name} AL,Ib`, '', meaning],
      [hex(base + 5), `${name} rAX,Iz`, '', meaning],
      [`80 /${digit}${lock}`, `${name} Eb,Ib`, '', meaning],
      [`81 /${digit}${lock}`, `${name} Ev,Iz`, '', meaning],
      [`82 /${digit}${lock} i64`, `${name} Eb,Ib`, '', meaning],
      [`83 /${digit}${lock}`, `${name} Ev,Ib`, '', meaning],
    ];
  }),
  ['84 /r', 'TEST Eb,Gb', '', test],
  ['85 /r', 'TEST Ev,Gv', '', test],
  ['A8', 'TEST AL,Ib', '', test],
  ['A9', 'TEST rAX,Iz', '', test],
  ['F6 /0', 'TEST Eb,Ib', '', test],
  ['F6 /1', 'TEST Eb,Ib', '', test],
  ['F7 /0', 'TEST Ev,Iz', '', test],
  ['F7 /1', 'TEST Ev,Iz', '', test],
  ['F6 /2 LOCK', 'NOT Eb', '', not],
  ['F7 /2 LOCK', 'NOT Ev', '', not],
  ['F6 /3 LOCK', 'NEG Eb', '', neg],
  ['F7 /3 LOCK', 'NEG Ev', '', neg],
  ['F6 /4', 'MUL Eb', '', multiply(false)],
  ['F7 /4', 'MUL Ev', '', multiply(false)],
  ['F6 /5', 'IMUL Eb', '', multiply(true)],
  ['F7 /5', 'IMUL Ev', '', multiply(true)],
  ['F6 /6', 'DIV Eb', '', divide(false)],
  ['F7 /6', 'DIV Ev', '', divide(false)],
  ['F6 /7', 'IDIV Eb', '', divide(true)],
  ['F7 /7', 'IDIV Ev', '', divide(true)],
  ['0F AF /r', 'IMUL Gv,Ev', '', imul],
  ['69 /r', 'IMUL Gv,Ev,Iz', '', imul],
  ['6B /r', 'IMUL Gv,Ev,Ib', '', imul],
  ['FE /0 LOCK', 'INC Eb', '', step('inc')],
  ['FF /0 LOCK', 'INC Ev', '', step('inc')],
  ['FE /1 LOCK', 'DEC Eb', '', step('dec')],
  ['FF /1 LOCK', 'DEC Ev', '', step('dec')],
  ['40+r i64', 'INC Zv', '', step('inc')],
  ['48+r i64', 'DEC Zv', '', step('dec')],
  ['98', 'CBW|CWDE|CDQE', '', widenAccumulator],
  ['99', 'CWD|CDQ|CQO', '', signToDx],
  ['27 i64', 'DAA', '', decimal('daa')],
  ['2F i64', 'DAS', '', decimal('das')],
  ['37 i64', 'AAA', '', decimal('aaa')],
  ['3F i64', 'AAS', '', decimal('aas')],
  ['D4 i64', 'AAM Ib', '', aam],
  ['D5 i64', 'AAD Ib', '', decimal('aad')],
  ['0F C0 /r LOCK', 'XADD Eb,Gb', '', xadd],
  ['0F C1 /r LOCK', 'XADD Ev,Gv', '', xadd],
  ['0F B0 /r LOCK', 'CMPXCHG Eb,Gb', '', cmpxchg],
  ['0F B1 /r LOCK', 'CMPXCHG Ev,Gv', '', cmpxchg],
  ['0F C7 /1 W0 LOCK', 'CMPXCHG8B Mq', 'cx8', cmpxchg8b],
  ['REX.W 0F C7 /1 LOCK', 'CMPXCHG16B Mdq', 'cx16', cmpxchg16b],
  ['66 0F 38 F6 /r', 'ADCX Gy,Ey', 'adx', addWithFlag(EFLAGS.cf)],
  ['F3 0F 38 F6 /r', 'ADOX Gy,Ey', 'adx', addWithFlag(EFLAGS.of)],
];
