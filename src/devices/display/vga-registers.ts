/**
 * The registers of a VGA.
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, Video Subsystem (1992); for the register files
 * as one list, Intel Open Source HD Graphics PRM, volume "VGA and Extended VGA Registers".
 *
 *   3c0 attribute index and data   3c1 attribute read    3c2 misc write, input status 0   3c4/5 sequencer
 *   3c6 pel mask    3c7 DAC read index, state    3c8 DAC write index    3c9 DAC data      3ca feature read   3cc misc read
 *   3ce/f graphics controller      3b4/5, 3d4/5 CRT controller          3ba, 3da input status 1, feature write
 */

export const SEQ = { RESET: 0, CLOCKING: 1, MAP_MASK: 2, FONT: 3, MEMORY_MODE: 4 } as const;
export const CLOCKING = { EIGHT_DOTS: 0x01, HALF_DOT_CLOCK: 0x08, SCREEN_OFF: 0x20 } as const;
export const MEMORY_MODE = { SEQUENTIAL: 0x04, CHAIN4: 0x08 } as const;

export const GFX = {
  SET_RESET: 0,
  ENABLE_SET_RESET: 1,
  COLOR_COMPARE: 2,
  ROTATE: 3,
  READ_MAP: 4,
  MODE: 5,
  MISC: 6,
  COLOR_CARE: 7,
  BIT_MASK: 8,
} as const;
export const GFX_MODE = {
  WRITE: 0x03,
  READ_COMPARE: 0x08,
  ODD_EVEN: 0x10,
  INTERLEAVE: 0x20,
  COLORS_256: 0x40,
} as const;
export const GFX_MISC = { GRAPHICS: 0x01, MAP: 0x0c } as const;

export const ATTR = { MODE: 0x10, OVERSCAN: 0x11, PLANES: 0x12, PANNING: 0x13, COLOR_SELECT: 0x14 } as const;
export const ATTR_MODE = { LINE_GRAPHICS: 0x04, BLINK: 0x08, PANNING_COMPAT: 0x20, PALETTE_54: 0x80 } as const;

export const CRTC = {
  HTOTAL: 0x00,
  HDISPLAY_END: 0x01,
  VTOTAL: 0x06,
  OVERFLOW: 0x07,
  PRESET_ROW: 0x08,
  MAX_SCAN_LINE: 0x09,
  CURSOR_START: 0x0a,
  CURSOR_END: 0x0b,
  START_HIGH: 0x0c,
  START_LOW: 0x0d,
  CURSOR_HIGH: 0x0e,
  CURSOR_LOW: 0x0f,
  VRETRACE_START: 0x10,
  VRETRACE_END: 0x11,
  VDISPLAY_END: 0x12,
  OFFSET: 0x13,
  UNDERLINE: 0x14,
  MODE: 0x17,
  LINE_COMPARE: 0x18,
} as const;
export const CRTC_COUNT = 0x19;
/** Registers 0 to 7 are write protected by this bit of VRETRACE_END (line compare's bit in OVERFLOW aside). */
export const PROTECT = 0x80;

export const MISC = { COLOR: 0x01, RAM: 0x02 } as const;
export const STATUS1 = { DISPLAY_OFF: 0x01, VRETRACE: 0x08 } as const;

/** Bits that exist, by register. */
export const SEQ_MASKS = [0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff];
export const GFX_MASKS = [0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff, 0, 0, 0, 0, 0, 0, 0];
const ATTR_OWN_MASKS = [0xef, 0xff, 0x3f, 0x0f, 0x0f];
export const ATTR_MASKS = Array.from({ length: 32 }, (_, i) => (i < 16 ? 0x3f : (ATTR_OWN_MASKS[i - 16] ?? 0)));

/** Bochs VBE extension ("dispi"): index at 1ceh, data at 1cfh. Source: Bochs, iodev/display/vga.h and VBE documentation. */
export const DISPI = {
  ID: 0,
  XRES: 1,
  YRES: 2,
  BPP: 3,
  ENABLE: 4,
  BANK: 5,
  VIRT_WIDTH: 6,
  VIRT_HEIGHT: 7,
  X_OFFSET: 8,
  Y_OFFSET: 9,
  MEMORY_64K: 10,
  DDC: 11,
} as const;
export const DISPI_COUNT = 12;
export const DISPI_ENABLE = { ENABLED: 0x01, GET_CAPS: 0x02, DAC_8BIT: 0x20, NO_CLEAR: 0x80 } as const;
export const DISPI_ID_FIRST = 0xb0c0;
export const DISPI_ID_LAST = 0xb0c5;
export const DISPI_MAX = { width: 16000, height: 12000, bpp: 32 } as const;

export const vgaPowerOn = () => ({
  misc: 0,
  feature: 0,
  seqIndex: 0,
  seq: new Uint8Array(8),
  gfxIndex: 0,
  gfx: new Uint8Array(16),
  attrIndex: 0,
  /** The next write to 3c0 is data. */
  attrData: false,
  attr: new Uint8Array(32),
  crtcIndex: 0,
  crtc: new Uint8Array(CRTC_COUNT),
  pelMask: 0xff,
  /** 256 colours of red, green, blue in 6 bits (8 with DISPI's DAC_8BIT). */
  dac: new Uint8Array(768),
  dacWriteIndex: 0,
  dacReadIndex: 0,
  dacComponent: 0,
  dacReading: false,
  dacPending: new Uint8Array(3),
  /** The four planes' bytes of the last read. */
  latch: 0,
  dispiIndex: 0,
  dispi: Uint16Array.from({ length: DISPI_COUNT }, (_, i) => (i === DISPI.ID ? DISPI_ID_LAST : 0)),
});

export type VgaState = ReturnType<typeof vgaPowerOn>;

export const dispiEnabled = (s: VgaState): boolean => (s.dispi[DISPI.ENABLE]! & DISPI_ENABLE.ENABLED) !== 0;
