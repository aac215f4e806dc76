/** Standard input and output as a character backend. A terminal is put into raw mode and gets its own mode back. */
import type { CharBackend, CharFrontend } from '../../char/backend.js';
import { InputQueue } from '../../char/input-queue.js';

/** Keys that a terminal in its usual mode turns into signals. */
const SIGNAL_KEYS: Readonly<Record<number, NodeJS.Signals>> = { 3: 'SIGINT', 26: 'SIGTSTP', 28: 'SIGQUIT' };

/** Output that may wait for the end of a slice: more is written at once. */
const OUTPUT_BYTES = 4096;
/** Output waits for nothing if nothing was written for so long: whoever looks at it sees no gain in more at a time. */
const QUIET_MS = 8;
const PIECES_AT_ONCE = 4;

export class StdioBackend implements CharBackend {
  readonly type = 'stdio';
  readonly filename = 'stdio';
  readonly #signals: boolean;
  readonly #input = new InputQueue();
  readonly #resumed = (): void => this.#raw(true);
  #frontend: CharFrontend | null = null;
  #writable = true;
  #disposed = false;
  /**
   * Guests send byte by byte, and each write is a system call that wakes whoever reads: what one slice sends goes out together. But the
   * first word after a pause is waited for, and a slice of new code may be long: so many pieces still go out at once.
   */
  readonly #output = new Uint8Array(OUTPUT_BYTES);
  #waiting = 0;
  #sent = Number.NEGATIVE_INFINITY;
  #atOnce = 0;

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
    process.on('exit', this.#flush);
  }

  attach(frontend: CharFrontend | null): void {
    this.#frontend = frontend;
    frontend?.event?.('opened');
    this.acceptInput();
  }

  write(data: Uint8Array): number {
    if (data.length > OUTPUT_BYTES - this.#waiting) this.#flush();
    if (data.length > OUTPUT_BYTES || (this.#waiting === 0 && this.#goesAtOnce())) this.#send(data);
    else {
      if (this.#waiting === 0) queueMicrotask(this.#flush);
      this.#output.set(data, this.#waiting);
      this.#waiting += data.length;
    }
    return data.length;
  }

  acceptInput(): void {
    this.#input.drain(this.#frontend);
    if (!this.#input.full && !this.#disposed && process.stdin.isPaused()) process.stdin.resume();
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#flush();
    process.off('exit', this.#flush);
    process.off('SIGCONT', this.#resumed);
    process.stdin.off('data', this.#data);
    this.#raw(false);
    process.stdin.pause();
  }

  readonly #flush = (): void => {
    if (this.#waiting > 0) this.#send(this.#output.subarray(0, this.#waiting));
    this.#waiting = 0;
  };

  #goesAtOnce(): boolean {
    if (performance.now() - this.#sent > QUIET_MS) this.#atOnce = PIECES_AT_ONCE;
    if (this.#atOnce === 0) return false;
    this.#atOnce--;
    return true;
  }

  #send(data: Uint8Array): void {
    if (this.#writable) process.stdout.write(data.slice());
    this.#sent = performance.now();
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
