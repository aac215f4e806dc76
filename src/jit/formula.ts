/**
 * Arithmetic on i64 locals, written as text in postfix order and assembled once: what would be pages of single instructions.
 *
 *   name, =name     push a local, set it
 *   12, -1          push an i64 constant (up to 64 bits)
 *   + - * & | ^     i64 instructions; shl shr sar clz eqz, and == <u >u <s, whose results are i32
 *   wide            i32 (a comparison's result) to i64
 *   select          a b c -- c ? a : b
 */
// hot path
import { Bug } from '../base/errors.js';
import type { Values } from './values.js';
import { W } from './wasm/opcodes.js';

const WORDS: Readonly<Record<string, number>> = {
  '+': W.i64Add,
  '-': W.i64Sub,
  '*': W.i64Mul,
  '&': W.i64And,
  '|': W.i64Or,
  '^': W.i64Xor,
  shl: W.i64Shl,
  shr: W.i64ShrU,
  sar: W.i64ShrS,
  clz: W.i64Clz,
  eqz: W.i64Eqz,
  '==': W.i64Eq,
  '<u': W.i64LtU,
  '>u': W.i64GtU,
  '<s': W.i64LtS,
  wide: W.i64ExtendI32U,
  select: W.select,
};

const KIND = { op: 0, constant: 1, get: 2, set: 3 } as const;

/** Three words an instruction: kind, value, the high half of a constant. */
export type Formula = Int32Array;

/** `names`: the locals, numbered as they lie behind the first. */
export function formula(names: readonly string[], text: string): Formula {
  const words: number[] = [];
  const local = (name: string): number => {
    const number = names.indexOf(name);
    if (number < 0) throw new Bug(`formula: no word ${name}`);
    return number;
  };
  for (const word of text.trim().split(/\s+/)) {
    const op = WORDS[word];
    if (op !== undefined) words.push(KIND.op, op, 0);
    else if (/^-?\d+$/.test(word)) {
      const value = BigInt(word);
      words.push(KIND.constant, Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
    } else if (word.startsWith('=')) words.push(KIND.set, local(word.slice(1)), 0);
    else words.push(KIND.get, local(word), 0);
  }
  return Int32Array.from(words);
}

/** Emits a formula; `first`: the number of the first of its locals. */
export function emitFormula(v: Values, code: Formula, first: number): void {
  for (let i = 0; i < code.length; i += 3) {
    const value = code[i + 1] as number;
    switch (code[i]) {
      case KIND.op:
        v.op(value);
        break;
      case KIND.constant:
        v.i64(value, code[i + 2] as number);
        break;
      case KIND.get:
        v.getLocal(first + value);
        break;
      default:
        v.setLocal(first + value);
    }
  }
}
