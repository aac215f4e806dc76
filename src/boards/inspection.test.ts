/** What monitors are told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeAddressSpaces, describeAliasTargets, describeFlatView, type RegionInfo } from '../memory/describe.js';
import { isapc } from './isapc.js';
import { pc } from './pc.js';
import { TestMachine } from './testing/test-machine.js';

test('info pci: identity, class, pin and BARs as they are mapped', () => {
  const m = new TestMachine(pc, { vga: 'std' });
  m.configWrite(2, 0, 0x10, 4, 0xfd00_0000);
  m.configWrite(2, 0, 0x04, 2, 2);
  const functions = m.built.inspection.pci();
  assert.deepEqual(
    functions.map((f) => `${f.device}.${f.fn} ${f.className} ${f.vendorId.toString(16)}:${f.deviceId.toString(16)}`),
    [
      '0.0 Host bridge 8086:1237',
      '1.0 ISA bridge 8086:7000',
      '1.1 IDE controller 8086:7010',
      '1.3 Bridge 8086:7113',
      '2.0 VGA controller 1234:1111',
    ],
  );
  assert.deepEqual(functions[4]!.bars[0], {
    index: 0,
    kind: 'memory32',
    prefetchable: true,
    size: 16 << 20,
    address: 0xfd00_0000,
  });
  assert.equal(functions[3]!.interruptPin, 1);
});

test('info pic and info irq follow the controllers', () => {
  const m = new TestMachine(pc);
  m.initPics();
  m.outb(0x21, 0xb8);
  m.outb(0x43, 0x34);
  m.outb(0x40, 0x00);
  m.outb(0x40, 0x10);
  m.advance(1e7);
  m.accelerator.services!.picAcknowledge();
  const { inspection } = m.built;
  const [master] = inspection.pic();
  assert.equal(master!.imr, 0xb8);
  assert.equal(master!.isr, 1);
  assert.equal(master!.vectorBase, 8);
  assert.equal(inspection.irqCounts()[0]!.counts[0], 1);
  assert.equal(inspection.ioapic()!.pins.length, 24);
  assert.ok(inspection.ioapic()!.pins.every((p) => p.masked));
  assert.equal(new TestMachine(isapc).built.inspection.ioapic(), undefined);
});

test('info mtree: the tree with absolute addresses, aliases and what they show', () => {
  const m = new TestMachine(pc, { firmware: new Uint8Array(256 * 1024) });
  const spaces = describeAddressSpaces(m.machine.memory);
  assert.deepEqual(
    spaces.map((s) => s.name),
    ['memory', 'cpu-smm', 'I/O', 'pci-memory'],
  );
  const find = (region: RegionInfo, name: string): RegionInfo | undefined =>
    region.name === name ? region : region.subRegions.map((s) => find(s, name)).find(Boolean);
  const low = find(spaces[0]!.root, 'ram-below-4g')!;
  assert.deepEqual(low.alias, { name: 'pc.ram', kind: 'ram', start: 0, last: 32 * 2 ** 20 - 1 });
  const bios = find(spaces[0]!.root, 'pc.bios')!;
  assert.deepEqual([bios.start, bios.last, bios.kind], [0xfffc_0000, 0xffff_ffff, 'rom']);
  assert.equal(find(spaces[2]!.root, 'serial')!.start, 0x3f8);
  assert.deepEqual(
    describeAliasTargets(m.machine.memory)
      .map((r) => r.name)
      .sort(),
    ['pam-write-only', 'pc.ram'],
  );
  const flat = describeFlatView(m.machine.system);
  assert.equal(flat[0]!.name, 'pc.ram');
  assert.equal(flat.at(-1)!.name, 'pc.bios');
});

test('info qtree: buses below devices, PCI functions with their details', () => {
  const m = new TestMachine(pc, { vga: 'std' });
  const pci = m.machine.bus('pci.0')!;
  const vga = pci.devices.find((d) => d.type === 'VGA')!;
  assert.equal(vga.details!()[0], 'class VGA controller, addr 00:02.0, pci id 1234:1111 (sub 1af4:1100)');
  assert.ok(vga.properties.some(([name, value]) => name === 'vgamem_mb' && value === '16 (0x10)'));
  const piix3 = pci.devices.find((d) => d.type === 'PIIX3')!;
  assert.deepEqual(
    piix3.buses[0]!.devices.map((d) => d.type),
    ['isa-i8259', 'isa-pit', 'mc146818rtc', 'i8237', 'i8042', 'port92', 'isa-serial', 'isa-fdc'],
  );
});

test('tables are told of every serial port, and of pvpanic where the user put it', () => {
  const m = new TestMachine(pc, {
    serials: [''],
    parallels: [''],
    devices: [
      { type: 'isa-serial', id: '', properties: { index: '1' } },
      { type: 'pvpanic', id: '', properties: { ioport: '0x600' } },
    ],
  });
  const { platform } = m.built;
  assert.deepEqual(platform!.serial, [
    { port: 0x3f8, irq: 4 },
    { port: 0x2f8, irq: 3 },
  ]);
  assert.deepEqual(platform!.parallel, [{ port: 0x378, irq: 7 }]);
  assert.equal(platform!.pvpanicPort, 0x600);
});
