/** A saved machine in a file, whose RAM is read while the machine that it is for is being put together. */
import type { LinearMemory } from '../../accel/tcg/linear-memory.js';
import type { Runtime } from '../../accel/tcg/runtime.js';
import { Bug, UserError } from '../../base/errors.js';
import type { OpenSource } from '../../host/node/state-file.js';
import { openStateSource, type PendingSource } from '../../host/node/state-streams.js';
import { checksums, type Description, type Filled, fillBlock, fillPages } from '../../machine/saved/layout.js';
import type { MadeBlock } from '../../memory/memory.js';
import type { EarlyState } from './early-state.js';
import { ramBlock, receiveDescription } from './state-transfer.js';

/** What the command has begun to read before anything else (bin/command.js). */
let early: EarlyState | undefined;

export function giveEarlyState(state: EarlyState): void {
  early = state;
}

export class StateAhead {
  readonly description: Promise<Description>;
  /** The machine's first blocks of memory. */
  readonly filled: Filled[] = [];
  #known: Description | undefined;
  #source: OpenSource | undefined;
  #taken = false;
  /** In which the first block is being filled already. */
  #memory: LinearMemory | undefined;
  /** The first block, which is being filled before it is made. */
  #first: { readonly host: number; readonly filled: Promise<void> } | undefined;

  /**
   * What `-incoming` says, if it is a file that can be opened; what is wrong with others is told when the machine waits for it.
   * `processors`: of the machine, if its memory can be what was filled early.
   */
  static of(uri: string | undefined, processors: number | undefined): StateAhead | undefined {
    const begun = early;
    early = undefined;
    if (begun && begun.uri === uri && begun.memory.vcpus.length === processors) return StateAhead.#begun(begun);
    if (begun) void begun.filled.catch(() => {}).finally(() => begun.source.close());
    if (uri === undefined || !uri.startsWith('file:')) return undefined;
    try {
      const pending = openStateSource(uri);
      const described = pending.opened.then(async (source) => ({
        source,
        description: await receiveDescription(source),
      }));
      return new StateAhead(uri, pending, described);
    } catch (error) {
      if (error instanceof UserError) return undefined;
      throw error;
    }
  }

  static #begun({ uri, source, description, memory, host, filled }: EarlyState): StateAhead {
    const own = withOwnErrors(source);
    const pending = { opened: Promise.resolve(own), abort() {} };
    const state = new StateAhead(uri, pending, Promise.resolve({ source: own, description }));
    state.#memory = memory;
    state.#first = { host, filled: filled.catch(rethrown) };
    state.#first.filled.catch(() => {});
    return state;
  }

  private constructor(
    readonly uri: string,
    readonly pending: PendingSource,
    described: Promise<{ readonly source: OpenSource; readonly description: Description }>,
  ) {
    this.description = described.then(({ source, description }) => {
      this.#source = source;
      this.#known = description;
      return description;
    });
    this.description.catch(() => {});
  }

  /**
   * Begins to fill the first block where it will be, in what `make` gives or in what is being filled already; gives that. What is
   * wrong with the state is told when the machine waits for it.
   */
  async begin(make: () => LinearMemory): Promise<LinearMemory> {
    if (this.#memory) {
      await this.description;
      return this.#memory;
    }
    const memory = make();
    await this.#beginIn(memory);
    return memory;
  }

  async #beginIn(memory: LinearMemory): Promise<void> {
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

/** Errors of another bundle's classes are none of ours. */
function rethrown(error: unknown): never {
  if (error instanceof Error && error.name === 'UserError') throw new UserError(error.message);
  throw error;
}

const withOwnErrors = (source: OpenSource): OpenSource => ({
  ...source,
  read: (views) => source.read(views).catch(rethrown),
});
