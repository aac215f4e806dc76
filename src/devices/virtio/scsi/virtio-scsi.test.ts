import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getU32 } from '../../../base/bytes.js';
import { Drive } from '../../../block/drive.js';
import { MemoryNode } from '../../../block/memory.js';
import { ScsiCd } from '../../scsi/scsi-cd.js';
import { ScsiHd } from '../../scsi/scsi-hd.js';
import type { ScsiSlot } from '../../scsi/scsi-unit.js';
import { TestDriver } from '../testing.js';
import { VirtioScsi } from './virtio-scsi.js';

const IDENTITY = { vendor: 'QEMU', product: 'QEMU HARDDISK', version: '2.5+', serial: 'serial-1' };
const RESPONSE = 108;

function setUp() {
  const device = new VirtioScsi({ queues: 1, queueSize: 64, maxSectors: 0xffff, cmdPerLun: 128 });
  const node = new MemoryNode(1 << 20);
  const drive = new Drive(node, { id: 'd' });
  const slot = (target: number, lun: number) =>
    device.bus.offered.slot('scsi-hd', { 'scsi-id': target, lun }) as ScsiSlot;
  new ScsiHd(drive, slot(0, 0), { ...IDENTITY, logicalBlockSize: 512, physicalBlockSize: 4096, rotationRate: 1 });
  const disc = new Drive(MemoryNode.of(new Uint8Array(8192).fill(7), true), { id: 'cd' });
  new ScsiCd(disc, slot(1, 3), IDENTITY);
  const driver = new TestDriver(device, [1, 2]);
  /** Runs a command; gives status, response code, sense key and code, residual, and the data. */
  const command = async (target: number, lun: number, cdb: readonly number[], room = 0, out = new Uint8Array()) => {
    const head = new Uint8Array(51 + out.length);
    head.set([1, target, 0x40 | (lun >> 8), lun & 0xff]);
    head.set(cdb, 19);
    head.set(out, 51);
    const answer = await driver.exchange(2, head, RESPONSE + room);
    return {
      status: answer[10],
      response: answer[11],
      sense: getU32(answer, 0) ? [answer[14]! & 15, answer[24]] : null,
      residual: getU32(answer, 4),
      data: answer.subarray(RESPONSE),
    };
  };
  return { device, driver, command, drive, disc, slot };
}

const ascii = (bytes: Uint8Array): string => new TextDecoder().decode(bytes.slice());

test('INQUIRY, REPORT LUNS, capacity and vital product data', async () => {
  const { command } = setUp();
  const inquiry = await command(0, 0, [0x12, 0, 0, 0, 36, 0], 36);
  assert.equal(ascii(inquiry.data.subarray(8, 36)), 'QEMU    QEMU HARDDISK   2.5+');
  const serial = await command(0, 0, [0x12, 1, 0x80, 0, 255, 0], 255);
  assert.equal(ascii(serial.data.subarray(4, 12)), 'serial-1');
  assert.equal(serial.residual, 255 - 12);
  const luns = await command(1, 0, [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0], 64);
  assert.deepEqual(
    [...luns.data.subarray(0, 24)],
    [0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0],
  );
  const capacity = await command(0, 0, [0x25], 8);
  assert.deepEqual([...capacity.data], [0, 0, 7, 255, 0, 0, 2, 0]);
  const long = await command(0, 0, [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32], 32);
  assert.deepEqual([...long.data.subarray(4, 15)], [0, 0, 7, 255, 0, 0, 2, 0, 0, 3, 0x80]);
});

test('reads and writes of every length of command', async () => {
  const { command } = setUp();
  const data = Uint8Array.from({ length: 1024 }, (_, i) => i * 3);
  const write16 = [0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0];
  assert.equal((await command(0, 0, write16, 0, data)).status, 0);
  for (const read of [
    [0x08, 0, 0, 5, 2, 0],
    [0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0],
    [0xa8, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0],
    [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0],
  ]) {
    const answer = await command(0, 0, read, 1024);
    assert.equal(answer.status, 0);
    assert.deepEqual(answer.data, data);
  }
  const unmap = new Uint8Array(24);
  unmap.set([0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1]);
  assert.equal((await command(0, 0, [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], 0, unmap)).status, 0);
  const same = [0x93, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0];
  assert.equal((await command(0, 0, same, 0, new Uint8Array(512))).status, 0);
  const zeroes = await command(0, 0, [0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0], 1024);
  assert.deepEqual(zeroes.data, new Uint8Array(1024));
});

test('errors: blocks that are not there, unknown commands, units and targets', async () => {
  const { command } = setUp();
  assert.deepEqual((await command(0, 0, [0x28, 0, 0, 0, 8, 0, 0, 0, 1, 0], 512)).sense, [5, 0x21]);
  assert.deepEqual((await command(0, 0, [0xff])).sense, [5, 0x20]);
  assert.deepEqual((await command(0, 9, [0x00])).sense, [5, 0x25]);
  assert.equal((await command(0, 9, [0x12, 0, 0, 0, 36, 0], 36)).data[0], 0x7f);
  assert.equal((await command(9, 0, [0x12, 0, 0, 0, 36, 0], 36)).response, 3);
});

test('the write cache is a mode page that can be changed', async () => {
  const { command, drive } = setUp();
  const sense = await command(0, 0, [0x1a, 0, 8, 0, 255, 0], 255);
  assert.equal(sense.data[4 + 2], 4);
  const select = new Uint8Array(24);
  select.set([0, 0, 0, 0, 8, 18, 0]);
  assert.equal((await command(0, 0, [0x15, 0x10, 0, 0, 24, 0], 0, select)).status, 0);
  assert.equal(drive.writeCache, false);
});

test('a CD: reads, tray, and a new medium told once', async () => {
  const { command, disc } = setUp();
  const read = await command(1, 3, [0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0], 2048);
  assert.deepEqual(read.data, new Uint8Array(2048).fill(7));
  await command(1, 3, [0x1e, 0, 0, 0, 1, 0]);
  assert.deepEqual((await command(1, 3, [0x1b, 0, 0, 0, 2, 0])).sense, [5, 0x53]);
  await command(1, 3, [0x1e, 0, 0, 0, 0, 0]);
  assert.equal((await command(1, 3, [0x1b, 0, 0, 0, 2, 0])).status, 0);
  assert.deepEqual((await command(1, 3, [0x00])).sense, [2, 0x3a]);
  disc.changeMedium(MemoryNode.of(new Uint8Array(4096), true));
  assert.deepEqual((await command(1, 3, [0x00])).sense, [6, 0x28]);
  assert.equal((await command(1, 3, [0x00])).status, 0);
  assert.deepEqual([...(await command(1, 3, [0x25], 8)).data], [0, 0, 0, 1, 0, 0, 8, 0]);
});

test('a unit that is plugged in later is announced', () => {
  const { driver, slot } = setUp();
  const buffer = driver.place(16);
  driver.send(1, [{ ...buffer, writable: true }]);
  new ScsiCd(new Drive(null, { id: 'x' }), slot(5, 0), IDENTITY);
  assert.equal(driver.take(1)?.length, 16);
  assert.deepEqual(
    [...driver.ram.subarray(buffer.address, buffer.address + 13)],
    [1, 0, 0, 0, 1, 5, 0x40, 0, 0, 0, 0, 0, 1],
  );
});

test('a disk tells its names, its limits and that its medium can be taken out', async () => {
  const { command, slot } = setUp();
  const drive = new Drive(new MemoryNode(1 << 20), { id: 'named' });
  new ScsiHd(drive, slot(2, 0), {
    ...IDENTITY,
    ...{ logicalBlockSize: 512, physicalBlockSize: 512, rotationRate: 1 },
    ...{ deviceId: 'abc', wwn: 0x5000c50015ea71aan, portWwn: 0x5000c50015ea71abn, portIndex: 3 },
    removableMedium: true,
    limits: { discardGranularity: 65536, minIo: 4096, optIo: 131072 },
    ...{ mostIo: 1 << 20, mostUnmap: 1 << 24 },
  });
  assert.equal((await command(2, 0, [0x12, 0, 0, 0, 36, 0], 36)).data[1], 0x80);
  const names = await command(2, 0, [0x12, 1, 0x83, 0, 255, 0], 255);
  const expected = [
    ...[2, 0, 0, 3, 0x61, 0x62, 0x63],
    ...[1, 3, 0, 8, 0x50, 0, 0xc5, 0, 0x15, 0xea, 0x71, 0xaa],
    ...[0x61, 0x93, 0, 8, 0x50, 0, 0xc5, 0, 0x15, 0xea, 0x71, 0xab],
    ...[0x61, 0x94, 0, 4, 0, 0, 0, 3],
  ];
  assert.deepEqual([...names.data.subarray(0, 4 + expected.length)], [0, 0x83, 0, expected.length, ...expected]);
  const limits = await command(2, 0, [0x12, 1, 0xb0, 0, 255, 0], 255);
  const be = (at: number, bytes: number): number =>
    Number(`0x${Buffer.from(limits.data.slice(at, at + bytes)).toString('hex')}`);
  assert.deepEqual([be(6, 2), be(8, 4), be(12, 4), be(20, 4), be(28, 4)], [8, 2048, 256, 32768, 128]);
  // Without names of its own it goes by its serial number.
  const plain = await command(0, 0, [0x12, 1, 0x83, 0, 255, 0], 255);
  assert.deepEqual([...plain.data.subarray(0, 8)], [0, 0x83, 0, 12, 2, 0, 0, 8]);
  assert.equal(ascii(plain.data.subarray(8, 16)), 'serial-1');
});
