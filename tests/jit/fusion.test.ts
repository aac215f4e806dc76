/** Sequences that the interpreter does at once (src/ir/fusion.ts) against their ops one by one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { helper } from '../../src/guest/x86/helpers/index.js';
import { X86 } from '../../src/guest/x86/state.js';
import { BlockBuilder, FLAG_OP } from '../../src/ir/builder.js';
import { codeOf, SEQUENCES, SINGLES, type Step } from '../../src/ir/fusion.js';
import { BLOCK } from '../../src/ir/layout.js';
import { JumpKind, OP, OP_MASK, OPS, PcMask } from '../../src/ir/ops.js';
import { CPU, RAM, Rig } from './rig.js';

const GPR0 = (X86.at['rax'] as number) / 8;
/** A register that nothing changes: near the end of the pages that the TLB knows. */
const POINTER = GPR0 + 7;
const HERE = 0x4000;
const textOf = (steps: readonly Step[]): string => steps.map(({ name, manner }) => `${name} ${manner}`).join(', ');

/** The same numbers for the same seed everywhere. */
function numbers(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
    return (x >>> 8) % below;
  };
}

/** A block that begins with a sequence, its operands random; an op that is part of none stands behind it. */
function build(steps: readonly Step[], random: (below: number) => number): BlockBuilder {
  const b = new BlockBuilder();
  const slot = (): number => GPR0 + random(6);
  for (const [i, { name, manner }] of steps.entries()) {
    b.beginInstruction(i);
    const op = OPS[OP[name]] as (typeof OPS)[0];
    if (op.effect === 'if') {
      const imm = random(2) === 0 ? random(3) - 1 : random(0x7fffffff);
      const handle = b.emit(OP[name], op.format === 'ifi' ? 1 : 0, slot(), op.format === 'ifi' ? 0 : slot(), imm, 0);
      if (manner === 'skipped') b.call('callf', helper('pause').id, slot(), slot(), slot(), 1);
      else b.goto(0x40, PcMask.m64);
      b.endIf(handle);
      if (manner === 'ways') b.goto(0x80, PcMask.m64);
    } else if (op.format === 'ldm') b.load(name, slot(), POINTER, random(64));
    else if (op.format === 'stm') b.store(name, POINTER, slot(), random(64));
    else if (name === 'goto') b.goto(0x40, PcMask.m64);
    else if (name === 'jmp') b.jmp(slot(), JumpKind.ret);
    else if (name === 'flags') b.flags((random(13) << 2) | random(4), slot(), slot());
    else if (name === 'movi') b.movi(slot(), random(0x7fffffff), random(3) - 1);
    else if (name === 'pcrel') b.pcrel(slot(), random(200) - 100, random(3));
    else b.emit(OP[name], slot(), slot(), slot(), random(0x7fffffff), 0);
  }
  b.emit(OP.nop, 0, 0, 0, 0, 0);
  b.goto(0x40, PcMask.m64);
  return b;
}

test('every op and every sequence has a code of its own', () => {
  const codes = SINGLES.map(codeOf);
  assert.equal(new Set(codes).size, codes.length);
  assert.ok(Math.min(...codes) > SEQUENCES.length);
  assert.ok(Math.max(...codes) <= 0xff, `${Math.max(...codes)} codes`);
  assert.ok(OPS.length <= OP_MASK);
  assert.equal(new Set(SEQUENCES.map(textOf)).size, SEQUENCES.length);
});

test('sequences do what their ops do one by one', () => {
  const rig = new Rig();
  let faults = 0;
  for (const [i, steps] of SEQUENCES.entries()) {
    rig.reset();
    // Pages that the TLB does not know are not present.
    rig.view.setUint32(CPU + (X86.at['cr0'] as number), 0x80000001, true);
    for (let seed = 1; seed <= 4; seed++) {
      const what = `${textOf(steps)}, seed ${seed}`;
      const random = numbers(i * 100 + seed);
      const builder = build(steps, random);
      const first = (rig.place(HERE, builder, 64) + BLOCK.size) / 4;
      assert.equal(((rig.words[first] as number) >>> 8) & 0xff, i + 1, what);
      for (let r = 0; r < 16; r++)
        rig.view.setBigUint64(CPU + (GPR0 + r) * 8, BigInt(random(8) === 0 ? 0 : random(1 << 30)), true);
      // Behind the pages of the TLB, now and then: a fault in the middle.
      rig.view.setBigUint64(CPU + POINTER * 8, BigInt(seed % 4 === 0 ? 0x500000 : 0x10100), true);
      for (let at = 0; at < 0x200; at += 4) rig.view.setUint32(RAM + 0x10000 + at, random(1 << 30), true);
      for (let s = FLAG_OP; s < FLAG_OP + 4; s++) rig.view.setBigUint64(CPU + s * 8, BigInt(random(52)), true);
      rig.pc = HERE;
      const restore = rig.snapshot();
      const together = rig.run(false, 1);
      restore();
      for (let n = 0; n < builder.count; n++) {
        const w = first + n * 4;
        const op = OPS[(rig.words[w] as number) & OP_MASK] as (typeof OPS)[0];
        rig.words[w] = ((rig.words[w] as number) & ~0xff00) | (codeOf(op.name) << 8);
      }
      const alone = rig.run(false, 1);
      assert.deepEqual(together.state, alone.state, what);
      assert.equal(together.end, alone.end, what);
      assert.ok(Buffer.from(together.ram).equals(Buffer.from(alone.ram)), what);
      if (alone.end !== 'limit') faults++;
    }
  }
  assert.ok(faults > 20, `${faults} faults in the middle`);
});
