import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bug } from '../../base/errors.js';
import { randomNumbers } from '../../machine/testing/conformance.js';
import { Decoded, Decoder, Insn } from './decode.js';
import { featureNumber } from './index.js';
import { ROWS } from './insn/index.js';
import { Mode } from './state.js';

const MODE64 = Mode.cs64 | Mode.protected | Mode.lma;
const MODE32 = Mode.cs32 | Mode.ss32 | Mode.protected;
const decoder = new Decoder(ROWS);

function decode(hex: string, mode = MODE64): { code: number; i: Insn } {
  const bytes = Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  const i = new Insn();
  return { code: decoder.decode(i, bytes, 0, bytes.length, mode), i };
}

test('rows that overlap are refused', () => {
  const row = ['0F 0B', 'UD2', '', () => undefined] as const;
  assert.throws(() => new Decoder([row, row]).forms, Bug);
});

test('no two of our rows overlap', () => {
  assert.equal(new Decoder(ROWS).forms.length, ROWS.length);
});

test('tables that were made ahead are those that the rows give', () => {
  // As data: the build writes it into a file.
  const prepared = JSON.parse(JSON.stringify(decoder.prepare()));
  const ahead = new Decoder(ROWS, prepared);
  const [one, other] = [new Insn(), new Insn()];
  const random = randomNumbers(6);
  for (let round = 0; round < 50_000; round++) {
    const bytes = Uint8Array.from({ length: 16 }, () => random());
    const mode = round & 1 ? MODE64 : MODE32;
    if (round % 3 === 0) bytes[0] = 0x0f;
    if (round % 5 === 0) bytes[0] = 0xc4;
    assert.equal(ahead.decode(one, bytes, 0, 16, mode), decoder.decode(other, bytes, 0, 16, mode));
    assert.equal(one.length, other.length);
    assert.equal(one.form?.index, other.form?.index);
  }
  assert.deepEqual(ahead.forms, decoder.forms);
});

test('every row names a CPUID feature that exists', () => {
  for (const [encoding, assembly, feature] of ROWS) {
    for (const name of feature === '' ? [] : feature.split(',')) {
      assert.doesNotThrow(() => featureNumber(name), `${encoding} ${assembly}`);
    }
  }
});

test('REX counts only right before the opcode', () => {
  assert.equal(decode('48 01 d8').i.opSize, 64);
  assert.equal(decode('48 66 01 d8').i.opSize, 16);
  assert.equal(decode('66 48 01 d8').i.opSize, 64);
});

test('a mandatory prefix does not change the operand size', () => {
  assert.equal(decode('66 0f 38 f6 c1').i.form.mnemonics[0], 'ADCX');
  assert.equal(decode('66 0f 38 f6 c1').i.opSize, 32);
  assert.equal(decode('66 f2 0f 38 f1 c1').i.form.mnemonics[0], 'CRC32');
  assert.equal(decode('66 f2 0f 38 f1 c1').i.opSize, 16);
});

test('C4 and C5 are LES and LDS outside 64-bit mode unless followed by a register form', () => {
  assert.equal(decode('c5 03', MODE32).i.form.mnemonics[0], 'LDS');
  assert.equal(decode('c5 f8 77', MODE32).i.form.mnemonics[0], 'VZEROUPPER');
  assert.equal(decode('c5 f8 77').i.form.mnemonics[0], 'VZEROUPPER');
});

test('VEX.W widens a general register in 64-bit mode only', () => {
  assert.equal(decode('c4 e1 f9 6e c0').i.form.mnemonics[0], 'VMOVQ');
  assert.equal(decode('c4 e1 f9 6e c0', MODE32).i.form.mnemonics[0], 'VMOVD');
});

test('RIP-relative, SIB without base, and displacements', () => {
  const rip = decode('8b 05 10 00 00 00').i;
  assert.deepEqual([rip.ripRelative, rip.disp, rip.base], [true, 16, -1]);
  const absolute = decode('8b 04 25 10 00 00 00').i;
  assert.deepEqual([absolute.ripRelative, absolute.disp, absolute.base, absolute.index], [false, 16, -1, -1]);
  const r13 = decode('41 8b 45 f0').i;
  assert.deepEqual([r13.base, r13.disp], [13, -16]);
  const index12 = decode('42 8b 04 a0').i;
  assert.deepEqual([index12.base, index12.index, index12.scale], [0, 12, 2]);
});

test('fifteen bytes are an instruction, sixteen are not', () => {
  assert.equal(decode(`${'66'.repeat(13)} 89 d8`).code, Decoded.ok);
  assert.equal(decode(`${'66'.repeat(14)} 89 d8`).code, Decoded.tooLong);
  assert.equal(decode('48 8b').code, Decoded.truncated);
});
