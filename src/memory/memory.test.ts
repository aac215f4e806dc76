import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlatFlag } from '../ir/layout.js';
import { FakeAccelerator } from '../machine/testing/fake-accelerator.js';
import type { IoHandler } from './io.js';
import { Memory } from './memory.js';
import { readRegion, writeRegion } from './region-access.js';
import { SystemBus } from './system-bus.js';

const nothing: IoHandler = { read: () => 0, write: () => {} };

function recorder(sizes: IoHandler['sizes']) {
  const log: string[] = [];
  const handler: IoHandler = {
    ...(sizes ? { sizes } : {}),
    read(offset, size) {
      log.push(`r${offset}.${size}`);
      return [0x10, 0x11, 0x12, 0x13].slice(0, size).reduce((v, b, i) => v + (b + offset) * 2 ** (8 * i), 0);
    },
    write: (offset, size, value) => log.push(`w${offset}.${size}=${value.toString(16)}`),
  };
  return { handler, log };
}

test('priorities, holes in containers and aliases flatten as expected', () => {
  const memory = new Memory(new FakeAccelerator());
  const root = memory.container('root', 0x10000);
  const ram = memory.ram('ram', 0x8000);
  root.add(ram, 0);
  const window = memory.container('window', 0x4000);
  root.add(window, 0x2000, 1);
  const low = memory.io('low', 0x1000, nothing);
  window.add(low, 0);
  window.add(memory.alias('echo', ram, 0x7000, 0x1000), 0x3000);
  const space = memory.addressSpace('test', root);
  const shape = (): string[] =>
    space.ranges.map((r) => `${r.start.toString(16)}-${r.last.toString(16)} ${r.owner.name}+${r.offset.toString(16)}`);
  assert.deepEqual(shape(), [
    '0-1fff ram+0',
    '2000-2fff low+0',
    '3000-4fff ram+3000',
    '5000-5fff ram+7000',
    '6000-7fff ram+6000',
  ]);
  const host = ram.ram!.host;
  assert.equal(space.ranges[3]!.host, host + 0x7000);
  low.enabled = false;
  assert.deepEqual(shape(), ['0-4fff ram+0', '5000-5fff ram+7000', '6000-7fff ram+6000']);
  root.remove(window);
  assert.deepEqual(shape(), ['0-7fff ram+0']);
});

test('a transaction changes the view once; a change that changes nothing tells nobody', () => {
  const memory = new Memory(new FakeAccelerator());
  const root = memory.container('root', 0x10000);
  const space = memory.addressSpace('test', root);
  let told = 0;
  space.changed.subscribe(() => told++);
  memory.transaction(() => {
    root.add(memory.io('a', 16, nothing), 0);
    memory.transaction(() => root.add(memory.io('b', 16, nothing), 32));
    assert.equal(told, 0);
  });
  assert.equal(told, 1);
  const hidden = memory.io('c', 16, nothing);
  root.add(hidden, 0, -1);
  assert.equal(told, 1);
});

test('ROM and read-only aliases keep their bytes; a ROM device sends writes to its handler', () => {
  const memory = new Memory(new FakeAccelerator());
  const root = memory.container('root', 0x10000);
  const space = memory.addressSpace('test', root);
  const { handler, log } = recorder(undefined);
  const flash = memory.romDevice('flash', 0x1000, handler);
  flash.ram!.bytes[4] = 0x5a;
  root.add(flash, 0);
  assert.equal(space.readValue(4, 1), 0x5a);
  space.writeValue(4, 2, 0x1234);
  assert.deepEqual(log, ['w4.2=1234']);
  flash.romdMode = false;
  assert.equal(space.readValue(4, 1), 0x14);
  assert.equal(space.find(4)!.flags, FlatFlag.ioRead | FlatFlag.ioWrite);
});

test('accesses are brought to the sizes that a handler has', () => {
  const memory = new Memory(new FakeAccelerator());
  const bytes = recorder({ min: 1, max: 1 });
  const region = memory.io('bytes', 8, bytes.handler);
  assert.equal(readRegion(region, 4, 4), 0x17161514);
  writeRegion(region, 2, 2, 0xbbaa);
  assert.deepEqual(bytes.log, ['r4.1', 'r5.1', 'r6.1', 'r7.1', 'w2.1=aa', 'w3.1=bb']);
  const words = recorder({ min: 4, max: 4 });
  const wide = memory.io('wide', 8, words.handler);
  assert.equal(readRegion(wide, 6, 2), 0x1716);
  writeRegion(wide, 5, 1, 0xcc);
  assert.deepEqual(words.log, ['r4.4', 'w4.4=cc00']);
  assert.equal(readRegion(wide, 7, 2), 0xff17, 'beyond the end there is nothing');
});

test('device DMA crosses regions and tells the accelerator of writes', () => {
  const accelerator = new FakeAccelerator();
  const memory = new Memory(accelerator);
  const root = memory.container('root', 0x10000);
  const ram = memory.ram('ram', 0x1000);
  root.add(ram, 0);
  const { handler, log } = recorder(undefined);
  root.add(memory.io('io', 4, handler), 0x1000);
  const space = memory.addressSpace('test', root);
  space.write(0xffe, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  assert.deepEqual(log, ['w0.4=6050403']);
  assert.deepEqual(accelerator.written, [[ram.ram!.host + 0xffe, 2]]);
  const back = new Uint8Array(8);
  space.read(0xffe, back);
  assert.deepEqual([...back], [1, 2, 0x10, 0x11, 0x12, 0x13, 0xff, 0xff]);
});

test('a port access that starts in a region and fits there goes there whole, even over another region', () => {
  const memory = new Memory(new FakeAccelerator());
  const root = memory.container('io', 0x10000);
  const wide = recorder({ min: 1, max: 4 });
  const narrow = recorder({ min: 1, max: 1 });
  root.add(memory.io('address', 4, wide.handler), 0xcf8);
  root.add(memory.io('reset', 1, narrow.handler), 0xcf9, 1);
  const bus = new SystemBus(memory, memory.addressSpace('io', root));
  bus.portWrite(0xcf8, 4, 0x80000000);
  bus.portWrite(0xcf9, 1, 6);
  assert.deepEqual(wide.log, ['w0.4=80000000']);
  assert.deepEqual(narrow.log, ['w0.1=6']);
  assert.equal(bus.portRead(0x1234, 2), 0xffff);
  assert.equal(bus.portRead(0xcfb, 2), 0xff13);
});
