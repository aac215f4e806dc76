/** What the registers of a VGA amount to: the picture's size and kind, and where its rows are in video memory. */
import {
  ATTR,
  ATTR_MODE,
  CLOCKING,
  CRTC,
  DISPI,
  dispiEnabled,
  GFX,
  GFX_MISC,
  GFX_MODE,
  SEQ,
  type VgaState,
} from './vga-registers.js';

/** How a row of video memory becomes pixels. `cga4`: two bits a pixel from interleaved planes. */
export type PixelKind = 'text' | 'planar16' | 'cga4' | 'packed8' | 'rgb15' | 'rgb16' | 'rgb24' | 'rgb32';

export interface VgaMode {
  readonly kind: PixelKind;
  /** The screen is off: black, of this size. */
  readonly blank: boolean;
  /** In dots and scan lines. */
  readonly width: number;
  readonly height: number;
  /** First byte of the picture and bytes from row to row, in video memory. */
  readonly start: number;
  readonly stride: number;
  /** Dots that a pixel is wide; 2 when every scan line is drawn twice. */
  readonly repeat: number;
  readonly doubled: 1 | 2;
  /** The scan line after which the picture starts over at address 0 (split screen). */
  readonly lineCompare: number;
  /** Dots that the picture is moved to the left. */
  readonly panning: number;
  /** In text: dots of a character. Rows are so many scan lines high, before doubling. */
  readonly charWidth: number;
  readonly rowLines: number;
  /** CGA and Hercules interleave: bits of the address that the row-scan counter's replace. */
  readonly interleave: 0 | 1 | 2 | 3;
}

const never = Number.MAX_SAFE_INTEGER;
const VBE_KINDS: { readonly [bpp: number]: PixelKind } = {
  4: 'planar16',
  8: 'packed8',
  15: 'rgb15',
  16: 'rgb16',
  24: 'rgb24',
  32: 'rgb32',
};

/** Bits 8 and 9 of a vertical register, from OVERFLOW's bits `eight` and `nine`. */
const overflow = (s: VgaState, eight: number, nine: number): number =>
  (((s.crtc[CRTC.OVERFLOW]! >> eight) & 1) << 8) | (((s.crtc[CRTC.OVERFLOW]! >> nine) & 1) << 9);

/** In scan lines of the monitor. */
export function verticalTiming(s: VgaState): {
  readonly total: number;
  readonly display: number;
  readonly retrace: number;
} {
  return {
    total: (s.crtc[CRTC.VTOTAL]! | overflow(s, 0, 5)) + 2,
    display: (s.crtc[CRTC.VDISPLAY_END]! | overflow(s, 1, 6)) + 1,
    retrace: s.crtc[CRTC.VRETRACE_START]! | overflow(s, 2, 7),
  };
}

export function vgaMode(s: VgaState, vramBytes: number): VgaMode {
  const blank = !(s.attrIndex & 0x20) || (s.seq[SEQ.CLOCKING]! & CLOCKING.SCREEN_OFF) !== 0;
  return dispiEnabled(s) ? vbeMode(s, vramBytes, blank) : legacyMode(s, blank);
}

/** Bits a pixel to bytes of a row, as DISPI counts them. */
export const vbeStride = (width: number, bpp: number): number => (bpp === 4 ? width >> 1 : width * ((bpp + 7) >> 3));

function vbeMode(s: VgaState, vramBytes: number, blank: boolean): VgaMode {
  const bpp = s.dispi[DISPI.BPP]!;
  const width = s.dispi[DISPI.XRES]!;
  const stride = Math.max(1, vbeStride(s.dispi[DISPI.VIRT_WIDTH]!, bpp));
  return {
    kind: VBE_KINDS[bpp] ?? 'packed8',
    blank,
    width: Math.max(1, width),
    // A guest may ask for more than there is memory for.
    height: Math.max(1, Math.min(s.dispi[DISPI.YRES]!, Math.floor(vramBytes / stride))),
    start: s.dispi[DISPI.Y_OFFSET]! * stride + vbeStride(s.dispi[DISPI.X_OFFSET]!, bpp),
    stride,
    repeat: 1,
    doubled: 1,
    lineCompare: never,
    panning: 0,
    charWidth: 8,
    rowLines: 1,
    interleave: 0,
  };
}

function legacyMode(s: VgaState, blank: boolean): VgaMode {
  const { crtc } = s;
  const graphics = (s.gfx[GFX.MISC]! & GFX_MISC.GRAPHICS) !== 0;
  const clocking = s.seq[SEQ.CLOCKING]!;
  const maxScan = crtc[CRTC.MAX_SCAN_LINE]!;
  const doubled = maxScan & 0x80 ? 2 : 1;
  const halfClock = clocking & CLOCKING.HALF_DOT_CLOCK ? 2 : 1;
  const charWidth = graphics || clocking & CLOCKING.EIGHT_DOTS ? 8 : 9;
  const gfxMode = s.gfx[GFX.MODE]!;
  const packed = graphics && (gfxMode & GFX_MODE.COLORS_256) !== 0;
  const kind = !graphics ? 'text' : packed ? 'packed8' : gfxMode & GFX_MODE.INTERLEAVE ? 'cga4' : 'planar16';
  const compare =
    crtc[CRTC.LINE_COMPARE]! | (((crtc[CRTC.OVERFLOW]! >> 4) & 1) << 8) | (((crtc[CRTC.MAX_SCAN_LINE]! >> 6) & 1) << 9);
  // Nine-dot characters count panning from 8, which stands for 0.
  const panning = s.attr[ATTR.PANNING]! & 15;
  const repeat = packed ? 2 : halfClock;
  return {
    kind,
    blank,
    width: (crtc[CRTC.HDISPLAY_END]! + 1) * charWidth * halfClock,
    height: verticalTiming(s).display,
    start: ((crtc[CRTC.START_HIGH]! << 8) | crtc[CRTC.START_LOW]!) << 2,
    stride: crtc[CRTC.OFFSET]! << 3,
    repeat,
    doubled,
    lineCompare: compare + 1,
    panning: charWidth === 9 ? (panning + 1) % 9 : packed ? panning & 7 : (panning & 7) * halfClock,
    charWidth: charWidth * halfClock,
    rowLines: (maxScan & 0x1f) + 1,
    interleave: graphics ? ((~crtc[CRTC.MODE]! & 3) as 0 | 1 | 2 | 3) : 0,
  };
}

/** What the second half of a split screen does with panning. */
export const panningStops = (s: VgaState): boolean => (s.attr[ATTR.MODE]! & ATTR_MODE.PANNING_COMPAT) !== 0;
