import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drive } from '../../block/drive.js';
import { MemoryNode } from '../../block/memory.js';
import type { DmaChannel, DmaClient } from '../../machine/isa-bus.js';
import { ProbeLine } from '../../machine/testing/manual-clock.js';
import { driveFor, FloppyDrive, formatOf } from './floppy-drive.js';
import { I82078 } from './i82078.js';

const BYTES = 1474560;

/** A DMA channel that a test runs by hand. */
class HandDma implements DmaChannel {
  requested = false;
  ready = true;
  client: DmaClient | null = null;
  request(asserted: boolean): void {
    this.requested = asserted;
  }
  attach(device: DmaClient): void {
    this.client = device;
  }
  /** Moves `buffer` in portions while the device asks for it. */
  run(direction: 'read' | 'write', buffer: Uint8Array, portion = 700): number {
    let at = 0;
    while (this.requested && at < buffer.length) {
      const end = Math.min(at + portion, buffer.length);
      at += this.client!.transfer(direction, buffer.subarray(at, end), end === buffer.length);
    }
    return at;
  }
}

function disk(readOnly = false): MemoryNode {
  const bytes = new Uint8Array(BYTES);
  for (let i = 0; i < BYTES / 512; i++) {
    bytes.fill(i & 0xff, i * 512, i * 512 + 512);
    bytes[i * 512] = i >> 8;
  }
  return MemoryNode.of(bytes, readOnly);
}

function bench(node: MemoryNode | null = disk()) {
  const irq = new ProbeLine();
  const dma = new HandDma();
  const drive = new Drive(node, { id: 'floppy0' });
  const floppy = new FloppyDrive('144', drive);
  const fdc = new I82078({ irq, dma, drives: [floppy, null] });
  fdc.reset();
  const get = (port: number) => fdc.read(port - 0x3f0, 1);
  const put = (port: number, value: number) => fdc.write(port - 0x3f0, 1, value);
  const b = {
    irq,
    dma,
    drive,
    fdc,
    get,
    put,
    command(...bytes: readonly number[]) {
      for (const byte of bytes) {
        assert.equal(get(0x3f4) & 0xc0, 0x80);
        put(0x3f5, byte);
      }
    },
    results(): number[] {
      const out: number[] = [];
      while ((get(0x3f4) & 0xd0) === 0xd0) out.push(get(0x3f5));
      return out;
    },
    /** Out of reset, 500 kbit/s, DMA. */
    init() {
      put(0x3f2, 0x00);
      put(0x3f2, 0x1c);
      assert.ok(irq.level);
      for (let i = 0; i < 4; i++) {
        b.command(0x08);
        assert.deepEqual(b.results(), [0xc0 | i, 0]);
      }
      put(0x3f7, 0);
      b.command(0x03, 0xaf, 0x02);
    },
    seek(track: number) {
      b.command(0x0f, 0, track);
      assert.ok(irq.level);
      b.command(0x08);
      assert.deepEqual(b.results(), [0x20, track]);
    },
  };
  return b;
}

const sector = (n: number) => {
  const bytes = new Uint8Array(512).fill(n & 0xff);
  bytes[0] = n >> 8;
  return bytes;
};

test('formats by size', () => {
  assert.deepEqual(formatOf('144', BYTES), { sectors: 18, cylinders: 80, heads: 2, rate: 0 });
  assert.equal(formatOf('144', 737280).sectors, 9);
  assert.deepEqual([BYTES, 2949120, 1228800, 0, 12345].map(driveFor), ['144', '288', '120', '288', '144']);
});

test('reset, version, an invalid command, and sense interrupt with nothing to tell', () => {
  const b = bench();
  b.init();
  b.command(0x10);
  assert.deepEqual(b.results(), [0x90]);
  b.command(0x00);
  assert.deepEqual(b.results(), [0x80]);
  b.command(0x08);
  assert.deepEqual(b.results(), [0x80]);
});

test('the disk change line falls when the head moves', () => {
  const b = bench();
  b.init();
  assert.equal(b.get(0x3f7) & 0x80, 0x80);
  b.seek(1);
  assert.equal(b.get(0x3f7) & 0x80, 0);
  b.drive.changeMedium(disk());
  assert.equal(b.get(0x3f7) & 0x80, 0x80);
});

test('READ DATA by DMA, over both heads with MT, until terminal count', () => {
  const b = bench();
  b.init();
  b.seek(3);
  b.command(0xe6, 0x00, 3, 0, 17, 2, 18, 0x1b, 0xff);
  const into = new Uint8Array(4 * 512);
  assert.equal(b.dma.run('write', into), into.length);
  assert.ok(b.irq.level);
  const first = 3 * 36 + 16;
  for (let i = 0; i < 4; i++) assert.deepEqual(into.slice(512 * i, 512 * i + 512), sector(first + i));
  assert.deepEqual(b.results(), [0x04, 0, 0, 3, 1, 3, 2]);
  assert.ok(!b.irq.level);
});

test('with MT the other head goes on where the track ends, also before EOT', () => {
  const b = bench();
  b.init();
  b.command(0xe6, 0x00, 0, 0, 2, 2, 21, 0x1b, 0xff);
  const into = new Uint8Array(20 * 512);
  assert.equal(b.dma.run('write', into), into.length);
  assert.deepEqual(into.slice(17 * 512, 18 * 512), sector(18));
  assert.deepEqual(b.results().slice(0, 3), [0x04, 0, 0]);
});

test('without MT the track ends at EOT', () => {
  const b = bench();
  b.init();
  b.command(0x46, 0x00, 0, 0, 18, 2, 18, 0x1b, 0xff);
  const into = new Uint8Array(1024);
  assert.equal(b.dma.run('write', into), 512);
  assert.deepEqual(b.results(), [0x40, 0x80, 0, 1, 0, 1, 2]);
});

test('WRITE DATA by DMA; a read-only disk refuses', () => {
  const node = disk();
  const b = bench(node);
  b.init();
  b.command(0x45, 0x04, 0, 1, 5, 2, 18, 0x1b, 0xff);
  const data = Uint8Array.from({ length: 1024 }, (_, i) => i * 7);
  assert.equal(b.dma.run('read', data), 1024);
  assert.deepEqual(b.results().slice(0, 3), [0x04, 0, 0]);
  const got = new Uint8Array(1024);
  node.read((18 + 4) * 512, got);
  assert.deepEqual(got, data);
  const locked = bench(disk(true));
  locked.init();
  locked.command(0x45, 0x00, 0, 0, 5, 2, 18, 0x1b, 0xff);
  assert.deepEqual(locked.results().slice(0, 3), [0x40, 2, 0]);
});

test('programmed I/O: bytes through the FIFO', () => {
  const b = bench();
  b.init();
  b.command(0x03, 0xaf, 0x03);
  b.command(0x46, 0x00, 0, 0, 18, 2, 18, 0x1b, 0xff);
  assert.ok(b.irq.level);
  const got: number[] = [];
  while ((b.get(0x3f4) & 0xe0) === 0xe0) got.push(b.get(0x3f5));
  assert.deepEqual(Uint8Array.from(got), sector(17));
  assert.deepEqual(b.results().slice(0, 2), [0x40, 0x80]);
});

test('the data rate must be the disk`s; a missing disk or drive is told', () => {
  const b = bench();
  b.init();
  b.command(0x4a, 0x00);
  assert.deepEqual(b.results(), [0, 0, 0, 0, 0, 1, 2]);
  b.put(0x3f7, 2);
  b.command(0x4a, 0x00);
  assert.deepEqual(b.results().slice(0, 2), [0x40, 1]);
  const none = bench(null);
  none.init();
  none.command(0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  assert.deepEqual(none.results().slice(0, 2), [0x40, 1]);
  none.command(0x07, 1);
  none.command(0x08);
  assert.deepEqual(none.results(), [0x71, 0]);
});

test('FORMAT fills sectors', () => {
  const node = disk();
  const b = bench(node);
  b.init();
  b.seek(2);
  b.command(0x4d, 0x00, 2, 3, 0x54, 0xf6);
  const addresses = Uint8Array.from([1, 2, 3].flatMap((r) => [2, 0, r, 2]));
  assert.equal(b.dma.run('read', addresses, 5), 12);
  assert.equal(b.results()[0], 0);
  const got = new Uint8Array(512);
  node.read((2 * 36 + 2) * 512, got);
  assert.ok(got.every((v) => v === 0xf6));
  node.read((2 * 36 + 3) * 512, got);
  assert.deepEqual(got, sector(2 * 36 + 3));
});

test('SCAN EQUAL finds a sector; VERIFY counts', () => {
  const b = bench();
  b.init();
  b.command(0x51, 0x00, 0, 0, 4, 2, 18, 0x1b, 0x01);
  b.dma.run('read', sector(3));
  assert.deepEqual(b.results().slice(0, 3), [0, 0, 8]);
  b.command(0x56, 0x80, 0, 0, 1, 2, 18, 0x1b, 5);
  assert.deepEqual(b.results(), [0, 0, 0, 0, 0, 6, 2]);
});

test('a snapshot in the middle of a read', () => {
  const a = bench();
  a.init();
  a.command(0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  a.dma.client!.transfer('write', new Uint8Array(100), false);
  const saved = a.fdc.save();
  const b = bench();
  b.fdc.load(saved);
  assert.deepEqual(b.fdc.save(), saved);
  const rest = new Uint8Array(412);
  b.dma.run('write', rest);
  assert.deepEqual(rest, sector(0).slice(100));
});
