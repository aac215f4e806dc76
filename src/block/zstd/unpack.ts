/** Unpacking Zstandard frames (RFC 8878). Anything that breaks the rules ends in `Broken`. */
// hot path
import { getU32 } from '../../base/bytes.js';
import {
  DEFAULT_LITERAL_LENGTHS,
  DEFAULT_MATCH_LENGTHS,
  DEFAULT_OFFSETS,
  type Distribution,
  LITERAL_LENGTHS,
  MATCH_LENGTHS,
  MAX_BLOCK,
  spread,
} from './tables.js';

const MAGIC = 0xfd2fb528;
const MAX_HUFFMAN_BITS = 11;

class Broken extends Error {}

function fail(): never {
  throw new Broken();
}

/** Reads bits from the end of a stream towards its beginning. */
class BackwardBits {
  #bit: number;

  constructor(
    readonly bytes: Uint8Array,
    readonly from: number,
    to: number,
  ) {
    if (to <= from || bytes[to - 1] === 0) fail();
    this.#bit = to * 8 - Math.clz32(bytes[to - 1]!) + 24 - 1;
  }

  /** Bits that are left; negative when more were read than there are. */
  get left(): number {
    return this.#bit - this.from * 8;
  }

  /** At most 25 bits; beyond the beginning they are zero. */
  read(count: number): number {
    this.#bit -= count;
    return this.#at(this.#bit, count);
  }

  peek(count: number): number {
    return this.#at(this.#bit - count, count);
  }

  skip(count: number): void {
    this.#bit -= count;
  }

  #at(bit: number, count: number): number {
    if (count === 0) return 0;
    const first = this.from * 8;
    if (bit < first) {
      const missing = first - bit;
      if (missing >= count) return 0;
      return (this.#at(first, count - missing) << missing) >>> 0;
    }
    const byte = bit >> 3;
    const b = this.bytes;
    const word =
      (b[byte]! | ((b[byte + 1] ?? 0) << 8) | ((b[byte + 2] ?? 0) << 16) | ((b[byte + 3] ?? 0) << 24)) >>> (bit & 7);
    return word & ((1 << count) - 1);
  }
}

interface StateTable {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
  readonly bases: Uint16Array;
}

function stateTable(d: Distribution): StateTable {
  const symbols = spread(d);
  const next = d.counts.map((c) => (c === -1 ? 1 : c));
  const bits = new Uint8Array(symbols.length);
  const bases = new Uint16Array(symbols.length);
  for (let i = 0; i < symbols.length; i++) {
    const state = next[symbols[i]!]!++;
    const n = d.log - (31 - Math.clz32(state));
    bits[i] = n;
    bases[i] = (state << n) - symbols.length;
  }
  return { log: d.log, symbols, bits, bases };
}

const single = (symbol: number): StateTable => ({
  log: 0,
  symbols: Uint8Array.of(symbol),
  bits: new Uint8Array(1),
  bases: new Uint16Array(1),
});

/** A distribution as streams carry it, from byte `at` on. Gives where it ends. */
function readDistribution(
  bytes: Uint8Array,
  at: number,
  end: number,
  maxLog: number,
  maxSymbol: number,
): [Distribution, number] {
  let bit = at * 8;
  const peek = (count: number): number => {
    let value = 0;
    for (let i = 0; i < count; i++) {
      const b = bit + i;
      const byte = b >> 3 < end ? bytes[b >> 3]! : 0;
      value |= ((byte >> (b & 7)) & 1) << i;
    }
    return value;
  };
  const log = peek(4) + 5;
  bit += 4;
  if (log > maxLog) fail();
  let remaining = (1 << log) + 1;
  const counts: number[] = [];
  while (remaining > 1) {
    if (counts.length > maxSymbol || bit > end * 8) fail();
    const width = 32 - Math.clz32(remaining);
    const low = (1 << (width - 1)) - 1;
    const threshold = (1 << width) - 1 - remaining;
    let value = peek(width);
    if ((value & low) < threshold) {
      value &= low;
      bit += width - 1;
    } else {
      if (value > low) value -= threshold;
      bit += width;
    }
    const count = value - 1;
    counts.push(count);
    remaining -= Math.abs(count);
    if (count !== 0) continue;
    for (;;) {
      const repeat = peek(2);
      bit += 2;
      for (let i = 0; i < repeat; i++) counts.push(0);
      if (repeat !== 3) break;
      if (bit > end * 8) fail();
    }
  }
  if (remaining !== 1 || counts.length > maxSymbol + 1 || bit > end * 8) fail();
  return [{ log, counts }, Math.ceil(bit / 8)];
}

interface Huffman {
  readonly bits: number;
  readonly symbols: Uint8Array;
  readonly lengths: Uint8Array;
}

function readHuffman(bytes: Uint8Array, at: number, end: number): [Huffman, number] {
  const head = bytes[at++];
  if (head === undefined || at > end) fail();
  const weights: number[] = [];
  if (head >= 128) {
    const count = head - 127;
    for (let i = 0; i < count; i++) {
      const byte = bytes[at + (i >> 1)] ?? fail();
      weights.push(i & 1 ? byte & 15 : byte >> 4);
    }
    at += (count + 1) >> 1;
  } else {
    const stop = at + head;
    if (stop > end) fail();
    const [distribution, start] = readDistribution(bytes, at, stop, 6, 255);
    const table = stateTable(distribution);
    const stream = new BackwardBits(bytes, start, stop);
    let a = stream.read(table.log);
    let b = stream.read(table.log);
    for (;;) {
      weights.push(table.symbols[a]!);
      if (table.bits[a]! > stream.left) {
        weights.push(table.symbols[b]!);
        break;
      }
      a = table.bases[a]! + stream.read(table.bits[a]!);
      weights.push(table.symbols[b]!);
      if (table.bits[b]! > stream.left) {
        weights.push(table.symbols[a]!);
        break;
      }
      b = table.bases[b]! + stream.read(table.bits[b]!);
      if (weights.length > 255) fail();
    }
    at = stop;
  }
  if (at > end) fail();
  return [huffmanTable(weights), at];
}

function huffmanTable(weights: number[]): Huffman {
  let sum = 0;
  for (const w of weights) sum += w > 0 ? 2 ** (w - 1) : 0;
  if (sum === 0 || weights.length > 255) fail();
  const bits = 32 - Math.clz32(sum);
  if (bits > MAX_HUFFMAN_BITS) fail();
  const rest = 2 ** bits - sum;
  const last = Math.log2(rest);
  if (!Number.isInteger(last)) fail();
  weights.push(last + 1);
  const size = 2 ** bits;
  const symbols = new Uint8Array(size);
  const lengths = new Uint8Array(size);
  let at = 0;
  for (let w = 1; w <= bits; w++) {
    weights.forEach((weight, symbol) => {
      if (weight !== w) return;
      const n = 2 ** (w - 1);
      symbols.fill(symbol, at, at + n);
      lengths.fill(bits + 1 - w, at, at + n);
      at += n;
    });
  }
  return { bits, symbols, lengths };
}

function huffmanStream(h: Huffman, bytes: Uint8Array, from: number, to: number, out: Uint8Array): void {
  const stream = new BackwardBits(bytes, from, to);
  for (let i = 0; i < out.length; i++) {
    const index = stream.peek(h.bits);
    out[i] = h.symbols[index]!;
    stream.skip(h.lengths[index]!);
  }
  if (stream.left !== 0) fail();
}

class Decoder {
  #at = 0;
  #huffman: Huffman | null = null;
  readonly #tables: (StateTable | null)[] = [null, null, null];
  readonly #recent = [1, 4, 8];
  #written = 0;

  constructor(
    readonly bytes: Uint8Array,
    readonly out: Uint8Array,
  ) {}

  run(): boolean {
    const { bytes } = this;
    if (bytes.length < 6 || getU32(bytes, 0) !== MAGIC) return false;
    const descriptor = bytes[4]!;
    if (descriptor & 8) return false;
    const singleSegment = (descriptor & 0x20) !== 0;
    const sizeFlag = descriptor >> 6;
    this.#at = 5 + (singleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!;
    this.#at += sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
    for (let last = false; !last; ) {
      if (this.#at + 3 > bytes.length) return false;
      const head = bytes[this.#at]! | (bytes[this.#at + 1]! << 8) | (bytes[this.#at + 2]! << 16);
      this.#at += 3;
      last = (head & 1) !== 0;
      this.#block((head >> 1) & 3, head >> 3);
    }
    return this.#written === this.out.length;
  }

  #block(type: number, size: number): void {
    const { bytes, out } = this;
    if (type === 1) {
      if (this.#written + size > out.length || this.#at >= bytes.length) fail();
      out.fill(bytes[this.#at++]!, this.#written, this.#written + size);
      this.#written += size;
      return;
    }
    const end = this.#at + size;
    if (end > bytes.length || type === 3) fail();
    if (type === 0) {
      if (this.#written + size > out.length) fail();
      out.set(bytes.subarray(this.#at, end), this.#written);
      this.#written += size;
    } else this.#compressed(end);
    this.#at = end;
  }

  #compressed(end: number): void {
    if (end - this.#at > MAX_BLOCK) fail();
    const literals = this.#literals(end);
    this.#sequences(literals, end);
  }

  #literals(end: number): Uint8Array {
    const { bytes } = this;
    const head = bytes[this.#at]!;
    const type = head & 3;
    const format = (head >> 2) & 3;
    let count: number;
    if (type < 2) {
      const length = format === 1 ? 2 : format === 3 ? 3 : 1;
      if (this.#at + length > end) fail();
      const word = head | ((bytes[this.#at + 1] ?? 0) << 8) | ((bytes[this.#at + 2] ?? 0) << 16);
      count = length === 1 ? head >> 3 : length === 2 ? (word & 0xffff) >> 4 : word >> 4;
      this.#at += length;
      if (count > MAX_BLOCK) fail();
      if (type === 1) return new Uint8Array(count).fill(bytes[this.#at++]!);
      if (this.#at + count > end) fail();
      this.#at += count;
      return bytes.subarray(this.#at - count, this.#at);
    }
    const length = format < 2 ? 3 : format + 2;
    if (this.#at + length > end) fail();
    let header = 0;
    for (let i = length - 1; i >= 0; i--) header = header * 256 + bytes[this.#at + i]!;
    const width = format < 2 ? 10 : format === 2 ? 14 : 18;
    count = Math.floor(header / 16) % 2 ** width;
    const packed = Math.floor(header / 2 ** (4 + width));
    this.#at += length;
    const stop = this.#at + packed;
    if (stop > end || count > MAX_BLOCK) fail();
    let at = this.#at;
    if (type === 2) [this.#huffman, at] = readHuffman(bytes, at, stop);
    const huffman = this.#huffman ?? fail();
    const out = new Uint8Array(count);
    if (format === 0) huffmanStream(huffman, bytes, at, stop, out);
    else {
      if (at + 6 > stop) fail();
      const part = (count + 3) >> 2;
      let from = at + 6;
      for (let i = 0; i < 4; i++) {
        const to = i < 3 ? from + (bytes[at + 2 * i]! | (bytes[at + 2 * i + 1]! << 8)) : stop;
        if (to > stop || 3 * part > count) fail();
        huffmanStream(huffman, bytes, from, to, out.subarray(i * part, i < 3 ? (i + 1) * part : count));
        from = to;
      }
    }
    this.#at = stop;
    return out;
  }

  #table(
    kind: number,
    mode: number,
    standard: Distribution,
    maxLog: number,
    maxSymbol: number,
    end: number,
  ): StateTable {
    let table: StateTable | null = this.#tables[kind]!;
    if (mode === 0) table = stateTable(standard);
    else if (mode === 1) {
      const symbol = this.bytes[this.#at++]!;
      if (this.#at > end || symbol > maxSymbol) fail();
      table = single(symbol);
    } else if (mode === 2) {
      const [distribution, next] = readDistribution(this.bytes, this.#at, end, maxLog, maxSymbol);
      this.#at = next;
      table = stateTable(distribution);
    }
    this.#tables[kind] = table;
    return table ?? fail();
  }

  #sequences(literals: Uint8Array, end: number): void {
    const { bytes, out } = this;
    let count = bytes[this.#at++] ?? fail();
    if (count >= 128) {
      const next = bytes[this.#at++] ?? fail();
      if (count < 255) count = ((count - 128) << 8) + next;
      else count = next + ((bytes[this.#at++] ?? fail()) << 8) + 0x7f00;
    }
    let used = 0;
    const literal = (n: number): void => {
      if (used + n > literals.length || this.#written + n > out.length) fail();
      out.set(literals.subarray(used, used + n), this.#written);
      used += n;
      this.#written += n;
    };
    if (count > 0) {
      const modes = bytes[this.#at++] ?? fail();
      const ll = this.#table(0, modes >> 6, DEFAULT_LITERAL_LENGTHS, 9, 35, end);
      const of = this.#table(1, (modes >> 4) & 3, DEFAULT_OFFSETS, 8, 31, end);
      const ml = this.#table(2, (modes >> 2) & 3, DEFAULT_MATCH_LENGTHS, 9, 52, end);
      const stream = new BackwardBits(bytes, this.#at, end);
      let l = stream.read(ll.log);
      let o = stream.read(of.log);
      let m = stream.read(ml.log);
      for (let i = 0; i < count; i++) {
        const code = of.symbols[o]!;
        if (code > 24) fail();
        const value = 2 ** code + stream.read(code);
        const [matchBase, matchBits] = MATCH_LENGTHS[ml.symbols[m]!] ?? fail();
        const match = matchBase + stream.read(matchBits);
        const [literalBase, literalBits] = LITERAL_LENGTHS[ll.symbols[l]!] ?? fail();
        const length = literalBase + stream.read(literalBits);
        if (stream.left < 0) fail();
        literal(length);
        this.#copy(this.#offset(value, length), match);
        if (i + 1 === count) break;
        l = ll.bases[l]! + stream.read(ll.bits[l]!);
        m = ml.bases[m]! + stream.read(ml.bits[m]!);
        o = of.bases[o]! + stream.read(of.bits[o]!);
      }
      if (stream.left !== 0) fail();
    }
    literal(literals.length - used);
  }

  #offset(value: number, literalLength: number): number {
    const recent = this.#recent;
    if (value > 3) {
      recent.unshift(value - 3);
      recent.pop();
      return value - 3;
    }
    const index = value - 1 + (literalLength === 0 ? 1 : 0);
    const offset = index === 3 ? recent[0]! - 1 : recent[index]!;
    if (index > 0) {
      recent.splice(index === 3 ? 2 : index, 1);
      recent.unshift(offset);
    }
    return offset;
  }

  #copy(offset: number, length: number): void {
    const { out } = this;
    const at = this.#written;
    if (offset <= 0 || offset > at || at + length > out.length) fail();
    if (offset >= length) out.copyWithin(at, at - offset, at - offset + length);
    else for (let i = 0; i < length; i++) out[at + i] = out[at + i - offset]!;
    this.#written = at + length;
  }
}

/** Null when the frame is broken, or does not unpack to exactly `length` bytes. What follows it is not looked at. */
export function unpackZstd(packed: Uint8Array, length: number): Uint8Array | null {
  const out = new Uint8Array(length);
  try {
    return new Decoder(packed, out).run() ? out : null;
  } catch (error) {
    if (error instanceof Broken) return null;
    throw error;
  }
}
