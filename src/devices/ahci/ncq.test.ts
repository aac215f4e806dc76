import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getU32, putU32 } from '../../base/bytes.js';
import { Drive } from '../../block/drive.js';
import { MemoryNode } from '../../block/memory.js';
import { BlockError, type Completion } from '../../block/node.js';
import { ProbeBus } from '../../machine/testing/probe-bus.js';
import { AtaDisk } from '../ide/ata.js';
import { Ich9Ahci } from './ich9-ahci.js';

const ABAR = 0xf000_0000;
const PORT = ABAR + 0x100;
const Reg = { IS: 0x10, CMD: 0x18, TFD: 0x20, SACT: 0x34, CI: 0x38 } as const;
const LIST = 0x1000;
const FIS = 0x2000;
const TABLES = 0x4000;
const DATA = 0x10000;
const READ = 0x60;
const WRITE = 0x61;

/** Reads wait until the test lets them go; those of `bad` sectors fail. */
class SlowNode extends MemoryNode {
  readonly waiting = new Map<number, () => void>();
  bad = -1;

  override read(offset: number, into: Uint8Array): Completion {
    return new Promise<void>((resolve, reject) => {
      this.waiting.set(offset / 512, () => {
        if (offset / 512 === this.bad) reject(new BlockError('EIO', 'bad sector'));
        else {
          super.read(offset, into);
          resolve();
        }
      });
    });
  }

  async release(sector: number): Promise<void> {
    this.waiting.get(sector)!();
    this.waiting.delete(sector);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function setUp() {
  const bus = new ProbeBus();
  const ram = bus.memory.ram('ram', 1 << 20);
  bus.memorySpace.add(ram, 0);
  const ahci = new Ich9Ahci(bus.slot);
  const node = new SlowNode(1 << 20);
  ahci.ports[0]!.attach(new AtaDisk(new Drive(node, { id: 'hd' }), { model: 'M', serial: 'S', firmware: 'F' }));
  ahci.reset();
  ahci.pci.configWrite(0x24, 4, ABAR);
  ahci.pci.configWrite(0x04, 2, 6);
  const read = (register: number): number => bus.system.readValue(PORT + register, 4);
  const write = (register: number, value: number): void => bus.system.writeValue(PORT + register, 4, value);
  bus.system.writeValue(ABAR + 4, 4, 2);
  write(0, LIST);
  write(8, FIS);
  write(0x14, 0xffff_ffff);
  write(Reg.CMD, 0x17);
  const { bytes } = ram.ram!;
  const dataOf = (slot: number): number => DATA + 0x2000 * slot;
  /** Puts a command into a slot's table; data in two pieces. */
  const prepare = (slot: number, fis: readonly number[], length: number): void => {
    const table = TABLES + 0x200 * slot;
    putU32(bytes, LIST + 32 * slot, 5 | (2 << 16));
    putU32(bytes, LIST + 32 * slot + 8, table);
    bytes.fill(0, table, table + 0x200);
    bytes.set([0x27, 0x80, ...fis], table);
    for (const [i, [at, n]] of [
      [dataOf(slot), 100],
      [dataOf(slot) + 100, length - 100],
    ].entries()) {
      putU32(bytes, table + 0x80 + 16 * i, at!);
      putU32(bytes, table + 0x80 + 16 * i + 12, n! - 1);
    }
  };
  /** Command, count in features, tag in count. */
  const queued = (slot: number, command: number, lba: number, count: number, tag = slot): void =>
    prepare(slot, [command, count, lba, lba >> 8, lba >> 16, 0x40, 0, 0, 0, 0, tag << 3, 0, 0, 0], count * 512);
  const issue = (slots: number, active = slots): void => {
    write(Reg.SACT, active);
    write(Reg.CI, slots);
  };
  return { bus, bytes, node, ahci, read, write, prepare, queued, issue, dataOf };
}

const pattern = (seed: number): Uint8Array => Uint8Array.from({ length: 1024 }, (_, i) => (i * 7 + seed) & 0xff);

test('controller and disk say that they queue 32 commands', () => {
  const { bus, bytes, prepare, issue, dataOf } = setUp();
  assert.notEqual(bus.system.readValue(ABAR, 4) & 0x4000_0000, 0);
  prepare(0, [0xec, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0], 512);
  issue(1, 0);
  assert.equal(bytes[dataOf(0) + 150]! | (bytes[dataOf(0) + 151]! << 8), 31);
  assert.notEqual(bytes[dataOf(0) + 153]! & 1, 0);
});

test('reads run beside each other and end in any order, each told by Set Device Bits', async () => {
  const { bytes, node, read, write, queued, issue, dataOf } = setUp();
  for (const [slot, lba] of [
    [3, 10],
    [7, 300],
    [31, 70],
  ] as const) {
    MemoryNode.prototype.write.call(node, lba * 512, pattern(slot));
    queued(slot, READ, lba, 2);
  }
  const all = ((1 << 3) | (1 << 7) | (1 << 31)) >>> 0;
  issue(all);
  assert.deepEqual([...node.waiting.keys()].sort(), [10, 300, 70].sort());
  assert.equal(read(Reg.CI), 0, 'accepted');
  assert.equal(read(Reg.SACT), all);
  assert.equal(read(Reg.TFD) & 0x89, 0);
  write(Reg.IS, 0xffff_ffff);

  await node.release(70);
  assert.equal(read(Reg.SACT), (1 << 3) | (1 << 7));
  assert.equal(read(Reg.IS) & 8, 8);
  assert.deepEqual([...bytes.slice(FIS + 0x58, FIS + 0x5c)], [0xa1, 0x40, 0x50, 0]);
  assert.equal(getU32(bytes, FIS + 0x5c), 2 ** 31);
  assert.deepEqual(bytes.slice(dataOf(31), dataOf(31) + 1024), pattern(31));

  // The slot is free for the next one while others wait.
  queued(31, READ, 20, 1);
  issue((1 << 31) >>> 0);
  for (const lba of [10, 20, 300]) await node.release(lba);
  assert.equal(read(Reg.SACT), 0);
  assert.deepEqual(bytes.slice(dataOf(3), dataOf(3) + 1024), pattern(3));
  assert.deepEqual(bytes.slice(dataOf(7), dataOf(7) + 1024), pattern(7));
});

test('writes that end at once are told together; another command waits for what is queued', async () => {
  const { bytes, node, read, queued, prepare, issue, dataOf } = setUp();
  for (const slot of [0, 1]) {
    bytes.set(pattern(slot), dataOf(slot));
    queued(slot, WRITE, 100 + 2 * slot, 2);
  }
  issue(3);
  assert.equal(getU32(bytes, FIS + 0x5c), 3);
  assert.equal(read(Reg.SACT), 0);
  const stored = new Uint8Array(2048);
  MemoryNode.prototype.read.call(node, 100 * 512, stored);
  assert.deepEqual(stored, Uint8Array.of(...pattern(0), ...pattern(1)));

  queued(0, READ, 5, 1);
  prepare(1, [0xec, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0], 512);
  issue(3, 1);
  assert.equal(read(Reg.CI), 2);
  await node.release(5);
  assert.equal(read(Reg.CI), 0);
  assert.notEqual(bytes[dataOf(1) + 153]! & 1, 0);
});

test('an error stops the queue; the log says which command failed', async () => {
  const { bytes, node, read, write, queued, prepare, issue, dataOf } = setUp();
  node.bad = 40;
  queued(2, READ, 40, 1);
  queued(5, READ, 50, 1);
  issue(0x24);
  await node.release(40);
  assert.equal(read(Reg.TFD), 0x4051);
  assert.notEqual(read(Reg.IS) & (1 << 30), 0);
  assert.equal(read(Reg.SACT), 0x24);
  // What the other one still brings is nobody's.
  bytes.fill(1, dataOf(5), dataOf(5) + 512);
  await node.release(50);
  assert.equal(read(Reg.SACT), 0x24);
  write(Reg.CMD, 0x16);
  assert.equal(read(Reg.SACT), 0);
  write(Reg.CMD, 0x17);
  prepare(0, [0x2f, 0, 0x10, 0, 0, 0x40, 0, 0, 0, 0, 1, 0, 0, 0], 512);
  issue(1, 0);
  const log = bytes.slice(dataOf(0), dataOf(0) + 512);
  assert.deepEqual([...log.subarray(0, 5)], [2, 0, 0x41, 0x40, 40]);
  assert.equal(log.reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
});

for (const [name, break_] of [
  ['a wrong tag', (s: ReturnType<typeof setUp>) => s.queued(0, READ, 0, 1, 9)],
  ['sectors beyond the end', (s: ReturnType<typeof setUp>) => s.queued(0, READ, 2047, 2)],
  [
    'descriptors that end too soon',
    (s: ReturnType<typeof setUp>) => {
      s.queued(0, READ, 0, 1);
      putU32(s.bytes, LIST, 5 | (1 << 16));
    },
  ],
  [
    'an address that is not RAM',
    (s: ReturnType<typeof setUp>) => {
      s.queued(0, READ, 0, 1);
      putU32(s.bytes, TABLES + 0x80, 0xe000_0000);
    },
  ],
] as const) {
  test(`${name}: an error, and the port goes on after a restart`, async () => {
    const s = setUp();
    break_(s);
    s.issue(1);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(s.read(Reg.TFD) & 1, 1);
    s.write(Reg.CMD, 0x16);
    s.write(Reg.CMD, 0x17);
    s.bytes.set(pattern(0), s.dataOf(0));
    s.queued(0, WRITE, 0, 2);
    s.issue(1);
    assert.equal(s.read(Reg.SACT), 0);
    assert.equal(s.read(Reg.TFD) & 1, 0);
  });
}

test('a reset forgets what is queued', async () => {
  const { bus, bytes, node, read, queued, issue, dataOf } = setUp();
  queued(4, READ, 9, 1);
  issue(0x10);
  bus.system.writeValue(ABAR + 4, 4, 1);
  bytes.fill(3, dataOf(4), dataOf(4) + 512);
  bytes.fill(0, FIS, FIS + 256);
  await node.release(9);
  assert.equal(read(Reg.SACT), 0);
  assert.equal(getU32(bytes, FIS + 0x5c), 0);
});
