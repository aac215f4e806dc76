import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../base/errors.js';
import { pc } from './pc.js';
import { TestMachine } from './testing/test-machine.js';

test('PCI functions are where QEMU has them', () => {
  const m = new TestMachine(pc, { vga: 'std' });
  const id = (device: number, fn: number): string => m.configRead(device, fn, 0, 4).toString(16);
  assert.equal(id(0, 0), '12378086');
  assert.equal(id(1, 0), '70008086');
  assert.equal(id(1, 1), '70108086');
  assert.equal(id(1, 3), '71138086');
  assert.equal(id(2, 0), '11111234');
  assert.equal(id(31, 0), 'ffffffff');
});

test('the timer interrupts through 8259 and I/O APIC alike', () => {
  const m = new TestMachine(pc);
  m.initPics();
  m.outb(0x43, 0x34);
  m.outb(0x40, 0xa9);
  m.outb(0x40, 0x04); // 1193 ticks: 999.8 us
  const cpu = m.accelerator.vcpus[0]!;
  m.outb(0x20, 0x0a);
  // Loading the count raised OUT, an edge.
  if (cpu.interruptLine) {
    assert.equal(m.accelerator.services?.picAcknowledge(), 0x08);
    m.outb(0x20, 0x20);
  }
  assert.equal(cpu.interruptLine, false);
  m.advance(990_000);
  assert.equal(cpu.interruptLine, false);
  m.advance(20_000);
  assert.equal(cpu.interruptLine, true);
  assert.equal(m.accelerator.services?.picAcknowledge(), 0x08);
  m.outb(0x20, 0x20);

  m.outb(0x21, 0xff);
  const { machine } = m;
  machine.io.mmioWrite(regionAt(m, 0xfec0_0000), 0, 4, 0x10 + 4);
  machine.io.mmioWrite(regionAt(m, 0xfec0_0000), 0x10, 4, 0x31);
  m.advance(1_000_000);
  assert.deepEqual(m.accelerator.messages, [
    { destination: 0, logical: false, deliveryMode: 0, vector: 0x31, level: true, levelTriggered: false },
  ]);
});

test("the 8259s' output is pin 0 of the I/O APIC, too", () => {
  const m = new TestMachine(pc);
  m.initPics();
  const { machine } = m;
  machine.io.mmioWrite(regionAt(m, 0xfec0_0000), 0, 4, 0x10);
  machine.io.mmioWrite(regionAt(m, 0xfec0_0000), 0x10, 4, 0x700); // ExtINT, edge
  m.outb(0x43, 0x34);
  m.outb(0x40, 0xa9);
  m.outb(0x40, 0x04);
  m.advance(2_000_000);
  assert.deepEqual(m.accelerator.messages, [
    { destination: 0, logical: false, deliveryMode: 7, vector: 0, level: true, levelTriggered: false },
  ]);
});

test('firmware lies below 4 GiB and, through the host bridge, below 1 MiB; shadow RAM replaces it', () => {
  const firmware = Uint8Array.from({ length: 256 * 1024 }, (_, i) => i >> 12);
  const m = new TestMachine(pc, { firmware });
  const { system } = m.machine;
  assert.equal(system.readValue(0xffff_fff0, 1), 63);
  assert.equal(system.readValue(0xfffc_0000, 1), 0);
  assert.equal(system.readValue(0xf_fff0, 1), 63);
  assert.equal(system.readValue(0xe_0000, 1), 32);
  system.writeValue(0xf_fff0, 1, 0xab);
  assert.equal(system.readValue(0xf_fff0, 1), 63);

  m.configWrite(0, 0, 0x59, 1, 0x20); // writes go to RAM, reads come from the ROM
  system.writeValue(0xf_fff0, 1, 0xab);
  assert.equal(system.readValue(0xf_fff0, 1), 63);
  m.configWrite(0, 0, 0x59, 1, 0x10); // reads come from RAM, writes are lost
  assert.equal(system.readValue(0xf_fff0, 1), 0xab);
  system.writeValue(0xf_fff0, 1, 1);
  assert.equal(system.readValue(0xf_fff0, 1), 0xab);
  m.configWrite(0, 0, 0x59, 1, 0x30);
  system.writeValue(0xf_fff0, 1, 1);
  assert.equal(system.readValue(0xf_fff0, 1), 1);
});

test('SMRAM is seen in system management mode only, unless open; a locked register stays', () => {
  const m = new TestMachine(pc);
  const { memory, system } = m.machine;
  const smm = memory.addressSpaces.find((s) => s.name === 'cpu-smm')!;
  m.configWrite(0, 0, 0x72, 1, 0x4a); // open and enabled
  system.writeValue(0xa_0000, 4, 0x1234_5678);
  m.configWrite(0, 0, 0x72, 1, 0x0a);
  assert.equal(system.readValue(0xa_0000, 4), 0xffff_ffff);
  assert.equal(smm.readValue(0xa_0000, 4), 0x1234_5678);
  m.configWrite(0, 0, 0x72, 1, 0x5a);
  m.configWrite(0, 0, 0x72, 1, 0x4a);
  assert.equal(m.configRead(0, 0, 0x72, 1), 0x1a);
});

test('RAM beyond 3.5 GiB would lie above 4 GiB; CMOS tells firmware how much there is', () => {
  const m = new TestMachine(pc);
  const cmos = (index: number): number => {
    m.outb(0x70, index);
    return m.inb(0x71);
  };
  assert.equal(cmos(0x34) | (cmos(0x35) << 8), 16 * 16);
  assert.equal(cmos(0x17) | (cmos(0x18) << 8), 31 * 1024);
  assert.equal(cmos(0x3d), 0x12);
  assert.equal(cmos(0x38), 0x30);
  assert.throws(() => new TestMachine(pc, { ramBytes: 1000 }), UserError);
});

test('a PCI interrupt goes to the ISA line that the bridge routes it to', () => {
  const m = new TestMachine(pc);
  m.initPics();
  m.configWrite(1, 0, 0x60 + 3, 1, 11);
  m.outb(0x4d1, 0x08);
  const port = m.configRead(1, 0, 0x63, 1);
  assert.equal(port, 11);
  assert.equal(m.inb(0x4d1), 0x08);
});

test('reset ports and power management ask the machine', () => {
  const m = new TestMachine(pc);
  const causes: string[] = [];
  m.machine.lifecycle.resetDone.subscribe((cause) => causes.push(cause));
  const ended: string[] = [];
  m.machine.lifecycle.ended.subscribe(({ cause }) => ended.push(cause));
  m.outb(0xcf9, 6);
  m.machine.lifecycle.service();
  m.outb(0x92, 3);
  m.machine.lifecycle.service();
  m.outb(0x64, 0xfe);
  m.machine.lifecycle.service();
  assert.deepEqual(causes, ['guest-reset', 'guest-reset', 'guest-reset']);

  m.configWrite(1, 3, 0x40, 4, 0x601);
  m.configWrite(1, 3, 0x80, 1, 1);
  m.machine.io.portWrite(0x604, 2, 0x2000);
  m.machine.lifecycle.service();
  assert.deepEqual(ended, ['guest-shutdown']);
  assert.equal(m.machine.lifecycle.state, 'shutdown');
});

test('the PM timer counts at 3.579545 MHz', () => {
  const m = new TestMachine(pc);
  m.configWrite(1, 3, 0x40, 4, 0x601);
  m.configWrite(1, 3, 0x80, 1, 1);
  const before = m.inl(0x608);
  m.advance(1e9);
  assert.equal((m.inl(0x608) - before) & 0xff_ffff, 3_579_545);
  m.advance(2e9); // 2.34 s to the top bit's first change
  assert.equal(m.machine.io.portRead(0x600, 2) & 1, 1);
  m.machine.io.portWrite(0x600, 2, 1);
  assert.equal(m.machine.io.portRead(0x600, 2) & 1, 0);
});

test('the power button raises SCI once the guest enables it', () => {
  const m = new TestMachine(pc);
  m.initPics();
  m.configWrite(1, 3, 0x40, 4, 0x601);
  m.configWrite(1, 3, 0x80, 1, 1);
  m.outb(0x4d1, 0x02);
  m.outb(0xb2, 0xf1);
  assert.equal(m.machine.io.portRead(0x604, 2) & 1, 1);
  m.machine.io.portWrite(0x602, 2, 0x100);
  m.machine.lifecycle.powerdown();
  assert.equal(m.accelerator.vcpus[0]!.interruptLine, true);
  assert.equal(m.accelerator.services?.picAcknowledge(), 0x71);
});

test('every device keeps its state over save and load', () => {
  const m = new TestMachine(pc);
  m.initPics();
  m.outb(0x43, 0x34);
  m.outb(0x40, 0x34);
  m.outb(0x40, 0x12);
  m.configWrite(1, 3, 0x40, 4, 0x601);
  m.configWrite(1, 3, 0x80, 1, 1);
  const saved = m.machine.saveDevices();
  m.machine.reset();
  assert.notDeepEqual(m.machine.saveDevices(), saved);
  m.machine.loadDevices(saved);
  assert.deepEqual(m.machine.saveDevices(), saved);
  assert.notEqual(m.inl(0x608), 0xffff_ffff);
});

function regionAt(m: TestMachine, address: number): number {
  const range = m.machine.system.find(address);
  assert.ok(range);
  return range.region;
}
