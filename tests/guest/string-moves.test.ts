/** REP MOVS in both directions, against a model that moves element by element. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VCPU } from '../../src/ir/layout.js';
import { randomNumbers } from '../../src/machine/testing/conformance.js';
import { BareMachine } from '../support/bare-machine.js';

const CODE = 0x7000;
const HLT = 0xf4;
/** Where the strings are: four pages. */
const FIRST = 0x20000;
const BYTES = 0x4000;

/** By the size of an element: REP MOVS of it in 32-bit code. */
const REP_MOVS: Readonly<Record<number, readonly number[]>> = {
  1: [0xf3, 0xa4],
  2: [0x66, 0xf3, 0xa5],
  4: [0xf3, 0xa5],
};

function model(memory: Uint8Array, from: number, to: number, count: number, size: number, step: 1 | -1): void {
  for (let i = 0; i < count; i++) {
    const element = memory.slice(from, from + size);
    memory.set(element, to);
    from += step * size;
    to += step * size;
  }
}

test('strings move as element by element, wherever they overlap', () => {
  const m = new BareMachine({ mode: 'protected32' });
  const { ram, registers: r } = m;
  const state = new DataView(m.accelerator.memory.buffer);
  const random = randomNumbers(11);
  const below = (n: number): number => random() % n;
  for (let i = 0; i < 600; i++) {
    const size = [1, 2, 4][i % 3]!;
    const step = i % 2 === 0 ? 1 : -1;
    const count = below(i % 5 === 0 ? 1500 : 40) + 1;
    const span = count * size;
    const from = below(BYTES - span + 1);
    // Often near each other: then the strings overlap.
    const near = Math.min(Math.max(from + below(41) - 20, 0), BYTES - span);
    const to = i % 4 < 2 ? near : below(BYTES - span + 1);
    for (let b = 0; b < BYTES; b++) ram[FIRST + b] = random();
    const expected = ram.slice(FIRST, FIRST + BYTES);
    const start = step === 1 ? 0 : span - size;
    model(expected, from + start, to + start, count, size, step);
    m.load(CODE, [step === 1 ? 0xfc : 0xfd, ...REP_MOVS[size]!, HLT]);
    r.set('rsi', BigInt(FIRST + from + start));
    r.set('rdi', BigInt(FIRST + to + start));
    r.set('rcx', BigInt(count));
    state.setUint32(m.accelerator.layout.vcpus[0]! + VCPU.at['halted']!, 0, true);
    assert.equal(m.run().reason, 'halted');
    const what = `${i}: ${count} of ${size} from ${from} to ${to}, step ${step}`;
    assert.ok(Buffer.from(ram.subarray(FIRST, FIRST + BYTES)).equals(Buffer.from(expected)), what);
    assert.equal(r.get('rcx'), 0n, what);
    assert.equal(r.get('rsi'), BigInt(FIRST + from + (step === 1 ? span : -size)), what);
    assert.equal(r.get('rdi'), BigInt(FIRST + to + (step === 1 ? span : -size)), what);
  }
});
