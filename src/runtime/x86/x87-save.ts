/**
 * Saving and restoring x87, SSE, AVX and PKRU state: FSTENV/FSAVE, FXSAVE, the XSAVE family and their inverses (SDM vol. 1
 * chapters 8.1.10, 10.5 and 13). All are `callf` with the linear address in `a`.
 */
import { bulkRead, bulkWrite, ldU16, ldU32, ldU64, probeRead, probeWrite, stU16, stU32, stU64 } from '../core/memory';
import { VCPU_FAULT_PENDING, VCPU_MMU_INDEX } from '../generated/layout';
import {
  FEATURE_XSAVEERPTR,
  X86_FCS,
  X86_FCW,
  X86_FDP,
  X86_FDS,
  X86_FIP,
  X86_FOP,
  X86_FP_TAGS,
  X86_FP_TOP,
  X86_FPR,
  X86_FSW,
  X86_MXCSR,
  X86_PKRU,
  X86_RAX,
  X86_RDX,
  X86_XCR0,
  X86_XSS,
  X86_ZMM,
  XSAVE_AVX,
  XSAVE_BASE,
  XSAVE_HEADER,
  XSAVE_PKRU,
} from '../generated/x86';
import { flushAll } from './address-spaces';
import { CR4_OSFXSR, CR4_OSXSAVE, cpl, cr4, EFER_FFXSR, efer, fault, GP, has, isReal, UD } from './cpu';
import {
  C0,
  C1,
  C2,
  C3,
  ES,
  physical,
  registerAt,
  setControlWord,
  setStatusWord,
  setTagWord,
  statusWord,
  tagWord,
  updateSummary,
  waited,
} from './x87-state';

const MXCSR_MASK: u32 = 0xffff;
const MXCSR_INIT: u32 = 0x1f80;

// The area being accessed. Globals are per thread; none of this outlives a call.
let areaCpu: usize = 0;
let areaLinear: u64 = 0;
let areaMmu: u32 = 0;
/** Its linear-memory address when it can be accessed directly, else 0. */
let areaHost: usize = 0;

function openArea(cpu: usize, linear: u64, bytes: u32, write: bool): bool {
  areaCpu = cpu;
  areaLinear = linear;
  areaMmu = load<u32>(cpu + VCPU_MMU_INDEX);
  areaHost = 0;
  if (!(write ? probeWrite(cpu, linear, bytes, areaMmu) : probeRead(cpu, linear, bytes, areaMmu))) return false;
  if ((linear & 0xfff) + u64(bytes) <= 4096)
    areaHost = write ? bulkWrite(cpu, linear, areaMmu) : bulkRead(cpu, linear, areaMmu);
  return load<u32>(cpu + VCPU_FAULT_PENDING) === 0;
}
function put16(at: u32, value: u32): void {
  if (areaHost !== 0) store<u16>(areaHost + at, <u16>value);
  else stU16(areaCpu, areaLinear + u64(at), u64(value), areaMmu);
}
function put32(at: u32, value: u32): void {
  if (areaHost !== 0) store<u32>(areaHost + at, value);
  else stU32(areaCpu, areaLinear + u64(at), u64(value), areaMmu);
}
function put64(at: u32, value: u64): void {
  if (areaHost !== 0) store<u64>(areaHost + at, value);
  else stU64(areaCpu, areaLinear + u64(at), value, areaMmu);
}
function get16(at: u32): u32 {
  return areaHost !== 0 ? <u32>load<u16>(areaHost + at) : <u32>ldU16(areaCpu, areaLinear + u64(at), areaMmu);
}
function get32(at: u32): u32 {
  return areaHost !== 0 ? load<u32>(areaHost + at) : <u32>ldU32(areaCpu, areaLinear + u64(at), areaMmu);
}
function get64(at: u32): u64 {
  return areaHost !== 0 ? load<u64>(areaHost + at) : ldU64(areaCpu, areaLinear + u64(at), areaMmu);
}

function initX87(cpu: usize): void {
  store<u32>(cpu + X86_FP_TOP, 0);
  store<u32>(cpu + X86_FP_TAGS, 0xff);
  store<u32>(cpu + X86_FCW, 0x37f);
  store<u32>(cpu + X86_FSW, 0);
  store<u32>(cpu + X86_FOP, 0);
  store<u32>(cpu + X86_FCS, 0);
  store<u32>(cpu + X86_FDS, 0);
  store<u64>(cpu + X86_FIP, 0);
  store<u64>(cpu + X86_FDP, 0);
}
/** FNINIT. Registers keep their contents, marked empty. */
export function fninit(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  fnclex(cpu, d, a, b, imm);
  initX87(cpu);
}
/** FNCLEX. */
export function fnclex(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  store<u32>(cpu + X86_FSW, load<u32>(cpu + X86_FSW) & (C0 | C1 | C2 | C3 | ES));
  updateSummary(cpu);
}
/** FWAIT. */
export function fwait(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  waited(cpu);
}
/** FLDCW: b holds the word. */
export function fldcw(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  if (waited(cpu)) setControlWord(cpu, load<u16>(b));
}

// ---------------------------------------------------------------- environment

function linearPointer(selector: u32, offset: u32): u32 {
  return (selector << 4) + offset;
}

/** imm: operand size in bytes, 2 or 4. The area must be open. */
function putEnvironment(cpu: usize, size: u32): void {
  const fip = load<u32>(cpu + X86_FIP);
  const fdp = load<u32>(cpu + X86_FDP);
  const fcs = load<u32>(cpu + X86_FCS);
  const fds = load<u32>(cpu + X86_FDS);
  const fop = load<u32>(cpu + X86_FOP) & 0x7ff;
  // Environments of real and virtual-8086 mode hold linear addresses.
  const real = isReal(cpu);
  const ip = real ? linearPointer(fcs, fip) : fip;
  const dp = real ? linearPointer(fds, fdp) : fdp;
  if (size === 2) {
    put16(0, load<u32>(cpu + X86_FCW));
    put16(2, statusWord(cpu));
    put16(4, tagWord(cpu));
    put16(6, ip);
    put16(8, real ? ((ip >> 4) & 0xf000) | fop : fcs);
    put16(10, dp);
    put16(12, real ? (dp >> 4) & 0xf000 : fds);
    return;
  }
  put32(0, load<u32>(cpu + X86_FCW) | 0xffff0000);
  put32(4, statusWord(cpu) | 0xffff0000);
  put32(8, tagWord(cpu) | 0xffff0000);
  if (real) {
    put32(12, (ip & 0xffff) | 0xffff0000);
    put32(16, ((ip >> 4) & 0x0ffff000) | fop);
    put32(20, (dp & 0xffff) | 0xffff0000);
    put32(24, (dp >> 4) & 0x0ffff000);
  } else {
    put32(12, ip);
    put32(16, (fop << 16) | (fcs & 0xffff));
    put32(20, dp);
    put32(24, fds | 0xffff0000);
  }
}
function getEnvironment(cpu: usize, size: u32): void {
  const real = isReal(cpu);
  let tags: u32 = 0;
  let status: u32 = 0;
  let word: u32 = 0;
  let ip: u32 = 0;
  let dp: u32 = 0;
  let high: u32 = 0;
  let dataHigh: u32 = 0;
  if (size === 2) {
    word = get16(0);
    status = get16(2);
    tags = get16(4);
    ip = get16(6);
    high = get16(8);
    dp = get16(10);
    dataHigh = get16(12);
    if (real) {
      ip |= (high & 0xf000) << 4;
      dp |= (dataHigh & 0xf000) << 4;
      store<u32>(cpu + X86_FOP, high & 0x7ff);
    }
  } else {
    word = get16(0);
    status = get16(4);
    tags = get16(8);
    ip = get32(12);
    high = get32(16);
    dp = get32(20);
    dataHigh = get32(24);
    if (real) {
      ip = (ip & 0xffff) | ((high & 0x0ffff000) << 4);
      dp = (dp & 0xffff) | ((dataHigh & 0x0ffff000) << 4);
      store<u32>(cpu + X86_FOP, high & 0x7ff);
    } else store<u32>(cpu + X86_FOP, (high >> 16) & 0x7ff);
  }
  store<u64>(cpu + X86_FIP, u64(ip));
  store<u64>(cpu + X86_FDP, u64(dp));
  store<u32>(cpu + X86_FCS, real ? 0 : high & 0xffff);
  store<u32>(cpu + X86_FDS, real ? 0 : dataHigh & 0xffff);
  setTagWord(cpu, tags);
  setStatusWord(cpu, status);
  setControlWord(cpu, word);
}
function environmentBytes(size: u32): u32 {
  return size === 2 ? 14 : 28;
}

export function fnstenv(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  if (!openArea(cpu, a, environmentBytes(imm), true)) return 0;
  putEnvironment(cpu, imm);
  setControlWord(cpu, load<u32>(cpu + X86_FCW) | 0x3f);
  return 0;
}
export function fldenv(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  if (waited(cpu) && openArea(cpu, a, environmentBytes(imm), false)) getEnvironment(cpu, imm);
  return 0;
}
export function fnsave(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const start = environmentBytes(imm);
  if (!openArea(cpu, a, start + 80, true)) return 0;
  putEnvironment(cpu, imm);
  for (let i: u32 = 0; i < 8; i++) {
    const r = registerAt(cpu, physical(cpu, i));
    put64(start + 10 * i, load<u64>(r));
    put16(start + 10 * i + 8, load<u16>(r, 8));
  }
  fninit(cpu, 0, 0, 0, 0);
  return 0;
}
export function frstor(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const start = environmentBytes(imm);
  if (!waited(cpu) || !openArea(cpu, a, start + 80, false)) return 0;
  getEnvironment(cpu, imm);
  for (let i: u32 = 0; i < 8; i++) {
    const r = registerAt(cpu, physical(cpu, i));
    store<u64>(r, get64(start + 10 * i));
    store<u16>(r, <u16>get16(start + 10 * i + 8), 8);
  }
  return 0;
}

// ---------------------------------------------------------------- legacy region

/** imm bits 0..1 of FXSAVE and XSAVE kinds: bit 0 REX.W form, bit 1 64-bit mode. */
const REX_W: u32 = 1;
const LONG: u32 = 2;

/** Processors with this feature save zeros for the error pointers while no exception is pending. */
function hidesPointers(cpu: usize): bool {
  return (load<u32>(cpu + X86_FSW) & ES) === 0 && has(cpu, FEATURE_XSAVEERPTR);
}
function putX87(cpu: usize, imm: u32): void {
  put16(0, load<u32>(cpu + X86_FCW));
  put16(2, statusWord(cpu));
  put16(4, ~load<u32>(cpu + X86_FP_TAGS) & 0xff);
  if (hidesPointers(cpu)) {
    put16(6, 0);
    put64(8, 0);
    put64(16, 0);
  } else putPointers(cpu, imm);
  for (let i: u32 = 0; i < 8; i++) {
    const r = registerAt(cpu, physical(cpu, i));
    put64(32 + 16 * i, load<u64>(r));
    put64(40 + 16 * i, u64(load<u16>(r, 8)));
  }
}
function putPointers(cpu: usize, imm: u32): void {
  put16(6, load<u32>(cpu + X86_FOP) & 0x7ff);
  if ((imm & REX_W) !== 0) {
    put64(8, load<u64>(cpu + X86_FIP));
    put64(16, load<u64>(cpu + X86_FDP));
  } else {
    put32(8, load<u32>(cpu + X86_FIP));
    put32(12, load<u32>(cpu + X86_FCS));
    put32(16, load<u32>(cpu + X86_FDP));
    put32(20, load<u32>(cpu + X86_FDS));
  }
}
function getX87(cpu: usize, imm: u32): void {
  store<u32>(cpu + X86_FCW, 0x37f);
  setStatusWord(cpu, get16(2));
  setControlWord(cpu, get16(0));
  store<u32>(cpu + X86_FP_TAGS, ~get16(4) & 0xff);
  store<u32>(cpu + X86_FOP, get16(6) & 0x7ff);
  if ((imm & REX_W) !== 0) {
    store<u64>(cpu + X86_FIP, get64(8));
    store<u64>(cpu + X86_FDP, get64(16));
    store<u32>(cpu + X86_FCS, 0);
    store<u32>(cpu + X86_FDS, 0);
  } else {
    store<u64>(cpu + X86_FIP, u64(get32(8)));
    store<u32>(cpu + X86_FCS, get16(12));
    store<u64>(cpu + X86_FDP, u64(get32(16)));
    store<u32>(cpu + X86_FDS, get16(20));
  }
  for (let i: u32 = 0; i < 8; i++) {
    const r = registerAt(cpu, physical(cpu, i));
    store<u64>(r, get64(32 + 16 * i));
    store<u64>(r, get64(40 + 16 * i) & 0xffff, 8);
  }
}
function xmmCount(imm: u32): u32 {
  return (imm & LONG) !== 0 ? 16 : 8;
}
/** 16 bytes at `offset` of each vector register, from or to `at` on. */
function putVectors(cpu: usize, count: u32, offset: usize, at: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const r = cpu + X86_ZMM + 64 * i + offset;
    put64(at + 16 * i, load<u64>(r));
    put64(at + 16 * i + 8, load<u64>(r, 8));
  }
}
function getVectors(cpu: usize, count: u32, offset: usize, at: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const r = cpu + X86_ZMM + 64 * i + offset;
    store<u64>(r, get64(at + 16 * i));
    store<u64>(r, get64(at + 16 * i + 8), 8);
  }
}
function clearVectors(cpu: usize, count: u32, offset: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const r = cpu + X86_ZMM + 64 * i + offset;
    store<u64>(r, 0);
    store<u64>(r, 0, 8);
  }
}

/** EFER.FFXSR: FXSAVE and FXRSTOR of the kernel leave the XMM registers out in 64-bit mode. */
function fastFxsave(cpu: usize, imm: u32): bool {
  return (efer(cpu) & EFER_FFXSR) !== 0 && (imm & LONG) !== 0 && cpl(cpu) === 0;
}
export function fxsave(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  if ((a & 15) !== 0) {
    fault(cpu, GP, 0);
    return 0;
  }
  if (!openArea(cpu, a, 512, true)) return 0;
  putX87(cpu, imm);
  if ((cr4(cpu) & CR4_OSFXSR) !== 0) {
    put32(24, load<u32>(cpu + X86_MXCSR));
    put32(28, MXCSR_MASK);
    if (!fastFxsave(cpu, imm)) putVectors(cpu, xmmCount(imm), 0, 160);
  }
  return 0;
}
export function fxrstor(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  if ((a & 15) !== 0) {
    fault(cpu, GP, 0);
    return 0;
  }
  if (!openArea(cpu, a, 512, false)) return 0;
  const sse = (cr4(cpu) & CR4_OSFXSR) !== 0;
  const mxcsr = get32(24);
  if (sse && (mxcsr & ~MXCSR_MASK) !== 0) {
    fault(cpu, GP, 0);
    return 0;
  }
  getX87(cpu, imm);
  if (sse) {
    store<u32>(cpu + X86_MXCSR, mxcsr);
    if (!fastFxsave(cpu, imm)) getVectors(cpu, xmmCount(imm), 0, 160);
  }
  return 0;
}

// ---------------------------------------------------------------- XSAVE

const X87: u64 = 1;
const SSE: u64 = 2;
const AVX: u64 = 4;
const PKRU: u64 = 512;
const COMPACT: u64 = 0x8000000000000000;

/** imm bits 8..9: what kind of save; 1 is XSAVEOPT. */
const KIND: u32 = 3 << 8;
const KIND_C: u32 = 2 << 8;
const KIND_S: u32 = 3 << 8;

function anyVector(cpu: usize, offset: usize): bool {
  let all: u64 = 0;
  for (let i: usize = 0; i < 16; i++) {
    const r = cpu + X86_ZMM + 64 * i + offset;
    all |= load<u64>(r) | load<u64>(r, 8);
  }
  return all !== 0;
}
/** XINUSE: components that are not in their initial state. */
export function xinuse(cpu: usize): u64 {
  let bits: u64 = 0;
  let x87 = u64(
    load<u32>(cpu + X86_FCW) !== 0x37f ||
      statusWord(cpu) !== 0 ||
      load<u32>(cpu + X86_FP_TAGS) !== 0xff ||
      load<u32>(cpu + X86_FOP) !== 0,
  );
  x87 |= load<u64>(cpu + X86_FIP) | load<u64>(cpu + X86_FDP) | u64(load<u32>(cpu + X86_FCS) | load<u32>(cpu + X86_FDS));
  for (let n: usize = 0; n < 8; n++)
    x87 |= load<u64>(cpu + X86_FPR + 16 * n) | u64(load<u16>(cpu + X86_FPR + 16 * n, 8));
  if (x87 !== 0) bits |= X87;
  if (anyVector(cpu, 0)) bits |= SSE;
  if (anyVector(cpu, 16)) bits |= AVX;
  if (load<u64>(cpu + X86_PKRU) !== 0) bits |= PKRU;
  return bits;
}
function requested(cpu: usize): u64 {
  return (load<u64>(cpu + X86_RAX) & 0xffffffff) | (load<u64>(cpu + X86_RDX) << 32);
}
function allowed(cpu: usize, linear: u64): bool {
  if ((cr4(cpu) & CR4_OSXSAVE) === 0) fault(cpu, UD, 0);
  else if ((linear & 63) !== 0) fault(cpu, GP, 0);
  else return true;
  return false;
}
/** Bytes of the whole area; in the compacted form `bits` are the components it has. */
function areaBytes(bits: u64, compact: bool): u32 {
  if (compact) return XSAVE_BASE + ((bits & AVX) !== 0 ? 256 : 0) + ((bits & PKRU) !== 0 ? 8 : 0);
  return (bits & PKRU) !== 0 ? XSAVE_PKRU + 8 : (bits & AVX) !== 0 ? XSAVE_AVX + 256 : XSAVE_BASE;
}
function pkruOffset(bits: u64, compact: bool): u32 {
  return compact ? XSAVE_BASE + ((bits & AVX) !== 0 ? 256 : 0) : XSAVE_PKRU;
}

/** XSAVE, XSAVEOPT, XSAVEC, XSAVES. */
export function xsave(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  if (!allowed(cpu, a)) return 0;
  const kind = imm & KIND;
  if (kind === KIND_S && cpl(cpu) !== 0) {
    fault(cpu, GP, 0);
    return 0;
  }
  const compact = kind >= KIND_C;
  const bits = requested(cpu) & (load<u64>(cpu + X86_XCR0) | (kind === KIND_S ? load<u64>(cpu + X86_XSS) : 0));
  if (!openArea(cpu, a, areaBytes(bits, compact), true)) return 0;
  let used = xinuse(cpu);
  // The compacting forms count MXCSR as part of the SSE component.
  if (compact && load<u32>(cpu + X86_MXCSR) !== MXCSR_INIT) used |= SSE;
  const write = kind === 0 ? bits : bits & used;
  if ((write & X87) !== 0) putX87(cpu, imm);
  if (compact ? (write & SSE) !== 0 : (bits & (SSE | AVX)) !== 0) {
    put32(24, load<u32>(cpu + X86_MXCSR));
    put32(28, MXCSR_MASK);
  }
  if ((write & SSE) !== 0) putVectors(cpu, xmmCount(imm), 0, 160);
  if ((write & AVX) !== 0) putVectors(cpu, xmmCount(imm), 16, XSAVE_AVX);
  if ((write & PKRU) !== 0) put64(pkruOffset(bits, compact), load<u64>(cpu + X86_PKRU));
  if (compact) {
    put64(XSAVE_HEADER, bits & used);
    put64(XSAVE_HEADER + 8, bits | COMPACT);
  } else put64(XSAVE_HEADER, (get64(XSAVE_HEADER) & ~bits) | (bits & used));
  return 0;
}

/** XRSTOR; imm kind S: XRSTORS. */
export function xrstor(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  if (!allowed(cpu, a)) return 0;
  const supervisor = (imm & KIND) === KIND_S;
  if (supervisor && cpl(cpu) !== 0) {
    fault(cpu, GP, 0);
    return 0;
  }
  const enabled = load<u64>(cpu + X86_XCR0) | (supervisor ? load<u64>(cpu + X86_XSS) : 0);
  const bits = requested(cpu) & enabled;
  if (!openArea(cpu, a, XSAVE_BASE, false)) return 0;
  const present = get64(XSAVE_HEADER);
  const layout = get64(XSAVE_HEADER + 8);
  const compact = (layout & COMPACT) !== 0;
  let bad = (supervisor && !compact) || get64(XSAVE_HEADER + 16) !== 0;
  if (compact) {
    for (let at: u32 = 24; at < 64; at += 8) bad = bad || get64(XSAVE_HEADER + at) !== 0;
    const has = layout & ~COMPACT;
    bad = bad || (has & ~enabled) !== 0 || (present & ~has) !== 0;
  } else bad = bad || layout !== 0 || (present & ~enabled) !== 0;
  const has = compact ? layout & ~COMPACT : bits;
  const loaded = bits & present & has;
  if (!bad && !openArea(cpu, a, areaBytes(compact ? has : loaded, compact), false)) return 0;
  const loadMxcsr = compact ? (loaded & SSE) !== 0 : (bits & (SSE | AVX)) !== 0;
  const mxcsr = get32(24);
  if (bad || (loadMxcsr && (mxcsr & ~MXCSR_MASK) !== 0)) {
    fault(cpu, GP, 0);
    return 0;
  }
  if ((loaded & X87) !== 0) getX87(cpu, imm);
  else if ((bits & X87) !== 0) {
    initX87(cpu);
    for (let n: usize = 0; n < 8; n++) {
      store<u64>(cpu + X86_FPR + 16 * n, 0);
      store<u64>(cpu + X86_FPR + 16 * n, 0, 8);
    }
  }
  if (loadMxcsr) store<u32>(cpu + X86_MXCSR, mxcsr);
  else if ((bits & SSE) !== 0) store<u32>(cpu + X86_MXCSR, MXCSR_INIT);
  if ((loaded & SSE) !== 0) getVectors(cpu, xmmCount(imm), 0, 160);
  else if ((bits & SSE) !== 0) clearVectors(cpu, xmmCount(imm), 0);
  if ((loaded & AVX) !== 0) getVectors(cpu, xmmCount(imm), 16, XSAVE_AVX);
  else if ((bits & AVX) !== 0) clearVectors(cpu, xmmCount(imm), 16);
  if ((bits & PKRU) !== 0) {
    const pkru = (loaded & PKRU) !== 0 ? u64(get32(pkruOffset(has, compact))) : 0;
    if (pkru !== load<u64>(cpu + X86_PKRU)) {
      store<u64>(cpu + X86_PKRU, pkru);
      flushAll(cpu);
    }
  }
  return 0;
}
