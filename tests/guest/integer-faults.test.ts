/** What integer instructions do at the edges: faults and where they point, pages, lengths, LOCK, alignment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VCPU } from '../../src/ir/layout.js';
import { BareMachine } from '../support/bare-machine.js';

const CODE = 0x10000;
const GDT = 0x4000;
const IDT = 0x5000;
const STUBS = 0x6000;
const PD = 0x7000;
const DATA = 0x20000;

/** A 64-bit machine whose exception handlers put the vector into RBX and halt. */
class Faults {
  readonly m: BareMachine;
  constructor(readonly cpl: 0 | 3 = 0) {
    this.m = new BareMachine({ mode: 'long64', cpl });
    const { view, ram, registers: r } = this.m;
    view.setBigUint64(GDT + 8, 0x00af9b000000ffffn, true);
    view.setBigUint64(GDT + 16, 0x00cf93000000ffffn, true);
    for (let n = 0; n < 32; n++) {
      const stub = STUBS + n * 16;
      ram.set([0xbb, n, 0, 0, 0, 0xf4], stub); // mov ebx, n; hlt
      view.setBigUint64(IDT + n * 16, BigInt(stub) | (8n << 16n) | (0x8e00n << 32n), true);
    }
    r.setSegment('gdtr', { selector: 0, base: BigInt(GDT), limit: 0xff, attributes: 0 });
    r.setSegment('idtr', { selector: 0, base: BigInt(IDT), limit: 0x1ff, attributes: 0 });
    // 4 KiB pages for the first 2 MiB, so that single ones can be taken away.
    view.setBigUint64(0x2000, BigInt(PD | 7), true);
    view.setBigUint64(PD, BigInt(0x8000 | 7), true);
    for (let page = 0; page < 512; page++) view.setBigUint64(0x8000 + page * 8, BigInt(page * 4096 + 7), true);
    r.set('rsp', BigInt(0xf000));
    // TSS for the stack of faults from user mode.
    view.setBigUint64(0xa000 + 4, 0xf800n, true);
    r.setSegment('tr', { selector: 24, base: 0xa000n, limit: 0x67, attributes: 0x8b });
  }
  unmap(address: number): void {
    this.m.view.setBigUint64(0x8000 + (address >> 12) * 8, 0n, true);
  }
  /** Runs code that ends in HLT (-1) or a fault (its vector). */
  run(code: readonly number[], at = CODE): number {
    this.m.load(at, code);
    this.m.registers.set('rbx', 0xffn);
    assert.equal(this.m.run().reason, 'halted');
    const rbx = Number(this.m.registers.get('rbx'));
    return rbx === 0xff ? -1 : rbx;
  }
  /** The RIP that the handler would return to; `code`: whether the exception pushes an error code. */
  faultRip(code: boolean): number {
    return Number(this.m.view.getBigUint64(Number(this.m.registers.get('rsp')) + (code ? 8 : 0), true));
  }
}

/** The same in flat 32-bit protected mode without paging. */
class Faults32 {
  readonly m = new BareMachine({ mode: 'protected32' });
  constructor() {
    const { view, ram, registers: r } = this.m;
    view.setBigUint64(GDT + 8, 0x00cf9b000000ffffn, true);
    for (let n = 0; n < 32; n++) {
      ram.set([0xbb, n, 0, 0, 0, 0xf4], STUBS + n * 16); // mov ebx, n; hlt
      view.setBigUint64(IDT + n * 8, BigInt(STUBS + n * 16) | (8n << 16n) | (0x8e00n << 32n), true);
    }
    r.setSegment('gdtr', { selector: 0, base: BigInt(GDT), limit: 0xff, attributes: 0 });
    r.setSegment('idtr', { selector: 0, base: BigInt(IDT), limit: 0xff, attributes: 0 });
    r.set('rsp', 0xf000n);
  }
  /** Runs code that ends in HLT (-1) or a fault (its vector). */
  run(code: readonly number[]): number {
    this.m.load(CODE, code);
    this.m.registers.set('rbx', 0xffn);
    assert.equal(this.m.run().reason, 'halted');
    const rbx = Number(this.m.registers.get('rbx'));
    return rbx === 0xff ? -1 : rbx;
  }
}

const HLT = 0xf4;

test('LOCK is #UD on a register, on a load, and on instructions that cannot be locked', () => {
  for (const code of [
    [0xf0, 0x01, 0xc0], // lock add eax, eax
    [0xf0, 0x03, 0x06], // lock add eax, [rsi]
    [0xf0, 0x89, 0x06], // lock mov [rsi], eax
    [0xf0, 0x39, 0x06], // lock cmp [rsi], eax
    [0xf0, 0x90],
  ]) {
    const f = new Faults();
    f.m.registers.set('rsi', BigInt(DATA));
    assert.equal(f.run([0x90, ...code, HLT]), 6, code.map((b) => b.toString(16)).join(' '));
    assert.equal(f.faultRip(false), CODE + 1);
  }
  const f = new Faults();
  f.m.registers.set('rsi', BigInt(DATA));
  assert.equal(f.run([0xf0, 0x01, 0x06, HLT]), -1); // lock add [rsi], eax
});

test('an instruction longer than 15 bytes is #GP', () => {
  assert.equal(new Faults().run([...new Array<number>(13).fill(0x66), 0x89, 0xd8, HLT]), -1);
  assert.equal(new Faults().run([...new Array<number>(14).fill(0x66), 0x89, 0xd8, HLT]), 13);
});

test('an instruction may straddle two pages; a missing second page is a page fault at the instruction', () => {
  const code = [0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, HLT]; // mov rax, imm64
  for (let before = 1; before < 10; before++) {
    const at = CODE + 4096 - before;
    const f = new Faults();
    assert.equal(f.run(code, at), -1);
    assert.equal(f.m.registers.get('rax'), 0x0807060504030201n);
    const g = new Faults();
    g.unmap(CODE + 4096);
    assert.equal(g.run(code, at), 14, `${before} bytes before the end`);
    assert.equal(g.faultRip(true), at);
    assert.equal(g.m.registers.get('cr2'), BigInt(CODE + 4096));
  }
});

test('a faulting instruction has changed nothing', () => {
  const missing = DATA + 4096;
  const cases: [name: string, code: number[], registers: Record<string, bigint>][] = [
    ['push [rsi]', [0xff, 0x36], { rsi: BigInt(missing) }],
    ['pop [rdi]', [0x8f, 0x07], { rdi: BigInt(missing) }],
    ['xadd [rdi], eax', [0x0f, 0xc1, 0x07], { rdi: BigInt(missing) }],
    ['call [rsi]', [0xff, 0x16], { rsi: BigInt(missing) }],
    ['adc [rdi], eax', [0x11, 0x07], { rdi: BigInt(missing) }],
    ['movsq', [0x48, 0xa5], { rsi: BigInt(DATA), rdi: BigInt(missing) }],
    ['lodsq', [0x48, 0xad], { rsi: BigInt(missing) }],
    ['cmpxchg16b [rdi]', [0x48, 0x0f, 0xc7, 0x0f], { rdi: BigInt(missing) }],
    ['enter 8, 3', [0xc8, 8, 0, 3], { rbp: BigInt(missing + 8) }],
  ];
  for (const [name, code, set] of cases) {
    const f = new Faults();
    f.unmap(missing);
    const r = f.m.registers;
    for (const [register, value] of Object.entries(set)) r.set(register, value);
    const names = ['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp'] as const;
    const before = names.map((n) => r.get(n));
    const rsp = r.get('rsp');
    assert.equal(f.run([...code, HLT]), 14, name);
    assert.equal(f.faultRip(true), CODE, name);
    assert.deepEqual(
      names.map((n) => r.get(n)),
      before,
      name,
    );
    assert.equal(f.m.view.getBigUint64(Number(r.get('rsp')) + 32, true), rsp, name);
  }
});

test('REP stops at the fault with what is done accounted for, and goes on afterwards', () => {
  const f = new Faults();
  const r = f.m.registers;
  f.unmap(DATA + 4096);
  r.set('rsi', BigInt(DATA));
  r.set('rdi', BigInt(DATA + 4096 - 40));
  r.set('rcx', 100n);
  assert.equal(f.run([0xf3, 0x48, 0xa5, HLT]), 14); // rep movsq
  assert.deepEqual([r.get('rcx'), r.get('rsi'), r.get('rdi')], [95n, BigInt(DATA + 40), BigInt(DATA + 4096)]);
  assert.equal(f.faultRip(true), CODE);
});

test('CMPXCHG16B wants alignment', () => {
  const f = new Faults();
  f.m.registers.set('rdi', BigInt(DATA + 8));
  assert.equal(f.run([0x48, 0x0f, 0xc7, 0x0f, HLT]), 13);
});

test('DIV by zero and quotients that do not fit are #DE', () => {
  for (const [rdx, rax, rcx, code] of [
    [0n, 5n, 0n, [0x48, 0xf7, 0xf1]],
    [5n, 0n, 5n, [0x48, 0xf7, 0xf1]],
    [0xffffffffffffffffn, 0x8000000000000000n, 0xffffffffffffffffn, [0x48, 0xf7, 0xf9]], // most negative / -1
    [0x80000000n, 0n, 0xffffffffn, [0xf7, 0xf9]],
    [0n, 0xff00n, 0xffn, [0xf6, 0xf1]],
  ] as [bigint, bigint, bigint, number[]][]) {
    const f = new Faults();
    const r = f.m.registers;
    r.set('rdx', rdx);
    r.set('rax', rax);
    r.set('rcx', rcx);
    assert.equal(f.run([...code, HLT]), 0);
    assert.deepEqual([r.get('rdx'), r.get('rax'), f.faultRip(false)], [rdx, rax, CODE]);
  }
});

test('alignment is checked in user mode when CR0.AM and EFLAGS.AC say so', () => {
  // HLT is #GP in user mode: that is how code without an alignment fault ends.
  const accesses: [string, number[], number][] = [
    ['mov eax, [rsi]', [0x8b, 0x06], DATA + 2],
    ['mov [rsi], ax', [0x66, 0x89, 0x06], DATA + 1],
    ['add [rsi], rax', [0x48, 0x01, 0x06], DATA + 4],
    ['lodsd', [0xad], DATA + 1],
    ['rep lodsd', [0xf3, 0xad], DATA + 1],
  ];
  for (const [name, code, address] of accesses) {
    for (const ac of [0n, 0x40000n]) {
      for (const offset of [0, 8]) {
        const f = new Faults(3);
        const r = f.m.registers;
        r.set('cr0', r.get('cr0') | 0x40000n);
        r.set('rflags', 2n | ac);
        r.set('rcx', 1n);
        r.set('rsi', BigInt(offset === 0 ? address : DATA + offset));
        const expected = ac !== 0n && offset === 0 ? 17 : 13;
        assert.equal(f.run([...code, HLT]), expected, `${name} AC=${ac} at ${offset === 0 ? address : DATA + offset}`);
      }
    }
  }
});

test('ENTER copies up to 30 frame pointers', () => {
  const f = new Faults();
  const r = f.m.registers;
  const frame = DATA + 0x800;
  r.set('rbp', BigInt(frame));
  for (let n = 1; n < 31; n++) f.m.view.setBigUint64(frame - 8 * n, BigInt(1000 + n), true);
  assert.equal(f.run([0xc8, 16, 0, 31, HLT]), -1);
  const top = 0xf000 - 8;
  assert.equal(r.get('rbp'), BigInt(top));
  assert.equal(r.get('rsp'), BigInt(top - 31 * 8 - 16));
  assert.equal(f.m.view.getBigUint64(top, true), BigInt(frame));
  for (let n = 1; n < 31; n++) assert.equal(f.m.view.getBigUint64(top - 8 * n, true), BigInt(1000 + n));
  assert.equal(f.m.view.getBigUint64(top - 8 * 31, true), BigInt(top));
});

test('code that writes the instruction after itself runs the new one', () => {
  const f = new Faults();
  // mov byte [rip + 1], 0xc1; nop-or-inc: the immediate's ModRM turns INC EAX into INC ECX
  const code = [0xc6, 0x05, 1, 0, 0, 0, 0xc1, 0xff, 0xc0, HLT];
  f.m.registers.set('rax', 0n);
  f.m.registers.set('rcx', 0n);
  assert.equal(f.run(code), -1);
  assert.deepEqual([f.m.registers.get('rax'), f.m.registers.get('rcx')], [0n, 1n]);
});

test('An access that ends in the hole between the halves is refused before its first page is looked up', () => {
  const last = 0x7fffffffffffn;
  for (const [code, address, vector] of [
    [[0x8b, 0x06], last - 2n, 13], // mov eax, [rsi]
    [[0x89, 0x06], last - 2n, 13],
    [[0x01, 0x06], last - 2n, 13], // add [rsi], eax
    [[0x0f, 0x10, 0x06], last - 7n, 13], // movups xmm0, [rsi]: each half for itself is all right
    [[0x0f, 0x11, 0x06], last - 7n, 13],
    [[0xdb, 0x2e], last - 7n, 13], // fld tbyte [rsi]
    [[0xc5, 0xfc, 0x10, 0x06], last - 15n, 13], // vmovups ymm0, [rsi]
    [[0x8b, 0x06], last - 3n, 14],
    [[0x48, 0x89, 0xf5, 0x8b, 0x45, 0x00], last - 2n, 12], // mov rbp, rsi; mov eax, [rbp]
  ] as const) {
    const f = new Faults();
    f.m.registers.set('rsi', address);
    assert.equal(f.run([...code, HLT]), vector, code.map((b) => b.toString(16)).join(' '));
  }
});

test('Outside 64-bit mode the same holds for 4 GiB', () => {
  for (const [code, vector] of [
    [[0x8b, 0x06], 13], // mov eax, [esi]
    [[0x36, 0x89, 0x06], 12], // mov [ss:esi], eax
    [[0x89, 0xf5, 0x89, 0x45, 0x00], 12], // mov ebp, esi; mov [ebp], eax
    [[0x89, 0xf5, 0x3e, 0x89, 0x45, 0x00], 13], // mov ebp, esi; mov [ds:ebp], eax
  ] as const) {
    const f = new Faults32();
    f.m.registers.set('rsi', 0xfffffffen);
    assert.equal(f.run([...code, HLT]), vector, code.map((b) => b.toString(16)).join(' '));
  }
});

test('An operand in the running block is changed once, with the flags that were there', () => {
  for (const [code, result] of [
    [[0xf8, 0xd0, 0x15, 0x01, 0x00, 0x00, 0x00], 0x00], // clc; rcl byte [next + 1], 1
    [[0xf8, 0x80, 0x15, 0x01, 0x00, 0x00, 0x00, 0x80], 0x00], // clc; adc byte [next + 1], 80h
  ] as const) {
    const f = new Faults();
    assert.equal(f.run([...code, 0xb0, 0x80, HLT]), -1); // mov al, 80h
    assert.equal(Number(f.m.registers.get('rax') & 0xffn), result, code.map((b) => b.toString(16)).join(' '));
  }
});

test('A near branch to an address that is not canonical faults where it stands, and has done nothing', () => {
  const nowhere = 0x8000123456789abcn;
  for (const [name, code, at] of [
    ['jmp rax', [0xff, 0xe0, HLT], 0],
    ['call rax', [0xff, 0xd0, HLT], 0],
    ['call rsp', [0x48, 0x89, 0xc4, 0xff, 0xd4, HLT], 3],
    ['ret 8', [0x50, 0xc2, 8, 0, HLT], 1],
    ['call [rsi]', [0x48, 0x89, 0x06, 0xff, 0x16, HLT], 3],
  ] as const) {
    const f = new Faults(3); // so that the handler has a stack of its own
    f.m.registers.set('rax', nowhere);
    f.m.registers.set('rsi', BigInt(DATA));
    f.m.registers.set('rsp', 0xe000n);
    assert.equal(f.run([...code]), 13, name);
    assert.equal(f.faultRip(true), CODE + at, name);
    const before = name === 'call rsp' ? nowhere : name === 'ret 8' ? 0xdff8n : 0xe000n;
    const frame = Number(f.m.registers.get('rsp'));
    assert.equal(f.m.view.getBigUint64(frame + 32, true), before, `RSP after ${name}`);
  }
});

test('Compiled code sees a return to nowhere, too', () => {
  const m = new BareMachine({ mode: 'long64', hotThreshold: 1 });
  const { view, registers: r } = m;
  // A loop that calls a function which returns to where RAX says when that is not 0.
  const code = [
    ...[0xb9, 100, 0, 0, 0], // mov ecx, 100
    ...[0xe8, 5, 0, 0, 0], // again: call f
    ...[0xff, 0xc9, 0x75, 0xf7], // dec ecx; jnz again
    HLT,
    ...[0x90, 0x48, 0x85, 0xc0, 0x74, 4, 0x48, 0x89, 0x04, 0x24, 0xc3], // f: nop; test rax, rax; jz; mov [rsp], rax; ret
  ];
  view.setBigUint64(GDT + 8, 0x00af9b000000ffffn, true);
  m.ram.set([0xbb, 13, 0, 0, 0, 0xf4], STUBS);
  view.setBigUint64(IDT + 13 * 16, BigInt(STUBS) | (8n << 16n) | (0x8e00n << 32n), true);
  r.setSegment('gdtr', { selector: 0, base: BigInt(GDT), limit: 0xff, attributes: 0 });
  r.setSegment('idtr', { selector: 0, base: BigInt(IDT), limit: 0x1ff, attributes: 0 });
  const start = (rax: bigint): void => {
    r.set('rax', rax);
    r.set('rip', BigInt(CODE));
    r.set('rsp', 0xf000n);
    r.set('rbx', 0n);
    new DataView(m.accelerator.memory.buffer).setUint32(r.state + (VCPU.at['halted'] as number), 0, true);
    assert.equal(m.run().reason, 'halted');
  };
  m.load(CODE, code);
  for (let n = 0; n < 3; n++) {
    start(0n);
    m.accelerator.jit.flushQueue();
  }
  assert.equal(r.get('rbx'), 0n);
  assert.ok(m.accelerator.jit.stats.regions > 0);
  start(0x8000123456789abcn);
  assert.equal(r.get('rbx'), 13n);
  assert.equal(view.getBigUint64(Number(r.get('rsp')) + 8, true), BigInt(CODE + code.length - 1));
});

test('Code ends where its segment ends', () => {
  const limit = CODE + 0x20;
  const nops = (count: number): number[] => Array.from({ length: count }, () => 0x90);
  for (const [name, code, at] of [
    ['one instruction after the other', nops(0x28), 0x21],
    ['an instruction across the limit', [...nops(0x1e), 0xb8, 0, 0, 0, 0], 0x1e],
    ['jmp short', [0x90, 0xeb, 0x40], 1],
    ['jnz', [0x0c, 1, 0x75, 0x40], 2], // or al, 1
    ['call', [0x90, 0xe8, 0x40, 0, 0, 0], 1],
    ['loop', [0xe2, 0x40], 0],
    ['jecxz, not taken', [0xe3, 0x40, HLT], -1],
    ['jmp eax', [0x90, 0xff, 0xe0], 1],
    ['call eax', [0x90, 0xff, 0xd0], 1],
    ['ret', [0x50, 0xc3], 1],
    ['jmp to the last byte', [0xeb, 0x1e, ...nops(0x1e), HLT], -1],
  ] as const) {
    for (const limited of [true, false]) {
      const f = new Faults32();
      const r = f.m.registers;
      r.setSegment('cs', { selector: 8, base: 0n, limit: limited ? limit : 0xffffffff, attributes: 0xc09b });
      r.set('rax', BigInt(limit + 1));
      r.set('rcx', 3n);
      f.m.ram.fill(HLT, CODE, CODE + 0x100);
      const vector = f.run([...code]);
      if (!limited || at < 0) {
        assert.equal(vector, -1, name);
        continue;
      }
      assert.equal(vector, 13, name);
      assert.equal(f.m.view.getUint32(Number(r.get('rsp')) + 4, true), CODE + at, name);
      assert.equal(Number(r.get('rsp')), 0xf000 - 16 - (name === 'ret' ? 4 : 0), `ESP after ${name}`);
      assert.equal(r.get('rcx'), 3n);
    }
  }
});

test('16-bit code cannot branch beyond 64 KiB with 32-bit operands', () => {
  const m = new BareMachine({ mode: 'real' });
  // Vector 13 of the IVT: mov bl, 13; hlt
  m.ram.set([0xb3, 13, HLT], 0x600);
  m.view.setUint32(13 * 4, 0x600, true);
  m.load(0x7c00, [0x66, 0xe9, 0x00, 0x00, 0x01, 0x00]); // jmp dword 17c06h
  assert.equal(m.run().reason, 'halted');
  assert.equal(m.registers.get('rbx') & 0xffn, 13n);
  assert.equal(m.view.getUint16(Number(m.registers.get('rsp')), true), 0x7c00);
});
