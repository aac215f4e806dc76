import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualTime } from '../../machine/testing/manual-time.js';
import { ProbeBus } from '../../machine/testing/probe-bus.js';
import { SystemBus } from '../../memory/system-bus.js';
import { I8237Pair } from './i8237.js';

function setUp() {
  const time = new ManualTime();
  const clocks = time.clocks();
  const bus = new ProbeBus();
  const ram = bus.memory.ram('ram', 2 ** 20);
  bus.memorySpace.add(ram, 0);
  const dma = new I8237Pair(bus.isa, clocks.virtual, bus.system);
  bus.isa.connectDma(dma.channels);
  dma.reset();
  const io = new SystemBus(bus.memory, bus.memory.addressSpace('io', bus.ioSpace));
  const out = (port: number, ...values: number[]): void => {
    for (const value of values) io.portWrite(port, 1, value);
  };
  return { bus, ram: ram.ram!.bytes, io, out, run: () => time.advance(clocks, 1e6) };
}

test('a floppy-like device fills memory through channel 2, in portions, until terminal count', () => {
  const { bus, ram, io, out, run } = setUp();
  out(0x0c, 0);
  out(0x04, 0x00, 0x10); // address 1000h
  out(0x05, 0xff, 0x01); // 512 bytes
  out(0x81, 0x02); // page 2
  out(0x0b, 0x46); // single, write, channel 2
  const channel = bus.isa.dma(2);
  let next = 0;
  const ends: boolean[] = [];
  channel.attach({
    transfer(direction, buffer, terminalCount) {
      assert.equal(direction, 'write');
      const bytes = Math.min(200, buffer.length);
      for (let i = 0; i < bytes; i++) buffer[i] = next++;
      ends.push(terminalCount && bytes === buffer.length);
      if (next >= 512) channel.request(false);
      return bytes;
    },
  });
  channel.request(true);
  run();
  assert.equal(next, 0, 'masked');
  out(0x0a, 0x02);
  run();
  assert.equal(next, 512);
  assert.deepEqual(ends, [false, false, true]);
  assert.deepEqual(
    [...ram.subarray(0x21000, 0x21200)],
    Array.from({ length: 512 }, (_, i) => i & 0xff),
  );
  assert.equal(io.portRead(0x08, 1) & 0x04, 0x04, 'terminal count');
  assert.equal(io.portRead(0x08, 1) & 0x04, 0, 'read clears it');
  assert.equal(channel.ready, false, 'masked again');
});

test('a 16-bit channel counts words; auto-initialise starts over; the address wraps within its page', () => {
  const { bus, ram, out, run } = setUp();
  ram.set([1, 2, 3, 4], 0x3fffc);
  ram.set([5, 6, 7, 8], 0x20000);
  out(0xd8, 0);
  out(0xc4, 0xfe, 0xff); // word address fffeh
  out(0xc6, 0x03, 0x00); // 4 words
  out(0x8b, 0x02);
  out(0xd6, 0x59); // single, auto-initialise, read, channel 5
  out(0xd4, 0x01);
  const channel = bus.isa.dma(5);
  const got: number[][] = [];
  channel.attach({
    transfer(direction, buffer) {
      assert.equal(direction, 'read');
      got.push([...buffer]);
      if (got.length === 2) channel.request(false);
      return buffer.length;
    },
  });
  channel.request(true);
  run();
  assert.deepEqual(got, [
    [1, 2, 3, 4, 5, 6, 7, 8],
    [1, 2, 3, 4, 5, 6, 7, 8],
  ]);
});
