/** Shuffles, blends, element inserts and extracts, widening moves, lane permutations, broadcasts. */
import type { Insn } from '../decode.js';
import { type Helper, helper } from '../helpers/index.js';
import type { Translator } from '../translator.js';
import type { Meaning, Row } from './row.js';
import {
  clearUpper,
  fullSize,
  group,
  LANE,
  lanes,
  mmxBegin,
  mmxOperandQ,
  mmxUsed,
  mmxWritten,
  operandH,
  operandW,
  registerOffset,
  vcall,
  vexEncoding,
} from './vector.js';

const MOVE = helper('movdqa');

// ---------------------------------------------------------------- two halves into one double

/** VPERMILPD imm: SHUFPD with the same source twice. */
const VPERMILPD_ROWS: Row[] = (['128', '256'] as const).map((l) => {
  const h = helper('shufpd');
  const x = l === '128' ? 'dq' : 'qq';
  return [
    vexEncoding(l, '66', '0F 3A 05', 'W0'),
    `VPERMILPD V${x},W${x},Ib`,
    'avx',
    (t, i) => {
      const b = operandW(t, i, fullSize(i));
      lanes(t, h, t.xmm(i.reg), b, b, i.imm & 3, (i.imm >> 2) & 3);
    },
  ];
});

// ---------------------------------------------------------------- blends by a register

function variableBlend(mnemonic: string, opcode: string, vexOpcode: string): Row[] {
  const h = helper(mnemonic.toLowerCase());
  const vex: Meaning = (t, i) => {
    const b = operandW(t, i, fullSize(i));
    const mask = registerOffset((i.imm >> 4) & (t.long ? 15 : 7));
    lanes(t, h, t.xmm(i.reg), operandH(t, i), b, mask, mask + 16);
  };
  return [
    [
      `66 ${opcode} /r`,
      `${mnemonic} Vdq,Wdq,XMM0`,
      'sse4.1',
      (t, i) => {
        const b = operandW(t, i, 128);
        vcall(t, h, t.xmm(i.reg), t.xmm(i.reg), b, registerOffset(0));
      },
    ],
    [vexEncoding('128', '66', vexOpcode, 'W0'), `V${mnemonic} Vdq,Hdq,Wdq,Ldq`, 'avx', vex],
    [
      vexEncoding('256', '66', vexOpcode, 'W0'),
      `V${mnemonic} Vqq,Hqq,Wqq,Lqq`,
      mnemonic === 'PBLENDVB' ? 'avx2' : 'avx',
      vex,
    ],
  ];
}

// ---------------------------------------------------------------- one element

/** Inserts of an element of `bits` from a general register or memory. `prefix` with its escape words. */
function insert(
  mnemonic: string,
  opcode: string,
  register: string,
  memory: string,
  bits: number,
  feature: string,
  w?: 'W0' | 'W1',
): Row[] {
  const h = helper(mnemonic.toLowerCase());
  const meaning: Meaning = (t, i) => {
    const v = t.vtemp(0);
    if (i.mod === 3) t.b.mov(v, t.gpr(i.rm));
    else t.loadMem(bits, v);
    vcall(t, h, t.xmm(i.reg), operandH(t, i), v, i.imm & 0xff);
    if (i.vex) clearUpper(t, t.xmm(i.reg));
  };
  const legacyW = w === 'W1' ? 'REX.W ' : w === 'W0' ? 'W0 ' : '';
  return [register, memory].flatMap((operand): Row[] => [
    [`66 ${legacyW}${opcode} /r`, `${mnemonic} Vdq,${operand},Ib`, feature, meaning],
    [vexEncoding('128', '66', opcode, w), `V${mnemonic} Vdq,Hdq,${operand},Ib`, 'avx', meaning],
  ]);
}

/** Extracts of an element of `bits` to a general register (zero-extended) or memory. */
function extract(
  mnemonic: string,
  opcode: string,
  register: string,
  memory: string,
  bits: number,
  w?: 'W0' | 'W1',
): Row[] {
  const h = helper(`pextr${{ 8: 'b', 16: 'w', 32: 'd', 64: 'd' }[bits]}`);
  const meaning: Meaning = (t, i) => {
    const v = t.vtemp(0);
    let element = v;
    if (bits === 64) element = t.xmm(i.reg) + (i.imm & 1);
    else vcall(t, h, v, v, t.xmm(i.reg), i.imm & 0xff);
    if (i.mod === 3) t.b.mov(t.gpr(i.rm), element);
    else t.storeMem(bits, element);
  };
  const legacyW = w === 'W1' ? 'REX.W ' : w === 'W0' ? 'W0 ' : '';
  return [register, memory].flatMap((operand): Row[] => [
    [`66 ${legacyW}${opcode} /r`, `${mnemonic} ${operand},Vdq,Ib`, 'sse4.1', meaning],
    [vexEncoding('128', '66', opcode, w), `V${mnemonic} ${operand},Vdq,Ib`, 'avx', meaning],
  ]);
}

const PINSRW = helper('pinsrw');
const PEXTRW = helper('pextrw');
const insertMmx: Meaning = (t, i) => {
  mmxBegin(t);
  const v = t.vtemp(0);
  if (i.mod === 3) t.b.mov(v, t.gpr(i.rm));
  else t.loadMem(16, v);
  const d = t.mm(i.reg);
  vcall(t, PINSRW, d, d, v, i.imm & 3);
  mmxWritten(t, d);
};
const extractWord: Meaning = (t, i) => {
  const v = t.vtemp(0);
  vcall(t, PEXTRW, v, v, t.xmm(i.rm), i.imm & 7);
  t.b.mov(t.gpr(i.reg), v);
};

const INSERTPS = helper('insertps');
/** From memory the element is the only one. */
const insertPs: Meaning = (t, i) => {
  const imm = i.imm & (i.mod === 3 ? 0xff : 0x3f);
  const b = operandW(t, i, 32);
  vcall(t, INSERTPS, t.xmm(i.reg), operandH(t, i), b, imm);
  if (i.vex) clearUpper(t, t.xmm(i.reg));
};

// ---------------------------------------------------------------- widening

/** PMOVSX, PMOVZX: `bits` of source for each 128 bits of result. */
function widening(suffix: string, opcodeByte: number, bits: number): Row[] {
  return (['s', 'z'] as const).flatMap((kind): Row[] => {
    const h = helper(`pmov${kind}x${suffix}`);
    const name = `PMOV${kind.toUpperCase()}X${suffix.toUpperCase()}`;
    const opcode = `0F 38 ${(opcodeByte + (kind === 'z' ? 0x10 : 0)).toString(16).toUpperCase().padStart(2, '0')}`;
    const size = (n: number): string => ({ 16: 'w', 32: 'd', 64: 'q', 128: 'dq' })[n] as string;
    const meaning: Meaning = (t, i) => {
      const b = operandW(t, i, i.l === 1 ? bits * 2 : bits);
      lanes(t, h, t.xmm(i.reg), b, b, 0, bits / 8, 0);
    };
    return [
      [`66 ${opcode} /r`, `${name} Vdq,W${size(bits)}`, 'sse4.1', meaning],
      [vexEncoding('128', '66', opcode), `V${name} Vdq,W${size(bits)}`, 'avx', meaning],
      [vexEncoding('256', '66', opcode), `V${name} Vqq,W${size(bits * 2)}`, 'avx2', meaning],
    ];
  });
}

// ---------------------------------------------------------------- across lanes

/** Broadcasts of an element of `bits`. AVX has only the forms from memory, AVX2 those from registers too. */
function broadcast(mnemonic: string, opcode: string, operand: string, h: Helper, bits: number, feature: string): Row[] {
  const meaning: Meaning = (t, i) => {
    const b = operandW(t, i, bits);
    lanes(t, h, t.xmm(i.reg), b, b, 0, 0, 0);
  };
  const from = (o: string, f: string): Row[] => [
    [vexEncoding('128', '66', opcode, 'W0'), `${mnemonic} Vdq,${o}`, f, meaning],
    [vexEncoding('256', '66', opcode, 'W0'), `${mnemonic} Vqq,${o}`, f, meaning],
  ];
  if (feature === 'avx2') return from(`W${operand}`, feature);
  return [...from(`M${operand}`, feature), ...from('Udq', 'avx2')].filter(
    // VBROADCASTSD has no 128-bit form
    ([encoding]) => !(bits === 64 && encoding.startsWith('VEX.128')),
  );
}

const broadcast128: Meaning = (t, i) => {
  const b = t.loadMemVector('ld128', t.vtemp(0));
  lanes(t, MOVE, t.xmm(i.reg), b, b, 0, 0, 0);
};

const insert128: Meaning = (t, i) => {
  const b = operandW(t, i, 128);
  const d = t.xmm(i.reg);
  const a = t.xmm(i.vvvv);
  const upper = (i.imm & 1) === 1;
  // The half that comes from b first: b may be the destination.
  vcall(t, MOVE, upper ? d + LANE : t.vtemp(1), b, b);
  vcall(t, MOVE, upper ? d : d + LANE, upper ? a : a + LANE, upper ? a : a + LANE);
  if (!upper) vcall(t, MOVE, d, d, t.vtemp(1));
};
const extract128: Meaning = (t, i) => {
  const part = t.xmm(i.reg) + (i.imm & 1) * LANE;
  if (i.mod !== 3) t.storeMemVector('st128', part);
  else {
    vcall(t, MOVE, t.xmm(i.rm), part, part);
    clearUpper(t, t.xmm(i.rm));
  }
};

/** An operation on 256 bits as a whole. */
function whole(name: string): Meaning {
  const h = helper(name);
  return (t: Translator, i: Insn) => {
    const b = operandW(t, i, 256);
    vcall(t, h, t.xmm(i.reg), t.xmm(i.vvvv), b, i.imm & 0xff);
  };
}

const PSHUFW = helper('pshuflw');

export const VECTOR_SHUFFLE_ROWS: readonly Row[] = [
  ...group({ prefix: '66', sse: 'sse2', avx256: 'avx2', unary: true, imm: 0 }, 'PSHUFD 0F 70'),
  ...group({ prefix: 'F2', sse: 'sse2', avx256: 'avx2', unary: true, imm: 0 }, 'PSHUFLW 0F 70'),
  ...group({ prefix: 'F3', sse: 'sse2', avx256: 'avx2', unary: true, imm: 0 }, 'PSHUFHW 0F 70'),
  [
    'NP 0F 70 /r',
    'PSHUFW Pq,Qq,Ib',
    'sse',
    (t, i) => {
      mmxBegin(t);
      const b = mmxOperandQ(t, i);
      vcall(t, PSHUFW, t.mm(i.reg), b, b, i.imm & 0xff);
      mmxWritten(t, t.mm(i.reg));
    },
  ],
  ...group({ prefix: 'NP', sse: 'sse', avx256: 'avx', imm: 0 }, 'SHUFPS 0F C6'),
  ...group({ prefix: '66', sse: 'sse2', avx256: 'avx', imm: 2 }, 'SHUFPD 0F C6'),
  ...group({ prefix: 'NP', sse: 'sse', avx256: 'avx' }, 'UNPCKLPS 0F 14 punpckldq; UNPCKHPS 0F 15 punpckhdq'),
  ...group({ prefix: '66', sse: 'sse2', avx256: 'avx' }, 'UNPCKLPD 0F 14 punpcklqdq; UNPCKHPD 0F 15 punpckhqdq'),
  ...group({ prefix: '66', mmx: 'ssse3', sse: 'ssse3', avx256: 'avx2', imm: 0 }, 'PALIGNR 0F 3A 0F mmx=palignr64'),
  ...group({ prefix: '66', avx128: 'avx', avx256: 'avx', w: 'W0', unary: true, imm: 0 }, 'VPERMILPS 0F 3A 04 pshufd'),
  ...VPERMILPD_ROWS,
  ...group({ prefix: '66', avx128: 'avx', avx256: 'avx', w: 'W0' }, 'VPERMILPS 0F 38 0C; VPERMILPD 0F 38 0D'),
  // Blends
  ...group({ prefix: '66', sse: 'sse4.1', avx256: 'avx2', imm: 0 }, 'PBLENDW 0F 3A 0E'),
  ...group({ prefix: '66', sse: 'sse4.1', avx256: 'avx', imm: 4 }, 'BLENDPS 0F 3A 0C'),
  ...group({ prefix: '66', sse: 'sse4.1', avx256: 'avx', imm: 2 }, 'BLENDPD 0F 3A 0D'),
  ...group({ prefix: '66', avx128: 'avx2', avx256: 'avx2', w: 'W0', imm: 4 }, 'VPBLENDD 0F 3A 02 blendps'),
  ...variableBlend('PBLENDVB', '0F 38 10', '0F 3A 4C'),
  ...variableBlend('BLENDVPS', '0F 38 14', '0F 3A 4A'),
  ...variableBlend('BLENDVPD', '0F 38 15', '0F 3A 4B'),
  // Elements
  ...insert('PINSRB', '0F 3A 20', 'Rd', 'Mb', 8, 'sse4.1'),
  ...insert('PINSRW', '0F C4', 'Rd', 'Mw', 16, 'sse2'),
  ...insert('PINSRD', '0F 3A 22', 'Rd', 'Md', 32, 'sse4.1', 'W0'),
  ...insert('PINSRQ', '0F 3A 22', 'Rq', 'Mq', 64, 'sse4.1', 'W1'),
  ['NP 0F C4 /r', 'PINSRW Pq,Rd,Ib', 'sse', insertMmx],
  ['NP 0F C4 /r', 'PINSRW Pq,Mw,Ib', 'sse', insertMmx],
  ...extract('PEXTRB', '0F 3A 14', 'Rd', 'Mb', 8),
  ...extract('PEXTRW', '0F 3A 15', 'Rd', 'Mw', 16),
  ...extract('PEXTRD', '0F 3A 16', 'Rd', 'Md', 32, 'W0'),
  ...extract('PEXTRQ', '0F 3A 16', 'Rq', 'Mq', 64, 'W1'),
  ...extract('EXTRACTPS', '0F 3A 17', 'Rd', 'Md', 32),
  ['66 0F C5 /r', 'PEXTRW Gd,Udq,Ib', 'sse2', extractWord],
  [vexEncoding('128', '66', '0F C5'), 'VPEXTRW Gd,Udq,Ib', 'avx', extractWord],
  [
    'NP 0F C5 /r',
    'PEXTRW Gd,Nq,Ib',
    'sse',
    (t, i) => {
      mmxBegin(t);
      const v = t.vtemp(0);
      vcall(t, PEXTRW, v, v, t.mm(i.rm), i.imm & 3);
      t.b.mov(t.gpr(i.reg), v);
      mmxUsed(t);
    },
  ],
  ['66 0F 3A 21 /r', 'INSERTPS Vdq,Wd,Ib', 'sse4.1', insertPs],
  [vexEncoding('128', '66', '0F 3A 21'), 'VINSERTPS Vdq,Hdq,Wd,Ib', 'avx', insertPs],
  // Widening
  ...widening('bw', 0x20, 64),
  ...widening('bd', 0x21, 32),
  ...widening('bq', 0x22, 16),
  ...widening('wd', 0x23, 64),
  ...widening('wq', 0x24, 32),
  ...widening('dq', 0x25, 64),
  // Across lanes
  ...broadcast('VBROADCASTSS', '0F 38 18', 'd', helper('pbroadcastd'), 32, 'avx'),
  ...broadcast('VBROADCASTSD', '0F 38 19', 'q', helper('movddup'), 64, 'avx'),
  ...broadcast('VPBROADCASTB', '0F 38 78', 'b', helper('pbroadcastb'), 8, 'avx2'),
  ...broadcast('VPBROADCASTW', '0F 38 79', 'w', helper('pbroadcastw'), 16, 'avx2'),
  ...broadcast('VPBROADCASTD', '0F 38 58', 'd', helper('pbroadcastd'), 32, 'avx2'),
  ...broadcast('VPBROADCASTQ', '0F 38 59', 'q', helper('movddup'), 64, 'avx2'),
  [vexEncoding('256', '66', '0F 38 1A', 'W0'), 'VBROADCASTF128 Vqq,Mdq', 'avx', broadcast128],
  [vexEncoding('256', '66', '0F 38 5A', 'W0'), 'VBROADCASTI128 Vqq,Mdq', 'avx2', broadcast128],
  [vexEncoding('256', '66', '0F 3A 18', 'W0'), 'VINSERTF128 Vqq,Hqq,Wdq,Ib', 'avx', insert128],
  [vexEncoding('256', '66', '0F 3A 38', 'W0'), 'VINSERTI128 Vqq,Hqq,Wdq,Ib', 'avx2', insert128],
  [vexEncoding('256', '66', '0F 3A 19', 'W0'), 'VEXTRACTF128 Wdq,Vqq,Ib', 'avx', extract128],
  [vexEncoding('256', '66', '0F 3A 39', 'W0'), 'VEXTRACTI128 Wdq,Vqq,Ib', 'avx2', extract128],
  [vexEncoding('256', '66', '0F 3A 06', 'W0'), 'VPERM2F128 Vqq,Hqq,Wqq,Ib', 'avx', whole('vperm2x128')],
  [vexEncoding('256', '66', '0F 3A 46', 'W0'), 'VPERM2I128 Vqq,Hqq,Wqq,Ib', 'avx2', whole('vperm2x128')],
  [vexEncoding('256', '66', '0F 3A 00', 'W1'), 'VPERMQ Vqq,Wqq,Ib', 'avx2', whole('vpermq')],
  [vexEncoding('256', '66', '0F 3A 01', 'W1'), 'VPERMPD Vqq,Wqq,Ib', 'avx2', whole('vpermq')],
  [vexEncoding('256', '66', '0F 38 36', 'W0'), 'VPERMD Vqq,Hqq,Wqq', 'avx2', whole('vpermd')],
  [vexEncoding('256', '66', '0F 38 16', 'W0'), 'VPERMPS Vqq,Hqq,Wqq', 'avx2', whole('vpermd')],
  // Duplications
  ...group(
    { prefix: 'F3', sse: 'pni', avx256: 'avx', unary: true },
    `MOVSLDUP 0F 12
     MOVSHDUP 0F 16`,
  ),
  [
    'F2 0F 12 /r',
    'MOVDDUP Vdq,Wq',
    'pni',
    (t, i) => {
      const b = operandW(t, i, 64);
      vcall(t, helper('movddup'), t.xmm(i.reg), b, b);
    },
  ],
  [
    vexEncoding('128', 'F2', '0F 12'),
    'VMOVDDUP Vdq,Wq',
    'avx',
    (t, i) => {
      const b = operandW(t, i, 64);
      lanes(t, helper('movddup'), t.xmm(i.reg), b, b);
    },
  ],
  [
    vexEncoding('256', 'F2', '0F 12'),
    'VMOVDDUP Vqq,Wqq',
    'avx',
    (t, i) => {
      const b = operandW(t, i, 256);
      lanes(t, helper('movddup'), t.xmm(i.reg), b, b);
    },
  ],
];
