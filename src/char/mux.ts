import { UserError } from '../base/errors.js';
import type { Clock } from '../machine/clock.js';
import type { CharBackend, CharEvent, CharFrontend } from './backend.js';
import { InputQueue } from './input-queue.js';

/** What the user may ask for with the escape character. */
export interface MuxCommands {
  /** `x`: end the emulator. */
  terminate(): void;
  /** `s`: write snapshot overlays back to their disk images. */
  commit(): void;
}

const MAX_FRONTENDS = 32;
const NS_PER_MS = 1e6;

/**
 * Several frontends on one backend (a serial port and the monitor on a terminal). All may write; the one with the focus
 * receives. The escape character (Ctrl-A by default) is followed by a command: see HELP.
 */
export class Mux {
  readonly #below: CharBackend;
  readonly #commands: MuxCommands;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #escape: number;
  readonly #ports: MuxPort[] = [];
  #focus: MuxPort | null = null;
  #escaped = false;
  #timestamps = false;
  #timestampOrigin = 0;
  #atLineStart = true;
  #opened = false;

  /** `escapeCode`: the character; 0 turns commands off. `clock` runs in real time. */
  constructor(below: CharBackend, commands: MuxCommands, clock: Pick<Clock, 'now'>, escapeCode = 0x01) {
    this.#below = below;
    this.#commands = commands;
    this.#clock = clock;
    this.#escape = escapeCode;
    below.attach({
      canReceive: () => (this.#focus?.full ? 0 : 256),
      receive: (data) => this.#receive(data),
      event: (event) => this.#event(event),
      writable: () => {
        for (const port of this.#ports) port.frontend?.writable?.();
      },
    });
  }

  /** One more backend for a frontend. The port opened last has the focus until `focus` says otherwise. */
  port(): CharBackend {
    if (this.#ports.length >= MAX_FRONTENDS)
      throw new UserError(`too many users of multiplexed chardev (the maximum is ${MAX_FRONTENDS})`);
    const port = new MuxPort(this);
    this.#ports.push(port);
    this.focus(port);
    return port;
  }

  focus(port: CharBackend): void {
    const next = this.#ports.find((p) => p === port);
    if (!next || next === this.#focus) return;
    this.#focus?.frontend?.event?.('mux-out');
    this.#focus = next;
    next.frontend?.event?.('mux-in');
    this.#below.acceptInput();
  }

  /** For ports: the backend below, whether it is open, and whether a port has the focus. */
  get below(): CharBackend {
    return this.#below;
  }

  get opened(): boolean {
    return this.#opened;
  }

  hasFocus(port: CharBackend): boolean {
    return port === this.#focus;
  }

  /** Output of a port, with timestamps when they are on. */
  write(data: Uint8Array): number {
    if (!this.#timestamps) return this.#below.write(data);
    for (const byte of data) {
      if (this.#atLineStart) {
        const ms = Math.floor((this.#clock.now() - this.#timestampOrigin) / NS_PER_MS);
        const two = (n: number) => String(Math.floor(n)).padStart(2, '0');
        const time = `${two(ms / 3600000)}:${two((ms / 60000) % 60)}:${two((ms / 1000) % 60)}`;
        this.#print(`[${time}.${String(ms % 1000).padStart(3, '0')}] `);
      }
      this.#below.write(Uint8Array.of(byte));
      this.#atLineStart = byte === 0x0a;
    }
    return data.length;
  }

  #event(event: CharEvent): void {
    if (event === 'opened') this.#opened = true;
    if (event === 'closed') this.#opened = false;
    if (event === 'break') this.#focus?.frontend?.event?.('break');
    else for (const port of this.#ports) port.frontend?.event?.(event);
  }

  #receive(data: Uint8Array): void {
    let plain = 0;
    for (let i = 0; i < data.length; i++) {
      const byte = data[i]!;
      if (this.#escaped) {
        this.#escaped = false;
        plain = i + 1;
        if (byte === this.#escape) this.#focus?.push(data.subarray(i, i + 1));
        else this.#command(String.fromCharCode(byte));
      } else if (byte === this.#escape && this.#escape !== 0) {
        this.#focus?.push(data.subarray(plain, i));
        this.#escaped = true;
        plain = i + 1;
      }
    }
    this.#focus?.push(data.subarray(plain));
  }

  #command(key: string): void {
    switch (key) {
      case 'h':
      case '?':
        this.#print(help(this.#escape));
        break;
      case 'x':
        this.#print('Tinamou: Terminated\r\n');
        this.#commands.terminate();
        break;
      case 's':
        this.#commands.commit();
        break;
      case 'b':
        this.#focus?.frontend?.event?.('break');
        break;
      case 'c': {
        const next = this.#ports[(this.#ports.indexOf(this.#focus!) + 1) % this.#ports.length];
        if (next) this.focus(next);
        break;
      }
      case 't':
        this.#timestamps = !this.#timestamps;
        this.#timestampOrigin = this.#clock.now();
        this.#atLineStart = false;
        break;
    }
  }

  #print(text: string): void {
    this.#below.write(new TextEncoder().encode(text));
  }
}

/** How a key with Ctrl is written: code 1 is `C-a`. */
function help(code: number): string {
  const key = code < 27 ? `C-${String.fromCharCode(code + 0x60)}` : `'${String.fromCharCode(code)}'`;
  const rows = [
    ['h', 'print this help'],
    ['x', 'exit emulator'],
    ['s', 'save disk data back to file (if -snapshot)'],
    ['t', 'toggle console timestamps'],
    ['b', 'send break (magic sysrq)'],
    ['c', 'switch between console and monitor'],
    [key, `sends ${key}`],
  ];
  return `\r\n${rows.map(([k, what]) => `${key} ${k!.padEnd(4)} ${what}\r\n`).join('')}`;
}

class MuxPort implements CharBackend {
  readonly type = 'mux';
  readonly #mux: Mux;
  readonly #input = new InputQueue();
  frontend: CharFrontend | null = null;

  constructor(mux: Mux) {
    this.#mux = mux;
  }

  get filename(): string {
    return this.#mux.below.filename;
  }

  get full(): boolean {
    return this.#input.full;
  }

  attach(frontend: CharFrontend | null): void {
    this.frontend = frontend;
    if (this.#mux.opened) frontend?.event?.('opened');
    if (this.#mux.hasFocus(this)) frontend?.event?.('mux-in');
    this.acceptInput();
  }

  push(data: Uint8Array): void {
    if (data.length === 0) return;
    this.#input.push(data);
    this.#input.drain(this.frontend);
  }

  write(data: Uint8Array): number {
    return this.#mux.write(data);
  }

  acceptInput(): void {
    const wasFull = this.#input.full;
    this.#input.drain(this.frontend);
    if (wasFull && !this.#input.full) this.#mux.below.acceptInput();
  }
}
