/** Listens for NBD clients and serves each of them. */
import fs from 'node:fs';
import net from 'node:net';
import { UserError } from '../../base/errors.js';
import type { Credentials } from '../../block/nbd/protocol.js';
import { type Export, serve } from '../../block/nbd/server.js';
import { SocketStream } from './byte-stream.js';
import { hostReason } from './host-error.js';

export type NbdAddress = { readonly path: string } | { readonly host: string; readonly port: number };

export interface NbdListenerOptions {
  /** Clients at a time; 0: any number. */
  readonly most?: number;
  /** A client has gone, and nobody else is there. */
  idle?(): void;
  /** Connections must be encrypted. */
  readonly tls?: Credentials;
}

export class NbdListener {
  readonly #clients = new Map<net.Socket, Export | null>();
  readonly #sessions = new Set<Promise<void>>();
  readonly #server: net.Server;

  private constructor(
    private readonly address: NbdAddress,
    /** What there is now: may change. */
    private readonly exports: readonly Export[],
    private readonly options: NbdListenerOptions,
  ) {
    this.#server = net.createServer((socket) => this.#serve(socket));
  }

  /** Fails with UserError. */
  static async open(
    address: NbdAddress,
    exports: readonly Export[],
    options: NbdListenerOptions = {},
  ): Promise<NbdListener> {
    const listener = new NbdListener(address, exports, options);
    const server = listener.#server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(new UserError(`Failed to listen: ${hostReason(error)}`)));
      server.listen(address, resolve);
    });
    return listener;
  }

  /** Whether a client uses the export. */
  isUsed(one: Export): boolean {
    return [...this.#clients.values()].includes(one);
  }

  /** Sends away those who use the export. */
  drop(one: Export): void {
    for (const [socket, used] of this.#clients) if (used === one) socket.destroy();
  }

  /** Nobody is listened to any more, and clients are sent away; settles when what was under way is done. */
  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#clients.keys()) socket.destroy();
    await Promise.allSettled(this.#sessions);
    if ('path' in this.address) fs.rmSync(this.address.path, { force: true });
  }

  #serve(socket: net.Socket): void {
    const { most = 0 } = this.options;
    if (most !== 0 && this.#clients.size >= most) {
      socket.destroy();
      return;
    }
    this.#clients.set(socket, null);
    const chosen = (one: Export): void => void this.#clients.set(socket, one);
    const session: Promise<void> = serve(new SocketStream(socket), this.exports, chosen, this.options.tls).finally(
      () => {
        this.#clients.delete(socket);
        this.#sessions.delete(session);
        if (this.#clients.size === 0) this.options.idle?.();
      },
    );
    this.#sessions.add(session);
  }
}
