/**
 * The block with which a display tells its host what it is.
 * Source: VESA Enhanced Extended Display Identification Data Standard, release A, rev. 2 (EDID 1.4), section 3.
 */
import { putU16, putU32 } from '../../base/bytes.js';

const HEADER = [0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00];
const VERSION_AT = 0x12;
const STANDARD_AT = 0x26;
const DETAILED_AT = 0x36;
const DESCRIPTOR_BYTES = 18;
/** The assumed density, which gives a size in millimetres. */
const DOTS_PER_INCH = 100;
const MM_PER_INCH = 25.4;
const FRAME_HZ = 75;

/** Established timings (bytes 23h and 24h): 640x480, 800x600, 1024x768 at 60 Hz. */
const ESTABLISHED = [0x21, 0x08, 0x00];
/** Widths and heights of standard timings. */
const STANDARD = [
  [1920, 1080],
  [1680, 1050],
  [1440, 900],
  [1280, 1024],
  [1280, 960],
  [1280, 800],
] as const;
/** Aspect ratios as a standard timing codes them. */
const ASPECTS = [
  [16, 10],
  [4, 3],
  [5, 4],
  [16, 9],
] as const;

/** 128 bytes for a display of this preferred size. */
export function edid(width: number, height: number): Uint8Array {
  const block = new Uint8Array(128);
  const mm = (dots: number) => Math.round((dots / DOTS_PER_INCH) * MM_PER_INCH);
  block.set(HEADER, 0);
  // Manufacturer "TNM" (five bits a letter, big endian), product and serial.
  block.set(letters('TNM'), 8);
  putU16(block, 10, 0x0001);
  putU32(block, 12, 1);
  block.set([42, 2026 - 1990], 16);
  block.set([1, 4], VERSION_AT);
  // Digital, 8 bits a colour; size in cm; gamma 2.2; sRGB, the first detailed timing is the preferred one.
  block.set([0xa0, Math.round(mm(width) / 10), Math.round(mm(height) / 10), 120, 0x06], 0x14);
  // sRGB's chromaticities.
  block.set([0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54], 0x19);
  block.set(ESTABLISHED, 0x23);
  block.fill(1, STANDARD_AT, DETAILED_AT);
  STANDARD.forEach(([w, h], i) => {
    const aspect = ASPECTS.findIndex(([x, y]) => w * y === h * x);
    block.set([w / 8 - 31, (aspect << 6) | 0], STANDARD_AT + 2 * i);
  });
  block.set(detailedTiming(width, height, mm(width), mm(height)), DETAILED_AT);
  block.set(
    [0, 0, 0, 0xfd, 0, 50, 125, 30, 160, 235, 0, 0x0a, ...new Array(6).fill(0x20)],
    DETAILED_AT + DESCRIPTOR_BYTES,
  );
  block.set(text(0xfc, 'Tinamou'), DETAILED_AT + 2 * DESCRIPTOR_BYTES);
  block.set(text(0xff, '1'), DETAILED_AT + 3 * DESCRIPTOR_BYTES);
  block[127] = -block.reduce((sum, byte) => sum + byte, 0);
  return block;
}

/** Three letters in 15 bits. */
function letters(id: string): number[] {
  const bits = [...id].reduce((sum, c) => (sum << 5) | (c.charCodeAt(0) - 0x40), 0);
  return [bits >> 8, bits & 0xff];
}

function text(tag: number, value: string): number[] {
  const padded = `${value}\n`.padEnd(13);
  return [0, 0, 0, tag, 0, ...Array.from(padded, (c) => c.charCodeAt(0))];
}

/** A timing with generous blanking: nothing has to keep it. */
function detailedTiming(width: number, height: number, mmWidth: number, mmHeight: number): Uint8Array {
  const d = new Uint8Array(DESCRIPTOR_BYTES);
  const hBlank = Math.floor((width * 35) / 100);
  const vBlank = Math.floor((height * 35) / 1000);
  const hFront = Math.floor((width * 25) / 100);
  const hSync = Math.floor((width * 3) / 100);
  const vFront = Math.floor((height * 5) / 1000);
  const vSync = Math.floor((height * 5) / 1000);
  const clock10kHz = Math.round(((width + hBlank) * (height + vBlank) * FRAME_HZ) / 10000);
  putU16(d, 0, Math.min(0xffff, clock10kHz));
  d.set([width & 0xff, hBlank & 0xff, ((width >> 8) << 4) | (hBlank >> 8)], 2);
  d.set([height & 0xff, vBlank & 0xff, ((height >> 8) << 4) | (vBlank >> 8)], 5);
  d.set([hFront & 0xff, hSync & 0xff, ((vFront & 15) << 4) | (vSync & 15)], 8);
  d[11] = ((hFront >> 8) << 6) | ((hSync >> 8) << 4) | ((vFront >> 4) << 2) | (vSync >> 4);
  d.set([mmWidth & 0xff, mmHeight & 0xff, ((mmWidth >> 8) << 4) | (mmHeight >> 8)], 12);
  // Digital separate sync.
  d[17] = 0x18;
  return d;
}
