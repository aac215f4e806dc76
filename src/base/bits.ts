/** Bit arithmetic on unsigned 32-bit numbers, and sizes as doubles (exact to 2^53). */

/** `count` low bits set; count 0..32. */
export const lowBits = (count: number): number => (count >= 32 ? 0xffff_ffff : (1 << count) - 1) >>> 0;

/** Also beyond 32 bits. */
export const isPowerOfTwo = (n: number): boolean => n > 0 && Number.isInteger(Math.log2(n));

export const toBcd = (n: number): number => (Math.floor(n / 10) << 4) | (n % 10);
export const fromBcd = (n: number): number => (n >> 4) * 10 + (n & 15);

/** The mask of an access of `size` bytes (1, 2 or 4). */
export const sizeMask = (size: number): number => (size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff);
