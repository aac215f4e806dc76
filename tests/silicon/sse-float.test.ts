/** SSE floating-point helpers against the host's processor: results, MXCSR flags, #XM. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { nativeRunner, Sample } from './native.js';
import { Operands } from './operands.js';
import { HelperBench } from './runtime.js';

const COUNT = Number(process.env['SILICON_COUNT'] ?? 3000);

type Lanes = 'f32' | 'f64' | 'i32' | 'i64' | 'f16';
interface Case {
  readonly name: string;
  readonly code: readonly number[];
  readonly helper: string;
  readonly imm: number;
  /** What the operands hold. */
  readonly lanes: Lanes;
  /** The result: xmm0 (default), rax or flags. The second source is xmm2; for `rax` inputs it is RAX. */
  readonly result?: 'rax' | 'flags';
  readonly source?: 'rax';
  readonly third?: boolean;
}

const cases: Case[] = [];
const PREFIX = { ps: [], pd: [0x66], ss: [0xf3], sd: [0xf2] } as const;
const PP = { ps: 0, pd: 1, ss: 2, sd: 3 } as const;
type Form = keyof typeof PREFIX;
const FORMS: readonly Form[] = ['ps', 'pd', 'ss', 'sd'];
/** VEX three-byte prefix: xmm0 = op(xmm1, xmm2). */
const vex = (map: number, pp: number, l: number, w: number, vvvv = 1): number[] => [
  0xc4,
  0xe0 | map,
  (w << 7) | ((~vvvv & 15) << 3) | (l << 2) | pp,
];
const lanesOf = (f: Form): Lanes => (f === 'ps' || f === 'ss' ? 'f32' : 'f64');
/** Legacy, VEX.128 and (packed) VEX.256 of an opcode of map 1; the legacy form computes xmm0 op= xmm2. */
function arithmetic(name: string, opcode: number, f: Form, tail: number[] = [], imm = 0, unary = false): void {
  const scalar = f === 'ss' || f === 'sd';
  cases.push({
    name: `${name}${f}`,
    code: [...PREFIX[f], 0x0f, opcode, 0xc2, ...tail],
    helper: name + f,
    imm,
    lanes: lanesOf(f),
  });
  for (const l of scalar ? [0] : [0, 1])
    cases.push({
      name: `v${name}${f}.${128 << l}`,
      code: [...vex(1, PP[f], l, 0, unary && !scalar ? 0 : 1), opcode, 0xc2, ...tail],
      helper: name + f,
      imm: imm | 1 | (l << 1),
      lanes: lanesOf(f),
    });
}
for (const f of FORMS) {
  for (const [name, opcode] of [
    ['add', 0x58],
    ['mul', 0x59],
    ['sub', 0x5c],
    ['min', 0x5d],
    ['div', 0x5e],
    ['max', 0x5f],
  ] as const)
    arithmetic(name, opcode, f);
  arithmetic('sqrt', 0x51, f, [], 0, true);
  for (let p = 0; p < 8; p++) {
    const scalar = f === 'ss' || f === 'sd';
    cases.push({
      name: `cmp${f} ${p}`,
      code: [...PREFIX[f], 0x0f, 0xc2, 0xc2, p],
      helper: `cmp${f}`,
      imm: p << 8,
      lanes: lanesOf(f),
    });
    for (let q = p; q < 32; q += 8)
      cases.push({
        name: `vcmp${f} ${q}`,
        code: [...vex(1, PP[f], scalar ? 0 : 1, 0), 0xc2, 0xc2, q],
        helper: `cmp${f}`,
        imm: (q << 8) | (scalar ? 1 : 3),
        lanes: lanesOf(f),
      });
  }
}
for (const [name, opcode, quiet] of [
  ['ucomi', 0x2e, 256],
  ['comi', 0x2f, 0],
] as const) {
  cases.push({
    name: `${name}ss`,
    code: [0x0f, opcode, 0xc2],
    helper: 'comiss',
    imm: quiet,
    lanes: 'f32',
    result: 'flags',
  });
  cases.push({
    name: `${name}sd`,
    code: [0x66, 0x0f, opcode, 0xc2],
    helper: 'comisd',
    imm: quiet,
    lanes: 'f64',
    result: 'flags',
  });
}
for (const w of [0, 1]) {
  const rex = w === 1 ? [0x48] : [];
  const long = w << 8;
  for (const f of ['ss', 'sd'] as const) {
    const p = f === 'ss' ? 0xf3 : 0xf2;
    const lanes = lanesOf(f);
    cases.push({
      name: `cvtsi2${f} ${w}`,
      code: [p, ...rex, 0x0f, 0x2a, 0xc0],
      helper: `cvtsi2${f}`,
      imm: long,
      lanes: 'i64',
      source: 'rax',
    });
    cases.push({
      name: `vcvtsi2${f} ${w}`,
      code: [...vex(1, PP[f], 0, w), 0x2a, 0xc0],
      helper: `cvtsi2${f}`,
      imm: long | 1,
      lanes: 'i64',
      source: 'rax',
    });
    cases.push({
      name: `cvt${f}2si ${w}`,
      code: [p, ...rex, 0x0f, 0x2d, 0xc2],
      helper: `cvt${f}2si`,
      imm: long,
      lanes,
      result: 'rax',
    });
    cases.push({
      name: `cvtt${f}2si ${w}`,
      code: [p, ...rex, 0x0f, 0x2c, 0xc2],
      helper: `cvt${f}2si`,
      imm: long | 512,
      lanes,
      result: 'rax',
    });
  }
}
/** Legacy, VEX.128, VEX.256 of a conversion of map 1. */
function conversion(
  helper: string,
  pp: number,
  opcode: number,
  lanes: Lanes,
  imm = 0,
  scalar = false,
  name = helper,
): void {
  const prefix = [[], [0x66], [0xf3], [0xf2]][pp] as number[];
  cases.push({ name, code: [...prefix, 0x0f, opcode, 0xc2], helper, imm, lanes });
  for (const l of scalar ? [0] : [0, 1])
    cases.push({
      name: `v${name}.${128 << l}`,
      code: [...vex(1, pp, l, 0, scalar ? 1 : 0), opcode, 0xc2],
      helper,
      imm: imm | 1 | (l << 1),
      lanes,
    });
}
conversion('cvtss2sd', 2, 0x5a, 'f32', 0, true);
conversion('cvtsd2ss', 3, 0x5a, 'f64', 0, true);
conversion('cvtps2pd', 0, 0x5a, 'f32');
conversion('cvtpd2ps', 1, 0x5a, 'f64');
conversion('cvtdq2ps', 0, 0x5b, 'i32');
conversion('cvtps2dq', 1, 0x5b, 'f32');
conversion('cvtps2dq', 2, 0x5b, 'f32', 512, false, 'cvttps2dq');
conversion('cvtdq2pd', 2, 0xe6, 'i32');
conversion('cvtpd2dq', 3, 0xe6, 'f64');
conversion('cvtpd2dq', 1, 0xe6, 'f64', 512, false, 'cvttpd2dq');
for (const l of [0, 1]) {
  cases.push({
    name: `vcvtph2ps.${128 << l}`,
    code: [...vex(2, 1, l, 0, 0), 0x13, 0xc2],
    helper: 'cvtph2ps',
    imm: 1 | (l << 1),
    lanes: 'f16',
  });
  for (let i = 0; i < 8; i++)
    cases.push({
      name: `vcvtps2ph.${128 << l} ${i}`,
      code: [...vex(3, 1, l, 0, 0), 0x1d, 0xd0, i],
      helper: 'cvtps2ph',
      imm: 1 | (l << 1) | (i << 8),
      lanes: 'f32',
    });
}
for (const [f, opcode] of [
  ['ps', 8],
  ['pd', 9],
  ['ss', 10],
  ['sd', 11],
] as const)
  for (let i = 0; i < 16; i++) {
    const scalar = opcode > 9;
    cases.push({
      name: `round${f} ${i}`,
      code: [0x66, 0x0f, 0x3a, opcode, 0xc2, i],
      helper: `round${f}`,
      imm: i << 8,
      lanes: lanesOf(f),
    });
    cases.push({
      name: `vround${f} ${i}`,
      code: [...vex(3, 1, scalar ? 0 : 1, 0, scalar ? 1 : 0), opcode, 0xc2, i],
      helper: `round${f}`,
      imm: (i << 8) | (scalar ? 1 : 3),
      lanes: lanesOf(f),
    });
  }

const random = new Operands(Number(process.env['SILICON_SEED'] ?? 1));
function fill(target: Uint8Array, lanes: Lanes): void {
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  for (let i = 0; i < target.length; i += 8)
    switch (lanes) {
      case 'f64':
        view.setBigUint64(i, random.float(52, 11), true);
        break;
      case 'f32':
        view.setUint32(i, Number(random.float(23, 8)), true);
        view.setUint32(i + 4, Number(random.float(23, 8)), true);
        break;
      case 'f16':
        for (let j = 0; j < 8; j += 2) view.setUint16(i + j, Number(random.float(10, 5)), true);
        break;
      default:
        view.setBigUint64(i, BigInt.asIntN(64, random.u64()) >> BigInt(random.below(64)), true);
    }
}
/** Close operands are where cancellation is: sometimes the second source is the first with its low bits changed. */
function sample(c: Case): Sample {
  const s = Sample.of(c.code);
  for (const r of [0, 1, 2, 3]) {
    fill(s.xmm(r), c.lanes);
    fill(s.ymmHigh(r), c.lanes);
  }
  if (random.below(8) === 0)
    for (let i = 0; i < 16; i++) {
      const flip = random.below(4) === 0 ? random.u32() & 0x81 : 0;
      (s.xmm(2)[i] as number) ^= (s.xmm(2)[i] as number) ^ (s.xmm(0)[i] as number) ^ flip;
    }
  s.rax = BigInt.asUintN(64, BigInt.asIntN(64, random.u64()) >> BigInt(random.below(64)));
  const masks = random.below(3) === 0 ? random.u32() & 0x1f80 : 0x1f80;
  s.mxcsr = masks | (random.below(2) === 0 ? 0 : random.u32() & 0xe07f);
  return s;
}

const hex = (b: Uint8Array): string =>
  [...b]
    .reverse()
    .map((x) => x.toString(16).padStart(2, '0'))
    .join('');
function describe(s: Sample, result: Case['result']): string {
  const out =
    result === 'rax'
      ? s.rax.toString(16)
      : result === 'flags'
        ? s.flags.toString(16)
        : `${hex(s.ymmHigh(0))}_${hex(s.xmm(0))}`;
  return `${out} mxcsr ${s.mxcsr.toString(16)} signal ${s.signal}`;
}

const native = nativeRunner();
if (typeof native !== 'string') after(() => native.dispose());

const bench = new HelperBench();
function emulate(c: Case, input: Sample): Sample {
  const out = input.clone();
  for (const r of [0, 1, 2, 3]) {
    bench.bytes.set(input.xmm(r), bench.zmm(r));
    bench.bytes.set(input.ymmHigh(r), bench.zmm(r) + 16);
  }
  bench.setU32('mxcsr', input.mxcsr);
  bench.setU32('faultPending', 0);
  bench.view.setBigUint64(bench.at('cr4'), 1n << 10n, true);
  bench.view.setBigUint64(bench.vtemp(0), input.rax, true);
  bench.view.setBigUint64(bench.vtemp(1), input.rax, true);
  const d = c.result === undefined ? bench.zmm(0) : bench.vtemp(1);
  const a = (c.imm & 1) !== 0 && c.result === undefined ? bench.zmm(1) : bench.zmm(0);
  const b = c.source === 'rax' ? bench.vtemp(0) : bench.zmm(2);
  bench.call[`h_${c.helper}`]?.(bench.cpu, d, a, b, c.imm);
  out.mxcsr = bench.u32('mxcsr');
  const fault = bench.u32('faultPending') !== 0;
  out.view.setUint32(4, fault ? 8 : 0, true);
  out.xmm(0).set(bench.bytes.slice(bench.zmm(0), bench.zmm(0) + 16));
  out.ymmHigh(0).set(bench.bytes.slice(bench.zmm(0) + 16, bench.zmm(0) + 32));
  const scalar = bench.view.getBigUint64(bench.vtemp(1), true);
  if (c.result === 'rax') out.rax = scalar;
  if (c.result === 'flags') out.view.setUint32(40, fault ? input.view.getUint32(40, true) : Number(scalar), true);
  return out;
}

test('SSE floating point equals the host processor', { skip: typeof native === 'string' ? native : false }, () => {
  if (typeof native === 'string') return;
  const wanted = process.env['SILICON_ONLY'];
  const failures: string[] = [];
  for (const c of cases) {
    if (wanted !== undefined && !c.name.startsWith(wanted)) continue;
    assert.notEqual(bench.call[`h_${c.helper}`], undefined, c.helper);
    const inputs = Array.from({ length: Math.ceil(COUNT / 20) }, () => sample(c));
    const expected = native.run(inputs);
    let bad = 0;
    inputs.forEach((input, i) => {
      const want = describe(expected[i] as Sample, c.result);
      const got = describe(emulate(c, input), c.result);
      if (want !== got && bad++ < 2)
        failures.push(
          `${c.name}: mxcsr ${input.mxcsr.toString(16)} rax ${input.rax.toString(16)} a ${hex(input.ymmHigh(0))}_${hex(input.xmm(0))} ` +
            `vex a ${hex(input.ymmHigh(1))}_${hex(input.xmm(1))} b ${hex(input.ymmHigh(2))}_${hex(input.xmm(2))}\n  host ${want}\n  here ${got}`,
        );
    });
    if (bad > 2) failures.push(`${c.name}: ${bad} of ${inputs.length} differ`);
  }
  assert.equal(failures.length, 0, `\n${failures.slice(0, 40).join('\n')}`);
});
