/** Makes the character backends that the user asked for. */
import { UserError } from '../../base/errors.js';
import type { CharBackend } from '../../char/backend.js';
import { Mux, type MuxCommands } from '../../char/mux.js';
import { NullBackend } from '../../char/null.js';
import { RingBuffer } from '../../char/ringbuf.js';
import { FileBackend } from '../../host/node/char-file.js';
import { SocketBackend } from '../../host/node/char-socket.js';
import { StdioBackend } from '../../host/node/stdio.js';
import { monotonicNs } from '../../host/node/time-source.js';
import { blamed } from '../options/parse.js';
import type { BackendSpec, ChardevRequest } from '../options/wishes.js';

/** Backends that a program hands in, by id, instead of those of the command line. */
export type GivenBackends = Readonly<Record<string, CharBackend>>;

export interface BackendHost extends MuxCommands {
  /** The character that begins commands of a multiplexer; 0: none does. */
  readonly escapeCode: number;
  /** A virtual console (`vc`). */
  virtualConsole(id: string): CharBackend;
  /** One line for the user. */
  note(text: string): void;
}

interface Defined {
  readonly id: string;
  readonly backend: CharBackend;
  readonly mux: Mux | undefined;
  used: boolean;
}

export class Backends {
  readonly #defined = new Map<string, Defined>();

  /** Throws UserError; what was opened before is closed then. */
  async open(requests: readonly ChardevRequest[], given: GivenBackends, host: BackendHost): Promise<void> {
    try {
      for (const [id, backend] of Object.entries(given)) this.#define(id, backend, false, host);
      for (const { id, spec, mux, origin } of requests) {
        if (this.#defined.has(id)) continue;
        try {
          if (spec.type === 'mux') this.#define(id, this.#below(spec.chardev), true, host);
          else this.#define(id, await this.#make(id, spec, host), mux, host);
        } catch (error) {
          throw blamed(origin, error);
        }
      }
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** The backend for one more frontend. '' gives one that takes everything. */
  take(id: string): CharBackend {
    if (id === '') return new NullBackend();
    const defined = this.#defined.get(id);
    if (!defined) throw new UserError(`chardev "${id}" not found: define it with -chardev`);
    if (defined.mux) return defined.mux.port();
    return this.#claim(defined);
  }

  #claim(defined: Defined): CharBackend {
    const { id } = defined;
    if (defined.used) throw new UserError(`chardev '${id}' is already in use: add mux=on to share it`);
    defined.used = true;
    return defined.backend;
  }

  /** For `info chardev`, sorted by id. */
  list(): { readonly id: string; readonly backend: CharBackend }[] {
    return [...this.#defined.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** What `-chardev mux` multiplexes. */
  #below(id: string): CharBackend {
    const defined = this.#defined.get(id);
    if (!defined) throw new UserError(`chardev "${id}" not found: define it with -chardev before`);
    if (defined.mux) throw new UserError(`chardev '${id}' is multiplexed already: use it as it is`);
    return this.#claim(defined);
  }

  dispose(): void {
    for (const { backend } of this.#defined.values()) backend.dispose?.();
    this.#defined.clear();
  }

  #define(id: string, backend: CharBackend, mux: boolean, host: BackendHost): void {
    this.#defined.set(id, {
      id,
      backend,
      mux: mux ? new Mux(backend, host, { now: monotonicNs }, host.escapeCode) : undefined,
      used: false,
    });
  }

  async #make(
    id: string,
    spec: Exclude<BackendSpec, { readonly type: 'mux' }>,
    host: BackendHost,
  ): Promise<CharBackend> {
    switch (spec.type) {
      case 'null':
        return new NullBackend();
      case 'vc':
        return host.virtualConsole(id);
      case 'ringbuf':
        return new RingBuffer(spec.size);
      case 'file':
        return new FileBackend(spec.path, spec.append, spec.inputPath);
      case 'stdio':
        if ([...this.#defined.values()].some((d) => d.backend.type === 'stdio')) {
          throw new UserError('cannot use stdio by multiple character devices: use mon:stdio or a chardev with mux=on');
        }
        return new StdioBackend(spec.signal);
      case 'socket': {
        const { address, server, wait, telnet, reconnect } = spec;
        return SocketBackend.open({ address, server, telnet, reconnect }, wait, (where) =>
          host.note(`info: waiting for connection on: ${where}`),
        );
      }
      case 'pty': {
        const { openPty } = await import('../../host/node/char-pty.js');
        const pty = await openPty(spec.link);
        host.note(`char device redirected to ${pty.filename.slice('pty:'.length)} (label ${id})`);
        return pty;
      }
    }
  }
}
