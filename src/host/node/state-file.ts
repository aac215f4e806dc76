/** Saved machines in files (state-streams.ts has the other places). */
import fs from 'node:fs';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { UserError } from '../../base/errors.js';
import type { StateSink, StateSource } from '../../machine/saved/layout.js';
import { hostReason } from './host-error.js';
import { bytesOf, viewsBehind } from './views.js';

const readvAsync = promisify(fs.readv);
const writevAsync = promisify(fs.writev);

/** Copying out of the page cache takes a processor each, and one has other things to do. */
const LANES = Math.min(4, Math.max(1, availableParallelism() - 1));

/** What is read of a file without another thread, to which the way is longer. */
const AT_ONCE = 512 << 10;

export interface OpenSink extends StateSink {
  /** All was written: resolves when the other side has it. Fails with UserError. */
  finish(): Promise<void>;
  /** Gives up: what was written is of no use. */
  abort(): void;
}

export interface OpenSource extends StateSource {
  close(): void;
}

export interface FilePlace {
  readonly path: string;
  readonly offset: number;
}

/** What `file:` names; undefined: it is no such place. */
export function filePlace(uri: string): FilePlace | undefined {
  if (!uri.startsWith('file:')) return undefined;
  const [, path = '', offset = '0'] = /^(.*?)(?:,offset=(\d+|0x[0-9a-f]+))?$/is.exec(uri.slice('file:'.length)) ?? [];
  return path === '' ? undefined : { path, offset: Number(offset) };
}

/** A saved machine in a file that is written anew. */
export class FileSink implements OpenSink {
  readonly anywhere: boolean;
  readonly #fd: number;
  #end: number;
  #closed = false;

  constructor(
    private readonly path: string,
    private readonly offset: number,
  ) {
    this.#end = offset;
    try {
      this.#fd = fs.openSync(
        path,
        fs.constants.O_WRONLY | fs.constants.O_CREAT | (offset === 0 ? fs.constants.O_TRUNC : 0),
        0o600,
      );
      this.anywhere = fs.fstatSync(this.#fd).isFile();
    } catch (error) {
      throw new UserError(`failed to open '${path}': ${hostReason(error)}`);
    }
  }

  async write(position: number, views: readonly Uint8Array[]): Promise<void> {
    let at = this.offset + position;
    try {
      for (let left = views; left.length > 0; ) {
        const { bytesWritten } = await writevAsync(this.#fd, left, this.anywhere ? at : undefined);
        at += bytesWritten;
        left = viewsBehind(left, bytesWritten);
      }
    } catch (error) {
      throw new UserError(`writing '${this.path}' failed: ${hostReason(error)}`);
    }
    this.#end = Math.max(this.#end, at);
  }

  async finish(): Promise<void> {
    try {
      if (this.anywhere) fs.ftruncateSync(this.#fd, this.#end);
      this.#closed = true;
      fs.closeSync(this.#fd);
    } catch (error) {
      throw new UserError(`writing '${this.path}' failed: ${hostReason(error)}`);
    }
  }

  abort(): void {
    if (this.#closed) return;
    this.#closed = true;
    fs.closeSync(this.#fd);
  }
}

/** Throws UserError. */
export function openFile({ path, offset }: FilePlace): OpenSource {
  let fd: number;
  let length: number | undefined;
  try {
    fd = fs.openSync(path, 'r');
    const stat = fs.fstatSync(fd);
    if (stat.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
    if (stat.isFile()) length = Math.max(0, stat.size - offset);
  } catch (error) {
    throw new UserError(`failed to open '${path}': ${hostReason(error)}`);
  }
  let at = offset;
  let last: Promise<void> = Promise.resolve();
  const fill = async (views: readonly Uint8Array[], position: number | undefined): Promise<void> => {
    try {
      for (let left = views; left.length > 0; ) {
        const { bytesRead } = await readvAsync(fd, left, position);
        if (bytesRead === 0) throw new UserError(`the saved state is broken: '${path}' is cut off`);
        if (position !== undefined) position += bytesRead;
        left = viewsBehind(left, bytesRead);
      }
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`reading '${path}' failed: ${hostReason(error)}`);
    }
  };
  const readNow = (views: readonly Uint8Array[]): void => {
    let left = views;
    while (bytesOf(left) > 0) {
      let bytesRead: number;
      try {
        bytesRead = fs.readvSync(fd, left, at);
      } catch (error) {
        throw new UserError(`reading '${path}' failed: ${hostReason(error)}`);
      }
      if (bytesRead === 0) throw new UserError(`the saved state is broken: '${path}' is cut off`);
      at += bytesRead;
      left = viewsBehind(left, bytesRead);
    }
  };
  const read = async (views: readonly Uint8Array[]): Promise<void> => {
    if (length !== undefined) {
      if (bytesOf(views) <= AT_ONCE) return readNow(views);
      const position = at;
      at += bytesOf(views);
      return fill(views, position);
    }
    last = last.then(() => fill(views, undefined));
    last.catch(() => {});
    return last;
  };
  return {
    ...(length !== undefined && { length, lanes: LANES, readNow }),
    read,
    close: () => fs.closeSync(fd),
  };
}
