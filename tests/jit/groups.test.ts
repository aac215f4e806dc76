/** Groups of accesses with one check: leaving where it fails, ranges in two pages, loops. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { X86 } from '../../src/guest/x86/state.js';
import { BlockBuilder } from '../../src/ir/builder.js';
import { TLB_ENTRIES, TLB_ENTRY } from '../../src/ir/layout.js';
import { PcMask } from '../../src/ir/ops.js';
import { CPU, compare, RAM, Rig } from './rig.js';

const CODE = 0x4000;
const BLOCK_BYTES = 16;
/** Pages 16 to 18 are in the TLB, page 19 is RAM that is not. */
const MAPPED = 0x10000;
const MISSING = 0x13000;
const GPR0 = (X86.at['rax'] as number) / 8;
const COUNTER = GPR0 + 15;
const POINTER = GPR0 + 7;

const register = (rig: Rig, slot: number, value: number): void =>
  rig.view.setBigUint64(CPU + slot * 8, BigInt(value), true);

/** A block of the code at CODE: ops by `emit`, one round less, then to block `to`, or to `or` when register 1 is even. */
function block(rig: Rig, at: number, emit: (b: BlockBuilder) => void, to: number, or = to): number {
  const b = new BlockBuilder();
  emit(b);
  b.dai('subi', COUNTER, COUNTER, 1);
  const done = b.beginIfImm('eq', COUNTER, 0);
  b.goto(0x2000, PcMask.m64);
  b.endIf(done);
  if (or !== to) {
    const even = b.beginIfImm('tsteq', GPR0 + 1, 1);
    b.goto((or - at) * BLOCK_BYTES, PcMask.m64);
    b.endIf(even);
  }
  b.goto((to - at) * BLOCK_BYTES, PcMask.m64);
  return rig.place(CODE + at * BLOCK_BYTES, b, BLOCK_BYTES);
}

/** Accesses at the pointer: 8 bytes each. */
const load = (dst: number, offset: number) => (b: BlockBuilder) => b.load('ld64', GPR0 + dst, POINTER, offset);
const store = (a: number, offset: number) => (b: BlockBuilder) => b.store('st64', POINTER, GPR0 + a, offset);
const all =
  (...parts: ((b: BlockBuilder) => void)[]) =>
  (b: BlockBuilder): void => {
    for (const part of parts) part(b);
  };

function start(rig: Rig, pointer: number): void {
  for (let i = 0; i < 0x4000; i += 4) rig.view.setUint32(RAM + MAPPED + i, Math.imul(i, 2654435761), true);
  for (let slot = GPR0; slot < GPR0 + 16; slot++) register(rig, slot, slot * 0x1234567);
  register(rig, POINTER, pointer);
  register(rig, COUNTER, 100);
  rig.pc = CODE;
}

function compile(rig: Rig, heads: readonly number[]): void {
  for (const head of heads) rig.jit.request(head);
  assert.ok(rig.jit.flushQueue() > 0);
}

/** Entries of a page in the TLB lose the right to write. */
function protect(rig: Rig, page: number): void {
  const tlb = rig.view.getUint32(CPU + (X86.at['tlb'] as number), true);
  const entry = tlb + (TLB_ENTRIES + (page & (TLB_ENTRIES - 1))) * TLB_ENTRY.size;
  rig.view.setBigUint64(entry + (TLB_ENTRY.at['write'] as number), 0n, true);
}

const POINTERS = [MAPPED + 0x100, MAPPED + 0xff8, MAPPED + 0x1ffc, MISSING - 8, MISSING - 4, MISSING + 0x20];

test('a group agrees with the interpreter wherever its range is', () => {
  for (const pointer of POINTERS) {
    const rig = new Rig();
    const head = block(rig, 0, all(load(0, 8), store(0, 0), load(2, 4)), 1);
    block(rig, 1, all(load(3, 16), store(3, 24)), 0);
    compile(rig, [head]);
    start(rig, pointer);
    compare(rig, `at ${pointer.toString(16)}`);
  }
});

test('a range in two pages that are neighbours in memory costs no side exits', () => {
  const rig = new Rig();
  const head = block(rig, 0, all(load(0, 8), store(0, 0)), 0);
  compile(rig, [head]);
  start(rig, MAPPED + 0xff8);
  compare(rig, 'neighbours');
  assert.equal(rig.sideExits, 0);
});

test('a loop entered at two places, with accesses on every way round', () => {
  for (const odd of [0, 1]) {
    for (const pointer of POINTERS) {
      const rig = new Rig();
      const heads = [
        block(rig, 0, load(4, 0), 1, 2),
        block(rig, 1, load(0, 8), 3),
        block(rig, 2, load(0, 32), 3),
        block(rig, 3, all(store(0, 0), load(3, 24)), 1, 2),
      ];
      compile(rig, heads.slice(0, 1));
      start(rig, pointer);
      register(rig, GPR0 + 1, odd);
      compare(rig, `at ${pointer.toString(16)}`);
    }
  }
});

test('writes on both ways and on one: a page that may be written gets the right to', () => {
  for (const both of [true, false]) {
    const rig = new Rig();
    const head = block(rig, 0, load(0, 0), 1, 2);
    block(rig, 1, both ? store(0, 8) : load(2, 8), 0);
    block(rig, 2, both ? store(0, 8) : store(0, 16), 0);
    compile(rig, [head]);
    for (const odd of [0, 1]) {
      start(rig, MAPPED);
      register(rig, GPR0 + 1, odd);
      protect(rig, MAPPED >>> 12);
      compare(rig, `${both ? 'both' : 'one'}, ${odd}`);
    }
    assert.equal(rig.sideExits, 0);
  }
});
