import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../../../base/errors.js';
import { ManualTime } from '../../../machine/testing/manual-time.js';
import { TestDriver } from '../testing.js';
import { rngOptions, VirtioRng } from './virtio-rng.js';

const MS = 1_000_000;

test('a buffer is filled, up to 4 KiB of it', () => {
  const driver = new TestDriver(new VirtioRng(() => 0x01020304));
  driver.send(0, [{ ...driver.place(8192), writable: true }]);
  assert.equal(driver.take(0)?.length, 4096);
});

test('max-bytes holds the guest back until the period is over, also after a load', () => {
  const time = new ManualTime();
  const clocks = time.clocks();
  const make = (): VirtioRng =>
    new VirtioRng(() => 7, rngOptions('virtio-rng', { rng: '', 'max-bytes': 10, period: 100 }, clocks.virtual));
  const device = make();
  const driver = new TestDriver(device);
  const taken: number[] = [];
  const take = (): number => {
    for (let used = driver.take(0); used; used = driver.take(0)) taken.push(used.length);
    return taken.length;
  };
  for (let i = 0; i < 4; i++) driver.send(0, [{ ...driver.place(8), writable: true }]);
  assert.equal(take(), 2);
  time.advance(clocks, 99 * MS);
  assert.equal(take(), 2);
  time.advance(clocks, MS);
  assert.equal(take(), 4);
  assert.deepEqual(taken, [8, 2, 8, 2]);
  driver.send(0, [{ ...driver.place(8), writable: true }]);
  assert.equal(take(), 4);
  device.load(device.save());
  device.resume();
  time.advance(clocks, 1);
  assert.equal(take(), 5);
  device.dispose();
  assert.throws(() => rngOptions('r', { rng: '', 'max-bytes': 1, period: 0 }, clocks.virtual), UserError);
});
