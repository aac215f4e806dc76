/** Drivers that break every rule: the device stops and says so, or goes on; it never throws, hangs or grows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { putU16, putU32 } from '../../../base/bytes.js';
import { randomNumbers } from '../../../machine/testing/conformance.js';
import { TestDriver } from '../testing.js';
import { DEVICES } from '../testing-devices.js';
import { Feature } from './features.js';
import { Status } from './virtio-device.js';

const blk = DEVICES['virtio-blk']!;
const WRITE = 2;
const NEXT = 1;
const INDIRECT = 4;

/** A descriptor table, `head` offered; what must come of it. */
const BROKEN: readonly (readonly [
  what: string,
  descriptors: readonly (readonly [address: number, length: number, flags: number, next: number])[],
])[] = [
  [
    'a chain that loops',
    [
      [0x10_0000, 16, NEXT, 1],
      [0x10_0000, 16, NEXT, 0],
    ],
  ],
  ['a next outside the table', [[0x10_0000, 16, NEXT, 999]]],
  ['no bytes', [[0x10_0000, 0, 0, 0]]],
  ['a length that reaches past RAM', [[0x10_0000, 0xffff_ffff, 0, 0]]],
  ['an address outside RAM', [[0x4000_0000, 16, 0, 0]]],
  ['an address that wraps', [[2 ** 64 - 4096, 16, 0, 0]]],
  [
    'readable after writable',
    [
      [0x10_0000, 16, NEXT | WRITE, 1],
      [0x10_0000, 16, 0, 0],
    ],
  ],
  ['an indirect table of an odd size', [[0x10_0000, 17, INDIRECT, 0]]],
  ['an indirect table of no size', [[0x10_0000, 0, INDIRECT, 0]]],
  ['an indirect table outside RAM', [[0x4000_0000, 32, INDIRECT, 0]]],
  ['an indirect table with a next', [[0x10_0000, 32, INDIRECT | NEXT, 1]]],
  ['an indirect table that is its own', [[0x1_0000, 16, INDIRECT, 0]]],
];

for (const packed of [false, true]) {
  for (const [what, descriptors] of BROKEN) {
    // In a packed ring the next descriptor is simply the one behind.
    if (packed && /loops|outside the table|its own/.test(what)) continue;
    test(`${packed ? 'packed' : 'split'}: ${what}`, () => {
      const device = blk();
      const driver = new TestDriver(device, [Feature.indirectDescriptors, ...(packed ? [Feature.packedRing] : [])]);
      descriptors.forEach(([address, length, flags, next], i) => {
        if (packed) driver.descriptor(0, i, address, length, i, flags | 0x80);
        else driver.descriptor(0, i, address, length, flags, next);
      });
      if (packed) device.notify(0);
      else driver.offer(0, 0);
      assert.equal(device.broken, true);
      assert.equal(device.status & Status.needsReset, Status.needsReset);
      assert.equal(driver.configInterrupts, 1);
      device.notify(0);
      driver.start();
      assert.equal(device.broken, false);
      assert.equal(device.status & Status.needsReset, 0);
    });
  }
}

test('an available index that runs ahead, queues outside RAM, misaligned or of odd sizes', () => {
  const device = blk();
  const driver = new TestDriver(device);
  putU16(driver.ram, driver.area(0).driver + 2, 5000);
  device.notify(0);
  assert.equal(device.broken, true);
  for (const change of [
    { descriptorArea: 0x4000_0000 },
    { driverArea: 2 ** 60 },
    { deviceArea: (4 << 20) - 8 },
    { driverArea: 0x2_0001 },
    { descriptorArea: 0x2_0008 },
    { size: 100 },
  ]) {
    driver.start();
    Object.assign(device.queues[0]!, change);
    device.notify(0);
    assert.equal(device.broken, true, JSON.stringify(change));
  }
  device.notify(77);
});

const ROUNDS = 300;
for (const [name, make] of Object.entries(DEVICES)) {
  for (const packed of [false, true]) {
    test(`${name}, ${packed ? 'packed' : 'split'}: random rings, descriptors and requests`, async () => {
      const random = randomNumbers(packed ? 7 : 3);
      const device = make();
      const features = [Feature.indirectDescriptors, Feature.eventIndex, 1, 2, 3, 5, 9, 11, 12, 13, 14];
      const driver = new TestDriver(device, packed ? [...features, Feature.packedRing] : features);
      for (let round = 0; round < ROUNDS; round++) {
        const { index } = device.queues[random() % device.queues.length]!;
        const { descriptors, driver: driverArea } = driver.area(index);
        for (let i = 0; i < 16; i++) {
          const address =
            random() % 8 === 0 ? random() * (random() & 1 ? 1 : 2 ** 20) : 0x10_0000 + (random() % 0x8000);
          const length = random() % 8 === 0 ? random() : 1 + (random() % 600);
          const flags = (random() & (random() % 4 === 0 ? 7 : 3)) | (packed ? 0x80 : 0);
          driver.descriptor(index, i, address, length, flags, random() % 8 === 0 ? flags : (i + 1) % 16);
          if (packed) putU16(driver.ram, descriptors + 16 * i + 14, flags);
        }
        for (let i = 0; i < 64; i++) {
          const small = random() % 4 === 0 ? random() : random() % 16;
          putU32(driver.ram, 0x10_0000 + 4 * (random() % 0x2000), small);
        }
        if (packed) device.notify(index);
        else {
          driver.offer(index, random() % 20, false);
          if (random() % 16 === 0) putU16(driver.ram, driverArea + 2, random());
          device.notify(index);
        }
        device.writeConfig(random() % 64, 1 << (random() % 3), random());
        device.readConfig(random() % 64, 1 << (random() % 3));
        if (round % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
        if (device.broken || random() % 32 === 0) driver.start();
      }
      driver.start();
      assert.equal(device.broken, false);
    });
  }
}
