/** A serial port in a program's hands: what the guest says as text, what to type, and waiting for an answer. */

import { Event } from '../../base/event.js';
import type { CharBackend, CharFrontend } from '../../char/backend.js';
import { InputQueue } from '../../char/input-queue.js';

export class TimeoutError extends Error {
  override readonly name = 'TimeoutError';
}

export interface WaitOptions {
  /** Seconds of real time; default 60. */
  readonly timeout?: number;
}

const DEFAULT_TIMEOUT = 60;
/** How much of what the guest said an error message shows. */
const SHOWN = 2000;

export class SerialConsole implements CharBackend {
  readonly type = 'program';
  readonly filename = 'program';
  /** Bytes that the guest sends, as they come. */
  readonly output = new Event<Uint8Array>();
  readonly #input = new InputQueue();
  readonly #decoder = new TextDecoder();
  readonly #watchers = new Set<() => void>();
  #frontend: CharFrontend | null = null;
  #text = '';
  /** Where the next `waitFor` begins. */
  #mark = 0;
  #closed = '';

  /** All that the guest has said. */
  get text(): string {
    return this.#text;
  }

  /** Types, as on a keyboard: the guest takes it as fast as it can. */
  write(data: Uint8Array): number;
  write(text: string): void;
  write(data: Uint8Array | string): number {
    if (typeof data === 'string') {
      this.#input.push(new TextEncoder().encode(data));
      this.acceptInput();
      return data.length;
    }
    // From the guest's side.
    this.#text += this.#decoder.decode(data, { stream: true });
    this.output.fire(data.slice());
    for (const look of [...this.#watchers]) look();
    return data.length;
  }

  /**
   * Resolves with what the guest has said since the last wait, once `pattern` is in it. Rejects with a TimeoutError, or
   * when the machine ends.
   */
  waitFor(pattern: string | RegExp, { timeout = DEFAULT_TIMEOUT }: WaitOptions = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      const finish = (act: () => void): void => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        act();
      };
      const look = (): void => {
        const fresh = this.#text.slice(this.#mark);
        const end = endOf(pattern, fresh);
        if (end >= 0) {
          this.#mark += end;
          finish(() => resolve(fresh.slice(0, end)));
        } else if (this.#closed !== '') {
          finish(() =>
            reject(new Error(`the machine ended (${this.#closed}) before it said ${pattern}:\n${this.#tail()}`)),
          );
        }
      };
      const timer = setTimeout(() => {
        finish(() => reject(new TimeoutError(`no ${pattern} within ${timeout} s; the guest said:\n${this.#tail()}`)));
      }, timeout * 1000);
      this.#watchers.add(look);
      look();
    });
  }

  /** Types a line and waits: `await serial.run('uname -a', '# ')`. Resolves as `waitFor` does. */
  run(line: string, until: string | RegExp, options?: WaitOptions): Promise<string> {
    this.#mark = this.#text.length;
    this.write(`${line}\n`);
    return this.waitFor(until, options);
  }

  /** Nothing more will come: whoever waits is told why. */
  close(reason: string): void {
    this.#closed = reason;
    for (const look of [...this.#watchers]) look();
  }

  attach(frontend: CharFrontend | null): void {
    this.#frontend = frontend;
    frontend?.event?.('opened');
    this.acceptInput();
  }

  acceptInput(): void {
    this.#input.drain(this.#frontend);
  }

  #tail(): string {
    return this.#text.slice(Math.max(this.#mark, this.#text.length - SHOWN));
  }
}

/** Where the first match ends; -1 without one. */
function endOf(pattern: string | RegExp, text: string): number {
  if (typeof pattern === 'string') {
    const at = text.indexOf(pattern);
    return at < 0 ? -1 : at + pattern.length;
  }
  const match = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).exec(text);
  return match ? match.index + match[0].length : -1;
}
