/** Compressed clusters: raw deflate streams with a window of 4 KiB, or Zstandard frames. */
import type { Codecs } from '../format.js';
import { BlockError, type Eventually } from '../node.js';
import type { CompressionType } from './header.js';

export interface Compressor {
  pack(cluster: Uint8Array): Eventually<Uint8Array>;
  /** `packed` may have something behind its end. Null when it does not unpack to `length` bytes. */
  unpack(packed: Uint8Array, length: number): Eventually<Uint8Array | null>;
}

/** Shorter clusters are done before another thread would begin. */
const LEAST_BESIDE = 32 << 10;

/** Readers reserve a window of this size. */
const WINDOW_BITS = 12;

export async function compressorFor(type: CompressionType, codecs: Codecs | undefined): Promise<Compressor> {
  if (type === 'zstd') {
    const zstd = await codecs?.zstd?.();
    if (!zstd) throw new BlockError('ENOTSUP', 'this host has no Zstandard for compressed clusters');
    return { pack: zstd.compress, unpack: zstd.decompress };
  }
  const needed = (): Codecs => {
    if (!codecs) throw new BlockError('ENOTSUP', 'this host has no deflate for compressed clusters');
    return codecs;
  };
  const beside = codecs?.beside;
  return {
    pack: (cluster) => (beside ?? needed()).deflateRaw(cluster, WINDOW_BITS),
    unpack: (packed, length) => (beside && length >= LEAST_BESIDE ? beside : needed()).inflateRaw(packed, length),
  };
}
