/** Zstandard by the reference implementation, compiled to WebAssembly; loaded when an image first needs it. */
import type { Zstd as Library } from '@hpcc-js/wasm-zstd';
import type { Zstd } from '../../block/format.js';
import { zstdFrameLength } from '../../block/zstd-frame.js';

let loaded: Promise<Zstd> | undefined;

export function loadZstd(): Promise<Zstd> {
  loaded ??= import('@hpcc-js/wasm-zstd').then(async ({ Zstd: library }) => {
    const zstd = await library.load();
    return {
      compress: (data) => zstd.compress(data),
      decompress: (data, length) => decompress(zstd, data, length),
    };
  });
  return loaded;
}

function decompress(zstd: Library, data: Uint8Array, length: number): Uint8Array | null {
  const end = zstdFrameLength(data);
  if (end === null) return null;
  try {
    zstd.reset();
    // Room for one byte more than there may be: nothing a hostile frame says makes more of it.
    const out = zstd.decompressChunk(data.subarray(0, end), length + 1);
    return out.length === length ? out : null;
  } catch {
    // The library's word for a broken frame.
    return null;
  }
}
