import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drive } from '../block/drive.js';
import { MemoryNode } from '../block/memory.js';
import { q35 } from './q35.js';
import { TestMachine } from './testing/test-machine.js';

test('a floppy controller is there only for a drive', () => {
  const has = (m: TestMachine): boolean => m.machine.devices().some(({ node }) => node.type === 'isa-fdc');
  assert.equal(has(new TestMachine(q35)), false);
  const floppy = new Drive(new MemoryNode(1440 * 1024), { id: 'a' });
  assert.equal(has(new TestMachine(q35, { floppies: ['a'] }, { drive: () => floppy })), true);
});

test('PCI functions are where QEMU has them', () => {
  const m = new TestMachine(q35, { vga: 'std', devices: [{ type: 'virtio-rng-pci', id: '', properties: {} }] });
  const id = (device: number, fn: number): string => m.configRead(device, fn, 0, 4).toString(16);
  assert.equal(id(0, 0), '29c08086');
  assert.equal(id(1, 0), '11111234');
  assert.equal(id(2, 0), '10051af4');
  assert.equal(id(31, 0), '29188086');
  assert.equal(id(31, 2), '29228086');
  assert.equal(id(31, 3), '29308086');
  assert.equal(m.machine.bus('pcie.0')!.type, 'PCIE');
  assert.equal(m.machine.bus('ide.5')!.type, 'IDE');
});

test('functions are described as QEMU describes them', () => {
  const devices = ['virtio-rng-pci', 'virtio-serial-pci', 'virtio-balloon-pci'].map((type) => ({
    type,
    id: '',
    properties: {},
  }));
  const m = new TestMachine(q35, { devices });
  const seen = m.built.inspection.pci().map(({ className, bars }) => [className, ...bars.map(({ size }) => size)]);
  assert.deepEqual(seen.slice(1, 4), [
    ['Class 0255', 32, 4096, 16384],
    ['Class 1920', 64, 4096, 16384],
    ['Class 0255', 64, 16384],
  ]);
  assert.deepEqual(seen.at(-1), ['SMBus', 64]);
});

test('configuration space in memory, where PCIEXBAR says', () => {
  const m = new TestMachine(q35);
  const { system } = m.machine;
  assert.equal(system.readValue(0xb000_0000, 4), 0xffff_ffff);
  m.configWrite(0, 0, 0x60, 4, 0xb000_0001);
  assert.equal(system.readValue(0xb000_0000, 4), 0x29c0_8086);
  assert.equal(system.readValue(0xb000_0000 + (31 << 15) + (2 << 12), 4), 0x2922_8086);
  assert.equal(system.readValue(0xb000_0000 + (31 << 15) + 0x100, 4), 0, 'no extended capabilities');
  assert.equal(system.readValue(0xb000_0000 + (1 << 20), 4), 0xffff_ffff, 'no bus 1');
  m.configWrite(0, 0, 0x60, 4, 0xd000_0003);
  assert.equal(system.readValue(0xb000_0000, 4), 0xffff_ffff);
  assert.equal(system.readValue(0xd000_0000, 4), 0x29c0_8086);
});

test('shadow RAM and power management are at the registers of this chipset', () => {
  const firmware = new Uint8Array(256 * 1024).fill(0x5a);
  const m = new TestMachine(q35, { firmware });
  const { system } = m.machine;
  m.configWrite(0, 0, 0x90, 1, 0x30);
  assert.equal(system.readValue(0xf_fff0, 1), 0);
  m.configWrite(31, 0, 0x40, 4, 0x601);
  m.configWrite(31, 0, 0x44, 1, 0x80);
  const before = m.inl(0x608);
  m.advance(1e9);
  assert.equal((m.inl(0x608) - before) & 0xff_ffff, 3_579_545);
  const ended: string[] = [];
  m.machine.lifecycle.ended.subscribe(({ cause }) => ended.push(cause));
  m.machine.io.portWrite(0x604, 2, 0x2000);
  m.machine.lifecycle.service();
  assert.deepEqual(ended, ['guest-shutdown']);
});

test('every device keeps its state over save and load', () => {
  const m = new TestMachine(q35, { vga: 'std' });
  m.configWrite(31, 0, 0x40, 4, 0x601);
  m.configWrite(31, 0, 0x44, 1, 0x80);
  m.configWrite(0, 0, 0x60, 4, 0xb000_0001);
  const saved = m.machine.saveDevices();
  m.machine.reset();
  assert.notDeepEqual(m.machine.saveDevices(), saved);
  m.machine.loadDevices(saved);
  assert.deepEqual(m.machine.saveDevices(), saved);
  assert.equal(m.machine.system.readValue(0xb000_0000, 4), 0x29c0_8086);
});

test('a device behind a root port is found on the bus that the guest numbers', () => {
  const m = new TestMachine(q35, {
    devices: [
      { type: 'pcie-root-port', id: 'rp', properties: { addr: '4' } },
      { type: 'virtio-rng-pci', id: '', properties: { bus: 'rp' } },
    ],
  });
  const { system } = m.machine;
  m.configWrite(0, 0, 0x60, 4, 0xb000_0001);
  const bus1 = 0xb000_0000 + (1 << 20);
  assert.equal(m.configRead(4, 0, 0, 4), 0x000c_1b36);
  assert.equal(m.configRead(4, 0, 0x0e, 1), 1);
  assert.equal(system.readValue(bus1, 4), 0xffff_ffff, 'no number yet');
  m.configWrite(4, 0, 0x18, 4, 0x0002_0100);
  assert.equal(system.readValue(bus1, 4), 0x1005_1af4);
  assert.equal(m.configRead(4, 0, 0x54 + 0x1a, 2) & 0x40, 0x40, 'a card is in the slot');
  assert.deepEqual(
    m.built.inspection.pci().map(({ bus, device }) => `${bus}:${device}`),
    ['0:0', '0:4', '0:31', '0:31', '0:31', '1:0'],
  );
  m.machine.reset();
  m.configWrite(0, 0, 0x60, 4, 0xb000_0001);
  assert.equal(system.readValue(bus1, 4), 0xffff_ffff);
});

test('the watchdog: a second time-out in a row resets the machine, where the chipset lets it', () => {
  const TCO = 0x660;
  const m = new TestMachine(q35);
  const { system, io, lifecycle } = m.machine;
  const resets: string[] = [];
  lifecycle.resetDone.subscribe(() => resets.push('reset'));
  const start = (): void => {
    m.configWrite(31, 0, 0x40, 4, 0x601);
    m.configWrite(31, 0, 0x44, 1, 0x80);
    m.configWrite(31, 0, 0xf0, 4, 0xfed1_c001);
    io.portWrite(TCO + 0x12, 2, 10);
    io.portWrite(TCO, 2, 1);
  };
  const pass = (ns: number): void => {
    m.advance(ns);
    lifecycle.service();
  };
  start();
  assert.equal(io.portRead(TCO + 0x12, 2), 10);
  assert.equal(io.portRead(TCO, 2), 10);
  pass(3e9);
  assert.equal(io.portRead(TCO, 2), 5);
  io.portWrite(TCO, 2, 1);
  pass(5.9e9);
  assert.equal(io.portRead(TCO + 4, 2), 0, 'the guest was alive');
  pass(0.2e9);
  assert.equal(io.portRead(TCO + 4, 2), 8);
  pass(6e9);
  assert.equal(io.portRead(TCO + 6, 2), 6, 'a second time-out');
  assert.deepEqual(resets, [], 'NO_REBOOT');
  system.writeValue(0xfed1_f410, 4, 0);
  io.portWrite(TCO, 2, 1);
  pass(6e9);
  assert.deepEqual(resets, []);
  pass(6e9);
  assert.deepEqual(resets, ['reset']);
  start();
  io.portWrite(TCO + 8, 2, 0x800);
  pass(60e9);
  assert.equal(io.portRead(TCO + 4, 2), 0, 'halted');
});
