/** Masked moves and gathers. Segment limits are not checked for single elements. */
import type { Insn } from '../decode.js';
import { Seg } from '../decode.js';
import { helper } from '../helpers/index.js';
import { RDI, type Translator, Vector } from '../translator.js';
import type { Meaning, Row } from './row.js';
import { clearUpper, fullSize, mmxBegin, mmxUsed, vcall, vexEncoding } from './vector.js';

const MASKED_LOAD = helper('maskedLoad');
const MASKED_STORE = helper('maskedStore');
const GATHER = helper('gather');

const maskedLoad =
  (elementBytes: number): Meaning =>
  (t, i) => {
    const cell = t.b.mov(t.vtemp(1), t.address());
    const bytes = fullSize(i) / 8;
    vcall(t, MASKED_LOAD, t.xmm(i.reg), cell, t.xmm(i.vvvv), bytes | (elementBytes << 8));
    if (i.l === 0) clearUpper(t, t.xmm(i.reg));
  };
const maskedStore =
  (elementBytes: number): Meaning =>
  (t, i) => {
    const cell = t.b.mov(t.vtemp(1), t.address(1, true));
    const bytes = fullSize(i) / 8;
    vcall(t, MASKED_STORE, t.xmm(i.reg), cell, t.xmm(i.vvvv), bytes | (elementBytes << 8));
  };
function masked(mnemonic: string, opcode: string, opcodeStore: string, bytes: number, feature: string): Row[] {
  const w = opcode === '0F 38 8C' ? (bytes === 8 ? 'W1' : 'W0') : 'W0';
  return (
    [
      ['128', 'dq'],
      ['256', 'qq'],
    ] as const
  ).flatMap(([l, x]): Row[] => [
    [vexEncoding(l, '66', opcode, w), `${mnemonic} V${x},H${x},M${x}`, feature, maskedLoad(bytes)],
    [vexEncoding(l, '66', opcodeStore, w), `${mnemonic} M${x},H${x},V${x}`, feature, maskedStore(bytes)],
  ]);
}

/** MASKMOVDQU, MASKMOVQ: bytes of reg whose mask in rm is set, to rDI. */
function storeBytes(t: Translator, i: Insn, mmx: boolean): void {
  const bytes = mmx ? 8 : 16;
  const ea = i.addrSize === 64 ? RDI : t.zext(RDI, i.addrSize);
  const to = t.linear(i.seg >= 0 ? i.seg : Seg.ds, ea, bytes, true);
  t.alignCheck(to, 0, bytes, 8);
  const cell = t.b.mov(t.vtemp(1), to);
  const register = (n: number): number => (mmx ? t.mm(n) : t.xmm(n));
  vcall(t, MASKED_STORE, register(i.reg), cell, register(i.rm), bytes | (1 << 8));
}
const maskMovDqu: Meaning = (t, i) => storeBytes(t, i, false);

/** Gathers of elements of `size` bytes by indexes of `indexSize` bytes. */
const gather =
  (size: number, indexSize: number): Meaning =>
  (t, i) => {
    // Register number 4 is an index here, not "none".
    const index = i.index < 0 ? 4 : i.index;
    const sib = (i.modrm & 7) === 4 && i.addrSize !== 16;
    if (!sib || i.reg === index || i.reg === i.vvvv || index === i.vvvv) {
      t.raise(Vector.ud);
      return;
    }
    const cell = t.vtemp(1);
    if (i.base < 0) t.b.movi(cell, i.disp);
    else t.b.dai('addi', cell, t.gpr(i.base), i.disp);
    const seg = t.segment();
    if (t.long && seg < Seg.fs) t.b.movi(cell + 1, 0);
    else t.b.mov(cell + 1, t.segBase(seg));
    const count = fullSize(i) / 8 / Math.max(size, indexSize);
    const imm =
      count |
      (size === 8 ? 16 : 0) |
      (indexSize === 8 ? 32 : 0) |
      (i.scale << 6) |
      (index << 8) |
      (i.addrSize === 32 ? 0x1000 : 0) |
      (t.long ? 0 : 0x2000);
    vcall(t, GATHER, t.xmm(i.reg), cell, t.xmm(i.vvvv), imm);
  };
function gathers(opcode: string, indexSize: number, names: readonly [string, string]): Row[] {
  return [4, 8].flatMap((size, k): Row[] =>
    (['128', '256'] as const).map((l) => {
      const bytes = (l === '128' ? 16 : 32) * Math.min(1, size / indexSize);
      const x = bytes === 32 ? 'qq' : 'dq';
      return [
        vexEncoding(l, '66', opcode, size === 8 ? 'W1' : 'W0'),
        `${names[k]} V${x},M${size === 8 ? 'q' : 'd'},H${x}`,
        'avx2',
        gather(size, indexSize),
      ];
    }),
  );
}

export const VECTOR_MEMORY_ROWS: readonly Row[] = [
  ...masked('VMASKMOVPS', '0F 38 2C', '0F 38 2E', 4, 'avx'),
  ...masked('VMASKMOVPD', '0F 38 2D', '0F 38 2F', 8, 'avx'),
  ...masked('VPMASKMOVD', '0F 38 8C', '0F 38 8E', 4, 'avx2'),
  ...masked('VPMASKMOVQ', '0F 38 8C', '0F 38 8E', 8, 'avx2'),
  ['66 0F F7 /r', 'MASKMOVDQU Vdq,Udq', 'sse2', maskMovDqu],
  [vexEncoding('128', '66', '0F F7'), 'VMASKMOVDQU Vdq,Udq', 'avx', maskMovDqu],
  [
    'NP 0F F7 /r',
    'MASKMOVQ Pq,Nq',
    'sse',
    (t, i) => {
      mmxBegin(t);
      storeBytes(t, i, true);
      mmxUsed(t);
    },
  ],
  ...gathers('0F 38 90', 4, ['VPGATHERDD', 'VPGATHERDQ']),
  ...gathers('0F 38 91', 8, ['VPGATHERQD', 'VPGATHERQQ']),
  ...gathers('0F 38 92', 4, ['VGATHERDPS', 'VGATHERDPD']),
  ...gathers('0F 38 93', 8, ['VGATHERQPS', 'VGATHERQPD']),
];
