/**
 * Lazy condition codes: what `flagOp` may hold, and what the other three flag slots mean then.
 *
 * `flagOp` = kind << 2 | log2(operand bytes). `res` is flagRes, `src` flagSrc, `src2` flagSrc2. Only the low operand-size
 * bits of each count; what is above them may be anything.
 *
 * | kind     | res             | src                        | src2     |                                              |
 * | explicit | EFLAGS bits CF PF AF ZF SF OF (others are ignored)     |                                              |
 * | add      | a + b           | one addend                 |          |                                              |
 * | adc      | a + b + src2    | one addend                 | carry in | flagSrc2 is written before the `flags` op    |
 * | sub      | a - b           | a (not b)                  |          | CMP, SUB, NEG (a = 0), CMPXCHG, SCAS, CMPS   |
 * | sbb      | a - b - src2    | a                          | carry in |                                              |
 * | logic    | result          |                            |          | CF = OF = AF = 0                             |
 * | inc, dec | result          | CF before (0 or 1)         |          |                                              |
 * | shl      | result          | operand << (count - 1)     |          | CF = its top bit; OF = top bits of res ^ src |
 * | shr      | result          | operand >> (count - 1)     |          | CF = its bit 0; SAR too; OF as above         |
 * | mul      | low half        | non-zero: CF = OF = 1      |          |                                              |
 * | carry    | for ZF, SF, PF  | bit 0 is CF                |          | OF = AF = 0; BT*, LZCNT, TZCNT, BMI1         |
 * | imul     | low half        | one factor                 | other    | CF = OF = the signed product does not fit    |
 * | popcnt   | zero: ZF = 1    |                            |          | all others 0                                 |
 */
import type { ConditionCode } from '../../ir/condition-code.js';

export const FlagKind = {
  explicit: 0,
  add: 1,
  adc: 2,
  sub: 3,
  sbb: 4,
  logic: 5,
  inc: 6,
  dec: 7,
  shl: 8,
  shr: 9,
  mul: 10,
  carry: 11,
  popcnt: 12,
  imul: 13,
} as const;
export type FlagKindName = keyof typeof FlagKind;

/** EFLAGS bits by name. */
export const EFLAGS = {
  cf: 0x1,
  pf: 0x4,
  af: 0x10,
  zf: 0x40,
  sf: 0x80,
  tf: 0x100,
  if: 0x200,
  df: 0x400,
  of: 0x800,
  iopl: 0x3000,
  nt: 0x4000,
  rf: 0x10000,
  vm: 0x20000,
  ac: 0x40000,
  vif: 0x80000,
  vip: 0x100000,
  id: 0x200000,
  /** The lazy ones. */
  arithmetic: 0x8d5,
} as const;

/** Condition codes as encoded in Jcc, SETcc, CMOVcc; an odd one is the even one before it, negated. */
export const Cc = {
  o: 0,
  no: 1,
  b: 2,
  ae: 3,
  e: 4,
  ne: 5,
  be: 6,
  a: 7,
  s: 8,
  ns: 9,
  p: 10,
  np: 11,
  l: 12,
  ge: 13,
  le: 14,
  g: 15,
} as const;
/** `cond` with this instead of a condition gives all lazy flags as EFLAGS bits. */
export const CC_ALL = 16;

const TESTS: Readonly<Record<number, ConditionCode['test']>> = {
  [Cc.b]: 'ltu',
  [Cc.e]: 'zero',
  [Cc.be]: 'leu',
  [Cc.l]: 'lts',
  [Cc.le]: 'les',
};

/** Equality is the same of all kinds that have a result; orderings are mostly asked of compares. */
export function inlineCondition(cc: number): ConditionCode | undefined {
  const test = cc < CC_ALL ? TESTS[cc & ~1] : undefined;
  if (test === undefined) return undefined;
  const kind = test === 'zero' ? FlagKind.explicit : FlagKind.sub;
  return { sizeBits: 2, kind, test, negated: (cc & 1) === 1 };
}

/** flagOp of a kind at an operand size in bits. */
export function flagOp(kind: FlagKindName, size: number): number {
  return (FlagKind[kind] << 2) | (size === 8 ? 0 : size === 16 ? 1 : size === 32 ? 2 : 3);
}
