/**
 * x87 stores to memory. Translated code sees that it may store, calls the helper, and stores what that has put at `d`. A helper
 * whose number an unmasked exception keeps from being stored changes nothing and leaves with STORE_STOPPED: the instruction is
 * ended by x87-stopped.ts then. `imm` bit 3: pop.
 */
// hot path
import { packDecimal } from '../float/bcd';
import { DE, dropInexact, F32, F64, floatFlags, IE, OE, PE, UE, ZE, ZERO } from '../float/control';
import { toInteger, toPacked } from '../float/extended';
import { X86_FCW, X86_FP_TAGS, X86_FSW } from '../generated/x86';
import { fault } from './cpu';
import {
  C1,
  commit,
  control,
  controlFull,
  ES,
  INDEFINITE_M,
  INDEFINITE_SE,
  isEmpty,
  noteOpcode,
  noteSegment,
  physical,
  pop,
  readyMemory,
  registerAt,
  signExponent,
  significand,
  stackFault,
} from './x87-state';

const POP: u32 = 8;

/** FCW bits that allow the fast store: rounding to nearest, PE masked. */
const FAST_STORE_MASK: u32 = 0xc20;
const FAST_STORE: u32 = 0x020;

/** Exceptions that keep a number from being stored when they are unmasked. */
export const STOPPING: u32 = IE | DE | ZE | OE | UE;
/** In place of a vector. */
export const STORE_STOPPED: u32 = 0x100;

// ---------------------------------------------------------------- ST(0) to `d` in memory's formats; the state stays as it is

export function putSingle(cpu: usize, d: usize): void {
  const n = physical(cpu, 0);
  const r = registerAt(cpu, n);
  store<u32>(d, isEmpty(cpu, n) ? 0xffc00000 : u32(toPacked(F32, signExponent(r), significand(r), controlFull(cpu))));
}
export function putDouble(cpu: usize, d: usize): void {
  const n = physical(cpu, 0);
  const r = registerAt(cpu, n);
  store<u64>(
    d,
    isEmpty(cpu, n) ? 0xfff8000000000000 : toPacked(F64, signExponent(r), significand(r), controlFull(cpu)),
  );
}
/** Ten bytes. */
export function putExtended(cpu: usize, d: usize): void {
  const n = physical(cpu, 0);
  const r = registerAt(cpu, n);
  const empty = isEmpty(cpu, n);
  store<u64>(d, empty ? INDEFINITE_M : significand(r));
  store<u64>(d, empty ? INDEFINITE_SE : signExponent(r), 8);
}
/** `size`: 0 16 bits, 1 32, 2 64. */
export function putInteger(cpu: usize, d: usize, size: u32, truncate: bool): void {
  const n = physical(cpu, 0);
  let v = (<u64>1) << ((16 << size) - 1);
  if (!isEmpty(cpu, n)) {
    const r = registerAt(cpu, n);
    v = toInteger(signExponent(r), significand(r), 16 << size, truncate ? ZERO : (control(cpu) >> 13) & 3);
  }
  if (size === 0) store<u16>(d, <u16>v);
  else if (size === 1) store<u32>(d, u32(v));
  else store<u64>(d, v);
}
/** Ten bytes. */
export function putDecimal(cpu: usize, d: usize): void {
  const n = physical(cpu, 0);
  if (isEmpty(cpu, n)) {
    store<u64>(d, INDEFINITE_M);
    store<u64>(d, 0xffff, 8);
    return;
  }
  const r = registerAt(cpu, n);
  packDecimal(d, signExponent(r), significand(r), (control(cpu) >> 13) & 3);
}

// ---------------------------------------------------------------- what comes of it

/** Do unmasked exceptions keep the number just put somewhere from being stored? */
export function isStopped(cpu: usize): bool {
  const unmasked = ~load<u32>(cpu + X86_FCW);
  if (isEmpty(cpu, physical(cpu, 0))) return (unmasked & IE) !== 0;
  return (floatFlags() & unmasked & STOPPING) !== 0;
}
/** Reports its exceptions. With an unmasked overflow or underflow come neither PE nor C1. */
export function report(cpu: usize): void {
  if (isEmpty(cpu, physical(cpu, 0))) {
    stackFault(cpu, false);
    return;
  }
  if ((floatFlags() & (OE | UE) & ~load<u32>(cpu + X86_FCW)) !== 0) dropInexact();
  commit(cpu);
}
function finish(cpu: usize, imm: u32): void {
  if (isStopped(cpu)) {
    fault(cpu, STORE_STOPPED, 0);
    return;
  }
  report(cpu);
  if ((imm & POP) !== 0) pop(cpu);
}

// ---------------------------------------------------------------- helpers

/** FST m32. */
export function fst32(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!readyMemory(cpu, imm)) return;
  putSingle(cpu, d);
  finish(cpu, imm);
}
export function fst64(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const n = physical(cpu, 0);
  const x = registerAt(cpu, n);
  const m = significand(x);
  const s = signExponent(x);
  const e = (s & 0x7fff) - 15360;
  const fsw = load<u32>(cpu + X86_FSW);
  if (
    (load<u32>(cpu + X86_FCW) & FAST_STORE_MASK) === FAST_STORE &&
    (fsw & ES) === 0 &&
    (load<u32>(cpu + X86_FP_TAGS) & (1 << n)) === 0 &&
    i64(m) < 0 &&
    e - 1 < 0x7fd
  ) {
    const rest = m & 0x7ff;
    const cut = m >> 11;
    const up = u64(rest > 0x400 || (rest === 0x400 && (cut & 1) !== 0));
    // The integer bit adds one to the exponent, and so does a carry.
    store<u64>(d, (u64(s & 0x8000) << 48) | (((u64(e) - 1) << 52) + cut + up));
    store<u32>(cpu + X86_FSW, (fsw & ~C1) | (rest !== 0 ? PE : 0) | (up !== 0 ? C1 : 0));
    noteOpcode(cpu, imm);
    noteSegment(cpu, imm);
    if ((imm & POP) !== 0) pop(cpu);
    return;
  }
  if (!readyMemory(cpu, imm)) return;
  putDouble(cpu, d);
  finish(cpu, imm);
}
/** FSTP m80. */
export function fst80(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!readyMemory(cpu, imm)) return;
  putExtended(cpu, d);
  finish(cpu, imm);
}
/** FIST and FISTTP: imm bits 4..5 the size as for `putInteger`; bit 6 truncate. */
export function fist(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!readyMemory(cpu, imm)) return;
  putInteger(cpu, d, (imm >> 4) & 3, (imm & 64) !== 0);
  finish(cpu, imm);
}
export function fbstp(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (!readyMemory(cpu, imm)) return;
  putDecimal(cpu, d);
  finish(cpu, imm);
}
