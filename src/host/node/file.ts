/** Files and block devices of the host as block nodes. */
import fs from 'node:fs';
import { constants } from 'node:os';
import { promisify } from 'node:util';
import { UserError } from '../../base/errors.js';
import {
  BaseNode,
  type BlockErrno,
  BlockError,
  type BlockStatus,
  type Completion,
  type Preallocation,
  ZEROES,
} from '../../block/node.js';
import { fileCalls } from './file-calls.js';
import { type LongCalls, POOL_CALLS } from './file-pool.js';
import { hostReason } from './host-error.js';
import { StallGuard } from './stall-guard.js';
import { viewsBehind } from './views.js';
import { readVmstat, WritePressure } from './write-pressure.js';

const writevAsync = promisify(fs.writev);

const SECTOR = 512;
/** st_blocks counts these. */
const STAT_BLOCK = 512;

/** What QEMU calls permissions, by bit: a byte at 100 + bit is locked by who has one, at 200 + bit by who does not share it. */
const PERMISSIONS = ['consistent read', 'write', 'write unchanged', 'resize'] as const;
const CONSISTENT_READ = 0;
const WRITE = 1;
const RESIZE = 3;
const HAVE = 100;
const UNSHARED = 200;

export interface FileOptions {
  readonly readOnly?: boolean;
  /**
   * `exclusive` (default) keeps other processes, QEMU's too, from writing while we have the file open; `share` lets them;
   * `off` does not ask. Locks are advisory, and taken where the host has them (Linux with koffi).
   */
  readonly lock?: 'exclusive' | 'share' | 'off';
  /** Flushing does nothing (cache=unsafe). */
  readonly noFlush?: boolean;
  /** What may take long is done by these, beside the caller, so that a slow disk does not hold up a machine. */
  readonly threads?: LongCalls;
  /** Writes go through to the disk (cache=writethrough and directsync). */
  readonly synchronous?: boolean;
}

/** Of the host's page cache. */
const PAGE = 4096;
/** For a look at what is in it. */
const EDGE = new Uint8Array(1);
const PRESSURE = new WritePressure(readVmstat());

/** Flushes of any file that are under way: while the host commits its journal, who writes to another file waits too. */
let flushing = 0;

/**
 * The longest reads and writes that are done at once: copying costs less than the trip through other threads and the event loop, and a guest
 * that asks for 256 KiB at a time gets them twice as fast. Longer reads may take most of the millisecond that a machine's thread can
 * spare; longer writes were seen to sleep for one now and then while the host wrote pages back.
 */
const MOST_READ = 1 << 20;
const MOST_WRITTEN = 256 << 10;

/**
 * Reads and writes of no great length complete at once: they mostly hit the page cache, and a trip through the event loop costs
 * more. With `threads`, reads of what is not in the page cache run beside the caller, like flushing and discarding, and writes that
 * the host would make wait: with too much unwritten, of a part of a page that it would have to read, during a flush or another change of the file. What nobody can tell is
 * done beside the caller for a while after one took long.
 */
export class FileNode extends BaseNode {
  readonly driver: string;
  readonly readOnly: boolean;
  readonly #noFlush: boolean;
  readonly #threads: boolean;
  readonly #calls: LongCalls;
  readonly #synchronous: boolean;
  /** Reads, writes and flushes in other threads: until they end, the file stays open. */
  #underWay = 0;
  /** Of those, changes of the file: whoever of them has its lock on the host keeps a write waiting, also when it has no processor. */
  #changes = 0;
  /** Holes and zeroes that are being made: on Linux a look at the file's page cache waits for them, though told not to wait. */
  #holes = 0;
  readonly #guard = new StallGuard();
  /** The host tells what is in its page cache; until it turns out that it does not. */
  #tellsCached: boolean;
  #closing = false;
  #length: number;
  #fd: number;

  constructor(
    readonly filename: string,
    options: FileOptions = {},
  ) {
    super();
    this.readOnly = options.readOnly ?? false;
    this.#noFlush = options.noFlush ?? false;
    this.#threads = options.threads !== undefined;
    this.#calls = options.threads ?? POOL_CALLS;
    this.#synchronous = options.synchronous ?? false;
    this.#tellsCached = this.#threads && fileCalls() !== null;
    let fd = -1;
    try {
      const access = this.readOnly ? fs.constants.O_RDONLY : fs.constants.O_RDWR;
      fd = fs.openSync(filename, access | (options.synchronous ? fs.constants.O_DSYNC : 0));
      const stat = fs.fstatSync(fd);
      if (stat.isDirectory()) throw new UserError(`'file' driver requires '${filename}' to be a regular file`);
      this.driver = stat.isBlockDevice() ? 'host_device' : 'file';
      this.#length = stat.isBlockDevice() ? blockDeviceBytes(stat.rdev) : stat.size;
      this.#fd = fd;
      this.#lock(options.lock ?? 'exclusive');
    } catch (error) {
      if (fd >= 0) fs.closeSync(fd);
      if (error instanceof UserError) throw error;
      throw new UserError(`Could not open '${filename}': ${hostReason(error)}`);
    }
  }

  /** Makes an empty file, or empties one. Throws UserError, also when somebody uses it. */
  static create(filename: string): FileNode {
    try {
      fs.closeSync(fs.openSync(filename, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644));
    } catch (error) {
      throw new UserError(`Could not create '${filename}': ${hostReason(error)}`);
    }
    const node = new FileNode(filename);
    if (node.driver === 'file') node.truncate(0);
    return node;
  }

  get length(): number {
    return this.#length;
  }

  read(offset: number, into: Uint8Array): Completion {
    if (!this.#threads) return this.#readNow(offset, into);
    if (into.length <= MOST_READ) {
      if (this.#holes > 0) return this.#beside(() => this.#readLong(offset, into));
      if (this.#tellsCached) {
        const cached = this.#readCached(offset, into);
        if (cached === into.length) return undefined;
        if (cached >= 0) {
          return this.#beside(() => this.#readLong(offset + cached, cached === 0 ? into : into.subarray(cached)));
        }
      }
      if (this.#guard.mayWait) return this.#guard.run(() => this.#readNow(offset, into));
    }
    return this.#beside(() => this.#readLong(offset, into));
  }

  /** What the page cache has, and zeroes beyond the end: how many bytes; -1 when the host cannot tell. */
  #readCached(offset: number, into: Uint8Array): number {
    const inside = Math.max(0, Math.min(into.length, this.#length - offset));
    const n =
      inside === 0
        ? 0
        : fileCalls()!.readCached(this.#fd, inside === into.length ? into : into.subarray(0, inside), offset);
    if (n < 0) this.#tellsCached = false;
    if (n !== inside) return n;
    if (inside < into.length) into.fill(0, inside);
    return into.length;
  }

  #readNow(offset: number, into: Uint8Array): Completion {
    try {
      let at = 0;
      while (at < into.length) {
        const n = fs.readSync(this.#fd, into, at, into.length - at, offset + at);
        if (n === 0) break;
        at += n;
      }
      into.fill(0, at);
    } catch (error) {
      throw this.#failure('reading', error);
    }
    return undefined;
  }

  override write(offset: number, from: Uint8Array): Completion {
    if (!this.#threads) return this.#writeNow(offset, from);
    const free = flushing === 0 && this.#changes === 0 && this.#guard.mayWait;
    const short = from.length <= MOST_WRITTEN && !this.#synchronous;
    if (short && free && !PRESSURE.before(from.length) && this.#edgesCached(offset, from.length)) {
      return this.#guard.run(() => this.#writeNow(offset, from));
    }
    return this.#change(() => this.#writeLong(offset, from));
  }

  writeViews(offset: number, from: readonly Uint8Array[]): Completion {
    return this.#change(async () => {
      try {
        let at = offset;
        for (let left = from; left.length > 0; ) {
          const { bytesWritten } = await writevAsync(this.#fd, left, at);
          at += bytesWritten;
          if (at > this.#length) this.#length = at;
          left = viewsBehind(left, bytesWritten);
        }
      } catch (error) {
        throw this.#failure('writing', error);
      }
    });
  }

  /** Whether what remains of the pages at both ends is in memory: the host reads it first, and the writer waits. */
  #edgesCached(offset: number, length: number): boolean {
    const end = offset + length;
    if (!this.#tellsCached || (offset % PAGE === 0 && end % PAGE === 0)) return true;
    for (const at of [offset, end]) {
      if (at % PAGE === 0 || at >= this.#length) continue;
      const n = fileCalls()!.readCached(this.#fd, EDGE, at);
      if (n === 0) return false;
      if (n < 0) this.#tellsCached = false;
    }
    return true;
  }

  #writeNow(offset: number, from: Uint8Array): Completion {
    try {
      let at = 0;
      while (at < from.length) at += fs.writeSync(this.#fd, from, at, from.length - at, offset + at);
      if (offset + at > this.#length) this.#length = offset + at;
    } catch (error) {
      throw this.#failure('writing', error);
    }
    return undefined;
  }

  async #readLong(offset: number, into: Uint8Array): Promise<void> {
    try {
      let at = 0;
      while (at < into.length) {
        const n = await this.#calls.read(this.#fd, at === 0 ? into : into.subarray(at), offset + at);
        if (n === 0) break;
        at += n;
      }
      into.fill(0, at);
    } catch (error) {
      throw this.#failure('reading', error);
    }
  }

  async #writeLong(offset: number, from: Uint8Array): Promise<void> {
    try {
      let at = 0;
      while (at < from.length) {
        at += await this.#calls.write(this.#fd, at === 0 ? from : from.subarray(at), offset + at);
        if (offset + at > this.#length) this.#length = offset + at;
      }
    } catch (error) {
      throw this.#failure('writing', error);
    }
  }

  override flush(): Completion {
    if (this.#noFlush) return undefined;
    return this.#beside(async () => {
      flushing++;
      try {
        await this.#calls.flush(this.#fd);
      } catch (error) {
        throw this.#failure('flushing', error);
      } finally {
        flushing--;
      }
    });
  }

  /** Something that keeps others from writing to the file. */
  async #change(operation: () => Promise<void>): Promise<void> {
    this.#changes++;
    try {
      await this.#beside(operation);
    } finally {
      this.#changes--;
    }
  }

  async #punch(operation: () => Promise<void>): Promise<void> {
    this.#holes++;
    try {
      await this.#change(operation);
    } finally {
      this.#holes--;
    }
  }

  async #beside(operation: () => Promise<void>): Promise<void> {
    this.#underWay++;
    try {
      await operation();
    } finally {
      if (--this.#underWay === 0 && this.#closing) this.#closeFile();
    }
  }

  override discard(offset: number, length: number): Completion {
    const calls = this.driver === 'file' ? fileCalls() : null;
    if (calls && this.#threads) {
      return this.#punch(async () => {
        await this.#calls.punchHole(this.#fd, offset, length);
      });
    }
    calls?.punchHole(this.#fd, offset, length);
    return undefined;
  }

  override writeZeroes(offset: number, length: number, unmap: boolean): Completion {
    if (length === 0) return undefined;
    if (offset >= this.#length && this.driver === 'file') return this.truncate(offset + length);
    const calls = this.driver === 'file' ? fileCalls() : null;
    if (calls && this.#threads) return this.#punch(() => this.#zeroBeside(offset, length, unmap));
    const done = unmap
      ? offset + length <= this.#length && calls?.punchHole(this.#fd, offset, length)
      : calls?.zeroRange(this.#fd, offset, length);
    if (!done) return super.writeZeroes(offset, length, unmap);
    this.#length = Math.max(this.#length, offset + length);
    return undefined;
  }

  async #zeroBeside(offset: number, length: number, unmap: boolean): Promise<void> {
    const done = unmap
      ? offset + length <= this.#length && (await this.#calls.punchHole(this.#fd, offset, length))
      : await this.#calls.zeroRange(this.#fd, offset, length);
    if (!done) await super.writeZeroes(offset, length, unmap);
    this.#length = Math.max(this.#length, offset + length);
  }

  override status(offset: number, length: number): BlockStatus {
    const all = { length, data: true, zero: false, allocated: true, offset, file: this } as const;
    const calls = this.driver === 'file' ? fileCalls() : null;
    const data = calls?.seek(this.#fd, 'data', offset);
    if (!calls || data === undefined) return all;
    if (data < 0 || data > offset) {
      const hole = data < 0 ? length : Math.min(length, data - offset);
      return { ...all, length: hole, data: false, zero: true };
    }
    const end = calls.seek(this.#fd, 'hole', offset);
    if (end === undefined || end <= offset) return all;
    return { ...all, length: Math.min(length, end - offset) };
  }

  override truncate(length: number, preallocation: Preallocation = 'off'): Completion {
    if (this.driver !== 'file') throw new BlockError('ENOTSUP', `Cannot resize device files`);
    if (!Number.isSafeInteger(length)) throw new BlockError('EFBIG', 'File too large');
    const old = this.#length;
    try {
      if (preallocation === 'falloc' && length > old) {
        const failed = fileCalls()?.allocate(this.#fd, old, length - old);
        if (failed !== undefined && failed !== 0 && failed !== constants.errno.EOPNOTSUPP) {
          throw Object.assign(new Error(), { code: codeOf(failed) });
        }
      }
      fs.ftruncateSync(this.#fd, length);
      this.#length = length;
    } catch (error) {
      throw this.#failure('resizing', error);
    }
    if (preallocation !== 'full') return undefined;
    for (let at = old; at < length; at += ZEROES.length) {
      this.write(at, ZEROES.subarray(0, Math.min(ZEROES.length, length - at)));
    }
    return undefined;
  }

  override allocatedBytes(): number {
    try {
      return fs.fstatSync(this.#fd).blocks * STAT_BLOCK;
    } catch (error) {
      throw this.#failure('reading', error);
    }
  }

  override close(): Completion {
    if (this.#closing) return undefined;
    this.#closing = true;
    // A number that is free again might name another file by the time a thread uses it.
    if (this.#underWay === 0) this.#closeFile();
    return undefined;
  }

  #closeFile(): void {
    fs.closeSync(this.#fd);
    this.#fd = -1;
  }

  #lock(mode: 'exclusive' | 'share' | 'off'): void {
    const calls = mode === 'off' ? null : fileCalls();
    if (!calls) return;
    const have = this.readOnly ? [CONSISTENT_READ] : [CONSISTENT_READ, WRITE, RESIZE];
    const unshared = mode === 'exclusive' ? [WRITE, RESIZE] : [];
    const fd = this.#fd;
    for (const bit of have) calls.lockShared(fd, HAVE + bit);
    for (const bit of unshared) calls.lockShared(fd, UNSHARED + bit);
    const fail = (what: string): never => {
      throw new UserError(`Failed to get ${what} lock\nIs another process using the image [${this.filename}]?`);
    };
    for (const bit of have) if (calls.isLocked(fd, UNSHARED + bit)) fail(`"${PERMISSIONS[bit]}"`);
    for (const bit of unshared) if (calls.isLocked(fd, HAVE + bit)) fail(`shared "${PERMISSIONS[bit]}"`);
  }

  #failure(doing: string, error: unknown): BlockError {
    const code = (error as NodeJS.ErrnoException).code;
    const errno: BlockErrno =
      code === 'ENOSPC' || code === 'EDQUOT' ? 'ENOSPC' : code === 'EACCES' || code === 'EFBIG' ? code : 'EIO';
    return new BlockError(errno, `${doing} '${this.filename}' failed: ${hostReason(error)}`);
  }
}

const codeOf = (errno: number): string | undefined =>
  Object.entries(constants.errno).find(([, number]) => number === errno)?.[0];

/** A file that is gone when it is closed, also when the process dies. */
export function temporaryFile(folder: string): FileNode {
  const name = `${fs.mkdtempSync(`${folder}/tinamou-`)}/overlay`;
  fs.writeFileSync(name, '');
  const node = new FileNode(name);
  fs.rmSync(name.slice(0, name.lastIndexOf('/')), { recursive: true });
  return node;
}

/** Linux tells the size of a block device, which its file does not, in sysfs. */
function blockDeviceBytes(device: number): number {
  const major = Math.floor(device / 256) & 0xfff;
  const minor = device & 0xff;
  return Number(fs.readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * SECTOR;
}
