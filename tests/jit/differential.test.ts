/** Interpreter against compiled regions: random ops in random control-flow graphs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { helper } from '../../src/guest/x86/helpers/index.js';
import { X86 } from '../../src/guest/x86/state.js';
import { BlockBuilder, FLAG_OP, TEMP0 } from '../../src/ir/builder.js';
import { BLOCK, ENTRY_SHIFT, VCPU } from '../../src/ir/layout.js';
import { JumpKind, OPS, type OpInfo, PcMask } from '../../src/ir/ops.js';
import { CPU, compare, RAM, Rig, VECTOR_BASE_SLOT } from './rig.js';

/** xorshift32: the same sequence for the same seed everywhere. */
class Random {
  constructor(private state: number) {}
  next(below: number): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return (x >>> 0) % below;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.next(list.length)] as T;
  }
}

const GPR0 = (X86.at['rax'] as number) / 8;
const COUNTER = GPR0 + 15;
const ZMM0 = (X86.at['zmm'] as number) / 8;
const EFLAGS_AT = X86.at['eflags'] as number;
/** Registers that hold addresses of data; the last one moves now and then. */
const POINTERS = [7, 8, 9];
const MOVING = GPR0 + 9;
const INTERESTING = [0, 1, -1, 2, 7, 8, 31, 32, 63, 64, 0xff, 0x7fff, 0x8000, 0x7fffffff, -0x80000000, 4095, 4096];
/** Linear addresses of mapped memory start here; the fourth page misses the TLB at first. */
const DATA = 0x10000;

/** Some in line in the usual case, some always helpers. */
const FLOATS = [
  'addsd',
  'mulss',
  'divpd',
  'subps',
  'sqrtsd',
  'minsd',
  'maxps',
  'cvtss2sd',
  'cvtsd2ss',
  'cvtdq2ps',
].concat(['comisd', 'cvtsd2si', 'cvtsi2sd', 'haddpd', 'cmpsd']);
/** x87 helpers with the bits of imm that make variants of them, beside the register in bits 0 to 2. */
const X87_OPS: readonly (readonly [string, number])[] = [
  ...(['fadd', 'fmul', 'fsub', 'fdiv'] as const).map((name) => [name, 0x38] as const),
  ...(['faddm', 'fmulm', 'fsubm', 'fdivm'] as const).map((name) => [name, 0xe0] as const),
  ...(['fld', 'fld', 'fldm', 'fldm', 'fild64', 'fldconst'] as const).map((name) => [name, 0xc0] as const),
  ...(['fst', 'fst32', 'fst64', 'fsign', 'fcom', 'fcomi', 'fcomm', 'fincstp'] as const).map(
    (name) => [name, 8] as const,
  ),
  ...(['fxch', 'fxch', 'fsqrt', 'ffree', 'fprem'] as const).map((name) => [name, 0] as const),
];
const PURE: readonly OpInfo[] = OPS.filter(
  (o) => o.effect === 'pure' && !['nop', 'movi', 'sel', 'lea', 'lea32', 'pcrel', 'flags', 'cond'].includes(o.name),
);
const MEMORY = OPS.filter((o) => o.effect === 'fault' && o.name !== 'probew');
const IFS = OPS.filter((o) => o.effect === 'if');

class Generator {
  readonly b = new BlockBuilder();
  private temps = 0;
  constructor(
    private readonly r: Random,
    private readonly x87 = false,
  ) {}

  private source(): number {
    const n = this.r.next(20);
    if (n < 6 && this.temps > 0) return TEMP0 + this.r.next(this.temps);
    if (n === 19) return ZMM0 + this.r.next(16);
    if (n === 18) return FLAG_OP + this.r.next(4);
    return GPR0 + this.r.next(6);
  }
  private target(): number {
    const n = this.r.next(20);
    if (n < 8) {
      if (this.temps < 12 && this.r.next(2) === 0) this.temps++;
      return this.temps > 0 ? TEMP0 + this.r.next(this.temps) : GPR0;
    }
    if (n === 19) return ZMM0 + this.r.next(16);
    return GPR0 + this.r.next(6);
  }
  /** A temporary that is certainly defined: targets may only name those, so each is written once first. */
  beginInstruction(offset: number): void {
    this.b.beginInstruction(offset);
    this.temps = 0;
  }
  private defineTemps(): void {
    for (; this.temps < 4; this.temps++) {
      if (this.r.next(2) === 0)
        this.b.movi(TEMP0 + this.temps, this.immediate(), this.r.next(2) ? 0 : this.immediate());
      else this.b.mov(TEMP0 + this.temps, GPR0 + this.r.next(6));
    }
  }
  private immediate(): number {
    return this.r.next(3) === 0 ? (this.r.next(0xffffffff) + this.r.next(2)) | 0 : this.r.pick(INTERESTING);
  }

  /** An x87 instruction on registers, or with a general register in place of the memory operand. */
  private x87Instruction(): void {
    const { b, r } = this;
    const [name, variants] = r.pick(X87_OPS);
    const slot = GPR0 + r.next(6);
    const imm = r.next(8) | (r.next(0x400) & variants) | (r.next(6) << 12) | (r.next(0x800) << 16);
    // It writes 32 bits of what was loaded from as many.
    if (name === 'fst32') b.da('ext32u', slot, slot);
    b.call('vcallf', helper(name).id, slot, slot, slot, imm);
  }

  private pure(): void {
    const { b, r } = this;
    if (this.x87 && r.next(2) === 0) {
      this.x87Instruction();
      return;
    }
    switch (r.next(12)) {
      case 0:
        b.movi(this.fixedTarget(), this.immediate(), this.immediate());
        return;
      case 1:
        b.lea(this.fixedTarget(), this.source(), this.source(), r.next(4), this.immediate(), r.next(2) === 0);
        return;
      case 2:
        b.sel(this.fixedTarget(), this.source(), this.source(), this.source());
        return;
      case 3:
        b.pcrel(this.fixedTarget(), r.next(200) - 100, r.next(3));
        return;
      case 4:
        b.flags((r.next(13) << 2) | r.next(4), this.source(), this.source());
        return;
      case 5:
        b.cond(this.fixedTarget(), r.next(17));
        return;
      case 6:
        if (r.next(2) === 0)
          b.envLoad(this.fixedTarget(), r.pick([8, 16, 32] as const), r.next(2) ? EFLAGS_AT : GPR0 * 8 + r.next(4) * 4);
        else b.envStore(r.pick([8, 16, 32] as const), r.next(2) ? EFLAGS_AT : GPR0 * 8 + r.next(4) * 4, this.source());
        return;
      case 7: {
        const [dst, a, c] = [0, 1, 2].map(() => ZMM0 + r.next(4) * 8) as [number, number, number];
        const kind = r.next(3);
        if (kind === 0) b.call('vcallf', helper(r.pick(FLOATS)).id, dst, dst, c);
        else if (kind === 1) b.call('vcall', helper(r.pick(['paddb', 'pxor', 'movdqa', 'pmovmskb'])).id, dst, a, c);
        else b.call('call', helper('crc32').id, this.fixedTarget(), this.source(), this.source(), r.pick([1, 2, 4]));
        return;
      }
    }
    const o = r.pick(PURE);
    b.emit(OPS.indexOf(o), this.fixedTarget(), this.source(), this.source(), this.immediate(), 0);
  }
  private fixedTarget(): number {
    const before = this.temps;
    const t = this.target();
    this.temps = before;
    return t >= TEMP0 + before && t < TEMP0 + 96 ? GPR0 : t;
  }

  /** Slot with an address: a computed one, or a pointer register that changes seldom or never. */
  private address(): number {
    const { b, r } = this;
    const pointer = GPR0 + r.pick(POINTERS);
    switch (r.next(5)) {
      case 0:
        return pointer;
      case 1:
        return b.dai('addi', TEMP0, pointer, r.next(9) * 4 - 16);
      case 2:
        return b.dai('addi32', TEMP0, pointer, r.next(9) * 4 - 16);
      case 3:
        if (r.next(2) === 0) return b.mov(TEMP0, pointer);
        return b.da('ext32u', TEMP0, pointer);
      default:
        b.dai('andi', TEMP0, GPR0 + r.next(6), 0x3fff);
        return b.dai('addi', TEMP0, TEMP0, DATA);
    }
  }

  /** One guest instruction: loads first, then computation with conditional bodies. */
  instruction(offset: number): void {
    const { b, r } = this;
    this.beginInstruction(offset);
    this.defineTemps();
    const kind = r.next(24);
    if (kind < 8) {
      const o = r.pick(MEMORY);
      const address = this.address();
      const vector = o.name.includes('128') || o.name.includes('256');
      const field = vector ? ZMM0 + r.next(4) * 8 : GPR0 + r.next(6);
      if (o.name.startsWith('st')) b.store(o.name, address, vector ? field : this.source(), r.next(9) * 8 - 32);
      else b.load(o.name, field, address, r.next(9) * 8 - 32);
    } else if (kind === 8) {
      b.probeWrite(TEMP0 + 1, 0, 1 + r.next(16));
    } else if (kind === 9) {
      b.call('callf', helper('pause').id, GPR0 + r.next(6), this.source(), this.source(), 1);
    }
    if (r.next(16) === 0) b.dai(r.pick(['addi', 'subi32'] as const), MOVING, MOVING, r.pick([8, -8, 1]));
    for (let n = r.next(6); n > 0; n--) {
      if (r.next(5) === 0) this.conditional(2);
      else this.pure();
    }
  }

  private condition(): number {
    const { b, r } = this;
    const o = r.pick(IFS);
    const immediate = o.format === 'ifi';
    return b.emit(
      OPS.indexOf(o),
      immediate ? 1 : 0,
      this.source(),
      immediate ? 0 : this.source(),
      immediate ? this.immediate() : 0,
      0,
    );
  }
  private conditional(depth: number): void {
    const handle = this.condition();
    for (let n = this.r.next(4); n > 0; n--) {
      if (depth > 0 && this.r.next(4) === 0) this.conditional(depth - 1);
      else this.pure();
    }
    this.b.endIf(handle);
  }

  /** A block that leaves to `out` when the counter is used up, else to one of `targets` (offsets from the block). */
  block(targets: readonly number[], out: number, instructions: number): void {
    const { b, r } = this;
    b.reset();
    this.beginInstruction(0);
    b.dai('subi', COUNTER, COUNTER, 1);
    const handle = b.beginIfImm('les', COUNTER, 0);
    b.goto(out, PcMask.m64);
    b.endIf(handle);
    let offset = 1;
    for (; offset <= instructions; offset++) {
      this.instruction(offset);
    }
    this.beginInstruction(offset);
    this.defineTemps();
    if (r.next(5) === 0) {
      for (const t of [1, 2]) b.pcrel(TEMP0 + t, r.pick(targets), PcMask.m64);
      b.dai('andi', TEMP0, this.source(), 1);
      b.jmp(b.sel(TEMP0 + 3, TEMP0, TEMP0 + 1, TEMP0 + 2), JumpKind.jump);
      return;
    }
    for (const target of targets.slice(1)) {
      const h = this.condition();
      if (r.next(3) === 0) this.pure();
      b.goto(target, r.pick([PcMask.m64, PcMask.m32]));
      b.endIf(h);
    }
    b.goto(targets[0] as number, PcMask.m64);
  }
}

const BLOCK_BYTES = 32;
const CODE = 0x4000;

/** Mostly what programs run with and numbers that they compute with, sometimes anything. */
function randomX87(rig: Rig, r: Random): void {
  const set = (field: string, value: number): void => rig.view.setUint32(CPU + (X86.at[field] as number), value, true);
  set('fcw', r.next(6) === 0 ? r.next(0x1000) : r.pick([0x37f, 0x37f, 0x27f]));
  set('fsw', r.next(3) === 0 ? 0 : 0x20 | (r.next(16) << 8));
  set('fpTop', r.next(8));
  set('fpTags', r.next(4) === 0 ? r.next(256) : r.pick([0x0f, 0xf0, 0xff, 0]));
  for (let n = 0; n < 8; n++) {
    const at = CPU + (X86.at['fpr'] as number) + n * 16;
    const zero = r.next(8) === 0;
    rig.view.setUint32(at, zero ? 0 : r.next(0xffffffff), true);
    rig.view.setUint32(at + 4, zero ? 0 : r.next(0xffffffff) | (r.next(8) === 0 ? 0 : 0x80000000), true);
    rig.view.setUint32(at + 8, zero ? 0 : r.next(16) === 0 ? r.next(0x10000) : 0x3ff0 + r.next(32), true);
  }
}

function randomState(rig: Rig, r: Random): void {
  rig.view.setUint32(CPU + (X86.at['mxcsr'] as number), r.next(4) === 0 ? 0x1f80 : 0x1fa0, true);
  for (let s = GPR0; s < GPR0 + 16; s++) {
    const value =
      r.next(3) === 0 ? BigInt(r.pick(INTERESTING)) : (BigInt(r.next(0xffffffff)) << 32n) | BigInt(r.next(0xffffffff));
    rig.view.setBigUint64(CPU + s * 8, BigInt.asUintN(64, value), true);
  }
  for (const p of POINTERS) {
    // Mostly inside a page, sometimes at the border of two, sometimes where the TLB misses at first.
    const at = r.pick([0x100, 0x7f0, 0xff8, 0x1ffa, 0x2400, 0x2ff0, 0x3100]) + r.next(16);
    rig.view.setBigUint64(CPU + (GPR0 + p) * 8, BigInt(DATA + at), true);
  }
  for (let i = 0; i < 16 * 64; i += 4) rig.view.setUint32(CPU + ZMM0 * 8 + i, r.next(0xffffffff), true);
  for (let i = 0; i < 0x4000; i += 4) rig.view.setUint32(RAM + DATA + i, r.next(0xffffffff), true);
  for (let s = FLAG_OP; s < FLAG_OP + 4; s++) rig.view.setBigUint64(CPU + s * 8, BigInt(r.next(52)), true);
}

const entryOf = (rig: Rig, block: number): number => rig.words[(block + (BLOCK.at['entry'] as number)) / 4] as number;

/** So many blocks of random ops, one behind the other from CODE on, each with jumps to some of them. */
function placeRandom(rig: Rig, r: Random, g: Generator, count: number, instructions: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const here = CODE + i * BLOCK_BYTES;
    const targets = Array.from({ length: 1 + r.next(3) }, () => (r.next(count) - i) * BLOCK_BYTES);
    if (i + 1 < count) targets[0] = BLOCK_BYTES;
    g.block(targets, 0x8000 - here, instructions);
    return rig.place(here, g.b, BLOCK_BYTES);
  });
}

test('random regions agree with the interpreter', () => {
  // Code for the only vCPU, and such as any of several can run.
  const rigs = [new Rig(), new Rig(false, true)] as const;
  let inTheMiddle = 0;
  for (let seed = 1; seed <= 500; seed++) {
    const r = new Random(seed * 7919);
    const rig = rigs[(seed >> 1) & 1] as Rig;
    rig.reset();
    const count = 1 + r.next(seed % 3 === 0 ? 24 : 6);
    const g = new Generator(r);
    const blocks = placeRandom(rig, r, g, count, 1 + r.next(10));
    randomState(rig, r);
    rig.view.setBigUint64(CPU + COUNTER * 8, BigInt(20 + r.next(200)), true);
    rig.pc = CODE;
    // Every other time regions fill the TLB themselves.
    for (const block of blocks)
      if (seed % 2 === 0) rig.words[(block + (BLOCK.at['sideExits'] as number)) / 4] = 1 << 20;
    if (seed % 4 !== 0) rig.indirect = blocks.filter(() => r.next(4) > 0);
    for (const block of blocks) if (r.next(2) === 0 || block === blocks[0]) rig.jit.request(block);
    assert.ok(rig.jit.flushQueue() > 0);
    const entered = blocks.filter((block) => entryOf(rig, block) !== 0);
    if (seed % 5 === 0) rig.pc = CODE + blocks.indexOf(r.pick(entered)) * BLOCK_BYTES;
    if (entryOf(rig, blocks[(rig.pc - CODE) / BLOCK_BYTES] as number) >>> ENTRY_SHIFT !== 0) inTheMiddle++;
    compare(rig, `seed ${seed}`);
  }
  for (const rig of rigs) assert.ok(rig.sideExits > 50, 'TLB misses were seen');
  assert.ok(inTheMiddle > 20, `${inTheMiddle} regions entered in the middle`);
});

test('random regions with x87 instructions agree with the interpreter', () => {
  const rigs = [new Rig(), new Rig(false, true)] as const;
  let usual = 0;
  for (let seed = 1; seed <= 300; seed++) {
    const r = new Random(seed * 6700417);
    const rig = rigs[seed & 1] as Rig;
    rig.reset();
    const count = 1 + r.next(6);
    const g = new Generator(r, true);
    const blocks = placeRandom(rig, r, g, count, 1 + r.next(6));
    randomState(rig, r);
    randomX87(rig, r);
    rig.view.setBigUint64(CPU + COUNTER * 8, BigInt(1 + r.next(60)), true);
    rig.pc = CODE;
    for (const block of blocks) if (r.next(2) === 0 || block === blocks[0]) rig.jit.request(block);
    assert.ok(rig.jit.flushQueue() > 0);
    compare(rig, `seed ${seed}`);
    if (rig.pc >= 0x8000) usual++;
  }
  assert.ok(usual > 50, `${usual} ran to their end`);
});

test('a region of nothing but x87 instructions does not become huge', () => {
  const rig = new Rig();
  rig.view.setUint32(CPU + (X86.at['fcw'] as number), 0x37f, true);
  const slot = GPR0;
  const bytesOf = (blocks: number): number => {
    let head = 0;
    for (let i = 0; i < blocks; i++) {
      const b = new BlockBuilder();
      b.beginInstruction(0);
      for (let n = 0; n < 100; n++) b.call('vcallf', helper('fadd').id, slot, slot, slot, 1);
      b.goto(BLOCK_BYTES, PcMask.m64);
      const block = rig.place(CODE + i * BLOCK_BYTES, b, BLOCK_BYTES);
      head ||= block;
    }
    const before = rig.jit.stats.bytes;
    rig.jit.request(head);
    assert.equal(rig.jit.flushQueue(), 1);
    return rig.jit.stats.bytes - before;
  };
  const few = bytesOf(4);
  assert.ok(few > 400 * 200, `${few} bytes: in line`);
  const many = bytesOf(60);
  assert.ok(many < 6000 * 100, `${many} bytes: calls`);
});

test('optimised blocks do what they did before', () => {
  const rig = new Rig();
  let removed = 0;
  for (let seed = 1; seed <= 150; seed++) {
    const outcomes = [false, true].map((optimised) => {
      const r = new Random(seed * 104729);
      rig.reset();
      const g = new Generator(r);
      for (let i = 0; i < 4; i++) {
        const here = CODE + i * BLOCK_BYTES;
        const targets = Array.from({ length: 1 + r.next(3) }, () => (r.next(4) - i) * BLOCK_BYTES);
        g.block(targets, 0x8000 - here, 6);
        const { count } = g.b;
        if (optimised) rig.optimise(g.b);
        removed += count - g.b.count;
        rig.place(here, g.b, BLOCK_BYTES);
      }
      randomState(rig, r);
      rig.view.setBigUint64(CPU + COUNTER * 8, 50n, true);
      rig.pc = CODE;
      return rig.run(false);
    });
    assert.equal(outcomes[0]?.end, outcomes[1]?.end, `seed ${seed}`);
    assert.deepEqual(outcomes[1]?.state, outcomes[0]?.state, `seed ${seed}`);
    assert.ok(Buffer.from(outcomes[1]?.ram ?? []).equals(Buffer.from(outcomes[0]?.ram ?? [])), `seed ${seed}: memory`);
  }
  assert.ok(removed > 1000, `${removed} ops removed`);
});

test('under icount both tiers count alike, and end a slice at the same block', () => {
  const rig = new Rig(true);
  const count = CPU + (VCPU.at['instructionCount'] as number);
  const budget = CPU + (VCPU.at['instructionBudget'] as number);
  for (let seed = 1; seed <= 40; seed++) {
    const r = new Random(seed * 1299709);
    rig.reset();
    const g = new Generator(r);
    const blocks: number[] = [];
    for (let i = 0; i < 5; i++) {
      const here = CODE + i * BLOCK_BYTES;
      const targets = Array.from({ length: 1 + r.next(3) }, () => (r.next(5) - i) * BLOCK_BYTES);
      g.block(targets, 0x8000 - here, 4);
      const block = rig.place(here, g.b, BLOCK_BYTES);
      rig.view.setUint16(block + (BLOCK.at['instructions'] as number), 1 + r.next(9), true);
      blocks.push(block);
    }
    rig.jit.request(blocks[0] as number);
    rig.jit.flushQueue();
    randomState(rig, r);
    rig.view.setBigUint64(CPU + COUNTER * 8, 1000n, true);
    rig.view.setBigInt64(budget, BigInt(1 + r.next(300)), true);
    rig.pc = CODE;
    const restore = rig.snapshot();
    const expected = rig.run(false);
    const counted = rig.view.getBigUint64(count, true);
    restore();
    const actual = rig.run(true);
    assert.deepEqual(actual, expected, `seed ${seed}`);
    assert.equal(rig.view.getBigUint64(count, true), counted, `seed ${seed}`);
    assert.ok(counted > 0n);
  }
});

test('a loop header polls the exit request', () => {
  const rig = new Rig();
  const b = new BlockBuilder();
  b.dai('addi', GPR0, GPR0, 1);
  b.goto(0, PcMask.m64);
  const block = rig.place(CODE, b, 4);
  rig.jit.request(block);
  rig.jit.flushQueue();
  rig.pc = CODE;
  rig.view.setUint32(CPU + (VCPU.at['exitRequest'] as number), 1, true);
  const outcome = rig.run(true, 1);
  assert.equal(outcome.end, 'limit');
  assert.equal(rig.pc, CODE);
});

test('a loop that is entered at two places polls the exit request, and may be entered in its middle', () => {
  const rig = new Rig();
  const jump = (at: number, to: number, or?: number): number => {
    const b = new BlockBuilder();
    b.dai('addi', GPR0, GPR0, 1);
    if (or !== undefined) {
      const h = b.beginIfImm('eq', GPR0 + 1, 0);
      b.goto((or - at) * BLOCK_BYTES, PcMask.m64);
      b.endIf(h);
    }
    b.goto((to - at) * BLOCK_BYTES, PcMask.m64);
    return rig.place(CODE + at * BLOCK_BYTES, b, BLOCK_BYTES);
  };
  const blocks = [jump(0, 1, 2), jump(1, 2), jump(2, 1)];
  for (const block of blocks) rig.jit.request(block);
  assert.equal(rig.jit.flushQueue(), 1, 'one region for all heads');
  assert.deepEqual(blocks.map((block) => entryOf(rig, block) >>> ENTRY_SHIFT).sort(), [0, 1, 2]);
  rig.view.setUint32(CPU + (VCPU.at['exitRequest'] as number), 1, true);
  for (const start of [0, 1, 2]) {
    rig.pc = CODE + start * BLOCK_BYTES;
    assert.equal(rig.run(true, 1).end, 'limit');
    assert.ok(rig.pc > CODE, 'in the loop');
  }
});

test('when there is too much compiled code, the oldest goes and may be compiled again', () => {
  const rig = new Rig();
  const blocks = [0, 1, 2].map((n) => {
    const b = new BlockBuilder();
    b.dai('addi', GPR0, GPR0, 1);
    b.goto(0x100, PcMask.m64);
    return rig.place(CODE + n * 0x1000, b, BLOCK_BYTES);
  });
  for (const block of blocks) {
    rig.jit.request(block);
    assert.equal(rig.jit.flushQueue(), 1);
  }
  const compiled = (): boolean[] => blocks.map((block) => rig.words[(block + (BLOCK.at['entry'] as number)) / 4] !== 0);
  const { bytes } = rig.jit.stats;
  rig.jit.trim(bytes);
  assert.deepEqual(compiled(), [true, true, true]);
  rig.jit.trim(bytes - 1);
  assert.deepEqual(compiled(), [false, true, true]);
  rig.jit.request(blocks[0] as number);
  assert.equal(rig.jit.flushQueue(), 1);
  assert.deepEqual(compiled(), [true, true, true]);
  rig.jit.trim(0);
  assert.deepEqual(compiled(), [false, false, false]);
});

test('vectorBase is a slot', () => {
  assert.equal(VECTOR_BASE_SLOT % 8, 0);
});

test('every pure op agrees with the interpreter on edge values', () => {
  const rig = new Rig();
  const r = new Random(42);
  for (const o of PURE) {
    rig.reset();
    const b = new BlockBuilder();
    // All pairs of edge values would be long: each op gets some in a row, into registers of their own.
    for (let n = 0; n < 10; n++)
      b.emit(OPS.indexOf(o), GPR0 + 6 + (n % 9), GPR0 + r.next(6), GPR0 + r.next(6), r.pick(INTERESTING), 0);
    b.goto(0x100, PcMask.m64);
    const block = rig.place(CODE, b, BLOCK_BYTES);
    rig.jit.request(block);
    rig.jit.flushQueue();
    for (let n = 0; n < 20; n++) {
      randomState(rig, r);
      rig.pc = CODE;
      compare(rig, o.name);
    }
  }
});
