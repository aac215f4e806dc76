/** A surface as an image file. */
import type { Surface } from './surface.js';

/** Portable pixmap, binary (P6): what QEMU's screendump writes by default. */
export function toPpm(surface: Surface): Uint8Array {
  const { width, height, pixels } = surface;
  const header = Uint8Array.from(`P6\n${width} ${height}\n255\n`, (c) => c.charCodeAt(0));
  const out = new Uint8Array(header.length + 3 * pixels.length);
  out.set(header);
  putRgb(pixels, out, header.length);
  return out;
}

/** Compresses into zlib's format (RFC 1950); the host has it. */
export type Deflate = (data: Uint8Array) => Uint8Array;

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const EIGHT_BIT_RGB = [8, 2, 0, 0, 0];

/** Portable Network Graphics (ISO/IEC 15948): 8-bit RGB, rows without filter. */
export function toPng(surface: Surface, deflate: Deflate): Uint8Array {
  const { width, height } = surface;
  const rows = new Uint8Array(height * (1 + 3 * width));
  for (let y = 0; y < height; y++) putRgb(surface.row(y), rows, y * (1 + 3 * width) + 1);
  const parts = [
    Uint8Array.from(PNG_SIGNATURE),
    chunk('IHDR', Uint8Array.from([...be32(width), ...be32(height), ...EIGHT_BIT_RGB])),
    chunk('IDAT', deflate(rows)),
    chunk('IEND', new Uint8Array(0)),
  ];
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function putRgb(pixels: Uint32Array, out: Uint8Array, start: number): void {
  let at = start;
  for (const pixel of pixels) {
    out[at++] = pixel;
    out[at++] = pixel >>> 8;
    out[at++] = pixel >>> 16;
  }
}

const be32 = (n: number): number[] => [n >>> 24, (n >>> 16) & 0xff, (n >>> 8) & 0xff, n & 0xff];

/** Length, type, data, and the CRC of type and data. */
function chunk(type: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + data.length);
  out.set(be32(data.length), 0);
  for (let i = 0; i < 4; i++) out[4 + i] = type.charCodeAt(i);
  out.set(data, 8);
  out.set(be32(crc32(out.subarray(4, 8 + data.length))), 8 + data.length);
  return out;
}

const CRC_POLYNOMIAL = 0xedb88320;
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? CRC_POLYNOMIAL ^ (c >>> 1) : c >>> 1;
  return c;
});

function crc32(data: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of data) crc = CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffff_ffff) >>> 0;
}
