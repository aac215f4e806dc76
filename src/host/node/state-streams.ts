/** Where saved machines go and come from: files, commands, sockets. Names are those of QEMU's `migrate` and `-incoming`. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { UserError } from '../../base/errors.js';
import { SocketStream } from './byte-stream.js';
import { hostReason } from './host-error.js';
import { type FilePlace, FileSink, filePlace, type OpenSink, type OpenSource, openFile } from './state-file.js';

/** A source that is perhaps not there yet: a socket waits for someone to connect. */
export interface PendingSource {
  readonly opened: Promise<OpenSource>;
  /** Stops waiting; `opened` fails then. */
  abort(): void;
}

type Place =
  | ({ readonly kind: 'file' } & FilePlace)
  | { readonly kind: 'exec'; readonly command: string }
  | { readonly kind: 'socket'; readonly address: net.TcpSocketConnectOpts | net.IpcSocketConnectOpts };

/** Throws UserError in QEMU's words. */
function parsePlace(uri: string): Place {
  const [, kind = '', rest = ''] = /^(\w+):(.*)$/s.exec(uri) ?? [];
  if (kind === 'exec' && rest !== '') return { kind, command: rest };
  if (kind === 'unix' && rest !== '') return { kind: 'socket', address: { path: rest } };
  const file = filePlace(uri);
  if (file) return { kind: 'file', ...file };
  if (kind === 'tcp') {
    const [, bracketed, plain = '', port] = /^(?:\[(.*)\]|([^:]*)):(\d+)$/.exec(rest) ?? [];
    if (port === undefined || Number(port) > 65535) throw new UserError(`error parsing address '${rest}'`);
    return { kind: 'socket', address: { host: bracketed ?? plain, port: Number(port) } };
  }
  if (kind === 'fd' || kind === 'rdma')
    throw new UserError(`Tinamou does not have '${kind}:' here: use file:, exec:, tcp: or unix:`);
  throw new UserError(`Parameter 'uri' expects a valid migration protocol: file:, exec:, tcp: or unix:`);
}

const named = (address: net.TcpSocketConnectOpts | net.IpcSocketConnectOpts): string =>
  'path' in address ? address.path : `${address.host || '0.0.0.0'}:${address.port}`;

/** Fails with UserError. */
export async function openStateSink(uri: string): Promise<OpenSink> {
  const place = parsePlace(uri);
  if (place.kind === 'file') return new FileSink(place.path, place.offset);
  if (place.kind === 'exec') return new CommandSink(place.command);
  return connectSink(place.address);
}

/** Throws UserError for what cannot be a source; `opened` fails with one when it is none after all. */
export function openStateSource(uri: string): PendingSource {
  const place = parsePlace(uri);
  if (place.kind === 'file') {
    return { opened: Promise.resolve(openFile(place)), abort() {} };
  }
  if (place.kind === 'exec') return { opened: Promise.resolve(commandSource(place.command)), abort() {} };
  return listen(place.address);
}

/** Sends over a pipe or a socket. */
class PipeSink {
  #failure: UserError | undefined;

  constructor(
    private readonly stream: net.Socket,
    private readonly what: string,
  ) {
    stream.on('error', (error) => {
      this.#failure ??= new UserError(`sending to ${what} failed: ${hostReason(error)}`);
    });
  }

  async write(_position: number, views: readonly Uint8Array[]): Promise<void> {
    for (const view of views) {
      if (this.#failure) throw this.#failure;
      // The stream may keep the bytes longer than the caller does.
      await this.#sent(Buffer.from(view));
    }
  }

  /** Settles when all before has left. */
  async end(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.stream.once('close', resolve);
      this.stream.end(resolve);
    });
    if (this.#failure) throw this.#failure;
  }

  #sent(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (): void => reject(this.#failure ?? new UserError(`sending to ${this.what} failed: it has gone`));
      this.stream.once('close', fail);
      this.stream.write(bytes, (error) => {
        this.stream.off('close', fail);
        if (error) fail();
        else resolve();
      });
    });
  }
}

class CommandSink implements OpenSink {
  readonly anywhere = false;
  readonly #child;
  readonly #pipe: PipeSink;
  readonly #ended: Promise<string | null>;

  constructor(private readonly command: string) {
    this.#child = spawn('/bin/sh', ['-c', command], { stdio: ['pipe', 'inherit', 'inherit'] });
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(hostReason(error)));
      this.#child.once('close', (status, signal) =>
        resolve(status === 0 ? null : `it ended with ${signal ?? `status ${status}`}`),
      );
    });
    this.#pipe = new PipeSink(this.#child.stdin as unknown as net.Socket, `'${command}'`);
  }

  write(position: number, views: readonly Uint8Array[]): Promise<void> {
    return this.#pipe.write(position, views);
  }

  async finish(): Promise<void> {
    // Its status tells more than a broken pipe does.
    const broken = await this.#pipe.end().then(
      () => undefined,
      (error: unknown) => error,
    );
    const failure = await this.#ended;
    if (failure !== null) throw new UserError(`the command '${this.command}' failed: ${failure}`);
    if (broken !== undefined) throw broken;
  }

  abort(): void {
    this.#child.kill();
  }
}

function commandSource(command: string): OpenSource {
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
  child.on('error', () => {});
  return streamSource(child.stdout as unknown as net.Socket, `'${command}'`, () => child.kill());
}

async function connectSink(address: net.TcpSocketConnectOpts | net.IpcSocketConnectOpts): Promise<OpenSink> {
  const socket = net.connect(address);
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) =>
      reject(new UserError(`Failed to connect to '${named(address)}': ${hostReason(error)}`)),
    );
    socket.once('connect', resolve);
  });
  const pipe = new PipeSink(socket, `'${named(address)}'`);
  return {
    anywhere: false,
    write: (position, views) => pipe.write(position, views),
    finish: () => pipe.end(),
    abort: () => socket.destroy(),
  };
}

function streamSource(socket: net.Socket, what: string, close: () => void): OpenSource {
  const stream = new SocketStream(socket);
  let last: Promise<void> = Promise.resolve();
  const fill = async (views: readonly Uint8Array[]): Promise<void> => {
    for (const view of views) {
      if (view.length === 0) continue;
      const bytes = await stream.read(view.length).catch(() => {
        throw new UserError(`the saved state is broken: it is cut off: ${what} ended too early`);
      });
      view.set(bytes);
    }
  };
  return {
    read(views) {
      last = last.then(() => fill(views));
      last.catch(() => {});
      return last;
    },
    close() {
      stream.close();
      close();
    },
  };
}

function listen(address: net.TcpSocketConnectOpts | net.IpcSocketConnectOpts): PendingSource {
  const server = net.createServer();
  const remove = (): void => {
    server.close();
    if ('path' in address) fs.rmSync(address.path, { force: true });
  };
  let abort: () => void = remove;
  const opened = new Promise<OpenSource>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new UserError(`Failed to listen on '${named(address)}': ${hostReason(error)}`)),
    );
    server.once('connection', (socket) => {
      remove();
      resolve(streamSource(socket, 'the connection', () => {}));
    });
    abort = () => {
      remove();
      reject(new UserError('nobody waits for a saved machine any more'));
    };
    if ('path' in address && fs.lstatSync(address.path, { throwIfNoEntry: false })?.isSocket()) fs.rmSync(address.path);
    server.listen(
      'path' in address ? { path: address.path } : { port: address.port, ...(address.host && { host: address.host }) },
    );
  });
  return { opened, abort: () => abort() };
}
