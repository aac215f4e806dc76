import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FwCfgContents } from '../../firmware/fw-cfg-contents.js';
import { FlatMemory } from '../../machine/testing/flat-memory.js';
import type { IoHandler } from '../../memory/io.js';
import type { MemoryRegion } from '../../memory/region.js';
import { FwCfg } from './fw-cfg.js';

const text = (value: string) => new TextEncoder().encode(value);
const CONTENTS: FwCfgContents = {
  keys: new Map([[5, new Uint8Array([4, 0])]]),
  files: new Map([
    ['etc/zeta', { bytes: text('last') }],
    ['etc/alpha', { bytes: text('first file') }],
    ['etc/write', { bytes: new Uint8Array(4), writable: true }],
  ]),
};

function fixture() {
  const handlers = new Map<number, IoHandler>();
  const memory = new FlatMemory(0x10000);
  const device = new FwCfg(
    {
      mapPorts(_name, base, _length, handler) {
        handlers.set(base, handler);
        return {} as MemoryRegion;
      },
    },
    memory,
    () => CONTENTS,
  );
  device.reset();
  const select = (key: number) => handlers.get(0x510)!.write(0, 2, key);
  const read = (count: number) => Uint8Array.from({ length: count }, () => handlers.get(0x510)!.read(1, 1));
  /** Runs a DMA descriptor and returns what control became. */
  const dma = (control: number, length: number, address: number) => {
    const at = 0x8000;
    const view = new DataView(memory.bytes.buffer);
    view.setUint32(at, control);
    view.setUint32(at + 4, length);
    view.setUint32(at + 12, address);
    const swapped = new DataView(new ArrayBuffer(4));
    swapped.setUint32(0, at);
    handlers.get(0x514)!.write(0, 4, 0);
    handlers.get(0x514)!.write(4, 4, swapped.getUint32(0, true));
    return view.getUint32(at);
  };
  return { device, handlers, memory, select, read, dma };
}

test('items are read byte by byte, zeros beyond their end', () => {
  const { select, read } = fixture();
  assert.deepEqual(read(4), text('QEMU'), 'the signature is selected after reset');
  select(5);
  assert.deepEqual(read(4), new Uint8Array([4, 0, 0, 0]));
  select(0x1234);
  assert.deepEqual(read(2), new Uint8Array(2), 'no such key');
  select(1);
  assert.equal(read(1)[0]! & 2, 2, 'DMA is announced');
});

test('the directory lists files by name with sizes and keys that select them', () => {
  const { select, read } = fixture();
  select(0x19);
  const raw = read(4 + 3 * 64);
  const view = new DataView(raw.buffer);
  assert.equal(view.getUint32(0), 3);
  const names = [0, 1, 2].map((i) =>
    String.fromCharCode(...raw.subarray(12 + 64 * i, 12 + 64 * i + 56)).replace(/\0.*/s, ''),
  );
  assert.deepEqual(names, ['etc/alpha', 'etc/write', 'etc/zeta']);
  assert.equal(view.getUint32(4), 10);
  select(view.getUint16(8));
  assert.deepEqual(read(10), text('first file'));
});

test('DMA selects, reads, skips and writes, and reports errors', () => {
  const { handlers, memory, dma } = fixture();
  assert.equal(handlers.get(0x514)!.read(0, 4), 0x554d4551, 'QEMU');
  assert.equal(handlers.get(0x514)!.read(4, 4), 0x47464320, ' CFG');
  const alpha = 0x20;
  memory.bytes.fill(0xee, 0x100, 0x120);
  assert.equal(dma((alpha << 16) | 8 | 4, 6, 0), 0);
  assert.equal(dma(2, 6, 0x100), 0);
  assert.deepEqual(memory.bytes.slice(0x100, 0x107), new Uint8Array([...text('file'), 0, 0, 0xee]));
  assert.equal(dma((alpha << 16) | 8 | 16, 4, 0x100), 1, 'a read-only item refuses writes');
  assert.equal(dma(((alpha + 1) << 16) | 8 | 16, 4, 0x100), 0);
  assert.equal(dma(((alpha + 1) << 16) | 8 | 2, 4, 0x200), 0);
  assert.deepEqual(memory.bytes.slice(0x200, 0x204), text('file'));
  assert.equal(dma((0x777 << 16) | 8 | 2, 2, 0x200), 0);
  assert.deepEqual(memory.bytes.slice(0x200, 0x204), new Uint8Array([0, 0, 0x6c, 0x65]));
});

test('a snapshot goes on in the middle of an item', () => {
  const { device, select, read } = fixture();
  select(0x20);
  read(6);
  const state = device.save();
  select(5);
  device.load(state);
  assert.deepEqual(read(4), text('file'));
});

test('a hostile length ends', () => {
  const { dma } = fixture();
  assert.equal(dma((0x20 << 16) | 8 | 2, 0xffffffff, 0x100), 0);
});
