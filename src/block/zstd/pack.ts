/**
 * Packing into Zstandard frames (RFC 8878): matches found by a hash of four bytes, sequences in the predefined distributions,
 * literals as they are. Not the smallest frames, but quick to make, and any reader unpacks them.
 */
// hot path
import { getU32, putU32 } from '../../base/bytes.js';
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
const MIN_MATCH = 4;
const HASH_BITS = 14;
const MAX_MATCH = 65535;

interface StateTable {
  readonly log: number;
  readonly next: Uint16Array;
  readonly deltaBits: Int32Array;
  readonly deltaState: Int32Array;
}

function stateTable(d: Distribution): StateTable {
  const size = 1 << d.log;
  const start: number[] = [];
  let total = 0;
  const deltaBits = new Int32Array(d.counts.length);
  const deltaState = new Int32Array(d.counts.length);
  d.counts.forEach((count, symbol) => {
    start.push(total);
    const n = Math.abs(count);
    if (n === 1) {
      deltaBits[symbol] = (d.log << 16) - size;
      deltaState[symbol] = total - 1;
    } else if (n > 1) {
      const most = d.log - (31 - Math.clz32(n - 1));
      deltaBits[symbol] = (most << 16) - (n << most);
      deltaState[symbol] = total - n;
    }
    total += n;
  });
  const next = new Uint16Array(size);
  spread(d).forEach((symbol, state) => {
    next[start[symbol]!++] = size + state;
  });
  return { log: d.log, next, deltaBits, deltaState };
}

const LL = stateTable(DEFAULT_LITERAL_LENGTHS);
const OF = stateTable(DEFAULT_OFFSETS);
const ML = stateTable(DEFAULT_MATCH_LENGTHS);

/** Bits from the lowest on. */
class BitWriter {
  #value = 0;
  #count = 0;
  at = 0;

  constructor(readonly bytes: Uint8Array) {}

  /** At most 24 bits. */
  put(value: number, count: number): void {
    this.#value |= value << this.#count;
    this.#count += count;
    while (this.#count >= 8) {
      this.bytes[this.at++] = this.#value;
      this.#value >>>= 8;
      this.#count -= 8;
    }
  }

  /** The last bit that is set marks the end. */
  end(): void {
    this.put(1, 1);
    if (this.#count > 0) this.bytes[this.at++] = this.#value;
  }
}

class Encoder {
  #state = 0;

  constructor(
    readonly table: StateTable,
    readonly bits: BitWriter,
  ) {}

  start(symbol: number): void {
    const { deltaBits, deltaState, next } = this.table;
    const n = (deltaBits[symbol]! + (1 << 15)) >> 16;
    this.#state = next[(((n << 16) - deltaBits[symbol]!) >> n) + deltaState[symbol]!]!;
  }

  put(symbol: number): void {
    const { deltaBits, deltaState, next } = this.table;
    const n = (this.#state + deltaBits[symbol]!) >> 16;
    this.bits.put(this.#state & ((1 << n) - 1), n);
    this.#state = next[(this.#state >> n) + deltaState[symbol]!]!;
  }

  end(): void {
    this.bits.put(this.#state & ((1 << this.table.log) - 1), this.table.log);
  }
}

function codeOf(codes: readonly (readonly [number, number])[], value: number): number {
  let low = 0;
  let high = codes.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (codes[middle]![0] <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

interface Sequences {
  count: number;
  /** Literal length, match length and offset of each. */
  readonly values: Uint32Array;
}

export function packZstd(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(data.length + 64 + Math.ceil(data.length / MAX_BLOCK) * 3);
  putU32(out, 0, MAGIC);
  // One segment, whose length follows in four bytes.
  out[4] = 0xa0;
  putU32(out, 5, data.length);
  let at = 9;
  const table = new Int32Array(1 << HASH_BITS).fill(-1);
  for (let from = 0; from < data.length || from === 0; from += MAX_BLOCK) {
    const to = Math.min(data.length, from + MAX_BLOCK);
    const last = to >= data.length ? 1 : 0;
    const packed = packBlock(data, from, to, table);
    const body = packed ?? data.subarray(from, to);
    const head = last | ((packed ? 2 : 0) << 1) | (body.length << 3);
    out[at] = head;
    out[at + 1] = head >> 8;
    out[at + 2] = head >> 16;
    out.set(body, at + 3);
    at += 3 + body.length;
    if (last) break;
  }
  return out.subarray(0, at);
}

/** Null when it does not get shorter. */
function packBlock(data: Uint8Array, from: number, to: number, table: Int32Array): Uint8Array | null {
  const literals = new Uint8Array(to - from);
  let literalCount = 0;
  const sequences: Sequences = { count: 0, values: new Uint32Array((3 * (to - from)) / MIN_MATCH + 3) };
  let anchor = from;
  let at = from;
  const stop = to - 8;
  while (at < stop) {
    const word = getU32(data, at);
    const hash = Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS);
    const candidate = table[hash]!;
    table[hash] = at;
    if (candidate < 0 || getU32(data, candidate) !== word) {
      // The longer nothing is found, the larger the steps.
      at += 1 + ((at - anchor) >> 7);
      continue;
    }
    let length = MIN_MATCH;
    while (at + length < to && length < MAX_MATCH && data[candidate + length] === data[at + length]) length++;
    const n = 3 * sequences.count++;
    sequences.values[n] = at - anchor;
    sequences.values[n + 1] = length;
    sequences.values[n + 2] = at - candidate;
    literals.set(data.subarray(anchor, at), literalCount);
    literalCount += at - anchor;
    at += length;
    anchor = at;
  }
  literals.set(data.subarray(anchor, to), literalCount);
  literalCount += to - anchor;
  const out = new Uint8Array(to - from + 32 + sequences.count * 12);
  let length = putLiteralHeader(out, literalCount);
  out.set(literals.subarray(0, literalCount), length);
  length += literalCount;
  length = putSequences(out, length, sequences);
  return length < to - from ? out.subarray(0, length) : null;
}

function putLiteralHeader(out: Uint8Array, count: number): number {
  if (count < 32) {
    out[0] = count << 3;
    return 1;
  }
  const head = count < 4096 ? 4 | (count << 4) : 12 | (count << 4);
  out[0] = head;
  out[1] = head >> 8;
  if (count < 4096) return 2;
  out[2] = head >> 16;
  return 3;
}

function putSequences(out: Uint8Array, at: number, { count, values }: Sequences): number {
  if (count < 128) out[at++] = count;
  else if (count < 0x7f00) {
    out[at++] = (count >> 8) + 128;
    out[at++] = count;
  } else {
    out[at++] = 255;
    out[at++] = count - 0x7f00;
    out[at++] = (count - 0x7f00) >> 8;
  }
  if (count === 0) return at;
  // All three in their predefined distributions.
  out[at++] = 0;
  const bits = new BitWriter(out.subarray(at));
  const ll = new Encoder(LL, bits);
  const of = new Encoder(OF, bits);
  const ml = new Encoder(ML, bits);
  for (let i = count - 1; i >= 0; i--) {
    const literal = values[3 * i]!;
    const match = values[3 * i + 1]!;
    const offset = values[3 * i + 2]! + 3;
    const llCode = codeOf(LITERAL_LENGTHS, literal);
    const mlCode = codeOf(MATCH_LENGTHS, match);
    const ofCode = 31 - Math.clz32(offset);
    if (i === count - 1) {
      ml.start(mlCode);
      of.start(ofCode);
      ll.start(llCode);
    } else {
      of.put(ofCode);
      ml.put(mlCode);
      ll.put(llCode);
    }
    bits.put(literal - LITERAL_LENGTHS[llCode]![0], LITERAL_LENGTHS[llCode]![1]);
    bits.put(match - MATCH_LENGTHS[mlCode]![0], MATCH_LENGTHS[mlCode]![1]);
    bits.put(offset - (1 << ofCode), ofCode);
  }
  ml.end();
  of.end();
  ll.end();
  bits.end();
  return at + bits.at;
}
