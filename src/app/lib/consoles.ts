/**
 * `-display curses`: the guest's screen and the virtual consoles (`vc`) on the terminal. Alt-1 shows the guest, Alt-2 and
 * so on the consoles in the order in which they were made: the monitor, the serial port, the parallel port.
 */
import type { Disposable } from '../../base/disposable.js';
import { Bug } from '../../base/errors.js';
import type { CharBackend, CharFrontend } from '../../char/backend.js';
import { InputQueue } from '../../char/input-queue.js';
import type { GraphicConsole } from '../../display/console.js';
import { TerminalScreen } from '../../display/curses.js';
import type { KeySender } from '../../display/key-sender.js';
import type { Key } from '../../display/keys.js';
import { TerminalKeys } from '../../display/terminal-keys.js';
import { VideoTerminal } from '../../display/vt.js';
import { Terminal } from '../../host/node/terminal.js';

const REFRESH_MS = 33;
/** An escape alone is the key when nothing follows it for so long. */
const ESCAPE_MS = 50;
const HOLD_MS = 20;

/** A backend that is shown as a console of its own. */
export class VirtualConsole implements CharBackend, GraphicConsole {
  readonly type = 'vc';
  readonly filename = 'vc';
  readonly #terminal = new VideoTerminal();
  readonly #input = new InputQueue();
  #frontend: CharFrontend | null = null;

  constructor(readonly id: string) {}

  attach(frontend: CharFrontend | null): void {
    this.#frontend = frontend;
    frontend?.event?.('opened');
    this.acceptInput();
  }

  write(data: Uint8Array): number {
    this.#terminal.write(data);
    return data.length;
  }

  acceptInput(): void {
    this.#input.drain(this.#frontend);
  }

  typed(data: Uint8Array): void {
    this.#input.push(data);
    this.acceptInput();
  }

  text(): ReturnType<VideoTerminal['screen']> {
    return this.#terminal.screen();
  }

  refresh(): never {
    throw new Bug('a virtual console has no picture');
  }
}

export class CursesDisplay implements Disposable {
  readonly #terminal: Terminal;
  readonly #screen: TerminalScreen;
  readonly #consoles: readonly (GraphicConsole | VirtualConsole)[];
  readonly #keys: TerminalKeys;
  readonly #timer: NodeJS.Timeout;
  #flush: NodeJS.Timeout | undefined;
  #shown: GraphicConsole | VirtualConsole;

  /** Throws UserError when there is no terminal. */
  constructor(guest: GraphicConsole | undefined, virtual: readonly VirtualConsole[], keyboard: KeySender | undefined) {
    this.#consoles = [...(guest ? [guest] : []), ...virtual];
    this.#shown = this.#consoles[0] ?? new VirtualConsole('');
    this.#keys = new TerminalKeys((keys) => {
      if (!this.#switched(keys)) keyboard?.send(keys, HOLD_MS);
    });
    this.#terminal = new Terminal(
      (data) => this.#typed(data),
      () => this.#terminal.write(this.#screen.resize(this.#terminal.columns, this.#terminal.rows)),
    );
    this.#screen = new TerminalScreen(this.#terminal.columns, this.#terminal.rows);
    this.#terminal.write(this.#screen.start());
    this.#timer = setInterval(() => this.#terminal.write(this.#screen.update(this.#shown)), REFRESH_MS);
  }

  dispose(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#flush);
    this.#terminal.write(this.#screen.stop());
    this.#terminal.dispose();
  }

  #typed(data: Uint8Array): void {
    const shown = this.#shown;
    if (shown instanceof VirtualConsole) {
      const [first, digit] = data;
      if (data.length === 2 && first === 0x1b && this.#switched(['alt', String.fromCharCode(digit!) as Key])) return;
      shown.typed(data);
      return;
    }
    this.#keys.input(data);
    clearTimeout(this.#flush);
    if (this.#keys.undecided) this.#flush = setTimeout(() => this.#keys.flush(), ESCAPE_MS);
  }

  /** Whether the keys were for us: Alt with the number of a console. */
  #switched(keys: readonly Key[]): boolean {
    const next = keys.length === 2 && keys[0] === 'alt' && this.#consoles[Number(keys[1]) - 1];
    if (!next) return false;
    this.#shown = next;
    return true;
  }
}
