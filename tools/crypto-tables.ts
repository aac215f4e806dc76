/** Constant tables of the runtime's cryptographic helpers, computed from their definitions. */

/** Multiplication in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, section 4.2). */
function gfMultiply(x: number, y: number): number {
  let product = 0;
  for (let a = x, b = y; b !== 0; b >>= 1) {
    if (b & 1) product ^= a;
    a = (a << 1) ^ (a & 0x80 ? 0x11b : 0);
  }
  return product;
}

/** The AES S-box (FIPS 197, section 5.1.1): inverse in GF(2^8), then an affine map. */
function aesSbox(): number[] {
  return Array.from({ length: 256 }, (_, x) => {
    let inverse = 0;
    for (let y = 1; y < 256 && inverse === 0; y++) if (gfMultiply(x, y) === 1) inverse = y;
    let s = 0x63;
    for (let k = 0; k < 5; k++) s ^= ((inverse << k) | (inverse >> (8 - k))) & 0xff;
    return s;
  });
}

function invert(box: readonly number[]): number[] {
  const inverse = new Array<number>(256).fill(0);
  box.forEach((s, x) => {
    inverse[s] = x;
  });
  return inverse;
}

/** Byte-wise table of CRC-32C, reflected polynomial 0x82f63b78. */
function crc32cTable(): number[] {
  return Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
    return crc >>> 0;
  });
}

/** The AssemblyScript module that holds the tables. */
export function cryptoTables(): string {
  return (
    `export const AES_SBOX: usize = memory.data<u8>([${aesSbox()}]);\n` +
    `export const AES_INVERSE_SBOX: usize = memory.data<u8>([${invert(aesSbox())}]);\n` +
    `export const CRC32C: usize = memory.data<u32>([${crc32cTable()}]);\n`
  );
}
