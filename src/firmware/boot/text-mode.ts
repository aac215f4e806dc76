/** Puts a VGA into text mode 3 (80 by 25, 16 colours), as its BIOS would. Register values: IBM VGA Technical Reference. */
import type { GuestMemory, PortIo } from '../platform.js';
import { GLYPH_HEIGHT, vgaFont } from './vga-font.js';

const Port = {
  attribute: 0x3c0,
  misc: 0x3c2,
  sequencer: 0x3c4,
  dacMask: 0x3c6,
  dacIndex: 0x3c8,
  dacData: 0x3c9,
  graphics: 0x3ce,
  crtc: 0x3d4,
  status: 0x3da,
} as const;

/** 28.322 MHz clock, colour addresses, display memory on, negative horizontal sync. */
const MISC = 0x67;
const SEQUENCER = [0x03, 0x00, 0x03, 0x00, 0x02];
const CRTC = [
  0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f,
  0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
];
const GRAPHICS = [0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff];
/** Sixteen palette entries, then mode control, overscan, plane enable, panning, colour select. */
const ATTRIBUTE = [
  0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f,
  0x08, 0x00,
];

const PLANE_MEMORY = 0xa0000;
const PLANES = 4;
/** Of each plane: 32 KiB of characters and attributes take half of that. */
const PLANE_BYTES = 0x4000;
/** Glyphs are 32 bytes apart in plane 2 whatever their height. */
const GLYPH_STRIDE = 32;
const GLYPHS = 256;

/** Spaces in plane 0, light grey on black in plane 1, glyphs in plane 2. */
function blankPage(): Uint8Array {
  const words = new Uint32Array(PLANE_BYTES).fill(0x0000_0720);
  const memory = new Uint8Array(words.buffer);
  const font = vgaFont();
  for (let c = 0; c < GLYPHS; c++) {
    for (let y = 0; y < GLYPH_HEIGHT; y++) {
      memory[PLANES * (c * GLYPH_STRIDE + y) + 2] = font[c * GLYPH_HEIGHT + y]!;
    }
  }
  return memory;
}

export function setTextMode(ports: PortIo, memory: GuestMemory): void {
  const indexed = (port: number, index: number, value: number): void => {
    ports.write(port, 1, index);
    ports.write(port + 1, 1, value);
  };
  const load = (port: number, values: readonly number[]): void => {
    values.forEach((value, index) => {
      indexed(port, index, value);
    });
  };
  ports.write(Port.misc, 1, MISC);
  indexed(Port.sequencer, 0, 1); // synchronous reset while clocks change
  load(Port.sequencer, SEQUENCER);
  indexed(Port.crtc, 0x11, 0); // unprotect registers 0 to 7
  load(Port.crtc, CRTC);
  load(Port.graphics, GRAPHICS);

  // All planes at once, four bytes to an address: video memory is mapped then, and filled in one go.
  indexed(Port.sequencer, 2, 0x0f);
  indexed(Port.sequencer, 4, 0x0e);
  indexed(Port.graphics, 6, 0x04);
  memory.write(PLANE_MEMORY, blankPage());
  indexed(Port.sequencer, 2, SEQUENCER[2]!);
  indexed(Port.sequencer, 4, SEQUENCER[4]!);
  indexed(Port.graphics, 6, GRAPHICS[6]!);

  ports.write(Port.dacMask, 1, 0xff);
  ports.write(Port.dacIndex, 1, 0);
  // The 64 colours of the EGA: bits 2..0 are two thirds of red, green, blue, bits 5..3 one third.
  for (let i = 0; i < 64; i++)
    for (const bit of [2, 1, 0]) ports.write(Port.dacData, 1, ((i >> bit) & 1) * 0x2a + ((i >> (bit + 3)) & 1) * 0x15);

  ports.read(Port.status, 1); // the next attribute write is an index
  ATTRIBUTE.forEach((value, index) => {
    ports.write(Port.attribute, 1, index);
    ports.write(Port.attribute, 1, value);
  });
  ports.write(Port.attribute, 1, 0x20); // palette to the display, screen on
}
