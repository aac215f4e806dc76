import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getU32, putU32 } from '../../base/bytes.js';
import { Drive } from '../../block/drive.js';
import { MemoryNode } from '../../block/memory.js';
import { conformance, randomNumbers } from '../../machine/testing/conformance.js';
import { ProbeBus } from '../../machine/testing/probe-bus.js';
import { AtaDisk } from '../ide/ata.js';
import { AtapiCdrom } from '../ide/atapi.js';
import { Ich9Ahci } from './ich9-ahci.js';

const ABAR = 0xf000_0000;
const LIST = 0x1000;
const FIS = 0x2000;
const TABLE = 0x3000;
const DATA = 0x8000;

function setUp(withDevices = true) {
  const bus = new ProbeBus();
  const ram = bus.memory.ram('ram', 1 << 20);
  bus.memorySpace.add(ram, 0);
  const ahci = new Ich9Ahci(bus.slot);
  const node = new MemoryNode(1 << 20);
  if (withDevices) {
    const identity = { model: 'M', serial: 'S', firmware: 'F' };
    ahci.ports[0]!.attach(new AtaDisk(new Drive(node, { id: 'hd' }), identity));
    const disc = new Drive(MemoryNode.of(new Uint8Array(8192).fill(7), true), { id: 'cd' });
    ahci.ports[2]!.attach(new AtapiCdrom(disc, { vendor: 'V', ...identity }));
  }
  ahci.reset();
  ahci.pci.configWrite(0x24, 4, ABAR);
  ahci.pci.configWrite(0x04, 2, 6);
  const reg = (at: number, value?: number): number => {
    if (value === undefined) return bus.system.readValue(ABAR + at, 4);
    bus.system.writeValue(ABAR + at, 4, value);
    return value;
  };
  reg(4, 2);
  for (const port of [0x100, 0x200]) {
    reg(port, LIST);
    reg(port + 8, FIS);
    reg(port + 0x14, 0xffff_ffff);
    reg(port + 0x18, 0x17);
  }
  const { bytes } = ram.ram!;
  /** Issues a command in slot 0 whose data goes to or from `DATA`, in pieces. */
  const issue = (
    port: number,
    fis: readonly number[],
    pieces: readonly number[],
    write = false,
    packet = [0],
  ): void => {
    bytes.fill(0, LIST, LIST + 32);
    putU32(bytes, LIST, 5 | (write ? 0x40 : 0) | (pieces.length << 16));
    putU32(bytes, LIST + 8, TABLE);
    bytes.fill(0, TABLE, TABLE + 0x100);
    bytes.set([0x27, 0x80, ...fis], TABLE);
    bytes.set(packet, TABLE + 0x40);
    let at = DATA;
    pieces.forEach((length, i) => {
      putU32(bytes, TABLE + 0x80 + 16 * i, at);
      putU32(bytes, TABLE + 0x80 + 16 * i + 12, length - 1);
      at += length;
    });
    reg(port + 0x38, 1);
  };
  return { bus, ahci, bytes, reg, issue, node };
}

/** Command, features; LBA and device; LBA, features; count. */
const fis48 = (command: number, lba: number, count: number): number[] => [
  ...[command, 0, lba & 0xff, (lba >> 8) & 0xff, (lba >> 16) & 0xff, 0x40],
  ...[0, 0, 0, 0, count & 0xff, count >> 8, 0, 0],
];

test('signatures, link, IDENTIFY by PIO with both FISes and an interrupt', () => {
  const { bus, bytes, reg, issue } = setUp();
  assert.equal(reg(0x128), 0x113);
  assert.equal(reg(0x124), 0x101);
  assert.equal(reg(0x224), 0xeb14_0101);
  assert.equal(reg(0x1a8), 0);
  issue(0x100, fis48(0xec, 0, 0), [512]);
  assert.equal(reg(0x138), 0);
  assert.equal(getU32(bytes, LIST + 4), 512, 'bytes moved');
  assert.equal(bytes[FIS + 0x20], 0x5f);
  assert.equal(bytes[FIS + 0x40], 0x34);
  assert.equal(reg(0x110) & 3, 3);
  assert.equal(bus.intx[0], true);
  reg(0x110, 0xffff_ffff);
  reg(8, 1);
  assert.equal(bus.intx[0], false);
});

test('DMA in pieces, both ways; what does not fit its descriptors is an overflow', () => {
  const { bytes, reg, issue, node } = setUp();
  for (let i = 0; i < 4096; i++) bytes[DATA + i] = i * 5;
  issue(0x100, fis48(0x35, 16, 8), [1024, 2, 3070], true);
  const stored = new Uint8Array(4096);
  node.read(16 * 512, stored);
  assert.deepEqual(stored, bytes.slice(DATA, DATA + 4096));
  bytes.fill(0, DATA, DATA + 4096);
  issue(0x100, fis48(0x25, 16, 8), [512, 3584]);
  assert.deepEqual(bytes.slice(DATA, DATA + 4096), stored);
  issue(0x100, fis48(0x25, 16, 8), [512]);
  assert.notEqual(reg(0x110) & (1 << 24), 0);
});

test('an error stops the list until it is started again', () => {
  const { reg, issue } = setUp();
  issue(0x100, fis48(0x25, 1 << 23, 8), [4096]);
  assert.equal(reg(0x120) & 1, 1);
  assert.notEqual(reg(0x110) & (1 << 30), 0);
  assert.equal(reg(0x138), 1);
  reg(0x118, 0x16);
  assert.equal(reg(0x138), 0);
  reg(0x118, 0x17);
  issue(0x100, fis48(0xec, 0, 0), [512]);
  assert.equal(reg(0x138), 0);
});

test('packets: a read of a CD by DMA', () => {
  const { bytes, reg, issue } = setUp();
  issue(0x200, [0xa0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [4096], false, [0x28, 0, 0, 0, 0, 1, 0, 0, 2, 0]);
  assert.equal(reg(0x220) & 1, 0);
  assert.deepEqual(bytes.slice(DATA, DATA + 4096), new Uint8Array(4096).fill(7));
});

test('messages take the place of INTx', () => {
  const { bus, ahci, issue } = setUp();
  ahci.pci.configWrite(0x84, 4, 0xfee0_0000);
  ahci.pci.configWrite(0x8c, 2, 0x41);
  ahci.pci.configWrite(0x82, 2, 1);
  issue(0x100, fis48(0xec, 0, 0), [512]);
  assert.ok(bus.msis.length > 0);
  assert.equal(bus.intx[0], false);
});

test('after random lists and tables, a reset makes all well', () => {
  const { bytes, reg, issue } = setUp();
  const random = randomNumbers(5);
  for (let round = 0; round < 2000; round++) {
    const port = random() % 2 ? 0x100 : 0x200;
    issue(
      port,
      Array.from({ length: 14 }, () => (random() % 3 ? random() % 256 : 0)),
      Array.from({ length: random() % 4 }, () => 1 + (random() % 8192)),
      (random() & 1) === 1,
      Array.from({ length: 12 }, () => random() % 256),
    );
    for (let i = 0; i < 8; i++) putU32(bytes, LIST + 4 * (random() % 64), random());
    reg(port + 4 * (random() % 16), random());
    if (reg(port + 0x20) & 1 || round % 16 === 0) reg(4, 3);
    for (const at of [0x100, 0x200]) {
      reg(at, LIST);
      reg(at + 8, FIS);
      reg(at + 0x18, 0x17);
    }
  }
  reg(4, 1);
  reg(0x100, LIST);
  reg(0x108, FIS);
  reg(0x118, 0x17);
  issue(0x100, fis48(0xec, 0, 0), [512]);
  assert.equal(getU32(bytes, LIST + 4), 512);
});

conformance('ich9-ahci', () => {
  const { bus, ahci } = setUp(false);
  return { device: ahci, regions: bus.regions() };
});
