/**
 * The symbols that a Linux kernel carries for itself (CONFIG_KALLSYMS), found in a running guest's RAM: so they are named
 * where the kernel has moved to. The tables are those that the kernel's scripts/kallsyms.c writes since Linux 4.6 with
 * offsets from a base: the number of symbols, their names as strings of tokens, markers (where every 256th name begins),
 * the tokens and an index of them; before or behind these the offsets and the base.
 */
import type { GuestSymbol } from './symbols.js';

/** The digits are tokens of themselves, one behind the other. */
const DIGITS = new TextEncoder().encode('0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00');
const TOKENS = 256;
const MAX_SYMBOLS = 1 << 20;
/** A symbol's entry in the list of names is not longer. */
const MAX_ENTRY = 512;
/** Most bytes between the number of symbols and the tokens. */
const MAX_NAMES = 16 << 20;
/** Names of one marker. */
const MARKED = 256;

const latin1 = new TextDecoder('latin1');

/** Where the digits are, each with a zero behind it: some of their 20 bytes lie on every 16th. */
function* digitTokens(bytes: Uint8Array): Generator<number> {
  const digit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;
  for (let at = 0; at + 1 < bytes.length; at += 16) {
    const byte = bytes[at]!;
    const next = bytes[at + 1]!;
    if (byte === 0 ? !digit(next) : next !== 0 || !digit(byte)) continue;
    const zero = byte === 0 ? at + 1 - 2 * (next - 0x30) : at - 2 * (byte - 0x30);
    if (DIGITS.every((d, i) => bytes[zero + i] === d)) yield zero;
  }
}

interface TokenTable {
  readonly start: number;
  readonly end: number;
  readonly tokens: readonly string[];
}

/** All tokens, and where their table begins, from where token '0' is. */
function tokenTable(bytes: Uint8Array, zero: number): TokenTable | undefined {
  let start = zero;
  for (let i = 0; i < 0x30; i++) {
    // Before the string's end there is another one, or the table begins.
    let p = start - 1;
    if (p < 0 || bytes[p] !== 0) return undefined;
    while (p > 0 && bytes[p - 1] !== 0 && start - p < MAX_ENTRY) p--;
    if (p === start - 1) return undefined;
    start = p;
  }
  const tokens: string[] = [];
  let at = start;
  while (tokens.length < TOKENS) {
    const end = bytes.subarray(at, at + MAX_ENTRY).indexOf(0);
    if (end < 1) return undefined;
    tokens.push(latin1.decode(bytes.slice(at, at + end)));
    at += end + 1;
  }
  return { start, end: at, tokens };
}

export function findKallsyms(bytes: Uint8Array): GuestSymbol[] | undefined {
  for (const zero of digitTokens(bytes)) {
    const table = tokenTable(bytes, zero);
    const found = table && readTables(bytes, table);
    if (found) return found;
  }
  return undefined;
}

/** The number of symbols stands before the names, and these before the tokens: every number that fits is tried. */
function readTables(bytes: Uint8Array, table: TokenTable): GuestSymbol[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const earliest = Math.max(16, table.start - MAX_NAMES);
  for (let at = table.start & ~3; at >= earliest; at -= 4) {
    const count = view.getUint32(at, true);
    if (count < MARKED || count > MAX_SYMBOLS || count * 2 > table.start - at) continue;
    for (const word of [8, 4] as const) {
      const names = decodeNames(view, at + word, word, count, table);
      const addresses = names && decodeAddresses(view, at, count, word, table);
      if (addresses) return names.map((text, i) => ({ address: addresses[i]!, type: text[0]!, name: text.slice(1) }));
    }
  }
  return undefined;
}

const aligned = (at: number, to: number): number => Math.ceil(at / to) * to;

/** Type letter and name of each symbol; undefined when the markers behind the names do not tell of them. */
function decodeNames(
  view: DataView,
  start: number,
  word: 4 | 8,
  count: number,
  { start: end, tokens }: TokenTable,
): string[] | undefined {
  const entries: number[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    if (at + 2 > end) return undefined;
    let length = view.getUint8(at);
    const head = length & 0x80 ? 2 : 1;
    // Two bytes of seven bits since Linux 6.1.
    if (head === 2) length = (length & 0x7f) | (view.getUint8(at + 1) << 7);
    if (length === 0 || length > MAX_ENTRY) return undefined;
    entries.push(at + head, length);
    at += head + length;
  }
  const markers = aligned(at, word);
  if (markers + 8 > end || view.getUint32(markers, true) !== 0) return undefined;
  for (let i = MARKED; i < count; i += MARKED) {
    const marker = markers + (i / MARKED) * 4;
    const entry = entries[2 * i]! - (entries[2 * i + 1]! > 0x7f ? 2 : 1);
    if (marker + 4 > end || view.getUint32(marker, true) !== entry - start) return undefined;
  }
  const out: string[] = [];
  for (let i = 0; i < count; i++) {
    let text = '';
    for (let k = 0; k < entries[2 * i + 1]!; k++) text += tokens[view.getUint8(entries[2 * i]! + k)]!;
    if (text.length < 2 || text.length > 2 * MAX_ENTRY) return undefined;
    out.push(text);
  }
  return out;
}

/** `word`: the guest's pointers have so many bytes, and the tables' parts are so aligned. */
function decodeAddresses(
  view: DataView,
  numberAt: number,
  count: number,
  word: 4 | 8,
  table: TokenTable,
): bigint[] | undefined {
  const bytes = aligned(count * 4, word);
  // Until Linux 6.3 offsets and base come first; since then they follow the tokens and their index.
  const behind = aligned(aligned(table.end, word) + TOKENS * 2, word);
  for (const [offsets, baseAt] of [
    [numberAt - word - bytes, numberAt - word],
    [behind, behind + bytes],
  ] as const) {
    if (offsets < 0 || baseAt + word > view.byteLength) continue;
    const base = word === 8 ? view.getBigUint64(baseAt, true) : BigInt(view.getUint32(baseAt, true));
    if (base < (word === 8 ? 0xffff800000000000n : 0x40000000n)) continue;
    return Array.from({ length: count }, (_, i) => {
      const offset = view.getInt32(offsets + 4 * i, true);
      if (word === 4) return base + BigInt(offset >>> 0);
      // Symbols of the per-processor section are absolute; negative offsets count from the base.
      return offset >= 0 ? BigInt(offset) : BigInt.asUintN(64, base - 1n - BigInt(offset));
    });
  }
  return undefined;
}
