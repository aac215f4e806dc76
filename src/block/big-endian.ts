/** Big-endian numbers in byte arrays, as image formats have them. Offsets out of range are the caller's bug. */

export const getU16be = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;
export const getU32be = (b: Uint8Array, at: number): number =>
  ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0;
/** Exact up to 2^53; larger values stay larger than any that is. */
export const getU64be = (b: Uint8Array, at: number): number => getU32be(b, at) * 2 ** 32 + getU32be(b, at + 4);

export function putU16be(b: Uint8Array, at: number, value: number): void {
  b[at] = value >>> 8;
  b[at + 1] = value;
}

export function putU32be(b: Uint8Array, at: number, value: number): void {
  b[at] = value >>> 24;
  b[at + 1] = value >>> 16;
  b[at + 2] = value >>> 8;
  b[at + 3] = value;
}

export function putU64be(b: Uint8Array, at: number, value: number): void {
  putU32be(b, at, Math.floor(value / 2 ** 32));
  putU32be(b, at + 4, value % 2 ** 32);
}

/** Rounds up to a multiple. */
export const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;
export const roundDown = (value: number, to: number): number => Math.floor(value / to) * to;
