// hot path
/** Draws rows of video memory into rows of pixels. */
import { rgb } from '../../display/surface.js';
import type { VgaMode } from './vga-mode.js';
import { ATTR, ATTR_MODE, CRTC, DISPI, DISPI_ENABLE, dispiEnabled, SEQ, type VgaState } from './vga-registers.js';

/** Bytes that a row of `width` dots takes from video memory. */
export function rowBytes(mode: VgaMode): number {
  switch (mode.kind) {
    case 'text':
    case 'planar16':
    case 'cga4':
      return Math.ceil(mode.width / (8 * mode.repeat)) * 4 + 4;
    case 'packed8':
      return Math.ceil(mode.width / mode.repeat) + 4;
    case 'rgb15':
    case 'rgb16':
      return mode.width * 2;
    case 'rgb24':
      return mode.width * 3;
    case 'rgb32':
      return mode.width * 4;
  }
}

const FONT_BANK = 16384;
const FONT_SECOND_HALF = 8192;
/** Characters whose eighth column is repeated in the ninth when LINE_GRAPHICS is on. */
const FIRST_LINE_CHARACTER = 0xc0;
const LAST_LINE_CHARACTER = 0xdf;

export interface TextCursor {
  /** Word of video memory; -1 while it is hidden. */
  readonly word: number;
  readonly firstLine: number;
  readonly lastLine: number;
}

export class VgaPainter {
  /** The 256 colours of the DAC, and the 16 that attributes and planes select. */
  readonly colors = new Uint32Array(256);
  readonly palette16 = new Uint32Array(16);
  readonly #s: VgaState;
  readonly #vram: Uint8Array;
  readonly #mask: number;
  /** A row before panning. */
  #wide = new Uint32Array(0);

  constructor(state: VgaState, vram: Uint8Array) {
    this.#s = state;
    this.#vram = vram;
    this.#mask = vram.length - 1;
  }

  /** Recomputes the colours from DAC and attribute registers. */
  loadColors(): void {
    const { dac, attr, pelMask } = this.#s;
    const wide = dispiEnabled(this.#s) && (this.#s.dispi[DISPI.ENABLE]! & DISPI_ENABLE.DAC_8BIT) !== 0;
    // Six bits to eight by repeating the lowest, as QEMU does: pictures can be compared dot by dot.
    const level = (v: number) => (wide ? v : ((v & 0x3f) << 2) | ((v & 1) * 3));
    for (let i = 0; i < 256; i++) {
      const at = (i & pelMask) * 3;
      this.colors[i] = rgb(level(dac[at]!), level(dac[at + 1]!), level(dac[at + 2]!));
    }
    const select = attr[ATTR.COLOR_SELECT]!;
    for (let i = 0; i < 16; i++) {
      let color = attr[i & attr[ATTR.PLANES]!]! & 0x3f;
      if (attr[ATTR.MODE]! & ATTR_MODE.PALETTE_54) color = (color & 0x0f) | ((select & 3) << 4);
      this.palette16[i] = this.colors[color | ((select & 0x0c) << 4)]!;
    }
  }

  /** Draws one scan line of a graphics mode from video memory at `address`. */
  drawLine(mode: VgaMode, address: number, panning: number, out: Uint32Array): void {
    if (panning === 0) {
      this.#drawDots(mode, address, out);
      return;
    }
    if (this.#wide.length < out.length + 16) this.#wide = new Uint32Array(out.length + 16);
    const wide = this.#wide.subarray(0, out.length + 16);
    this.#drawDots(mode, address, wide);
    out.set(wide.subarray(panning, panning + out.length));
  }

  #drawDots(mode: VgaMode, address: number, out: Uint32Array): void {
    switch (mode.kind) {
      case 'planar16':
        this.#planar16(address, mode.repeat, out);
        break;
      case 'cga4':
        this.#cga4(address, mode.repeat, out);
        break;
      case 'packed8':
        this.#packed8(address, mode.repeat, out);
        break;
      case 'rgb15':
      case 'rgb16':
        this.#rgb16(address, mode.kind === 'rgb16', out);
        break;
      case 'rgb24':
        this.#rgb24(address, out);
        break;
      case 'rgb32':
        this.#rgb32(address, out);
        break;
      case 'text':
        break;
    }
  }

  #planar16(address: number, repeat: number, out: Uint32Array): void {
    const v = this.#vram;
    const colors = this.palette16;
    for (let x = 0, a = address; x < out.length; a += 4) {
      const w = a & this.#mask;
      const p0 = v[w]!;
      const p1 = v[w + 1]! << 1;
      const p2 = v[w + 2]! << 2;
      const p3 = v[w + 3]! << 3;
      for (let bit = 7; bit >= 0; bit--) {
        const index = ((p0 >> bit) & 1) | ((p1 >> bit) & 2) | ((p2 >> bit) & 4) | ((p3 >> bit) & 8);
        for (let r = 0; r < repeat && x < out.length; r++) out[x++] = colors[index]!;
      }
    }
  }

  #cga4(address: number, repeat: number, out: Uint32Array): void {
    const v = this.#vram;
    const colors = this.palette16;
    for (let x = 0, a = address; x < out.length; a += 4) {
      const w = a & this.#mask;
      // Planes 0 and 1 hold the pixels one after the other; planes 2 and 3 their upper two bits.
      const low = (v[w]! << 8) | v[w + 1]!;
      const high = (v[w + 2]! << 8) | v[w + 3]!;
      for (let shift = 14; shift >= 0; shift -= 2) {
        const index = ((low >> shift) & 3) | (((high >> shift) & 3) << 2);
        for (let r = 0; r < repeat && x < out.length; r++) out[x++] = colors[index]!;
      }
    }
  }

  #packed8(address: number, repeat: number, out: Uint32Array): void {
    const v = this.#vram;
    const colors = this.colors;
    for (let x = 0, a = address; x < out.length; a++) {
      const color = colors[v[a & this.#mask]!]!;
      for (let r = 0; r < repeat && x < out.length; r++) out[x++] = color;
    }
  }

  #rgb16(address: number, six: boolean, out: Uint32Array): void {
    const v = this.#vram;
    for (let x = 0, a = address; x < out.length; x++, a += 2) {
      const pixel = v[a & this.#mask]! | (v[(a + 1) & this.#mask]! << 8);
      const blue = pixel & 31;
      // Five bits of green become six as they would eight: the highest fill up from below.
      const green = six ? (pixel >> 5) & 63 : (((pixel >> 5) & 31) << 1) | ((pixel >> 9) & 1);
      const red = (pixel >> (six ? 11 : 10)) & 31;
      out[x] = rgb((red << 3) | (red >> 2), (green << 2) | (green >> 4), (blue << 3) | (blue >> 2));
    }
  }

  #rgb24(address: number, out: Uint32Array): void {
    const v = this.#vram;
    for (let x = 0, a = address; x < out.length; x++, a += 3)
      out[x] = rgb(v[(a + 2) & this.#mask]!, v[(a + 1) & this.#mask]!, v[a & this.#mask]!);
  }

  #rgb32(address: number, out: Uint32Array): void {
    const v = this.#vram;
    for (let x = 0, a = address; x < out.length; x++, a += 4)
      out[x] = rgb(v[(a + 2) & this.#mask]!, v[(a + 1) & this.#mask]!, v[a & this.#mask]!);
  }

  /** Draws scan line `line` of a row of characters at `address`. `blinkOff`: blinking characters are dark now. */
  drawTextLine(
    mode: VgaMode,
    address: number,
    line: number,
    cursor: TextCursor,
    blinkOff: boolean,
    panning: number,
    out: Uint32Array,
  ): void {
    const s = this.#s;
    const v = this.#vram;
    const fontSelect = s.seq[SEQ.FONT]!;
    const fontA = fontOffset((fontSelect >> 2) & 3, (fontSelect >> 5) & 1);
    const fontB = fontOffset(fontSelect & 3, (fontSelect >> 4) & 1);
    const attrMode = s.attr[ATTR.MODE]!;
    const blinks = (attrMode & ATTR_MODE.BLINK) !== 0;
    const underline = attrMode & 2 ? s.crtc[CRTC.UNDERLINE]! & 31 : -1;
    const dots = mode.charWidth / mode.repeat;
    const onCursor = line >= cursor.firstLine && line <= cursor.lastLine;
    let x = -panning;
    for (let a = address; x < out.length; a += 4) {
      const w = a & this.#mask;
      const character = v[w]!;
      const attribute = v[w + 1]!;
      let fore = attribute & 15;
      const back = blinks ? (attribute >> 4) & 7 : attribute >> 4;
      const font = attribute & 8 ? fontA : fontB;
      let bits = v[((font + character * 32 + line) << 2) + 2]! << 1;
      if (attrMode & ATTR_MODE.LINE_GRAPHICS && character >= FIRST_LINE_CHARACTER && character <= LAST_LINE_CHARACTER)
        bits |= (bits >> 1) & 1;
      if (line === underline && (attribute & 7) === 1) bits = 0x1ff;
      if (blinks && attribute & 0x80 && blinkOff) fore = back;
      if (onCursor && w >> 2 === cursor.word) bits = 0x1ff;
      const foreColor = this.palette16[fore]!;
      const backColor = this.palette16[back]!;
      for (let dot = 0; dot < dots; dot++) {
        const color = (bits >> (8 - dot)) & 1 ? foreColor : backColor;
        for (let r = 0; r < mode.repeat; r++, x++) if (x >= 0 && x < out.length) out[x] = color;
      }
    }
  }
}

const fontOffset = (bank: number, half: number): number => bank * FONT_BANK + half * FONT_SECOND_HALF;
