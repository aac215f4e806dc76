/** A saved machine in a file, whose RAM is read while the machine that it is for is being put together. */
import type { LinearMemory } from '../../accel/tcg/linear-memory.js';
import type { Runtime } from '../../accel/tcg/runtime.js';
import { Bug, UserError } from '../../base/errors.js';
import { type OpenSource, openStateSource, type PendingSource } from '../../host/node/state-streams.js';
import { checksums, type Description, type Filled, fillBlock, fillPages } from '../../machine/saved/layout.js';
import type { MadeBlock } from '../../memory/memory.js';
import { ramBlock, receiveDescription } from './state-transfer.js';

export class StateAhead {
  readonly description: Promise<Description>;
  /** The machine's first blocks of memory. */
  readonly filled: Filled[] = [];
  #known: Description | undefined;
  #source: OpenSource | undefined;
  #taken = false;
  /** The first block, which is being filled before it is made. */
  #first: { readonly host: number; readonly filled: Promise<void> } | undefined;

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

  /** Begins to fill the first block where it will be. What is wrong with the state is told when the machine waits for it. */
  async begin(memory: LinearMemory): Promise<void> {
    const source = await this.pending.opened;
    // Without a length, what comes next may not come before someone is told that we wait.
    if (source.length === undefined) return;
    const map = (await this.description.catch(() => undefined))?.ram[0];
    if (!map) return;
    let host: number;
    try {
      host = memory.ahead(map.bytes);
    } catch (error) {
      if (error instanceof UserError) return;
      throw error;
    }
    const filled = fillPages(source, map, { bytes: new Uint8Array(memory.memory.buffer, host, map.bytes) });
    filled.catch(() => {});
    this.#first = { host, filled };
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
    const own = ramBlock(block, runtime);
    const first = this.filled.length === 0 ? this.#first : undefined;
    if (first && first.host !== block.host) throw new Bug(`${block.name} is not where its state is`);
    const filled = first ? first.filled.then(() => checksums(own, map)) : fillBlock(this.#source, map, own);
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
    await Promise.allSettled([this.#first?.filled, ...this.filled]);
  }

  dispose(): void {
    if (this.#taken) return;
    this.#taken = true;
    void this.settled().then(() => this.#source?.close());
  }
}
