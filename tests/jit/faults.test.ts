/** Faults inside guest calls: the handler runs, and the regions that made the call go on behind it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MACHINE, VCPU } from '../../src/ir/layout.js';
import { BareMachine } from '../support/bare-machine.js';

const ROUNDS = 2000;
const CODE = 0x10000;
const CALLEE = 0x10100;
const HANDLER = 0x10200;
const GDT = 0x6000;
const IDT = 0x7000;
/** Base and limit for LGDT, behind it those for LIDT. */
const TABLES = 0x5000;

/** Tables with 64-bit code, data, and a gate for the divide error. */
function tables(m: BareMachine): void {
  m.view.setBigUint64(GDT + 8, 0x00af9b000000ffffn, true);
  m.view.setBigUint64(GDT + 16, 0x00cf93000000ffffn, true);
  m.view.setUint16(IDT, HANDLER & 0xffff, true);
  m.view.setUint16(IDT + 2, 8, true);
  m.view.setUint16(IDT + 4, 0x8e00, true);
  m.view.setUint32(IDT + 6, HANDLER >>> 16, true);
  for (const [at, base] of [
    [TABLES, GDT],
    [TABLES + 16, IDT],
  ] as const) {
    m.view.setUint16(at, 0x1ff, true);
    m.view.setUint32(at + 2, base, true);
  }
}

test('a divide error in a called function does not unwind the caller', () => {
  const m = new BareMachine({ mode: 'long64', hotThreshold: 10 });
  tables(m);
  m.load(HANDLER, [
    ...[0x48, 0x83, 0x04, 0x24, 0x03], // add qword [rsp], 3: behind the DIV
    ...[0xff, 0xc3], // inc ebx
    ...[0x48, 0xcf], // iretq
  ]);
  m.load(CALLEE, [
    ...[0x31, 0xd2], // xor edx, edx
    ...[0x41, 0xf7, 0xf0], // div r8d: by 0
    ...[0x83, 0xc6, 0x02], // add esi, 2
    0xc3,
  ]);
  m.load(CODE, [
    ...[0x0f, 0x01, 0x14, 0x25, TABLES & 0xff, TABLES >>> 8, 0, 0], // lgdt [TABLES]
    ...[0x0f, 0x01, 0x1c, 0x25, TABLES & 0xff, TABLES >>> 8, 0, 0].with(4, (TABLES + 16) & 0xff), // lidt [TABLES + 16]
    ...[0xbf, CALLEE & 0xff, (CALLEE >>> 8) & 0xff, CALLEE >>> 16, 0], // mov edi, CALLEE
    ...[0xb9, ROUNDS & 0xff, ROUNDS >>> 8, 0, 0], // mov ecx, ROUNDS
    ...[0x45, 0x31, 0xc0, 0x31, 0xdb, 0x31, 0xf6], // xor r8d, r8d; xor ebx, ebx; xor esi, esi
    ...[0xff, 0xd7, 0xff, 0xc6], // call rdi; inc esi
    ...[0xff, 0xc9, 0x75, 0xf8], // dec ecx; jnz the call
    0xf4,
  ]);
  const words = (): DataView => new DataView(m.accelerator.memory.buffer);
  const byFault = (): bigint =>
    words().getBigUint64(m.accelerator.layout.machine + (MACHINE.at['regionExits'] as number) + 16, true);
  let before = 0n;
  for (let i = 0; i < 3; i++) {
    before = byFault();
    words().setUint32(m.registers.state + (VCPU.at['halted'] as number), 0, true);
    m.registers.set('rip', BigInt(CODE));
    assert.equal(m.run().reason, 'halted');
    assert.equal(m.registers.get('rbx'), BigInt(ROUNDS));
    assert.equal(m.registers.get('rsi'), BigInt(3 * ROUNDS));
  }
  assert.ok(m.accelerator.jit.stats.regions > 0);
  assert.ok(byFault() - before < BigInt(ROUNDS / 10), `${byFault() - before} times`);
});
