/** x87 loads and moves between registers. `imm` bit 3: pop. The other bits are said where they are used. */
// hot path
import { decimalOf } from '../float/bcd';
import { F32, F64, IE, resultSe } from '../float/control';
import { fromInteger, fromPacked } from '../float/extended';
import { X86_FP_TAGS, X86_FP_TOP, X86_FSW } from '../generated/x86';
import { plainOperand, plainSe } from './x87-operand';
import {
  C1,
  commit,
  control,
  ES,
  INDEFINITE_M,
  INDEFINITE_SE,
  isEmpty,
  noteOpcode,
  noteSegment,
  physical,
  pop,
  push,
  put,
  ready,
  readyMemory,
  registerAt,
  setC1,
  signExponent,
  significand,
  stackFault,
  underflow,
} from './x87-state';

const POP: u32 = 8;

// ---------------------------------------------------------------- loads

/** FLD m32/m64/FILD m16/m32: type in imm bits 6..7. */
export function fldm(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const number = (load<u32>(cpu + X86_FP_TOP) - 1) & 7;
  const fsw = load<u32>(cpu + X86_FSW);
  const tags = load<u32>(cpu + X86_FP_TAGS);
  if ((fsw & ES) === 0 && (tags & (1 << number)) !== 0) {
    const m = plainOperand(b, imm);
    if (m !== 0) {
      const r = registerAt(cpu, number);
      store<u64>(r, m);
      store<u16>(r, <u16>plainSe(), 8);
      store<u32>(cpu + X86_FP_TOP, number);
      store<u32>(cpu + X86_FP_TAGS, tags & ~(1 << number));
      store<u32>(cpu + X86_FSW, fsw & ~C1);
      noteOpcode(cpu, imm);
      noteSegment(cpu, imm);
      return;
    }
  }
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
  const top = load<u32>(cpu + X86_FP_TOP);
  const tags = load<u32>(cpu + X86_FP_TAGS);
  const fsw = load<u32>(cpu + X86_FSW);
  const from = (top + imm) & 7;
  const to = (top - 1) & 7;
  if ((fsw & ES) === 0 && (tags & (1 << from)) === 0 && (tags & (1 << to)) !== 0) {
    v128.store(registerAt(cpu, to), v128.load(registerAt(cpu, from)));
    store<u32>(cpu + X86_FP_TOP, to);
    store<u32>(cpu + X86_FP_TAGS, tags & ~(1 << to));
    store<u32>(cpu + X86_FSW, fsw & ~C1);
    noteOpcode(cpu, imm);
    return;
  }
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

// ---------------------------------------------------------------- register moves

/** FST ST(i): imm bits 8 pop; 16 the undocumented D9 D8, which only pops when ST(0) is empty. */
export function fst(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const top = load<u32>(cpu + X86_FP_TOP);
  const tags = load<u32>(cpu + X86_FP_TAGS);
  const fsw = load<u32>(cpu + X86_FSW);
  const to = (top + imm) & 7;
  if ((fsw & ES) === 0 && (tags & (1 << top)) === 0) {
    v128.store(registerAt(cpu, to), v128.load(registerAt(cpu, top)));
    store<u32>(cpu + X86_FP_TAGS, tags & ~(1 << to));
    store<u32>(cpu + X86_FSW, fsw & ~C1);
    noteOpcode(cpu, imm);
    if ((imm & POP) !== 0) pop(cpu);
    return;
  }
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

export function fxch(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const n0 = load<u32>(cpu + X86_FP_TOP);
  const ni = (n0 + imm) & 7;
  const fsw = load<u32>(cpu + X86_FSW);
  if ((fsw & ES) !== 0 || (load<u32>(cpu + X86_FP_TAGS) & ((1 << n0) | (1 << ni))) !== 0) {
    if (!ready(cpu, imm) || !stackFault(cpu, false)) return;
    if (isEmpty(cpu, n0)) put(cpu, n0, INDEFINITE_SE, INDEFINITE_M);
    if (isEmpty(cpu, ni)) put(cpu, ni, INDEFINITE_SE, INDEFINITE_M);
  } else {
    noteOpcode(cpu, imm);
    store<u32>(cpu + X86_FSW, fsw & ~C1);
  }
  const x = registerAt(cpu, n0);
  const y = registerAt(cpu, ni);
  const s = load<u64>(x, 8);
  const m = load<u64>(x);
  store<u64>(x, load<u64>(y));
  store<u64>(x, load<u64>(y, 8), 8);
  store<u64>(y, m);
  store<u64>(y, s, 8);
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
