/** An ExtINT message makes the processor ask the 8259 for the vector. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BareMachine } from '../support/bare-machine.js';

const CODE = 0x10000;
const IDT = 0x5000;
const GDT = 0x4000;
const HANDLER = 0x6000;
/** What the bare machine's 8259 answers. */
const VECTOR = 0xff;

test('ExtINT: the vector is that of the 8259, once', () => {
  const m = new BareMachine({ mode: 'protected32' });
  const { view, ram, registers: r } = m;
  view.setBigUint64(GDT + 8, 0x00cf9b000000ffffn, true);
  ram.set([0x43, 0xcf], HANDLER); // inc ebx; iret
  view.setBigUint64(IDT + VECTOR * 8, BigInt(HANDLER) | (8n << 16n) | (0x8e00n << 32n), true);
  r.setSegment('gdtr', { selector: 0, base: BigInt(GDT), limit: 0xff, attributes: 0 });
  r.setSegment('idtr', { selector: 0, base: BigInt(IDT), limit: 0x7ff, attributes: 0 });
  r.set('rbx', 0n);
  // mov dword [fee000f0h], 1ffh: the APIC is on; sti; hlt; jmp back to hlt
  m.load(CODE, [0xc7, 0x05, 0xf0, 0x00, 0xe0, 0xfe, 0xff, 0x01, 0, 0, 0xfb, 0xf4, 0xeb, 0xfd]);
  assert.equal(m.run().reason, 'halted');
  const message = { destination: 0, logical: false, deliveryMode: 7, vector: 0x30, level: true, levelTriggered: false };
  m.accelerator.deliverApic(message);
  assert.equal(m.run().reason, 'halted');
  assert.equal(r.get('rbx'), 1n);
  m.accelerator.deliverApic({ ...message, destination: 5 });
  assert.equal(m.run().reason, 'halted');
  assert.equal(r.get('rbx'), 1n);
});
