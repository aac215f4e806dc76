/**
 * String instructions. Alone they are a few ops; with a REP prefix a helper does as much as it can at once and leaves rCX,
 * rSI and rDI true, and the instruction is started again while work remains, so that it stays interruptible and precise.
 */
import type { Slot } from '../../../ir/builder.js';
import { GotoKind } from '../../../ir/ops.js';
import { type Insn, Seg } from '../decode.js';
import { DF, RAX, RDI, RDX, RSI, type Translator } from '../translator.js';
import type { Meaning, Row } from './row.js';

/** What a helper must know: bytes, segment of rSI, address size / 16 and, for compares, until which ZF to go on. */
function options(t: Translator, i: Insn): number {
  const bytes = (i.opcode & 1) === 0 ? 1 : i.opcode < 0x70 ? ioSize(i) : i.opSize / 8;
  return (
    bytes |
    ((i.seg < 0 ? Seg.ds : i.seg) << 4) |
    ((i.addrSize / 16) << 8) |
    (i.rep === 0xf3 ? 4096 : 0) |
    (t.long ? 8192 : 0)
  );
}

/** Calls the helper; its result is whether work remains: then this instruction is started again. */
function repeat(t: Translator, i: Insn, name: string): void {
  const more = t.call(name, t.b.temp(), 0, 0, options(t, i));
  const body = t.b.beginIfImm('ne', more, 0);
  t.jump(i.offset, t.pcMask, GotoKind.jump);
  t.b.endIf(body);
}

/** The same for ports: a device may have asked for attention. */
function repeatPort(t: Translator, i: Insn, name: string): void {
  repeat(t, i, name);
  t.storeNextPc();
  t.leave();
}

/** Linear address of [rSI] or [rDI]. */
function stringAddress(t: Translator, i: Insn, register: Slot, bytes: number, write: boolean): Slot {
  const b = t.b;
  const ea = i.addrSize === 64 ? register : b.da(i.addrSize === 32 ? 'ext32u' : 'ext16u', b.temp(), register);
  const a = t.linear(register === RDI ? Seg.es : i.seg < 0 ? Seg.ds : i.seg, ea, bytes, write);
  t.alignCheck(a, 0, bytes);
  return a;
}

/** Moves rSI or rDI by one element. */
function advance(t: Translator, i: Insn, register: number, bytes: number): void {
  const b = t.b;
  const shift = 31 - Math.clz32(bytes);
  const r = t.gpr(register);
  if (i.addrSize === 64) b.lea(r, r, DF, shift, 0, true);
  else if (i.addrSize === 32) b.lea(r, r, DF, shift, 0, false);
  else t.setReg(register, 16, b.lea(b.temp(), r, DF, shift, 0, false));
}

const LD = { 1: 'ld8u', 2: 'ld16u', 4: 'ld32u', 8: 'ld64' } as const;
const ST = { 1: 'st8', 2: 'st16', 4: 'st32', 8: 'st64' } as const;
type Bytes = keyof typeof LD;

const movs: Meaning = (t, i) => {
  if (i.rep !== 0) return repeat(t, i, 'repMovs');
  const bytes = (i.size / 8) as Bytes;
  const v = t.b.load(LD[bytes], t.b.temp(), stringAddress(t, i, RSI, bytes, false));
  t.b.store(ST[bytes], stringAddress(t, i, RDI, bytes, true), v);
  advance(t, i, 6, bytes);
  advance(t, i, 7, bytes);
};

const stos: Meaning = (t, i) => {
  if (i.rep !== 0) return repeat(t, i, 'repStos');
  const bytes = (i.size / 8) as Bytes;
  t.b.store(ST[bytes], stringAddress(t, i, RDI, bytes, true), RAX);
  advance(t, i, 7, bytes);
};

const lods: Meaning = (t, i) => {
  if (i.rep !== 0) return repeat(t, i, 'repLods');
  const bytes = (i.size / 8) as Bytes;
  const v = t.b.load(LD[bytes], t.b.temp(), stringAddress(t, i, RSI, bytes, false));
  t.setReg(0, i.size, v);
  advance(t, i, 6, bytes);
};

const cmps: Meaning = (t, i) => {
  if (i.rep !== 0) return repeat(t, i, 'repCmps');
  const b = t.b;
  const bytes = (i.size / 8) as Bytes;
  const x = b.load(LD[bytes], b.temp(), stringAddress(t, i, RSI, bytes, false));
  const y = b.load(LD[bytes], b.temp(), stringAddress(t, i, RDI, bytes, false));
  t.setFlags('sub', i.size, b.dab('sub', b.temp(), x, y), x);
  advance(t, i, 6, bytes);
  advance(t, i, 7, bytes);
};

const scas: Meaning = (t, i) => {
  if (i.rep !== 0) return repeat(t, i, 'repScas');
  const b = t.b;
  const bytes = (i.size / 8) as Bytes;
  const y = b.load(LD[bytes], b.temp(), stringAddress(t, i, RDI, bytes, false));
  t.setFlags('sub', i.size, b.dab('sub', b.temp(), RAX, y), RAX);
  advance(t, i, 7, bytes);
};

/** Bytes of an INS or OUTS element: the lowest opcode bit says byte or not. */
const ioSize = (i: Insn): 1 | 2 | 4 => ((i.opcode & 1) === 0 ? 1 : i.opSize === 16 ? 2 : 4);

/** INS: the port is read only when the element can be stored. */
const ins: Meaning = (t, i) => {
  const b = t.b;
  const bytes = ioSize(i);
  const port = b.da('ext16u', b.temp(), RDX);
  t.callVoid('checkIo', port, 0, bytes);
  if (i.rep !== 0) return repeatPort(t, i, 'repIns');
  const to = stringAddress(t, i, RDI, bytes, true);
  b.probeWrite(to, 0, bytes);
  t.storeNextPc();
  const v = t.call('inPort', b.temp(), port, 0, bytes);
  b.store(ST[bytes], to, v);
  advance(t, i, 7, bytes);
  t.leave();
};

const outs: Meaning = (t, i) => {
  const b = t.b;
  const bytes = ioSize(i);
  const port = b.da('ext16u', b.temp(), RDX);
  t.callVoid('checkIo', port, 0, bytes);
  if (i.rep !== 0) return repeatPort(t, i, 'repOuts');
  const v = b.load(LD[bytes], b.temp(), stringAddress(t, i, RSI, bytes, false));
  t.storeNextPc();
  t.callVoid('outPort', port, v, bytes);
  advance(t, i, 6, bytes);
  t.leave();
};

export const STRING_ROWS: readonly Row[] = [
  ['A4', 'MOVS Yb,Xb', '', movs],
  ['A5', 'MOVS Yv,Xv', '', movs],
  ['A6', 'CMPS Xb,Yb', '', cmps],
  ['A7', 'CMPS Xv,Yv', '', cmps],
  ['AA', 'STOS Yb,AL', '', stos],
  ['AB', 'STOS Yv,rAX', '', stos],
  ['AC', 'LODS AL,Xb', '', lods],
  ['AD', 'LODS rAX,Xv', '', lods],
  ['AE', 'SCAS AL,Yb', '', scas],
  ['AF', 'SCAS rAX,Yv', '', scas],
  ['6C', 'INS Yb,DX', '', ins],
  ['6D', 'INS Yz,DX', '', ins],
  ['6E', 'OUTS DX,Xb', '', outs],
  ['6F', 'OUTS DX,Xz', '', outs],
];
