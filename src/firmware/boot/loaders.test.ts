import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getU32 } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import { FlatMemory } from '../../machine/testing/flat-memory.js';
import { loadBzImage } from './bzimage.js';
import { kernelKind } from './direct.js';
import type { LoadRequest } from './image.js';
import { Low, MemoryType, memoryMap, tablesBase } from './memory-map.js';
import { loadMultiboot } from './multiboot.js';
import { loadPvh } from './pvh.js';

const MIB = 1 << 20;

function request(kernel: Uint8Array, more: Partial<LoadRequest> = {}): LoadRequest & { memory: FlatMemory } {
  const size = more.ram?.below4g ?? 64 * MIB;
  return {
    ram: { below4g: size, above4g: 0 },
    kernel: { path: 'vmlinuz', bytes: kernel },
    modules: [],
    commandLine: 'console=ttyS0',
    longMode: true,
    rsdp: 0xf5000,
    textConsole: true,
    ...more,
    memory: new FlatMemory(size),
  };
}

/** A bzImage of protocol 2.15 with one setup sector and `body` bytes of code. */
function bzImage(
  options: { body?: number; initSize?: number; xloadFlags?: number; version?: number } = {},
): Uint8Array {
  const { body = 4096, initSize = 8 * MIB, xloadFlags = 1, version = 0x20f } = options;
  const out = new Uint8Array(1024 + body).fill(0xcc, 1024);
  const v = new DataView(out.buffer);
  out[0x1f1] = 1;
  v.setUint32(0x1f4, body / 16, true);
  v.setUint16(0x1fe, 0xaa55, true);
  out.set([0xeb, 0x66], 0x200);
  v.setUint32(0x202, 0x53726448, true);
  v.setUint16(0x206, version, true);
  out[0x211] = 1;
  v.setUint32(0x22c, 0x7fffffff, true);
  v.setUint16(0x236, xloadFlags, true);
  v.setUint32(0x238, 2047, true);
  v.setUint32(0x258, 16 * MIB, true);
  v.setUint32(0x260, initSize, true);
  return out;
}

const text = (memory: FlatMemory, at: number): string => {
  const end = memory.bytes.indexOf(0, at);
  return String.fromCharCode(...memory.bytes.subarray(at, end));
};

test('a bzImage is entered at its 64-bit entry with paging on', () => {
  const r = request(bzImage(), { modules: [{ path: 'initrd', bytes: new Uint8Array(5000).fill(7) }] });
  const state = loadBzImage(r);
  const { bytes } = r.memory;
  assert.equal(state.mode, 'long64');
  assert.equal(state.cr0, 0x8000_0011, 'not sign-extended');
  assert.equal(state.pc, 16 * MIB + 0x200);
  assert.equal(bytes[16 * MIB], 0xcc);
  const params = state.registers.rsi!;
  assert.equal(text(r.memory, getU32(bytes, params + 0x228)), 'console=ttyS0');
  assert.equal(getU32(bytes, params + 0x70), 0xf5000, 'acpi_rsdp_addr');
  assert.equal(bytes[params + 0x210], 0xff, 'type_of_loader');
  assert.equal(bytes[params + 0x1e8], 6, 'e820 entries');
  assert.deepEqual([...bytes.subarray(params + 6, params + 8)], [3, 80]);
  const initrd = getU32(bytes, params + 0x218);
  assert.equal(getU32(bytes, params + 0x21c), 5000);
  assert.equal(initrd % 4096, 0);
  assert.ok(initrd + 5000 <= tablesBase(r.ram) && initrd + 8192 >= tablesBase(r.ram), 'as high as possible');
  assert.ok(bytes.subarray(initrd, initrd + 5000).every((b) => b === 7));
  // The page tables map the kernel to itself: 2 MiB page 8 of the first directory.
  const pdpt = getU32(bytes, state.cr3) & ~0xfff;
  const directory = getU32(bytes, pdpt) & ~0xfff;
  assert.equal(getU32(bytes, directory + 8 * 8), (16 * MIB) | 0x83);
});

test('what an accelerator keeps for itself is in the memory map', () => {
  const reserved = { start: 0xfeff_c000, length: 0x4000 };
  const map = memoryMap({ below4g: 256 * MIB, above4g: 0, reserved });
  assert.deepEqual(
    map.filter(({ start }) => start === reserved.start),
    [{ ...reserved, type: MemoryType.reserved }],
  );
});

test('without long mode, or without a 64-bit kernel, it is entered in protected mode without paging', () => {
  for (const r of [request(bzImage(), { longMode: false }), request(bzImage({ xloadFlags: 0 }))]) {
    const state = loadBzImage(r);
    assert.deepEqual([state.mode, state.pc, state.cr0 >>> 31, state.cr3], ['protected32', 16 * MIB, 0, 0]);
    assert.equal(state.segments.cs.attributes & 0x4000, 0x4000, 'CS.D');
  }
});

test('what does not fit or is no kernel is refused in one line that names a remedy', () => {
  const refused = (pattern: RegExp, run: () => void): void =>
    assert.throws(run, (e: unknown) => e instanceof UserError && pattern.test(e.message) && !e.message.includes('\n'));
  const small = { ram: { below4g: 16 * MIB, above4g: 0 } };
  refused(/needs 25 MiB of RAM, the machine has 16 MiB: raise -m/, () => loadBzImage(request(bzImage(), small)));
  refused(/truncated/, () => loadBzImage(request(bzImage().subarray(0, 3000))));
  refused(/zImage/, () => loadBzImage(request(bzImage({ version: 0x200 }))));
  refused(/at most 2047 bytes/, () => loadBzImage(request(bzImage(), { commandLine: 'x'.repeat(3000) })));
  const big = { path: 'big', bytes: new Uint8Array(50 * MIB) };
  refused(/initrd 'big'.*raise -m/, () => loadBzImage(request(bzImage(), { modules: [big] })));
  assert.equal(kernelKind(new Uint8Array(0)), undefined);
  assert.equal(kernelKind(new TextEncoder().encode('#!/bin/sh\n'.repeat(1000))), undefined);
});

/** A 32-bit or 64-bit ELF file with one segment at `address`, and a PVH note or a multiboot header in it. */
function elf(kind: 'multiboot' | 'pvh', address: number): Uint8Array {
  const wide = kind === 'pvh';
  const out = new Uint8Array(0x400);
  const v = new DataView(out.buffer);
  out.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  v.setUint16(0x12, wide ? 62 : 3, true);
  const word = (at: number, value: number): void => v.setUint32(at, value, true);
  word(0x18, address + 0x10);
  word(wide ? 0x20 : 0x1c, 0x40);
  v.setUint16(wide ? 0x36 : 0x2a, wide ? 56 : 32, true);
  v.setUint16(wide ? 0x38 : 0x2c, wide ? 2 : 1, true);
  const CONTENT = 0x200;
  if (wide) {
    word(0x40, 1);
    [CONTENT, address, address, 0x100, 0x300].forEach((value, i) => {
      word(0x48 + 8 * i, value);
    });
    word(0x40 + 56, 4);
    word(0x48 + 56, 0x300);
    word(0x48 + 56 + 24, 20);
    [4, 4, 18, 0x6e6558, address + 0x20].forEach((value, i) => {
      word(0x300 + 4 * i, value);
    });
  } else {
    [1, CONTENT, address, address, 0x100, 0x300].forEach((value, i) => {
      word(0x40 + 4 * i, value);
    });
    const flags = 3;
    word(CONTENT, 0x1badb002);
    word(CONTENT + 4, flags);
    word(CONTENT + 8, -(0x1badb002 + flags));
  }
  out.fill(0x90, CONTENT + 0x10, CONTENT + 0x100);
  return out;
}

test('multiboot: segments, modules, memory map and command lines', () => {
  const kernel = elf('multiboot', 2 * MIB);
  assert.equal(kernelKind(kernel), 'multiboot');
  const modules = [
    { path: 'one', bytes: new Uint8Array([1, 2, 3]), commandLine: 'one a b' },
    { path: 'two', bytes: new Uint8Array([4]) },
  ];
  const r = request(kernel, { modules });
  r.memory.bytes.fill(0x55, 2 * MIB, 2 * MIB + 0x400);
  const state = loadMultiboot(r);
  const { bytes } = r.memory;
  assert.equal(state.pc, 2 * MIB + 0x10);
  assert.equal(state.registers.rax, 0x2badb002);
  const info = state.registers.rbx!;
  const flags = getU32(bytes, info);
  assert.equal(flags & 0x4d, 0x4d);
  assert.equal(getU32(bytes, info + 4), 639);
  assert.equal(getU32(bytes, info + 8), (tablesBase(r.ram) - MIB) / 1024);
  assert.equal(text(r.memory, getU32(bytes, info + 16)), 'vmlinuz console=ttyS0');
  assert.equal(getU32(bytes, info + 20), 2);
  const list = getU32(bytes, info + 24);
  const [start, end, line] = [0, 4, 8].map((o) => getU32(bytes, list + o)) as [number, number, number];
  assert.deepEqual([...bytes.subarray(start, end)], [1, 2, 3]);
  assert.equal(start % 4096, 0);
  assert.equal(text(r.memory, line), 'one a b');
  assert.equal(text(r.memory, getU32(bytes, list + 16 + 8)), 'two');
  assert.equal(bytes[2 * MIB + 0x100], 0, 'bss is cleared');
  assert.equal(bytes[2 * MIB + 0x300], 0x55, 'and nothing behind it');
  const map = getU32(bytes, info + 48);
  assert.deepEqual([getU32(bytes, map), getU32(bytes, map + 4), getU32(bytes, map + 20)], [20, 0, 1]);
});

test('PVH: start info with modules and memory map', () => {
  const kernel = elf('pvh', 2 * MIB);
  assert.equal(kernelKind(kernel), 'pvh');
  const r = request(kernel, { modules: [{ path: 'initrd', bytes: new Uint8Array([9, 8]) }] });
  const state = loadPvh(r);
  const { bytes } = r.memory;
  assert.equal(state.mode, 'protected32');
  assert.equal(state.pc, 2 * MIB + 0x20);
  const info = state.registers.rbx!;
  assert.equal(getU32(bytes, info), 0x336ec578);
  assert.equal(getU32(bytes, info + 12), 1);
  const module = getU32(bytes, info + 16);
  assert.deepEqual([...bytes.subarray(getU32(bytes, module), getU32(bytes, module) + 2)], [9, 8]);
  assert.equal(text(r.memory, getU32(bytes, info + 24)), 'console=ttyS0');
  assert.equal(getU32(bytes, info + 32), 0xf5000);
  assert.equal(getU32(bytes, info + 48), 6);
});

test('a damaged ELF file, or one that would overwrite the loader, is refused', () => {
  const cut = elf('multiboot', 2 * MIB).subarray(0, 0x280);
  assert.throws(() => loadMultiboot(request(cut)), /truncated or damaged/);
  assert.throws(() => loadMultiboot(request(elf('multiboot', Low.info))), /loader's own tables/);
  const wide = elf('pvh', 2 * MIB);
  wide.set(elf('multiboot', 2 * MIB).subarray(0x200, 0x20c), 0x200);
  assert.throws(() => loadMultiboot(request(wide)), /32-bit ELF/);
});
