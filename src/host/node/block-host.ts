/** This host for src/block: files, compression, time. */
import { createCipheriv, createDecipheriv, createHash, pbkdf2Sync, randomBytes, randomFillSync } from 'node:crypto';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import zlib from 'node:zlib';
import type { BlockHost, Codecs, Crypto } from '../../block/format.js';
import { connectStream } from './byte-stream.js';
import { fetchRange } from './fetch-range.js';
import { FileNode, temporaryFile } from './file.js';
import { type LongCalls, POOL_CALLS } from './file-pool.js';
import { fileThreads } from './file-threads.js';
import { loadZstd } from './zstd.js';

type Packer = (data: Uint8Array, options: zlib.ZlibOptions) => Promise<Buffer>;

/** Looks at the module on its first use: most runs do without it (tools/commands.mjs). */
const packer =
  (name: 'inflateRaw' | 'deflateRaw'): Packer =>
  (data, options) =>
    new Promise((resolve, reject) => {
      zlib[name](data, options, (error, result) => (error ? reject(error) : resolve(result)));
    });
const inflateRaw = packer('inflateRaw');
const deflateRaw = packer('deflateRaw');

const exactly = (data: Buffer, length: number): Uint8Array | null => (data.length === length ? data : null);

function attempt(inflate: () => Buffer, length: number): Uint8Array | null {
  try {
    return exactly(inflate(), length);
  } catch {
    return null;
  }
}

const NODE_CRYPTO: Crypto = {
  hash: (name, data) => createHash(name).update(data).digest(),
  pbkdf2: (hash, password, salt, iterations, length) => pbkdf2Sync(password, salt, iterations, length, hash),
  cipher(name, encrypt, key, iv, data) {
    const cipher = encrypt ? createCipheriv(name, key, iv) : createDecipheriv(name, key, iv);
    cipher.setAutoPadding(false);
    return cipher.update(data);
  },
  random: (length) => randomBytes(length),
};

export const NODE_CODECS: Codecs = {
  // The stream may be followed by padding, and may lack its end: what counts is that enough comes out of it.
  inflateRaw: (data, length) =>
    attempt(
      () => zlib.inflateRawSync(data, { maxOutputLength: length, finishFlush: zlib.constants.Z_SYNC_FLUSH }),
      length,
    ),
  deflateRaw: (data, windowBits) => zlib.deflateRawSync(data, { windowBits }),
  beside: {
    inflateRaw: async (data, length) => {
      const options = { maxOutputLength: length, finishFlush: zlib.constants.Z_SYNC_FLUSH };
      return inflateRaw(data, options).then(
        (bytes) => exactly(bytes, length),
        () => null,
      );
    },
    deflateRaw: (data, windowBits) => deflateRaw(data, { windowBits }),
  },
  inflate: (data, length) => attempt(() => zlib.inflateSync(data, { maxOutputLength: length }), length),
  deflate: (data) => zlib.deflateSync(data),
  crypto: NODE_CRYPTO,
  zstd: loadZstd,
};

type OpenFile = BlockHost['openFile'];

const openFile =
  (threads: () => LongCalls): OpenFile =>
  (filename, { readOnly, share, unlocked, cache, beside }) =>
    new FileNode(filename, {
      readOnly,
      ...(share && { lock: 'share' as const }),
      ...(unlocked && { lock: 'off' as const }),
      ...(beside && { threads: threads() }),
      noFlush: cache === 'unsafe',
      synchronous: cache === 'writethrough' || cache === 'directsync',
    });

export const NODE_BLOCK_HOST: BlockHost = {
  openFile: openFile(() => POOL_CALLS),
  createFile: (filename) => FileNode.create(filename),
  temporaryFile: () => temporaryFile(tmpdir()),
  codecs: NODE_CODECS,
  connect: connectStream,
  fetchRange,
  sleep: (seconds) => sleep(seconds * 1000),
  now: () => Date.now() / 1000,
  random: (bytes) => {
    randomFillSync(bytes);
  },
};

/** For a machine's drives: nothing that they ask of this host keeps the machine's thread waiting. */
export const MACHINE_BLOCK_HOST: BlockHost = { ...NODE_BLOCK_HOST, openFile: openFile(fileThreads) };
