/** Zstandard frames (RFC 8878), for compressed clusters. */
import { BlockError } from '../node.js';

export function packZstd(_cluster: Uint8Array): Uint8Array {
  throw new BlockError('ENOTSUP', 'compression_type=zstd is not supported yet');
}

export function unpackZstd(_packed: Uint8Array, _length: number): Uint8Array | null {
  throw new BlockError('ENOTSUP', 'compression_type=zstd is not supported yet');
}
