/** A PC with firmware of a test's own, under KVM or tcg. */
import assert from 'node:assert/strict';
import type { IrqchipMode } from '../../src/accel/kvm/irqchip-mode.js';
import { type Composed, compose } from '../../src/app/lib/compose.js';
import { DEFAULT_OPTIONS, type MachineOptions } from '../../src/boards/board.js';
import { pc } from '../../src/boards/pc.js';
import { NullBackend } from '../../src/char/null.js';
import { RingBuffer } from '../../src/char/ringbuf.js';
import { type CpuConfig, parseCpu } from '../../src/guest/x86/cpu-models.js';
import { X86_64 } from '../../src/guest/x86/index.js';
import { hex } from './rig.js';

export interface GuestOptions {
  readonly cpus?: number;
  readonly irqchip?: IrqchipMode;
  readonly accelerator?: 'kvm' | 'tcg';
  /** Default: all that tcg has. */
  readonly cpu?: CpuConfig;
  /** Besides a debug console. */
  readonly devices?: MachineOptions['devices'];
  /** Do not start. */
  readonly paused?: boolean;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Firmware of 64 KiB whose reset vector jumps to `code` at its start. */
export function firmware(code: string): Uint8Array {
  const image = new Uint8Array(0x10000);
  image.set(hex(code));
  image.set(hex('ea 00 00 00 f0'), 0xfff0); // jmp f000:0000
  return image;
}

/** A PC whose firmware writes to `said`. */
export class Guest {
  readonly composed: Composed;
  readonly reports: string[] = [];
  said = '';
  readonly ended: Promise<unknown>;
  readonly #console = new RingBuffer(1 << 20);

  constructor(
    firmware: Uint8Array,
    {
      cpus = 1,
      irqchip = 'on',
      accelerator = 'kvm',
      cpu = parseCpu('max'),
      devices = [],
      paused = false,
    }: GuestOptions = {},
  ) {
    this.composed = compose({
      guest: X86_64,
      board: pc,
      cpu,
      topology: { sockets: cpus, cores: 1, threads: 1 },
      accelerator,
      irqchip,
      report: (text) => this.reports.push(text),
      chardev: (id) => (id === 'console' ? this.#console : new NullBackend()),
      machine: {
        ...DEFAULT_OPTIONS,
        cpus,
        ramBytes: 32 << 20,
        firmware,
        devices: [{ type: 'isa-debugcon', id: '', properties: { chardev: 'console', iobase: '0x402' } }, ...devices],
      },
    });
    if (!paused) this.composed.machine.lifecycle.start();
    this.ended = this.composed.run();
  }

  async expect(text: string | RegExp, times = 1): Promise<void> {
    for (;;) {
      this.said += new TextDecoder('latin1').decode(this.#console.read());
      if (this.said.split(text).length > times) return;
      assert.equal(this.composed.machine.lifecycle.state, 'running', `${this.reports} ${this.said.slice(-300)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** What the firmware wrote since it was asked last. */
  hear(): Uint8Array {
    return this.#console.read();
  }

  /** Stands still. */
  async stop(): Promise<void> {
    const { lifecycle } = this.composed.machine;
    lifecycle.pause();
    while (lifecycle.running) await pause(1);
    // Also the run loop's own slice is over then.
    await pause(20);
  }

  async dispose(): Promise<void> {
    this.composed.quit();
    await this.ended;
    this.composed.machine.dispose();
  }
}
