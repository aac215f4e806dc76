/** A saved machine in a file, whose RAM is read while the machine that it is for is being put together. */
import type { Runtime } from '../../accel/tcg/runtime.js';
import { UserError } from '../../base/errors.js';
import { type OpenSource, openStateSource, type PendingSource } from '../../host/node/state-streams.js';
import { type Description, type Filled, fillBlock } from '../../machine/saved/layout.js';
import type { MadeBlock } from '../../memory/memory.js';
import { ramBlock, receiveDescription } from './state-transfer.js';

export class StateAhead {
  readonly description: Promise<Description>;
  /** The machine's first blocks of memory. */
  readonly filled: Filled[] = [];
  #known: Description | undefined;
  #source: OpenSource | undefined;
  #taken = false;

  /** What `-incoming` says, if it is a file that can be opened; what is wrong with others is told when the machine waits for it. */
  static of(uri: string | undefined): StateAhead | undefined {
    if (uri === undefined || !uri.startsWith('file:')) return undefined;
    try {
      return new StateAhead(uri, openStateSource(uri));
    } catch (error) {
      if (error instanceof UserError) return undefined;
      throw error;
    }
  }

  private constructor(
    readonly uri: string,
    readonly pending: PendingSource,
  ) {
    this.description = pending.opened.then(async (source) => {
      this.#source = source;
      this.#known = await receiveDescription(source);
      return this.#known;
    });
    this.description.catch(() => {});
  }

  /** The block is made: begins to fill it, where it is the next of the saved ones and nobody else fills it. */
  ramMade(block: MadeBlock, runtime: Runtime): void {
    // Without a length, what comes next may not come before someone is told that we wait.
    if (!this.#known || this.#source?.length === undefined) return;
    const map = this.#known.ram[this.filled.length];
    if (block.filled || map?.name !== block.name || map.bytes !== block.bytes.length) {
      this.#known = undefined;
      return;
    }
    const filled = fillBlock(this.#source, map, ramBlock(block, runtime));
    filled.catch(() => {});
    this.filled.push(filled);
  }

  /** From now on it is the caller's to close the source, once `settled`. */
  take(uri: string): this | undefined {
    if (this.#taken || uri !== this.uri) return undefined;
    this.#taken = true;
    return this;
  }

  /** Nothing reads any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.filled);
  }

  dispose(): void {
    if (this.#taken) return;
    this.#taken = true;
    void this.settled().then(() => this.#source?.close());
  }
}
