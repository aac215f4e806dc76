import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drive } from '../block/drive.js';
import { MemoryNode } from '../block/memory.js';
import { PlainPm } from '../devices/acpi/plain-pm.js';
import type { VirtioBusSlot } from '../devices/virtio/mmio/virtio-mmio.js';
import { VIRTIO_MMIO_BYTES, VirtioMmio } from '../devices/virtio/mmio/virtio-mmio.js';
import { VirtioRng } from '../devices/virtio/rng/virtio-rng.js';
import { conformance } from '../machine/testing/conformance.js';
import { ProbeLine } from '../machine/testing/manual-clock.js';
import { ManualTime } from '../machine/testing/manual-time.js';
import { ProbeBus, throughRegion } from '../machine/testing/probe-bus.js';
import { microvm } from './microvm.js';
import { TestMachine } from './testing/test-machine.js';

const BASE = 0xfeb0_0000;

test('transports answer where tables say, with a device or none', () => {
  const drive = new Drive(new MemoryNode(1 << 20), { id: 'd' });
  const m = new TestMachine(
    microvm,
    { devices: [{ type: 'virtio-blk-device', id: '', properties: { drive: 'd' } }] },
    { drive: () => drive },
  );
  const { system } = m.machine;
  assert.equal(system.readValue(BASE, 4), 0x7472_6976);
  assert.equal(system.readValue(BASE + 8, 4), 2);
  assert.equal(system.readValue(BASE + 0x100, 4), 2048, 'capacity');
  assert.equal(system.readValue(BASE + 0x200 + 8, 4), 0, 'no device');
  assert.equal(system.readValue(BASE + 8 * 0x200, 4), 0xffff_ffff);
  assert.equal(m.built.platform!.virtioMmio!.length, 8);
  assert.equal(m.built.platform!.pci, false);
});

test('power and reset', () => {
  const m = new TestMachine(microvm);
  const ended: string[] = [];
  m.machine.lifecycle.ended.subscribe(({ cause }) => ended.push(cause));
  m.machine.lifecycle.powerdown();
  assert.equal(m.machine.io.portRead(0x600, 2) & 0x100, 0x100);
  m.machine.io.portWrite(0x604, 2, 0x2000);
  m.machine.lifecycle.service();
  assert.deepEqual(ended, ['guest-shutdown']);
});

function transport() {
  const bus = new ProbeBus();
  const irq = new ProbeLine();
  const mmio = new VirtioMmio(bus.system, irq, new ManualTime().clocks());
  const device = new VirtioRng(() => 4);
  (mmio.buses[0]!.slot('virtio-rng-device', {}) as VirtioBusSlot).attach(device);
  const region = bus.memory.io('virtio-mmio', VIRTIO_MMIO_BYTES, mmio);
  bus.memorySpace.add(bus.memory.ram('ram', 1 << 20), 0);
  const { handler } = throughRegion(region);
  return { mmio, device, irq, handler };
}

test('features, a queue and its interrupt', () => {
  const { device, irq, handler, mmio } = transport();
  const write = (at: number, value: number): void => handler.write(at, 4, value);
  write(0x14, 1);
  assert.equal(handler.read(0x10, 4) & 1, 1, 'VERSION_1');
  write(0x70, 3);
  write(0x24, 1);
  write(0x20, 1);
  write(0x70, 0x0b);
  write(0x30, 0);
  assert.equal(handler.read(0x34, 4), 8);
  write(0x38, 8);
  write(0x80, 0x1000);
  write(0x90, 0x2000);
  write(0xa0, 0x3000);
  write(0xa4, 1);
  assert.equal(device.queues[0]!.deviceArea, 0x1_0000_3000);
  write(0xa4, 0);
  write(0x44, 1);
  write(0x70, 0x0f);
  write(0x80, 0x9000);
  assert.equal(device.queues[0]!.descriptorArea, 0x1000, 'a queue in use does not move');
  mmio.queueInterrupt();
  assert.equal(irq.level, true);
  assert.equal(handler.read(0x60, 4), 1);
  write(0x64, 1);
  assert.equal(irq.level, false);
  write(0x70, 0);
  assert.equal(device.queues[0]!.enabled, false);
});

conformance('virtio-mmio', () => {
  const { mmio, handler } = transport();
  return { device: mmio, regions: [{ name: 'registers', size: VIRTIO_MMIO_BYTES, handler }] };
});

conformance('acpi-pm', () => {
  const bus = new ProbeBus();
  const time = new ManualTime();
  const clocks = time.clocks();
  const pm = new PlainPm(bus.memory, bus.ioSpace, 0x600, {
    clock: clocks.virtual,
    sci: new ProbeLine(),
    requests: { reset() {}, shutdown() {}, suspend() {}, panicked() {} },
  });
  return { device: pm, regions: bus.regions(), advance: (ns) => time.advance(clocks, ns) };
});
