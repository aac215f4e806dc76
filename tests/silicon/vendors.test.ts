/** What differs between AMD's and Intel's processors by design, on models of both: any host will do. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Mode } from '../../src/guest/x86/state.js';
import type { ProcessorVendor } from '../support/host-vendor.js';
import { Sample } from './native.js';
import { MODE, RowBench } from './row-bench.js';

const BENCHES: Readonly<Record<ProcessorVendor, RowBench>> = {
  AuthenticAMD: new RowBench('AuthenticAMD'),
  GenuineIntel: new RowBench('GenuineIntel'),
};
const VENDORS = Object.keys(BENCHES) as ProcessorVendor[];
const NO_FAULT = -1;
const GENERAL_PROTECTION = 13;
const ALIGNMENT = 17;
const MISALIGNED = 0x2041;

/** Four numbers through an instruction of XMM0 and XMM1 (as bit patterns). */
function four(vendor: ProcessorVendor, code: readonly number[], operand: readonly number[], first = operand): number[] {
  const sample = Sample.of(code);
  const put = (register: Uint8Array, values: readonly number[]): void => {
    const view = new DataView(register.buffer, register.byteOffset, 16);
    values.forEach((v, k) => {
      view.setUint32(4 * k, v, true);
    });
  };
  put(sample.xmm(0), first);
  put(sample.xmm(1), operand);
  const { after } = BENCHES[vendor].run(code, sample);
  const result = after.xmm(0);
  const view = new DataView(result.buffer, result.byteOffset, 16);
  return [0, 4, 8, 12].map((at) => view.getUint32(at, true));
}

const RCPPS = [0x0f, 0x53, 0xc1];
const RSQRTPS = [0x0f, 0x52, 0xc1];
const DPPS = [0x66, 0x0f, 0x3a, 0x40, 0xc1, 0xff];
const single = new DataView(new ArrayBuffer(4));
function value(bits: number): number {
  single.setUint32(0, bits);
  return single.getFloat32(0);
}

for (const vendor of VENDORS)
  test(`estimates of ${vendor} lie within 1.5 * 2^-12`, () => {
    let worst = 0;
    // Both ends of every interval in which an estimate is the same number.
    for (const [code, start, exact] of [
      [RCPPS, 0x3f800000, (x: number) => 1 / x],
      [RSQRTPS, 0x3f800000, (x: number) => 1 / Math.sqrt(x)],
      [RSQRTPS, 0x40000000, (x: number) => 1 / Math.sqrt(x)],
    ] as const)
      for (let at = start; at < start + (1 << 23); at += 1 << 12) {
        const inputs = [at, at + (1 << 11) - 1, at + (1 << 11), at + (1 << 12) - 1];
        four(vendor, code, inputs).forEach((bits, k) => {
          const right = exact(value(inputs[k] as number));
          worst = Math.max(worst, Math.abs(value(bits) - right) / right);
        });
      }
    assert.ok(worst <= 1.5 * 2 ** -12, `${worst}`);
    assert.ok(worst > 2 ** -13, `${worst}`);
  });

test('estimates as the processors give them', () => {
  const inputs = [0x3f800000, 0x3f801000, 0x40000000, 0x40490fdb];
  assert.deepEqual(four('AuthenticAMD', RCPPS, inputs), [0x3f7ff000, 0x3f7fd800, 0x3efff000, 0x3ea2f800]);
  assert.deepEqual(four('AuthenticAMD', RSQRTPS, inputs), [0x3f7ff800, 0x3f7fe800, 0x3f350000, 0x3f107000]);
  assert.deepEqual(four('GenuineIntel', RCPPS, inputs), [0x3f7ff000, 0x3f7fd000, 0x3efff000, 0x3ea30000]);
  assert.deepEqual(four('GenuineIntel', RSQRTPS, inputs), [0x3f7ff000, 0x3f7ff000, 0x3f34f800, 0x3f107000]);
});

test('the lanes of a dot product have NaNs of their own on Intel', () => {
  const nan = (n: number): number => 0x7fc00010 + n;
  const ones = [1, 1, 1, 1].map(() => 0x3f800000);
  const nans = [0, 1, 2, 3].map(nan);
  assert.deepEqual(four('AuthenticAMD', DPPS, ones, nans), [0, 0, 0, 0].map(nan));
  assert.deepEqual(four('GenuineIntel', DPPS, ones, nans), [1, 0, 3, 2].map(nan));
});

/** The vector that `code`, with a misaligned operand at RDI, ends with. */
function fault(vendor: ProcessorVendor, code: readonly number[], mode = MODE): number {
  return BENCHES[vendor].run(code, Sample.of(code), false, MISALIGNED, mode).fault;
}

test('SHA instructions want an aligned operand on Intel', () => {
  const sha1msg1 = [0x0f, 0x38, 0xc9, 0x07];
  assert.equal(fault('AuthenticAMD', sha1msg1), NO_FAULT);
  assert.equal(fault('GenuineIntel', sha1msg1), GENERAL_PROTECTION);
});

test('alignment checks ask operands of 16 bytes on AMD, of at most 8 on Intel', () => {
  const checked = MODE | Mode.align;
  const movups = [0x0f, 0x10, 0x07];
  const vcvtph2ps = [0xc4, 0xe2, 0x79, 0x13, 0x07];
  const movq = [0xf3, 0x0f, 0x7e, 0x07];
  assert.deepEqual(
    [movups, vcvtph2ps, movq].map((code) => fault('AuthenticAMD', code, checked)),
    [ALIGNMENT, ALIGNMENT, ALIGNMENT],
  );
  assert.deepEqual(
    [movups, vcvtph2ps, movq].map((code) => fault('GenuineIntel', code, checked)),
    [NO_FAULT, NO_FAULT, ALIGNMENT],
  );
});

test('a store of an MMX register that faults: Intel has set TOP by then', () => {
  const code = [0x0f, 0x7f, 0x07]; // movq [rdi], mm0
  const sample = Sample.of(code);
  sample.fsw = 5 << 11;
  for (const vendor of VENDORS) {
    const bench = new RowBench(vendor);
    bench.pageOut(0x2000);
    const { after, fault: vector } = bench.run(code, sample, false, 0x2040);
    assert.equal(vector, 14);
    assert.deepEqual([after.fsw, after.ftw], [vendor === 'GenuineIntel' ? 0 : 5 << 11, 0]);
  }
});

test('VCVTPS2PH to memory that cannot be written: Intel has converted by then', () => {
  const code = [0xc4, 0xe3, 0x79, 0x1d, 0x07, 0]; // vcvtps2ph [rdi], xmm0, 0
  const sample = Sample.of(code);
  sample.xmm(0).set([0xff, 0xff, 0x7f, 0x3f]);
  for (const vendor of VENDORS) {
    const bench = new RowBench(vendor);
    bench.pageOut(0x2000);
    const { after, fault: vector } = bench.run(code, sample, false, 0x2040);
    assert.equal(vector, 14);
    assert.equal(after.mxcsr, vendor === 'GenuineIntel' ? 0x1fa0 : 0x1f80);
  }
});

test('VCVTPS2PH of a denormal with underflow unmasked is inexact on Intel, whatever it is', () => {
  const code = [0xc4, 0xe3, 0x79, 0x1d, 0xc0, 0]; // vcvtps2ph xmm0, xmm0, 0
  const sample = Sample.of(code);
  sample.xmm(0)[0] = 1;
  sample.mxcsr = 0x1780;
  for (const vendor of VENDORS) {
    const { after, fault: vector } = BENCHES[vendor].run(code, sample);
    assert.equal(vector, 19);
    assert.equal(after.mxcsr & 0x3f, vendor === 'GenuineIntel' ? 0x32 : 0x12);
  }
});

test('MOVSXD to 16 bits reads 16 on Intel, 32 on AMD', () => {
  const code = [0x66, 0x63, 0x07]; // movsxd ax, [rdi]
  for (const vendor of VENDORS) {
    const bench = new RowBench(vendor);
    bench.pageOut(0x3000);
    bench.setMemory(0x2ffe, Uint8Array.of(0x34, 0x12));
    const { after, fault: vector } = bench.run(code, Sample.of(code), false, 0x2ffe);
    assert.deepEqual([vector, after.rax], vendor === 'GenuineIntel' ? [NO_FAULT, 0x1234n] : [14, 0n]);
  }
});

test('the sine and the tangent of a tiny number are that number on Intel, however it is to be rounded', () => {
  const PE = 0x20;
  for (const [name, code, index] of [
    ['FSIN', [0xd9, 0xfe], 0],
    ['FSINCOS', [0xd9, 0xfb], 1],
    ['FPTAN', [0xd9, 0xf2], 1],
  ] as const)
    for (const exponent of [1, 0x2000, 0x3fba, 0x8001, 0xbfba])
      for (let rounding = 0; rounding < 4; rounding++) {
        const sample = Sample.of(code);
        // Underflow is not masked: a smaller result than the smallest normal number would show.
        sample.fcw = 0x36f | (rounding << 10);
        sample.ftw = 1;
        const st = new DataView(sample.st(0).buffer, sample.st(0).byteOffset, 10);
        st.setBigUint64(0, 1n << 63n, true);
        st.setUint16(8, exponent, true);
        const { after } = BENCHES.GenuineIntel.run(code, sample);
        assert.deepEqual(after.st(index), sample.st(0), `${name} ${exponent.toString(16)} ${rounding}`);
        assert.equal(after.fsw & ~0x3800, PE, `${name} ${exponent.toString(16)} ${rounding}`);
      }
});

test('REPNE SCAS that faults: the flags are those from before on Intel', () => {
  const code = [0xf2, 0xae]; // repne scasb
  const CARRY = 1;
  for (const vendor of VENDORS) {
    const bench = new RowBench(vendor);
    bench.pageOut(0x3000);
    bench.setMemory(0x2ff0, new Uint8Array(16).fill(0xff));
    bench.rcx = 64n;
    const sample = Sample.of(code);
    sample.eflags = 0x202;
    const { after, fault: vector } = bench.run(code, sample, false, 0x2ff0);
    assert.equal(vector, 14);
    assert.equal(bench.rcx, 48n);
    // AL is 0, below the last byte compared.
    assert.equal(after.eflags & CARRY, vendor === 'GenuineIntel' ? 0 : CARRY);
  }
});

test('REP with 32-bit addresses in 64-bit code that does no element clears upper halves on Intel', () => {
  const code = [0x67, 0xf3, 0xa4]; // rep movsb
  const HIGH = 0x500000000n;
  for (const vendor of VENDORS) {
    const bench = new RowBench(vendor);
    bench.rcx = HIGH;
    const { fault: vector } = bench.run(code, Sample.of(code));
    assert.equal(vector, NO_FAULT);
    assert.equal(bench.rcx, vendor === 'GenuineIntel' ? 0n : HIGH);
  }
});
