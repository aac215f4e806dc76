/**
 * Encoder for ACPI Machine Language (ACPI 6.4, chapter 20). Each function writes one construct; `Expr` is what has a
 * value, `Term` what may stand in a term list. ASL names are used throughout.
 */
import { Bug } from '../../base/errors.js';
import { ByteWriter } from '../bytes.js';

/** A construct that may stand in a TermList: a declaration, a statement or an expression. */
export interface Term {
  readonly bytes: Uint8Array;
}
/** A construct with a value; a name, number or string stands for itself where an `Expr` is expected. */
export interface Expr extends Term {
  readonly value: true;
}
export type Operand = Expr | number;

const expr = (build: (w: ByteWriter) => void): Expr => {
  const w = new ByteWriter();
  build(w);
  return { bytes: w.finish(), value: true };
};
const term = (build: (w: ByteWriter) => void): Term => {
  const w = new ByteWriter();
  build(w);
  return { bytes: w.finish() };
};
const bytesOf = (o: Operand): Uint8Array => (typeof o === 'number' ? int(o) : o).bytes;

/** Those encoded before: a table names the same few things hundreds of times. */
const names = new Map<string, Uint8Array>();

/** `\_SB.PCI0`, `^^LNKA`, `_HID`: segments shorter than four characters are padded with underscores. */
function nameString(path: string): Uint8Array {
  const known = names.get(path);
  if (known) return known;
  const encoded = encodeName(path);
  names.set(path, encoded);
  return encoded;
}

function encodeName(path: string): Uint8Array {
  const w = new ByteWriter();
  const prefix = /^(\\|\^*)/.exec(path)![0];
  w.text(prefix);
  const segments = path.slice(prefix.length).split('.').filter(Boolean);
  if (segments.length === 0) w.u8(0);
  else if (segments.length === 2) w.u8(0x2e);
  else if (segments.length > 2) w.u8(0x2f, segments.length);
  for (const s of segments) {
    if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(s)) throw new Bug(`'${path}' is no ACPI name`);
    w.text(s, 4, 0x5f);
  }
  return w.finish();
}

/** PkgLength counts itself (20.2.4). */
function packageLength(content: number): number[] {
  if (content + 1 < 0x40) return [content + 1];
  for (let extra = 1; extra <= 3; extra++) {
    const total = content + 1 + extra;
    if (total >= 2 ** (4 + 8 * extra)) continue;
    const out = [(extra << 6) | (total & 15)];
    for (let i = 0; i < extra; i++) out.push((total >>> (4 + 8 * i)) & 0xff);
    return out;
  }
  throw new Bug('AML package longer than 2^28 bytes');
}

function block(opcode: readonly number[], head: Uint8Array | readonly number[], body: readonly Term[]): Uint8Array {
  const w = new ByteWriter();
  w.bytes(head);
  for (const t of body) w.bytes(t.bytes);
  const content = w.finish();
  return new ByteWriter().bytes(opcode).bytes(packageLength(content.length)).bytes(content).finish();
}

// Values

export function int(value: number): Expr {
  return expr((w) => {
    if (value === 0 || value === 1) w.u8(value);
    else if (value <= 0xff) w.u8(0x0a, value);
    else if (value <= 0xffff) w.u8(0x0b).u16(value);
    else if (value <= 0xffffffff) w.u8(0x0c).u32(value);
    else w.u8(0x0e).u64(value);
  });
}
export const string = (value: string): Expr => expr((w) => w.u8(0x0d).text(value).u8(0));
export const ref = (path: string): Expr => expr((w) => w.bytes(nameString(path)));
export const arg = (n: number): Expr => expr((w) => w.u8(0x68 + n));
export const local = (n: number): Expr => expr((w) => w.u8(0x60 + n));
export const buffer = (content: Uint8Array): Expr =>
  expr((w) => w.bytes(block([0x11], bytesOf(content.length), [{ bytes: content }])));
export const pkg = (elements: readonly Operand[]): Expr =>
  expr((w) =>
    w.bytes(
      block(
        [0x12],
        [elements.length],
        elements.map((e) => ({ bytes: bytesOf(e) })),
      ),
    ),
  );

/** EISAID("PNP0A03"): three letters and four hexadecimal digits packed into a big-endian word (6.1.5). */
export function eisaId(id: string): Expr {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) throw new Bug(`'${id}' is no EISA id`);
  const letter = (i: number): number => id.charCodeAt(i) - 0x40;
  const letters = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  return expr((w) =>
    w.u8(0x0c, letters >> 8, letters & 0xff, Number.parseInt(id.slice(3, 5), 16), Number.parseInt(id.slice(5), 16)),
  );
}

// Declarations

export const name = (path: string, value: Operand): Term =>
  term((w) => w.u8(0x08).bytes(nameString(path)).bytes(bytesOf(value)));
export const scope = (path: string, ...body: Term[]): Term => ({ bytes: block([0x10], nameString(path), body) });
export const device = (path: string, ...body: Term[]): Term => ({ bytes: block([0x5b, 0x82], nameString(path), body) });
export const method = (path: string, args: number, serialized: boolean, ...body: Term[]): Term => ({
  bytes: block(
    [0x14],
    new ByteWriter()
      .bytes(nameString(path))
      .u8(args | (serialized ? 8 : 0))
      .finish(),
    body,
  ),
});

export type RegionSpace = 'SystemMemory' | 'SystemIO' | 'PCI_Config';
const SPACES: Record<RegionSpace, number> = { SystemMemory: 0, SystemIO: 1, PCI_Config: 2 };

export const operationRegion = (path: string, space: RegionSpace, offset: number, length: number): Term =>
  term((w) => w.u8(0x5b, 0x80).bytes(nameString(path)).u8(SPACES[space]).bytes(bytesOf(offset)).bytes(bytesOf(length)));

/** Field(region, ByteAcc, NoLock, Preserve) of consecutive bytes, each with its name. */
export function byteField(region: string, members: readonly string[]): Term {
  const w = new ByteWriter().bytes(nameString(region)).u8(1);
  for (const member of members) w.bytes(nameString(member)).u8(8);
  return { bytes: block([0x5b, 0x81], w.finish(), []) };
}

/** Field(region, DWordAcc, NoLock, WriteAsZeros) of consecutive double words. */
export function dwordField(region: string, members: readonly string[]): Term {
  const w = new ByteWriter().bytes(nameString(region)).u8(0x43);
  for (const member of members) w.bytes(nameString(member)).u8(32);
  return { bytes: block([0x5b, 0x81], w.finish(), []) };
}

export const createDWordField = (source: Operand, index: Operand, path: string): Term =>
  term((w) => w.u8(0x8a).bytes(bytesOf(source)).bytes(bytesOf(index)).bytes(nameString(path)));

// Statements and operators

export const when = (condition: Operand, ...body: Term[]): Term => ({ bytes: block([0xa0], bytesOf(condition), body) });
/** Notify(object, value): 1 device check, 3 eject request. */
export const notify = (path: string, value: number): Term =>
  term((w) => w.u8(0x86).bytes(nameString(path)).bytes(bytesOf(value)));
export const ret = (value: Operand): Term => term((w) => w.u8(0xa4).bytes(bytesOf(value)));
export const store = (value: Operand, target: Expr): Expr =>
  expr((w) => w.u8(0x70).bytes(bytesOf(value)).bytes(target.bytes));
/** Operators whose result goes nowhere but to the surrounding expression: the target is null. */
const binary =
  (opcode: number) =>
  (a: Operand, b: Operand): Expr =>
    expr((w) => w.u8(opcode).bytes(bytesOf(a)).bytes(bytesOf(b)).u8(0));
export const and = binary(0x7b);
export const or = binary(0x7d);
export const less = (a: Operand, b: Operand): Expr => expr((w) => w.u8(0x95).bytes(bytesOf(a)).bytes(bytesOf(b)));
export const call = (path: string, ...args: Operand[]): Expr =>
  expr((w) => {
    w.bytes(nameString(path));
    for (const a of args) w.bytes(bytesOf(a));
  });
