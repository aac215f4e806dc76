import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conformance } from '../../../machine/testing/conformance.js';
import { ManualTime } from '../../../machine/testing/manual-time.js';
import { ProbeBus } from '../../../machine/testing/probe-bus.js';
import { DEVICES } from '../testing-devices.js';
import { VirtioPci, type VirtioPciOptions } from './virtio-pci.js';

const RAM_AT = 0x10_0000;
const BAR4 = 0xf000_0000;
const BAR1 = 0xf100_0000;
const PORTS = 0xc000;

function setUp(options: Partial<VirtioPciOptions> = {}, name = 'virtio-blk') {
  const bus = new ProbeBus();
  const clocks = new ManualTime().clocks();
  const ram = bus.memory.ram('ram', 1 << 20);
  bus.memorySpace.add(ram, RAM_AT);
  const device = DEVICES[name]!();
  const pci = new VirtioPci(bus.slot, device, {
    type: `${name}-pci`,
    classCode: 0x010000,
    transitionalId: 0x1001,
    legacy: true,
    modern: true,
    doorbells: true,
    vectors: 3,
    clocks,
    ...options,
  });
  pci.reset();
  const config = pci.pci;
  config.configWrite(0x10, 4, PORTS);
  config.configWrite(0x14, 4, BAR1);
  config.configWrite(0x20, 4, BAR4);
  config.configWrite(0x04, 2, 7);
  const mem = (at: number, size: 1 | 2 | 4, value?: number): number => {
    if (value === undefined) return bus.system.readValue(at, size);
    bus.system.writeValue(at, size, value);
    return value;
  };
  return { bus, device, pci, config, mem, ram: ram.ram!.bytes };
}

/** Queue 0 in modern registers: rings on three pages of RAM. */
function setQueue({ mem }: ReturnType<typeof setUp>): void {
  mem(BAR4 + 22, 2, 0);
  mem(BAR4 + 24, 2, 16);
  mem(BAR4 + 32, 4, RAM_AT);
  mem(BAR4 + 40, 4, RAM_AT + 0x1000);
  mem(BAR4 + 48, 4, RAM_AT + 0x2000);
  mem(BAR4 + 28, 2, 1);
}

test('ids, capabilities and BARs are those of QEMU, transitional and modern', () => {
  const { config } = setUp();
  assert.equal(config.configRead(0, 4), 0x1001_1af4);
  assert.equal(config.configRead(0x2c, 4), 0x0002_1af4);
  const seen: number[] = [];
  for (let at = config.configRead(0x34, 1); at !== 0; at = config.configRead(at + 1, 1)) seen.push(at);
  assert.deepEqual(seen, [0x98, 0x84, 0x70, 0x60, 0x50, 0x40]);
  assert.equal(config.configRead(0x9a, 2), 2, 'three vectors');
  assert.equal(config.configRead(0x84, 4) >>> 16, 0x0514, 'the window through configuration space');
  const modern = setUp({ legacy: false });
  assert.equal(modern.config.configRead(0, 4), 0x1042_1af4);
  assert.equal(modern.config.configRead(8, 1), 1);
  assert.equal(modern.config.configRead(0x10, 4), 0);
  const legacy = setUp({ modern: false });
  assert.equal(legacy.config.configRead(0x20, 4), 0);
  assert.equal(legacy.device.offered.words[1], 0);
});

test('modern registers: features, status, queue addresses, and the same through configuration space', () => {
  const s = setUp();
  const { mem, device, config } = s;
  mem(BAR4, 4, 1);
  assert.equal(mem(BAR4 + 4, 4) & 1, 1, 'VERSION_1');
  mem(BAR4 + 8, 4, 1);
  mem(BAR4 + 12, 4, 0xffff_ffff);
  assert.equal(device.accepted.words[1], device.offered.words[1]);
  mem(BAR4 + 20, 1, 0x0b);
  assert.equal(mem(BAR4 + 20, 1), 0x0b);
  mem(BAR4 + 12, 4, 0);
  assert.notEqual(device.accepted.words[1], 0, 'features are final');
  setQueue(s);
  mem(BAR4 + 36, 4, 5);
  assert.equal(device.queues[0]!.descriptorArea, RAM_AT, 'a queue in use does not move');
  assert.equal(mem(BAR4 + 28, 2), 1);
  config.configWrite(0x84 + 4, 1, 4);
  config.configWrite(0x84 + 8, 4, 20);
  config.configWrite(0x84 + 12, 4, 1);
  assert.equal(config.configRead(0x84 + 16, 4), 0x0b);
  config.configWrite(0x84 + 16, 4, 0);
  assert.equal(device.status, 0);
  config.configWrite(0x84 + 8, 4, 0xffff_fffc);
  assert.equal(config.configRead(0x84 + 16, 4), 0);
  assert.equal(mem(BAR4 + 0x2000, 4), 2048, 'capacity');
});

test('INTx: the ISR tells why, and reading it acknowledges', () => {
  const { bus, pci, mem } = setUp();
  pci.queueInterrupt(0);
  assert.equal(bus.intx[0], true);
  assert.equal(mem(BAR4 + 0x1000, 1), 1);
  assert.equal(bus.intx[0], false);
  pci.configInterrupt();
  assert.equal(bus.ioSpace.subRegions.length, 1);
  assert.equal(mem(BAR4 + 0x1000, 1), 2);
  assert.equal(mem(BAR4 + 0x1000, 1), 0);
});

test('MSI-X: a message for each queue; masked ones wait; INTx stays quiet', () => {
  const { bus, pci, config, mem } = setUp();
  mem(BAR4 + 22, 2, 0);
  mem(BAR4 + 26, 2, 1);
  mem(BAR4 + 16, 2, 7);
  assert.equal(mem(BAR4 + 16, 2), 0xffff, 'no such vector');
  assert.equal(mem(BAR4 + 26, 2), 1);
  config.configWrite(0x9a, 2, 0x8000);
  mem(BAR1 + 16, 4, 0xfee0_1000);
  mem(BAR1 + 24, 4, 0x41);
  pci.queueInterrupt(0);
  assert.deepEqual(bus.msis, []);
  assert.equal(mem(BAR1 + 0x800, 4), 2, 'pending');
  mem(BAR1 + 28, 4, 0);
  assert.deepEqual(bus.msis, [[0xfee0_1000, 0x41]]);
  assert.equal(mem(BAR1 + 0x800, 4), 0);
  config.configWrite(0x9a, 2, 0xc000);
  pci.queueInterrupt(0);
  assert.equal(bus.msis.length, 1);
  config.configWrite(0x9a, 2, 0x8000);
  assert.equal(bus.msis.length, 2);
  pci.configInterrupt();
  assert.equal(bus.msis.length, 2, 'no vector, no message');
  assert.equal(bus.intx[0], false);
});

test('legacy ports: queue by page number, vectors only with MSI-X, configuration behind', () => {
  const { bus, device, config } = setUp();
  const io = bus.ioSpace.subRegions[0]!.region;
  const read = (at: number, size: 1 | 2 | 4): number => io.handler!.read(at, size);
  const write = (at: number, size: 1 | 2 | 4, value: number): void => io.handler!.write(at, size, value);
  assert.equal(io.size, 128);
  assert.equal(read(20, 4), 2048, 'capacity');
  config.configWrite(0x9a, 2, 0x8000);
  assert.equal(read(20, 2), 0xffff);
  assert.equal(read(24, 4), 2048);
  write(18, 1, 3);
  write(8, 4, RAM_AT >> 12);
  const [queue] = device.queues;
  assert.equal(queue!.enabled, true);
  assert.equal(queue!.driverArea, RAM_AT + 16 * 64);
  assert.equal(queue!.deviceArea, RAM_AT + 0x1000);
  assert.equal(read(8, 4), RAM_AT >> 12);
  write(8, 4, 0);
  assert.equal(queue!.enabled, false);
  assert.equal(device.status, 0);
});

for (const name of Object.keys(DEVICES)) {
  conformance(`${name}-pci`, () => {
    const { bus, pci } = setUp({}, name);
    return { device: pci, regions: bus.regions() };
  });
}
