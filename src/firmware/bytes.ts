/** Growing little-endian byte buffer that table builders write into. */
export class ByteWriter {
  private buffer = new Uint8Array(256);
  private view = new DataView(this.buffer.buffer);
  private end = 0;

  get length(): number {
    return this.end;
  }

  private grow(by: number): number {
    const at = this.end;
    this.end += by;
    if (this.end > this.buffer.length) {
      const next = new Uint8Array(Math.max(this.end, this.buffer.length * 2));
      next.set(this.buffer);
      this.buffer = next;
      this.view = new DataView(next.buffer);
    }
    return at;
  }

  u8(...values: readonly number[]): this {
    for (const v of values) {
      const at = this.grow(1);
      this.buffer[at] = v;
    }
    return this;
  }

  u16(value: number): this {
    const at = this.grow(2);
    this.view.setUint16(at, value, true);
    return this;
  }

  u32(value: number): this {
    const at = this.grow(4);
    this.view.setUint32(at, value, true);
    return this;
  }

  /** Exact up to 2^53. */
  u64(value: number): this {
    return this.u32(value % 0x1_0000_0000).u32(Math.floor(value / 0x1_0000_0000));
  }

  bytes(from: Uint8Array | readonly number[]): this {
    const at = this.grow(from.length);
    this.buffer.set(from, at);
    return this;
  }

  zeros(count: number): this {
    this.grow(count);
    return this;
  }

  /** ASCII, cut or padded with `pad` to exactly `size` bytes. */
  text(value: string, size = value.length, pad = 0): this {
    for (let i = 0; i < size; i++) this.u8(i < value.length ? value.charCodeAt(i) & 0xff : pad);
    return this;
  }

  align(to: number): this {
    return this.zeros((to - (this.end % to)) % to);
  }

  setU16(at: number, value: number): void {
    this.view.setUint16(at, value, true);
  }

  setU32(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }

  finish(): Uint8Array {
    return this.buffer.slice(0, this.end);
  }
}

/** The value that makes `bytes[start..end)` sum to 0 modulo 256 when it replaces a zero byte among them. */
export function checksum(bytes: Uint8Array, start = 0, end = bytes.length): number {
  let sum = 0;
  for (let i = start; i < end; i++) sum += bytes[i]!;
  return -sum & 0xff;
}
