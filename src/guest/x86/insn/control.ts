/** Jumps, calls, returns, loops: near ones here, far ones through the system helpers. */
import { PC, type Slot } from '../../../ir/builder.js';
import { type Insn, Seg } from '../decode.js';
import { GotoKind, JumpKind, RCX, type Translator, Vector } from '../translator.js';
import type { Meaning, Row } from './row.js';

const target = (i: Insn): number => i.end + i.imm;

const jumpRelative: Meaning = (t, i) => {
  t.checkRelative(target(i));
  t.jump(target(i), t.jumpMask, GotoKind.jump);
  t.ended = true;
};

/** `if` body with the jump, then the way on. */
function branch(t: Translator, i: Insn, body: number): void {
  t.checkRelative(target(i));
  t.jump(target(i), t.jumpMask, GotoKind.jump);
  t.b.endIf(body);
  t.endBlock();
}

const jcc: Meaning = (t, i) => branch(t, i, t.ifCondition(i.opcode & 15));

/** JCXZ, JECXZ, JRCXZ. */
const jcxz: Meaning = (t, i) => {
  const size = i.addrSize;
  const body = size === 16 ? t.b.beginIfImm('tsteq', RCX, 0xffff, true) : t.b.beginIfImm('eq', RCX, 0, size === 32);
  branch(t, i, body);
};

/** LOOP, LOOPE, LOOPNE: the count is rCX by address size; the flags stay. */
const loop =
  (zero: -1 | 0 | 1): Meaning =>
  (t, i) => {
    const b = t.b;
    const size = i.addrSize;
    const count = b.dai(size === 64 ? 'addi' : 'addi32', b.temp(), RCX, -1);
    const go = b.temp();
    if (size === 16) b.dai('set_nei32', go, b.da('ext16u', b.temp(), count), 0);
    else b.dai(size === 64 ? 'set_nei' : 'set_nei32', go, count, 0);
    if (zero >= 0) b.dab('and', go, go, t.setCondition(zero === 1 ? 4 : 5, b.temp()));
    t.checkRelative(target(i), go);
    t.setReg(1, size, count);
    branch(t, i, b.beginIfImm('ne', go, 0));
  };

const jumpIndirect: Meaning = (t) => {
  const v = t.readZ(0);
  t.checkTarget(v);
  t.jumpTo(v, JumpKind.jump);
};

const callRelative: Meaning = (t, i) => {
  t.checkRelative(target(i));
  t.push(i.opSize, t.next());
  t.jump(target(i), t.jumpMask, GotoKind.call);
  t.ended = true;
};

const callIndirect: Meaning = (t, i) => {
  let v: Slot = t.readZ(0);
  if (t.operandRegister(0) === 4) v = t.b.mov(t.b.temp(), v); // CALL rSP: the value before the push
  t.checkTarget(v);
  t.push(i.opSize, t.next());
  t.jumpTo(v, JumpKind.call);
};

const ret: Meaning = (t, i) => {
  const v = t.top(i.opSize);
  t.checkTarget(v);
  t.addStack(i.opSize / 8 + (i.imm & 0xffff));
  t.jumpTo(v, JumpKind.ret);
};

/** Far pointer in the instruction. */
const farDirect =
  (name: 'farJump' | 'farCall'): Meaning =>
  (t, i) => {
    const offset = t.b.movi(t.b.temp(), i.imm, 0);
    t.callLeave(name, t.constant(i.imm2), offset, i.opSize / 8);
  };

/** Far pointer in memory: offset, then selector. */
const farIndirect =
  (name: 'farJump' | 'farCall'): Meaning =>
  (t, i) => {
    const bytes = i.opSize / 8;
    t.addressOfParts(bytes + 2, Math.min(bytes, 4));
    const offset = t.loadMem(i.opSize);
    const selector = t.loadMem(16, t.b.temp(), bytes);
    t.callLeave(name, selector, offset, bytes);
  };

const farReturn: Meaning = (t, i) => t.callLeave('farReturn', t.constant(i.imm & 0xffff), 0, i.opSize / 8);
const iret: Meaning = (t, i) => t.callLeave('iret', 0, 0, i.opSize / 8);

const interrupt =
  (kind: number): Meaning =>
  (t, i) =>
    t.callLeave('interrupt', 0, 0, (kind === 0 ? i.imm & 0xff : kind === 1 ? Vector.bp : Vector.db) | (kind << 8));

const into: Meaning = (t) => {
  const b = t.b;
  const body = t.ifCondition(0);
  b.pcrel(PC, t.i.end, t.pcMask);
  t.callVoid('interrupt', 0, 0, Vector.of | (2 << 8));
  b.leave();
  b.endIf(body);
  t.endBlock();
};

const undefinedOpcode: Meaning = (t) => t.raise(Vector.ud);

/** LES, LDS, LSS, LFS, LGS. */
const loadFarPointer =
  (seg: number): Meaning =>
  (t, i) => {
    const bytes = i.opSize / 8;
    t.addressOfParts(bytes + 2, Math.min(bytes, 4));
    const offset = t.loadMem(i.opSize);
    const selector = t.loadMem(16, t.b.temp(), bytes);
    t.storeNextPc();
    t.callVoid('loadSegment', selector, 0, seg);
    t.setReg(i.reg, i.opSize, offset);
    t.leave();
  };

const hex = (n: number): string => n.toString(16).toUpperCase().padStart(2, '0');
const CONDITIONS = ['O', 'NO', 'B', 'AE', 'E', 'NE', 'BE', 'A', 'S', 'NS', 'P', 'NP', 'L', 'GE', 'LE', 'G'];

export const CONTROL_ROWS: readonly Row[] = [
  ...CONDITIONS.flatMap((c, n): Row[] => [
    [`${hex(0x70 + n)} f64`, `J${c} Jb`, '', jcc],
    [`0F ${hex(0x80 + n)} f64`, `J${c} Jz`, '', jcc],
  ]),
  ['EB f64', 'JMP Jb', '', jumpRelative],
  ['E9 f64', 'JMP Jz', '', jumpRelative],
  ['E8 f64', 'CALL Jz', '', callRelative],
  ['E0 f64', 'LOOPNE Jb', '', loop(0)],
  ['E1 f64', 'LOOPE Jb', '', loop(1)],
  ['E2 f64', 'LOOP Jb', '', loop(-1)],
  ['E3 f64 byaddr', 'JCXZ|JECXZ|JRCXZ Jb', '', jcxz],
  ['FF /2 f64', 'CALL Ev', '', callIndirect],
  ['FF /4 f64', 'JMP Ev', '', jumpIndirect],
  ['C2 f64', 'RET Iw', '', ret],
  ['C3 f64', 'RET', '', ret],
  ['EA i64', 'JMP Ap', '', farDirect('farJump')],
  ['9A i64', 'CALL Ap', '', farDirect('farCall')],
  ['FF /3', 'CALL Mp', '', farIndirect('farCall')],
  ['FF /5', 'JMP Mp', '', farIndirect('farJump')],
  ['CA', 'RETF Iw', '', farReturn],
  ['CB', 'RETF', '', farReturn],
  ['CF', 'IRETW|IRET|IRETQ', '', iret],
  ['CC', 'INT3', '', interrupt(1)],
  ['CD', 'INT Ib', '', interrupt(0)],
  ['CE i64', 'INTO', '', into],
  ['F1', 'INT1', '', interrupt(3)],
  ['0F 0B', 'UD2', '', undefinedOpcode],
  ['0F B9 /r', 'UD1 Gv,Ev', '', undefinedOpcode],
  ['0F FF /r', 'UD0 Gv,Ev', '', undefinedOpcode],
  ['C4 /r i64', 'LES Gv,Mp', '', loadFarPointer(Seg.es)],
  ['C5 /r i64', 'LDS Gv,Mp', '', loadFarPointer(Seg.ds)],
  ['0F B2 /r', 'LSS Gv,Mp', '', loadFarPointer(Seg.ss)],
  ['0F B4 /r', 'LFS Gv,Mp', '', loadFarPointer(Seg.fs)],
  ['0F B5 /r', 'LGS Gv,Mp', '', loadFarPointer(Seg.gs)],
];
