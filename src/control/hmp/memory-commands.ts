/** `x`, `xp`, `print`: memory and values. */
import { UserError } from '../../base/errors.js';
import { Disassembler } from '../../guest/x86/disassemble.js';
import type { MemoryFormat, Session } from './context.js';
import { parseExpression } from './expression.js';
import { longCode, registerNamed } from './registers.js';

interface Format extends MemoryFormat {
  readonly count: number;
}

const SIZES = { b: 1, h: 2, w: 4, g: 8 } as const;
const LINE_BYTES = 16;
const LONGEST_INSTRUCTION = 15;

/** `/4xw expression`. */
function takeFormat(s: Session, text: string): { readonly format: Format; readonly rest: string } {
  const match = /^\/(\d*)([a-z]*)\s*(.*)$/s.exec(text);
  if (!match) return { format: { count: 1, ...s.format }, rest: text };
  let { kind, size } = s.format;
  for (const letter of match[2]!) {
    if ('xduoci'.includes(letter)) {
      kind = letter as Format['kind'];
      if (letter === 'c') size = 1;
    } else if (letter in SIZES) size = SIZES[letter as keyof typeof SIZES];
    else throw new UserError(`invalid char in format: '${letter}'`);
  }
  s.format = { kind, size };
  return { format: { count: Number(match[1] || 1), kind, size }, rest: match[3]! };
}

/** The expression at the start of `text`, and what follows it. */
function takeExpression(s: Session, text: string): ReturnType<typeof parseExpression> {
  return parseExpression(text, (name) => registerNamed(s.registers[s.cpu]!, name));
}

function evaluate(s: Session, text: string): bigint {
  const { value, rest } = takeExpression(s, text);
  if (rest !== '') throw new UserError(`extraneous characters at the end of line: '${rest}'`);
  return value;
}

function show(value: bigint, { kind, size }: Pick<Format, 'kind' | 'size'>): string {
  const bits = 8 * size;
  switch (kind) {
    case 'd':
      return BigInt.asIntN(bits, value).toString();
    case 'u':
      return BigInt.asUintN(bits, value).toString();
    case 'o':
      return `0${BigInt.asUintN(bits, value).toString(8)}`;
    case 'c':
      return character(Number(value & 0xffn));
    default:
      return `0x${BigInt.asUintN(bits, value).toString(16)}`;
  }
}

const ESCAPES: Readonly<Record<number, string>> = { 10: '\\n', 13: '\\r', 39: "\\'", 92: '\\\\' };

function character(code: number): string {
  const text =
    ESCAPES[code] ??
    (code >= 32 && code < 127 ? String.fromCharCode(code) : `\\x${code.toString(16).padStart(2, '0')}`);
  return `'${text}'`;
}

/** Columns of a number: those of the largest. */
function columns({ kind, size }: Format): number {
  if (kind === 'o') return Math.ceil((8 * size) / 3) + 1;
  if (kind === 'd' || kind === 'u') return { 1: 4, 2: 6, 4: 10, 8: 20 }[size];
  return 2 * size + 2;
}

/** Bytes at a physical or linear address, up to the first that is not there. */
function readBytes(s: Session, address: bigint, count: number, physical: boolean): Uint8Array {
  const out = new Uint8Array(count);
  let done = 0;
  while (done < count) {
    const at = BigInt.asUintN(64, address + BigInt(done));
    const part = Math.min(count - done, 4096 - Number(at & 0xfffn));
    const from = physical ? at : s.translate(s.cpu, at);
    if (from === undefined || from >= 1n << 52n) break;
    s.machine.system.read(Number(from), out.subarray(done, done + part));
    done += part;
  }
  return out.subarray(0, done);
}

export function examine(s: Session, text: string, physical: boolean): void {
  const { format, rest } = takeFormat(s, text);
  const start = BigInt.asUintN(64, evaluate(s, rest));
  if (format.kind === 'i') {
    disassembly(s, start, format.count, physical);
    return;
  }
  const { size, count } = format;
  const perLine = format.kind === 'c' ? 8 : LINE_BYTES / size;
  for (let i = 0; i < count; i += perLine) {
    const address = BigInt.asUintN(64, start + BigInt(i * size));
    const wanted = Math.min(perLine, count - i);
    const bytes = readBytes(s, address, wanted * size, physical);
    if (bytes.length < wanted * size) {
      s.print(`Cannot access memory\n`);
      return;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const items = Array.from({ length: wanted }, (_, n) => item(view, n * size, format));
    s.print(`${hexAddress(s, address, physical)}: ${items.join(' ')}\n`);
  }
}

function item(view: DataView, at: number, format: Format): string {
  const value =
    format.size === 8
      ? view.getBigUint64(at, true)
      : BigInt(
          format.size === 4
            ? view.getUint32(at, true)
            : format.size === 2
              ? view.getUint16(at, true)
              : view.getUint8(at),
        );
  if (format.kind === 'x') return `0x${value.toString(16).padStart(2 * format.size, '0')}`;
  if (format.kind === 'c') return show(value, format);
  return show(value, format).padStart(columns(format));
}

function hexAddress(s: Session, address: bigint, physical: boolean): string {
  const digits = physical || longCode(s.registers[s.cpu]!) ? 16 : 8;
  return BigInt.asUintN(digits * 4, address)
    .toString(16)
    .padStart(digits, '0');
}

function disassembly(s: Session, start: bigint, count: number, physical: boolean): void {
  const disassembler = new Disassembler();
  const mode = s.registers[s.cpu]!.mode;
  let pc = start;
  for (let i = 0; i < count; i++) {
    const bytes = readBytes(s, pc, LONGEST_INSTRUCTION, physical);
    const shown = `0x${hexAddress(s, pc, physical)}: `;
    if (bytes.length === 0) {
      s.print(`${shown}unable to read memory\n`);
      return;
    }
    const { length, text } = disassembler.disassemble(bytes, 0, bytes.length, mode, pc);
    const raw = Array.from(bytes.subarray(0, length), (b) => b.toString(16).padStart(2, '0')).join(' ');
    s.print(`${shown} ${raw.padEnd(24)} ${text}\n`);
    pc = BigInt.asUintN(64, pc + BigInt(length));
  }
}

export function print(s: Session, text: string): void {
  const match = /^\/([xduoc])\s*(.*)$/s.exec(text);
  const kind = (match?.[1] ?? 'd') as Format['kind'];
  s.print(`${show(evaluate(s, match ? match[2]! : text), { kind, size: 8 })}\n`);
}

const PORTS = 0x1_0000;

/** `/b`, `/h` or `/w`, then a port: how many bytes to move, and where. `rest` follows. */
function takePort(s: Session, text: string): { size: 1 | 2 | 4; port: number; rest: string } {
  const match = /^\/([bhwx]*)\s*(.*)$/s.exec(text);
  const letter = /[bhw]/.exec(match?.[1] ?? '')?.[0] ?? 'b';
  const { value, rest } = takeExpression(s, match ? match[2]! : text);
  return { size: SIZES[letter as 'b' | 'h' | 'w'], port: Number(BigInt.asUintN(64, value) % BigInt(PORTS)), rest };
}

const PORT_NAMES = { 1: 'portb', 2: 'portw', 4: 'portl' } as const;

export function portRead(s: Session, text: string): void {
  const { size, port, rest } = takePort(s, text);
  if (rest !== '') throw new UserError(`extraneous characters at the end of line: '${rest}'`);
  const value = s.machine.io.portRead(port, size);
  s.print(
    `${PORT_NAMES[size]}[0x${port.toString(16).padStart(4, '0')}] = 0x${value.toString(16).padStart(2 * size, '0')}\n`,
  );
}

export function portWrite(s: Session, text: string): void {
  const { size, port, rest } = takePort(s, text);
  const value = evaluate(s, rest);
  s.machine.io.portWrite(port, size, Number(BigInt.asUintN(8 * size, value)));
}

export function guestPhysical(s: Session, text: string): void {
  const address = s.translate(s.cpu, BigInt.asUintN(64, evaluate(s, text)));
  s.print(address === undefined ? 'Unmapped\n' : `gpa: 0x${address.toString(16)}\n`);
}

const PIECE = 1 << 20;

/** Bytes of memory in pieces; throws UserError at the first that is not there. */
function* pieces(s: Session, address: bigint, size: number, physical: boolean): Generator<Uint8Array> {
  for (let done = 0; done < size; done += PIECE) {
    const wanted = Math.min(PIECE, size - done);
    const bytes = readBytes(s, address + BigInt(done), wanted, physical);
    if (bytes.length < wanted) throw new UserError(`Invalid addr 0x${address.toString(16)}/size ${size} specified`);
    yield bytes;
  }
}

/** Two expressions without spaces, and what follows them: the slash of a path is no division. */
function takeRange(s: Session, text: string): { address: bigint; size: number; rest: string } {
  const [, address = '', length = '', rest = ''] = /^(\S+)\s+(\S+)\s*(.*)$/s.exec(text) ?? [];
  const size = Number(evaluate(s, length));
  if (size < 0 || size > s.ramBytes) throw new UserError(`a size between 0 and ${s.ramBytes} is needed`);
  return { address: BigInt.asUintN(64, evaluate(s, address)), size, rest };
}

export function saveMemory(s: Session, text: string, physical: boolean): void {
  const { address, size, rest } = takeRange(s, text);
  const file = rest.replace(/^"(.*)"$/, '$1');
  if (file === '') throw new UserError('filename expected');
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces(s, address, size, physical)) {
    bytes.set(piece, at);
    at += piece.length;
  }
  s.writeFile(file, bytes);
}

/** The BSD checksum: 16 bits, rotated right by one before each byte is added. */
export function sumMemory(s: Session, text: string): void {
  const { address, size, rest } = takeRange(s, text);
  if (rest !== '') throw new UserError(`extraneous characters at the end of line: '${rest}'`);
  let sum = 0;
  for (const piece of pieces(s, address, size, true)) {
    for (const byte of piece) sum = (((sum >> 1) | (sum << 15)) + byte) & 0xffff;
  }
  s.print(`${String(sum).padStart(5, '0')}\n`);
}
