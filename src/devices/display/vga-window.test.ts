/** Reads of the VGA's window by threads beside the machine thread are those of the device. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../machine/testing/manual-clock.js';
import { ProbeBus } from '../../machine/testing/probe-bus.js';
import { WindowReads } from '../../machine/window-reads.js';
import { flatten } from '../../memory/flat-view.js';
import { readRegion, writeRegion } from '../../memory/region-access.js';
import { Vga } from './vga.js';
import { VgaPci } from './vga-pci.js';

const VRAM_BYTES = 1 << 20;
const WINDOW = 0x20000;
const NONE = (): boolean => false;

/** The same sequence each time. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
}

/** Two cards alike; the reads of the first come from another thread where it can. */
function pair() {
  const machine = WindowReads.create();
  const thread = new WindowReads(machine.buffer);
  const cards = [0, 1].map((i) => {
    const bus = new ProbeBus();
    const { vga } = new VgaPci(bus.slot, new ManualClock(), { vramBytes: VRAM_BYTES, rom: null, preferred: null });
    if (i === 0) vga.publish(machine);
    vga.reset();
    const region = vga.window.subRegions.find(({ region }) => region.kind === 'io')!.region;
    const ranges = () => flatten(bus.memorySpace);
    return { bus, vga, region, ranges };
  });
  const { memory } = cards[0]!.bus.accelerator;
  const into = new DataView(new ArrayBuffer(8));
  return {
    machine,
    thread,
    vgas: cards.map(({ vga }) => vga),
    vrams: cards.map(({ vga }) => vga.vram.ram!.bytes),
    ports(port: number, index: number, value: number): void {
      for (const { vga } of cards) {
        vga.ports.write(port - Vga.FIRST_PORT, 1, index);
        vga.ports.write(port + 1 - Vga.FIRST_PORT, 1, value);
      }
      machine.setRanges(cards[0]!.ranges());
    },
    write(offset: number, value: number): void {
      for (const { region } of cards) writeRegion(region, offset, 1, value);
    },
    /** What the thread read, if it did, and what a card says that knows of no threads. */
    read(
      offset: number,
      size: 1 | 2 | 4,
      pending = NONE,
    ): { readonly ours: number | undefined; readonly card: number } {
      const did = thread.read(Vga.WINDOW + offset, size, memory, pending, into, 0);
      const value = size === 1 ? into.getUint8(0) : size === 2 ? into.getUint16(0, true) : into.getUint32(0, true);
      if (!did) readRegion(cards[0]!.region, offset, size);
      return { ours: did ? value : undefined, card: readRegion(cards[1]!.region, offset, size) };
    },
  };
}

test('all modes, with what is written through the latches afterwards', () => {
  const b = pair();
  const next = random(7);
  for (const vram of b.vrams) {
    const fill = random(3);
    for (let i = 0; i < vram.length; i++) vram[i] = fill(256);
  }
  let answered = 0;
  let left = 0;
  for (let round = 0; round < 3000; round++) {
    const index = next(9);
    if (next(4) === 0) b.ports(0x3ce, index, next(256));
    // Chain-4, where the window is mapped, is half of all otherwise.
    if (next(16) === 0) b.ports(0x3c4, next(2) === 0 ? 2 : 4, next(next(4) === 0 ? 16 : 8));
    const size = ([1, 2, 4] as const)[next(3)]!;
    const offset = next(WINDOW / 4) * 4;
    const { ours, card } = b.read(offset, size);
    if (ours === undefined) left++;
    else {
      answered++;
      assert.equal(ours, card, `${size} bytes at ${offset.toString(16)}h, round ${round}`);
    }
    if (next(2) === 0) b.write(offset ^ 4, next(256));
  }
  assert.deepEqual(b.vrams[0], b.vrams[1]);
  assert.deepEqual(b.vgas[0]!.save(), b.vgas[1]!.save());
  assert.ok(answered > 500 && left > 200, `${answered} ${left}`);
  let told = 0;
  for (const count of b.machine.answered().values()) told += count;
  assert.equal(told, answered);
});

test('the machine thread reads where something is on its way, someone watches, or nothing is seen there', () => {
  const b = pair();
  b.ports(0x3ce, 5, 0x10);
  b.ports(0x3ce, 6, 0x0c);
  for (const vram of b.vrams) vram.set([0x41, 0x07, 0, 0, 0x42, 0x70]);
  const text = 0x18000;
  assert.equal(b.read(text, 4).ours, 0x7042_0741);
  assert.deepEqual(b.machine.answered(), new Map([[Vga.WINDOW + text, 1]]));
  assert.equal(b.read(text - 2, 4).ours, undefined, 'not all of it is in the window');
  assert.equal(b.read(text, 4, () => true).ours, undefined);
  b.machine.watched = true;
  assert.equal(b.read(text, 4).ours, undefined);
  b.machine.watched = false;
  b.machine.whileChanging(() => assert.equal(b.read(text, 4).ours, undefined));
  // Taken between two looks.
  const taken = b.read(text, 4, () => {
    b.machine.whileChanging(() => {});
    return false;
  });
  assert.equal(taken.ours, undefined);
  assert.equal(b.read(text, 4).ours, 0x7042_0741);
  b.machine.setRanges([]);
  assert.equal(b.read(text, 4).ours, undefined);
});
