/** IR as text, one op a line: for `-d op`, for tests, and back. `ops.ts` says what the operands of each format mean. */
import { UserError } from '../base/errors.js';
import { FLAG_OP, FLAG_RES, FLAG_SRC, FLAG_SRC2, PC, TEMP0 } from './builder.js';
import { SKIP_WORD } from './effects.js';
import { TEMP_COUNT } from './layout.js';
import { GotoKind, JumpKind, OP, OPS, PcMask } from './ops.js';

/** Names of a guest's slots and helpers; what it does not name is written as a number (`s123`, `h4`). */
export interface Names {
  slotName(slot: number): string | undefined;
  slot(name: string): number | undefined;
  helperName(id: number): string | undefined;
  helper(name: string): number | undefined;
}

const HEADER = new Map([
  ['pc', PC],
  ['flagOp', FLAG_OP],
  ['flagRes', FLAG_RES],
  ['flagSrc', FLAG_SRC],
  ['flagSrc2', FLAG_SRC2],
]);
const HEADER_NAMES = new Map([...HEADER].map(([name, slot]) => [slot, name]));

/** No guest names at all. */
export const NO_NAMES: Names = {
  slotName: () => undefined,
  slot: () => undefined,
  helperName: () => undefined,
  helper: () => undefined,
};

function slotText(slot: number, names: Names): string {
  if (slot >= TEMP0 && slot < TEMP0 + TEMP_COUNT) return `t${slot - TEMP0}`;
  return HEADER_NAMES.get(slot) ?? names.slotName(slot) ?? `s${slot}`;
}

const keyOf = (table: Readonly<Record<string, number>>, value: number): string =>
  Object.entries(table).find(([, v]) => v === value)?.[0] ?? String(value);
const signed = (n: number): string => (n < 0 ? String(n) : `+${n}`);

/** The operands of the op in words[w..w+3]. */
function operands(words: Int32Array, w: number, names: Names): string {
  const first = words[w] as number;
  const info = OPS[first & 0xffff]!;
  const ab = words[w + 1] as number;
  const imm = words[w + 2] as number;
  const aux = words[w + 3] as number;
  const slot = (n: number): string => slotText(n, names);
  const d = slot(first >>> 16);
  const a = slot(ab & 0xffff);
  const b = slot(ab >>> 16);
  switch (info.name) {
    case 'pcrel':
      return `${d}, ${signed(imm)} ${keyOf(PcMask, aux)}`;
    case 'sel':
      return `${d}, ${a}, ${b}, ${slot(imm)}`;
    case 'probew':
      return `[${a}${signed(imm)}], ${ab >>> 16} @${aux}`;
    case 'exit':
      return String(imm);
    case 'env_st8':
    case 'env_st16':
    case 'env_st32':
      return `${imm}, ${a}`;
  }
  switch (info.format) {
    case 'none':
      return '';
    case 'd':
      return d;
    case 'da':
      return `${d}, ${a}`;
    case 'dab':
      return `${d}, ${a}, ${b}`;
    case 'di':
      return `${d}, ${imm}`;
    case 'dI':
      return `${d}, 0x${((BigInt(aux >>> 0) << 32n) | BigInt(imm >>> 0)).toString(16)}`;
    case 'dai':
      return `${d}, ${a}, ${imm}`;
    case 'dabi':
      return `${d}, ${a}, ${b}, ${imm}`;
    case 'dabx':
      return `${d}, ${a}, ${b}, ${imm}, ${aux}`;
    case 'ab':
      return `${a}, ${b}`;
    case 'a':
      return a;
    case 'ai':
      return `${a}, ${imm}`;
    case 'abi':
      return `${a}, ${b}, ${imm}`;
    case 'ldm':
      return `${d}, [${a}${signed(imm)}] @${aux}`;
    case 'stm':
      return `[${a}${signed(imm)}], ${b} @${aux}`;
    case 'if1':
      return `${a} skip ${imm}`;
    case 'if2':
      return `${a}, ${b} skip ${imm}`;
    case 'ifi':
      return `${a}, ${imm} skip ${aux}`;
    case 'call':
      return `${d}, ${names.helperName(aux >>> 16) ?? `h${aux >>> 16}`}(${a}, ${b}, ${imm}) @${aux & 0xffff}`;
    case 'goto': {
      const what = first >>> 16;
      return `${signed(imm)} ${keyOf(PcMask, what >>> 4)} ${keyOf(GotoKind, what & 15)}`;
    }
    case 'jmp':
      return `${a} ${keyOf(JumpKind, imm)}`;
  }
}

/** `count` ops from word `first` on; bodies are indented. */
export function printOps(words: Int32Array, count: number, names: Names = NO_NAMES, first = 0): string {
  let text = '';
  const ends: number[] = [];
  for (let i = 0; i < count; i++) {
    while (ends.length > 0 && i >= (ends[ends.length - 1] as number)) ends.pop();
    const w = first + i * 4;
    const op = (words[w] as number) & 0xffff;
    text += `${'  '.repeat(ends.length)}${OPS[op]?.name ?? `op${op}`} ${operands(words, w, names)}`.trimEnd();
    text += '\n';
    const skip = SKIP_WORD[op] as number;
    if (skip !== 0) ends.push(i + 1 + (words[w + skip] as number));
  }
  return text;
}

/** Parses what `printOps` prints; `#` starts a comment. Throws UserError with the line. */
export function parseOps(text: string, names: Names = NO_NAMES): Int32Array {
  const words: number[] = [];
  for (const [number, whole] of text.split('\n').entries()) {
    const line = whole.replace(/#.*/, '').trim();
    if (line === '') continue;
    const fail = (why: string): never => {
      throw new UserError(`IR line ${number + 1}: ${why}: ${line}`);
    };
    const [name = ''] = line.split(/\s/, 1);
    const op = (OP as Readonly<Record<string, number | undefined>>)[name] ?? fail('no such op');
    // Operands stand between blanks and punctuation; the format knows what each is.
    const parts = line.slice(name.length).match(/0x[0-9a-f]+|[+-]?\d+|[A-Za-z_][\w.]*/g) ?? [];
    let next = 0;
    const take = (): string => parts[next++] ?? fail('too few operands');
    const slot = (): number => slotOf(take(), names) ?? fail('no such slot');
    const int = (): number => {
      const s = take();
      return Number.isInteger(Number(s)) ? Number(s) : fail('not a number');
    };
    const key = (table: Readonly<Record<string, number>>): number => table[take()] ?? fail('no such word');
    const skip = (): number => (take() === 'skip' ? int() : fail('skip expected'));
    let d = 0;
    let a = 0;
    let b = 0;
    let imm = 0;
    let aux = 0;
    const info = OPS[op]!;
    switch (info.name) {
      case 'pcrel':
        [d, imm, aux] = [slot(), int(), key(PcMask)];
        break;
      case 'sel':
        [d, a, b, imm] = [slot(), slot(), slot(), slot()];
        break;
      case 'probew':
        [a, imm, b, aux] = [slot(), int(), int(), int()];
        break;
      case 'exit':
        imm = int();
        break;
      case 'env_st8':
      case 'env_st16':
      case 'env_st32':
        [imm, a] = [int(), slot()];
        break;
      default:
        switch (info.format) {
          case 'none':
            break;
          case 'd':
            d = slot();
            break;
          case 'da':
            [d, a] = [slot(), slot()];
            break;
          case 'dab':
            [d, a, b] = [slot(), slot(), slot()];
            break;
          case 'di':
            [d, imm] = [slot(), int()];
            break;
          case 'dI': {
            d = slot();
            const value = BigInt(take());
            imm = Number(BigInt.asIntN(32, value));
            aux = Number(BigInt.asIntN(32, value >> 32n));
            break;
          }
          case 'dai':
            [d, a, imm] = [slot(), slot(), int()];
            break;
          case 'dabi':
            [d, a, b, imm] = [slot(), slot(), slot(), int()];
            break;
          case 'dabx':
            [d, a, b, imm, aux] = [slot(), slot(), slot(), int(), int()];
            break;
          case 'ab':
            [a, b] = [slot(), slot()];
            break;
          case 'a':
            a = slot();
            break;
          case 'ai':
            [a, imm] = [slot(), int()];
            break;
          case 'abi':
            [a, b, imm] = [slot(), slot(), int()];
            break;
          case 'ldm':
            [d, a, imm, aux] = [slot(), slot(), int(), int()];
            break;
          case 'stm':
            [a, imm, b, aux] = [slot(), int(), slot(), int()];
            break;
          case 'if1':
            [a, imm] = [slot(), skip()];
            break;
          case 'if2':
            [a, b, imm] = [slot(), slot(), skip()];
            break;
          case 'ifi':
            [a, imm, aux] = [slot(), int(), skip()];
            break;
          case 'call': {
            d = slot();
            const helper = take();
            const id =
              names.helper(helper) ?? (/^h\d+$/.test(helper) ? Number(helper.slice(1)) : fail('no such helper'));
            [a, b, imm] = [slot(), slot(), int()];
            aux = (id << 16) | int();
            break;
          }
          case 'goto':
            imm = int();
            d = (key(PcMask) << 4) | key(GotoKind);
            break;
          case 'jmp':
            [a, imm] = [slot(), key(JumpKind)];
        }
    }
    if (next !== parts.length) fail('too many operands');
    words.push(op | (d << 16), a | (b << 16), imm, aux);
  }
  return Int32Array.from(words);
}

function slotOf(name: string, names: Names): number | undefined {
  const known = HEADER.get(name) ?? names.slot(name);
  if (known !== undefined) return known;
  const numbered = /^([ts])(\d+)$/.exec(name);
  if (numbered === null) return undefined;
  return Number(numbered[2]) + (numbered[1] === 't' ? TEMP0 : 0);
}
