/** Data transfer: MOV and its kin, exchanges, the stack, flags in AH, conditional moves. */
import type { Slot } from '../../../ir/builder.js';
import { Seg } from '../decode.js';
import { Cc, EFLAGS } from '../flags.js';
import { DF, RAX, RBP, RBX, RSP, Vector } from '../translator.js';
import type { Meaning, Row } from './row.js';

const mov: Meaning = (t, i) => {
  const size = i.size;
  const dst = t.operandRegister(0);
  if (t.isImmediate(1)) {
    if (dst >= 0 && size >= 32) t.b.movi(t.gpr(dst), i.imm, size === 32 ? 0 : i.immHigh);
    else t.write(0, t.read(1));
  } else if (dst >= 0 && size >= 32 && t.operandRegister(1) < 0) t.loadMem(size, t.gpr(dst));
  else t.write(0, t.read(1));
};

/** MOV between the accumulator and memory at an offset in the instruction. */
const movOffset: Meaning = (t, i) => {
  const b = t.b;
  const toMemory = i.form.operands[0]?.kind === 'O';
  const size = t.operandSize(toMemory ? 1 : 0);
  const ea = b.movi(b.temp(), i.imm, i.addrSize === 64 ? i.immHigh : 0);
  t.useAddress(t.linear(i.seg < 0 ? Seg.ds : i.seg, ea, size / 8, toMemory), size / 8);
  if (toMemory) t.storeMem(size, RAX);
  else if (size >= 32) t.loadMem(size, RAX);
  else t.setReg(0, size, t.loadMem(size));
};

const lea: Meaning = (t, i) => {
  const size = i.opSize;
  if (size === 16) return t.setReg(i.reg, 16, t.effective());
  const dst = t.gpr(i.reg);
  if (i.addrSize === 16) return void t.b.mov(dst, t.effective());
  t.b.mov(dst, t.effective(dst, size === 64 && i.addrSize === 64));
};

const widen =
  (signed: boolean): Meaning =>
  (t, i) => {
    const from = t.operandSize(1);
    const size = i.opSize;
    const dst = t.gpr(i.reg);
    if (size === 16) return t.setReg(i.reg, 16, signed ? t.readS(1) : t.readZ(1));
    const whole = size === 64 || !signed;
    const r = t.operandRegister(1);
    if (r < 0) {
      if (!signed) t.loadMem(from, dst);
      else if (whole) t.loadMemSigned(from, dst);
      else t.b.da('ext32u', dst, t.loadMemSigned(from));
    } else if (from === size) t.b.da('ext32u', dst, t.gpr(r));
    else {
      const v = t.reg(r, from);
      if (whole) t.b.mov(dst, signed ? t.sext(v, from, dst) : t.zext(v, from, dst));
      else t.b.da('ext32u', dst, t.sext(v, from));
    }
  };
/** To 16 bits, which needs no extension: Intel's processors read only those, AMD's all 32. */
const movsxd: Meaning = (t, i) => {
  if (i.opSize !== 16 || !t.isIntel()) return widen(true)(t, i);
  const r = t.operandRegister(1);
  t.setReg(i.reg, 16, r < 0 ? t.loadMem(16) : t.gpr(r));
};

const xchg: Meaning = (t, i) => {
  const size = i.size;
  const b = t.b;
  if (t.operandRegister(0) < 0) {
    const old = t.loadMemModify(size);
    t.storeMem(size, t.read(1));
    t.setReg(i.reg, size, old);
    return;
  }
  const x = b.mov(b.temp(), t.read(0));
  const y = b.mov(b.temp(), t.read(1));
  t.setReg(t.operandRegister(0), size, y);
  t.setReg(t.operandRegister(1), size, x);
};

/** 90 is NOP, but with REX.B exchanges R8 and RAX. */
const xchgAccumulator: Meaning = (t, i) => {
  if (i.opreg !== 0) xchg(t, i);
};

const bswap: Meaning = (t, i) => {
  const r = t.gpr(i.opreg);
  if (i.opSize === 16) t.setReg(i.opreg, 16, t.constant(0));
  else t.b.da(i.opSize === 64 ? 'bswap' : 'bswap32', r, r);
};

const movbe: Meaning = (t, i) => {
  const size = i.opSize;
  const b = t.b;
  const v = t.read(1);
  const r = b.da(size === 64 ? 'bswap' : 'bswap32', b.temp(), v);
  t.write(0, size === 16 ? b.dai('shri32', r, r, 16) : r);
};

const cmov: Meaning = (t, i) => {
  const b = t.b;
  const size = i.opSize;
  const v = t.read(1);
  const cond = t.setCondition(i.opcode & 15, b.temp());
  const dst = t.gpr(i.reg);
  if (size === 64) b.sel(dst, cond, v, dst);
  else t.setReg(i.reg, size, b.sel(b.temp(), cond, v, dst));
};

const setcc: Meaning = (t, i) => t.write(0, t.setCondition(i.opcode & 15, t.b.temp()));

/** XLAT: AL = [rBX + AL]. */
const xlat: Meaning = (t, i) => {
  const b = t.b;
  const al = b.da('ext8u', b.temp(), RAX);
  const ea = b.lea(b.temp(), RBX, al, 0, 0, i.addrSize === 64);
  if (i.addrSize === 16) b.da('ext16u', ea, ea);
  t.useAddress(t.linear(i.seg < 0 ? Seg.ds : i.seg, ea, 1, false), 1);
  t.setReg(0, 8, t.loadMem(8));
};

// ---------------------------------------------------------------- stack

const push: Meaning = (t, i) => t.push(i.opSize, t.read(0));

const pop: Meaning = (t, i) => {
  const size = i.opSize;
  const r = t.operandRegister(0);
  if (r < 0) {
    // The address counts with the stack pointer already moved.
    const v = t.top(size);
    if (i.base === 4 && i.addrSize !== 16) i.disp = (i.disp + size / 8) | 0;
    t.storeMem(size, v);
    t.addStack(size / 8);
  } else if (r === 4 || size === 16) {
    const v = t.top(size);
    t.addStack(size / 8);
    t.setReg(r, size, v);
  } else {
    t.top(size, t.gpr(r));
    t.addStack(size / 8);
  }
};

const pushAll: Meaning = (t, i) => {
  const bytes = i.opSize / 8;
  for (let n = 0; n < 8; n++) t.storeStack(i.opSize, t.gpr(n), -bytes * (n + 1));
  t.addStack(-bytes * 8);
};

const popAll: Meaning = (t, i) => {
  const size = i.opSize;
  const bytes = size / 8;
  const values: Slot[] = [];
  // From the top of the stack up: the first operand that faults is the one reported.
  for (let n = 7; n >= 0; n--) values[n] = n === 4 ? RSP : t.loadStack(size, bytes * (7 - n));
  t.addStack(bytes * 8);
  for (let n = 0; n < 8; n++) if (n !== 4) t.setReg(n, size, values[n] as Slot);
};

const pushSegment =
  (seg: number): Meaning =>
  (t, i) =>
    t.push(i.opSize, t.selector(seg));

const popSegment =
  (seg: number): Meaning =>
  (t, i) => {
    const v = t.b.da('ext16u', t.b.temp(), t.top(i.opSize));
    t.storeNextPc();
    t.callVoid('loadSegment', v, 0, seg === Seg.ss ? seg | 256 : seg);
    t.addStack(i.opSize / 8);
    t.leave();
  };

const pushFlags: Meaning = (t, i) => {
  const image = t.call('pushf', t.b.temp(), 0, 0, i.opSize / 8);
  t.push(i.opSize, image);
};

const popFlags: Meaning = (t, i) => {
  const v = t.top(i.opSize);
  t.storeNextPc();
  t.callVoid('popf', v, 0, i.opSize / 8);
  t.addStack(i.opSize / 8);
  t.leave();
};

/** ENTER: `size`, nesting level. */
const enter: Meaning = (t, i) => {
  const b = t.b;
  const bytes = i.opSize / 8;
  const level = i.imm2 & 31;
  const frame = b.temp();
  t.storeStack(i.opSize, RBP, -bytes);
  b.dai(t.long ? 'addi' : 'addi32', frame, RSP, -bytes);
  if (level > 0) {
    // The display: level - 1 outer frame pointers, then this one.
    for (let n = 1; n < level; n++) {
      const mark = b.tempMark;
      const a = b.dai(t.long ? 'addi' : 'addi32', b.temp(), RBP, -bytes * n);
      if (t.stackSize === 16) b.da('ext16u', a, a);
      t.useAddress(t.linear(Seg.ss, a, bytes, false), bytes);
      t.storeStack(i.opSize, t.loadMem(i.opSize), -bytes * (n + 1));
      b.releaseTemps(mark);
    }
    t.storeStack(i.opSize, frame, -bytes * (level + 1));
  }
  t.addStack(-bytes * (level + 1) - (i.imm & 0xffff));
  if (i.opSize === 16) t.setReg(5, 16, frame);
  else t.setReg(5, i.opSize, frame);
};

const leaveFrame: Meaning = (t, i) => {
  const b = t.b;
  const bytes = i.opSize / 8;
  if (t.long) {
    t.alignCheck(RBP, 0, bytes);
    const v = b.load(i.opSize === 64 ? 'ld64' : 'ld16u', b.temp(), RBP);
    b.dai('addi', RSP, RBP, bytes);
    t.setReg(5, i.opSize, v);
    return;
  }
  const small = t.stackSize === 16;
  const top = b.da(small ? 'ext16u' : 'ext32u', b.temp(), RBP);
  t.useAddress(t.linear(Seg.ss, top, bytes, false), bytes);
  const v = t.loadMem(i.opSize);
  t.setReg(4, small ? 16 : 32, b.dai('addi32', b.temp(), top, bytes));
  t.setReg(5, i.opSize, v);
};

// ---------------------------------------------------------------- flags

const sahf: Meaning = (t) => {
  const mask = EFLAGS.arithmetic & ~EFLAGS.of;
  const ah = t.b.da('ext8h', t.b.temp(), RAX);
  t.mergeFlags(t.b.dai('andi32', ah, ah, mask), mask);
};

const lahf: Meaning = (t) => {
  const f = t.b.dai('ori32', t.b.temp(), t.flagBits(), 2);
  t.b.dab('dep8h', RAX, RAX, f);
};

const carryFlag =
  (how: 'clear' | 'set' | 'invert'): Meaning =>
  (t) => {
    const b = t.b;
    const f = t.flagBits();
    if (how === 'clear') b.dai('andi32', f, f, ~EFLAGS.cf);
    else b.dai(how === 'set' ? 'ori32' : 'xori32', f, f, EFLAGS.cf);
    t.setFlagBits(f);
  };

const direction =
  (step: 1 | -1): Meaning =>
  (t) => {
    t.b.movi(DF, step);
  };

/** SALC: AL = CF ? FF : 0. */
const salc: Meaning = (t) => t.setReg(0, 8, t.b.da('neg32', t.b.temp(), t.setCondition(Cc.b, t.b.temp())));

const bound: Meaning = (t, i) => {
  const b = t.b;
  const size = i.opSize;
  const ext = (s: Slot): Slot => t.sext(s, size);
  const bytes = size / 8;
  t.addressOfParts(bytes * 2, bytes);
  const low = ext(t.loadMem(size));
  const high = ext(t.loadMem(size, b.temp(), bytes));
  const v = ext(t.gpr(i.reg));
  const out = b.dab('set_lts', b.temp(), v, low);
  b.dab('or', out, out, b.dab('set_gts', b.temp(), v, high));
  const body = b.beginIfImm('ne', out, 0);
  t.raiseHere(Vector.br);
  b.endIf(body);
};

const nop: Meaning = () => undefined;
const hex = (n: number): string => n.toString(16).toUpperCase().padStart(2, '0');
const CONDITIONS = ['O', 'NO', 'B', 'AE', 'E', 'NE', 'BE', 'A', 'S', 'NS', 'P', 'NP', 'L', 'GE', 'LE', 'G'];

export const MOVE_ROWS: readonly Row[] = [
  ['88 /r', 'MOV Eb,Gb', '', mov],
  ['89 /r', 'MOV Ev,Gv', '', mov],
  ['8A /r', 'MOV Gb,Eb', '', mov],
  ['8B /r', 'MOV Gv,Ev', '', mov],
  ['C6 /0', 'MOV Eb,Ib', '', mov],
  ['C7 /0', 'MOV Ev,Iz', '', mov],
  ['B0+r', 'MOV Zb,Ib', '', mov],
  ['B8+r', 'MOV Zv,Iv', '', mov],
  ['A0', 'MOV AL,Ob', '', movOffset],
  ['A1', 'MOV rAX,Ov', '', movOffset],
  ['A2', 'MOV Ob,AL', '', movOffset],
  ['A3', 'MOV Ov,rAX', '', movOffset],
  ['8D /r', 'LEA Gv,M', '', lea],
  ['0F B6 /r', 'MOVZX Gv,Eb', '', widen(false)],
  ['0F B7 /r', 'MOVZX Gv,Ew', '', widen(false)],
  ['0F BE /r', 'MOVSX Gv,Eb', '', widen(true)],
  ['0F BF /r', 'MOVSX Gv,Ew', '', widen(true)],
  ['63 /r o64', 'MOVSXD Gv,Ed', '', movsxd],
  ['86 /r LOCK', 'XCHG Eb,Gb', '', xchg],
  ['87 /r LOCK', 'XCHG Ev,Gv', '', xchg],
  ['90+r', 'XCHG Zv,rAX', '', xchgAccumulator],
  ['0F C8+r', 'BSWAP Zv', '', bswap],
  ['0F 38 F0 /r', 'MOVBE Gv,Mv', 'movbe', movbe],
  ['0F 38 F1 /r', 'MOVBE Mv,Gv', 'movbe', movbe],
  ['NP 0F C3 /r', 'MOVNTI My,Gy', 'sse2', mov],
  ...CONDITIONS.flatMap((c, n): Row[] => [
    [`0F ${hex(0x40 + n)} /r`, `CMOV${c} Gv,Ev`, 'cmov', cmov],
    [`0F ${hex(0x90 + n)} /r`, `SET${c} Eb`, '', setcc],
  ]),
  ['D7', 'XLAT Xb', '', xlat],
  ['50+r d64', 'PUSH Zv', '', push],
  ['58+r d64', 'POP Zv', '', pop],
  ['FF /6 d64', 'PUSH Ev', '', push],
  ['8F /0 d64', 'POP Ev', '', pop],
  ['68 d64', 'PUSH Iz', '', push],
  ['6A d64', 'PUSH Ib', '', push],
  ['60 i64', 'PUSHAW|PUSHA', '', pushAll],
  ['61 i64', 'POPAW|POPA', '', popAll],
  ['06 i64', 'PUSH ES', '', pushSegment(Seg.es)],
  ['0E i64', 'PUSH CS', '', pushSegment(Seg.cs)],
  ['16 i64', 'PUSH SS', '', pushSegment(Seg.ss)],
  ['1E i64', 'PUSH DS', '', pushSegment(Seg.ds)],
  ['0F A0 d64', 'PUSH FS', '', pushSegment(Seg.fs)],
  ['0F A8 d64', 'PUSH GS', '', pushSegment(Seg.gs)],
  ['07 i64', 'POP ES', '', popSegment(Seg.es)],
  ['17 i64', 'POP SS', '', popSegment(Seg.ss)],
  ['1F i64', 'POP DS', '', popSegment(Seg.ds)],
  ['0F A1 d64', 'POP FS', '', popSegment(Seg.fs)],
  ['0F A9 d64', 'POP GS', '', popSegment(Seg.gs)],
  ['9C d64', 'PUSHFW|PUSHFD|PUSHF', '', pushFlags],
  ['9D d64', 'POPFW|POPFD|POPF', '', popFlags],
  ['C8 d64', 'ENTER Iw,Ib', '', enter],
  ['C9 d64', 'LEAVE', '', leaveFrame],
  ['9E', 'SAHF', '', sahf],
  ['9F', 'LAHF', '', lahf],
  ['F5', 'CMC', '', carryFlag('invert')],
  ['F8', 'CLC', '', carryFlag('clear')],
  ['F9', 'STC', '', carryFlag('set')],
  ['FC', 'CLD', '', direction(1)],
  ['FD', 'STD', '', direction(-1)],
  ['D6 i64', 'SALC', '', salc],
  ['62 /r i64', 'BOUND Gv,Ma', '', bound],
  ['0F 1F /0', 'NOP Ev', '', nop],
  ...[0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e].map((n): Row => [`0F ${hex(n)} /r`, 'NOP Ev', '', nop]),
  ...[1, 2, 3, 4, 5, 6, 7].map((n): Row => [`0F 1F /${n}`, 'NOP Ev', '', nop]),
  ['0F 18 /0', 'PREFETCHNTA Mb', '', nop],
  ['0F 18 /1', 'PREFETCHT0 Mb', '', nop],
  ['0F 18 /2', 'PREFETCHT1 Mb', '', nop],
  ['0F 18 /3', 'PREFETCHT2 Mb', '', nop],
  ...[0, 1, 2, 3].map((n): Row => [`0F 18 /${n}`, 'NOP Rv', '', nop]),
  ...[4, 5, 6, 7].map((n): Row => [`0F 18 /${n}`, 'NOP Ev', '', nop]),
  ['0F 0D /r', 'PREFETCH Mb', '', nop],
  ['0F 0D /1', 'PREFETCHW Mb', '', nop],
];
