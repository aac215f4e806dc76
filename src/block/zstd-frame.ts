/** Where a Zstandard frame (RFC 8878) ends. Compressed clusters do not say: the next one may follow, or old bytes. */

const MAGIC = 0xfd2fb528;
const BlockType = { raw: 0, rle: 1, compressed: 2, reserved: 3 } as const;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

/** Bytes of the frame at the start of `data`; null when that is not a frame or it is cut short. */
export function zstdFrameLength(data: Uint8Array): number | null {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  if (data.length < 5 || view.getUint32(0, true) !== MAGIC) return null;
  const descriptor = view.getUint8(4);
  const single = (descriptor & 0x20) !== 0;
  const contentSize = descriptor >>> 6 === 0 && single ? 1 : (CONTENT_SIZE_BYTES[descriptor >>> 6] as number);
  const checksum = descriptor & 4 ? 4 : 0;
  let at = 5 + (single ? 0 : 1) + (DICTIONARY_ID_BYTES[descriptor & 3] as number) + contentSize;
  for (let last = false; !last; ) {
    if (at + 3 > data.length) return null;
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const type = (header >>> 1) & 3;
    if (type === BlockType.reserved) return null;
    last = (header & 1) !== 0;
    at += 3 + (type === BlockType.rle ? 1 : header >>> 3);
  }
  return at + checksum <= data.length ? at + checksum : null;
}
