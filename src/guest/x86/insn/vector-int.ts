/** Integer vector arithmetic, comparison, logic, packing and shifts: MMX, SSE2 to SSE4.2, AVX, AVX2. */
import { helper } from '../helpers/index.js';
import type { Meaning, Row } from './row.js';
import { group, lanes, mmxBegin, mmxWritten, vcall, vexEncoding } from './vector.js';

const SSE2 = { prefix: '66', sse: 'sse2', avx256: 'avx2' } as const;
const MMX = { ...SSE2, mmx: 'mmx' } as const;
const SSE41 = { ...SSE2, sse: 'sse4.1' } as const;

/** Shifts by an immediate: opcode, ModRM reg field, mnemonic; the last two have no MMX form. */
const SHIFTS_BY_IMMEDIATE: readonly (readonly [string, number, string])[] = [
  ['0F 71', 2, 'PSRLW'],
  ['0F 71', 4, 'PSRAW'],
  ['0F 71', 6, 'PSLLW'],
  ['0F 72', 2, 'PSRLD'],
  ['0F 72', 4, 'PSRAD'],
  ['0F 72', 6, 'PSLLD'],
  ['0F 73', 2, 'PSRLQ'],
  ['0F 73', 6, 'PSLLQ'],
  ['0F 73', 3, 'PSRLDQ'],
  ['0F 73', 7, 'PSLLDQ'],
];

function shiftByImmediate([opcode, reg, mnemonic]: (typeof SHIFTS_BY_IMMEDIATE)[number]): Row[] {
  const h = helper(`${mnemonic.toLowerCase()}i`);
  const rows: Row[] = [
    [
      `66 ${opcode} /${reg}`,
      `${mnemonic} Udq,Ib`,
      'sse2',
      (t, i) => vcall(t, h, t.xmm(i.rm), 0, t.xmm(i.rm), i.imm & 0xff),
    ],
  ];
  for (const [l, x, feature] of [
    ['128', 'dq', 'avx'],
    ['256', 'qq', 'avx2'],
  ] as const) {
    rows.push([
      vexEncoding(l, '66', opcode, 'WIG', `/${reg}`),
      `V${mnemonic} H${x},U${x},Ib`,
      feature,
      (t, i) => lanes(t, h, t.xmm(i.vvvv), 0, t.xmm(i.rm), i.imm & 0xff),
    ]);
  }
  if (!mnemonic.endsWith('DQ')) {
    rows.push([
      `NP ${opcode} /${reg}`,
      `${mnemonic} Nq,Ib`,
      'mmx',
      (t, i) => {
        mmxBegin(t);
        vcall(t, h, t.mm(i.rm), 0, t.mm(i.rm), i.imm & 0xff);
        mmxWritten(t, t.mm(i.rm));
      },
    ]);
  }
  return rows;
}

/** SSE4a bit fields. */
const bitField =
  (name: string, destinationInRm = false): Meaning =>
  (t, i) => {
    const d = t.xmm(destinationInRm ? i.rm : i.reg);
    vcall(t, helper(name), d, d, t.xmm(i.rm), (i.imm & 63) | ((i.imm2 & 63) << 8));
  };

export const VECTOR_INT_ROWS: readonly Row[] = [
  ...group(
    { ...MMX, mmxMemory: 32 },
    `PUNPCKLBW 0F 60
     PUNPCKLWD 0F 61
     PUNPCKLDQ 0F 62`,
  ),
  ...group(
    MMX,
    `PACKSSWB 0F 63 mmx=packsswb64
     PCMPGTB 0F 64
     PCMPGTW 0F 65
     PCMPGTD 0F 66
     PACKUSWB 0F 67 mmx=packuswb64
     PUNPCKHBW 0F 68 mmx=punpckhbw64
     PUNPCKHWD 0F 69 mmx=punpckhwd64
     PUNPCKHDQ 0F 6A mmx=punpckhdq64
     PACKSSDW 0F 6B mmx=packssdw64
     PCMPEQB 0F 74
     PCMPEQW 0F 75
     PCMPEQD 0F 76
     PMULLW 0F D5
     PSUBUSB 0F D8
     PSUBUSW 0F D9
     PAND 0F DB
     PADDUSB 0F DC
     PADDUSW 0F DD
     PANDN 0F DF
     PMULHW 0F E5
     PSUBSB 0F E8
     PSUBSW 0F E9
     POR 0F EB
     PADDSB 0F EC
     PADDSW 0F ED
     PXOR 0F EF
     PMADDWD 0F F5
     PSUBB 0F F8
     PSUBW 0F F9
     PSUBD 0F FA
     PADDB 0F FC
     PADDW 0F FD
     PADDD 0F FE`,
  ),
  // MMX forms that came with SSE
  ...group(
    { ...SSE2, mmx: 'sse' },
    `PMINUB 0F DA
     PMAXUB 0F DE
     PAVGB 0F E0
     PAVGW 0F E3
     PMULHUW 0F E4
     PMINSW 0F EA
     PMAXSW 0F EE
     PSADBW 0F F6`,
  ),
  ...group(
    { ...SSE2, mmx: 'sse2' },
    `PADDQ 0F D4
     PMULUDQ 0F F4
     PSUBQ 0F FB`,
  ),
  ...group(
    SSE2,
    `PUNPCKLQDQ 0F 6C
     PUNPCKHQDQ 0F 6D`,
  ),
  ...group(
    { ...SSE2, sse: 'ssse3', mmx: 'ssse3' },
    `PSHUFB 0F 38 00 mmx=pshufb64
     PHADDW 0F 38 01 mmx=phaddw64
     PHADDD 0F 38 02 mmx=phaddd64
     PHADDSW 0F 38 03 mmx=phaddsw64
     PMADDUBSW 0F 38 04
     PHSUBW 0F 38 05 mmx=phsubw64
     PHSUBD 0F 38 06 mmx=phsubd64
     PHSUBSW 0F 38 07 mmx=phsubsw64
     PSIGNB 0F 38 08
     PSIGNW 0F 38 09
     PSIGND 0F 38 0A
     PMULHRSW 0F 38 0B`,
  ),
  ...group(
    { ...SSE2, sse: 'ssse3', mmx: 'ssse3', unary: true },
    `PABSB 0F 38 1C
     PABSW 0F 38 1D
     PABSD 0F 38 1E`,
  ),
  ...group(
    SSE41,
    `PMULDQ 0F 38 28
     PCMPEQQ 0F 38 29
     PACKUSDW 0F 38 2B
     PMINSB 0F 38 38
     PMINSD 0F 38 39
     PMINUW 0F 38 3A
     PMINUD 0F 38 3B
     PMAXSB 0F 38 3C
     PMAXSD 0F 38 3D
     PMAXUW 0F 38 3E
     PMAXUD 0F 38 3F
     PMULLD 0F 38 40`,
  ),
  ...group({ ...SSE2, sse: 'sse4.2' }, 'PCMPGTQ 0F 38 37'),
  ...group({ prefix: '66', sse: 'sse4.1', unary: true }, 'PHMINPOSUW 0F 38 41'),
  // Bits of floating-point vectors
  ...group(
    { prefix: 'NP', sse: 'sse', avx256: 'avx' },
    `ANDPS 0F 54 pand
     ANDNPS 0F 55 pandn
     ORPS 0F 56 por
     XORPS 0F 57 pxor`,
  ),
  ...group(
    { prefix: '66', sse: 'sse2', avx256: 'avx' },
    `ANDPD 0F 54 pand
     ANDNPD 0F 55 pandn
     ORPD 0F 56 por
     XORPD 0F 57 pxor`,
  ),
  // Shifts
  ...group(
    { ...MMX, count: true },
    `PSRLW 0F D1
     PSRLD 0F D2
     PSRLQ 0F D3
     PSRAW 0F E1
     PSRAD 0F E2
     PSLLW 0F F1
     PSLLD 0F F2
     PSLLQ 0F F3`,
  ),
  ...SHIFTS_BY_IMMEDIATE.flatMap(shiftByImmediate),
  ...group(
    { prefix: '66', avx128: 'avx2', avx256: 'avx2', w: 'W0' },
    `VPSRLVD 0F 38 45 psrlvd
     VPSRAVD 0F 38 46 psravd
     VPSLLVD 0F 38 47 psllvd`,
  ),
  ...group(
    { prefix: '66', avx128: 'avx2', avx256: 'avx2', w: 'W1' },
    `VPSRLVQ 0F 38 45 psrlvq
     VPSLLVQ 0F 38 47 psllvq`,
  ),
  ['66 0F 78 /0', 'EXTRQ Udq,Ib,Ib', 'sse4a', bitField('extrqi', true)],
  ['66 0F 79 /r', 'EXTRQ Vdq,Udq', 'sse4a', bitField('extrq')],
  ['F2 0F 78 /r', 'INSERTQ Vdq,Udq,Ib,Ib', 'sse4a', bitField('insertqi')],
  ['F2 0F 79 /r', 'INSERTQ Vdq,Udq', 'sse4a', bitField('insertq')],
  // Sums of absolute differences; the upper lane of the 256-bit form uses immediate bits 5:3
  ...group({ ...SSE41, imm: 3 }, 'MPSADBW 0F 3A 42'),
];
