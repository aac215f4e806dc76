/** Regions that another thread compiles: what may happen to the guest's code meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CompiledJob, type CompileJob, type CompileThread, regionCompiler } from '../../src/accel/tcg/compiler.js';
import { X86_64 } from '../../src/guest/x86/index.js';
import { X86 } from '../../src/guest/x86/state.js';
import { BlockBuilder } from '../../src/ir/builder.js';
import { BLOCK } from '../../src/ir/layout.js';
import { PcMask } from '../../src/ir/ops.js';
import { CPU, compare, ONLY_VCPU, Rig } from './rig.js';

const CODE = 0x4000;
const BLOCK_BYTES = 16;
const GPR0 = (X86.at['rax'] as number) / 8;
const COUNTER = GPR0 + 15;

/** Gets a copy of each job, as a thread does, and answers when it is told to. */
class LateThread implements CompileThread {
  ready = true;
  prepared = false;
  private answer: (() => void) | undefined;
  private readonly compiler = regionCompiler([X86_64], ONLY_VCPU);

  prepare(): void {
    this.prepared = true;
  }
  compile(job: CompileJob, done: (result: CompiledJob | undefined) => void): void {
    assert.equal(this.answer, undefined, 'one job at a time');
    const copy = structuredClone(job);
    this.answer = () => done(this.ready ? this.compiler.compile(copy) : undefined);
  }
  get busy(): boolean {
    return this.answer !== undefined;
  }
  finish(): void {
    const { answer } = this;
    this.answer = undefined;
    answer?.();
  }
  dispose(): void {}
}

/** Two blocks that lead to each other until the counter is zero. */
function place(rig: Rig): readonly [number, number] {
  const block = (at: number, to: number): number => {
    const b = new BlockBuilder();
    b.dai('addi', GPR0 + at, GPR0 + at, 3);
    b.dai('subi', COUNTER, COUNTER, 1);
    const done = b.beginIfImm('eq', COUNTER, 0);
    b.goto(0x2000, PcMask.m64);
    b.endIf(done);
    b.goto((to - at) * BLOCK_BYTES, PcMask.m64);
    return rig.place(CODE + at * BLOCK_BYTES, b, BLOCK_BYTES);
  };
  rig.view.setBigUint64(CPU + COUNTER * 8, 100n, true);
  rig.pc = CODE;
  return [block(0, 1), block(1, 0)];
}

const word = (block: number, field: string): number => (block + (BLOCK.at[field] as number)) / 4;
const isEntered = (rig: Rig, block: number): boolean => rig.words[word(block, 'entry')] !== 0;

function begin(): { rig: Rig; thread: LateThread; head: number; other: number } {
  const thread = new LateThread();
  const rig = new Rig(false, false, thread);
  const [head, other] = place(rig);
  rig.jit.request(head);
  assert.ok(thread.prepared);
  assert.equal(rig.jit.flushQueue(), 0);
  assert.ok(thread.busy && !isEntered(rig, head));
  return { rig, thread, head, other };
}

test('a region is installed when the thread has compiled it', () => {
  const { rig, thread, head } = begin();
  thread.finish();
  assert.ok(isEntered(rig, head));
  assert.equal(rig.jit.stats.away, 1);
  compare(rig, 'from the thread');
});

test('heads wait while the thread has a job', () => {
  const { rig, thread, other } = begin();
  rig.jit.request(other);
  assert.equal(rig.jit.pending, 0);
  thread.finish();
  assert.equal(rig.jit.pending, 1);
});

test('a region whose code has changed is not installed, and its head is seen to again', () => {
  const { rig, thread, head, other } = begin();
  rig.words[word(other, 'valid')] = 0;
  rig.jit.invalidated(other);
  thread.finish();
  assert.equal(rig.jit.stats.regions, 0);
  assert.ok(!isEntered(rig, head));
  assert.equal(rig.jit.pending, 1);
});

test('of a region whose head has changed nothing is left', () => {
  const { rig, thread, head } = begin();
  rig.words[word(head, 'valid')] = 0;
  rig.jit.invalidated(head);
  thread.finish();
  assert.equal(rig.jit.stats.regions, 0);
  assert.equal(rig.jit.pending, 0);
});

test('what was compiled for blocks that are all forgotten is not installed', () => {
  const { rig, thread } = begin();
  rig.reset();
  const [head] = place(rig);
  thread.finish();
  assert.equal(rig.jit.stats.regions, 0);
  assert.ok(!isEntered(rig, head));
  rig.jit.request(head);
  rig.jit.flushQueue();
  thread.finish();
  assert.ok(isEntered(rig, head));
});

test('when the thread is no more its job is done here', () => {
  const { rig, thread, head } = begin();
  thread.ready = false;
  thread.finish();
  assert.ok(!isEntered(rig, head));
  assert.equal(rig.jit.flushQueue(), 1);
  assert.ok(isEntered(rig, head));
  compare(rig, 'compiled here');
});
