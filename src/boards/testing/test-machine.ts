/** A board on a fake accelerator and manual time, for tests. */
import { UserError } from '../../base/errors.js';
import { NullBackend } from '../../char/null.js';
import { noFolders } from '../../machine/host-folder.js';
import type { Machine } from '../../machine/machine.js';
import type { MachineClocks } from '../../machine/machine-clocks.js';
import { FakeAccelerator } from '../../machine/testing/fake-accelerator.js';
import { ManualTime } from '../../machine/testing/manual-time.js';
import { type BoardHost, type BoardType, type BuiltBoard, DEFAULT_OPTIONS, type MachineOptions } from '../board.js';

const TEST_OPTIONS: MachineOptions = { ...DEFAULT_OPTIONS, ramBytes: 32 * 2 ** 20, serials: [''] };

export class TestMachine {
  readonly time = new ManualTime();
  readonly clocks: MachineClocks = this.time.clocks();
  readonly accelerator: FakeAccelerator;
  readonly built: BuiltBoard;
  readonly machine: Machine;

  constructor(board: BoardType, options: Partial<MachineOptions> = {}, host: Partial<BoardHost> = {}) {
    const all = { ...TEST_OPTIONS, ...options };
    this.accelerator = new FakeAccelerator(all.cpus);
    this.built = board.create(all, {
      accelerator: this.accelerator,
      clocks: this.clocks,
      random: () => 4,
      generator: () => () => 4,
      isIoThread: () => false,
      wake: () => {},
      chardev: () => new NullBackend(),
      drive: (id) => {
        throw new UserError(`no drive '${id}'`);
      },
      firmwareImage: () => null,
      ...noFolders,
      enter: () => {},
      ...host,
    });
    this.machine = this.built.machine;
    this.machine.lifecycle.start();
  }

  advance(ns: number): void {
    this.time.advance(this.clocks, ns);
  }
  inb(port: number): number {
    return this.machine.io.portRead(port, 1);
  }
  inl(port: number): number {
    return this.machine.io.portRead(port, 4);
  }
  outb(port: number, value: number): void {
    this.machine.io.portWrite(port, 1, value);
  }
  outl(port: number, value: number): void {
    this.machine.io.portWrite(port, 4, value);
  }

  configAddress(device: number, fn: number, register: number): number {
    this.outl(0xcf8, (0x8000_0000 | (device << 11) | (fn << 8) | (register & 0xfc)) >>> 0);
    return 0xcfc + (register & 3);
  }
  configRead(device: number, fn: number, register: number, size: 1 | 2 | 4): number {
    return this.machine.io.portRead(this.configAddress(device, fn, register), size);
  }
  configWrite(device: number, fn: number, register: number, size: 1 | 2 | 4, value: number): void {
    this.machine.io.portWrite(this.configAddress(device, fn, register), size, value);
  }

  /** ICW1..4 as PC BIOSes do it, vectors 08h and 70h, nothing masked. */
  initPics(): void {
    for (const [port, base, cascade] of [
      [0x20, 0x08, 4],
      [0xa0, 0x70, 2],
    ] as const) {
      this.outb(port, 0x11);
      this.outb(port + 1, base);
      this.outb(port + 1, cascade);
      this.outb(port + 1, 1);
      this.outb(port + 1, 0);
    }
  }
}
