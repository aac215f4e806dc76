import { clearFlags, DE, F32, F64, floatFlags, IE, PE, raise, resultSe, setResultSe, ZE } from '../float/control';
import {
  addX,
  compareX,
  divideX,
  fromInteger,
  fromPacked,
  INTEGER_BIT,
  isDenormal,
  isInfinity,
  isNaNX,
  isUnsupported,
  isZero,
  multiplyX,
  roundIntegerX,
  sqrtX,
  subtractX,
} from '../float/extended';
import { divide, lowWord } from '../float/wide';
import { X86_FCW, X86_FP_TAGS, X86_FP_TOP, X86_FSW } from '../generated/x86';
import { plainOperand, plainSe } from './x87-operand';
import {
  C0,
  C1,
  C2,
  C3,
  commit,
  control,
  deliver,
  ES,
  isEmpty,
  noteOpcode,
  noteSegment,
  physical,
  pop,
  ready,
  readyMemory,
  registerAt,
  setCodes,
  signExponent,
  significand,
  stackFault,
  underflow,
} from './x87-state';

const POP: u32 = 8;
const TO_STI: u32 = 16;
const REVERSE: u32 = 32;

const ADD: u32 = 0;
const MUL: u32 = 1;
const SUB: u32 = 2;
const DIV: u32 = 3;
/** The operations as types, so that a generic function is compiled for each. */
type Add = i8;
type Mul = u8;
type Sub = i16;
type Div = u16;
function opOf<Op>(): u32 {
  if (sizeof<Op>() === 1) return isSigned<Op>() ? ADD : MUL;
  return isSigned<Op>() ? SUB : DIV;
}

function compute<Op>(sa: u32, ma: u64, sb: u32, mb: u64, ctl: u32): u64 {
  const op = opOf<Op>();
  if (op === ADD) return addX(sa, ma, sb, mb, ctl);
  if (op === MUL) return multiplyX(sa, ma, sb, mb, ctl);
  if (op === SUB) return subtractX(sa, ma, sb, mb, ctl);
  return divideX(sa, ma, sb, mb, ctl);
}

/** FCW bits that allow the fast paths: rounding to nearest, PE masked. */
const FAST_MASK: u32 = 0xc20;
const FAST: u32 = 0x020;
const PRECISION: u32 = 0x300;
/** 64 bits: 3, and the reserved 1. */
const PRECISION_64: u32 = 0x100;
const PRECISION_53: u32 = 0x200;
// The fast paths call as little as they can: a call costs as much as the work.

/** Rounds hi:lo to nearest and writes it over a full register; `e` is biased, at least 1 and below 7FFEh. Returns true. */
function finishFast(cpu: usize, r: usize, sign: u32, e: u32, hi: u64, lo: u64, imm: u32): bool {
  let flags = load<u32>(cpu + X86_FSW) & ~C1;
  let unit: u64 = 1;
  const precision = load<u32>(cpu + X86_FCW) & PRECISION;
  if ((precision & PRECISION_64) === 0) {
    const bits: u64 = precision === PRECISION_53 ? 53 : 24;
    lo = (hi << bits) | u64(lo !== 0);
    unit <<= 64 - bits;
    hi &= ~(unit - 1);
  }
  if (lo !== 0) {
    flags |= PE;
    if (lo > INTEGER_BIT || (lo === INTEGER_BIT && (hi & unit) !== 0)) {
      flags |= C1;
      hi += unit;
      if (hi === 0) {
        hi = INTEGER_BIT;
        e++;
      }
    }
  }
  store<u64>(r, hi);
  store<u16>(r, <u16>(sign | e), 8);
  store<u32>(cpu + X86_FSW, flags);
  noteOpcode(cpu, imm);
  return true;
}
/** Writes a result that is exact. Returns true. */
function exactFast(cpu: usize, r: usize, se: u32, m: u64, imm: u32): bool {
  store<u64>(r, m);
  store<u16>(r, <u16>se, 8);
  store<u32>(cpu + X86_FSW, load<u32>(cpu + X86_FSW) & ~C1);
  noteOpcode(cpu, imm);
  return true;
}
function isNormalOrZero(s: u32, m: u64): bool {
  return i64(m) < 0 ? (s & 0x7fff) - 1 < 0x7ffe : m === 0 && (s & 0x7fff) === 0;
}
/** r = a + b, a * b where one is zero and the other is that or normal, with 64 bits of precision; false in all other cases. */
function sumWithZero(cpu: usize, r: usize, sa: u32, ma: u64, sb: u32, mb: u64, imm: u32): bool {
  if ((ma !== 0 && mb !== 0) || !isNormalOrZero(sa, ma) || !isNormalOrZero(sb, mb)) return false;
  if ((load<u32>(cpu + X86_FCW) & PRECISION_64) === 0) return false;
  // Zeros of different signs add up to +0.
  return mb !== 0 ? exactFast(cpu, r, sb, mb, imm) : exactFast(cpu, r, ma !== 0 ? sa : sa & sb, ma, imm);
}
function productWithZero(cpu: usize, r: usize, sa: u32, ma: u64, sb: u32, mb: u64, imm: u32): bool {
  if ((ma !== 0 && mb !== 0) || !isNormalOrZero(sa, ma) || !isNormalOrZero(sb, mb)) return false;
  return exactFast(cpu, r, (sa ^ sb) & 0x8000, 0, imm);
}
/** r = a + b for normal numbers whose sum neither overflows nor underflows; false for all others. */
function sumFast(cpu: usize, r: usize, sa: u32, ma: u64, sb: u32, mb: u64, imm: u32): bool {
  let e = sa & 0x7fff;
  const eb = sb & 0x7fff;
  if (i64(ma & mb) >= 0) return sumWithZero(cpu, r, sa, ma, sb, mb, imm);
  if (e - 2 > 0x7ffa || eb - 2 > 0x7ffa) return false;
  const same = ((sa ^ sb) & 0x8000) === 0;
  let d = e - eb;
  if (i32(d) < 0 || (d === 0 && ma < mb)) {
    const m = ma;
    ma = mb;
    mb = m;
    sa = sb;
    e = eb;
    d = 0 - d;
  }
  if (d > 63) return false;
  const bh = mb >> u64(d);
  let lo = d === 0 ? 0 : mb << u64(64 - d);
  let hi: u64;
  if (same) {
    hi = ma + bh;
    if (hi < ma) {
      lo = (hi << 63) | (lo >> 1) | (lo & 1);
      hi = (hi >> 1) | INTEGER_BIT;
      e++;
    }
  } else {
    hi = ma - bh - u64(lo !== 0);
    lo = 0 - lo;
    if (i64(hi) >= 0) {
      // Nothing left in the high word: zero, or cancelled too deeply for here.
      if (hi === 0) return lo === 0 && exactFast(cpu, r, 0, 0, imm);
      const shift = clz(hi);
      if (u64(e) <= shift) return false;
      hi = (hi << shift) | (lo >> (64 - shift));
      lo <<= shift;
      e -= u32(shift);
    }
  }
  return finishFast(cpu, r, sa & 0x8000, e, hi, lo, imm);
}
function productFast(cpu: usize, r: usize, sa: u32, ma: u64, sb: u32, mb: u64, imm: u32): bool {
  const ea = sa & 0x7fff;
  const eb = sb & 0x7fff;
  let e = ea + eb - 0x3fff;
  if (i64(ma & mb) >= 0) return productWithZero(cpu, r, sa, ma, sb, mb, imm);
  if (ea - 1 > 0x7ffd || eb - 1 > 0x7ffd || e - 1 > 0x7ffb) return false;
  const al = ma & 0xffffffff;
  const ah = ma >> 32;
  const bl = mb & 0xffffffff;
  const bh = mb >> 32;
  const ll = al * bl;
  const lh = al * bh;
  const hl = ah * bl;
  const middle = (ll >> 32) + (lh & 0xffffffff) + (hl & 0xffffffff);
  let lo = (middle << 32) | (ll & 0xffffffff);
  let hi = ah * bh + (lh >> 32) + (hl >> 32) + (middle >> 32);
  if (i64(hi) < 0) e++;
  else {
    hi = (hi << 1) | (lo >> 63);
    lo <<= 1;
  }
  return finishFast(cpu, r, (sa ^ sb) & 0x8000, e, hi, lo, imm);
}
function quotientFast(cpu: usize, r: usize, sa: u32, ma: u64, sb: u32, mb: u64, imm: u32): bool {
  const ea = sa & 0x7fff;
  const eb = sb & 0x7fff;
  let e = ea - eb + 0x3fff;
  if (i64(ma & mb) >= 0 || ea - 1 > 0x7ffd || eb - 1 > 0x7ffd || e - 2 > 0x7ffa) return false;
  let q: u64;
  if (ma >= mb) q = divide(ma >> 1, ma << 63, mb);
  else {
    q = divide(ma, 0, mb);
    e--;
  }
  const rest = lowWord();
  // More, exactly or less than half a unit left.
  const other = mb - rest;
  const lo: u64 = rest === 0 ? 0 : rest > other ? INTEGER_BIT + 1 : rest === other ? INTEGER_BIT : 1;
  return finishFast(cpu, r, (sa ^ sb) & 0x8000, e, q, lo, imm);
}
function computeFast<Op>(cpu: usize, r: usize, sa: u32, ma: u64, sb: u32, mb: u64, imm: u32): bool {
  const op = opOf<Op>();
  if (op === ADD) return sumFast(cpu, r, sa, ma, sb, mb, imm);
  if (op === MUL) return productFast(cpu, r, sa, ma, sb, mb, imm);
  if (op === SUB) return sumFast(cpu, r, sa, ma, sb ^ 0x8000, mb, imm);
  return quotientFast(cpu, r, sa, ma, sb, mb, imm);
}

function registers<Op>(cpu: usize, imm: u32): void {
  const n0 = load<u32>(cpu + X86_FP_TOP);
  const ni = (n0 + imm) & 7;
  const fsw = load<u32>(cpu + X86_FSW);
  const swap = ((imm & TO_STI) !== 0) !== ((imm & REVERSE) !== 0);
  const a = registerAt(cpu, swap ? ni : n0);
  const b = registerAt(cpu, swap ? n0 : ni);
  if (
    (load<u32>(cpu + X86_FCW) & FAST_MASK) === FAST &&
    (fsw & ES) === 0 &&
    (load<u32>(cpu + X86_FP_TAGS) & ((1 << n0) | (1 << ni))) === 0
  ) {
    const r = registerAt(cpu, (imm & TO_STI) !== 0 ? ni : n0);
    if (computeFast<Op>(cpu, r, signExponent(a), significand(a), signExponent(b), significand(b), imm)) {
      if ((imm & POP) !== 0) pop(cpu);
      return;
    }
  }
  registersSlow<Op>(cpu, imm, n0, ni, a, b);
}
function registersSlow<Op>(cpu: usize, imm: u32, n0: u32, ni: u32, a: usize, b: usize): void {
  if (!ready(cpu, imm)) return;
  const destination = (imm & TO_STI) !== 0 ? ni : n0;
  if ((load<u32>(cpu + X86_FP_TAGS) & ((1 << n0) | (1 << ni))) !== 0) {
    if (underflow(cpu, destination) && (imm & POP) !== 0) pop(cpu);
    return;
  }
  const m = compute<Op>(signExponent(a), significand(a), signExponent(b), significand(b), control(cpu));
  if (deliver(cpu, destination, m) && (imm & POP) !== 0) pop(cpu);
}

/** The memory operand in extended form: significand returned, the rest in `resultSe`. NaNs are not quieted, nothing is raised. */
function operand(b: usize, imm: u32): u64 {
  const type = (imm >> 6) & 3;
  let m: u64;
  if (type === 0) m = fromPacked(F32, load<u32>(b));
  else if (type === 1) m = fromPacked(F64, load<u64>(b));
  else if (type === 2) return fromInteger(i64(load<i16>(b)));
  else return fromInteger(i64(load<i32>(b)));
  if ((floatFlags() & IE) !== 0) {
    // Give the signaling NaN back: which NaN is propagated depends on it.
    m &= ~(<u64>0x4000000000000000);
    clearFlags();
  }
  return m;
}
/** Raised for a denormal memory operand once it is known that nothing of higher priority happened. */
function lateDenormal(denormal: u32, s: u32, m: u64): void {
  if (denormal !== 0 && (floatFlags() & (IE | ZE)) === 0 && !isNaNX(s, m)) raise(DE);
}

function memory<Op>(cpu: usize, b: usize, imm: u32): void {
  const top = load<u32>(cpu + X86_FP_TOP);
  const fsw = load<u32>(cpu + X86_FSW);
  if (
    (load<u32>(cpu + X86_FCW) & FAST_MASK) === FAST &&
    (fsw & ES) === 0 &&
    (load<u32>(cpu + X86_FP_TAGS) & (1 << top)) === 0
  ) {
    const x = registerAt(cpu, top);
    const y = plainOperand(b, imm);
    if (
      y !== 0 &&
      ((imm & REVERSE) !== 0
        ? computeFast<Op>(cpu, x, plainSe(), y, signExponent(x), significand(x), imm)
        : computeFast<Op>(cpu, x, signExponent(x), significand(x), plainSe(), y, imm))
    ) {
      noteSegment(cpu, imm);
      return;
    }
  }
  memorySlow<Op>(cpu, b, imm);
}
function memorySlow<Op>(cpu: usize, b: usize, imm: u32): void {
  if (!readyMemory(cpu, imm)) return;
  const n0 = physical(cpu, 0);
  if (isEmpty(cpu, n0)) {
    underflow(cpu, n0);
    return;
  }
  const mb = operand(b, imm);
  const sb = resultSe();
  const denormal = floatFlags();
  clearFlags();
  const r = registerAt(cpu, n0);
  const sa = signExponent(r);
  const ma = significand(r);
  const ctl = control(cpu);
  const m = (imm & REVERSE) !== 0 ? compute<Op>(sb, mb, sa, ma, ctl) : compute<Op>(sa, ma, sb, mb, ctl);
  if (denormal !== 0) {
    const s = resultSe();
    lateDenormal(denormal, sa, ma);
    setResultSe(s);
  }
  deliver(cpu, n0, m);
}

export function fadd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  registers<Add>(cpu, imm);
}
export function fmul(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  registers<Mul>(cpu, imm);
}
export function fsub(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  registers<Sub>(cpu, imm);
}
export function fdiv(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  registers<Div>(cpu, imm);
}
export function faddm(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  memory<Add>(cpu, b, imm);
}
export function fmulm(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  memory<Mul>(cpu, b, imm);
}
export function fsubm(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  memory<Sub>(cpu, b, imm);
}
export function fdivm(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  memory<Div>(cpu, b, imm);
}

// ---------------------------------------------------------------- compares

/** Condition codes of a relation (-1, 0, 1, 2). They are set even when an unmasked exception keeps the stack from being popped. */
function codesOf(relation: i32): u32 {
  return relation === 2 ? C3 | C2 | C0 : relation === 0 ? C3 : relation < 0 ? C0 : 0;
}
const POP_TWICE: u32 = 16;
const QUIET: u32 = 32;

function popAfter(cpu: usize, imm: u32): void {
  if ((imm & (POP | POP_TWICE)) !== 0) pop(cpu);
  if ((imm & POP_TWICE) !== 0) pop(cpu);
}
/** Relation of two registers when both hold a normal number or zero; 3 when one does not. */
function orderFast(x: usize, y: usize): i32 {
  const sx = signExponent(x);
  const sy = signExponent(y);
  const mx = significand(x);
  const my = significand(y);
  const ex = sx & 0x7fff;
  const ey = sy & 0x7fff;
  const zx = ex === 0 && mx === 0;
  const zy = ey === 0 && my === 0;
  if (!((i64(mx) < 0 && ex - 1 < 0x7ffe) || zx) || !((i64(my) < 0 && ey - 1 < 0x7ffe) || zy)) return 3;
  if (zx && zy) return 0;
  if (((sx ^ sy) & 0x8000) !== 0) return (sx & 0x8000) !== 0 ? -1 : 1;
  if (ex === ey && mx === my) return 0;
  const less = ex < ey || (ex === ey && mx < my);
  return less === ((sx & 0x8000) !== 0) ? 1 : -1;
}
/** FCOM and FUCOM with ST(i): imm bits 8 pop, 16 pop twice, 32 quiet. */
export function fcom(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const n0 = load<u32>(cpu + X86_FP_TOP);
  const ni = (n0 + imm) & 7;
  const fsw = load<u32>(cpu + X86_FSW);
  if ((fsw & ES) === 0 && (load<u32>(cpu + X86_FP_TAGS) & ((1 << n0) | (1 << ni))) === 0) {
    const order = orderFast(registerAt(cpu, n0), registerAt(cpu, ni));
    if (order !== 3) {
      store<u32>(cpu + X86_FSW, (fsw & ~(C0 | C1 | C2 | C3)) | codesOf(order));
      noteOpcode(cpu, imm);
      popAfter(cpu, imm);
      return;
    }
  }
  if (!ready(cpu, imm)) return;
  if (isEmpty(cpu, n0) || isEmpty(cpu, ni)) {
    const masked = stackFault(cpu, false);
    setCodes(cpu, C3 | C2 | C0);
    if (masked) popAfter(cpu, imm);
    return;
  }
  const x = registerAt(cpu, n0);
  const y = registerAt(cpu, ni);
  const relation = compareX(signExponent(x), significand(x), signExponent(y), significand(y), (imm & QUIET) !== 0);
  const unmasked = commit(cpu);
  setCodes(cpu, codesOf(relation));
  if ((unmasked & (IE | DE)) === 0) popAfter(cpu, imm);
}
/** FCOM with memory: imm bit 8 pop, bits 6..7 the operand's type. */
export function fcomm(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!readyMemory(cpu, imm)) return;
  const n0 = physical(cpu, 0);
  if (isEmpty(cpu, n0)) {
    const masked = stackFault(cpu, false);
    setCodes(cpu, C3 | C2 | C0);
    if (masked && (imm & POP) !== 0) pop(cpu);
    return;
  }
  const mb = operand(b, imm);
  const sb = resultSe();
  const denormal = floatFlags();
  clearFlags();
  const x = registerAt(cpu, n0);
  const relation = compareX(signExponent(x), significand(x), sb, mb, false);
  lateDenormal(denormal, signExponent(x), significand(x));
  const unmasked = commit(cpu);
  setCodes(cpu, codesOf(relation));
  if ((unmasked & (IE | DE)) === 0 && (imm & POP) !== 0) pop(cpu);
}
/** FCOMI and FUCOMI: `d` receives the arithmetic flags; imm bits as for FCOM. C1 stays unless the stack faults. */
export function fcomi(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const n0 = load<u32>(cpu + X86_FP_TOP);
  const ni = (n0 + imm) & 7;
  if ((load<u32>(cpu + X86_FSW) & ES) === 0 && (load<u32>(cpu + X86_FP_TAGS) & ((1 << n0) | (1 << ni))) === 0) {
    const order = orderFast(registerAt(cpu, n0), registerAt(cpu, ni));
    if (order !== 3) {
      store<u64>(d, order === 0 ? 0x40 : order < 0 ? 1 : 0);
      noteOpcode(cpu, imm);
      popAfter(cpu, imm);
      return;
    }
  }
  if (!ready(cpu, imm)) return;
  if (isEmpty(cpu, n0) || isEmpty(cpu, ni)) {
    store<u64>(d, 0x45);
    if (stackFault(cpu, false)) popAfter(cpu, imm);
    return;
  }
  const x = registerAt(cpu, n0);
  const y = registerAt(cpu, ni);
  const relation = compareX(signExponent(x), significand(x), signExponent(y), significand(y), (imm & QUIET) !== 0);
  store<u64>(d, relation === 2 ? 0x45 : relation === 0 ? 0x40 : relation < 0 ? 1 : 0);
  const c1 = load<u32>(cpu + X86_FSW) & C1;
  const unmasked = commit(cpu);
  store<u32>(cpu + X86_FSW, load<u32>(cpu + X86_FSW) | c1);
  if ((unmasked & (IE | DE)) === 0) popAfter(cpu, imm);
}
export function ftst(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const n0 = physical(cpu, 0);
  if (isEmpty(cpu, n0)) {
    stackFault(cpu, false);
    setCodes(cpu, C3 | C2 | C0);
    return;
  }
  const x = registerAt(cpu, n0);
  const relation = compareX(signExponent(x), significand(x), 0, 0, false);
  commit(cpu);
  setCodes(cpu, codesOf(relation));
}
export function fxam(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const n0 = physical(cpu, 0);
  const x = registerAt(cpu, n0);
  const s = signExponent(x);
  const m = significand(x);
  let codes: u32;
  if (isEmpty(cpu, n0)) codes = C3 | C0;
  else if (isUnsupported(s, m)) codes = 0;
  else if (isNaNX(s, m)) codes = C0;
  else if (isInfinity(s, m)) codes = C2 | C0;
  else if (isZero(s, m)) codes = C3;
  else if (isDenormal(s, m)) codes = C3 | C2;
  else codes = C2;
  setCodes(cpu, codes | ((s & 0x8000) !== 0 ? C1 : 0));
}

// ---------------------------------------------------------------- one operand

/** FCHS (imm bit 8) and FABS. */
export function fsign(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const n = load<u32>(cpu + X86_FP_TOP);
  const fsw = load<u32>(cpu + X86_FSW);
  if ((fsw & ES) !== 0 || (load<u32>(cpu + X86_FP_TAGS) & (1 << n)) !== 0) {
    if (ready(cpu, imm)) underflow(cpu, n);
    return;
  }
  const r = registerAt(cpu, n);
  const s = signExponent(r);
  store<u16>(r, <u16>((imm & 8) !== 0 ? s ^ 0x8000 : s & 0x7fff), 8);
  store<u32>(cpu + X86_FSW, fsw & ~C1);
  noteOpcode(cpu, imm);
}
export function fsqrt(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const n = physical(cpu, 0);
  if (isEmpty(cpu, n)) {
    underflow(cpu, n);
    return;
  }
  const r = registerAt(cpu, n);
  deliver(cpu, n, sqrtX(signExponent(r), significand(r), control(cpu)));
}
export function frndint(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const n = physical(cpu, 0);
  if (isEmpty(cpu, n)) {
    underflow(cpu, n);
    return;
  }
  const r = registerAt(cpu, n);
  deliver(cpu, n, roundIntegerX(signExponent(r), significand(r), (control(cpu) >> 13) & 3));
}
