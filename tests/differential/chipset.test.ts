/**
 * The chips of the `pc` board against QEMU's, by random register accesses. What the data sheets leave open, or what
 * QEMU does against them (docs/devices.md), is kept out of the accesses.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { pc } from '../../src/boards/pc.js';
import { TestMachine } from '../../src/boards/testing/test-machine.js';
import { randomNumbers } from '../../src/machine/testing/conformance.js';
import { Qtest, qemuInstalled, type Width } from './qtest.js';

const STEPS = 600;
const HISTORY = 20;
const IOAPIC = 0xfec0_0000;
const HPET = 0xfed0_0000;

/** One access after the other to both machines. */
class Pair {
  readonly #qemu = new Qtest([
    ...['-M', 'pc-i440fx-7.2', '-m', '32', '-vga', 'none', '-serial', 'null'],
    ...['-rtc', 'base=2024-01-01T00:00:00,clock=vm'],
  ]);
  readonly #ours = new TestMachine(pc, { rtc: { clock: 'vm', startMs: Date.UTC(2024, 0, 1) } });
  readonly #history: string[] = [];

  async write(port: number, value: number, width: Width = 1): Promise<void> {
    const cut = width === 4 ? value >>> 0 : value & (2 ** (8 * width) - 1);
    this.#note(`out ${port.toString(16)} ${cut.toString(16)}`);
    this.#ours.machine.io.portWrite(port, width, cut);
    await this.#qemu.portWrite(port, width, cut);
  }
  async read(port: number, width: Width = 1): Promise<void> {
    const ours = this.#ours.machine.io.portRead(port, width);
    this.#compare(`in ${port.toString(16)}`, ours, await this.#qemu.portRead(port, width));
  }
  async writeMemory(address: number, value: number): Promise<void> {
    this.#note(`write ${address.toString(16)} ${(value >>> 0).toString(16)}`);
    this.#ours.machine.system.writeValue(address, 4, value >>> 0);
    await this.#qemu.memoryWrite(address, value >>> 0);
  }
  async readMemory(address: number): Promise<void> {
    const ours = this.#ours.machine.system.readValue(address, 4);
    this.#compare(`read ${address.toString(16)}`, ours, await this.#qemu.memoryRead(address));
  }
  close(): void {
    this.#qemu.close();
  }

  #note(line: string): void {
    this.#history.push(line);
    if (this.#history.length > HISTORY) this.#history.shift();
  }
  #compare(what: string, ours: number, qemus: number): void {
    this.#note(`${what} = ${qemus.toString(16)}`);
    assert.equal(ours.toString(16), qemus.toString(16), `after:\n  ${this.#history.join('\n  ')}`);
  }
}

type Random = () => number;
const pick = <T>(random: Random, from: readonly T[]): T => from[random() % from.length]!;

/** The serial port raises or lowers IRQ 4. */
async function toggleSerialInterrupt(pair: Pair, random: Random): Promise<void> {
  await pair.write(0x3f9, random() & 2);
  await pair.write(0x3fc, 8);
}

async function initPic(pair: Pair, base: number, words: readonly number[]): Promise<void> {
  await pair.write(base, words[0]!);
  for (const word of words.slice(1)) await pair.write(base + 1, word);
}

const CHIPS: Readonly<Record<string, (pair: Pair, random: Random, step: number) => Promise<void>>> = {
  async i8259(pair, random, step) {
    if (step === 0) {
      await initPic(pair, 0x20, [0x11, 0x08, 4, 1, 0]);
      await initPic(pair, 0xa0, [0x11, 0x70, 2, 1, 0]);
    }
    const base = pick(random, [0x20, 0xa0]);
    switch (random() % 8) {
      case 0:
        return pair.write(base, 0x08 | (random() & 0x63));
      case 1:
        return pair.write(base, pick(random, [0x20, 0x60, 0xa0, 0xe0, 0xc0, 0x80, 0x00]) | (random() & 7));
      case 2:
        return pair.write(base + 1, random());
      case 3:
        if (random() % 4 === 0)
          await initPic(pair, base, [0x11 | (random() & 0xf), random(), random(), random() & 0x1f]);
        return;
      case 4:
        return toggleSerialInterrupt(pair, random);
      case 5:
        return pair.read(base + 1);
      default:
        return pair.read(base);
    }
  },

  async i8237(pair, random) {
    const high = random() & 1;
    const register = random() % 16;
    const port = (n: number): number => (high ? 0xc0 + 2 * n : n);
    if (register < 8) {
      await pair.write(port(12), 0);
      for (let i = 0; i < 2; i++) await pair.read(port(register));
      await pair.write(port(12), 0);
      for (let i = 0; i < 2; i++) await pair.write(port(register), random());
    } else if (register === 8) await pair.read(port(8));
    else if (register !== 9 && register !== 13) await pair.write(port(register), random());
    const page = pick(random, [0x81, 0x82, 0x83, 0x87, 0x89, 0x8a, 0x8b, 0x8f]);
    await pair.write(page, random());
    await pair.read(page);
  },

  async mc146818(pair, random) {
    const select = (index: number): Promise<void> => pair.write(0x70, index);
    switch (random() % 5) {
      case 0:
        await select(10);
        return pair.write(0x71, 0x20 | (random() & 15));
      case 1:
        await select(11);
        return pair.write(0x71, (random() & 0x70) | 2 | (random() % 4 === 0 ? 0x80 : 0));
      case 2:
        await select(pick(random, [1, 3, 5, 0x40, 0x50]));
        return pair.write(0x71, random());
      default:
        await select(pick(random, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0x32, 0x40]));
        return pair.read(0x71);
    }
  },

  async ioapic(pair, random) {
    const register = pick(random, [0, 1, 2, 0x10 + (random() % 48)]);
    await pair.writeMemory(IOAPIC, register);
    if (random() & 1) return pair.readMemory(IOAPIC + 0x10);
    // Writable bits only, edge triggered: QEMU keeps reserved bits, and forgets a line that is high when a pin turns to level.
    const mask = register === 0 ? 0x0f00_0000 : register >= 0x10 && register & 1 ? 0xff00_0000 : 0x0001_2fff;
    return pair.writeMemory(IOAPIC + 0x10, random() & mask);
  },

  async hpet(pair, random) {
    const timer = HPET + 0x100 + 0x20 * (random() % 3);
    switch (random() % 7) {
      case 0:
        return pair.writeMemory(HPET + 0x10, random() & 1);
      case 1:
        return pair.readMemory(HPET + pick(random, [0, 4, 0x10, 0x20, 0xf0, 0xf4]));
      case 2:
        return pair.writeMemory(timer, random() & 0x14c);
      case 3:
        return pair.writeMemory(HPET + 0xf0, random());
      case 4:
        return pair.writeMemory(timer + 8, random() % 100_000);
      case 5:
        return pair.writeMemory(HPET + 0x20, random() & 7);
      default:
        return pair.readMemory(timer + pick(random, [0, 4, 8]));
    }
  },
};

for (const [chip, access] of Object.entries(CHIPS)) {
  test(`${chip} answers as QEMU's`, {
    skip: qemuInstalled ? false : 'qemu-system-x86_64 is not installed',
  }, async () => {
    const pair = new Pair();
    after(() => pair.close());
    const random = randomNumbers(7);
    for (let step = 0; step < STEPS; step++) await access(pair, random, step);
    pair.close();
  });
}
