/** C structures as typed values: each is declared once, its offsets and size follow from the natural alignment of C. */

/** How a value lies in memory. */
export interface Codec<T> {
  readonly size: number;
  readonly align: number;
  read(view: DataView, at: number): T;
  write(view: DataView, at: number, value: T): void;
}

export interface Struct<T> extends Codec<T> {
  /** Byte offset of each field. */
  readonly at: Readonly<Record<keyof T, number>>;
  /** A buffer of its size that holds `value`, followed by `extra` bytes. */
  encode(value: T, extra?: number): Uint8Array;
  decode(bytes: Uint8Array, at?: number): T;
}

export const u8: Codec<number> = {
  size: 1,
  align: 1,
  read: (view, at) => view.getUint8(at),
  write: (view, at, value) => view.setUint8(at, value),
};
export const u16: Codec<number> = {
  size: 2,
  align: 2,
  read: (view, at) => view.getUint16(at, true),
  write: (view, at, value) => view.setUint16(at, value, true),
};
export const u32: Codec<number> = {
  size: 4,
  align: 4,
  read: (view, at) => view.getUint32(at, true),
  write: (view, at, value) => view.setUint32(at, value, true),
};
export const s32: Codec<number> = {
  size: 4,
  align: 4,
  read: (view, at) => view.getInt32(at, true),
  write: (view, at, value) => view.setInt32(at, value, true),
};
export const u64: Codec<bigint> = {
  size: 8,
  align: 8,
  read: (view, at) => view.getBigUint64(at, true),
  write: (view, at, value) => view.setBigUint64(at, value, true),
};
export const s64: Codec<bigint> = {
  size: 8,
  align: 8,
  read: (view, at) => view.getBigInt64(at, true),
  write: (view, at, value) => view.setBigInt64(at, value, true),
};

/** Opaque bytes; a shorter value leaves the rest zero. */
export function bytes(size: number): Codec<Uint8Array> {
  return {
    size,
    align: 1,
    read: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, size).slice(),
    write: (view, at, value) => new Uint8Array(view.buffer, view.byteOffset + at, size).set(value),
  };
}

export function array<T>(element: Codec<T>, count: number): Codec<readonly T[]> {
  return {
    size: element.size * count,
    align: element.align,
    read: (view, at) => Array.from({ length: count }, (_, i) => element.read(view, at + i * element.size)),
    write: (view, at, value) => {
      for (const [i, v] of value.entries()) element.write(view, at + i * element.size, v);
    },
  };
}

/** `minimum`: reserved bytes at the end are not fields, they only make it this large. */
export function struct<T extends object>(fields: { readonly [K in keyof T]: Codec<T[K]> }, minimum = 0): Struct<T> {
  const names = Object.keys(fields) as (keyof T)[];
  const at = {} as Record<keyof T, number>;
  let end = 0;
  let align = 1;
  for (const name of names) {
    const field = fields[name];
    end = Math.ceil(end / field.align) * field.align;
    at[name] = end;
    end += field.size;
    align = Math.max(align, field.align);
  }
  const size = Math.ceil(Math.max(end, minimum) / align) * align;
  const read = (view: DataView, base: number): T => {
    const value = {} as T;
    for (const name of names) value[name] = fields[name].read(view, base + at[name]);
    return value;
  };
  const write = (view: DataView, base: number, value: T): void => {
    for (const name of names) fields[name].write(view, base + at[name], value[name]);
  };
  return {
    size,
    align,
    at,
    read,
    write,
    encode: (value, extra = 0) => {
      const encoded = new Uint8Array(size + extra);
      write(new DataView(encoded.buffer), 0, value);
      return encoded;
    },
    decode: (from, start = 0) => read(new DataView(from.buffer, from.byteOffset, from.byteLength), start),
  };
}
