/** SSE and AVX floating point: arithmetic, compares, conversions, MXCSR. Helpers do the work (helpers/sse-float.ts). */
import type { Slot } from '../../../ir/builder.js';
import type { Insn } from '../decode.js';
import { X86 } from '../state.js';
import type { Translator } from '../translator.js';
import type { Meaning, Row } from './row.js';

const MXCSR = X86.at['mxcsr'] as number;

const VEX = 1;
const WIDE = 2;

/** Form bits of a helper's imm. */
const formBits = (i: Insn): number => (i.vex ? VEX | (i.l === 1 ? WIDE : 0) : 0);
/** The same for a scalar instruction, whose VEX.L is ignored. */
const scalarBits = (i: Insn): number => (i.vex ? VEX : 0);

/** The W operand: a register, or `bits` of memory in scratch 0. Legacy packed operands must be aligned. */
function source(t: Translator, i: Insn, bits: number): Slot {
  if (i.mod === 3) return t.xmm(i.rm);
  const v = t.vtemp(0);
  if (bits === 256) return t.loadMemVector('ld256', v);
  if (bits === 128) return t.loadMemVector(i.vex ? 'ld128' : 'ld128a', v);
  return t.loadMem(bits, v);
}
/** First source: VEX.vvvv, or the destination in legacy forms. */
const first = (t: Translator, i: Insn): Slot => t.xmm(i.vex ? i.vvvv : i.reg);

/** xmm = first op source. */
const packed =
  (helper: string, extra: (i: Insn) => number = () => 0): Meaning =>
  (t, i) => {
    const b = source(t, i, i.l === 1 ? 256 : 128);
    t.call(helper, t.xmm(i.reg), first(t, i), b, formBits(i) | extra(i));
  };
/** xmm = op source. `bits` of memory for VEX.L = 0; twice that for 1. */
const packedUnary =
  (helper: string, extra: (i: Insn) => number = () => 0, bits = 128): Meaning =>
  (t, i) => {
    const b = source(t, i, bits << i.l);
    t.call(helper, t.xmm(i.reg), t.xmm(i.reg), b, formBits(i) | extra(i));
  };
/** Scalar: the rest of the result comes from the first source. */
const scalar =
  (helper: string, bits: 32 | 64, extra: (i: Insn) => number = () => 0): Meaning =>
  (t, i) => {
    const b = source(t, i, bits);
    t.call(helper, t.xmm(i.reg), first(t, i), b, scalarBits(i) | extra(i));
  };

/** Legacy and VEX rows of an instruction in all of ps, pd, ss, sd. */
function allForms(
  name: string,
  opcode: string,
  tail: string,
  packedMeaning: (helper: string) => Meaning,
  scalarMeaning: (helper: string, bits: 32 | 64) => Meaning,
  unary = false,
): Row[] {
  const upper = name.toUpperCase();
  const h = unary ? '' : 'Hx,';
  return [
    [`NP 0F ${opcode} /r`, `${upper}PS Vps,Wps${tail}`, 'sse', packedMeaning(`${name}ps`)],
    [`66 0F ${opcode} /r`, `${upper}PD Vpd,Wpd${tail}`, 'sse2', packedMeaning(`${name}pd`)],
    [`F3 0F ${opcode} /r`, `${upper}SS Vss,Wss${tail}`, 'sse', scalarMeaning(`${name}ss`, 32)],
    [`F2 0F ${opcode} /r`, `${upper}SD Vsd,Wsd${tail}`, 'sse2', scalarMeaning(`${name}sd`, 64)],
    [`VEX.LIG.NP.0F.WIG ${opcode} /r`, `V${upper}PS Vx,${h}Wx${tail}`, 'avx', packedMeaning(`${name}ps`)],
    [`VEX.LIG.66.0F.WIG ${opcode} /r`, `V${upper}PD Vx,${h}Wx${tail}`, 'avx', packedMeaning(`${name}pd`)],
    [`VEX.LIG.F3.0F.WIG ${opcode} /r`, `V${upper}SS Vss,Hx,Wss${tail}`, 'avx', scalarMeaning(`${name}ss`, 32)],
    [`VEX.LIG.F2.0F.WIG ${opcode} /r`, `V${upper}SD Vsd,Hx,Wsd${tail}`, 'avx', scalarMeaning(`${name}sd`, 64)],
  ];
}

/** Legacy forms know predicates 0..7. */
const predicate = (i: Insn): number => (i.imm & (i.vex ? 31 : 7)) << 8;
const control = (i: Insn): number => (i.imm & 15) << 8;

const compareFlags =
  (bits: 32 | 64, quiet: boolean): Meaning =>
  (t, i) => {
    const b = source(t, i, bits);
    const flags = t.vtemp(1);
    t.call(bits === 64 ? 'comisd' : 'comiss', flags, t.xmm(i.reg), b, quiet ? 256 : 0);
    t.setFlagBits(flags);
  };

const LONG = 256;
const TRUNCATE = 512;
const fromInteger =
  (helper: string): Meaning =>
  (t, i) => {
    const size = i.opSize === 64 ? 64 : 32;
    const v = t.vtemp(0);
    if (i.mod === 3) t.b.mov(v, t.gpr(i.rm));
    else t.loadMem(size, v);
    t.call(helper, t.xmm(i.reg), first(t, i), v, scalarBits(i) | (size === 64 ? LONG : 0));
  };
const toInteger =
  (helper: string, bits: 32 | 64, truncate: boolean): Meaning =>
  (t, i) => {
    const b = source(t, i, bits);
    const v = t.vtemp(1);
    const long = i.opSize === 64;
    t.call(helper, v, b, b, (truncate ? TRUNCATE : 0) | (long ? LONG : 0));
    t.setReg(i.reg, long ? 64 : 32, v);
  };

/** MMX conversions: the register forms make the x87 registers MMX ones. */
const fromMmx =
  (helper: string): Meaning =>
  (t, i) => {
    // From memory it has nothing to do with the x87 registers.
    if (i.mod === 3) t.call('fwait', t.vtemp(0), t.vtemp(0), t.vtemp(0));
    const b = i.mod === 3 ? t.mm(i.rm) : t.loadMem(64, t.vtemp(0));
    t.call(helper, t.xmm(i.reg), b, b);
    if (i.mod === 3) t.call('mmxUsed', t.vtemp(0), t.vtemp(0), t.vtemp(0));
  };
const toMmx =
  (helper: string, bits: 64 | 128, truncate: boolean): Meaning =>
  (t, i) => {
    t.call('fwait', t.vtemp(0), t.vtemp(0), t.vtemp(0));
    const b = source(t, i, bits);
    t.call(helper, t.mm(i.reg), b, b, truncate ? TRUNCATE : 0);
    t.call('mmxWritten', t.mm(i.reg), b, b);
  };

const rounding: readonly Row[] = (
  [
    ['PS', '08', 0],
    ['PD', '09', 0],
    ['SS', '0A', 32],
    ['SD', '0B', 64],
  ] as const
).flatMap(([form, opcode, bits]): Row[] => {
  const name = `round${form.toLowerCase()}`;
  const meaning = bits === 0 ? packedUnary(name, control) : scalar(name, bits, control);
  const operands = bits === 0 ? 'Vx,Wx,Ib' : bits === 32 ? 'Vss,Hx,Wss,Ib' : 'Vsd,Hx,Wsd,Ib';
  return [
    [
      `66 0F 3A ${opcode} /r`,
      `ROUND${form} Vx,${bits === 0 ? 'Wx' : bits === 32 ? 'Wss' : 'Wsd'},Ib`,
      'sse4.1',
      meaning,
    ],
    [`VEX.LIG.66.0F3A.WIG ${opcode} /r`, `VROUND${form} ${operands}`, 'avx', meaning],
  ];
});

/** Legacy and VEX row of one packed instruction with two sources. */
const twoSources = (
  encoding: string,
  name: string,
  feature: string,
  helper: string,
  extra: (i: Insn) => number = () => 0,
  tail = '',
): Row[] => {
  const [pp, ...bytes] = encoding.split(' ');
  const escapes = bytes.slice(0, -2).join('');
  const opcode = bytes.slice(-2).join(' ');
  const l = name === 'DPPD' ? '128' : 'LIG';
  return [
    [encoding, `${name} Vx,Wx${tail}`, feature, packed(helper, extra)],
    [`VEX.${l}.${pp}.${escapes}.WIG ${opcode}`, `V${name} Vx,Hx,Wx${tail}`, 'avx', packed(helper, extra)],
  ];
};
const minus = (): number => 256;
const wholeImmediate = (i: Insn): number => (i.imm & 255) << 8;

/** FMA: opcode 90h + 10h * form + operation; bits of the helper's imm. */
const FUSED = [
  ['6', 'FMADDSUB', 2 << 11, true],
  ['7', 'FMSUBADD', 3 << 11, true],
  ['8', 'FMADD', 0, true],
  ['9', 'FMADD', 0, false],
  ['A', 'FMSUB', 1 << 11, true],
  ['B', 'FMSUB', 1 << 11, false],
  ['C', 'FNMADD', 0x400, true],
  ['D', 'FNMADD', 0x400, false],
  ['E', 'FNMSUB', 0x400 | (1 << 11), true],
  ['F', 'FNMSUB', 0x400 | (1 << 11), false],
] as const;
const fusedRows: readonly Row[] = ['132', '213', '231'].flatMap((form, n) =>
  FUSED.flatMap(([low, name, bits, isPacked]): Row[] =>
    [0, 1].map((w) => {
      const suffix = (isPacked ? 'P' : 'S') + (w === 1 ? 'D' : 'S');
      const helper = `fma${suffix.toLowerCase()}`;
      const extra = (): number => bits | (n << 8);
      return [
        `VEX.LIG.66.0F38.W${w} ${'9AB'[n]}${low} /r`,
        `V${name}${form}${suffix} Vx,Hx,${isPacked ? 'Wx' : w === 1 ? 'Wsd' : 'Wss'}`,
        'fma',
        isPacked ? packed(helper, extra) : scalar(helper, w === 1 ? 64 : 32, extra),
      ];
    }),
  ),
);

/** VCVTPH2PS: Intel's processors have no alignment checks for it, whatever its operand's size. */
const loadHalves: Meaning = (t, i) => {
  if (i.mod !== 3 && t.isIntel()) t.address(8 << i.l, false, 1);
  packedUnary('cvtph2ps', () => 0, 64)(t, i);
};

/**
 * VCVTPS2PH: to memory, the result goes by way of scratch 1. AMD's processors see to it first that they can write there,
 * Intel's do after they converted: MXCSR has the exceptions then. Nor do they check alignment.
 */
const storeHalves: Meaning = (t, i) => {
  const imm = formBits(i) | ((i.imm & 7) << 8);
  if (i.mod === 3) {
    t.call('cvtps2ph', t.xmm(i.rm), t.xmm(i.reg), t.xmm(i.reg), imm);
    return;
  }
  const v = t.vtemp(1);
  const intel = t.isIntel();
  if (!intel) t.b.probeWrite(t.address(8 << i.l, true), 0, 8 << i.l);
  t.call('cvtps2ph', v, t.xmm(i.reg), t.xmm(i.reg), imm | 0x800);
  if (intel) t.address(8 << i.l, true, 1);
  if (i.l === 1) t.storeMemVector('st128', v);
  else t.storeMem(64, v);
};

const loadMxcsr: Meaning = (t, i) => {
  if (!t.unitCheck(i.vex ? 'avx' : 'sse')) return;
  const v = t.loadMem(32, t.vtemp(0));
  t.call('ldmxcsr', v, v, v);
};
const storeMxcsr: Meaning = (t, i) => {
  if (!t.unitCheck(i.vex ? 'avx' : 'sse')) return;
  t.storeMem(32, t.b.envLoad(t.b.temp(), 32, MXCSR));
};

export const SSE_FLOAT_ROWS: readonly Row[] = [
  ...allForms('add', '58', '', packed, scalar),
  ...allForms('mul', '59', '', packed, scalar),
  ...allForms('sub', '5C', '', packed, scalar),
  ...allForms('min', '5D', '', packed, scalar),
  ...allForms('div', '5E', '', packed, scalar),
  ...allForms('max', '5F', '', packed, scalar),
  ...allForms('sqrt', '51', '', (h) => packedUnary(h), scalar, true),
  ...allForms(
    'cmp',
    'C2',
    ',Ib',
    (h) => packed(h, predicate),
    (h, bits) => scalar(h, bits, predicate),
  ),

  ['NP 0F 2E /r', 'UCOMISS Vss,Wss', 'sse', compareFlags(32, true)],
  ['66 0F 2E /r', 'UCOMISD Vsd,Wsd', 'sse2', compareFlags(64, true)],
  ['NP 0F 2F /r', 'COMISS Vss,Wss', 'sse', compareFlags(32, false)],
  ['66 0F 2F /r', 'COMISD Vsd,Wsd', 'sse2', compareFlags(64, false)],
  ['VEX.LIG.NP.0F.WIG 2E /r', 'VUCOMISS Vss,Wss', 'avx', compareFlags(32, true)],
  ['VEX.LIG.66.0F.WIG 2E /r', 'VUCOMISD Vsd,Wsd', 'avx', compareFlags(64, true)],
  ['VEX.LIG.NP.0F.WIG 2F /r', 'VCOMISS Vss,Wss', 'avx', compareFlags(32, false)],
  ['VEX.LIG.66.0F.WIG 2F /r', 'VCOMISD Vsd,Wsd', 'avx', compareFlags(64, false)],

  ['F3 0F 2A /r', 'CVTSI2SS Vss,Ey', 'sse', fromInteger('cvtsi2ss')],
  ['F2 0F 2A /r', 'CVTSI2SD Vsd,Ey', 'sse2', fromInteger('cvtsi2sd')],
  ['VEX.LIG.F3.0F.WIG 2A /r', 'VCVTSI2SS Vss,Hx,Ey', 'avx', fromInteger('cvtsi2ss')],
  ['VEX.LIG.F2.0F.WIG 2A /r', 'VCVTSI2SD Vsd,Hx,Ey', 'avx', fromInteger('cvtsi2sd')],
  ['F3 0F 2D /r', 'CVTSS2SI Gy,Wss', 'sse', toInteger('cvtss2si', 32, false)],
  ['F2 0F 2D /r', 'CVTSD2SI Gy,Wsd', 'sse2', toInteger('cvtsd2si', 64, false)],
  ['F3 0F 2C /r', 'CVTTSS2SI Gy,Wss', 'sse', toInteger('cvtss2si', 32, true)],
  ['F2 0F 2C /r', 'CVTTSD2SI Gy,Wsd', 'sse2', toInteger('cvtsd2si', 64, true)],
  ['VEX.LIG.F3.0F.WIG 2D /r', 'VCVTSS2SI Gy,Wss', 'avx', toInteger('cvtss2si', 32, false)],
  ['VEX.LIG.F2.0F.WIG 2D /r', 'VCVTSD2SI Gy,Wsd', 'avx', toInteger('cvtsd2si', 64, false)],
  ['VEX.LIG.F3.0F.WIG 2C /r', 'VCVTTSS2SI Gy,Wss', 'avx', toInteger('cvtss2si', 32, true)],
  ['VEX.LIG.F2.0F.WIG 2C /r', 'VCVTTSD2SI Gy,Wsd', 'avx', toInteger('cvtsd2si', 64, true)],

  ['F3 0F 5A /r', 'CVTSS2SD Vsd,Wss', 'sse2', scalar('cvtss2sd', 32)],
  ['F2 0F 5A /r', 'CVTSD2SS Vss,Wsd', 'sse2', scalar('cvtsd2ss', 64)],
  ['VEX.LIG.F3.0F.WIG 5A /r', 'VCVTSS2SD Vsd,Hx,Wss', 'avx', scalar('cvtss2sd', 32)],
  ['VEX.LIG.F2.0F.WIG 5A /r', 'VCVTSD2SS Vss,Hx,Wsd', 'avx', scalar('cvtsd2ss', 64)],
  ['NP 0F 5A /r', 'CVTPS2PD Vpd,Wps', 'sse2', packedUnary('cvtps2pd', () => 0, 64)],
  ['66 0F 5A /r', 'CVTPD2PS Vps,Wpd', 'sse2', packedUnary('cvtpd2ps')],
  ['VEX.LIG.NP.0F.WIG 5A /r', 'VCVTPS2PD Vx,Wx', 'avx', packedUnary('cvtps2pd', () => 0, 64)],
  ['VEX.LIG.66.0F.WIG 5A /r', 'VCVTPD2PS Vdq,Wx', 'avx', packedUnary('cvtpd2ps')],
  ['NP 0F 5B /r', 'CVTDQ2PS Vps,Wdq', 'sse2', packedUnary('cvtdq2ps')],
  ['66 0F 5B /r', 'CVTPS2DQ Vdq,Wps', 'sse2', packedUnary('cvtps2dq')],
  ['F3 0F 5B /r', 'CVTTPS2DQ Vdq,Wps', 'sse2', packedUnary('cvtps2dq', () => TRUNCATE)],
  ['VEX.LIG.NP.0F.WIG 5B /r', 'VCVTDQ2PS Vx,Wx', 'avx', packedUnary('cvtdq2ps')],
  ['VEX.LIG.66.0F.WIG 5B /r', 'VCVTPS2DQ Vx,Wx', 'avx', packedUnary('cvtps2dq')],
  ['VEX.LIG.F3.0F.WIG 5B /r', 'VCVTTPS2DQ Vx,Wx', 'avx', packedUnary('cvtps2dq', () => TRUNCATE)],
  ['F3 0F E6 /r', 'CVTDQ2PD Vpd,Wq', 'sse2', packedUnary('cvtdq2pd', () => 0, 64)],
  ['F2 0F E6 /r', 'CVTPD2DQ Vdq,Wpd', 'sse2', packedUnary('cvtpd2dq')],
  ['66 0F E6 /r', 'CVTTPD2DQ Vdq,Wpd', 'sse2', packedUnary('cvtpd2dq', () => TRUNCATE)],
  ['VEX.LIG.F3.0F.WIG E6 /r', 'VCVTDQ2PD Vx,Wx', 'avx', packedUnary('cvtdq2pd', () => 0, 64)],
  ['VEX.LIG.F2.0F.WIG E6 /r', 'VCVTPD2DQ Vdq,Wx', 'avx', packedUnary('cvtpd2dq')],
  ['VEX.LIG.66.0F.WIG E6 /r', 'VCVTTPD2DQ Vdq,Wx', 'avx', packedUnary('cvtpd2dq', () => TRUNCATE)],

  ['NP 0F 2A /r', 'CVTPI2PS Vps,Qpi', 'sse', fromMmx('cvtpi2ps')],
  ['66 0F 2A /r', 'CVTPI2PD Vpd,Qpi', 'sse2', fromMmx('cvtpi2pd')],
  ['NP 0F 2D /r', 'CVTPS2PI Ppi,Wps', 'sse', toMmx('cvtps2pi', 64, false)],
  ['66 0F 2D /r', 'CVTPD2PI Ppi,Wpd', 'sse2', toMmx('cvtpd2pi', 128, false)],
  ['NP 0F 2C /r', 'CVTTPS2PI Ppi,Wps', 'sse', toMmx('cvtps2pi', 64, true)],
  ['66 0F 2C /r', 'CVTTPD2PI Ppi,Wpd', 'sse2', toMmx('cvtpd2pi', 128, true)],

  ['VEX.LIG.66.0F38.W0 13 /r', 'VCVTPH2PS Vx,Wx', 'f16c', loadHalves],
  ['VEX.LIG.66.0F3A.W0 1D /r', 'VCVTPS2PH Wx,Vx,Ib', 'f16c', storeHalves],
  ...rounding,
  ...fusedRows,

  ...twoSources('66 0F 7C /r', 'HADDPD', 'pni', 'haddpd'),
  ...twoSources('F2 0F 7C /r', 'HADDPS', 'pni', 'haddps'),
  ...twoSources('66 0F 7D /r', 'HSUBPD', 'pni', 'haddpd', minus),
  ...twoSources('F2 0F 7D /r', 'HSUBPS', 'pni', 'haddps', minus),
  ...twoSources('66 0F D0 /r', 'ADDSUBPD', 'pni', 'addsubpd'),
  ...twoSources('F2 0F D0 /r', 'ADDSUBPS', 'pni', 'addsubps'),
  ...twoSources('66 0F 3A 40 /r', 'DPPS', 'sse4.1', 'dpps', wholeImmediate, ',Ib'),
  ...twoSources('66 0F 3A 41 /r', 'DPPD', 'sse4.1', 'dppd', wholeImmediate, ',Ib'),

  ['NP 0F 53 /r', 'RCPPS Vps,Wps', 'sse', packedUnary('rcpps')],
  ['F3 0F 53 /r', 'RCPSS Vss,Wss', 'sse', scalar('rcpss', 32)],
  ['NP 0F 52 /r', 'RSQRTPS Vps,Wps', 'sse', packedUnary('rsqrtps')],
  ['F3 0F 52 /r', 'RSQRTSS Vss,Wss', 'sse', scalar('rsqrtss', 32)],
  ['VEX.LIG.NP.0F.WIG 53 /r', 'VRCPPS Vx,Wx', 'avx', packedUnary('rcpps')],
  ['VEX.LIG.F3.0F.WIG 53 /r', 'VRCPSS Vss,Hx,Wss', 'avx', scalar('rcpss', 32)],
  ['VEX.LIG.NP.0F.WIG 52 /r', 'VRSQRTPS Vx,Wx', 'avx', packedUnary('rsqrtps')],
  ['VEX.LIG.F3.0F.WIG 52 /r', 'VRSQRTSS Vss,Hx,Wss', 'avx', scalar('rsqrtss', 32)],

  ['NP 0F AE /2', 'LDMXCSR Md', 'sse', loadMxcsr],
  ['NP 0F AE /3', 'STMXCSR Md', 'sse', storeMxcsr],
  ['VEX.128.NP.0F.WIG AE /2', 'VLDMXCSR Md', 'avx', loadMxcsr],
  ['VEX.128.NP.0F.WIG AE /3', 'VSTMXCSR Md', 'avx', storeMxcsr],
];
