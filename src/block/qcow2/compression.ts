/** Compressed clusters: raw deflate streams with a window of 4 KiB, or Zstandard frames. */
import type { Codecs } from '../format.js';
import { BlockError } from '../node.js';
import type { CompressionType } from './header.js';

export interface Compressor {
  pack(cluster: Uint8Array): Uint8Array;
  /** `packed` may have something behind its end. Null when it does not unpack to `length` bytes. */
  unpack(packed: Uint8Array, length: number): Uint8Array | null;
}

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
  return {
    pack: (cluster) => needed().deflateRaw(cluster, WINDOW_BITS),
    unpack: (packed, length) => needed().inflateRaw(packed, length),
  };
}
