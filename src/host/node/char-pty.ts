/** A pseudo-terminal as a character backend. Node.js opens none by itself: the optional package koffi calls the C library. */
import fs from 'node:fs';
import tty from 'node:tty';
import { UserError } from '../../base/errors.js';
import type { CharBackend, CharFrontend } from '../../char/backend.js';
import { InputQueue } from '../../char/input-queue.js';
import { hostReason } from './host-error.js';
import { loadKoffi } from './koffi.js';

/** open(2): read and write, not as controlling terminal. */
const O_RDWR_NOCTTY = fs.constants.O_RDWR | fs.constants.O_NOCTTY;

/** `link`: where to put a symbolic link to the terminal. */
export async function openPty(link?: string): Promise<CharBackend> {
  const libc = loadKoffi()?.load(null);
  if (!libc) {
    throw new UserError(
      'a pty needs the optional package koffi: run npm install without --omit=optional, or use a unix socket',
    );
  }
  const fd = Number(libc.func('int posix_openpt(int)')(O_RDWR_NOCTTY));
  if (fd < 0) throw new UserError('cannot open a pseudo-terminal: all are in use, or /dev/pts is not mounted');
  libc.func('int grantpt(int)')(fd);
  libc.func('int unlockpt(int)')(fd);
  const path = String(libc.func('const char *ptsname(int)')(fd));
  // Holding the terminal's own end open keeps reads from failing while nobody else has it open.
  const held = fs.openSync(path, O_RDWR_NOCTTY);
  const own = new tty.ReadStream(held);
  own.setRawMode(true);
  own.pause();
  if (link !== undefined) {
    try {
      fs.symlinkSync(path, link);
    } catch (error) {
      throw new UserError(`Failed to create PTY symlink '${link}': ${hostReason(error)}`);
    }
  }
  return new PtyBackend(fd, path, own, link);
}

class PtyBackend implements CharBackend {
  readonly type = 'pty';
  readonly filename: string;
  readonly #master: tty.ReadStream;
  readonly #input = new InputQueue();
  #frontend: CharFrontend | null = null;
  #disposed = false;

  constructor(
    private readonly fd: number,
    path: string,
    private readonly own: tty.ReadStream,
    private readonly link: string | undefined,
  ) {
    this.filename = `pty:${path}`;
    this.#master = new tty.ReadStream(fd);
    this.#master.on('data', (data) => {
      this.#input.push(data);
      this.#input.drain(this.#frontend);
      if (this.#input.full) this.#master.pause();
    });
    this.#master.on('error', () => {});
  }

  attach(frontend: CharFrontend | null): void {
    this.#frontend = frontend;
    frontend?.event?.('opened');
    this.acceptInput();
  }

  write(data: Uint8Array): number {
    try {
      fs.writeSync(this.fd, data);
    } catch {
      // Nobody reads and the terminal's buffer is full: lost, as on an unplugged line.
    }
    return data.length;
  }

  acceptInput(): void {
    this.#input.drain(this.#frontend);
    if (!this.#input.full && !this.#disposed && this.#master.isPaused()) this.#master.resume();
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.link !== undefined) fs.rmSync(this.link, { force: true });
    this.#master.destroy();
    this.own.destroy();
  }
}
