/** A picture in memory: what a display adapter draws and what screens, dumps and remote displays show. */

/** A colour as the 32-bit word that, stored little endian, reads R, G, B, A. */
export const rgb = (r: number, g: number, b: number): number => (0xff00_0000 | (b << 16) | (g << 8) | r) >>> 0;

export class Surface {
  #pixels: Uint32Array | undefined;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {}

  /** One word a pixel, rows from the top, no gaps between rows. Made when someone wants to see them: most machines have no screen. */
  get pixels(): Uint32Array {
    this.#pixels ??= new Uint32Array(this.width * this.height).fill(rgb(0, 0, 0));
    return this.#pixels;
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
