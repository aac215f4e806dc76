/** Shifts and rotates. The flags stay as they are when the masked count is zero. */
import type { Slot } from '../../../ir/builder.js';
import type { OpName } from '../../../ir/ops.js';
import { RCX, type Translator } from '../translator.js';
import type { Meaning, Row } from './row.js';

type Shift = 'shl' | 'shr' | 'sar';

/** Operand 0 as a shift needs it: its upper bits are zeros (SHR) or copies of the sign (SAR). */
function shiftOperand(t: Translator, how: Shift, size: number): Slot {
  const a = t.readModify(0);
  if (how === 'shl' || size >= 32) return a;
  return how === 'shr' ? t.zext(a, size) : t.sext(a, size);
}

const shift =
  (how: Shift): Meaning =>
  (t, i) => {
    const b = t.b;
    const size = i.size;
    const wide = size === 64;
    const kind = how === 'shl' ? 'shl' : 'shr';
    const byImm: OpName = wide ? `${how}i` : `${how}i32`;
    const bySlot: OpName = wide ? how : `${how}32`;
    const memory = t.operandRegister(0) < 0;
    const a = shiftOperand(t, how, size);
    if (i.form.operands[1]?.kind !== 'r') {
      const count = t.immediate(1) & (wide ? 63 : 31);
      if (count === 0) return t.write(0, a);
      const before = count === 1 ? a : b.dai(byImm, b.temp(), a, count - 1);
      const r = b.dai(byImm, b.temp(), a, count);
      if (memory) t.write(0, r);
      t.setFlags(kind, size, r, before);
      if (!memory) t.writeClean(0, r);
      return;
    }
    const count = b.dai('andi32', b.temp(), RCX, wide ? 63 : 31);
    const r = b.dab(bySlot, b.temp(), a, count);
    if (memory) t.write(0, r);
    const body = b.beginIfImm('ne', count, 0, true);
    b.dai('addi32', count, count, -1);
    t.setFlags(kind, size, r, b.dab(bySlot, count, a, count));
    b.endIf(body);
    t.flagsClobbered();
    if (!memory) t.writeClean(0, r);
  };

const rotate =
  (how: 'rotl' | 'rotr'): Meaning =>
  (t, i) => {
    const b = t.b;
    const size = i.size;
    const wide = size === 64;
    const memory = t.operandRegister(0) < 0;
    const constant = i.form.operands[1]?.kind !== 'r';
    const a = t.readModify(0);
    const count = constant ? t.immediate(1) & (wide ? 63 : 31) : 0;
    if (constant && count === 0) return t.write(0, a);
    const amount = constant ? -1 : b.dai('andi32', b.temp(), RCX, wide ? 63 : 31);
    const r = b.temp();
    if (size >= 32) {
      if (constant) b.dai(wide ? `${how}i` : `${how}i32`, r, a, count);
      else b.dab(wide ? how : `${how}32`, r, a, amount);
    } else {
      // Fill 32 bits with copies of the operand; then a 32-bit rotate by any count is right in the low bits.
      b.dab('dep16', r, a, a);
      if (size === 8) b.dab('dep8h', r, r, a);
      const high = b.dai('shli32', b.temp(), r, 16);
      b.dab('or', r, b.da('ext16u', r, r), high);
      if (constant) b.dai(`${how}i32`, r, r, count);
      else b.dab(`${how}32`, r, r, amount);
    }
    if (memory) t.write(0, r);
    const body = constant ? -1 : b.beginIfImm('ne', amount, 0, true);
    const f = t.flagBits();
    t.call('rotateFlags', f, f, r, size | (how === 'rotr' ? 256 : 0));
    t.setFlagBits(f);
    if (!constant) {
      b.endIf(body);
      t.flagsClobbered();
    }
    if (!memory) t.writeClean(0, r);
  };

/** RCL and RCR, through CF: the helper changes the flags itself. */
const rotateCarry =
  (right: boolean): Meaning =>
  (t, i) => {
    const a = t.readModify(0);
    const count = i.form.operands[1]?.kind === 'r' ? RCX : t.constant(t.immediate(1));
    const memory = t.operandRegister(0) < 0;
    if (memory) t.address(i.size / 8, true);
    t.write(0, t.call('rotateThroughCarry', t.b.temp(), a, count, i.size | (right ? 256 : 0)));
  };

/** SHLD and SHRD: bits shifted out of operand 1 fill operand 0. */
const doubleShift =
  (left: boolean): Meaning =>
  (t, i) => {
    const b = t.b;
    const size = i.opSize;
    const wide = size === 64;
    const constant = i.form.operands[2]?.kind !== 'r';
    const memory = t.operandRegister(0) < 0;
    const mask = wide ? 63 : 31;
    const old = t.readModify(0);
    const fixed = i.imm & mask;
    if (constant && fixed === 0) return t.write(0, old);
    const count = constant ? t.constant(fixed) : b.dai('andi32', b.temp(), RCX, mask);
    const r = b.mov(b.temp(), old);
    const a = b.mov(b.temp(), old);
    const fill = t.gpr(i.reg);
    const before = b.temp();
    const less = b.temp();
    const body = b.beginIfImm('ne', count, 0, true);
    b.dai('addi32', less, count, -1);
    if (size === 16) {
      // Work on operand : fill : operand, which is what counts above 16 show.
      const low = b.da('ext16u', b.temp(), a);
      const x = b.dai('shli', b.temp(), low, 32);
      const y = b.dai('shli', b.temp(), b.da('ext16u', b.temp(), fill), 16);
      b.dab('or', x, x, y);
      b.dab('or', x, x, low);
      if (left) {
        b.dai('shri', before, b.dab('shl', b.temp(), x, less), 32);
        b.dai('shri', r, b.dab('shl', b.temp(), x, count), 32);
      } else {
        b.dab('shr', before, x, less);
        b.dab('shr', r, x, count);
      }
    } else {
      const back = b.dai('andi32', b.temp(), b.da('neg32', b.temp(), count), mask);
      const s = (name: 'shl' | 'shr', dst: Slot, v: Slot, n: Slot): Slot => b.dab(wide ? name : `${name}32`, dst, v, n);
      const out = left ? 'shl' : 'shr';
      s(out, before, a, less);
      s(out, r, a, count);
      b.dab('or', r, r, s(left ? 'shr' : 'shl', b.temp(), fill, back));
    }
    b.endIf(body);
    if (memory) t.write(0, r);
    const flags = b.beginIfImm('ne', count, 0, true);
    t.setFlags(left ? 'shl' : 'shr', size, r, before);
    b.endIf(flags);
    if (!constant) t.flagsClobbered();
    if (!memory) t.write(0, r);
  };

const GROUP: readonly (readonly [string, number, Meaning])[] = [
  ['ROL', 0, rotate('rotl')],
  ['ROR', 1, rotate('rotr')],
  ['RCL', 2, rotateCarry(false)],
  ['RCR', 3, rotateCarry(true)],
  ['SHL', 4, shift('shl')],
  ['SHR', 5, shift('shr')],
  ['SHL', 6, shift('shl')],
  ['SAR', 7, shift('sar')],
];

export const SHIFT_ROWS: readonly Row[] = [
  ...GROUP.flatMap(([name, digit, meaning]): Row[] => [
    [`C0 /${digit}`, `${name} Eb,Ib`, '', meaning],
    [`C1 /${digit}`, `${name} Ev,Ib`, '', meaning],
    [`D0 /${digit}`, `${name} Eb,1`, '', meaning],
    [`D1 /${digit}`, `${name} Ev,1`, '', meaning],
    [`D2 /${digit}`, `${name} Eb,CL`, '', meaning],
    [`D3 /${digit}`, `${name} Ev,CL`, '', meaning],
  ]),
  ['0F A4 /r', 'SHLD Ev,Gv,Ib', '', doubleShift(true)],
  ['0F A5 /r', 'SHLD Ev,Gv,CL', '', doubleShift(true)],
  ['0F AC /r', 'SHRD Ev,Gv,Ib', '', doubleShift(false)],
  ['0F AD /r', 'SHRD Ev,Gv,CL', '', doubleShift(false)],
];
