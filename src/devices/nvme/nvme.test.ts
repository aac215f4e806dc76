import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getU16, getU32, getU64, putU16, putU32, putU64 } from '../../base/bytes.js';
import { Drive } from '../../block/drive.js';
import { MemoryNode } from '../../block/memory.js';
import { conformance, randomNumbers } from '../../machine/testing/conformance.js';
import { ManualTime } from '../../machine/testing/manual-time.js';
import { ProbeBus, throughRegion } from '../../machine/testing/probe-bus.js';
import { Nvme } from './nvme.js';

const BAR = 0xf000_0000;
const ADMIN = { sq: 0x1000, cq: 0x2000 };
const IO = { sq: 0x3000, cq: 0x4000 };
const LIST = 0x5000;
const DATA = 0x10000;
const SIZE = 16;

interface Fields {
  readonly nsid?: number;
  readonly prp1?: number;
  readonly prp2?: number;
  readonly dw10?: number;
  readonly dw11?: number;
  readonly dw12?: number;
}

function setUp() {
  const bus = new ProbeBus();
  const ram = bus.memory.ram('ram', 1 << 20);
  bus.memorySpace.add(ram, 0);
  const node = new MemoryNode(1 << 20);
  const options = { serial: 'serial-1', queuePairs: 4, vectors: 5, mdts: 5, blockBytes: 512 };
  const nvme = new Nvme(bus.slot, new Drive(node, { id: 'd' }), options, new ManualTime().clocks());
  nvme.reset();
  nvme.pci.configWrite(0x10, 4, BAR);
  nvme.pci.configWrite(0x04, 2, 6);
  const reg = (at: number, value?: number): number => {
    if (value === undefined) return bus.system.readValue(BAR + at, 4);
    bus.system.writeValue(BAR + at, 4, value);
    return value;
  };
  const { bytes } = ram.ram!;
  const heads = { sq: [0, 0], cq: [0, 0], phase: [1, 1] };
  const start = (): void => {
    bytes.fill(0, 0x1000, 0x5000);
    Object.assign(heads, { sq: [0, 0], cq: [0, 0], phase: [1, 1] });
    reg(0x14, 0);
    reg(0x24, ((SIZE - 1) << 16) | (SIZE - 1));
    reg(0x28, ADMIN.sq);
    reg(0x30, ADMIN.cq);
    reg(0x14, 0x0046_0001);
  };
  start();
  /** Runs a command on queue 0 or 1; gives status and result. */
  const run = (queue: 0 | 1, opcode: number, f: Fields = {}) => {
    const at = (queue ? IO : ADMIN).sq + 64 * heads.sq[queue]!;
    bytes.fill(0, at, at + 64);
    bytes[at] = opcode;
    putU16(bytes, at + 2, 7);
    putU32(bytes, at + 4, f.nsid ?? 0);
    putU64(bytes, at + 24, f.prp1 ?? 0);
    putU64(bytes, at + 32, f.prp2 ?? 0);
    putU32(bytes, at + 40, f.dw10 ?? 0);
    putU32(bytes, at + 44, f.dw11 ?? 0);
    putU32(bytes, at + 48, f.dw12 ?? 0);
    heads.sq[queue] = (heads.sq[queue]! + 1) % SIZE;
    reg(0x1000 + 8 * queue, heads.sq[queue]);
    const entry = (queue ? IO : ADMIN).cq + 16 * heads.cq[queue]!;
    const status = getU16(bytes, entry + 14);
    assert.equal(status & 1, heads.phase[queue], 'completed');
    assert.equal(getU16(bytes, entry + 12), 7);
    heads.cq[queue] = (heads.cq[queue]! + 1) % SIZE;
    if (heads.cq[queue] === 0) heads.phase[queue]! ^= 1;
    reg(0x1004 + 8 * queue, heads.cq[queue]);
    return { status: (status >> 1) & 0x7ff, result: getU32(bytes, entry) };
  };
  const makeQueues = (): void => {
    assert.equal(run(0, 5, { prp1: IO.cq, dw10: ((SIZE - 1) << 16) | 1, dw11: 0x1_0003 }).status, 0);
    assert.equal(run(0, 1, { prp1: IO.sq, dw10: ((SIZE - 1) << 16) | 1, dw11: 0x1_0001 }).status, 0);
  };
  return { bus, nvme, reg, bytes, run, makeQueues, start, node };
}

test('identify, features and queues', () => {
  const { reg, bytes, run, makeQueues } = setUp();
  assert.equal(reg(0x1c), 1);
  assert.equal(run(0, 6, { prp1: DATA, dw10: 1 }).status, 0);
  assert.match(new TextDecoder().decode(bytes.slice(DATA + 4, DATA + 64)), /^serial-1 {12}QEMU NVMe Ctrl/);
  assert.equal(run(0, 6, { prp1: DATA, dw10: 0, nsid: 1 }).status, 0);
  assert.equal(getU64(bytes, DATA), 2048);
  assert.equal(bytes[DATA + 130], 9);
  assert.equal(run(0, 6, { prp1: DATA, dw10: 0, nsid: 2 }).status, 0x0b);
  assert.equal(run(0, 9, { dw10: 7, dw11: 0xff_00ff }).result, 0x3_0003);
  assert.equal(run(0, 9, { dw10: 6, dw11: 0 }).status, 0);
  assert.equal(run(0, 10, { dw10: 6 }).result, 0);
  assert.equal(run(0, 0x77).status, 1);
  assert.equal(run(0, 1, { prp1: IO.sq, dw10: 0xf_0001, dw11: 0x1_0001 }).status, 0x100, 'no completion queue yet');
  makeQueues();
  assert.equal(run(0, 4, { dw10: 1 }).status, 0x10c, 'still in use');
  assert.equal(run(0, 0, { dw10: 1 }).status, 0);
  assert.equal(run(0, 4, { dw10: 1 }).status, 0);
});

test('reads and writes through one page, two, and lists; many laps of the queues', () => {
  const { bytes, run, makeQueues } = setUp();
  makeQueues();
  const rw = (opcode: 1 | 2, prp1: number, prp2: number, lba: number, blocks: number): number =>
    run(1, opcode, { nsid: 1, prp1, prp2, dw10: lba, dw12: blocks - 1 }).status;
  for (let i = 0; i < 0x8000; i++) bytes[DATA + i] = i * 7 + (i >> 8);
  assert.equal(rw(1, DATA + 512, 0, 1, 7), 0, 'within a page');
  assert.equal(rw(1, DATA + 0x0e00, DATA + 0x1000, 8, 8), 0, 'into a second');
  for (let i = 0; i < 8; i++) putU64(bytes, LIST + 8 * i, DATA + 0x1000 * (i + 1));
  assert.equal(rw(1, DATA, LIST, 16, 64), 0, 'a list');
  const written = bytes.slice(DATA, DATA + 0x8000);
  bytes.fill(0, DATA, DATA + 0x8000);
  assert.equal(rw(2, DATA, LIST, 16, 64), 0);
  assert.deepEqual(bytes.slice(DATA, DATA + 0x8000), written);
  for (let i = 0; i < 50; i++) {
    assert.equal(rw(2, DATA + 0xa000, 0, 1, 7), 0);
    assert.deepEqual(bytes.slice(DATA + 0xa000, DATA + 0xae00), written.slice(512, 0x1000));
  }
});

test('write zeroes, deallocate, flush; blocks that are not there and pages that cannot be', () => {
  const { bytes, run, makeQueues } = setUp();
  makeQueues();
  bytes.fill(9, DATA, DATA + 4096);
  assert.equal(run(1, 1, { nsid: 1, prp1: DATA, dw10: 0, dw12: 7 }).status, 0);
  assert.equal(run(1, 8, { nsid: 1, dw10: 2, dw12: 1 }).status, 0);
  assert.equal(run(1, 2, { nsid: 1, prp1: DATA, dw10: 0, dw12: 7 }).status, 0);
  assert.deepEqual([bytes[DATA + 1023], bytes[DATA + 1024], bytes[DATA + 2048]], [9, 0, 9]);
  putU32(bytes, DATA + 4, 8);
  putU64(bytes, DATA + 8, 0);
  assert.equal(run(1, 9, { nsid: 1, prp1: DATA, dw10: 0, dw11: 4 }).status, 0);
  putU64(bytes, DATA + 8, 4000);
  assert.equal(run(1, 9, { nsid: 1, prp1: DATA, dw10: 0, dw11: 4 }).status, 0x80);
  assert.equal(run(1, 0, { nsid: 1 }).status, 0);
  assert.equal(run(1, 2, { nsid: 1, prp1: DATA, dw10: 2047, dw12: 1 }).status, 0x80);
  assert.equal(run(1, 2, { nsid: 1, prp1: DATA, dw10: 0, dw12: 0xffff }).status, 0x80);
  assert.equal(run(1, 2, { nsid: 1, prp1: DATA, dw10: 0, dw12: 600 }).status, 2, 'too long');
  assert.equal(run(1, 2, { nsid: 1, prp1: DATA, prp2: LIST + 4, dw10: 0, dw12: 63 }).status, 4);
  assert.equal(run(1, 2, { nsid: 1, prp1: 0x8000_0000, dw10: 0, dw12: 0 }).status, 4);
  assert.equal(run(1, 2, { nsid: 9, prp1: DATA, dw10: 0, dw12: 0 }).status, 0x0b);
});

test('a driver that has asked for it is told of a new length, once until it has read which namespace it is', async () => {
  const { nvme, reg, bytes, node } = setUp();
  const CHANGED = 0x04_0002;
  /** Admin commands that are answered later, or not at all: where their completion will be, and the doorbell behind it. */
  let submitted = 0;
  let completed = 0;
  const admin = (opcode: number, cid: number, dw10 = 0, dw11 = 0): void => {
    const at = ADMIN.sq + 64 * submitted;
    bytes.fill(0, at, at + 64);
    bytes[at] = opcode;
    putU16(bytes, at + 2, cid);
    putU64(bytes, at + 24, DATA);
    putU32(bytes, at + 40, dw10);
    putU32(bytes, at + 44, dw11);
    submitted = (submitted + 1) % SIZE;
    reg(0x1000, submitted);
  };
  /** Ids and results of completions since the last call. */
  const answers = (): (readonly [number, number])[] => {
    const list: (readonly [number, number])[] = [];
    for (; getU16(bytes, ADMIN.cq + 16 * completed + 14) & 1; completed++) {
      const at = ADMIN.cq + 16 * completed;
      assert.equal(getU16(bytes, at + 14) >> 1, 0);
      list.push([getU16(bytes, at + 12), getU32(bytes, at)]);
    }
    reg(0x1004, completed);
    return list;
  };
  nvme.resized();
  admin(12, 1);
  assert.deepEqual(answers(), [], 'not wanted yet');
  admin(9, 2, 0x0b, 0x100);
  assert.deepEqual(answers(), [
    [1, CHANGED],
    [2, 0],
  ]);
  nvme.resized();
  admin(12, 3);
  assert.deepEqual(answers(), [], 'the first has not been read');
  admin(2, 4, (1023 << 16) | 0x8004);
  assert.equal(getU32(bytes, DATA), 1);
  admin(2, 5, (1023 << 16) | 4);
  assert.deepEqual(answers(), [
    [4, 0],
    [5, 0],
  ]);
  assert.deepEqual([getU32(bytes, DATA), getU32(bytes, DATA + 4)], [1, 0]);
  await node.truncate(2 << 20);
  nvme.resized();
  assert.deepEqual(answers(), [[3, CHANGED]]);
  admin(2, 6, (1023 << 16) | 4);
  admin(2, 7, (1023 << 16) | 4);
  assert.equal(getU32(bytes, DATA), 0, 'read and gone');
  assert.equal(answers().length, 2);
});

test('interrupts: by pin while MSI-X is off, by vector of the queue when it is on', () => {
  const { bus, nvme, reg, run, makeQueues } = setUp();
  makeQueues();
  assert.equal(bus.intx[0], false, 'all taken');
  reg(0x0c, 1);
  reg(0x0c, 2);
  nvme.pci.configWrite(0xb2, 2, 0x8000);
  reg(0x2010, 0xfee0_1000);
  reg(0x2018, 0x55);
  reg(0x201c, 0);
  run(1, 0, { nsid: 1 });
  assert.deepEqual(bus.msis, [[0xfee0_1000, 0x55]]);
});

test('after random queues and commands, a reset makes all well', () => {
  const s = setUp();
  const random = randomNumbers(11);
  for (let round = 0; round < 3000; round++) {
    for (let i = 0; i < 4; i++) {
      const at = ADMIN.sq + 64 * (random() % SIZE);
      s.bytes[at] = random() % 16;
      putU32(s.bytes, at + 4 * (random() % 16), random() % 3 ? random() % 0x2_0000 : random());
    }
    s.reg(0x1000 + 4 * (random() % 12), random() % 20);
    if (random() % 16 === 0) s.reg([0x24, 0x28, 0x30, 0x14][random() % 4]!, random() % 2 ? random() : 1);
    if (random() % 32 === 0) s.start();
  }
  s.start();
  assert.equal(s.run(0, 6, { prp1: DATA, dw10: 1 }).status, 0);
});

conformance('nvme', () => {
  const { bus, nvme } = setUp();
  const bar = nvme.pci.spec.bars![0]!.region;
  nvme.reset();
  return {
    device: nvme,
    regions: [...bar.subRegions.map(({ region }) => throughRegion(region)), bus.regions().at(-1)!],
  };
});
