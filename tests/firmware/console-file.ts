/**
 * A guest's console that QEMU writes into a file. A pipe would not do: QEMU does not wait for its reader, and drops what the
 * reader was too busy to fetch (a few hundred single bytes fill the socket that Node.js gives a child as its output).
 */
import { existsSync, readFileSync } from 'node:fs';

const POLL_MS = 50;

export class ConsoleFile {
  constructor(private readonly path: string) {}

  /** For -serial. */
  get option(): string {
    return `file:${this.path}`;
  }

  /** What the guest has said so far. */
  get text(): string {
    return existsSync(this.path) ? readFileSync(this.path, 'latin1') : '';
  }

  /** Waits until the guest has said `pattern`; fails when `seconds` have passed or the machine has `exited` without. */
  async expect(pattern: RegExp, seconds: number, exited: Promise<unknown>): Promise<void> {
    const end = performance.now() + seconds * 1000;
    let over = false;
    void exited.then(() => {
      over = true;
    });
    while (!pattern.test(this.text)) {
      // What it said last is read once more after it has gone.
      const last = over;
      if (last || performance.now() > end)
        throw new Error(`no ${pattern} ${last ? 'before it ended' : `in ${seconds} s`}; the guest said:\n${this.text}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
