/** A TCP or Unix socket as a character backend: a client, or a server that takes one connection at a time. */
import fs from 'node:fs';
import net from 'node:net';
import { dirname } from 'node:path';
import { UserError } from '../../base/errors.js';
import type { CharBackend, CharFrontend } from '../../char/backend.js';
import { InputQueue } from '../../char/input-queue.js';
import { hostReason } from './host-error.js';

export interface SocketOptions {
  readonly address: { readonly path: string } | { readonly host: string; readonly port: number };
  readonly server: boolean;
  readonly telnet: boolean;
  /** Seconds until a client tries again; 0: it does not. */
  readonly reconnect: number;
}

/** Of struct sockaddr_un on Linux, with the final zero. Node.js cuts what is longer. */
const SOCKET_PATH_BYTES = 108;

/** Telnet (RFC 854, 857, 858, 1184): IAC and the commands that are answered by silence. */
const IAC = 255;
const SB = 250;
const SE = 240;
const TELNET_HELLO = Uint8Array.from([IAC, 251, 1, IAC, 251, 3, IAC, 251, 0, IAC, 253, 0]);

export class SocketBackend implements CharBackend {
  readonly type = 'socket';
  readonly #options: SocketOptions;
  readonly #input = new InputQueue();
  #frontend: CharFrontend | null = null;
  #server: net.Server | undefined;
  #socket: net.Socket | undefined;
  #firstConnection: (() => void) | undefined;
  #retry: NodeJS.Timeout | undefined;
  #port: number | undefined;
  #disposed = false;
  /** Bytes of a telnet command still to come; -1: until IAC SE. */
  #command = 0;

  private constructor(options: SocketOptions) {
    this.#options = options;
  }

  /** `wait`: not before someone has connected. Throws UserError when the address cannot be had. */
  static async open(options: SocketOptions, wait: boolean, waiting: (where: string) => void): Promise<SocketBackend> {
    const backend = new SocketBackend(options);
    try {
      const { address } = options;
      if ('path' in address && Buffer.byteLength(address.path) >= SOCKET_PATH_BYTES) {
        throw new UserError(`the path of a Unix socket must be shorter than ${SOCKET_PATH_BYTES} bytes`);
      }
      if (options.server) await backend.#listen();
      else await backend.#connect();
    } catch (error) {
      backend.dispose();
      const doing = options.server ? 'Failed to listen on' : 'Failed to connect to';
      const reason = error instanceof UserError ? error.message : hostReason(error);
      throw new UserError(`${doing} '${backend.#where()}': ${reason}`);
    }
    if (options.server && wait) {
      waiting(backend.filename);
      await new Promise<void>((resolve) => {
        backend.#firstConnection = resolve;
        if (backend.#socket) resolve();
      });
    }
    return backend;
  }

  get filename(): string {
    const { address, server, telnet } = this.#options;
    const kind = 'path' in address ? 'unix' : telnet ? 'telnet' : 'tcp';
    return `${this.#socket ? '' : 'disconnected:'}${kind}:${this.#where()}${server ? ',server=on' : ''}`;
  }

  attach(frontend: CharFrontend | null): void {
    this.#frontend = frontend;
    if (this.#socket) frontend?.event?.('opened');
    this.acceptInput();
  }

  write(data: Uint8Array): number {
    const socket = this.#socket;
    // Nobody there: what is said is lost, as on an unplugged line.
    if (!socket) return data.length;
    if (socket.writableNeedDrain) return 0;
    socket.write(this.#options.telnet ? escapeTelnet(data) : data.slice());
    return data.length;
  }

  acceptInput(): void {
    this.#input.drain(this.#frontend);
    if (!this.#input.full && this.#socket?.isPaused()) this.#socket.resume();
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    clearTimeout(this.#retry);
    this.#socket?.destroy();
    this.#server?.close();
    const { address, server } = this.#options;
    // Only ours: a failed listen leaves whoever has the address alone.
    if (server && this.#server?.listening !== undefined && this.#listening && 'path' in address) {
      fs.rmSync(address.path, { force: true });
    }
  }

  #listening = false;

  #where(): string {
    const { address } = this.#options;
    return 'path' in address ? address.path : `${address.host || '0.0.0.0'}:${this.#port ?? address.port}`;
  }

  #listen(): Promise<void> {
    const { address } = this.#options;
    const server = net.createServer((socket) => {
      if (this.#socket) socket.destroy();
      else this.#opened(socket);
    });
    this.#server = server;
    if ('path' in address) {
      // Node.js says EACCES for a folder that is not there.
      fs.statSync(dirname(address.path));
      removeStaleSocket(address.path);
    }
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(
        'path' in address ? { path: address.path } : { host: address.host || '0.0.0.0', port: address.port },
        () => {
          this.#listening = true;
          const bound = server.address();
          if (bound && typeof bound === 'object') this.#port = bound.port;
          server.off('error', reject);
          server.on('error', () => {});
          resolve();
        },
      );
    });
  }

  #connect(): Promise<void> {
    const { address } = this.#options;
    const socket = net.connect(
      'path' in address ? { path: address.path } : { host: address.host || 'localhost', port: address.port },
    );
    return new Promise((resolve, reject) => {
      socket.once('connect', () => {
        socket.off('error', reject);
        this.#opened(socket);
        resolve();
      });
      socket.once('error', reject);
    });
  }

  #opened(socket: net.Socket): void {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (data) => {
      this.#input.push(this.#options.telnet ? this.#stripTelnet(data) : data);
      this.#input.drain(this.#frontend);
      if (this.#input.full) socket.pause();
    });
    socket.on('drain', () => this.#frontend?.writable?.());
    socket.on('error', () => {});
    socket.on('close', () => this.#closed());
    if (this.#options.telnet && this.#options.server) socket.write(TELNET_HELLO);
    this.#frontend?.event?.('opened');
    this.#firstConnection?.();
  }

  #closed(): void {
    this.#socket = undefined;
    if (this.#disposed) return;
    this.#frontend?.event?.('closed');
    // A writer that was told to wait must not wait for a peer that is gone.
    this.#frontend?.writable?.();
    if (!this.#options.server && this.#options.reconnect > 0) this.#retryLater();
  }

  #retryLater(): void {
    this.#retry = setTimeout(() => {
      this.#connect().catch(() => this.#retryLater());
    }, this.#options.reconnect * 1000);
  }

  #stripTelnet(data: Uint8Array): Uint8Array {
    const plain: number[] = [];
    for (const byte of data) {
      if (this.#command === 0) {
        if (byte === IAC) this.#command = 1;
        else plain.push(byte);
      } else if (this.#command === 1) {
        if (byte === IAC) plain.push(byte);
        // WILL, WONT, DO and DONT have an option; SB goes on until SE; all others are complete.
        this.#command = byte === SB ? -1 : byte > SB && byte < IAC ? 2 : 0;
        if (byte === 243) this.#frontend?.event?.('break');
      } else if (this.#command === 2) this.#command = 0;
      else if (byte === SE) this.#command = 0;
    }
    return Uint8Array.from(plain);
  }
}

function escapeTelnet(data: Uint8Array): Uint8Array {
  const out: number[] = [];
  for (const byte of data) out.push(...(byte === IAC ? [IAC, IAC] : [byte]));
  return Uint8Array.from(out);
}

/** A socket file that a process left behind. */
function removeStaleSocket(path: string): void {
  if (fs.lstatSync(path, { throwIfNoEntry: false })?.isSocket()) fs.rmSync(path, { force: true });
}
