/**
 * Random port and memory-mapped accesses to every device of a running PC with its processor, drives, screen and clocks:
 * nothing is thrown, and afterwards a program still runs and a disk still answers.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryNode } from '../../src/block/memory.js';
import { DEFAULT_OPTIONS } from '../../src/boards/board.js';
import { randomNumbers } from '../../src/machine/testing/conformance.js';
import { System } from '../support/system.js';

const ROUNDS = 150;
const ACCESSES = 250;
const SIZES = [1, 2, 4] as const;

/**
 * Firmware that says `ok` and the first two bytes of the disk (PIO, LBA 0), then sleeps:
 *
 *        cli / xor ax, ax / mov ss, ax / mov sp, 0x7000
 *        mov al, 'o' / call put / mov al, 'k' / call put
 *        mov dx, 0x1f6 / mov al, 0xe0 / out dx, al
 *   rdy: mov dx, 0x1f7 / in al, dx / test al, 0x80 / jnz rdy
 *        mov dx, 0x1f2 / mov al, 1 / out dx, al / mov al, 0
 *        inc dx / out dx, al / inc dx / out dx, al / inc dx / out dx, al
 *        mov dx, 0x1f7 / mov al, 0x20 / out dx, al
 *   drq: in al, dx / test al, 8 / jz drq
 *        mov dx, 0x1f0 / in ax, dx / mov bl, ah / call put / mov al, bl / call put
 *   end: hlt / jmp end
 *   put: mov dx, 0x3f8 / out dx, al / ret
 */
const PROGRAM = `
  fa 31 c0 8e d0 bc 00 70 b0 6f e8 3d 00 b0 6b e8 38 00 ba f6 01 b0 e0 ee ba f7 01 ec a8 80 75 fb
  ba f2 01 b0 01 ee b0 00 42 ee 42 ee 42 ee ba f7 01 b0 20 ee ec a8 08 74 fb ba f0 01 ed 88 e3 e8
  08 00 88 d8 e8 03 00 f4 eb fd ba f8 03 ee c3`;

function firmware(): Uint8Array {
  const rom = new Uint8Array(0x10000).fill(0xf4);
  const bytes = PROGRAM.trim()
    .split(/\s+/)
    .map((byte) => Number.parseInt(byte, 16));
  rom.set(bytes);
  // The reset vector: jmp 0xf000:0
  rom.set([0xea, 0x00, 0x00, 0x00, 0xf0], 0xfff0);
  return rom;
}

const FIRST_BYTES = new TextEncoder().encode('hd');

for (const seed of [1, 2]) {
  test(`random accesses leave a whole machine answering, seed ${seed}`, { timeout: 120_000 }, async () => {
    const disk = new Uint8Array(1 << 20);
    disk.set(FIRST_BYTES);
    const system = new System({
      machine: {
        firmware: firmware(),
        ideDrives: [
          { index: 0, drive: 'disk', media: 'disk' },
          { index: 2, drive: 'cd', media: 'cdrom' },
        ],
        floppies: ['floppy'],
        lifecycle: { ...DEFAULT_OPTIONS.lifecycle, noShutdown: true, noReboot: false },
      },
      media: {
        disk: MemoryNode.of(disk),
        cd: MemoryNode.of(new Uint8Array(1 << 20), true),
        floppy: MemoryNode.of(new Uint8Array(1474560)),
      },
    });
    try {
      await system.expect('okhd', 20);
      const { machine, display } = system.composed;
      const random = randomNumbers(seed);
      const ports = machine.ports.ranges.flatMap((r) =>
        Array.from({ length: r.last - r.start + 1 }, (_, i) => r.start + i),
      );
      for (let round = 0; round < ROUNDS; round++) {
        for (let i = 0; i < ACCESSES; i++) access();
        display?.refresh();
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (!machine.lifecycle.running) machine.lifecycle.start();
      }
      system.said = '';
      disk.set(FIRST_BYTES);
      machine.lifecycle.reset('host-qmp-system-reset');
      if (!machine.lifecycle.running) machine.lifecycle.start();
      await system.expect('okhd', 20);

      function access(): void {
        const size = SIZES[random() % 3]!;
        const value = random();
        if (random() % 4 > 0) {
          const port = random() % 16 === 0 ? random() % 0x10000 : ports[random() % ports.length]!;
          if (random() % 2) machine.io.portWrite(port, size, value);
          else assertSized(machine.io.portRead(port, size), size);
          return;
        }
        const { ioRegions } = machine.memory;
        const region = 1 + (random() % (ioRegions.length - 1));
        const offset = random() % ioRegions[region]!.size;
        if (random() % 2) machine.io.mmioWrite(region, offset, size, value);
        else assertSized(machine.io.mmioRead(region, offset, size), size);
      }
    } finally {
      system.dispose();
    }
  });
}

function assertSized(value: number, size: 1 | 2 | 4): void {
  assert.ok(Number.isInteger(value) && value >= 0 && value < 2 ** (8 * size), `${value} read as ${size} bytes`);
}
