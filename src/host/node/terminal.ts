/** The terminal that the process runs in, as a screen and a keyboard. */
import { UserError } from '../../base/errors.js';

export class Terminal {
  readonly #input: (data: Buffer) => void;
  readonly #resized: () => void;
  #disposed = false;

  /** Throws UserError when standard input and output are no terminal. */
  constructor(input: (data: Uint8Array) => void, resized: () => void) {
    if (!process.stdin.isTTY || !process.stdout.isTTY) {
      throw new UserError('-display curses: standard input and output are not a terminal: use -display none');
    }
    this.#input = (data) => input(data);
    this.#resized = resized;
    process.stdin.setRawMode(true);
    process.stdin.on('data', this.#input);
    process.stdin.resume();
    process.stdout.on('resize', this.#resized);
  }

  get columns(): number {
    return process.stdout.columns;
  }

  get rows(): number {
    return process.stdout.rows;
  }

  write(text: string): void {
    if (text !== '') process.stdout.write(text);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    process.stdin.off('data', this.#input);
    process.stdout.off('resize', this.#resized);
    process.stdin.setRawMode(false);
    process.stdin.pause();
  }
}
