/** Output into a file, and input from another. */
import fs from 'node:fs';
import { UserError } from '../../base/errors.js';
import type { CharBackend, CharFrontend } from '../../char/backend.js';
import { InputQueue } from '../../char/input-queue.js';
import { hostReason } from './host-error.js';

export class FileBackend implements CharBackend {
  readonly type = 'file';
  readonly filename = 'file';
  readonly #input = new InputQueue();
  #fd: number;
  #frontend: CharFrontend | null = null;

  constructor(path: string, append: boolean, inputPath?: string) {
    try {
      this.#fd = fs.openSync(path, append ? 'a' : 'w');
    } catch (error) {
      throw new UserError(`Could not open '${path}': ${hostReason(error)}`);
    }
    if (inputPath === undefined) return;
    try {
      this.#input.push(fs.readFileSync(inputPath));
    } catch (error) {
      this.dispose();
      throw new UserError(`Could not open '${inputPath}': ${hostReason(error)}`);
    }
  }

  attach(frontend: CharFrontend | null): void {
    this.#frontend = frontend;
    frontend?.event?.('opened');
    this.acceptInput();
  }

  write(data: Uint8Array): number {
    try {
      for (let at = 0; at < data.length; ) at += fs.writeSync(this.#fd, data, at);
    } catch {
      // A full disk costs the text, not the machine.
    }
    return data.length;
  }

  acceptInput(): void {
    this.#input.drain(this.#frontend);
  }

  dispose(): void {
    if (this.#fd >= 0) fs.closeSync(this.#fd);
    this.#fd = -1;
  }
}
