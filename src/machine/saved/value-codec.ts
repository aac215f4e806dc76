/**
 * State values as bytes. A value is a tag and what belongs to it; lengths and counts are 32 bits, everything is little endian:
 *
 *   0, 1     false, true
 *   2, 3     a number as 32-bit integer, as double
 *   4, 5     a bigint from 0 on, one below 0: its magnitude in 64 bits
 *   6        a text: length, UTF-8
 *   7, 8, 9  an array of 8, 16, 32-bit elements: count, elements
 *   10       an array of values: count, values
 *   11       an object: count, then key (as in 6, without tag) and value of each field
 *
 * What is read may come from anywhere: nothing is believed, and what it makes here is bounded by `MOST_VALUES` and its length.
 */
import { Bug, UserError } from '../../base/errors.js';
import type { StateValue } from '../state.js';

const Tag = {
  false: 0,
  true: 1,
  int: 2,
  double: 3,
  bigint: 4,
  negative: 5,
  text: 6,
  bytes: 7,
  halves: 8,
  words: 9,
  array: 10,
  object: 11,
} as const;

/** A machine has some thousands. */
const MOST_VALUES = 1 << 20;
const DEEPEST = 64;
const FIRST_ROOM = 1 << 16;
const LAST_ASCII = 0x7f;
const SHORT_TEXT = 64;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

export function encodeValue(value: StateValue): Uint8Array {
  const writer = new Writer();
  writer.value(value);
  return writer.taken();
}

/** Throws UserError when `bytes` are not one value and nothing more. */
export function decodeValue(bytes: Uint8Array): StateValue {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Writer {
  #bytes = new Uint8Array(FIRST_ROOM);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  taken(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  value(v: StateValue): void {
    if (typeof v === 'boolean') this.#tag(v ? Tag.true : Tag.false);
    else if (typeof v === 'number') this.#number(v);
    else if (typeof v === 'bigint') this.#bigint(v);
    else if (typeof v === 'string') {
      this.#tag(Tag.text);
      this.#text(v);
    } else if (v instanceof Uint8Array) this.#elements(Tag.bytes, v);
    else if (v instanceof Uint16Array) this.#elements(Tag.halves, v);
    else if (v instanceof Uint32Array) this.#elements(Tag.words, v);
    else if (Array.isArray(v)) {
      this.#tag(Tag.array);
      this.#count(v.length);
      for (const each of v as readonly StateValue[]) this.value(each);
    } else if (typeof v === 'object' && v !== null) {
      const fields = Object.entries(v as { readonly [key: string]: StateValue });
      this.#tag(Tag.object);
      this.#count(fields.length);
      for (const [key, each] of fields) {
        this.#text(key);
        this.value(each);
      }
    } else throw new Bug(`a state holds ${String(v)}`);
  }

  #number(v: number): void {
    if ((v | 0) === v && !Object.is(v, -0)) {
      this.#tag(Tag.int);
      this.#room(4);
      this.#view.setInt32(this.#at, v, true);
      this.#at += 4;
    } else {
      this.#tag(Tag.double);
      this.#room(8);
      this.#view.setFloat64(this.#at, v, true);
      this.#at += 8;
    }
  }

  #bigint(v: bigint): void {
    const magnitude = v < 0n ? -v : v;
    if (magnitude >= 1n << 64n) throw new Bug(`a state holds ${v}`);
    this.#tag(v < 0n ? Tag.negative : Tag.bigint);
    this.#room(8);
    this.#view.setBigUint64(this.#at, magnitude, true);
    this.#at += 8;
  }

  #elements(tag: number, v: Uint8Array | Uint16Array | Uint32Array): void {
    this.#tag(tag);
    this.#count(v.length);
    this.#append(new Uint8Array(v.buffer, v.byteOffset, v.byteLength));
  }

  #text(v: string): void {
    const { length } = v;
    this.#count(length);
    this.#room(length);
    const start = this.#at;
    for (let i = 0; i < length; i++) {
      const code = v.charCodeAt(i);
      if (code > LAST_ASCII) {
        this.#at = start - 4;
        this.#encoded(v);
        return;
      }
      this.#bytes[start + i] = code;
    }
    this.#at = start + length;
  }

  /** A text that is not ASCII, as almost all are. */
  #encoded(v: string): void {
    const bytes = encoder.encode(v);
    this.#count(bytes.length);
    this.#append(bytes);
  }

  #append(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #tag(tag: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = tag;
  }

  #count(n: number): void {
    this.#room(4);
    this.#view.setUint32(this.#at, n, true);
    this.#at += 4;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + bytes));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

const broken = (what: string): never => {
  throw new UserError(`the saved state is broken: ${what}`);
};

class Reader {
  readonly #view: DataView;
  #at = 0;
  #values = 0;

  constructor(private readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  end(): void {
    if (this.#at !== this.bytes.length) broken('something follows its last value');
  }

  value(depth: number): StateValue {
    if (++this.#values > MOST_VALUES) broken('it holds too many values');
    if (depth > DEEPEST) broken('its values are nested too deep');
    const tag = this.bytes[this.#take(1)]!;
    switch (tag) {
      case Tag.false:
        return false;
      case Tag.true:
        return true;
      case Tag.int:
        return this.#view.getInt32(this.#take(4), true);
      case Tag.double:
        return this.#view.getFloat64(this.#take(8), true);
      case Tag.bigint:
        return this.#view.getBigUint64(this.#take(8), true);
      case Tag.negative:
        return -this.#view.getBigUint64(this.#take(8), true);
      case Tag.text:
        return this.#text();
      case Tag.bytes:
        return this.#elements(1);
      case Tag.halves:
        return new Uint16Array(this.#elements(2).buffer);
      case Tag.words:
        return new Uint32Array(this.#elements(4).buffer);
      case Tag.array: {
        const count = this.#count();
        const values: StateValue[] = [];
        for (let i = 0; i < count; i++) values.push(this.value(depth + 1));
        return values;
      }
      case Tag.object:
        return this.#object(depth);
      default:
        return broken(`no value begins with ${tag}`);
    }
  }

  #object(depth: number): StateValue {
    const count = this.#count();
    const fields: Record<string, StateValue> = {};
    for (let i = 0; i < count; i++) {
      const key = this.#text();
      // The one name that would not become a field.
      if (key === '__proto__' || Object.hasOwn(fields, key)) broken(`it has the field '${key}' twice`);
      fields[key] = this.value(depth + 1);
    }
    return fields;
  }

  #text(): string {
    const length = this.#count();
    const at = this.#take(length);
    const ascii = length <= SHORT_TEXT ? this.#ascii(at, length) : undefined;
    if (ascii !== undefined) return ascii;
    try {
      return decoder.decode(this.bytes.subarray(at, at + length));
    } catch {
      return broken('a text is not UTF-8');
    }
  }

  /** A call of the decoder takes longer than most names. Undefined for what is not ASCII. */
  #ascii(at: number, length: number): string | undefined {
    let text = '';
    for (let i = at; i < at + length; i++) {
      const code = this.bytes[i]!;
      if (code > LAST_ASCII) return undefined;
      text += String.fromCharCode(code);
    }
    return text;
  }

  #elements(size: number): Uint8Array {
    const length = size * this.#count();
    const at = this.#take(length);
    // A copy of its own: `slice` of Node.js's buffers is none.
    return new Uint8Array(this.bytes.subarray(at, at + length));
  }

  #count(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** Where the next `bytes` bytes are. */
  #take(bytes: number): number {
    const at = this.#at;
    if (bytes > this.bytes.length - at) broken('it is cut off');
    this.#at = at + bytes;
    return at;
  }
}
