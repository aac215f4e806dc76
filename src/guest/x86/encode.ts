/** The other way round: bytes of an instruction from its row. For generators of tests. */
import type { Form } from './decode.js';

/** What the caller decides; numbers come from `below(n)`, a random integer 0..n-1. */
export interface EncodeOptions {
  below(n: number): number;
  /** Default size of code: 64-bit mode, or 32- or 16-bit code. */
  readonly code: 16 | 32 | 64;
  /** Registers that general operands may be (their numbers; above 7 only in 64-bit mode). */
  readonly registers: readonly number[];
  /** Registers that may be a memory operand's base or index. */
  readonly pointers: readonly number[];
  /** Registers that may be an index; without, the same as for a base. */
  readonly indexes?: readonly number[];
  /** With it, some memory operands (not of 16-bit code) have no base: this gives their displacement. */
  readonly absolute?: () => number;
  /** Operand sizes to choose from where the row leaves it open. */
  readonly sizes: readonly (16 | 32 | 64)[];
  /** Chance in percent of a memory operand where either will do, of LOCK where it is allowed, of REP on string instructions. */
  readonly memory: number;
  readonly lock: number;
}

export interface Encoded {
  readonly bytes: number[];
  /** The memory operand: registers (-1: none), log2 of scale, displacement. */
  readonly memory:
    | { readonly base: number; readonly index: number; readonly scale: number; readonly disp: number }
    | undefined;
  /** ModRM.reg, ModRM.rm and VEX.vvvv as register numbers (rm: -1 for memory). */
  readonly reg: number;
  readonly rm: number;
  readonly vvvv: number;
  readonly opSize: 16 | 32 | 64;
}

const PP = [0, 0x66, 0xf3, 0xf2] as const;
const ESCAPES: readonly (readonly number[])[] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
const GENERAL = 'GERBZM';

/** ModRM.rm of 16-bit addresses, by base * 16 + index. */
const FORM16: ReadonlyMap<number, number> = new Map([
  [3 * 16 + 6, 0],
  [3 * 16 + 7, 1],
  [5 * 16 + 6, 2],
  [5 * 16 + 7, 3],
  [6 * 16 - 1, 4],
  [7 * 16 - 1, 5],
  [5 * 16 - 1, 6],
  [3 * 16 - 1, 7],
]);

const little = (value: number, count: number): number[] =>
  Array.from({ length: count }, (_, n) => (n < 4 ? (value >>> (n * 8)) & 0xff : value < 0 ? 0xff : 0));

/** Encodes one instruction of this form with random operands. */
export function encode(form: Form, o: EncodeOptions): Encoded {
  const long = o.code === 64;
  const e = form.encoding;
  const vex = e.map >= 4;
  const among = <T>(list: readonly T[]): T => list[o.below(list.length)] as T;
  const operand = (kinds: string) => form.operands.find((x) => kinds.includes(x.kind));
  const field = (kinds: string): number => {
    const x = operand(kinds);
    if (x === undefined) return 0;
    if (GENERAL.includes(x.kind)) return among(o.registers);
    return o.below(long && !'PQN'.includes(x.kind) ? 16 : 8);
  };
  const memory =
    e.hasModrm && (e.mod3 === 0 || (e.mod3 === -1 && operand('EWQM') !== undefined && o.below(100) < o.memory));
  const reg = e.reg >= 0 ? e.reg : field('GVP');
  const rm = e.rm >= 0 ? e.rm : memory ? -1 : field('EWQUNR');
  const opreg = e.opReg ? field('Z') : 0;
  const vvvv = vex ? field('HB') : 0;
  // The operand size only shows where an operand depends on it.
  const open = form.operands.some((x) => 'vyz'.includes(x.size) && x.size !== '') || form.mnemonics.length > 1;
  let opSize: 16 | 32 | 64 = long ? (e.size64 !== '' ? 64 : 32) : o.code;
  if (e.w === 1) opSize = 64;
  else if (open && e.size64 !== 'f64' && !vex) {
    const sizes = o.sizes.filter(
      (s) =>
        (s !== 64 || (long && e.w < 0)) &&
        !(long || o.code === 32 ? s === 16 && (e.pp === 0 || e.pp === 1) : s === 32 && (e.pp === 0 || e.pp === 1)) &&
        !(s === 32 && e.size64 === 'd64' && long),
    );
    opSize = among(sizes);
  } else if (vex && long && e.w < 0 && open) opSize = among([32, 64] as const);

  const absolute = o.code !== 16 && o.absolute !== undefined && o.below(8) === 0 ? o.absolute() : undefined;
  const base = memory && absolute === undefined ? among(o.pointers) : -1;
  let index = memory && o.below(2) === 0 ? among(o.indexes ?? o.pointers) : -1;
  if (index === 4 || index === base) index = -1;
  const scale = o.below(4);
  // 16-bit code uses 16-bit addresses or, with a prefix, 32-bit ones.
  const short =
    memory && o.code === 16 && (FORM16.has(base * 16 + index) || FORM16.has(base * 16 - 1)) && o.below(3) > 0;
  if (short && !FORM16.has(base * 16 + index)) index = -1;
  const disp =
    absolute !== undefined ? absolute : memory ? (o.below(2) === 0 ? o.below(256) - 128 : o.below(800) - 400) : 0;

  const bytes: number[] = [];
  const lock = memory && e.lock && o.below(100) < o.lock;
  if (lock) bytes.push(0xf0);
  const r = e.hasModrm ? reg >> 3 : 0;
  const b = (base >= 0 ? base >> 3 : memory ? 0 : rm >> 3) & 1 || opreg >> 3;
  const x = index > 0 ? index >> 3 : 0;
  const w = e.w >= 0 ? e.w : opSize === 64 && e.size64 === '' ? 1 : 0;
  if (memory && o.code === 16 && !short) bytes.push(0x67);
  if (vex) {
    const l = e.l >= 0 ? e.l : o.below(2);
    const last = ((~vvvv & 15) << 3) | (l << 2) | Math.max(e.pp, 0);
    if (e.map === 4 && b === 0 && x === 0 && w === 0 && o.below(2) === 0) bytes.push(0xc5, ((r ^ 1) << 7) | last);
    else bytes.push(0xc4, ((r ^ 1) << 7) | ((x ^ 1) << 6) | ((b ^ 1) << 5) | (e.map - 3), (w << 7) | last);
  } else {
    if (opSize !== 64 && opSize !== (long ? 32 : o.code)) bytes.push(0x66);
    if (e.pp > 0) bytes.push(PP[e.pp] as number);
    const rex = (w << 3) | (r << 2) | (x << 1) | b;
    // A REX prefix without bits makes SPL, BPL, SIL, DIL of AH, CH, DH, BH.
    if (rex !== 0 || (long && o.below(8) === 0)) bytes.push(0x40 | rex);
    bytes.push(...(ESCAPES[e.map] as readonly number[]));
  }
  bytes.push(e.opcode + (e.opReg ? opreg & 7 : 0));
  if (e.hasModrm) {
    const middle = (reg & 7) << 3;
    if (!memory) bytes.push(0xc0 | middle | (rm & 7));
    else if (short) {
      const near = disp >= -128 && disp < 128;
      bytes.push(
        (near ? 0x40 : 0x80) | middle | (FORM16.get(base * 16 + index) as number),
        ...little(disp, near ? 1 : 2),
      );
    } else {
      const near = disp >= -128 && disp < 128;
      const mod = near ? 0x40 : 0x80;
      if (index >= 0 || (base & 7) === 4) {
        const i = index < 0 ? 4 : index & 7;
        bytes.push(mod | middle | 4, (scale << 6) | (i << 3) | (base & 7));
      } else bytes.push(mod | middle | (base & 7));
      bytes.push(...little(disp, near ? 1 : 4));
    }
  }
  for (const operandImm of form.operands) {
    const text = operandImm.text;
    if (operandImm.imm === 0) continue;
    if (operandImm.kind === 'L') bytes.push(o.below(16) << 4);
    else if (operandImm.kind === 'O') bytes.push(...Array.from({ length: long ? 8 : o.code / 8 }, () => o.below(256)));
    else if (operandImm.kind === 'A') bytes.push(...Array.from({ length: opSize / 8 + 2 }, () => o.below(256)));
    else {
      const count =
        text[1] === 'b'
          ? 1
          : text[1] === 'w'
            ? 2
            : text[1] === 'd'
              ? 4
              : text[1] === 'v'
                ? opSize / 8
                : opSize === 16
                  ? 2
                  : 4;
      for (let n = 0; n < count; n++) bytes.push(o.below(256));
    }
  }
  return {
    bytes,
    memory: memory ? { base, index, scale, disp } : undefined,
    reg: e.hasModrm ? reg : opreg,
    rm: memory ? -1 : rm,
    vvvv,
    opSize,
  };
}
