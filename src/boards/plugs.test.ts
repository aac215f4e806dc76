import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drive } from '../block/drive.js';
import { MemoryNode } from '../block/memory.js';
import { describeDeviceType, describeDeviceTypes } from './index.js';
import { isapc } from './isapc.js';
import { none } from './none.js';
import { pc } from './pc.js';
import { TestMachine } from './testing/test-machine.js';

const serial = (properties: Record<string, string>) => ({ type: 'isa-serial', id: 'tty', properties });

test('a device that the user asks for is plugged in with its properties', () => {
  const m = new TestMachine(pc, { serials: [], devices: [serial({ iobase: '0x2000', irq: '5' })] });
  m.outb(0x2007, 0x5a);
  assert.equal(m.inb(0x2007), 0x5a);
  const node = m.machine.bus('isa.0')!.devices.find((d) => d.id === 'tty')!;
  assert.deepEqual(
    node.properties.find(([name]) => name === 'iobase'),
    ['iobase', '8192 (0x2000)'],
  );
});

test('-global sets defaults that -device overrides', () => {
  const globals = [{ driver: 'isa-serial', property: 'iobase', value: '0x3000' }];
  const m = new TestMachine(pc, { serials: [], globals, devices: [serial({})] });
  m.outb(0x3007, 0x5a);
  assert.equal(m.inb(0x3007), 0x5a);
  const other = new TestMachine(pc, { serials: [], globals, devices: [serial({ iobase: '0x4000' })] });
  assert.equal(other.inb(0x3007), 0xff);
});

for (const [properties, message] of [
  [{ type: 'nonsense', id: '', properties: {} }, "'nonsense' is not a valid device model name"],
  [serial({ colour: 'red' }), "Property 'isa-serial.colour' not found"],
  [serial({ irq: 'many' }), "Parameter 'irq' expects uint32"],
  [serial({ bus: 'pci.0' }), "Device 'isa-serial' can't go on PCI bus"],
  [serial({ bus: 'pci.7' }), "Bus 'pci.7' not found"],
  [{ type: 'ide-hd', id: '', properties: { drive: 'x' } }, "no drive 'x'"],
] as const) {
  test(`a wrong -device says: ${message}`, () => {
    assert.throws(() => new TestMachine(pc, { devices: [properties] }), { name: 'UserError', message });
  });
}

test('disks appear on both boards where they were asked for', () => {
  for (const board of [pc, isapc]) {
    const drive = new Drive(new MemoryNode(1 << 20), { id: 'disk' });
    const m = new TestMachine(
      board,
      { ideDrives: [{ index: 3, drive: 'disk', media: 'disk' }] },
      { drive: () => drive },
    );
    m.outb(0x176, 0xb0);
    assert.equal(m.inb(0x177), 0x50, 'ready');
    assert.equal(m.machine.bus('ide.1')!.devices[0]!.type, 'ide-hd');
  }
});

test('firmware of a PC without a chipset is in RAM until the next reset', () => {
  for (const [board, kept] of [
    [pc, 0x5a],
    [isapc, 0xa5],
  ] as const) {
    const m = new TestMachine(board, { firmware: new Uint8Array(1 << 16).fill(0x5a) });
    m.machine.system.writeValue(0xf1234, 1, 0xa5);
    assert.equal(m.machine.system.readValue(0xf1234, 1), kept);
    m.machine.lifecycle.reset('host-qmp-system-reset');
    m.machine.lifecycle.service();
    assert.equal(m.machine.system.readValue(0xf1234, 1), 0x5a);
  }
});

test('a second device on one unit is refused', () => {
  const drive = () => new Drive(new MemoryNode(1 << 20), { id: 'disk' });
  const request = { type: 'ide-hd', id: '', properties: { drive: 'd', bus: 'ide.0', unit: '0' } };
  assert.throws(() => new TestMachine(pc, { devices: [request, request] }, { drive }), {
    message: 'IDE unit 0 is in use',
  });
});

test('the empty machine has memory and nothing else', () => {
  const m = new TestMachine(none, { ramBytes: 1 << 20 });
  assert.equal(m.inb(0x20), 0xff);
  m.machine.system.writeValue(0x1000, 4, 7);
  assert.equal(m.machine.system.readValue(0x1000, 4), 7);
});

test('help lists types by category and their properties', () => {
  const types = describeDeviceTypes();
  assert.ok(types.includes('name "isa-serial", bus ISA, desc "16550A UART"'));
  const lines = describeDeviceType('isa-serial')!;
  assert.equal(lines[0], 'isa-serial options:');
  assert.ok(lines.some((l) => /^ {2}iobase=<uint32> +- /.test(l)));
  assert.equal(describeDeviceType('nonsense'), undefined);
});

test('floppy drives are told to firmware by kind', () => {
  const floppy = new Drive(new MemoryNode(1440 * 1024), { id: 'a' });
  const m = new TestMachine(pc, { floppies: ['a'] }, { drive: () => floppy });
  const cmos = (index: number): number => {
    m.outb(0x70, index);
    return m.inb(0x71);
  };
  assert.equal(cmos(0x10), 0x40);
  assert.equal(cmos(0x14) & 0xc1, 0x01);
  assert.equal(m.built.platform!.floppy, true);
  assert.equal(new TestMachine(pc).built.platform!.floppy, false);
});

test('hot plugging: the guest is told, and a device goes when its slot is ejected', () => {
  const UP = 0xae00;
  const DOWN = 0xae04;
  const EJECT = 0xae08;
  const drive = new Drive(new MemoryNode(1 << 20), { id: 'd' });
  const m = new TestMachine(pc, {}, { drive: () => drive });
  m.configWrite(1, 3, 0x40, 4, 0x601);
  m.configWrite(1, 3, 0x80, 1, 1);
  const hotplug = m.built.hotplug!;
  const request = { type: 'virtio-blk-pci', id: 'hot', properties: { drive: 'd', addr: '5' } };
  hotplug.add(request);
  assert.equal(m.machine.io.portRead(0xafe0, 2), 2, 'general purpose event 1');
  assert.equal(m.inl(UP), 1 << 5);
  assert.equal(m.inl(UP), 0, 'told once');
  assert.equal(m.configRead(5, 0, 0, 4), 0x1001_1af4);
  assert.throws(() => hotplug.add(request), { message: "Duplicate device ID 'hot'" });
  hotplug.remove('hot');
  assert.equal(m.inl(DOWN), 1 << 5);
  assert.equal(m.configRead(5, 0, 0, 4), 0x1001_1af4, 'still there');
  m.outl(EJECT, 0xffff_ffff);
  assert.equal(m.inl(DOWN), 0);
  assert.equal(m.configRead(5, 0, 0, 4), 0xffff_ffff);
  assert.equal(drive.user, null);
  assert.equal(m.configRead(1, 0, 0, 4), 0x7000_8086, 'what cannot go stays');
  hotplug.add(request);
  hotplug.remove('hot');
  m.machine.reset();
  assert.equal(m.configRead(5, 0, 0, 4), 0xffff_ffff, 'a reset ends the wait');
});

test('hot plugging on buses of devices, and what cannot be', () => {
  const m = new TestMachine(pc, { devices: [{ type: 'virtio-scsi-pci', id: 's', properties: {} }] });
  const hotplug = m.built.hotplug!;
  hotplug.add({ type: 'scsi-cd', id: 'cd', properties: { 'scsi-id': '3' } });
  assert.equal(m.machine.bus('s.0')!.devices.length, 1);
  hotplug.remove('cd');
  assert.equal(m.machine.bus('s.0')!.devices.length, 0);
  hotplug.add({ type: 'scsi-cd', id: 'cd', properties: { 'scsi-id': '3' } });
  hotplug.remove('s');
  m.outl(0xae08, 0xffff_ffff);
  assert.equal(m.machine.bus('s.0'), undefined, 'a bus goes with its device');
  assert.throws(() => hotplug.remove('s'), { message: "Device 's' not found" });
  assert.throws(() => hotplug.add({ type: 'isa-serial', id: 'x', properties: {} }), {
    message: "Bus 'isa.0' does not support hotplugging",
  });
});

const rng = (properties: Record<string, string>) => ({ type: 'virtio-rng-pci', id: '', properties });

test('functions share a PCI slot where the first one says so', () => {
  const devices = [rng({ addr: '5.0', multifunction: 'on' }), rng({ addr: '5.2', rombar: '0', romfile: '' })];
  const m = new TestMachine(pc, { devices });
  const functions = m.built.inspection.pci().filter(({ device }) => device === 5);
  assert.deepEqual(
    functions.map(({ fn }) => fn),
    [0, 2],
  );
  assert.equal(m.configRead(5, 0, 0x0e, 1), 0x80);
  assert.equal(m.configRead(5, 2, 0x0e, 1), 0);
});

for (const [devices, message] of [
  [[rng({ addr: '5.0' }), rng({ addr: '5.1' })], /^PCI: single function device can't be populated in function 5\.1: /],
  [
    [rng({ addr: '5.1' }), rng({ addr: '5.0' })],
    /^PCI: 5\.0 indicates single function, but 5\.1 is already populated: /,
  ],
  [[rng({ romfile: 'x.rom' })], /^failed to find romfile "x\.rom": /],
] as const) {
  test(`a wrong place on a PCI bus says: ${message.source}`, () => {
    assert.throws(() => new TestMachine(pc, { devices }), { name: 'UserError', message });
  });
}

test('an object iothread that a disk names must be there', () => {
  const disk = { type: 'virtio-blk-pci', id: 'd', properties: { drive: 'd', iothread: 'io' } };
  const scsi = { type: 'virtio-scsi-pci', id: 's', properties: { iothread: 'io' } };
  const drive = (): Drive => new Drive(new MemoryNode(1 << 20), { id: 'd' });
  for (const device of [disk, scsi]) {
    const make = (isIoThread: (id: string) => boolean) =>
      new TestMachine(pc, { devices: [device] }, { drive, isIoThread });
    assert.throws(() => make(() => false), { name: 'UserError', message: /^Device 'io' not found: / });
    const m = make((id) => id === 'io');
    const [, shown] = m.machine
      .bus('pci.0')!
      .devices.find(({ id }) => id === device.id)!
      .properties.find(([name]) => name === 'iothread')!;
    assert.equal(shown, '"io"');
  }
});
