/** Bit tests and scans, POPCNT, LZCNT, TZCNT, BMI1, BMI2. */
import type { Slot } from '../../../ir/builder.js';
import { RDX, type Translator } from '../translator.js';
import type { Meaning, Row } from './row.js';

type BitChange = 'none' | 'set' | 'reset' | 'complement';

const bitTest =
  (change: BitChange): Meaning =>
  (t, i) => {
    const b = t.b;
    const size = i.opSize;
    const wide = size === 64;
    const memory = t.operandRegister(0) < 0;
    const constant = t.isImmediate(1);
    let offset: Slot;
    if (constant) offset = t.constant(i.imm & (size - 1));
    else {
      const r = t.gpr(i.reg);
      offset = size === 16 || memory ? b.dai('andi', b.temp(), r, size - 1) : r;
      if (memory) {
        // The bit string reaches as far as the register's signed value says.
        const unit = b.dai('sari', b.temp(), t.sext(r, size), size === 64 ? 6 : size === 32 ? 5 : 4);
        const bytes = b.dai('shli', unit, unit, size === 64 ? 3 : size === 32 ? 2 : 1);
        const ea = b.dab(i.addrSize === 64 ? 'add' : 'add32', b.temp(), t.effective(), bytes);
        if (i.addrSize === 16) b.da('ext16u', ea, ea);
        t.useAddress(t.linear(t.segment(), ea, size / 8, change !== 'none'), size / 8);
      }
    }
    const old = change === 'none' ? t.read(0) : t.readModify(0);
    const bit = b.dab(wide ? 'shr' : 'shr32', b.temp(), old, offset);
    let r = old;
    if (change !== 'none') {
      const mask = b.dab(wide ? 'shl' : 'shl32', b.temp(), t.constant(1), offset);
      r = b.temp();
      if (change === 'set') b.dab('or', r, old, mask);
      else if (change === 'complement') b.dab('xor', r, old, mask);
      else b.dab('and', r, old, b.da('not', mask, mask));
      t.write(0, r);
    }
    t.setCarryKeepZero(bit);
  };

/** BSF, BSR: the destination stays when the source is zero. */
const scan =
  (forward: boolean): Meaning =>
  (t, i) => {
    const b = t.b;
    const size = i.opSize;
    const v = t.readZ(1);
    const found = b.temp();
    if (forward) b.da('ctz', found, v);
    else b.dai('xori', found, b.da('clz', b.temp(), v), 63);
    const src = b.mov(b.temp(), v);
    const body = b.beginIfImm('ne', v, 0);
    t.setReg(i.reg, size, found);
    b.endIf(body);
    t.setFlags('logic', size, src);
  };

/** TZCNT, LZCNT; without the feature the F3 prefix is ignored and they are BSF, BSR. */
const count =
  (trailing: boolean): Meaning =>
  (t, i) => {
    if (!t.feature(trailing ? 'bmi1' : 'abm')) return scan(trailing)(t, i);
    const b = t.b;
    const size = i.opSize;
    const v = t.readZ(1);
    const r = b.temp();
    if (trailing) {
      if (size === 16) b.da('ctz32', r, b.dai('ori', b.temp(), v, 0x10000));
      else b.da(size === 64 ? 'ctz' : 'ctz32', r, v);
    } else {
      b.da(size === 64 ? 'clz' : 'clz32', r, v);
      if (size === 16) b.dai('addi32', r, r, -16);
    }
    const none = b.dai('set_eqi', b.temp(), v, 0);
    t.setReg(i.reg, size, r);
    t.setFlags('carry', size, r, none);
  };

const popcnt: Meaning = (t, i) => {
  const r = t.b.da('popcnt', t.b.temp(), t.readZ(1));
  t.setReg(i.reg, i.opSize, r);
  t.setFlags('popcnt', i.opSize, r);
};

// ---------------------------------------------------------------- BMI: operand size 32 or 64 by VEX.W

const size = (t: Translator): number => (t.i.w === 1 && t.long ? 64 : 32);

const andn: Meaning = (t, i) => {
  const b = t.b;
  const v = t.read(2);
  const r = b.dab('and', b.temp(), b.da('not', b.temp(), t.gpr(i.vvvv)), v);
  t.setReg(i.reg, size(t), r);
  t.setFlags('logic', size(t), r);
};

const lowest =
  (which: 'blsr' | 'blsmsk' | 'blsi'): Meaning =>
  (t, i) => {
    const b = t.b;
    const v = t.readZ(1);
    const r = b.temp();
    if (which === 'blsi') b.dab('and', r, v, b.da('neg', b.temp(), v));
    else b.dab(which === 'blsr' ? 'and' : 'xor', r, v, b.dai('addi', b.temp(), v, -1));
    const carry = b.dai(which === 'blsi' ? 'set_nei' : 'set_eqi', b.temp(), v, 0);
    t.setReg(i.vvvv, size(t), r);
    t.setFlags('carry', size(t), r, carry);
  };

const bextr: Meaning = (t, i) => {
  const r = t.call('bextr', t.b.temp(), t.readZ(1), t.gpr(i.vvvv));
  t.setReg(i.reg, size(t), r);
  t.setFlags('carry', size(t), r, t.constant(0));
};

const bzhi: Meaning = (t, i) => {
  const b = t.b;
  const n = b.da('ext8u', b.temp(), t.gpr(i.vvvv));
  const r = b.mov(b.temp(), t.readZ(1));
  const over = b.dai('set_gtui', b.temp(), n, size(t) - 1);
  const body = b.beginIfImm('eq', over, 0);
  const mask = b.dab('shl', b.temp(), t.constant(-1), n);
  b.dab('and', r, r, b.da('not', mask, mask));
  b.endIf(body);
  t.setReg(i.reg, size(t), r);
  t.setFlags('carry', size(t), r, over);
};

const mulx: Meaning = (t, i) => {
  const b = t.b;
  const v = t.readZ(2);
  if (size(t) === 64) {
    const high = b.dab('mulhu', b.temp(), RDX, v);
    const low = b.dab('mul', b.temp(), RDX, v);
    t.setReg(i.vvvv, 64, low);
    t.setReg(i.reg, 64, high);
  } else {
    const product = b.dab('mul', b.temp(), t.zext(RDX, 32), v);
    t.setReg(i.vvvv, 32, product);
    t.setReg(i.reg, 32, b.dai('shri', b.temp(), product, 32));
  }
};

const depositExtract =
  (name: 'pdep' | 'pext'): Meaning =>
  (t, i) => {
    const mask = t.readZ(2);
    t.setReg(i.reg, size(t), t.call(name, t.b.temp(), t.regZ(i.vvvv, size(t)), mask));
  };

const rorx: Meaning = (t, i) => {
  const n = i.imm & (size(t) - 1);
  t.b.dai(size(t) === 64 ? 'rotri' : 'rotri32', t.gpr(i.reg), t.read(1), n);
};

const shiftx =
  (how: 'shl' | 'shr' | 'sar'): Meaning =>
  (t, i) => {
    const v = t.read(1);
    t.b.dab(size(t) === 64 ? how : `${how}32`, t.gpr(i.reg), v, t.gpr(i.vvvv));
  };

const BT: readonly (readonly [string, string, number, Meaning])[] = [
  ['BT', 'A3', 4, bitTest('none')],
  ['BTS', 'AB', 5, bitTest('set')],
  ['BTR', 'B3', 6, bitTest('reset')],
  ['BTC', 'BB', 7, bitTest('complement')],
];

export const BIT_ROWS: readonly Row[] = [
  ...BT.flatMap(([name, opcode, digit, meaning]): Row[] => {
    const lock = name === 'BT' ? '' : ' LOCK';
    return [
      [`0F ${opcode} /r${lock}`, `${name} Ev,Gv`, '', meaning],
      [`0F BA /${digit}${lock}`, `${name} Ev,Ib`, '', meaning],
    ];
  }),
  ['0F BC /r', 'BSF Gv,Ev', '', scan(true)],
  ['0F BD /r', 'BSR Gv,Ev', '', scan(false)],
  ['F3 0F BC /r', 'TZCNT Gv,Ev', '', count(true)],
  ['F3 0F BD /r', 'LZCNT Gv,Ev', '', count(false)],
  ['F3 0F B8 /r', 'POPCNT Gv,Ev', 'popcnt', popcnt],
  ['VEX.LZ.NP.0F38.WIG F2 /r', 'ANDN Gy,By,Ey', 'bmi1', andn],
  ['VEX.LZ.NP.0F38.WIG F3 /1', 'BLSR By,Ey', 'bmi1', lowest('blsr')],
  ['VEX.LZ.NP.0F38.WIG F3 /2', 'BLSMSK By,Ey', 'bmi1', lowest('blsmsk')],
  ['VEX.LZ.NP.0F38.WIG F3 /3', 'BLSI By,Ey', 'bmi1', lowest('blsi')],
  ['VEX.LZ.NP.0F38.WIG F7 /r', 'BEXTR Gy,Ey,By', 'bmi1', bextr],
  ['VEX.LZ.NP.0F38.WIG F5 /r', 'BZHI Gy,Ey,By', 'bmi2', bzhi],
  ['VEX.LZ.F2.0F38.WIG F6 /r', 'MULX Gy,By,Ey', 'bmi2', mulx],
  ['VEX.LZ.F2.0F38.WIG F5 /r', 'PDEP Gy,By,Ey', 'bmi2', depositExtract('pdep')],
  ['VEX.LZ.F3.0F38.WIG F5 /r', 'PEXT Gy,By,Ey', 'bmi2', depositExtract('pext')],
  ['VEX.LZ.F2.0F3A.WIG F0 /r', 'RORX Gy,Ey,Ib', 'bmi2', rorx],
  ['VEX.LZ.66.0F38.WIG F7 /r', 'SHLX Gy,Ey,By', 'bmi2', shiftx('shl')],
  ['VEX.LZ.F2.0F38.WIG F7 /r', 'SHRX Gy,Ey,By', 'bmi2', shiftx('shr')],
  ['VEX.LZ.F3.0F38.WIG F7 /r', 'SARX Gy,Ey,By', 'bmi2', shiftx('sar')],
];
