/** Little-endian numbers in byte arrays. Offsets out of range are the caller's bug. */

export const getU16 = (b: Uint8Array, at: number): number => b[at]! | (b[at + 1]! << 8);
export const getU32 = (b: Uint8Array, at: number): number =>
  (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0;
/** Exact up to 2^53. */
export const getU64 = (b: Uint8Array, at: number): number => getU32(b, at) + getU32(b, at + 4) * 2 ** 32;

export function putU16(b: Uint8Array, at: number, value: number): void {
  b[at] = value;
  b[at + 1] = value >>> 8;
}

export function putU32(b: Uint8Array, at: number, value: number): void {
  b[at] = value;
  b[at + 1] = value >>> 8;
  b[at + 2] = value >>> 16;
  b[at + 3] = value >>> 24;
}

export function putU64(b: Uint8Array, at: number, value: number): void {
  putU32(b, at, value % 2 ** 32);
  putU32(b, at + 4, Math.floor(value / 2 ** 32));
}

/** Reads `size` (1, 2 or 4) bytes. */
export const getSized = (b: Uint8Array, at: number, size: number): number =>
  size === 1 ? b[at]! : size === 2 ? getU16(b, at) : getU32(b, at);

export function putSized(b: Uint8Array, at: number, size: number, value: number): void {
  for (let i = 0; i < size; i++) b[at + i] = value >>> (8 * i);
}

/** ASCII text to bytes; characters beyond 0xff are cut. */
export const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0) & 0xff);
