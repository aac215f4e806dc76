/** Most of what is written is a construct of a few bytes. */
const FIRST_ROOM = 16;

/**
 * Growing little-endian byte buffer that table builders write into. What is written already is copied as a whole: nested
 * constructs are copied at each level, by code that runs once, when no compiler has seen it yet.
 */
export class ByteWriter {
  private data = new Uint8Array(FIRST_ROOM);
  private used = 0;

  get length(): number {
    return this.used;
  }

  u8(...values: readonly number[]): this {
    const at = this.grow(values.length);
    for (let i = 0; i < values.length; i++) this.data[at + i] = values[i]!;
    return this;
  }

  u16(value: number): this {
    const at = this.grow(2);
    this.data[at] = value;
    this.data[at + 1] = value >>> 8;
    return this;
  }

  u32(value: number): this {
    return this.u16(value).u16(value >>> 16);
  }

  /** Exact up to 2^53. */
  u64(value: number): this {
    return this.u32(value % 0x1_0000_0000).u32(Math.floor(value / 0x1_0000_0000));
  }

  bytes(from: Uint8Array | readonly number[]): this {
    const at = this.grow(from.length);
    this.data.set(from, at);
    return this;
  }

  zeros(count: number): this {
    this.grow(count);
    return this;
  }

  /** ASCII, cut or padded with `pad` to exactly `size` bytes. */
  text(value: string, size = value.length, pad = 0): this {
    const at = this.grow(size);
    for (let i = 0; i < size; i++) this.data[at + i] = i < value.length ? value.charCodeAt(i) : pad;
    return this;
  }

  align(to: number): this {
    return this.zeros((to - (this.length % to)) % to);
  }

  setU16(at: number, value: number): void {
    this.data[at] = value;
    this.data[at + 1] = value >>> 8;
  }

  setU32(at: number, value: number): void {
    this.setU16(at, value);
    this.setU16(at + 2, value >>> 16);
  }

  finish(): Uint8Array {
    return this.data.slice(0, this.used);
  }

  /** Room for so many more bytes, all 0; gives where they begin. */
  private grow(count: number): number {
    const at = this.used;
    this.used += count;
    if (this.used > this.data.length) {
      const more = new Uint8Array(Math.max(this.used, 2 * this.data.length));
      more.set(this.data);
      this.data = more;
    }
    return at;
  }
}

/** The value that makes `bytes[start..end)` sum to 0 modulo 256 when it replaces a zero byte among them. */
export function checksum(bytes: Uint8Array, start = 0, end = bytes.length): number {
  let sum = 0;
  for (let i = start; i < end; i++) sum += bytes[i]!;
  return -sum & 0xff;
}
