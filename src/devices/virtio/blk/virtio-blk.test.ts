import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getU32, getU64, putU32, putU64 } from '../../../base/bytes.js';
import { Drive } from '../../../block/drive.js';
import { MemoryNode } from '../../../block/memory.js';
import type { Completion } from '../../../block/node.js';
import { Feature } from '../core/features.js';
import { TestDriver } from '../testing.js';
import { BlkFeature, VirtioBlk, type VirtioBlkOptions } from './virtio-blk.js';

const BYTES = 1 << 20;
const Type = { in: 0, out: 1, flush: 4, getId: 8, discard: 11, writeZeroes: 13 } as const;
const ALL_BLK = Object.values(BlkFeature).filter((bit) => bit !== BlkFeature.readOnly);

/** A node whose operations end when the test says so. */
class SlowNode extends MemoryNode {
  readonly waiting: (() => void)[] = [];

  override read(offset: number, into: Uint8Array): Completion {
    return new Promise((resolve) =>
      this.waiting.push(() => {
        super.read(offset, into);
        resolve();
      }),
    );
  }
}

function setUp(
  options: { node?: MemoryNode; features?: readonly number[]; queues?: number; own?: Partial<VirtioBlkOptions> } = {},
) {
  const node = options.node ?? new MemoryNode(BYTES);
  const drive = new Drive(node, { id: 'd' });
  const device = new VirtioBlk({
    backend: drive,
    packedRing: true,
    serial: 'serial-number-1',
    queues: options.queues ?? 1,
    queueSize: 64,
    configWce: true,
    discard: true,
    writeZeroes: true,
    logicalBlockSize: 512,
    physicalBlockSize: 4096,
    ...options.own,
  });
  const driver = new TestDriver(device, [...ALL_BLK, ...(options.features ?? [])]);
  return { node, drive, device, driver };
}

function header(type: number, sector: number, data: Uint8Array = new Uint8Array()): Uint8Array {
  const bytes = new Uint8Array(16 + data.length);
  putU32(bytes, 0, type);
  putU64(bytes, 8, sector);
  bytes.set(data, 16);
  return bytes;
}

function range(sector: number, sectors: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  putU64(bytes, 0, sector);
  putU32(bytes, 8, sectors);
  putU32(bytes, 12, flags);
  return bytes;
}

const pattern = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

for (const [name, features] of [
  ['split', []],
  ['split with event index', [Feature.eventIndex]],
  ['packed', [Feature.packedRing]],
  ['packed with event index', [Feature.packedRing, Feature.eventIndex]],
] as const) {
  test(`${name} ring: what is written is read, many laps long`, async () => {
    const { driver, device } = setUp({ features });
    for (let i = 0; i < 300; i++) {
      const data = pattern(1024, i);
      const written = await driver.exchange(0, header(Type.out, i % 100, data), 1);
      assert.equal(written[0], 0);
      const read = await driver.exchange(0, header(Type.in, i % 100), 1025);
      assert.equal(read[1024], 0);
      assert.deepEqual(read.subarray(0, 1024), data);
    }
    assert.equal(device.broken, false);
  });
}

test('data in many pieces, and data longer than one turn', async () => {
  const { driver, node } = setUp({ node: new MemoryNode(8 << 20) });
  const data = pattern(2 << 20, 3);
  node.write(4096, data);
  const head = driver.place(header(Type.in, 8));
  const pieces = Array.from({ length: 32 }, (_, i) => ({
    address: 0x20_0000 + i * 0x1_0000,
    length: 0x1_0000,
    writable: true,
  }));
  const status = { address: 0x18_0000, length: 1, writable: true };
  driver.ram[status.address] = 0xff;
  driver.send(0, [{ ...head, writable: false }, ...pieces, status]);
  assert.equal((await driver.settled(0)).length, (2 << 20) + 1);
  assert.equal(driver.ram[status.address], 0);
  assert.deepEqual(driver.ram.subarray(0x20_0000, 0x40_0000), data);
});

test('discard, write-zeroes, flush and the serial number', async () => {
  const { driver, drive } = setUp();
  await driver.exchange(0, header(Type.out, 0, pattern(4096, 1)), 1);
  assert.deepEqual(await driver.exchange(0, header(Type.writeZeroes, 0, range(2, 2)), 1), Uint8Array.of(0));
  const read = await driver.exchange(0, header(Type.in, 0), 4097);
  assert.deepEqual(read.subarray(1024, 2048), new Uint8Array(1024));
  assert.deepEqual(read.subarray(0, 1024), pattern(1024, 1));
  assert.deepEqual(await driver.exchange(0, header(Type.discard, 0, range(0, 8)), 1), Uint8Array.of(0));
  assert.deepEqual(await driver.exchange(0, header(Type.discard, 0, range(0, 8, 1)), 1), Uint8Array.of(2));
  assert.deepEqual(await driver.exchange(0, header(Type.writeZeroes, 0, range(0, 8, 2)), 1), Uint8Array.of(2));
  assert.deepEqual(await driver.exchange(0, header(Type.writeZeroes, 0, range(2047, 2)), 1), Uint8Array.of(1));
  assert.deepEqual(await driver.exchange(0, header(Type.flush, 0), 1), Uint8Array.of(0));
  assert.equal(drive.statistics.flushOperations, 1);
  const id = await driver.exchange(0, header(Type.getId, 0), 21);
  assert.equal(new TextDecoder().decode(id.subarray(0, 15)), 'serial-number-1');
});

test('requests outside the disk, of odd sizes, or unknown end with an error', async () => {
  const { driver, device } = setUp();
  assert.equal((await driver.exchange(0, header(Type.in, 2048), 513))[512], 1);
  assert.equal((await driver.exchange(0, header(Type.in, 2 ** 52), 513))[512], 1);
  assert.equal((await driver.exchange(0, header(Type.in, 0), 101))[100], 1);
  assert.equal((await driver.exchange(0, header(77, 0), 1))[0], 2);
  assert.equal(device.broken, false);
});

test('configuration: capacity, block sizes, write cache', () => {
  const { device, drive } = setUp({ queues: 4 });
  assert.equal(getU64(device.config, 0), BYTES / 512);
  assert.equal(getU32(device.config, 12), 62);
  assert.equal(device.config[24], 3);
  assert.equal(device.readConfig(34, 2), 4);
  assert.equal(drive.writeCache, true);
  device.writeConfig(32, 1, 0);
  assert.equal(drive.writeCache, false);
  assert.equal(device.readConfig(32, 1), 0);
  device.setStatus(0);
  assert.equal(drive.writeCache, true);
});

test('the event index: no interrupt until the driver wants one', async () => {
  const { driver } = setUp({ features: [Feature.eventIndex] });
  const usedEvent = driver.area(0).driver + 4 + 2 * 64;
  await driver.exchange(0, header(Type.flush, 0), 1);
  assert.equal(driver.interrupts[0], 1);
  driver.ram[usedEvent] = 3;
  await driver.exchange(0, header(Type.flush, 0), 1);
  await driver.exchange(0, header(Type.flush, 0), 1);
  assert.equal(driver.interrupts[0], 1);
  await driver.exchange(0, header(Type.flush, 0), 1);
  assert.equal(driver.interrupts[0], 2);
});

test('a reset while a read runs: its answer is dropped, and the reset lasts until it came', async () => {
  const node = new SlowNode(BYTES);
  const { driver, device } = setUp({ node });
  driver.send(0, [
    { ...driver.place(header(Type.in, 0)), writable: false },
    { ...driver.place(513), writable: true },
  ]);
  assert.equal(driver.take(0), undefined);
  driver.start();
  assert.equal(device.busy, true);
  node.waiting[0]!();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(device.busy, false);
  assert.equal(driver.take(0), undefined);
});

test('a machine saved in mid-request goes on with it when it is loaded', async () => {
  const node = new SlowNode(BYTES);
  MemoryNode.prototype.write.call(node, 0, pattern(512, 9));
  const { driver, device } = setUp({ node, features: [Feature.packedRing] });
  const into = driver.place(513);
  driver.send(0, [
    { ...driver.place(header(Type.in, 0)), writable: false },
    { ...into, writable: true },
  ]);
  const saved = structuredClone(device.save());
  driver.start();
  device.load(saved);
  assert.deepEqual(device.save(), saved);
  device.resume();
  assert.equal(node.waiting.length, 2);
  node.waiting[1]!();
  // The driver of the test forgot what it sent; RAM has not.
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(driver.ram.slice(into.address, into.address + 512), pattern(512, 9));
  assert.equal(device.queues[0]!.inFlight, 0);
});

test('a resized medium: new capacity, and an interrupt that says so', async () => {
  const { drive, device, driver } = setUp();
  driver.start();
  assert.equal(getU64(device.config, 0), BYTES / 512);
  await drive.resize(4 * BYTES);
  assert.equal(getU64(device.config, 0), (4 * BYTES) / 512);
  assert.equal(driver.configInterrupts, 1);
  await assert.rejects(drive.resize(100), /not a number of sectors/);
  assert.equal(getU64(device.config, 0), (4 * BYTES) / 512);
});

test('limits are in the configuration, and hold', async () => {
  const { device, driver } = setUp({
    own: {
      limits: { discardGranularity: 65536, minIo: 4096, optIo: 131072 },
      ...{ mostDiscard: 128, mostWriteZeroes: 64 },
    },
  });
  const { config } = device;
  assert.deepEqual([config[26], getU32(config, 28)], [8, 256]);
  assert.deepEqual([getU32(config, 36), getU32(config, 44), getU32(config, 48)], [128, 128, 64]);
  const status = async (type: number, sectors: number): Promise<number | undefined> =>
    (await driver.exchange(0, header(type, 0, range(0, sectors)), 1))[0];
  assert.deepEqual([await status(11, 128), await status(11, 129)], [0, 1]);
  assert.deepEqual([await status(13, 64), await status(13, 65)], [0, 1]);
});
