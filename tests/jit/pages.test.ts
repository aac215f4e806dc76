/** Regions over several guest pages: they hold only as long as those are mapped as they were. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VCPU } from '../../src/ir/layout.js';
import { BareMachine } from '../support/bare-machine.js';

const field = (m: BareMachine, name: string): number => m.registers.state + (VCPU.at[name] as number);
const words = (m: BareMachine): DataView => new DataView(m.accelerator.memory.buffer);

/** Runs the code at `address` until HLT. */
function run(m: BareMachine, address: number): void {
  m.registers.set('rip', BigInt(address));

  words(m).setUint32(field(m, 'halted'), 0, true); // HLT of the run before
  assert.equal(m.run().reason, 'halted');
}

test('a loop across a page border is one region', () => {
  const m = new BareMachine({ mode: 'long64', hotThreshold: 10 });
  // mov ecx, 1000; xor eax, eax; loop: add eax, ecx; nop ...
  m.load(0x10ff0, [0xb9, 0xe8, 3, 0, 0, 0x31, 0xc0, 0x01, 0xc8, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90]);
  m.load(0x11000, [0xff, 0xc9, 0x75, 0xf3, 0xf4]); // dec ecx; jnz loop; hlt
  for (let i = 0; i < 12; i++) {
    run(m, 0x10ff0);
    assert.equal(m.registers.get('rax'), 500500n);
  }
  const { compiled, blocks } = m.accelerator.jit.stats;
  assert.ok(compiled > 0 && blocks > compiled, `${blocks} blocks in ${compiled} regions`);
});

test('INVLPG of a page in the middle of a region and of a called page', () => {
  const m = new BareMachine({ mode: 'long64', hotThreshold: 10 });
  const entry = (at: number, value: number): void => m.view.setBigUint64(at, BigInt(value), true);
  entry(0x2008, 0x3007); // linear 0x40000000: page directory
  entry(0x3000, 0x4007); // page table
  entry(0x4000, 0x22007);
  entry(0x4008, 0x20007);
  // A function that begins at the end of one page and goes on in the next: add edx, 1; nop ...; mov eax, N; ret
  m.load(0x22ff0, [0x83, 0xc2, 0x01, ...Array<number>(13).fill(0x90)]);
  m.load(0x20000, [0xb8, 1, 0, 0, 0, 0xc3]);
  m.load(0x21000, [0xb8, 2, 0, 0, 0, 0xc3]);
  // mov rbx, 0x40000ff0; mov ecx, 5000; call rbx; dec ecx; jnz; hlt
  const loop = [0xb9, 0x88, 0x13, 0, 0, 0xff, 0xd3, 0xff, 0xc9, 0x75, 0xfa, 0xf4];
  m.load(0x10000, [0x48, 0xbb, 0xf0, 0x0f, 0, 0x40, 0, 0, 0, 0, ...loop]);
  // mov qword [0x4008], 0x21007; invlpg [0x40001000]; the loop again
  m.load(0x10100, [0x48, 0xc7, 4, 0x25, 8, 0x40, 0, 0, 7, 0x10, 2, 0, 0x0f, 1, 0x3c, 0x25, 0, 0x10, 0, 0x40, ...loop]);
  for (let i = 0; i < 4; i++) {
    m.registers.set('rdx', 0n);
    run(m, 0x10000);
    assert.equal(m.registers.get('rax'), 1n);
    assert.equal(m.registers.get('rdx'), 5000n);
  }
  assert.ok(m.accelerator.jit.stats.regions > 0);
  run(m, 0x10100);
  assert.equal(m.registers.get('rax'), 2n);
  assert.equal(m.registers.get('rdx'), 10000n);
});

test('a loop that is left before its write leaves the page clean', () => {
  const m = new BareMachine({ mode: 'long64', hotThreshold: 10 });
  const entry = (at: number, value: number): void => m.view.setBigUint64(at, BigInt(value), true);
  entry(0x2008, 0x3007); // linear 0x40000000: page directory
  entry(0x3000, 0x4007); // page table
  entry(0x4000, 0x20007);
  entry(0x4008, 0x21007);
  m.view.setUint32(0x20000, 1, true);
  // mov ecx, 2000; loop: mov eax, [rbx]; test eax, eax; jz out; mov [rbx+8], eax; dec ecx; jnz loop; out: hlt
  const head = [0xb9, 0xd0, 7, 0, 0, 0x8b, 0x03, 0x85, 0xc0, 0x74, 0x07];
  m.load(0x10000, [...head, 0x89, 0x43, 0x08, 0xff, 0xc9, 0x75, 0xf3, 0xf4]);
  m.registers.set('rbx', 0x40000000n);
  for (let i = 0; i < 4; i++) run(m, 0x10000);
  assert.ok(m.accelerator.jit.stats.regions > 0);
  assert.equal(m.view.getUint32(0x20008, true), 1);
  const rights = (at: number): number => Number(m.view.getBigUint64(at, true) & 0x60n);
  assert.equal(rights(0x4000), 0x60, 'accessed and dirty');
  m.registers.set('rbx', 0x40001000n);
  run(m, 0x10005);
  assert.equal(rights(0x4008), 0x20, 'accessed only');
});

test('compiled code that writes into a page with code', () => {
  const m = new BareMachine({ mode: 'long64', hotThreshold: 10 });
  // f at 0x20000: mov eax, 1; ret. The loop changes f's constant every time: mov [0x20001], ecx; call f; add edx, eax
  m.load(0x20000, [0xb8, 1, 0, 0, 0, 0xc3]);
  m.load(0x10000, [
    ...[0xbb, 0, 0, 2, 0], // mov ebx, 0x20000
    ...[0xb9, 100, 0, 0, 0], // mov ecx, 100
    ...[0x31, 0xd2], // xor edx, edx
    ...[0x89, 0x4b, 0x01], // mov [rbx+1], ecx
    ...[0xff, 0xd3], // call rbx
    ...[0x01, 0xc2], // add edx, eax
    ...[0xff, 0xc9, 0x75, 0xf5], // dec ecx; jnz
    0xf4,
  ]);
  for (let i = 0; i < 4; i++) {
    run(m, 0x10000);
    assert.equal(m.registers.get('rdx'), 5050n);
  }
  assert.ok(m.accelerator.jit.stats.compiled > 0);
});

test('compiled code that writes into itself by a string instruction and calls itself next', () => {
  const m = new BareMachine({ mode: 'long64', hotThreshold: 10 });
  m.load(0x20000, [
    ...[0xb8, 1, 0, 0, 0], // f: mov eax, 1
    ...[0x01, 0xc2], // add edx, eax
    ...[0xff, 0xcd, 0x74, 0x10], // dec ebp; jz out
    ...[0x89, 0xe8, 0x89, 0xf7], // mov eax, ebp; mov edi, esi
    ...[0xb9, 1, 0, 0, 0, 0xf3, 0xab], // mov ecx, 1; rep stosd
    ...[0xe8, 0xe5, 0xff, 0xff, 0xff], // call f
    0xc3, // out: ret
  ]);
  // mov ebp, 100; xor edx, edx; mov ebx, 0x20000; call rbx; hlt
  m.load(0x10000, [0xbd, 100, 0, 0, 0, 0x31, 0xd2, 0xbb, 0, 0, 2, 0, 0xff, 0xd3, 0xf4]);
  m.registers.set('rsi', 0x30000n);
  for (let i = 0; i < 4; i++) {
    run(m, 0x10000);
    assert.equal(m.registers.get('rdx'), 100n);
  }
  assert.ok(m.accelerator.jit.stats.compiled > 0);
  m.registers.set('rsi', 0x20001n);
  run(m, 0x10000);
  assert.equal(m.registers.get('rdx'), 1n + 4950n);
});

test('a page that moved is seen to have when the TLB generations have come round', () => {
  const m = new BareMachine({ mode: 'long64', hotThreshold: Number.POSITIVE_INFINITY });
  const entry = (at: number, value: number): void => m.view.setBigUint64(at, BigInt(value), true);
  entry(0x2008, 0x3007); // linear 0x40000000: page directory
  entry(0x3000, 0x4007); // page table
  entry(0x4000, 0x20007);
  m.load(0x20000, [0xb8, 1, 0, 0, 0, 0xc3]); // mov eax, N; ret
  m.load(0x21000, [0xb8, 2, 0, 0, 0, 0xc3]);
  // mov ebx, 0x40000000; call rbx; hlt
  m.load(0x10000, [0xbb, 0, 0, 0, 0x40, 0xff, 0xd3, 0xf4]);
  // mov qword [0x4000], 0x21007; mov rax, cr3; mov ecx, 4095; again: mov cr3, rax; dec ecx; jnz again; jmp 0x10000
  const turns = [0x0f, 0x20, 0xd8, 0xb9, 0xff, 0x0f, 0, 0, 0x0f, 0x22, 0xd8, 0xff, 0xc9, 0x75, 0xf9];
  m.load(0x10100, [0x48, 0xc7, 4, 0x25, 0, 0x40, 0, 0, 7, 0x10, 2, 0, ...turns, 0xe9, 0xe0, 0xfe, 0xff, 0xff]);
  run(m, 0x10000);
  assert.equal(m.registers.get('rax'), 1n);
  run(m, 0x10100);
  assert.equal(m.registers.get('rax'), 2n);
});
