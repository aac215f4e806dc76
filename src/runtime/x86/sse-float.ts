/**
 * SSE arithmetic. The fast path is WebAssembly's own arithmetic: right when rounding is to nearest and nothing can be
 * raised but the precision exception, which must be masked; when its flag is not set yet, the result's error decides.
 */
// hot path
import { F32, F64, PE } from '../float/control';
import { add, compare, div, maximum, minimum, mul, sqrt, subtract } from '../float/packed';
import { X86_MXCSR } from '../generated/x86';
import {
  begin,
  clearUpper,
  clearUpper256,
  commit,
  finishScalar32,
  finishScalar64,
  scratch,
  storePacked,
  VEX,
  WIDE,
} from './sse-float-common';

/** In the order of their opcodes (0F 51, 58, 59, 5C..5F). */
const SQRT: u32 = 0;
const ADD: u32 = 1;
const MUL: u32 = 2;
const SUB: u32 = 3;
const MIN: u32 = 4;
const DIV: u32 = 5;
const MAX: u32 = 6;

/** The operations with a fast path as types: a generic function is compiled once for each, its tests of `opOf` are free. */
type Sqrt = i8;
type Add = u8;
type Sub = i16;
type Mul = u16;
type Div = i32;
function opOf<Op>(): u32 {
  if (sizeof<Op>() === 1) return isSigned<Op>() ? SQRT : ADD;
  if (sizeof<Op>() === 2) return isSigned<Op>() ? SUB : MUL;
  return DIV;
}

/** MXCSR: rounding and the precision mask; the value that allows the fast path. */
const FAST_MASK: u32 = 0x7000;
const FAST: u32 = 0x1000;

const MIN64: f64 = 2.2250738585072014e-308;
const MAX64: f64 = 1.7976931348623157e308;
const MIN32: f32 = 1.1754943508222875e-38;
const MAX32: f32 = 3.4028234663852886e38;

function soft(op: u32, fmt: u32, a: u64, b: u64, ctl: u32): u64 {
  switch (op) {
    case SQRT:
      return sqrt(fmt, b, ctl);
    case ADD:
      return add(fmt, a, b, ctl);
    case MUL:
      return mul(fmt, a, b, ctl);
    case SUB:
      return subtract(fmt, a, b, ctl);
    case MIN:
      return minimum(fmt, a, b, ctl);
    case DIV:
      return div(fmt, a, b, ctl);
    default:
      return maximum(fmt, a, b, ctl);
  }
}

function softScalar64(op: u32, cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const r = soft(op, F64, load<u64>(a), load<u64>(b), ctl);
  if (!commit(cpu, ctl)) return;
  store<u64>(d, r);
  finishScalar64(d, a, imm);
}
function softScalar32(op: u32, cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const r = soft(op, F32, load<u32>(a), load<u32>(b), ctl);
  if (!commit(cpu, ctl)) return;
  store<u32>(d, u32(r));
  finishScalar32(d, a, imm);
}
function softPacked64(op: u32, cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 8) store<u64>(s + i, soft(op, F64, load<u64>(a + i), load<u64>(b + i), ctl));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
function softPacked32(op: u32, cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 4)
    store<u32>(s + i, u32(soft(op, F32, load<u32>(a + i), load<u32>(b + i), ctl)));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}

/** 2^27 + 1: splits a double into halves whose products are exact. */
const SPLITTER: f64 = 134217729.0;
/** Products whose error term neither overflows nor underflows. */
const SAFE_HIGH: f64 = 1e292;
const SAFE_LOW: f64 = 1e-280;

/** Whether x * y is not exactly p, for a product in the safe range. */
function productInexact(x: f64, y: f64, p: f64): bool {
  let c = SPLITTER * x;
  const xh = c - (c - x);
  const xl = x - xh;
  c = SPLITTER * y;
  const yh = c - (c - y);
  const yl = y - yh;
  return xl * yl - (p - xh * yh - xl * yh - xh * yl) !== 0;
}
function safe(x: f64): bool {
  return (abs(x) <= SAFE_HIGH) & (abs(x) >= SAFE_LOW);
}

/** 0 exact, 1 inexact, 2 cannot tell: for finite operands and a finite result, none of them denormal. */
function inexact64(op: u32, x: f64, y: f64, r: f64): u32 {
  if (op === SUB) y = -y;
  if (op === ADD || op === SUB) {
    if (!((abs(x) <= SAFE_HIGH) & (abs(y) <= SAFE_HIGH))) return 2;
    const t = r - x;
    return u32(x - (r - t) + (y - t) !== 0);
  }
  if (r === 0) return 0;
  if (op === MUL) return safe(x) && safe(y) && safe(r) ? u32(productInexact(x, y, r)) : 2;
  if (op === DIV) return safe(x) && safe(y) && safe(r) ? u32(r * y !== x || productInexact(r, y, x)) : 2;
  return safe(y) && safe(r) ? u32(r * r !== y || productInexact(r, r, y)) : 2;
}
function inexact32(op: u32, x: f32, y: f32, r: f32): u32 {
  if (op === SUB) y = -y;
  if (op === ADD || op === SUB) {
    // r is exact when the sum is exact in f64 (its error is zero) and fits f32.
    const sum = f64(x) + f64(y);
    const t = sum - f64(x);
    return u32(sum !== f64(r) || f64(x) - (sum - t) + (f64(y) - t) !== 0);
  }
  if (r === 0) return 0;
  if (op === MUL) return u32(f64(x) * f64(y) !== f64(r));
  if (op === DIV) return u32(f64(r) * f64(y) !== f64(x));
  return u32(f64(r) * f64(r) !== f64(y));
}

function hard64<Op>(x: f64, y: f64): f64 {
  const op = opOf<Op>();
  if (op === ADD) return x + y;
  if (op === SUB) return x - y;
  if (op === MUL) return x * y;
  if (op === DIV) return x / y;
  return Math.sqrt(y);
}
function hard32<Op>(x: f32, y: f32): f32 {
  const op = opOf<Op>();
  if (op === ADD) return x + y;
  if (op === SUB) return x - y;
  if (op === MUL) return x * y;
  if (op === DIV) return x / y;
  return Mathf.sqrt(y);
}
/** Zero or normal (or infinite); a NaN is neither. */
function plain64(x: f64): bool {
  return (abs(x) >= MIN64) | (x === 0);
}
function plain32(x: f32): bool {
  return (abs(x) >= MIN32) | (x === 0);
}
/**
 * Nothing but PE can have been raised. A result equal to the smallest normal number may have been tiny before it was
 * rounded, hence `>`. Zero results are exact for sums, and for the others when an operand is zero.
 */
function clean64<Op>(x: f64, y: f64, r: f64): bool {
  const op = opOf<Op>();
  const zero = op === ADD || op === SUB ? r === 0 : op === MUL ? (x === 0) | (y === 0) : op === DIV ? x === 0 : y === 0;
  return (op === SQRT || plain64(x)) & plain64(y) & (abs(r) <= MAX64) & ((abs(r) > MIN64) | zero);
}
function clean32<Op>(x: f32, y: f32, r: f32): bool {
  const op = opOf<Op>();
  const zero = op === ADD || op === SUB ? r === 0 : op === MUL ? (x === 0) | (y === 0) : op === DIV ? x === 0 : y === 0;
  return (op === SQRT || plain32(x)) & plain32(y) & (abs(r) <= MAX32) & ((abs(r) > MIN32) | zero);
}

function scalar64<Op>(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const op = opOf<Op>();
  const x = load<f64>(a);
  const y = load<f64>(b);
  const r = hard64<Op>(x, y);
  const mxcsr = load<u32>(cpu + X86_MXCSR);
  if ((mxcsr & FAST_MASK) === FAST && clean64<Op>(x, y, r)) {
    if ((mxcsr & PE) === 0) {
      const e = inexact64(op, x, y, r);
      if (e === 2) {
        softScalar64(op, cpu, d, a, b, imm);
        return;
      }
      if (e === 1) store<u32>(cpu + X86_MXCSR, mxcsr | PE);
    }
    store<f64>(d, r);
    finishScalar64(d, a, imm);
    return;
  }
  softScalar64(op, cpu, d, a, b, imm);
}
function scalar32<Op>(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const op = opOf<Op>();
  const x = load<f32>(a);
  const y = load<f32>(b);
  const r = hard32<Op>(x, y);
  const mxcsr = load<u32>(cpu + X86_MXCSR);
  if ((mxcsr & FAST_MASK) === FAST && clean32<Op>(x, y, r)) {
    if ((mxcsr & PE) === 0 && inexact32(op, x, y, r) !== 0) store<u32>(cpu + X86_MXCSR, mxcsr | PE);
    store<f32>(d, r);
    finishScalar32(d, a, imm);
    return;
  }
  softScalar32(op, cpu, d, a, b, imm);
}

function hardV64<Op>(x: v128, y: v128): v128 {
  const op = opOf<Op>();
  if (op === ADD) return f64x2.add(x, y);
  if (op === SUB) return f64x2.sub(x, y);
  if (op === MUL) return f64x2.mul(x, y);
  if (op === DIV) return f64x2.div(x, y);
  return f64x2.sqrt(y);
}
function hardV32<Op>(x: v128, y: v128): v128 {
  const op = opOf<Op>();
  if (op === ADD) return f32x4.add(x, y);
  if (op === SUB) return f32x4.sub(x, y);
  if (op === MUL) return f32x4.mul(x, y);
  if (op === DIV) return f32x4.div(x, y);
  return f32x4.sqrt(y);
}
function plainV64(x: v128): v128 {
  return v128.or(f64x2.ge(f64x2.abs(x), f64x2.splat(MIN64)), f64x2.eq(x, f64x2.splat(0)));
}
function plainV32(x: v128): v128 {
  return v128.or(f32x4.ge(f32x4.abs(x), f32x4.splat(MIN32)), f32x4.eq(x, f32x4.splat(0)));
}
function cleanV64<Op>(x: v128, y: v128, r: v128): bool {
  const op = opOf<Op>();
  const none = f64x2.splat(0);
  const zx = f64x2.eq(x, none);
  const zy = f64x2.eq(y, none);
  const zero = op === ADD || op === SUB ? f64x2.eq(r, none) : op === MUL ? v128.or(zx, zy) : op === DIV ? zx : zy;
  const size = f64x2.abs(r);
  let ok = v128.and(f64x2.le(size, f64x2.splat(MAX64)), v128.or(f64x2.gt(size, f64x2.splat(MIN64)), zero));
  ok = v128.and(ok, plainV64(y));
  if (op !== SQRT) ok = v128.and(ok, plainV64(x));
  return i64x2.all_true(ok);
}
function cleanV32<Op>(x: v128, y: v128, r: v128): bool {
  const op = opOf<Op>();
  const none = f32x4.splat(0);
  const zx = f32x4.eq(x, none);
  const zy = f32x4.eq(y, none);
  const zero = op === ADD || op === SUB ? f32x4.eq(r, none) : op === MUL ? v128.or(zx, zy) : op === DIV ? zx : zy;
  const size = f32x4.abs(r);
  let ok = v128.and(f32x4.le(size, f32x4.splat(MAX32)), v128.or(f32x4.gt(size, f32x4.splat(MIN32)), zero));
  ok = v128.and(ok, plainV32(y));
  if (op !== SQRT) ok = v128.and(ok, plainV32(x));
  return i32x4.all_true(ok);
}

/** Only once PE is sticky: a packed operation seldom stays exact in all lanes. */
function packed64<Op>(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const op = opOf<Op>();
  if ((load<u32>(cpu + X86_MXCSR) & (FAST_MASK | PE)) === (FAST | PE)) {
    const x = v128.load(a);
    const y = v128.load(b);
    const r = hardV64<Op>(x, y);
    if (cleanV64<Op>(x, y, r)) {
      if ((imm & WIDE) === 0) {
        v128.store(d, r);
        if ((imm & VEX) !== 0) clearUpper(d);
        return;
      }
      const x1 = v128.load(a, 16);
      const y1 = v128.load(b, 16);
      const r1 = hardV64<Op>(x1, y1);
      if (cleanV64<Op>(x1, y1, r1)) {
        v128.store(d, r);
        v128.store(d, r1, 16);
        clearUpper256(d);
        return;
      }
    }
  }
  softPacked64(op, cpu, d, a, b, imm);
}
function packed32<Op>(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const op = opOf<Op>();
  if ((load<u32>(cpu + X86_MXCSR) & (FAST_MASK | PE)) === (FAST | PE)) {
    const x = v128.load(a);
    const y = v128.load(b);
    const r = hardV32<Op>(x, y);
    if (cleanV32<Op>(x, y, r)) {
      if ((imm & WIDE) === 0) {
        v128.store(d, r);
        if ((imm & VEX) !== 0) clearUpper(d);
        return;
      }
      const x1 = v128.load(a, 16);
      const y1 = v128.load(b, 16);
      const r1 = hardV32<Op>(x1, y1);
      if (cleanV32<Op>(x1, y1, r1)) {
        v128.store(d, r);
        v128.store(d, r1, 16);
        clearUpper256(d);
        return;
      }
    }
  }
  softPacked32(op, cpu, d, a, b, imm);
}

export function addss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  scalar32<Add>(cpu, d, a, b, imm);
}
export function addsd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  scalar64<Add>(cpu, d, a, b, imm);
}
export function addps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  packed32<Add>(cpu, d, a, b, imm);
}
export function addpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  packed64<Add>(cpu, d, a, b, imm);
}
export function subss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  scalar32<Sub>(cpu, d, a, b, imm);
}
export function subsd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  scalar64<Sub>(cpu, d, a, b, imm);
}
export function subps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  packed32<Sub>(cpu, d, a, b, imm);
}
export function subpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  packed64<Sub>(cpu, d, a, b, imm);
}
export function mulss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  scalar32<Mul>(cpu, d, a, b, imm);
}
export function mulsd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  scalar64<Mul>(cpu, d, a, b, imm);
}
export function mulps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  packed32<Mul>(cpu, d, a, b, imm);
}
export function mulpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  packed64<Mul>(cpu, d, a, b, imm);
}
export function divss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  scalar32<Div>(cpu, d, a, b, imm);
}
export function divsd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  scalar64<Div>(cpu, d, a, b, imm);
}
export function divps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  packed32<Div>(cpu, d, a, b, imm);
}
export function divpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  packed64<Div>(cpu, d, a, b, imm);
}
export function sqrtss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  scalar32<Sqrt>(cpu, d, a, b, imm);
}
export function sqrtsd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  scalar64<Sqrt>(cpu, d, a, b, imm);
}
export function sqrtps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  packed32<Sqrt>(cpu, d, a, b, imm);
}
export function sqrtpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  packed64<Sqrt>(cpu, d, a, b, imm);
}

/** MIN and MAX of two plain numbers raise nothing. */
export function minsd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<f64>(a);
  const y = load<f64>(b);
  if (plain64(x) && plain64(y)) {
    store<f64>(d, x < y ? x : y);
    finishScalar64(d, a, imm);
  } else softScalar64(MIN, cpu, d, a, b, imm);
}
export function maxsd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<f64>(a);
  const y = load<f64>(b);
  if (plain64(x) && plain64(y)) {
    store<f64>(d, x > y ? x : y);
    finishScalar64(d, a, imm);
  } else softScalar64(MAX, cpu, d, a, b, imm);
}
export function minss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<f32>(a);
  const y = load<f32>(b);
  if (plain32(x) && plain32(y)) {
    store<f32>(d, x < y ? x : y);
    finishScalar32(d, a, imm);
  } else softScalar32(MIN, cpu, d, a, b, imm);
}
export function maxss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<f32>(a);
  const y = load<f32>(b);
  if (plain32(x) && plain32(y)) {
    store<f32>(d, x > y ? x : y);
    finishScalar32(d, a, imm);
  } else softScalar32(MAX, cpu, d, a, b, imm);
}

/** pmin(y, x) is x < y ? x : y, which is MINPS's rule. */
function extreme(op: u32, wide: bool, cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 16) {
    const x = v128.load(a + i);
    const y = v128.load(b + i);
    if (wide) {
      if (!i64x2.all_true(v128.and(plainV64(x), plainV64(y)))) {
        softPacked64(op, cpu, d, a, b, imm);
        return;
      }
      v128.store(s + i, op === MIN ? f64x2.pmin(y, x) : f64x2.pmax(y, x));
    } else {
      if (!i32x4.all_true(v128.and(plainV32(x), plainV32(y)))) {
        softPacked32(op, cpu, d, a, b, imm);
        return;
      }
      v128.store(s + i, op === MIN ? f32x4.pmin(y, x) : f32x4.pmax(y, x));
    }
  }
  storePacked(cpu, d, imm);
}
export function minps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  extreme(MIN, false, cpu, d, a, b, imm);
}
export function minpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  extreme(MIN, true, cpu, d, a, b, imm);
}
export function maxps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  extreme(MAX, false, cpu, d, a, b, imm);
}
export function maxpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  extreme(MAX, true, cpu, d, a, b, imm);
}

/**
 * Which relations (bit 0 less, 1 equal, 2 greater, 3 unordered) make each of the predicates 0..15 true, a nibble each from
 * the lowest on; 16..31 are the same with quiet and signaling exchanged. SIGNALING: predicates 0..15 that raise IE for any NaN.
 */
const PREDICATES: u64 = 0xf4650b9a7ced8312;
const SIGNALING: u32 = 0x6666;

function holds(relation: i32, predicate: u32): bool {
  const bit: u32 = relation === 2 ? 8 : relation < 0 ? 1 : relation === 0 ? 2 : 4;
  return (u32(PREDICATES >> u64((predicate & 15) * 4)) & 15 & bit) !== 0;
}
function quietPredicate(predicate: u32): bool {
  return ((SIGNALING >> (predicate & 15)) & 1) === ((predicate >> 4) & 1);
}

/** CMPxx: the predicate is in imm bits 8..12. */
export function cmpsd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const predicate = imm >> 8;
  const relation = compare(F64, load<u64>(a), load<u64>(b), ctl, quietPredicate(predicate));
  if (!commit(cpu, ctl)) return;
  store<u64>(d, 0 - u64(holds(relation, predicate)));
  finishScalar64(d, a, imm);
}
export function cmpss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const predicate = imm >> 8;
  const relation = compare(F32, load<u32>(a), load<u32>(b), ctl, quietPredicate(predicate));
  if (!commit(cpu, ctl)) return;
  store<u32>(d, 0 - u32(holds(relation, predicate)));
  finishScalar32(d, a, imm);
}
export function cmppd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const predicate = imm >> 8;
  const quiet = quietPredicate(predicate);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 8)
    store<u64>(s + i, 0 - u64(holds(compare(F64, load<u64>(a + i), load<u64>(b + i), ctl, quiet), predicate)));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
export function cmpps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const predicate = imm >> 8;
  const quiet = quietPredicate(predicate);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 4)
    store<u32>(s + i, 0 - u32(holds(compare(F32, load<u32>(a + i), load<u32>(b + i), ctl, quiet), predicate)));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}

const CF: u64 = 1;
const PF: u64 = 4;
const ZF: u64 = 0x40;

function conditionCodes(relation: i32): u64 {
  return relation === 2 ? ZF | PF | CF : relation === 0 ? ZF : relation < 0 ? CF : 0;
}
/** (U)COMISD: `d` receives the flags of a compared to b; imm bit 8: quiet (UCOMI). */
export function comisd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<f64>(a);
  const y = load<f64>(b);
  if (plain64(x) & plain64(y)) {
    store<u64>(d, x > y ? 0 : x < y ? CF : ZF);
    return;
  }
  const ctl = begin(cpu);
  const relation = compare(F64, load<u64>(a), load<u64>(b), ctl, (imm & 256) !== 0);
  if (commit(cpu, ctl)) store<u64>(d, conditionCodes(relation));
}
export function comiss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const x = load<f32>(a);
  const y = load<f32>(b);
  if (plain32(x) & plain32(y)) {
    store<u64>(d, x > y ? 0 : x < y ? CF : ZF);
    return;
  }
  const ctl = begin(cpu);
  const relation = compare(F32, load<u32>(a), load<u32>(b), ctl, (imm & 256) !== 0);
  if (commit(cpu, ctl)) store<u64>(d, conditionCodes(relation));
}
