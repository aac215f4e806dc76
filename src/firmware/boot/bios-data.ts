/** The BIOS data area at 0x400 (IBM PC/AT Technical Reference), as far as kernels read it. */
import { ByteWriter } from '../bytes.js';
import type { GuestMemory, PlatformDescription } from '../platform.js';
import { Low } from './memory-map.js';

const SIZE = 0x100;

export function writeBiosData(memory: GuestMemory, p: PlatformDescription): void {
  const w = new ByteWriter().zeros(SIZE);
  p.serial.slice(0, 4).forEach((s, i) => {
    w.setU16(2 * i, s.port);
  });
  p.parallel.slice(0, 3).forEach((s, i) => {
    w.setU16(8 + 2 * i, s.port);
  });
  w.setU16(0x0e, Low.extendedBiosData >> 4);
  // Equipment: coprocessor, 80x25 colour, PS/2 mouse, numbers of serial and parallel ports.
  const equipment = 0x0002 | (p.vga ? 0x0020 : 0) | (p.ps2 ? 0x0004 : 0) | (p.floppy ? 0x0001 : 0);
  w.setU16(0x10, equipment | (Math.min(p.serial.length, 7) << 9) | (Math.min(p.parallel.length, 3) << 14));
  w.setU16(0x13, Low.extendedBiosData >> 10);
  w.setU16(0x1a, 0x1e); // keyboard buffer: empty
  w.setU16(0x1c, 0x1e);
  w.setU16(0x80, 0x1e);
  w.setU16(0x82, 0x3e);
  if (p.vga) {
    w.setU16(0x49, 0x5003); // mode 3, 80 columns
    w.setU16(0x4c, 0x1000); // bytes a page
    w.setU16(0x60, 0x0d0e); // cursor lines, end and start
    w.setU16(0x63, 0x3d4); // CRT controller
    w.setU16(0x84, 24); // rows - 1
    w.setU16(0x85, 16); // lines a glyph
  }
  memory.write(Low.biosData, w.finish());
  // The first byte of the extended BIOS data area is its size in KiB.
  memory.write(Low.extendedBiosData, new Uint8Array([1]));
}
