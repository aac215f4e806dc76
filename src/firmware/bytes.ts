/** Growing little-endian byte buffer that table builders write into: an array, as most are a few bytes long. */
export class ByteWriter {
  private readonly data: number[] = [];

  get length(): number {
    return this.data.length;
  }

  u8(...values: readonly number[]): this {
    for (const v of values) this.data.push(v & 0xff);
    return this;
  }

  u16(value: number): this {
    this.data.push(value & 0xff, (value >>> 8) & 0xff);
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
    for (let i = 0; i < from.length; i++) this.data.push(from[i]! & 0xff);
    return this;
  }

  zeros(count: number): this {
    for (let i = 0; i < count; i++) this.data.push(0);
    return this;
  }

  /** ASCII, cut or padded with `pad` to exactly `size` bytes. */
  text(value: string, size = value.length, pad = 0): this {
    for (let i = 0; i < size; i++) this.data.push(i < value.length ? value.charCodeAt(i) & 0xff : pad);
    return this;
  }

  align(to: number): this {
    return this.zeros((to - (this.length % to)) % to);
  }

  setU16(at: number, value: number): void {
    this.data[at] = value & 0xff;
    this.data[at + 1] = (value >>> 8) & 0xff;
  }

  setU32(at: number, value: number): void {
    this.setU16(at, value);
    this.setU16(at + 2, value >>> 16);
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.data);
  }
}

/** The value that makes `bytes[start..end)` sum to 0 modulo 256 when it replaces a zero byte among them. */
export function checksum(bytes: Uint8Array, start = 0, end = bytes.length): number {
  let sum = 0;
  for (let i = start; i < end; i++) sum += bytes[i]!;
  return -sum & 0xff;
}
