/** Standard input and output as a character backend. A terminal is put into raw mode and gets its own mode back. */
import type { CharBackend, CharFrontend } from '../../char/backend.js';
import { InputQueue } from '../../char/input-queue.js';

/** Keys that a terminal in its usual mode turns into signals. */
const SIGNAL_KEYS: Readonly<Record<number, NodeJS.Signals>> = { 3: 'SIGINT', 26: 'SIGTSTP', 28: 'SIGQUIT' };

export class StdioBackend implements CharBackend {
  readonly type = 'stdio';
  readonly filename = 'stdio';
  readonly #signals: boolean;
  readonly #input = new InputQueue();
  readonly #resumed = (): void => this.#raw(true);
  #frontend: CharFrontend | null = null;
  #writable = true;
  #disposed = false;

  /** `signals`: Ctrl-C, Ctrl-Z and Ctrl-\ act on the emulator instead of going to the frontend. */
  constructor(signals: boolean) {
    this.#signals = signals;
    this.#raw(true);
    process.on('SIGCONT', this.#resumed);
    process.stdin.on('data', this.#data);
    process.stdin.on('error', () => {});
    // Nobody reads any more: what the guest says is lost, which must not end it.
    process.stdout.on('error', () => {
      this.#writable = false;
    });
  }

  attach(frontend: CharFrontend | null): void {
    this.#frontend = frontend;
    frontend?.event?.('opened');
    this.acceptInput();
  }

  write(data: Uint8Array): number {
    if (this.#writable) process.stdout.write(data.slice());
    return data.length;
  }

  acceptInput(): void {
    this.#input.drain(this.#frontend);
    if (!this.#input.full && !this.#disposed && process.stdin.isPaused()) process.stdin.resume();
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    process.off('SIGCONT', this.#resumed);
    process.stdin.off('data', this.#data);
    this.#raw(false);
    process.stdin.pause();
  }

  readonly #data = (chunk: Buffer): void => {
    const typed = this.#signals && process.stdin.isTTY ? chunk.filter((byte) => !this.#signal(byte)) : chunk;
    this.#input.push(typed);
    this.#input.drain(this.#frontend);
    if (this.#input.full) process.stdin.pause();
  };

  #signal(byte: number): boolean {
    const signal = SIGNAL_KEYS[byte];
    if (!signal) return false;
    if (signal === 'SIGTSTP') this.#raw(false);
    process.kill(process.pid, signal);
    return true;
  }

  #raw(on: boolean): void {
    if (process.stdin.isTTY) process.stdin.setRawMode(on);
  }
}
