/** SSE floating point beyond plain arithmetic: fused multiply-add, horizontal forms, dot products, reciprocal estimates. */
import { clearFlags, F32, F64 } from '../float/control';
import { add, fma, mul, subtract } from '../float/packed';
import { reciprocalEstimate, rootEstimate } from '../float/reciprocal';
import { X86_MXCSR } from '../generated/x86';
import { begin, commit, finishScalar32, finishScalar64, scratch, storePacked, WIDE } from './sse-float-common';

// ---------------------------------------------------------------- fused multiply-add

/**
 * d = product +- addend: d is the first operand, a the second, b the third. imm bits 8..9: which operands are multiplied, 0:
 * 132 (d * b + a), 1: 213 (a * d + b), 2: 231 (a * b + d); bit 10 negates the product; bits 11..12: 0 adds, 1 subtracts, 2
 * subtracts in even lanes (ADDSUB), 3 in odd lanes (SUBADD).
 */
function negatesAddend(imm: u32, lane: u32): bool {
  const kind = (imm >> 11) & 3;
  return kind === 1 || (kind === 2 && (lane & 1) === 0) || (kind === 3 && (lane & 1) !== 0);
}
function fused(fmt: u32, x: u64, y: u64, z: u64, lane: u32, imm: u32, ctl: u32): u64 {
  const form = (imm >> 8) & 3;
  const negate = (imm & 0x400) !== 0;
  const minus = negatesAddend(imm, lane);
  if (form === 0) return fma(fmt, x, z, y, negate, minus, ctl);
  if (form === 1) return fma(fmt, y, x, z, negate, minus, ctl);
  return fma(fmt, y, z, x, negate, minus, ctl);
}
export function fmasd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const r = fused(F64, load<u64>(d), load<u64>(a), load<u64>(b), 0, imm, ctl);
  if (!commit(cpu, ctl)) return;
  store<u64>(d, r);
  finishScalar64(d, d, imm);
}
export function fmass(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const r = fused(F32, load<u32>(d), load<u32>(a), load<u32>(b), 0, imm, ctl);
  if (!commit(cpu, ctl)) return;
  store<u32>(d, u32(r));
  finishScalar32(d, d, imm);
}
export function fmapd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const lanes: u32 = (imm & WIDE) !== 0 ? 4 : 2;
  for (let i: u32 = 0; i < lanes; i++) {
    const at: usize = i * 8;
    store<u64>(s + at, fused(F64, load<u64>(d + at), load<u64>(a + at), load<u64>(b + at), i, imm, ctl));
  }
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
export function fmaps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const lanes: u32 = (imm & WIDE) !== 0 ? 8 : 4;
  for (let i: u32 = 0; i < lanes; i++) {
    const at: usize = i * 4;
    store<u32>(s + at, u32(fused(F32, load<u32>(d + at), load<u32>(a + at), load<u32>(b + at), i, imm, ctl)));
  }
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}

// ---------------------------------------------------------------- horizontal and alternating

/** imm bit 8: subtract. */
const MINUS: u32 = 256;
function sum(fmt: u32, x: u64, y: u64, minus: bool, ctl: u32): u64 {
  return minus ? subtract(fmt, x, y, ctl) : add(fmt, x, y, ctl);
}
/** HADDPD, HSUBPD: within each 128 bits. */
export function haddpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  const minus = (imm & MINUS) !== 0;
  for (let i: usize = 0; i < bytes; i += 16) {
    store<u64>(s + i, sum(F64, load<u64>(a + i), load<u64>(a + i, 8), minus, ctl));
    store<u64>(s + i, sum(F64, load<u64>(b + i), load<u64>(b + i, 8), minus, ctl), 8);
  }
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
export function haddps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  const minus = (imm & MINUS) !== 0;
  for (let i: usize = 0; i < bytes; i += 16) {
    store<u32>(s + i, u32(sum(F32, load<u32>(a + i), load<u32>(a + i, 4), minus, ctl)));
    store<u32>(s + i, u32(sum(F32, load<u32>(a + i, 8), load<u32>(a + i, 12), minus, ctl)), 4);
    store<u32>(s + i, u32(sum(F32, load<u32>(b + i), load<u32>(b + i, 4), minus, ctl)), 8);
    store<u32>(s + i, u32(sum(F32, load<u32>(b + i, 8), load<u32>(b + i, 12), minus, ctl)), 12);
  }
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
/** ADDSUBxx: subtracts in even lanes. */
export function addsubpd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 8)
    store<u64>(s + i, sum(F64, load<u64>(a + i), load<u64>(b + i), (i & 8) === 0, ctl));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}
export function addsubps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 4)
    store<u32>(s + i, u32(sum(F32, load<u32>(a + i), load<u32>(b + i), (i & 4) === 0, ctl)));
  if (commit(cpu, ctl)) storePacked(cpu, d, imm);
}

/**
 * Ends a stage of a dot product: its exceptions stay whatever the next stage raises. False when an unmasked one ends the
 * instruction here.
 */
function stage(cpu: usize, ctl: u32): bool {
  const ok = commit(cpu, ctl | load<u32>(cpu + X86_MXCSR));
  clearFlags();
  return ok;
}
/** DPPS: imm bits 8..15 are the instruction's immediate. Products are rounded, then summed in pairs. */
export function dpps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 16)
    for (let k: u32 = 0; k < 4; k++) {
      const at: usize = i + k * 4;
      const used = ((imm >> (12 + k)) & 1) !== 0;
      store<u32>(s + at, used ? u32(mul(F32, load<u32>(a + at), load<u32>(b + at), ctl)) : 0);
    }
  if (!stage(cpu, ctl)) return;
  for (let i: usize = 0; i < bytes; i += 16) {
    store<u32>(s + i, u32(add(F32, load<u32>(s + i), load<u32>(s + i, 4), ctl)));
    store<u32>(s + i, u32(add(F32, load<u32>(s + i, 8), load<u32>(s + i, 12), ctl)), 4);
  }
  if (!stage(cpu, ctl)) return;
  for (let i: usize = 0; i < bytes; i += 16) {
    const total = u32(add(F32, load<u32>(s + i), load<u32>(s + i, 4), ctl));
    for (let k: u32 = 0; k < 4; k++) store<u32>(s + i + k * 4, ((imm >> (8 + k)) & 1) !== 0 ? total : 0);
  }
  if (stage(cpu, ctl)) storePacked(cpu, d, imm);
}
export function dppd(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const ctl = begin(cpu);
  const s = scratch(cpu);
  for (let k: u32 = 0; k < 2; k++) {
    const at: usize = k * 8;
    const used = ((imm >> (12 + k)) & 1) !== 0;
    store<u64>(s + at, used ? mul(F64, load<u64>(a + at), load<u64>(b + at), ctl) : 0);
  }
  if (!stage(cpu, ctl)) return;
  const total = add(F64, load<u64>(s), load<u64>(s, 8), ctl);
  for (let k: u32 = 0; k < 2; k++) store<u64>(s + k * 8, ((imm >> (8 + k)) & 1) !== 0 ? total : 0);
  if (stage(cpu, ctl)) storePacked(cpu, d, imm);
}

// ---------------------------------------------------------------- estimates

export function rcpss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u32>(d, reciprocalEstimate(load<u32>(b)));
  finishScalar32(d, a, imm);
}
export function rsqrtss(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u32>(d, rootEstimate(load<u32>(b)));
  finishScalar32(d, a, imm);
}
export function rcpps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 4) store<u32>(s + i, reciprocalEstimate(load<u32>(b + i)));
  storePacked(cpu, d, imm);
}
export function rsqrtps(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const s = scratch(cpu);
  const bytes: usize = (imm & WIDE) !== 0 ? 32 : 16;
  for (let i: usize = 0; i < bytes; i += 4) store<u32>(s + i, rootEstimate(load<u32>(b + i)));
  storePacked(cpu, d, imm);
}
