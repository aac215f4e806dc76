import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getU16, getU32 } from '../../base/bytes.js';
import { Drive } from '../../block/drive.js';
import { MemoryNode } from '../../block/memory.js';
import { BlockError, type Completion } from '../../block/node.js';
import { AtaDisk } from './ata.js';
import { IdeBench } from './testing/ide-bench.js';

const IDENTITY = { model: 'TEST DISK', serial: 'T1', firmware: '1.0' };
const SECTORS = 40000;

class SlowNode extends MemoryNode {
  readonly waiting: (() => void)[] = [];
  override read(offset: number, into: Uint8Array): Completion {
    return new Promise<void>((resolve) =>
      this.waiting.push(() => {
        super.read(offset, into);
        resolve();
      }),
    );
  }
}

function image(): MemoryNode {
  const node = new MemoryNode(SECTORS * 512);
  const sector = new Uint8Array(512);
  for (let i = 0; i < 1200; i++) {
    sector.fill(i & 0xff);
    sector[511] = i >> 8;
    node.write(i * 512, sector);
  }
  return node;
}

function bench(node: MemoryNode = image()) {
  const drive = new Drive(node, { id: 'hd0' });
  const disk = new AtaDisk(drive, IDENTITY);
  return { ide: new IdeBench(disk), disk, drive, node };
}

const sector = (n: number) => {
  const bytes = new Uint8Array(512).fill(n & 0xff);
  bytes[511] = n >> 8;
  return bytes;
};

test('the signature after reset', () => {
  const { ide } = bench();
  assert.deepEqual([1, 2, 3, 4, 5].map(ide.get), [1, 1, 1, 0, 0]);
  assert.equal(ide.get(7), 0x50);
  ide.put(6, 0xb0);
  assert.equal(ide.get(7), 0, 'the other device is not there');
});

test('IDENTIFY tells size, geometry and model', () => {
  const { ide } = bench();
  ide.issue(0xec, {});
  assert.ok(ide.irq.level);
  assert.equal(ide.get(7), 0x58);
  assert.ok(!ide.irq.level, 'reading STATUS acknowledges');
  const id = ide.readPio(512);
  assert.equal(ide.get(7), 0x50);
  assert.equal(getU32(id, 120), SECTORS);
  assert.equal(getU32(id, 200), SECTORS);
  assert.deepEqual([getU16(id, 2), getU16(id, 6), getU16(id, 12)], [39, 16, 63]);
  const text = String.fromCharCode(...id.subarray(54, 94)).replace(/(.)(.)/g, '$2$1');
  assert.equal(text.trim(), 'TEST DISK');
});

test('IDENTIFY tells the world wide name and how fast the medium turns', () => {
  const words = (options: Partial<ConstructorParameters<typeof AtaDisk>[1]>): number[] => {
    const drive = new Drive(new MemoryNode(SECTORS * 512), { id: 'hd0' });
    const ide = new IdeBench(new AtaDisk(drive, { ...IDENTITY, ...options }));
    ide.issue(0xec, {});
    const id = ide.readPio(512);
    return [84, 87, 108, 109, 110, 111, 217].map((word) => getU16(id, 2 * word));
  };
  assert.deepEqual(
    words({ wwn: 0x5000c50015ea71aan, rotationRate: 1 }),
    [0x4100, 0x4100, 0x5000, 0xc500, 0x15ea, 0x71aa, 1],
  );
  assert.deepEqual(words({}), [0x4000, 0x4000, 0, 0, 0, 0, 0]);
});

test('READ SECTORS interrupts for each sector, not after the last', () => {
  const { ide } = bench();
  ide.issue(0x20, { device: 0x40, low: 5, count: 2 });
  assert.equal(ide.get(7), 0x58);
  assert.deepEqual(ide.readPio(512), sector(5));
  assert.ok(ide.irq.level);
  ide.get(7);
  assert.deepEqual(ide.readPio(512), sector(6));
  assert.ok(!ide.irq.level);
  assert.equal(ide.get(7), 0x50);
  assert.equal(ide.get(3), 6, 'the last sector');
});

test('CHS addresses, and those that do not exist', () => {
  const { ide } = bench();
  // Cylinder 1, head 2, sector 3.
  ide.issue(0x20, { device: 0x02, low: 3, mid: 1, count: 1 });
  assert.deepEqual(ide.readPio(512), sector((16 + 2) * 63 + 2));
  ide.issue(0x20, { device: 0x00, low: 0, count: 1 });
  assert.equal(ide.get(7) & 1, 1);
  assert.equal(ide.get(1), 0x10);
});

test('WRITE SECTORS: no interrupt before the first sector, one after each', () => {
  const { ide, node } = bench();
  ide.issue(0x30, { device: 0x40, low: 7, count: 2 });
  assert.ok(!ide.irq.level);
  ide.writePio(sector(0x177));
  assert.ok(ide.irq.level);
  ide.get(7);
  ide.writePio(sector(0x188));
  assert.ok(ide.irq.level);
  assert.equal(ide.get(7), 0x50);
  const got = new Uint8Array(1024);
  node.read(7 * 512, got);
  assert.deepEqual(got.subarray(0, 512), sector(0x177));
  assert.deepEqual(got.subarray(512), sector(0x188));
});

test('READ MULTIPLE moves blocks of several sectors, the last one shorter', () => {
  const { ide } = bench();
  ide.issue(0xc6, { count: 3 });
  assert.equal(ide.get(7) & 1, 1, 'not a power of two');
  ide.issue(0xc6, { count: 4 });
  assert.equal(ide.get(7), 0x50);
  const edges = ide.irq.edges;
  ide.issue(0xc4, { device: 0x40, low: 0, count: 6 });
  ide.get(7);
  ide.readPio(4 * 512);
  ide.get(7);
  assert.deepEqual(ide.readPio(2 * 512).subarray(512), sector(5));
  assert.equal(ide.irq.edges - edges, 2);
  assert.equal(ide.get(7), 0x50);
});

test('48-bit: the registers are two deep, HOB shows the older', () => {
  const { ide } = bench();
  ide.put(6, 0xe0);
  for (const [register, high, low] of [
    [2, 0, 1],
    [3, 0, 0x02],
    [4, 0, 0x01],
    [5, 0, 0],
  ] as const) {
    ide.put(register, high);
    ide.put(register, low);
  }
  ide.put(7, 0x24);
  assert.deepEqual(ide.readPio(512), sector(0x102));
  ide.put(3, 0x12);
  ide.put(3, 0x34);
  assert.equal(ide.get(3), 0x34);
  ide.control(0x80);
  assert.equal(ide.get(3), 0x12);
  ide.put(3, 0);
  assert.equal(ide.get(4), 0x01, 'a write to the command block ends HOB');
});

test('READ DMA scatters over descriptors; WRITE DMA gathers', () => {
  const { ide, node } = bench();
  ide.describe([0x8000, 512], [0xa000, 1024], [0x9000, 512]);
  ide.issue(0xc8, { device: 0x40, low: 10, count: 4 });
  assert.ok(!ide.irq.level, 'the bus master has not started');
  ide.startDma(true);
  assert.ok(ide.irq.level);
  assert.equal(ide.masterStatus & 7, 4);
  assert.deepEqual(ide.memory.bytes.slice(0x8000, 0x8200), sector(10));
  assert.deepEqual(ide.memory.bytes.slice(0xa200, 0xa400), sector(12));
  assert.deepEqual(ide.memory.bytes.slice(0x9000, 0x9200), sector(13));
  assert.equal(ide.get(7), 0x50);
  ide.master.write(0, 1, 0);
  ide.describe([0xa000, 1024]);
  ide.startDma(false);
  ide.issue(0xca, { device: 0x40, low: 100, count: 2 });
  assert.ok(ide.irq.level, 'the bus master may start first');
  const got = new Uint8Array(1024);
  node.read(100 * 512, got);
  assert.deepEqual(got.subarray(512), sector(12));
});

test('bus master status: too many descriptors leave ACTIVE, too few leave the drive waiting', () => {
  const { ide } = bench();
  ide.describe([0x8000, 512], [0x9000, 512]);
  ide.issue(0xc8, { device: 0x40, count: 1 });
  ide.startDma(true);
  assert.equal(ide.masterStatus & 7, 5);
  ide.master.write(0, 1, 0);
  ide.get(7);
  ide.describe([0x8000, 512]);
  ide.issue(0xc8, { device: 0x40, count: 2 });
  ide.startDma(true);
  assert.equal(ide.masterStatus & 7, 0);
  assert.ok(!ide.irq.level);
  ide.control(4);
  ide.control(0);
  assert.equal(ide.get(7), 0x50);
});

test('a descriptor count of 0 is 64 KiB', () => {
  const { ide } = bench();
  ide.describe([0x20000, 0x10000]);
  ide.issue(0xc8, { device: 0x40, low: 0, count: 128 });
  ide.startDma(true);
  assert.equal(ide.masterStatus & 7, 4);
  assert.deepEqual(ide.memory.bytes.slice(0x2fe00, 0x30000), sector(127));
});

test('an asynchronous drive: BSY until it answers; a reset forgets the answer', async () => {
  const node = new SlowNode(SECTORS * 512);
  node.write(512, sector(1));
  const { ide, drive } = bench(node);
  ide.issue(0x20, { device: 0x40, low: 1, count: 1 });
  assert.equal(ide.get(7), 0x80);
  assert.ok(!ide.irq.level);
  node.waiting.shift()!();
  await drive.drained();
  await new Promise(setImmediate);
  assert.ok(ide.irq.level);
  assert.equal(ide.get(7), 0x58);
  assert.deepEqual(ide.readPio(512), sector(1));
  ide.issue(0x20, { device: 0x40, low: 1, count: 1 });
  ide.control(4);
  ide.control(0);
  node.waiting.shift()!();
  await new Promise(setImmediate);
  assert.equal(ide.get(7), 0x50);
  assert.ok(!ide.irq.level);
});

test('reads beyond the end and host failures are ATA errors', () => {
  const { ide, node } = bench();
  ide.issue(0xc8, { device: 0x40, low: 0x3f, mid: 0x9c, count: 2 });
  assert.equal(ide.get(7) & 0x81, 0x01);
  assert.equal(ide.get(1), 0x10);
  node.read = () => {
    throw new BlockError('EIO', 'a scratch');
  };
  ide.issue(0x20, { device: 0x40, low: 9, count: 1 });
  assert.equal(ide.get(7), 0x51);
  assert.equal(ide.get(1), 0x40);
  assert.equal(ide.get(3), 9);
});

test('a read-only medium refuses writes', () => {
  const { ide } = bench(MemoryNode.of(new Uint8Array(512 * 64), true));
  ide.issue(0x30, { device: 0x40, low: 1, count: 1 });
  ide.writePio(sector(3));
  assert.equal(ide.get(7) & 1, 1);
  assert.equal(ide.get(1), 4);
});

test('unknown commands abort; so does IDENTIFY PACKET DEVICE', () => {
  const { ide } = bench();
  for (const command of [0x00, 0x08, 0xa1, 0xa0, 0xff]) {
    ide.issue(command, {});
    assert.equal(ide.get(7) & 0x89, 0x01, `command ${command}`);
    assert.equal(ide.get(1), 4);
  }
});

test('SMART answers behind its signature', () => {
  const { ide } = bench();
  ide.issue(0xb0, { features: 0xda });
  assert.equal(ide.get(7) & 1, 1);
  ide.issue(0xb0, { features: 0xda, mid: 0x4f, high: 0xc2 });
  assert.equal(ide.get(7), 0x50);
  assert.deepEqual([ide.get(4), ide.get(5)], [0x4f, 0xc2]);
  ide.issue(0xb0, { features: 0xd0, mid: 0x4f, high: 0xc2 });
  const page = ide.readPio(512);
  assert.equal(page.reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
});

test('TRIM discards ranges', () => {
  const { ide, node } = bench();
  const list = new Uint8Array(512);
  list.set([0, 0, 0, 0, 0, 0, 0, 4]);
  ide.memory.bytes.set(list, 0x8000);
  ide.describe([0x8000, 512]);
  // A 48-bit command: the count has two halves.
  ide.put(2, 0);
  ide.issue(0x06, { device: 0x40, features: 1, count: 1 });
  ide.startDma(false);
  assert.equal(ide.get(7), 0x50);
  const got = new Uint8Array(512).fill(1);
  node.read(0, got);
  assert.deepEqual(got, new Uint8Array(512));
});

test('nIEN keeps the interrupt in', () => {
  const { ide } = bench();
  ide.control(2);
  ide.issue(0xec, {});
  assert.ok(!ide.irq.level);
  ide.control(0);
  assert.ok(ide.irq.level);
});

test('two disks answer for themselves', () => {
  const make = (id: string, n: number) => new AtaDisk(new Drive(new MemoryNode(n * 512), { id }), IDENTITY);
  const ide = new IdeBench(make('a', 1000), make('b', 2000));
  for (const [unit, size] of [
    [0, 1000],
    [1, 2000],
  ] as const) {
    ide.issue(0xec, { unit });
    assert.equal(getU32(ide.readPio(512), 120), size);
  }
  ide.issue(0x90, { unit: 1 });
  assert.deepEqual([1, 2, 3].map(ide.get), [1, 1, 1]);
  assert.ok(ide.irq.level);
});

test('a snapshot in the middle of a PIO transfer goes on where it was', () => {
  const a = bench();
  a.ide.issue(0x20, { device: 0x40, low: 5, count: 2 });
  a.ide.readPio(100);
  const saved = [a.disk.save(), a.ide.channel.save()] as const;
  const b = bench();
  b.disk.load(saved[0]);
  b.ide.channel.load(saved[1]);
  assert.deepEqual(b.disk.save(), saved[0]);
  assert.ok(b.ide.irq.level);
  assert.deepEqual(b.ide.readPio(412), sector(5).subarray(100));
  assert.deepEqual(b.ide.readPio(512), sector(6));
});

test('random accesses throw nothing', () => {
  const { ide } = bench();
  let seed = 1;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  for (let i = 0; i < 50000; i++) {
    const size = ([1, 2, 4] as const)[random(3)]!;
    const value = random(0x1000000);
    switch (random(5)) {
      case 0:
        ide.channel.commandBlock.write(random(8), size, value);
        break;
      case 1:
        ide.channel.commandBlock.read(random(8), size);
        break;
      case 2:
        ide.control(value & 0xff);
        break;
      case 3:
        ide.master.write(random(8), 1, value & 0xff);
        break;
      default:
        ide.put(7, [0x20, 0x30, 0xc8, 0xca, 0xec, 0x25, 0x35, 0xb0, 0xef][random(9)]!);
    }
  }
  ide.control(4);
  ide.control(0);
  assert.equal(ide.get(7), 0x50);
});
