import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getU32, putU16, putU32, putU64 } from '../../../base/bytes.js';
import { TestDriver } from '../testing.js';
import { VirtioBalloon } from './virtio-balloon.js';

test('the host asks, the guest gives pages, which read as zeroes; nonsense pages are passed over', async () => {
  const device = new VirtioBalloon({ ramBytes: 4 << 20, deflateOnOom: false });
  const driver = new TestDriver(device);
  device.setTarget(3 << 20);
  assert.equal(driver.configInterrupts, 1);
  assert.equal(getU32(device.config, 0), 256);
  driver.ram.fill(0x5a, 0x30_0000, 0x30_2000);
  const pfns = new Uint8Array(12);
  putU32(pfns, 0, 0x300);
  putU32(pfns, 4, 0xffff_ffff);
  await driver.exchange(0, pfns, 0);
  assert.equal(driver.ram[0x30_0fff], 0);
  assert.equal(driver.ram[0x30_1000], 0x5a);
  device.writeConfig(4, 4, 256);
  assert.equal(device.actual, 3 << 20);
});

test('statistics are read and asked for again', async () => {
  const device = new VirtioBalloon({ ramBytes: 4 << 20, deflateOnOom: false });
  const driver = new TestDriver(device, [1]);
  const stats = new Uint8Array(20);
  putU16(stats, 0, 4);
  putU64(stats, 2, 123456789);
  putU16(stats, 10, 999);
  driver.send(2, [{ ...driver.place(stats), writable: false }]);
  assert.equal(driver.take(2), undefined);
  assert.deepEqual([...device.statistics], [['stat-free-memory', 123456789]]);
  device.requestStatistics();
  assert.ok(driver.take(2));
});
