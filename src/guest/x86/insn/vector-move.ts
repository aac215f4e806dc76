/** Moves between vector registers, memory, general and MMX registers. */
import type { Slot } from '../../../ir/builder.js';
import type { Insn } from '../decode.js';
import { helper } from '../helpers/index.js';
import { X86 } from '../state.js';
import type { Translator } from '../translator.js';
import type { Meaning, Row } from './row.js';
import { clearUpper, mmxBegin, mmxUsed, mmxWritten, moveVector, type Prefix, vcall, vexEncoding } from './vector.js';

const TOP = X86.at['fpTop'] as number;

const MOVSS = helper('movss');
const VZERO = helper('vzero');

// ---------------------------------------------------------------- whole vectors

const load =
  (aligned: boolean): Meaning =>
  (t, i) => {
    const d = t.xmm(i.reg);
    if (i.mod === 3) moveVector(t, d, t.xmm(i.rm));
    else if (i.vex && i.l === 1) t.loadMemVector(aligned ? 'ld256a' : 'ld256', d);
    else {
      t.loadMemVector(aligned ? 'ld128a' : 'ld128', d);
      if (i.vex) clearUpper(t, d);
    }
  };
const store =
  (aligned: boolean): Meaning =>
  (t, i) => {
    const s = t.xmm(i.reg);
    if (i.mod === 3) moveVector(t, t.xmm(i.rm), s);
    else if (i.vex && i.l === 1) t.storeMemVector(aligned ? 'st256a' : 'st256', s);
    else t.storeMemVector(aligned ? 'st128a' : 'st128', s);
  };

/** Legacy and VEX rows of a move; `operands` with x for the size. */
function whole(
  mnemonic: string,
  prefix: Prefix,
  opcode: string,
  operands: string,
  sse: string,
  meaning: Meaning,
): Row[] {
  const text = (x: string): string => operands.replaceAll('x', x);
  return [
    [`${prefix} ${opcode} /r`, `${mnemonic} ${text('dq')}`, sse, meaning],
    [vexEncoding('128', prefix, opcode), `V${mnemonic} ${text('dq')}`, 'avx', meaning],
    [vexEncoding('256', prefix, opcode), `V${mnemonic} ${text('qq')}`, 'avx', meaning],
  ];
}

// ---------------------------------------------------------------- scalars

/** From memory: the rest of the register becomes zero. */
const loadScalar =
  (bits: number): Meaning =>
  (t, i) => {
    const d = t.xmm(i.reg);
    t.loadMem(bits, d);
    zeroAbove(t, i, d);
  };
/** Zero above the low half. */
function zeroAbove(t: Translator, i: Insn, d: Slot): void {
  t.b.movi(d + 1, 0);
  if (i.vex) clearUpper(t, d);
}
/** The low half of d from `low`, the upper half from `high` (slots; not each the other half of d). */
function pair(t: Translator, i: Insn, d: Slot, low: Slot, high: Slot): void {
  if (high === d) {
    t.b.mov(d + 1, high);
    t.b.mov(d, low);
  } else {
    t.b.mov(d, low);
    t.b.mov(d + 1, high);
  }
  if (i.vex) clearUpper(t, d);
}
const storeScalar =
  (bits: number): Meaning =>
  (t, i) =>
    t.storeMem(bits, t.xmm(i.reg));

/** MOVSS and MOVSD between registers: the low element of rm (or reg), the rest of H. */
const mergeScalar =
  (bits: number, toRm: boolean): Meaning =>
  (t, i) => {
    const d = t.xmm(toRm ? i.rm : i.reg);
    const b = t.xmm(toRm ? i.reg : i.rm);
    const a = i.vex ? t.xmm(i.vvvv) : d;
    if (bits === 64 && a === d) t.b.mov(d, b);
    else if (bits === 64) {
      const high = t.b.mov(t.b.temp(), a + 1);
      t.b.mov(d, b);
      t.b.mov(d + 1, high);
    } else vcall(t, MOVSS, d, a, b);
    if (i.vex) clearUpper(t, d);
  };

function scalar(mnemonic: string, prefix: Prefix, size: string, bits: number, sse: string): Row[] {
  const vex = (opcode: string): string => vexEncoding('LIG', prefix, opcode);
  return [
    [`${prefix} 0F 10 /r`, `${mnemonic} Vdq,M${size}`, sse, loadScalar(bits)],
    [`${prefix} 0F 11 /r`, `${mnemonic} M${size},Vdq`, sse, storeScalar(bits)],
    [`${prefix} 0F 10 /r`, `${mnemonic} Vdq,U${size}`, sse, mergeScalar(bits, false)],
    [`${prefix} 0F 11 /r`, `${mnemonic} U${size},Vdq`, sse, mergeScalar(bits, true)],
    [vex('0F 10'), `V${mnemonic} Vdq,M${size}`, 'avx', loadScalar(bits)],
    [vex('0F 11'), `V${mnemonic} M${size},Vdq`, 'avx', storeScalar(bits)],
    [vex('0F 10'), `V${mnemonic} Vdq,Hdq,U${size}`, 'avx', mergeScalar(bits, false)],
    [vex('0F 11'), `V${mnemonic} U${size},Hdq,Vdq`, 'avx', mergeScalar(bits, true)],
  ];
}

// ---------------------------------------------------------------- halves

/** MOVLPS, MOVLPD, MOVHPS, MOVHPD from memory: one half from there, the other from H. */
const loadHalf =
  (high: boolean): Meaning =>
  (t, i) => {
    const d = t.xmm(i.reg);
    if (!i.vex) {
      t.loadMem(64, high ? d + 1 : d);
      return;
    }
    const v = t.loadMem(64);
    const a = t.xmm(i.vvvv);
    if (high) pair(t, i, d, a, v);
    else pair(t, i, d, v, a + 1);
  };
const storeHalf =
  (high: boolean): Meaning =>
  (t, i) =>
    t.storeMem(64, t.xmm(i.reg) + (high ? 1 : 0));

/** MOVHLPS: the low half from the upper half of rm. MOVLHPS: the upper half from the low half of rm. */
const crossHalf =
  (toLow: boolean): Meaning =>
  (t, i) => {
    const d = t.xmm(i.reg);
    const b = t.xmm(i.rm);
    const a = i.vex ? t.xmm(i.vvvv) : d;
    const half = t.b.mov(t.b.temp(), toLow ? b + 1 : b);
    if (toLow) pair(t, i, d, half, a + 1);
    else pair(t, i, d, a, half);
  };

function halves(high: boolean): Row[] {
  const letter = high ? 'H' : 'L';
  const opcode = high ? 0x16 : 0x12;
  const loads = `0F ${opcode.toString(16)}`;
  const stores = `0F ${(opcode + 1).toString(16)}`;
  const cross = high ? 'MOVLHPS' : 'MOVHLPS';
  return [
    ...(['NP', '66'] as const).flatMap((prefix): Row[] => {
      const name = `MOV${letter}P${prefix === 'NP' ? 'S' : 'D'}`;
      const feature = prefix === 'NP' ? 'sse' : 'sse2';
      return [
        [`${prefix} ${loads} /r`, `${name} Vdq,Mq`, feature, loadHalf(high)],
        [`${prefix} ${stores} /r`, `${name} Mq,Vdq`, feature, storeHalf(high)],
        [vexEncoding('128', prefix, loads), `V${name} Vdq,Hdq,Mq`, 'avx', loadHalf(high)],
        [vexEncoding('128', prefix, stores), `V${name} Mq,Vdq`, 'avx', storeHalf(high)],
      ];
    }),
    [`NP ${loads} /r`, `${cross} Vdq,Uq`, 'sse', crossHalf(!high)],
    [vexEncoding('128', 'NP', loads), `V${cross} Vdq,Hdq,Uq`, 'avx', crossHalf(!high)],
  ];
}

// ---------------------------------------------------------------- general registers

/** MOVD, MOVQ from a general register or memory. */
const fromGeneral =
  (bits: 32 | 64): Meaning =>
  (t, i) => {
    const d = t.xmm(i.reg);
    if (i.mod !== 3) t.loadMem(bits, d);
    else if (bits === 64) t.b.mov(d, t.gpr(i.rm));
    else t.zext(t.gpr(i.rm), 32, d);
    zeroAbove(t, i, d);
  };
/** MOVD, MOVQ to a general register or memory. */
const toGeneral =
  (bits: 32 | 64): Meaning =>
  (t, i) => {
    const s = t.xmm(i.reg);
    if (i.mod !== 3) t.storeMem(bits, s);
    else t.setReg(i.rm, bits, s);
  };
const mmxFromGeneral =
  (bits: 32 | 64): Meaning =>
  (t, i) => {
    mmxBegin(t);
    const d = t.mm(i.reg);
    if (i.mod !== 3) t.loadMem(bits, d);
    else if (bits === 64) t.b.mov(d, t.gpr(i.rm));
    else t.zext(t.gpr(i.rm), 32, d);
    mmxWritten(t, d);
  };
/** Where the store faults, Intel's processors have set TOP to 0 by then, AMD's have done nothing. */
function storeMmx(t: Translator, bits: 32 | 64, s: Slot): void {
  if (t.isIntel()) t.b.envStore(32, TOP, t.b.movi(t.b.temp(), 0));
  t.storeMem(bits, s);
  mmxUsed(t);
}
const mmxToGeneral =
  (bits: 32 | 64): Meaning =>
  (t, i) => {
    mmxBegin(t);
    const s = t.mm(i.reg);
    if (i.mod !== 3) storeMmx(t, bits, s);
    else {
      t.setReg(i.rm, bits, s);
      mmxUsed(t);
    }
  };

// ---------------------------------------------------------------- quadwords

const moveQ = (t: Translator, i: Insn, d: Slot, s: Slot): void => {
  t.b.mov(d, s);
  zeroAbove(t, i, d);
};
const loadQ: Meaning = (t, i) => {
  if (i.mod === 3) moveQ(t, i, t.xmm(i.reg), t.xmm(i.rm));
  else loadScalar(64)(t, i);
};
const storeQ: Meaning = (t, i) => {
  if (i.mod === 3) moveQ(t, i, t.xmm(i.rm), t.xmm(i.reg));
  else t.storeMem(64, t.xmm(i.reg));
};
const mmxLoadQ: Meaning = (t, i) => {
  mmxBegin(t);
  const d = t.mm(i.reg);
  if (i.mod === 3) t.b.mov(d, t.mm(i.rm));
  else t.loadMem(64, d);
  mmxWritten(t, d);
};
const mmxStoreQ: Meaning = (t, i) => {
  mmxBegin(t);
  if (i.mod === 3) {
    t.b.mov(t.mm(i.rm), t.mm(i.reg));
    mmxWritten(t, t.mm(i.rm));
  } else storeMmx(t, 64, t.mm(i.reg));
};

const zeroUpper =
  (all: boolean): Meaning =>
  (t) => {
    for (let n = 0; n < (t.long ? 16 : 8); n++) {
      const r = t.xmm(n);
      if (all) vcall(t, VZERO, r, r, r);
      clearUpper(t, r);
    }
  };

/** MOVMSK and the like: a helper leaves the mask in scratch, zero-extended. */
const maskTo =
  (name: string): Meaning =>
  (t, i) => {
    const v = t.vtemp(0);
    const b = t.xmm(i.rm);
    vcall(t, helper(name), v, b, b, i.l);
    t.b.mov(t.gpr(i.reg), v);
  };
function mask(mnemonic: string, prefix: Prefix, opcode: string, sse: string, avx256: string): Row[] {
  const meaning = maskTo(mnemonic.toLowerCase());
  return [
    [`${prefix} ${opcode} /r`, `${mnemonic} Gd,Udq`, sse, meaning],
    [vexEncoding('128', prefix, opcode), `V${mnemonic} Gd,Udq`, 'avx', meaning],
    [vexEncoding('256', prefix, opcode), `V${mnemonic} Gd,Uqq`, avx256, meaning],
  ];
}

export const VECTOR_MOVE_ROWS: readonly Row[] = [
  ...whole('MOVUPS', 'NP', '0F 10', 'Vx,Wx', 'sse', load(false)),
  ...whole('MOVUPS', 'NP', '0F 11', 'Wx,Vx', 'sse', store(false)),
  ...whole('MOVUPD', '66', '0F 10', 'Vx,Wx', 'sse2', load(false)),
  ...whole('MOVUPD', '66', '0F 11', 'Wx,Vx', 'sse2', store(false)),
  ...whole('MOVAPS', 'NP', '0F 28', 'Vx,Wx', 'sse', load(true)),
  ...whole('MOVAPS', 'NP', '0F 29', 'Wx,Vx', 'sse', store(true)),
  ...whole('MOVAPD', '66', '0F 28', 'Vx,Wx', 'sse2', load(true)),
  ...whole('MOVAPD', '66', '0F 29', 'Wx,Vx', 'sse2', store(true)),
  ...whole('MOVDQA', '66', '0F 6F', 'Vx,Wx', 'sse2', load(true)),
  ...whole('MOVDQA', '66', '0F 7F', 'Wx,Vx', 'sse2', store(true)),
  ...whole('MOVDQU', 'F3', '0F 6F', 'Vx,Wx', 'sse2', load(false)),
  ...whole('MOVDQU', 'F3', '0F 7F', 'Wx,Vx', 'sse2', store(false)),
  ...whole('LDDQU', 'F2', '0F F0', 'Vx,Mx', 'pni', load(false)),
  ...whole('MOVNTPS', 'NP', '0F 2B', 'Mx,Vx', 'sse', store(true)),
  ...whole('MOVNTPD', '66', '0F 2B', 'Mx,Vx', 'sse2', store(true)),
  ...whole('MOVNTDQ', '66', '0F E7', 'Mx,Vx', 'sse2', store(true)),
  ['66 0F 38 2A /r', 'MOVNTDQA Vdq,Mdq', 'sse4.1', load(true)],
  [vexEncoding('128', '66', '0F 38 2A'), 'VMOVNTDQA Vdq,Mdq', 'avx', load(true)],
  [vexEncoding('256', '66', '0F 38 2A'), 'VMOVNTDQA Vqq,Mqq', 'avx2', load(true)],
  ['F3 0F 2B /r', 'MOVNTSS Md,Vdq', 'sse4a', storeScalar(32)],
  ['F2 0F 2B /r', 'MOVNTSD Mq,Vdq', 'sse4a', storeScalar(64)],
  ...scalar('MOVSS', 'F3', 'd', 32, 'sse'),
  ...scalar('MOVSD', 'F2', 'q', 64, 'sse2'),
  ...halves(false),
  ...halves(true),
  ['66 W0 0F 6E /r', 'MOVD Vdq,Ed', 'sse2', fromGeneral(32)],
  ['66 REX.W 0F 6E /r', 'MOVQ Vdq,Eq', 'sse2', fromGeneral(64)],
  ['66 W0 0F 7E /r', 'MOVD Ed,Vdq', 'sse2', toGeneral(32)],
  ['66 REX.W 0F 7E /r', 'MOVQ Eq,Vdq', 'sse2', toGeneral(64)],
  [vexEncoding('128', '66', '0F 6E', 'W0'), 'VMOVD Vdq,Ed', 'avx', fromGeneral(32)],
  [vexEncoding('128', '66', '0F 6E', 'W1'), 'VMOVQ Vdq,Eq', 'avx', fromGeneral(64)],
  [vexEncoding('128', '66', '0F 7E', 'W0'), 'VMOVD Ed,Vdq', 'avx', toGeneral(32)],
  [vexEncoding('128', '66', '0F 7E', 'W1'), 'VMOVQ Eq,Vdq', 'avx', toGeneral(64)],
  ['F3 0F 7E /r', 'MOVQ Vdq,Wq', 'sse2', loadQ],
  ['66 0F D6 /r', 'MOVQ Wq,Vdq', 'sse2', storeQ],
  [vexEncoding('128', 'F3', '0F 7E'), 'VMOVQ Vdq,Wq', 'avx', loadQ],
  [vexEncoding('128', '66', '0F D6'), 'VMOVQ Wq,Vdq', 'avx', storeQ],
  ...mask('MOVMSKPS', 'NP', '0F 50', 'sse', 'avx'),
  ...mask('MOVMSKPD', '66', '0F 50', 'sse2', 'avx'),
  ...mask('PMOVMSKB', '66', '0F D7', 'sse2', 'avx2'),
  [vexEncoding('128', 'NP', '0F 77', 'WIG', '').trim(), 'VZEROUPPER', 'avx', zeroUpper(false)],
  [vexEncoding('256', 'NP', '0F 77', 'WIG', '').trim(), 'VZEROALL', 'avx', zeroUpper(true)],
  // MMX
  ['NP W0 0F 6E /r', 'MOVD Pq,Ed', 'mmx', mmxFromGeneral(32)],
  ['NP REX.W 0F 6E /r', 'MOVQ Pq,Eq', 'mmx', mmxFromGeneral(64)],
  ['NP W0 0F 7E /r', 'MOVD Ed,Pq', 'mmx', mmxToGeneral(32)],
  ['NP REX.W 0F 7E /r', 'MOVQ Eq,Pq', 'mmx', mmxToGeneral(64)],
  ['NP 0F 6F /r', 'MOVQ Pq,Qq', 'mmx', mmxLoadQ],
  ['NP 0F 7F /r', 'MOVQ Qq,Pq', 'mmx', mmxStoreQ],
  ['NP 0F E7 /r', 'MOVNTQ Mq,Pq', 'sse', mmxStoreQ],
  [
    'NP 0F D7 /r',
    'PMOVMSKB Gd,Nq',
    'sse',
    (t, i) => {
      mmxBegin(t);
      const v = t.vtemp(0);
      vcall(t, helper('pmovmskb64'), v, v, t.mm(i.rm));
      t.b.mov(t.gpr(i.reg), v);
      mmxUsed(t);
    },
  ],
  [
    'F3 0F D6 /r',
    'MOVQ2DQ Vdq,Nq',
    'sse2',
    (t, i) => {
      mmxBegin(t);
      moveQ(t, i, t.xmm(i.reg), t.mm(i.rm));
      mmxUsed(t);
    },
  ],
  [
    'F2 0F D6 /r',
    'MOVDQ2Q Pq,Uq',
    'sse2',
    (t, i) => {
      mmxBegin(t);
      t.b.mov(t.mm(i.reg), t.xmm(i.rm));
      mmxWritten(t, t.mm(i.reg));
    },
  ],
  [
    'NP 0F 77',
    'EMMS',
    'mmx',
    (t) => {
      mmxBegin(t);
      const v = t.vtemp(0);
      vcall(t, helper('emms'), v, v, v);
    },
  ],
];
