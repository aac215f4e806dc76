/**
 * x87 arithmetic, compares, loads and stores. Registers hold (u64 significand, u16 sign and exponent). Arithmetic helpers'
 * own bits of `imm`: 8 pop, 16 the destination is ST(i) (else ST(0)), 32 operands exchanged (FSUBR, FDIVR), and for memory
 * operands in bits 6..7: 0 f32, 1 f64, 2 i16, 3 i32; `b` is then the scratch field with the operand.
 */
// hot path

import { decimalOf, packDecimal } from '../float/bcd';
import { clearFlags, DE, F32, F64, floatFlags, IE, raise, resultSe, setResultSe, ZE, ZERO } from '../float/control';
import {
  addX,
  compareX,
  divideX,
  fromInteger,
  fromPacked,
  isDenormal,
  isInfinity,
  isNaNX,
  isUnsupported,
  isZero,
  multiplyX,
  roundIntegerX,
  sqrtX,
  subtractX,
  toInteger,
  toPacked,
} from '../float/extended';
import { X86_FP_TAGS, X86_FP_TOP, X86_FSW } from '../generated/x86';
import {
  C0,
  C1,
  C2,
  C3,
  commit,
  commitStore,
  control,
  controlFull,
  deliver,
  INDEFINITE_M,
  INDEFINITE_SE,
  isEmpty,
  physical,
  pop,
  push,
  put,
  ready,
  readyMemory,
  registerAt,
  setC1,
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

function registers<Op>(cpu: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const n0 = physical(cpu, 0);
  const ni = physical(cpu, imm & 7);
  const destination = (imm & TO_STI) !== 0 ? ni : n0;
  if ((load<u32>(cpu + X86_FP_TAGS) & ((1 << n0) | (1 << ni))) !== 0) {
    if (underflow(cpu, destination) && (imm & POP) !== 0) pop(cpu);
    return;
  }
  // a is the destination unless reversed.
  const swap = ((imm & TO_STI) !== 0) !== ((imm & REVERSE) !== 0);
  const a = registerAt(cpu, swap ? ni : n0);
  const b = registerAt(cpu, swap ? n0 : ni);
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
/** FCOM and FUCOM with ST(i): imm bits 8 pop, 16 pop twice, 32 quiet. */
export function fcom(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const n0 = physical(cpu, 0);
  const ni = physical(cpu, imm & 7);
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
  if (!ready(cpu, imm)) return;
  const n0 = physical(cpu, 0);
  const ni = physical(cpu, imm & 7);
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

// ---------------------------------------------------------------- loads

/** FLD m32/m64/FILD m16/m32: type in imm bits 6..7. */
export function fldm(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!readyMemory(cpu, imm)) return;
  if (!isEmpty(cpu, physical(cpu, 7))) {
    push(cpu, 0, 0);
    return;
  }
  const type = (imm >> 6) & 3;
  const m =
    type === 1
      ? fromPacked(F64, load<u64>(b))
      : type === 0
        ? fromPacked(F32, load<u32>(b))
        : fromInteger(type === 2 ? i64(load<i16>(b)) : i64(load<i32>(b)));
  const s = resultSe();
  // An unmasked DE is reported, yet the number is pushed (so do AMD's processors).
  if ((commit(cpu) & IE) === 0) push(cpu, s, m);
}
/** FILD m64. */
export function fild64(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!readyMemory(cpu, imm)) return;
  const m = fromInteger(load<i64>(b));
  push(cpu, resultSe(), m);
}
/** FLD m80. */
export function fld80(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (readyMemory(cpu, imm)) push(cpu, load<u16>(b, 8), load<u64>(b));
}
/** FBLD. */
export function fbld(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!readyMemory(cpu, imm)) return;
  const m = fromInteger(decimalOf(load<u64>(b), load<u8>(b, 8)));
  push(cpu, resultSe() | (u32(load<u8>(b, 9) & 0x80) << 8), m);
}
/** FLD ST(i). An empty source counts for more than a full destination. */
export function fld(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const n = physical(cpu, imm & 7);
  if (isEmpty(cpu, n)) {
    if (!stackFault(cpu, false)) return;
    store<u32>(cpu + X86_FP_TOP, physical(cpu, 7));
    put(cpu, physical(cpu, 0), INDEFINITE_SE, INDEFINITE_M);
    return;
  }
  const r = registerAt(cpu, n);
  push(cpu, signExponent(r), significand(r));
}
/** FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ by imm bits 0..2. Significands are cut; the flag says what nearest does. */
export function fldconst(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const mode = (control(cpu) >> 13) & 3;
  const up = mode === 2;
  const near = mode === 0;
  let s: u32 = 0x3fff;
  let m: u64 = 0x8000000000000000;
  switch (imm & 7) {
    case 1:
      s = 0x4000;
      m = 0xd49a784bcd1b8afe + u64(up);
      break;
    case 2:
      m = 0xb8aa3b295c17f0bb + u64(up || near);
      break;
    case 3:
      s = 0x4000;
      m = 0xc90fdaa22168c234 + u64(up || near);
      break;
    case 4:
      s = 0x3ffd;
      m = 0x9a209a84fbcff798 + u64(up || near);
      break;
    case 5:
      s = 0x3ffe;
      m = 0xb17217f7d1cf79ab + u64(up || near);
      break;
    case 6:
      s = 0;
      m = 0;
      break;
  }
  push(cpu, s, m);
}

// ---------------------------------------------------------------- stores: `d` holds the old memory contents

/** FST m32 (imm bit 8: pop). */
export function fst32(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!readyMemory(cpu, imm)) return;
  const n = physical(cpu, 0);
  if (isEmpty(cpu, n)) {
    if (!stackFault(cpu, false)) return;
    store<u32>(d, 0xffc00000);
  } else {
    const r = registerAt(cpu, n);
    const v = toPacked(F32, signExponent(r), significand(r), controlFull(cpu));
    if (!commitStore(cpu)) return;
    store<u32>(d, u32(v));
  }
  if ((imm & POP) !== 0) pop(cpu);
}
export function fst64(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!readyMemory(cpu, imm)) return;
  const n = physical(cpu, 0);
  if (isEmpty(cpu, n)) {
    if (!stackFault(cpu, false)) return;
    store<u64>(d, 0xfff8000000000000);
  } else {
    const r = registerAt(cpu, n);
    const v = toPacked(F64, signExponent(r), significand(r), controlFull(cpu));
    if (!commitStore(cpu)) return;
    store<u64>(d, v);
  }
  if ((imm & POP) !== 0) pop(cpu);
}
/** FSTP m80. `d`: ten bytes and, at 16, whether they are to be stored. */
export function fst80(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u64>(d, 0, 16);
  if (!readyMemory(cpu, imm)) return;
  const n = physical(cpu, 0);
  if (isEmpty(cpu, n)) {
    if (!stackFault(cpu, false)) return;
    store<u64>(d, INDEFINITE_M);
    store<u64>(d, INDEFINITE_SE, 8);
  } else {
    const r = registerAt(cpu, n);
    setC1(cpu, false);
    store<u64>(d, significand(r));
    store<u64>(d, signExponent(r), 8);
  }
  store<u64>(d, 1, 16);
  pop(cpu);
}
/** FIST and FISTTP: imm bits 4..5: 0 16 bits, 1 32, 2 64; bit 6 truncate. */
export function fist(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!readyMemory(cpu, imm)) return;
  const n = physical(cpu, 0);
  const size = (imm >> 4) & 3;
  let v: u64 = 0x8000000000000000;
  if (isEmpty(cpu, n)) {
    if (!stackFault(cpu, false)) return;
    if (size === 0) v = 0x8000;
    else if (size === 1) v = 0x80000000;
  } else {
    const r = registerAt(cpu, n);
    const mode = (imm & 64) !== 0 ? ZERO : (control(cpu) >> 13) & 3;
    v = toInteger(signExponent(r), significand(r), 16 << size, mode);
    if (!commitStore(cpu)) return;
  }
  if (size === 0) store<u16>(d, <u16>v);
  else if (size === 1) store<u32>(d, u32(v));
  else store<u64>(d, v);
  if ((imm & POP) !== 0) pop(cpu);
}
/** FBSTP; `d` as for FSTP m80. */
export function fbstp(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u64>(d, 0, 16);
  if (!readyMemory(cpu, imm)) return;
  const n = physical(cpu, 0);
  if (isEmpty(cpu, n)) {
    if (!stackFault(cpu, false)) return;
    store<u64>(d, 0xc000000000000000);
    store<u64>(d, 0xffff, 8);
  } else {
    const r = registerAt(cpu, n);
    packDecimal(d, signExponent(r), significand(r), (control(cpu) >> 13) & 3);
    if (!commitStore(cpu)) return;
  }
  store<u64>(d, 1, 16);
  pop(cpu);
}
/** FST ST(i): imm bits 8 pop; 16 the undocumented D9 D8, which only pops when ST(0) is empty. */
export function fst(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const n0 = physical(cpu, 0);
  const ni = physical(cpu, imm & 7);
  if (isEmpty(cpu, n0)) {
    if ((imm & 16) !== 0) setC1(cpu, false);
    else if (!underflow(cpu, ni)) return;
  } else {
    const r = registerAt(cpu, n0);
    setC1(cpu, false);
    put(cpu, ni, signExponent(r), significand(r));
  }
  if ((imm & POP) !== 0) pop(cpu);
}

// ---------------------------------------------------------------- register moves

export function fxch(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const n0 = physical(cpu, 0);
  const ni = physical(cpu, imm & 7);
  const x = registerAt(cpu, n0);
  const y = registerAt(cpu, ni);
  if (isEmpty(cpu, n0) || isEmpty(cpu, ni)) {
    if (!stackFault(cpu, false)) return;
    if (isEmpty(cpu, n0)) put(cpu, n0, INDEFINITE_SE, INDEFINITE_M);
    if (isEmpty(cpu, ni)) put(cpu, ni, INDEFINITE_SE, INDEFINITE_M);
  } else setC1(cpu, false);
  const s = signExponent(x);
  const m = significand(x);
  put(cpu, n0, signExponent(y), significand(y));
  put(cpu, ni, s, m);
}
/** FCMOVcc: b holds whether the condition is true. */
export function fcmov(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const n0 = physical(cpu, 0);
  const ni = physical(cpu, imm & 7);
  if (isEmpty(cpu, n0) || isEmpty(cpu, ni)) {
    underflow(cpu, n0);
    return;
  }
  if (load<u64>(b) === 0) return;
  const r = registerAt(cpu, ni);
  put(cpu, n0, signExponent(r), significand(r));
}
/** FFREE (imm bit 8: pop, the undocumented FFREEP). */
export function ffree(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  store<u32>(cpu + X86_FP_TAGS, load<u32>(cpu + X86_FP_TAGS) | (1 << physical(cpu, imm & 7)));
  setC1(cpu, false);
  if ((imm & POP) !== 0) pop(cpu);
}
export function fincstp(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  store<u32>(cpu + X86_FP_TOP, physical(cpu, 1));
  setC1(cpu, false);
}
export function fdecstp(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  store<u32>(cpu + X86_FP_TOP, physical(cpu, 7));
  setC1(cpu, false);
}
export function fnop(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  ready(cpu, imm);
}

// ---------------------------------------------------------------- one operand

/** FCHS (imm bit 8) and FABS. */
export function fsign(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!ready(cpu, imm)) return;
  const n = physical(cpu, 0);
  if (isEmpty(cpu, n)) {
    underflow(cpu, n);
    return;
  }
  const r = registerAt(cpu, n);
  const s = signExponent(r);
  store<u16>(r, <u16>((imm & 8) !== 0 ? s ^ 0x8000 : s & 0x7fff), 8);
  setC1(cpu, false);
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
