/**
 * The 80-bit format's arithmetic as formulas: of normal numbers whose exponents are far from both ends (a double's always are),
 * rounded to nearest, to 64 or 53 bits.
 *
 * A number is a significand `m` with the integer bit on top, and `s`: sign in bit 15, biased exponent below. Formulas with
 * a case they do not cover make `check` negative; they only ever or into it.
 */
// hot path
import { X87_BIT, type X87Precision } from '../ir/x87-code.js';
import { type Formula, formula } from './formula.js';

/** Locals of the formulas; registers and their addresses come behind. */
export const X87_LOCALS = [
  // What the compiled code keeps: TOP where tracking began; tags (bit 0: of the register there) and status word as in memory;
  // what else is in the status word (PE unless `inexact` is 0, C1); a number that is negative unless control and status are usual.
  ...['base', 'tags', 'fsw', 'inexact', 'c1', 'bad'],
  // Operands and results.
  ...['check', 'x', 'ma', 'sa', 'mb', 'sb', 'hi', 'lo', 'e', 'm', 'se'],
  // Intermediates.
  ...['ea', 'eb', 't', 'd', 'big', 'small', 'bh', 'bl', 'z', 'up'],
] as const;

const f = (text: string) => formula(X87_LOCALS, text);

const INTEGER_BIT = '-9223372036854775808';
/**
 * Exponents from 3000h to 4FFFh, whatever the sign: sums, products and quotients of two such numbers are normal. A memory operand
 * has been seen to be one.
 */
const inRange = (memory: boolean): string =>
  memory
    ? 'check  0 sa 12288 - 24576 & -  |  ma -1 ^ |  =check'
    : 'check  0 sa 12288 -  sb 12288 -  | 24576 & -  |  ma mb & -1 ^ |  =check';

/** m, se := hi, lo, se rounded; lo is 0 if that is exact. Not covered: a carry out of the significand. */
const ROUND = {
  64: `
    lo hi 1 & |  ${INTEGER_BIT}  >u wide =up
    hi up + =m
    check  m -1 ^ |  =check`,
  53: `
    hi 53 shl  lo eqz wide 1 ^  | =lo
    lo  hi 11 shr 1 &  |  ${INTEGER_BIT}  >u wide =up
    hi -2048 &  up 11 shl  + =m
    check  m -1 ^ |  =check`,
} as const;

/** m, se := a + b. Not covered: zero; exponents more than 63 apart. */
const SUM = `
  sa 32767 & sb 32767 & - =d
  d 1 shl  ma mb <u wide  - =t
  mb ma t 0 <s select =big
  ma mb t 0 <s select =small
  sb sa t 0 <s select =se
  0 d - d t 0 <s select =d
  sa sb ^ 48 shl 63 sar =x
  small 1 shr d shr =bh
  small 63 d - shl =bl
  bh x ^  bl eqz wide x &  + =bh
  bl x ^ x - =bl
  big 63 shl bl + =lo
  bh big 1 shr +  lo bl <u wide  + =hi
  hi clz =z
  check  63 d - |  63 z - |  =check
  hi z shl  lo 1 shr 63 z - shr  | =hi
  lo z shl =lo
  se 1 + z - =se`;

/** m, se := a * b. Exponents do not overflow into signs, which add up as they should. */
const PRODUCT = `
  ma 32 shr =big  mb 32 shr =small
  ma 4294967295 & =bh  mb 4294967295 & =bl
  bh bl * 32 shr  big bl *  + =t
  t 4294967295 &  bh small *  + =d
  big small *  t 32 shr +  d 32 shr + =hi
  ma mb * =lo
  hi 63 shr 1 ^ =z
  hi z shl  lo 63 shr z &  | =hi
  lo z shl =lo
  sa sb + 16382 - z - 65535 & =se`;

/** With an operand in a register, and with one from memory. */
const both = (arithmetic: string, precision: X87Precision) =>
  [false, true].map((memory) => f(inRange(memory) + arithmetic + ROUND[precision])) as [Formula, Formula];
export const ARITHMETIC = {
  64: { add: both(SUM, 64), mul: both(PRODUCT, 64) },
  53: { add: both(SUM, 53), mul: both(PRODUCT, 53) },
} as const;

/** What that, or storing, does to the status word. */
export const INEXACT = f('up =c1  inexact lo | =inexact');

/** Negate an operand, so that a sum becomes a difference. */
export const NEGATE_A = f('sa 32768 ^ =sa');
export const NEGATE_B = f('sb 32768 ^ =sb');

/** mb, sb := a number in memory's format in x. `zero`: zero is covered. */
function widen(fractionBits: number, exponentBits: number, zero: boolean): string {
  const most = 2 ** exponentBits - 1;
  const bias = 16383 - 2 ** (exponentBits - 1) + 1;
  const sign = fractionBits + exponentBits - 15;
  const common = `
    x ${fractionBits} shr ${most} & =t
    x ${63 - fractionBits} shl ${INTEGER_BIT} | =mb
    x ${sign} shr 32768 & =sb`;
  if (!zero)
    return `${common}
      sb t ${bias} + | =sb
      check  t 1 - |  ${most - 1} t - |  =check`;
  // d: all ones, zeros for the number zero.
  return `${common}
    x ${64 - fractionBits - exponentBits} shl eqz wide 1 - =d
    mb d & =mb
    sb  t ${bias} + d &  | =sb
    check  t d + |  ${most - 1} t - |  =check`;
}

/** The same for an integer. */
function fromInteger(bits: number, zero: boolean): string {
  return `
    x ${64 - bits} shl ${64 - bits} sar =x
    x 63 sar =t
    x t ^ t - =x
    x clz =z
    x z shl =mb
    ${zero ? 't 32768 &  16446 z -  x eqz wide 1 - &  | =sb' : 't 32768 &  16446 z - | =sb  check mb -1 ^ | =check'}`;
}

export const WIDEN = {
  f32: { any: f(widen(23, 8, true)), number: f(widen(23, 8, false)) },
  f64: { any: f(widen(52, 11, true)), number: f(widen(52, 11, false)) },
  i16: { any: f(fromInteger(16, true)), number: f(fromInteger(16, false)) },
  i32: { any: f(fromInteger(32, true)), number: f(fromInteger(32, false)) },
  i64: { any: f(fromInteger(64, true)), number: f(fromInteger(64, false)) },
} as const;

/** x := a in a narrower format; up: C1; lo: nonzero if inexact. Covered: what becomes a normal number there, and zero. */
function narrow(fractionBits: number, exponentBits: number): string {
  const cut = 63 - fractionBits;
  const most = 2 ** exponentBits - 1;
  const bias = 16383 - 2 ** (exponentBits - 1) + 1;
  return `
    sa 32767 & =e
    ma e | eqz wide 1 - =d
    e ${bias} - =e
    check  e 1 -  ${most - 2} e - |  ma -1 ^ |  d &  | =check
    ma ${2n ** BigInt(cut) - 1n} & =lo
    ma ${cut} shr =hi
    lo  ${2n ** BigInt(cut - 1)} hi 1 & -  >u wide =up
    e 1 - ${fractionBits} shl hi + up +  d &  sa 32768 & ${fractionBits + exponentBits - 15} shl  | =x`;
}
export const NARROW = { f32: f(narrow(23, 8)), f64: f(narrow(52, 11)) } as const;

/** Not covered: what is neither zero nor normal. d: significand is zero; the integer bit and the exponent must agree. */
const comparable = (m: string, s: string, e: string): string => `
  ${s} 32767 & =${e}
  ${m} eqz wide =d
  check  0 d ${e} eqz wide ^ - |  ${m} 63 shr d | 1 - |  32766 ${e} - |  =check`;

/** up := a is less than b, z := they are equal. */
export const COMPARE = f(`${comparable('ma', 'sa', 'ea')} ${comparable('mb', 'sb', 'eb')}
  ea eb - 1 shl  ma mb <u wide  - 63 shr =t
  sa sb == wide  ma mb == wide  &  ma mb | eqz wide | =z
  sa sb ^ 15 shr 1 & 1 ^  t &  sa 15 shr 1 & ^  z 1 ^ & =up`);

/** c1, inexact, bad := as the status word says; t: the control word's bits that are not the usual ones. */
export const STATUS = f(`
  fsw 9 shr 1 & =c1
  0 =inexact
  0  fsw ${X87_BIT.es} & t |  - =bad`);
/** Pushes the status word. */
export const PUSH_STATUS = f('fsw -513 &  inexact eqz wide 1 ^ 5 shl |  c1 9 shl |');
/** fsw := without condition codes but with those of the comparison. */
export const CONDITIONS = f(`
  fsw ${~(X87_BIT.c0 | X87_BIT.c2 | X87_BIT.c3)} &  up ${Math.log2(X87_BIT.c0)} shl |  z ${Math.log2(X87_BIT.c3)} shl |  =fsw`);
/** Pushes carry and zero flag of the comparison. */
export const PUSH_FLAGS = f('up  z 6 shl |');
/** tags := memory's, in t, as they lie from `base` on. */
export const ROTATE_TAGS = f('t t 8 shl | base shr 255 & =tags');
/** Pushes the tags in x as memory has them. */
export const PUSH_TAGS = f('x x 8 shl | base shl 8 shr 255 &');
/** tags, fsw, c1, inexact, bad := as x87Resume (in t) says. */
export const RESUME = f(`
  t 255 & =tags
  t 8 shr 65535 & =fsw
  fsw 9 shr 1 & =c1
  0 =inexact
  t 1 shl 63 sar =bad`);
