import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMsi } from '../../machine/apic-message.js';
import { ProbeLine } from '../../machine/testing/manual-clock.js';
import { ProbeBus } from '../../machine/testing/probe-bus.js';
import { msiCapability, sendMsi } from './msi.js';
import { PciBus } from './pci-bus.js';
import { type BarSpec, PciFunction } from './pci-function.js';
import { Piix3Isa } from './piix3-isa.js';

const nothing = { read: () => 0x5a, write: () => {} };

function setUp(bars: (bus: ProbeBus) => BarSpec[]) {
  const bus = new ProbeBus();
  const pci = new PciFunction(bus.slot, {
    vendorId: 0x1234,
    deviceId: 0x5678,
    classCode: 0x020000,
    interruptPin: 2,
    bars: bars(bus),
    capabilities: [{ id: 9, at: 0x50, registers: [{ name: 'VENDOR', at: 2, size: 2 }] }],
  });
  return { bus, pci };
}

test('BARs answer sizing and are mapped only while placed and enabled', () => {
  const { bus, pci } = setUp(({ memory }) => [
    { index: 0, kind: 'memory32', prefetchable: true, region: memory.io('bar0', 0x1000, nothing) },
    { index: 1, kind: 'io', region: memory.io('bar1', 0x20, nothing) },
    { index: 2, kind: 'memory64', region: memory.io('bar2', 0x10_0000, nothing) },
    { index: 'rom', kind: 'memory32', region: memory.rom('rom', 0x10000) },
  ]);
  for (const [register, size] of [
    [0x10, 0xffff_f008],
    [0x14, 0xffff_ffe1],
    [0x18, 0xfff0_0004],
    [0x1c, 0xffff_ffff],
    [0x30, 0xffff_0001],
    [0x20, 0],
  ] as const) {
    pci.configWrite(register, 4, 0xffff_ffff);
    assert.equal(pci.configRead(register, 4), size, register.toString(16));
  }
  pci.configWrite(4, 2, 3);
  assert.deepEqual(
    [0, 1, 2].map((i) => pci.barAddress(i as 0)),
    [undefined, undefined, undefined],
    'sizing places nothing',
  );
  pci.configWrite(0x10, 4, 0xe000_0000);
  pci.configWrite(0x14, 4, 0xffe0);
  pci.configWrite(0x18, 4, 0x8000_0000);
  pci.configWrite(0x1c, 4, 1);
  pci.configWrite(0x30, 4, 0xe010_0001);
  assert.equal(pci.barAddress(0), 0xe000_0000);
  assert.equal(pci.barAddress(1), 0xffe0, 'the last ports there are');
  assert.equal(pci.barAddress(2), 0x1_8000_0000);
  assert.equal(pci.barAddress('rom'), 0xe010_0000);
  assert.equal(bus.system.readValue(0x1_8000_0000, 1), 0x5a);
  pci.configWrite(4, 2, 1);
  assert.equal(pci.barAddress(0), undefined);
  assert.equal(bus.system.readValue(0x1_8000_0000, 1), 0xff);
});

test('one write changes the memory map once, however many registers it is for', () => {
  const bus = new ProbeBus();
  const regions = ['a', 'b'].map((name) => bus.memory.io(name, 0x1000, nothing));
  regions.forEach((region, i) => {
    region.enabled = false;
    bus.memorySpace.add(region, 0x1000 * i);
  });
  const pci = new PciFunction<'A' | 'B'>(
    bus.slot,
    {
      vendorId: 0x1234,
      deviceId: 0x5678,
      classCode: 0x060000,
      registers: [
        { name: 'A', at: 0x40, size: 1 },
        { name: 'B', at: 0x42, size: 1 },
      ],
    },
    {
      written: {
        A: (value) => {
          regions[0]!.enabled = value !== 0;
        },
        B: (value) => {
          regions[1]!.enabled = value !== 0;
        },
      },
    },
  );
  let changes = 0;
  bus.system.changed.subscribe(() => changes++);
  pci.configWrite(0x40, 4, 0x0001_0001);
  assert.equal(changes, 1);
  assert.deepEqual(
    regions.map(({ enabled }) => enabled),
    [true, true],
  );
});

test('capabilities are linked, and unwritable fields stay', () => {
  const { pci } = setUp(() => []);
  assert.equal(pci.configRead(6, 2) & 0x10, 0x10);
  assert.equal(pci.configRead(0x34, 1), 0x50);
  assert.equal(pci.configRead(0x50, 2), 0x0009);
  pci.configWrite(0, 4, 0);
  assert.equal(pci.configRead(0, 4), 0x5678_1234);
});

test('INTx: status bit, disable bit, reset', () => {
  const { bus, pci } = setUp(() => []);
  pci.intx.set(true);
  assert.deepEqual(bus.intx, [false, true, false, false]);
  assert.equal(pci.configRead(6, 2) & 8, 8);
  pci.configWrite(4, 2, 0x400);
  assert.equal(bus.intx[1], false);
  assert.equal(pci.configRead(6, 2) & 8, 8);
  pci.configWrite(4, 2, 0);
  assert.equal(bus.intx[1], true);
  pci.reset();
  assert.equal(bus.intx[1], false);
});

test('DMA needs the bus-master bit', () => {
  const { bus, pci } = setUp(() => []);
  bus.memorySpace.add(bus.memory.ram('ram', 0x1000), 0);
  pci.dma.write(0, Uint8Array.of(1));
  assert.equal(bus.system.readValue(0, 1), 0);
  const into = new Uint8Array(1);
  pci.dma.read(0, into);
  assert.equal(into[0], 0xff);
  pci.configWrite(4, 2, 4);
  pci.dma.write(0, Uint8Array.of(7));
  assert.equal(bus.system.readValue(0, 1), 7);
});

test('functions of a device share a pin; devices share a PIRQ; the bridge routes it', () => {
  const probe = new ProbeBus();
  const lines = Array.from({ length: 16 }, () => new ProbeLine());
  let piix: Piix3Isa | undefined;
  const bus = new PciBus({
    memory: probe.memory,
    dma: probe.system,
    memorySpace: probe.memorySpace,
    ioSpace: probe.ioSpace,
    setIntx: (device, pin, level) => piix?.setIntx(device, pin, level),
    sendMsi() {},
  });
  piix = new Piix3Isa(bus.slot(8), {
    isa: lines,
    requests: { reset() {}, shutdown() {}, suspend() {}, panicked() {} },
  });
  // Device 3 pin A and device 2 pin B: PIRQ C.
  assert.equal(Piix3Isa.pirqOf(3, 1), 2);
  assert.equal(Piix3Isa.pirqOf(2, 2), 2);
  bus.configWrite(8, 0x62, 1, 11);
  const first = bus.slot(3 * 8);
  const second = bus.slot(3 * 8 + 1);
  const other = bus.slot(2 * 8);
  first.setIntx(1, true);
  assert.equal(lines[11]!.level, true);
  second.setIntx(1, true);
  first.setIntx(1, false);
  assert.equal(lines[11]!.level, true);
  other.setIntx(2, true);
  second.setIntx(1, false);
  assert.equal(lines[11]!.level, true);
  bus.configWrite(8, 0x62, 1, 5);
  assert.equal(lines[11]!.level, false);
  assert.equal(lines[5]!.level, true);
  bus.configWrite(8, 0x62, 1, 0x80);
  assert.equal(lines[5]!.level, false);
  bus.configWrite(8, 0x62, 1, 5);
  other.setIntx(2, false);
  assert.equal(lines[5]!.level, false);
});

test('a message-signalled interrupt takes the place of INTx once enabled, and is decoded as the APICs do', () => {
  const bus = new ProbeBus();
  const pci = new PciFunction(bus.slot, {
    vendorId: 1,
    deviceId: 2,
    classCode: 0x020000,
    capabilities: [msiCapability(0x60)],
  });
  assert.equal(sendMsi(pci), false);
  pci.configWrite(0x64, 4, 0xfee0_300f);
  pci.configWrite(0x6c, 2, 0x0141);
  pci.configWrite(0x62, 2, 0xffff);
  assert.equal(pci.configRead(0x62, 2), 0x0081);
  assert.equal(sendMsi(pci), true);
  assert.deepEqual(bus.msis, [], 'no bus master, no message');
  pci.configWrite(4, 2, 4);
  sendMsi(pci);
  assert.deepEqual(bus.msis, [[0xfee0_300c, 0x0141]]);
  assert.deepEqual(decodeMsi(0xfee0_300c, 0x0141), {
    destination: 3,
    logical: true,
    deliveryMode: 1,
    vector: 0x41,
    level: true,
    levelTriggered: false,
  });
});
