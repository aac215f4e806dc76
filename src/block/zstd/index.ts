/** Zstandard frames (RFC 8878), for compressed clusters. */
export { packZstd } from './pack.js';
export { unpackZstd } from './unpack.js';
