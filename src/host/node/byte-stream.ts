/** Sockets as streams of bytes that are asked for. */
import net from 'node:net';
import { Bug, UserError } from '../../base/errors.js';
import type { NbdAddress } from '../../block/nbd/address.js';
import type { ByteStream, Credentials } from '../../block/nbd/protocol.js';
import { BlockError } from '../../block/node.js';
import { hostReason } from './host-error.js';
import { TlsCredentials } from './tls-credentials.js';

/** More is left with the sender until somebody reads. */
const HIGH_WATER = 8 << 20;

export class SocketStream implements ByteStream {
  readonly #socket: net.Socket;
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  #wanted: { length: number; resolve: (bytes: Uint8Array) => void; reject: (error: BlockError) => void } | null = null;
  #ended: BlockError | null = null;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (data: Uint8Array) => {
      this.#chunks.push(data);
      this.#buffered += data.length;
      this.#serve();
      if (this.#buffered > HIGH_WATER && !this.#wanted) socket.pause();
    });
    socket.on('error', (error) => this.#end(hostReason(error)));
    socket.on('close', () => this.#end('the connection was closed'));
  }

  read(length: number): Promise<Uint8Array> {
    if (this.#buffered >= length) return Promise.resolve(this.#take(length));
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#wanted = { length, resolve, reject };
      this.#socket.resume();
    });
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#ended) return Promise.reject(this.#ended);
    if (this.#socket.write(bytes)) return Promise.resolve();
    return new Promise((resolve) => {
      // Either there is room, or nobody is left to send to.
      const go = (): void => {
        this.#socket.off('drain', go);
        this.#socket.off('close', go);
        resolve();
      };
      this.#socket.on('drain', go);
      this.#socket.on('close', go);
    });
  }

  async secure(credentials: Credentials, hostname = ''): Promise<ByteStream> {
    if (!(credentials instanceof TlsCredentials)) throw new Bug('credentials of another host');
    // What came in the clear must not pass for what was encrypted.
    if (this.#buffered > 0) throw new BlockError('EIO', 'the other side sent more before encryption began');
    const socket = this.#socket;
    socket.removeAllListeners('data');
    socket.pause();
    const secured = await (credentials.endpoint === 'client'
      ? credentials.client(socket, hostname)
      : credentials.server(socket));
    return new SocketStream(secured);
  }

  close(): void {
    this.#end('the connection was closed');
    this.#socket.end();
    this.#socket.destroySoon();
  }

  #serve(): void {
    const wanted = this.#wanted;
    if (!wanted || this.#buffered < wanted.length) return;
    this.#wanted = null;
    wanted.resolve(this.#take(wanted.length));
  }

  #take(length: number): Uint8Array {
    this.#buffered -= length;
    const first = this.#chunks[0];
    if (first && first.length >= length) {
      if (first.length === length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(length);
      return first.subarray(0, length);
    }
    const bytes = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const chunk = this.#chunks[0]!;
      const n = Math.min(chunk.length, length - at);
      bytes.set(chunk.subarray(0, n), at);
      at += n;
      if (n === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(n);
    }
    return bytes;
  }

  #end(reason: string): void {
    this.#ended ??= new BlockError('EIO', reason);
    this.#wanted?.reject(this.#ended);
    this.#wanted = null;
  }
}

/** Throws UserError. */
export function connectStream(address: NbdAddress): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    const { host, port, path } = address;
    const socket = path !== undefined ? net.connect(path) : net.connect(port!, host);
    const failed = (error: Error): void =>
      reject(new UserError(`Failed to connect to '${path ?? `${host}:${port}`}': ${hostReason(error)}`));
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      resolve(new SocketStream(socket));
    });
  });
}
