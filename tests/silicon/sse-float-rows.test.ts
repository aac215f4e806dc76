/** Every SSE floating-point row, decoded, translated and interpreted, against the same bytes on the host's processor. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import type { Form } from '../../src/guest/x86/decode.js';
import { SSE_FLOAT_ROWS } from '../../src/guest/x86/insn/sse-float.js';
import { encode } from './encode.js';
import { nativeRunner, Sample } from './native.js';
import { Operands } from './operands.js';
import { RowBench } from './row-bench.js';

const SAMPLES = Number(process.env['SILICON_COUNT'] ?? 40);
const SEED = Number(process.env['SILICON_SEED'] ?? 1);
const ONLY = process.env['SILICON_ONLY'];
const SIGILL = 4;
const DISP = 16;
/** Vector to signal: #UD, #GP, #XM. */
const SIGNAL: Readonly<Record<number, number>> = { [-1]: 0, 6: 4, 13: 11, 19: 8 };

type Kind = 'f64' | 'f32' | 'f16' | 'int';
/** What the operands of an instruction hold. */
function kindOf(form: Form): Kind {
  const name = (form.mnemonics[0] as string).replace(/^V/, '');
  const converted = /^CVTT?(PH|SS|PS|SD|PD|SI|DQ|PI)2/.exec(name)?.[1];
  if (converted !== undefined)
    return converted === 'PH' ? 'f16' : converted.endsWith('S') ? 'f32' : /[SP]D$/.test(converted) ? 'f64' : 'int';
  return /[SP]D$/.test(name) ? 'f64' : 'f32';
}
function fill(target: Uint8Array, kind: Kind, random: Operands): void {
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  for (let i = 0; i < target.length; i += 8)
    if (kind === 'f64') view.setBigUint64(i, random.float(52, 11), true);
    else if (kind === 'int') view.setBigInt64(i, BigInt.asIntN(64, random.u64()) >> BigInt(random.below(64)), true);
    else if (kind === 'f32') for (let j = 0; j < 8; j += 4) view.setUint32(i + j, Number(random.float(23, 8)), true);
    else for (let j = 0; j < 8; j += 2) view.setUint16(i + j, Number(random.float(10, 5)), true);
}
function sampleOf(form: Form, random: Operands): Sample {
  const kind = kindOf(form);
  const s = Sample.of(encode(form, random, { memory: random.below(2) === 0, disp: DISP }).code);
  for (let i = 0; i < 16; i++) {
    fill(s.xmm(i), kind, random);
    fill(s.ymmHigh(i), kind, random);
  }
  for (let i = 0; i < 8; i++) {
    fill(s.st(i).subarray(0, 8), kind, random);
    s.st(i)[8] = 0xff;
    s.st(i)[9] = 0xff;
  }
  s.ftw = 0xff;
  fill(s.memory, kind, random);
  if (/LDMXCSR/.test(form.mnemonics[0] as string)) s.memory[DISP + 2] = random.below(4) === 0 ? 4 : 0;
  if (/LDMXCSR/.test(form.mnemonics[0] as string)) s.memory[DISP + 3] = 0;
  s.rax = BigInt.asUintN(64, BigInt.asIntN(64, random.u64()) >> BigInt(random.below(64)));
  s.eflags = 0x202 | (random.u32() & 0x8d5);
  const masks = random.below(3) === 0 ? random.u32() & 0x1f80 : 0x1f80;
  // Once the precision flag is set and rounding is to nearest, compiled code computes in line: every third time.
  s.mxcsr = masks | ([0, 0x20, random.u32() & 0xe07f][random.below(3)] as number);
  return s;
}

const hex = (b: Uint8Array | readonly number[]): string =>
  [...b]
    .reverse()
    .map((x) => x.toString(16).padStart(2, '0'))
    .join('');
function difference(ours: Sample, silicon: Sample): string {
  const found: string[] = [];
  const compare = (name: string, here: string, host: string): void => {
    if (here !== host) found.push(`${name} here ${here} host ${host}`);
  };
  for (let i = 0; i < 16; i++)
    compare(`ymm${i}`, hex(ours.ymmHigh(i)) + hex(ours.xmm(i)), hex(silicon.ymmHigh(i)) + hex(silicon.xmm(i)));
  for (let i = 0; i < 8; i++) compare(`st${i}`, hex(ours.st(i)), hex(silicon.st(i)));
  compare('memory', hex(ours.memory), hex(silicon.memory));
  compare('rax', ours.rax.toString(16), silicon.rax.toString(16));
  compare('flags', (ours.eflags & 0x8d5).toString(16), (silicon.eflags & 0x8d5).toString(16));
  compare('ftw', ours.ftw.toString(16), silicon.ftw.toString(16));
  compare('mxcsr', ours.mxcsr.toString(16), silicon.mxcsr.toString(16));
  return found.join('; ');
}

const runner = nativeRunner();
after(() => {
  if (typeof runner !== 'string') runner.dispose();
});

test('SSE floating-point rows equal the host processor', { skip: typeof runner === 'string' ? runner : false }, (t) => {
  if (typeof runner === 'string') return;
  const bench = new RowBench();
  const random = new Operands(SEED);
  const members = new Set(SSE_FLOAT_ROWS);
  const failures: string[] = [];
  const unknown: string[] = [];
  for (const form of bench.decoder.forms.filter((f) => members.has(f.row))) {
    const title = `${form.row[0]} = ${form.row[1]}`;
    if (ONLY !== undefined && !new RegExp(ONLY).test(title)) continue;
    const inputs = Array.from({ length: SAMPLES }, () => sampleOf(form, random));
    const silicon = runner.run(inputs);
    let bad = 0;
    inputs.forEach((input, k) => {
      const host = silicon[k] as Sample;
      // The compiled tier is slow to set up: a part of the samples.
      for (const compiled of k % 10 === 0 ? [false, true] : [false]) {
        const { after: here, fault } = bench.run(input.code, input, compiled);
        if (host.signal === SIGILL && fault !== 6) {
          if (!unknown.includes(title)) unknown.push(title);
          return;
        }
        const text = host.signal !== SIGNAL[fault] ? `signal ${host.signal}, fault ${fault}` : difference(here, host);
        const bytes = hex([...input.code].reverse());
        if (text !== '' && bad++ < 2)
          failures.push(
            `${title}, ${bytes}${compiled ? ', compiled' : ''}: mxcsr ${input.mxcsr.toString(16)}\n    ${text}`,
          );
      }
    });
    if (bad > 2) failures.push(`${title}: ${bad} of ${SAMPLES} differ`);
  }
  if (unknown.length > 0) t.diagnostic(`not known to this processor: ${unknown.join(', ')}`);
  assert.equal(failures.length, 0, `\n${failures.slice(0, 60).join('\n')}`);
});

test('zero divided by infinity is exact', { skip: typeof runner === 'string' ? runner : false }, () => {
  const s = Sample.of([0xf3, 0x0f, 0x5e, 0xc1]);
  s.xmm(1).set([0, 0, 0x80, 0x7f]);
  assert.equal(new RowBench().run(s.code, s).after.mxcsr, 0x1f80);
});
