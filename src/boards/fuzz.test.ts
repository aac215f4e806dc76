/** Random port, memory and configuration accesses to whole boards: nothing is thrown, and the machine still answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomNumbers } from '../machine/testing/conformance.js';
import type { BoardType } from './board.js';
import { isapc } from './isapc.js';
import { microvm } from './microvm.js';
import { pc } from './pc.js';
import { q35 } from './q35.js';
import { TestMachine } from './testing/test-machine.js';

const VIRTIO = ['virtio-rng-pci', 'virtio-balloon-pci', 'virtio-serial-pci'].map((type) => ({
  type,
  id: '',
  properties: {},
}));
const hasPci = (board: BoardType): boolean => board === pc || board === q35;
const STEPS = 40_000;
const SIZES = [1, 2, 4] as const;

for (const board of [pc, q35, microvm, isapc]) {
  for (const seed of [1, 2, 3]) {
    test(`${board.name}, seed ${seed}`, () => {
      const m = new TestMachine(board, {
        vga: board === microvm ? 'none' : 'std',
        serials: ['', ''],
        parallels: [''],
        devices: [
          { type: 'isa-debugcon', id: '', properties: {} },
          { type: 'pvpanic', id: '', properties: {} },
          { type: 'pc-testdev', id: '', properties: {} },
          ...(hasPci(board) ? VIRTIO : []),
        ],
      });
      const { machine } = m;
      const random = randomNumbers(seed);
      // Ports that devices have are far more interesting than the rest.
      const ports = machine.ports.ranges.flatMap((r) =>
        Array.from({ length: r.last - r.start + 1 }, (_, i) => r.start + i),
      );
      for (let step = 0; step < STEPS; step++) {
        const size = SIZES[random() % 3]!;
        const value = random();
        const kind = random() % 8;
        if (kind < 5) {
          const port = random() % 16 === 0 ? random() % 0x10000 : ports[random() % ports.length]!;
          if (kind < 3) machine.io.portWrite(port, size, value);
          else assertSized(machine.io.portRead(port, size), size);
        } else if (kind < 7) {
          const { ioRegions } = machine.memory;
          const region = 1 + (random() % (ioRegions.length - 1));
          const offset = random() % ioRegions[region]!.size;
          if (kind === 5) machine.io.mmioWrite(region, offset, size, value);
          else assertSized(machine.io.mmioRead(region, offset, size), size);
        } else if (hasPci(board)) m.configWrite(random() % 4, random() % 8, random() % 256, 1, value & 0xff);
        if (step % 64 === 0) {
          m.advance(random() % 3_000_000);
          machine.lifecycle.service();
          machine.lifecycle.start();
        }
      }
      machine.reset();
      m.initPics();
      m.outb(0x21, 0xa5);
      assert.equal(m.inb(0x21), 0xa5);
    });
  }
}

function assertSized(value: number, size: 1 | 2 | 4): void {
  assert.ok(Number.isInteger(value) && value >= 0 && value < 2 ** (8 * size), `${value} read as ${size} bytes`);
}
