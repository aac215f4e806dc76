/** When vector instructions are refused: control bits, prefixes, VEX fields (Intel SDM vol. 2, 2.4 and 2.5; vol. 3, 13.1). */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Mode } from '../../src/guest/x86/state.js';
import { Sample } from '../silicon/native.js';
import { MEMORY, MODE, RowBench } from '../silicon/row-bench.js';

const UD = 6;
const NM = 7;
const OK = -1;
const bench = new RowBench();

function fault(code: string, mode = MODE): number {
  const bytes = [...Buffer.from(code.replaceAll(' ', ''), 'hex')];
  return bench.run(bytes, Sample.of(bytes), false, MEMORY, mode).fault;
}

const MMX = '0f fc c1'; //         paddb mm0, mm1
const SSE = '66 0f fc c1'; //      paddb xmm0, xmm1
const AVX = 'c5 f1 fc c2'; //      vpaddb xmm0, xmm1, xmm2
const EMMS = '0f 77';
const ZEROUPPER = 'c5 f8 77';

test('units that are not enabled', () => {
  for (const code of [MMX, SSE, AVX, EMMS, ZEROUPPER]) assert.equal(fault(code), OK, code);
  for (const code of [MMX, SSE, EMMS]) assert.equal(fault(code, MODE | Mode.em), UD, code);
  for (const code of [MMX, SSE, AVX, EMMS, ZEROUPPER]) assert.equal(fault(code, MODE | Mode.ts), NM, code);
  // #UD comes before #NM
  assert.equal(fault(SSE, MODE | Mode.ts | Mode.em), UD);
  assert.equal(fault(SSE, MODE & ~Mode.osfxsr), UD);
  assert.equal(fault(MMX, MODE & ~Mode.osfxsr), OK);
  for (const code of [AVX, ZEROUPPER]) assert.equal(fault(code, MODE & ~Mode.avx), UD, code);
});

test('prefixes and fields that do not belong', () => {
  assert.equal(fault(`f0 ${SSE}`), UD, 'LOCK');
  for (const prefix of ['66', 'f2', 'f3', 'f0', '48'])
    assert.equal(fault(`${prefix} ${AVX}`), UD, `${prefix} before VEX`);
  // vmovdqa xmm0, xmm1; vpshufd xmm0, xmm1, 0; vpmovmskb eax, xmm1: VEX.vvvv must be 1111b
  for (const [good, bad] of [
    ['c5 f9 6f c1', 'c5 f1 6f c1'],
    ['c5 f9 70 c1 00', 'c5 f1 70 c1 00'],
    ['c5 f9 d7 c1', 'c5 f1 d7 c1'],
  ] as const) {
    assert.equal(fault(good), OK, good);
    assert.equal(fault(bad), UD, bad);
  }
  // vpermq ymm0, ymm1, 0 needs W1; vphminposuw and vpermd know one length only
  for (const [good, bad] of [
    ['c4 e3 fd 00 c1 00', 'c4 e3 7d 00 c1 00'],
    ['c4 e2 79 41 c1', 'c4 e2 7d 41 c1'],
    ['c4 e2 75 36 c2', 'c4 e2 71 36 c2'],
  ] as const) {
    assert.equal(fault(good), OK, good);
    assert.equal(fault(bad), UD, bad);
  }
  // movntdq and movlps-like stores have no register form
  for (const code of ['66 0f e7 c1', '0f 13 c1', '0f 2b c1', '66 0f 38 2a c1']) assert.equal(fault(code), UD, code);
});
