/** Arithmetic ops to WebAssembly: binary operations, comparisons, extensions, bit operations. */
// hot path
import { CONDS, OP, type OpName } from '../ir/ops.js';
import { Local, type Values } from './values.js';
import { W } from './wasm/opcodes.js';

/** How an op is lowered: one small number an op code, so that lowering is one switch. */
export const Kind = {
  other: 0,
  binary: 1,
  binaryImm: 2,
  binary32: 3,
  binaryImm32: 4,
  set: 5,
  setImm: 6,
  set32: 7,
  setImm32: 8,
  if: 9,
  ifImm: 10,
  if32: 11,
  ifImm32: 12,
  load: 13,
  store: 14,
  loadVector: 15,
  storeVector: 16,
} as const;

const size = Object.keys(OP).length;
/** `Kind` by op code. */
export const KIND = new Uint8Array(size);
/** The WebAssembly instruction, for binary and comparison kinds: 64-bit or 32-bit as the kind says. 0 for `tst…`. */
export const INSTRUCTION = new Uint8Array(size);
/** For `tst…`: 1 when the result is "== 0". */
const TEST_ZERO = new Uint8Array(size);

const BINARY: readonly [string, number, number][] = [
  ['add', W.i64Add, W.i32Add],
  ['sub', W.i64Sub, W.i32Sub],
  ['mul', W.i64Mul, W.i32Mul],
  ['and', W.i64And, W.i32And],
  ['or', W.i64Or, W.i32Or],
  ['xor', W.i64Xor, W.i32Xor],
  ['shl', W.i64Shl, W.i32Shl],
  ['shr', W.i64ShrU, W.i32ShrU],
  ['sar', W.i64ShrS, W.i32ShrS],
  ['rotl', W.i64Rotl, W.i32Rotl],
  ['rotr', W.i64Rotr, W.i32Rotr],
];
const COMPARE: Readonly<Record<(typeof CONDS)[number], readonly [number, number]>> = {
  eq: [W.i64Eq, W.i32Eq],
  ne: [W.i64Ne, W.i32Ne],
  ltu: [W.i64LtU, W.i32LtU],
  geu: [W.i64GeU, W.i32GeU],
  leu: [W.i64LeU, W.i32LeU],
  gtu: [W.i64GtU, W.i32GtU],
  lts: [W.i64LtS, W.i32LtS],
  ges: [W.i64GeS, W.i32GeS],
  les: [W.i64LeS, W.i32LeS],
  gts: [W.i64GtS, W.i32GtS],
  tsteq: [0, 0],
  tstne: [0, 0],
};

const row = (name: string, kind: number, instruction: number): number => {
  const code = OP[name as OpName];
  KIND[code] = kind;
  INSTRUCTION[code] = instruction;
  return code;
};
for (const [name, wide, narrow] of BINARY) {
  row(name, Kind.binary, wide);
  row(`${name}i`, Kind.binaryImm, wide);
  row(`${name}32`, Kind.binary32, narrow);
  row(`${name}i32`, Kind.binaryImm32, narrow);
}
for (const c of CONDS) {
  const [wide, narrow] = COMPARE[c];
  const codes = [
    row(`set_${c}`, Kind.set, wide),
    row(`set_${c}i`, Kind.setImm, wide),
    row(`set_${c}32`, Kind.set32, narrow),
    row(`set_${c}i32`, Kind.setImm32, narrow),
    row(`if_${c}`, Kind.if, wide),
    row(`if_${c}i`, Kind.ifImm, wide),
    row(`if_${c}32`, Kind.if32, narrow),
    row(`if_${c}i32`, Kind.ifImm32, narrow),
  ];
  if (c === 'tsteq') for (const code of codes) TEST_ZERO[code] = 1;
}

/** 64-bit binary op, both operands slots. */
export function binary(v: Values, op: number, dst: number, a: number, b: number): void {
  const instruction = INSTRUCTION[op] as number;
  const zext =
    instruction === W.i64And
      ? v.isZext32(a) || v.isZext32(b)
      : (instruction === W.i64Or || instruction === W.i64Xor) && v.isZext32(a) && v.isZext32(b);
  v.open(dst);
  v.get(a);
  v.get(b);
  v.op(instruction);
  v.set(dst, zext);
}

export function binaryImm(v: Values, op: number, dst: number, a: number, imm: number): void {
  const instruction = INSTRUCTION[op] as number;
  if (instruction === W.i64Add && v.isConst(a)) {
    const low = (v.constLow(a) + imm) | 0;
    const carry = low >>> 0 < imm >>> 0 ? 1 : 0;
    v.setConst(dst, low, (v.constHigh(a) + (imm >> 31) + carry) | 0);
    return;
  }
  v.open(dst);
  v.get(a);
  v.i64(imm, imm >> 31);
  v.op(instruction);
  v.set(
    dst,
    (instruction === W.i64And && (imm >= 0 || v.isZext32(a))) ||
      (instruction === W.i64ShrU && ((imm & 63) >= 32 || v.isZext32(a))) ||
      ((instruction === W.i64Or || instruction === W.i64Xor) && imm >= 0 && v.isZext32(a)),
  );
}

export function binary32(v: Values, op: number, dst: number, a: number, b: number): void {
  v.open(dst);
  v.get32(a);
  v.get32(b);
  v.op(INSTRUCTION[op] as number);
  v.set32(dst);
}

export function binaryImm32(v: Values, op: number, dst: number, a: number, imm: number): void {
  if (op === OP.addi32 && v.isConst(a)) {
    v.setConst(dst, (v.constLow(a) + imm) | 0, 0);
    return;
  }
  v.open(dst);
  v.get32(a);
  v.i32(imm);
  v.op(INSTRUCTION[op] as number);
  v.set32(dst);
}

/** Pushes an i32: whether `a cond b`. */
export function compare(v: Values, op: number, a: number, b: number): void {
  v.get(a);
  v.get(b);
  test64(v, op);
}
export function compareImm(v: Values, op: number, a: number, imm: number): void {
  v.get(a);
  if (imm === 0 && INSTRUCTION[op] === W.i64Eq) {
    v.op(W.i64Eqz);
    return;
  }
  v.i64(imm, imm >> 31);
  test64(v, op);
}
function test64(v: Values, op: number): void {
  const instruction = INSTRUCTION[op] as number;
  if (instruction !== 0) {
    v.op(instruction);
    return;
  }
  v.op(W.i64And);
  if (TEST_ZERO[op] === 1) v.op(W.i64Eqz);
  else {
    v.i64(0, 0);
    v.op(W.i64Ne);
  }
}
export function compare32(v: Values, op: number, a: number, b: number): void {
  v.get32(a);
  v.get32(b);
  test32(v, op);
}
export function compareImm32(v: Values, op: number, a: number, imm: number): void {
  v.get32(a);
  if (imm === 0 && INSTRUCTION[op] === W.i32Eq) {
    v.op(W.i32Eqz);
    return;
  }
  v.i32(imm);
  test32(v, op);
}
function test32(v: Values, op: number): void {
  const instruction = INSTRUCTION[op] as number;
  if (instruction !== 0) {
    v.op(instruction);
    return;
  }
  v.op(W.i32And);
  if (TEST_ZERO[op] === 1) v.op(W.i32Eqz);
  else {
    v.i32(0);
    v.op(W.i32Ne);
  }
}

/** Cuts the i64 on the stack to its low `bits` (8, 16, 32). */
export function maskTo(v: Values, bits: number): void {
  v.i64(bits === 32 ? -1 : (1 << bits) - 1, 0);
  v.op(W.i64And);
}

/** The rest of the ops without memory access or control flow; false when `op` is none of them. */
export function lowerUnary(
  v: Values,
  op: number,
  dst: number,
  a: number,
  b: number,
  imm: number,
  aux: number,
): boolean {
  switch (op) {
    case OP.movi:
      v.setConst(dst, imm, aux);
      return true;
    case OP.mov:
      if (v.isConst(a)) {
        v.setConst(dst, v.constLow(a), v.constHigh(a));
        return true;
      }
      v.open(dst);
      v.get(a);
      v.set(dst, v.isZext32(a));
      return true;
    case OP.ext8u:
    case OP.ext16u:
    case OP.ext32u: {
      const bits = op === OP.ext8u ? 8 : op === OP.ext16u ? 16 : 32;
      if (v.isConst(a)) {
        v.setConst(dst, bits === 32 ? v.constLow(a) : v.constLow(a) & ((1 << bits) - 1), 0);
        return true;
      }
      v.open(dst);
      v.get(a);
      if (bits !== 32 || !v.isZext32(a)) maskTo(v, bits);
      v.set(dst, true);
      return true;
    }
    case OP.ext8s:
    case OP.ext16s:
    case OP.ext32s:
      v.open(dst);
      v.get(a);
      v.op(op === OP.ext8s ? W.i64Extend8S : op === OP.ext16s ? W.i64Extend16S : W.i64Extend32S);
      v.set(dst);
      return true;
    case OP.ext8h:
      v.open(dst);
      v.get(a);
      v.i64(8, 0);
      v.op(W.i64ShrU);
      maskTo(v, 8);
      v.set(dst, true);
      return true;
    case OP.dep8:
      deposit(v, dst, a, b, 8, 0);
      return true;
    case OP.dep8h:
      deposit(v, dst, a, b, 8, 8);
      return true;
    case OP.dep16:
      deposit(v, dst, a, b, 16, 0);
      return true;
    case OP.lea:
    case OP.lea32:
      lea(v, op === OP.lea, dst, a, b, imm, aux);
      return true;
    case OP.mulhu:
    case OP.mulhs:
      multiplyHigh(v, dst, a, b, op === OP.mulhs);
      return true;
    case OP.divu:
    case OP.divs:
      divide(v, dst, a, b, op === OP.divs);
      return true;
    case OP.not:
      v.open(dst);
      v.get(a);
      v.i64(-1, -1);
      v.op(W.i64Xor);
      v.set(dst);
      return true;
    case OP.not32:
      v.open(dst);
      v.get32(a);
      v.i32(-1);
      v.op(W.i32Xor);
      v.set32(dst);
      return true;
    case OP.neg:
      v.open(dst);
      v.i64(0, 0);
      v.get(a);
      v.op(W.i64Sub);
      v.set(dst);
      return true;
    case OP.neg32:
      v.open(dst);
      v.i32(0);
      v.get32(a);
      v.op(W.i32Sub);
      v.set32(dst);
      return true;
    case OP.clz:
    case OP.ctz:
    case OP.popcnt:
      v.open(dst);
      v.get(a);
      v.op(op === OP.clz ? W.i64Clz : op === OP.ctz ? W.i64Ctz : W.i64Popcnt);
      v.set(dst, true);
      return true;
    case OP.clz32:
    case OP.ctz32:
      v.open(dst);
      v.get32(a);
      v.op(op === OP.clz32 ? W.i32Clz : W.i32Ctz);
      v.set32(dst);
      return true;
    case OP.bswap:
      swap64(v, dst, a);
      return true;
    case OP.bswap32:
      v.open(dst);
      for (const [rotate, mask] of SWAP32) {
        v.get32(a);
        v.i32(8);
        v.op(rotate);
        v.i32(mask);
        v.op(W.i32And);
      }
      v.op(W.i32Or);
      v.set32(dst);
      return true;
    case OP.sel:
      v.open(dst);
      v.get(b);
      v.get(imm);
      v.get(a);
      v.i64(0, 0);
      v.op(W.i64Ne);
      v.op(W.select);
      v.set(dst, v.isZext32(b) && v.isZext32(imm));
      return true;
    default:
      return false;
  }
}

const SWAP32: readonly (readonly [number, number])[] = [
  [W.i32Rotl, 0x00ff00ff],
  [W.i32Rotr, 0xff00ff00 | 0],
];

function deposit(v: Values, dst: number, a: number, b: number, bits: number, at: number): void {
  const mask = ((1 << bits) - 1) << at;
  v.open(dst);
  v.get(a);
  v.i64(~mask, -1);
  v.op(W.i64And);
  v.get(b);
  maskTo(v, bits);
  if (at !== 0) {
    v.i64(at, 0);
    v.op(W.i64Shl);
  }
  v.op(W.i64Or);
  v.set(dst, v.isZext32(a));
}

function lea(v: Values, wide: boolean, dst: number, a: number, b: number, imm: number, shift: number): void {
  v.open(dst);
  if (wide) {
    v.get(a);
    v.get(b);
    if (shift !== 0) {
      v.i64(shift, 0);
      v.op(W.i64Shl);
    }
    v.op(W.i64Add);
    if (imm !== 0) {
      v.i64(imm, imm >> 31);
      v.op(W.i64Add);
    }
    v.set(dst);
    return;
  }
  v.get32(a);
  v.get32(b);
  if (shift !== 0) {
    v.i32(shift);
    v.op(W.i32Shl);
  }
  v.op(W.i32Add);
  if (imm !== 0) {
    v.i32(imm);
    v.op(W.i32Add);
  }
  v.set32(dst);
}

function swap64(v: Values, dst: number, a: number): void {
  v.open(dst);
  v.get(a);
  for (const [shift, mask] of [
    [8, 0x00ff00ff],
    [16, 0x0000ffff],
  ] as const) {
    v.teeLocal(Local.wide);
    v.i64(shift, 0);
    v.op(W.i64ShrU);
    v.i64(mask, mask);
    v.op(W.i64And);
    v.getLocal(Local.wide);
    v.i64(mask, mask);
    v.op(W.i64And);
    v.i64(shift, 0);
    v.op(W.i64Shl);
    v.op(W.i64Or);
  }
  v.i64(32, 0);
  v.op(W.i64Rotl);
  v.set(dst);
}

/** Divisors that might trap count as 1. */
function divide(v: Values, dst: number, a: number, b: number, signed: boolean): void {
  v.open(dst);
  v.get(a);
  v.get(b);
  v.i64(1, 0);
  v.get(b);
  if (signed) {
    v.i64(1, 0);
    v.op(W.i64Add);
    v.i64(1, 0);
    v.op(W.i64GtU);
  } else {
    v.i64(0, 0);
    v.op(W.i64Ne);
  }
  v.op(W.select);
  v.op(signed ? W.i64DivS : W.i64DivU);
  v.set(dst);
}

/** High half of the 128-bit product, from four 32-bit by 32-bit products. */
function multiplyHigh(v: Values, dst: number, a: number, b: number, signed: boolean): void {
  const { wide: x, wide2: y, wide3: m1, wide4: m2 } = Local;
  const high = (local: number): void => {
    v.getLocal(local);
    v.i64(32, 0);
    v.op(W.i64ShrU);
  };
  const low = (local: number): void => {
    v.getLocal(local);
    maskTo(v, 32);
  };
  v.get(a);
  v.setLocal(x);
  v.get(b);
  v.setLocal(y);
  // m1 = high(x) * low(y) + (low(x) * low(y) >> 32)
  high(x);
  low(y);
  v.op(W.i64Mul);
  low(x);
  low(y);
  v.op(W.i64Mul);
  v.i64(32, 0);
  v.op(W.i64ShrU);
  v.op(W.i64Add);
  v.setLocal(m1);
  // m2 = low(x) * high(y) + low(m1)
  low(x);
  high(y);
  v.op(W.i64Mul);
  low(m1);
  v.op(W.i64Add);
  v.setLocal(m2);
  v.open(dst);
  high(x);
  high(y);
  v.op(W.i64Mul);
  high(m1);
  v.op(W.i64Add);
  high(m2);
  v.op(W.i64Add);
  if (signed) {
    // A negative factor counts 2^64 too much: take the other factor off.
    for (const [sign, other] of [
      [x, y],
      [y, x],
    ] as const) {
      v.getLocal(sign);
      v.i64(63, 0);
      v.op(W.i64ShrS);
      v.getLocal(other);
      v.op(W.i64And);
      v.op(W.i64Sub);
    }
  }
  v.set(dst);
}
