/** A whole PC in a test: what it says on its serial port, what its screen shows, and typing on its keyboard. */

import { type Composed, compose } from '../../src/app/lib/compose.js';
import { Drive } from '../../src/block/drive.js';
import type { BlockNode } from '../../src/block/node.js';
import { type BoardType, DEFAULT_OPTIONS, type MachineOptions } from '../../src/boards/board.js';
import { pc } from '../../src/boards/pc.js';
import { NullBackend } from '../../src/char/null.js';
import { RingBuffer } from '../../src/char/ringbuf.js';
import { CP437 } from '../../src/display/cp437.js';
import { KeySender } from '../../src/display/key-sender.js';
import { keysFor } from '../../src/display/terminal-keys.js';
import { parseCpu } from '../../src/guest/x86/cpu-models.js';
import { X86_64 } from '../../src/guest/x86/index.js';

export interface SystemOptions {
  /** Default: pc. */
  readonly board?: BoardType;
  readonly machine?: Partial<MachineOptions>;
  /** Media by drive id. */
  readonly media?: Readonly<Record<string, BlockNode>>;
  /** Firmware images by name. */
  readonly images?: Readonly<Record<string, Uint8Array>>;
}

const POLL_MS = 20;
const HOLD_MS = 20;
const GAP_MS = 10;

export class System {
  readonly serial = new RingBuffer(1 << 20);
  readonly composed: Composed;
  /** What came from the serial port so far. */
  said = '';
  readonly #keys: KeySender;

  constructor(options: SystemOptions) {
    const drives = new Map(Object.entries(options.media ?? {}).map(([id, node]) => [id, new Drive(node, { id })]));
    this.composed = compose({
      guest: X86_64,
      board: options.board ?? pc,
      cpu: parseCpu('max'),
      topology: { sockets: 1, cores: 1, threads: 1 },
      chardev: (id) => (id === 'serial' ? this.serial : new NullBackend()),
      drive: (id) => drives.get(id)!,
      firmwareImage: (name) => options.images?.[name] ?? null,
      machine: { ...DEFAULT_OPTIONS, ramBytes: 32 << 20, serials: ['serial'], vga: 'std', ...options.machine },
    });
    const { machine, keyboard } = this.composed;
    this.#keys = new KeySender(keyboard!, machine.clocks.realtime, GAP_MS);
    machine.lifecycle.start();
    void this.composed.run();
  }

  /** Waits until the serial port has said `text`; fails with what it did say. */
  async expect(text: string, seconds: number): Promise<void> {
    await this.#until(seconds, `'${text}' in ${JSON.stringify(this.said.slice(-500))}`, () => {
      this.said += new TextDecoder('latin1').decode(this.serial.read());
      return this.said.includes(text);
    });
  }

  /** Waits until the text screen shows `text`. */
  async expectScreen(text: string, seconds: number): Promise<void> {
    await this.#until(seconds, `'${text}' on the screen`, () => this.screen().includes(text));
  }

  type(text: string): void {
    for (const character of text) this.#keys.send(keysFor(character)!, HOLD_MS);
  }

  /** The text screen, a line a row; '' in graphics modes. */
  screen(): string {
    const text = this.composed.display?.text();
    if (!text) return '';
    const rows: string[] = [];
    for (let y = 0; y < text.rows; y++) {
      const row = text.cells.subarray(y * text.columns, (y + 1) * text.columns);
      rows.push(Array.from(row, (cell) => CP437[cell & 0xff]!).join(''));
    }
    return rows.map((row) => row.trimEnd()).join('\n');
  }

  dispose(): void {
    this.composed.quit();
  }

  async #until(seconds: number, what: string, done: () => boolean): Promise<void> {
    const end = performance.now() + seconds * 1000;
    while (!done()) {
      if (performance.now() > end) throw new Error(`no ${what} within ${seconds} s; screen:\n${this.screen()}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
