/** CRC-32 by Node.js; of much at a time in the host's other threads, through koffi and what Node.js itself is linked with. */
import zlib from 'node:zlib';
import type { Checksums } from '../../machine/saved/layout.js';
import { loadKoffi } from './koffi.js';

/** Below that the way to another thread takes longer. */
const LEAST_BESIDE = 128 << 10;

interface Crc32 {
  async(seed: number, bytes: Uint8Array, length: number, done: (error: Error | null, crc: number) => void): void;
}

let loaded: Crc32 | null | undefined;

/** Null without koffi, or where Node.js has a zlib of another name. */
function besideCrc32(): Crc32 | null {
  try {
    const node = loadKoffi()?.load(null);
    return (node?.func('uint32_t Cr_z_crc32_z(uint32_t seed, const void *bytes, size_t length)') as Crc32) ?? null;
  } catch {
    return null;
  }
}

export const CHECKSUMS: Checksums = {
  of: (bytes, seed = 0) => zlib.crc32(bytes, seed),
  async beside(bytes) {
    if (loaded === undefined) loaded = besideCrc32();
    const call = loaded;
    if (!call || bytes.length < LEAST_BESIDE) return zlib.crc32(bytes);
    return new Promise((resolve, reject) => {
      call.async(0, bytes, bytes.length, (error, crc) => (error ? reject(error) : resolve(crc)));
    });
  },
};
