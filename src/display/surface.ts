/** A picture in memory: what a display adapter draws and what screens, dumps and remote displays show. */

/** A colour as the 32-bit word that, stored little endian, reads R, G, B, A. */
export const rgb = (r: number, g: number, b: number): number => (0xff00_0000 | (b << 16) | (g << 8) | r) >>> 0;

export class Surface {
  /** One word a pixel, rows from the top, no gaps between rows. */
  readonly pixels: Uint32Array;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.pixels = new Uint32Array(width * height).fill(rgb(0, 0, 0));
  }

  /** The same pixels as bytes R, G, B, A. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.pixels.buffer);
  }

  /** A row of pixels, to draw into. */
  row(y: number): Uint32Array {
    return this.pixels.subarray(y * this.width, (y + 1) * this.width);
  }
}
