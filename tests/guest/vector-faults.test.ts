/** Vector instructions at the edge of a page that is not there, on both tiers. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Sample } from '../silicon/native.js';
import { RowBench } from '../silicon/row-bench.js';

const PAGE_FAULT = 14;
const UNDEFINED = 6;
/** The page that is out, and how far before it the operands begin. */
const HOLE = 0x3000;
const bench = new RowBench();
bench.pageOut(HOLE);

const bytes = (text: string): number[] => [...Buffer.from(text.replaceAll(' ', ''), 'hex')];
const words = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const read = (v: Uint8Array): number[] => [...new Uint32Array(v.slice().buffer)];

function run(code: string, compiled: boolean, rdi: number, prepare: (s: Sample) => void) {
  const sample = Sample.of(bytes(code));
  prepare(sample);
  return bench.run(bytes(code), sample, compiled, rdi);
}

for (const compiled of [false, true]) {
  const tier = compiled ? 'compiled' : 'interpreted';

  test(`VMASKMOVPS load touches only the elements of its mask (${tier})`, () => {
    bench.setMemory(HOLE - 8, words(11, 12));
    // vmaskmovps xmm1, xmm2, [rdi]
    const code = 'c4 e2 69 2c 0f';
    const ok = run(code, compiled, HOLE - 8, (s) => s.xmm(2).set(words(0x80000000, 0x80000000, 1, 0)));
    assert.equal(ok.fault, -1);
    assert.deepEqual(read(ok.after.xmm(1)), [11, 12, 0, 0]);
    const bad = run(code, compiled, HOLE - 8, (s) => {
      s.xmm(1).set(words(1, 2, 3, 4));
      s.xmm(2).set(words(0x80000000, 0, 0x80000000, 0));
    });
    assert.equal(bad.fault, PAGE_FAULT);
    assert.equal(bench.faultAddress, BigInt(HOLE));
    assert.deepEqual(read(bad.after.xmm(1)), [1, 2, 3, 4]);
  });

  test(`VPMASKMOVD store stores nothing when it faults (${tier})`, () => {
    // vpmaskmovd [rdi], xmm2, xmm1
    const code = 'c4 e2 69 8e 0f';
    bench.setMemory(HOLE - 8, words(21, 22));
    const bad = run(code, compiled, HOLE - 8, (s) => {
      s.xmm(1).set(words(1, 2, 3, 4));
      s.xmm(2).set(words(0x80000000, 0x80000000, 0, 0x80000000));
    });
    assert.equal(bad.fault, PAGE_FAULT);
    assert.equal(bench.faultAddress, BigInt(HOLE + 4));
    assert.deepEqual(read(bench.memory(HOLE - 8, 8)), [21, 22]);
    const ok = run(code, compiled, HOLE - 8, (s) => {
      s.xmm(1).set(words(1, 2, 3, 4));
      s.xmm(2).set(words(0, 0x80000000, 0, 0));
    });
    assert.equal(ok.fault, -1);
    assert.deepEqual(read(bench.memory(HOLE - 8, 8)), [21, 2]);
  });

  test(`MASKMOVDQU may reach into nothing where its mask is clear (${tier})`, () => {
    // maskmovdqu xmm1, xmm2
    const ok = run('66 0f f7 ca', compiled, HOLE - 4, (s) => {
      s.xmm(1).fill(0x55);
      s.xmm(2)[1] = 0x80;
    });
    assert.equal(ok.fault, -1);
    assert.equal(bench.memory(HOLE - 3, 1)[0], 0x55);
  });

  test(`VPGATHERDD goes on where it faulted (${tier})`, () => {
    bench.setMemory(HOLE - 16, words(31, 32, 33, 34));
    // vpgatherdd xmm1, [rdi + xmm3 * 4], xmm2
    const code = 'c4 e2 69 90 0c 9f';
    const bad = run(code, compiled, HOLE - 16, (s) => {
      s.xmm(1).set(words(1, 2, 3, 4));
      s.xmm(2).fill(0xff);
      s.ymmHigh(2).fill(0xff);
      s.xmm(3).set(words(3, 0, 4, 1));
    });
    assert.equal(bad.fault, PAGE_FAULT);
    assert.deepEqual(read(bad.after.xmm(1)), [34, 31, 3, 4]);
    assert.deepEqual(read(bad.after.xmm(2)), [0, 0, 0xffffffff, 0xffffffff]);
    const ok = run(code, compiled, HOLE - 16, (s) => {
      s.xmm(1).set(words(1, 2, 3, 4));
      s.xmm(2).set(words(0, 0, 0x80000000, 0x80000000));
      s.xmm(3).set(words(100, 100, 2, 0xffffffff));
    });
    assert.equal(ok.fault, -1);
    assert.deepEqual(read(ok.after.xmm(1)).slice(0, 3), [1, 2, 33]);
    assert.deepEqual(read(ok.after.xmm(2)), [0, 0, 0, 0]);
  });

  test(`gathers refuse the same register twice (${tier})`, () => {
    for (const code of ['c4 e2 69 90 0c 8f', 'c4 e2 69 90 0c 97', 'c4 e2 71 90 0c 9f', 'c4 e2 69 90 0f']) {
      assert.equal(run(code, compiled, HOLE - 16, () => {}).fault, UNDEFINED, code);
    }
  });

  test(`a load across the edge leaves its register alone (${tier})`, () => {
    // movups xmm1, [rdi]; vmovups ymm1, [rdi]; movlps xmm1, [rdi]
    for (const [code, before] of [
      ['0f 10 0f', 8],
      ['c5 fc 10 0f', 16],
      ['0f 12 0f', 4],
    ] as const) {
      const { after, fault } = run(code, compiled, HOLE - before, (s) => s.xmm(1).fill(0x77));
      assert.equal(fault, PAGE_FAULT, code);
      assert.equal(bench.faultAddress, BigInt(HOLE), code);
      assert.deepEqual([...after.xmm(1)], new Array(16).fill(0x77), code);
    }
  });
}
