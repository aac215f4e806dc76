// hot path
/** System calls on files that Node.js lacks, through koffi; all of it is optional and Linux only. */
import { constants } from 'node:os';
import { loadKoffi } from './koffi.js';

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** struct flock on 64-bit Linux: type, whence, (padding), start, length, pid. */
const FLOCK_BYTES = 32;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 16;
const RWF_NOWAIT = 8;
/** struct iovec on 64-bit Linux: address, length. */
const IOVEC_BYTES = 16;

export interface FileCalls {
  /** Locks one byte against writers of it (open file description lock); false when somebody has it. */
  lockShared(fd: number, at: number): boolean;
  unlock(fd: number, at: number): void;
  /** Whether somebody else has a lock on the byte. */
  isLocked(fd: number, at: number): boolean;
  /** The next data or hole at or after `from`; -1 when there is none, undefined when the file system cannot tell. */
  seek(fd: number, what: 'data' | 'hole', from: number): number | undefined;
  /** Reads what is in memory: how many bytes; 0 when it would have to wait, -1 where the file system cannot tell. */
  readCached(fd: number, into: Uint8Array, offset: number): number;
  /** Each gives whether it worked; the second kind runs in another thread. */
  punchHole(fd: number, offset: number, length: number): boolean;
  zeroRange(fd: number, offset: number, length: number): boolean;
  punchHoleBeside(fd: number, offset: number, length: number): Promise<boolean>;
  zeroRangeBeside(fd: number, offset: number, length: number): Promise<boolean>;
  /** 0 or the error number. */
  allocate(fd: number, offset: number, length: number): number;
}

interface Fallocate {
  (fd: number, mode: number, offset: number, length: number): number;
  async(
    fd: number,
    mode: number,
    offset: number,
    length: number,
    done: (error: Error | null, result: number) => void,
  ): void;
}

let loaded: FileCalls | null | undefined;

/** Null where there is no Linux, or no koffi. */
export function fileCalls(): FileCalls | null {
  if (loaded === undefined) loaded = load();
  return loaded;
}

function load(): FileCalls | null {
  if (process.platform !== 'linux') return null;
  const koffi = loadKoffi();
  if (!koffi) return null;
  try {
    const libc = koffi.load('libc.so.6');
    const fcntl = libc.func('int fcntl(int, int, ...)') as (
      fd: number,
      command: number,
      type: 'void *',
      lock: Uint8Array,
    ) => number;
    const lseek = libc.func('int64_t lseek64(int, int64_t, int)') as (fd: number, to: number, how: number) => number;
    const fallocate = libc.func('int fallocate64(int, int, int64_t, int64_t)') as Fallocate;
    const preadv2 = libc.func('int64_t preadv2(int, void *, int, int64_t, int)') as (
      fd: number,
      pieces: Uint8Array,
      count: number,
      offset: number,
      flags: number,
    ) => number;
    const piece = new Uint8Array(IOVEC_BYTES);
    const pieceWords = new BigUint64Array(piece.buffer);
    const flock = (type: number, at: number): Uint8Array => {
      const bytes = new Uint8Array(FLOCK_BYTES);
      const view = new DataView(bytes.buffer);
      view.setInt16(0, type, true);
      view.setBigInt64(8, BigInt(at), true);
      view.setBigInt64(16, 1n, true);
      return bytes;
    };
    const change = (fd: number, mode: number, offset: number, length: number): boolean =>
      fallocate(fd, mode, offset, length) === 0;
    const changeBeside = (fd: number, mode: number, offset: number, length: number): Promise<boolean> =>
      new Promise((resolve, reject) => {
        fallocate.async(fd, mode, offset, length, (error, result) => (error ? reject(error) : resolve(result === 0)));
      });
    return {
      lockShared: (fd, at) => fcntl(fd, F_OFD_SETLK, 'void *', flock(F_RDLCK, at)) === 0,
      unlock: (fd, at) => {
        fcntl(fd, F_OFD_SETLK, 'void *', flock(F_UNLCK, at));
      },
      isLocked: (fd, at) => {
        const lock = flock(F_WRLCK, at);
        if (fcntl(fd, F_OFD_GETLK, 'void *', lock) !== 0) return false;
        return lock[0] !== F_UNLCK;
      },
      seek: (fd, what, from) => {
        const at = Number(lseek(fd, from, what === 'data' ? SEEK_DATA : SEEK_HOLE));
        if (at >= 0) return at;
        return koffi.errno() === constants.errno.ENXIO ? -1 : undefined;
      },
      readCached(fd, into, offset) {
        pieceWords[0] = BigInt(koffi.address(into) ?? 0);
        pieceWords[1] = BigInt(into.length);
        const n = Number(preadv2(fd, piece, 1, offset, RWF_NOWAIT));
        if (n >= 0) return n;
        return koffi.errno() === constants.errno.EAGAIN ? 0 : -1;
      },
      punchHoleBeside: (fd, offset, length) =>
        changeBeside(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, length),
      zeroRangeBeside: (fd, offset, length) => changeBeside(fd, FALLOC_FL_ZERO_RANGE, offset, length),
      punchHole: (fd, offset, length) => change(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, length),
      zeroRange: (fd, offset, length) => change(fd, FALLOC_FL_ZERO_RANGE, offset, length),
      allocate: (fd, offset, length) => (fallocate(fd, 0, offset, length) === 0 ? 0 : koffi.errno()),
    };
  } catch {
    return null;
  }
}
