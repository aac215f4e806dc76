/**
 * The symbols that a Linux kernel carries for itself (CONFIG_KALLSYMS), found in a running guest's RAM: so they are named
 * where the kernel has moved to. The tables are those that the kernel's scripts/kallsyms.c writes since Linux 4.20, in the
 * order of 4.20 to 6.3: offsets, relative base, number of symbols, names, markers, token table, token index.
 */
import type { GuestSymbol } from './symbols.js';

/** The digits are tokens of themselves, one behind the other. */
const DIGITS = new TextEncoder().encode('0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00');
const TOKENS = 256;
const MAX_SYMBOLS = 1 << 20;
/** A symbol's entry in the list of names is not longer. */
const MAX_ENTRY = 512;
/** Names of one marker. */
const MARKED = 256;

const utf8 = new TextDecoder('latin1');

/** Positions of `pattern` (Horspool). */
function* occurrences(bytes: Uint8Array, pattern: Uint8Array): Generator<number> {
  const last = pattern.length - 1;
  const shift = new Uint8Array(256).fill(pattern.length);
  for (let i = 0; i < last; i++) shift[pattern[i]!] = last - i;
  for (let at = 0; at + last < bytes.length; at += shift[bytes[at + last]!]!) {
    let i = last;
    while (i >= 0 && bytes[at + i] === pattern[i]) i--;
    if (i < 0) yield at;
  }
}

/** All tokens, and where their table begins, from where token '0' is. */
function tokenTable(
  bytes: Uint8Array,
  zero: number,
): { readonly start: number; readonly tokens: string[] } | undefined {
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
  for (let p = start; tokens.length < TOKENS; ) {
    const end = bytes.indexOf(0, p);
    if (end < 0 || end === p || end - p > MAX_ENTRY) return undefined;
    tokens.push(utf8.decode(bytes.slice(p, end)));
    p = end + 1;
  }
  return { start, tokens };
}

export function findKallsyms(bytes: Uint8Array): GuestSymbol[] | undefined {
  for (const zero of occurrences(bytes, DIGITS)) {
    const table = tokenTable(bytes, zero);
    const found = table && readTables(bytes, table.start, table.tokens);
    if (found) return found;
  }
  return undefined;
}

function readTables(bytes: Uint8Array, tokenStart: number, tokens: readonly string[]): GuestSymbol[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (at: number): number => view.getUint32(at, true);
  // Markers: offsets of every 256th name, rising from 0; padding may lie between them and the tokens.
  let first = (tokenStart & ~3) - 4;
  if (first >= 4 && u32(first) === 0) first -= 4;
  const end = first + 4;
  while (first >= 4 && u32(first) !== 0 && end - first < MAX_SYMBOLS) {
    if (u32(first - 4) >= u32(first)) return undefined;
    first -= 4;
  }
  const markers = (end - first) / 4;
  if (markers < 2 || first < 16 || u32(first) !== 0) return undefined;
  const lastMarker = u32(end - 4);
  // The names end just before the markers; their number stands before them, 4 or 8 bytes on.
  const earliest = Math.max(16, first - lastMarker - MARKED * MAX_ENTRY);
  for (let names = (first - lastMarker) & ~3; names >= earliest; names -= 4) {
    for (const word of [8, 4] as const) {
      const count = u32(names - word);
      if (count <= (markers - 1) * MARKED || count > markers * MARKED) continue;
      const list = decodeNames(bytes, { names, end: first, count, second: u32(first + 4) }, tokens);
      if (!list) continue;
      const addresses = decodeAddresses(view, names - word, count, word);
      if (addresses) return list.map((text, i) => ({ address: addresses[i]!, type: text[0]!, name: text.slice(1) }));
    }
  }
  return undefined;
}

/** Type letter and name of each symbol; undefined when they are not where the markers say. */
function decodeNames(
  bytes: Uint8Array,
  where: { readonly names: number; readonly end: number; readonly count: number; readonly second: number },
  tokens: readonly string[],
): string[] | undefined {
  const out: string[] = [];
  let at = where.names;
  for (let i = 0; i < where.count; i++) {
    if (i === MARKED && at !== where.names + where.second) return undefined;
    let length = bytes[at++]!;
    // Two bytes of seven bits since Linux 6.1.
    if (length & 0x80) length = (length & 0x7f) | (bytes[at++]! << 7);
    if (length === 0 || length > MAX_ENTRY || at + length > where.end) return undefined;
    let text = '';
    for (let k = 0; k < length; k++) text += tokens[bytes[at + k]!]!;
    if (text.length < 2 || text.length > 2 * MAX_ENTRY) return undefined;
    out.push(text);
    at += length;
  }
  return out;
}

/** `word`: the guest's pointers have so many bytes, and the tables' parts are so aligned. */
function decodeAddresses(view: DataView, numberAt: number, count: number, word: 4 | 8): bigint[] | undefined {
  const baseAt = numberAt - word;
  const offsets = baseAt - Math.ceil((count * 4) / word) * word;
  if (offsets < 0) return undefined;
  const base = word === 8 ? view.getBigUint64(baseAt, true) : BigInt(view.getUint32(baseAt, true));
  if (base === 0n) return undefined;
  return Array.from({ length: count }, (_, i) => {
    const offset = view.getInt32(offsets + 4 * i, true);
    if (word === 4) return base + BigInt(offset >>> 0);
    // Symbols of the per-processor section are absolute; negative offsets count from the base.
    return offset >= 0 ? BigInt(offset) : BigInt.asUintN(64, base - 1n - BigInt(offset));
  });
}
