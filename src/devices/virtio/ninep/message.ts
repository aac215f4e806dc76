/** 9P messages: little-endian numbers, strings with a length in front. 9P2000.L, as Linux's v9fs speaks it. */
import { getU16, getU32, getU64, putU16, putU32 } from '../../../base/bytes.js';

export const HEADER_BYTES = 7;

export const Type = {
  error: 7,
  statfs: 8,
  lopen: 12,
  lcreate: 14,
  symlink: 16,
  mknod: 18,
  rename: 20,
  readlink: 22,
  getattr: 24,
  setattr: 26,
  xattrwalk: 30,
  xattrcreate: 32,
  readdir: 40,
  fsync: 50,
  lock: 52,
  getlock: 54,
  link: 70,
  mkdir: 72,
  renameat: 74,
  unlinkat: 76,
  version: 100,
  auth: 102,
  attach: 104,
  flush: 108,
  walk: 110,
  read: 116,
  write: 118,
  clunk: 120,
  remove: 122,
} as const;

/** A request ended before its fields did. */
export class ShortMessage extends Error {}

export class MessageReader {
  #at = 0;
  constructor(private readonly bytes: Uint8Array) {}

  u8(): number {
    return this.bytes[this.#take(1)]!;
  }
  u16(): number {
    return getU16(this.bytes, this.#take(2));
  }
  u32(): number {
    return getU32(this.bytes, this.#take(4));
  }
  /** Exact up to 2^53. */
  u64(): number {
    return getU64(this.bytes, this.#take(8));
  }
  text(): string {
    const length = this.u16();
    const at = this.#take(length);
    return new TextDecoder().decode(this.bytes.subarray(at, at + length));
  }
  data(length: number): Uint8Array {
    const at = this.#take(length);
    return this.bytes.subarray(at, at + length);
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.bytes.length) throw new ShortMessage();
    this.#at += bytes;
    return at;
  }
}

/** Grows up to `limit`; what does not fit is noticed by `fits`. */
export class MessageWriter {
  #bytes = new Uint8Array(256);
  #length = HEADER_BYTES;

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#room(1);
    this.#bytes[at] = value;
    return this;
  }
  u16(value: number): this {
    const at = this.#room(2);
    putU16(this.#bytes, at, value);
    return this;
  }
  u32(value: number): this {
    const at = this.#room(4);
    putU32(this.#bytes, at, value);
    return this;
  }
  u64(value: number | bigint): this {
    const at = this.#room(8);
    new DataView(this.#bytes.buffer).setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
    return this;
  }
  text(value: string): this {
    const bytes = new TextEncoder().encode(value);
    return this.u16(bytes.length).data(bytes);
  }
  data(bytes: Uint8Array): this {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** The message with its header. */
  finish(type: number, tag: number): Uint8Array {
    putU32(this.#bytes, 0, this.#length);
    this.#bytes[4] = type;
    putU16(this.#bytes, 5, tag);
    return this.#bytes.subarray(0, this.#length);
  }

  #room(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    return at;
  }
}

/** Linux's numbers of the errors that a folder may give. */
const ERRNO: Readonly<Record<string, number>> = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  ENAMETOOLONG: 36,
  ENOTEMPTY: 39,
  ELOOP: 40,
  EOPNOTSUPP: 95,
  EDQUOT: 122,
};
const EIO = 5;

export const errno = (code: string): number => ERRNO[code] ?? EIO;
