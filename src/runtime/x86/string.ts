/** String instructions with a REP prefix, in bulk (src/guest/x86/helpers/string.ts says what each takes). */
// hot path
import { bulkRead, bulkWrite, ldU8, ldU16, ldU32, ldU64, probeWrite, stU8, stU16, stU32, stU64 } from '../core/memory';
import {
  VCPU_FAULT_PENDING,
  VCPU_FLAG_OP,
  VCPU_FLAG_RES,
  VCPU_FLAG_SRC,
  VCPU_MMU_INDEX,
  VCPU_MODE,
} from '../generated/layout';
import {
  FLAG_SUB,
  MODE_ALIGN,
  MODE_BREAKPOINTS,
  MODE_LIMITS,
  MODE_TRAP,
  X86_CS_BASE,
  X86_DF,
  X86_ES_BASE,
  X86_RAX,
  X86_RCX,
  X86_RDI,
  X86_RDX,
  X86_RSI,
} from '../generated/x86';
import { isIntel } from './cpu';
import { checkSegment } from './integer';
import { misalignedAccess } from './paging';
import { inPort, outPort } from './system';

const REPE: u32 = 4096;
const LONG: u32 = 8192;
const ES: u32 = 0;
/** Elements a call may do at most, so that interrupts are not held up. */
const BUDGET: u64 = 65536;
const PORT_BUDGET: u64 = 1024;
/** Bytes up to which a loop of ours beats memory.copy and memory.fill. */
const SMALL: usize = 256;

/** Segments that have a base in 64-bit mode. */
const FS: u32 = 4;

// What the options say. Globals are per thread; set at the start of each helper.
let bytes: u32 = 0;
let mask: u64 = 0;
let seg: u32 = 0;
let long = false;
let limits = false;
/** Misaligned elements are #AC. */
let aligned = false;
let mmu: u32 = 0;
let step: i64 = 0;
/** Elements left, and how many this call may do. */
let count: u64 = 0;
let budget: u64 = 0;

function begin(cpu: usize, imm: u32): void {
  bytes = imm & 15;
  seg = (imm >> 4) & 7;
  const size = (imm >> 8) & 7;
  mask = size === 1 ? 0xffff : size === 2 ? 0xffffffff : <u64>-1;
  long = (imm & LONG) !== 0;
  const mode = load<u32>(cpu, VCPU_MODE);
  limits = !long && (mode & MODE_LIMITS) !== 0;
  aligned = (mode & MODE_ALIGN) !== 0;
  mmu = load<u32>(cpu, VCPU_MMU_INDEX);
  step = <i64>load<u64>(cpu, X86_DF) * <i64>bytes;
  count = load<u64>(cpu, X86_RCX) & mask;
  budget = (mode & (MODE_TRAP | MODE_BREAKPOINTS)) !== 0 ? 1 : BUDGET;
  shorten(cpu, X86_RCX);
}

/**
 * In 64-bit code with 32-bit addresses Intel's processors clear the upper half of RCX, and of the pointers of MOVS and STOS,
 * whatever becomes of the first element; AMD's only where an element was done.
 */
function shorten(cpu: usize, field: usize): void {
  if (long && mask === 0xffffffff && isIntel(cpu)) store<u64>(cpu + field, load<u64>(cpu + field) & mask);
}

/** Writes the part of a register that the address size selects. */
function setRegister(cpu: usize, field: usize, value: u64): void {
  if (mask === 0xffff) store<u16>(cpu + field, <u16>value);
  else store<u64>(cpu + field, value & mask);
}

function linear(cpu: usize, s: u32, ea: u64): u64 {
  if (long) return s >= FS ? ea + load<u64>(cpu + <usize>s * (X86_CS_BASE - X86_ES_BASE), X86_ES_BASE) : ea;
  return (ea + load<u64>(cpu + <usize>s * (X86_CS_BASE - X86_ES_BASE), X86_ES_BASE)) & 0xffffffff;
}

/** False, with the fault recorded, when the segment does not allow the access. */
function allowed(cpu: usize, s: u32, ea: u64, write: bool): bool {
  if (limits && checkSegment(cpu, ea, 0, s | (write ? 8 : 0) | (bytes << 4)) === 0) return false;
  if (aligned && (linear(cpu, s, ea) & (bytes - 1)) !== 0) {
    misalignedAccess(cpu, linear(cpu, s, ea), bytes);
    return false;
  }
  return true;
}

function faulted(cpu: usize): bool {
  return load<u32>(cpu, VCPU_FAULT_PENDING) !== 0;
}

function read(cpu: usize, address: u64): u64 {
  switch (bytes) {
    case 1:
      return ldU8(cpu, address, mmu);
    case 2:
      return ldU16(cpu, address, mmu);
    case 4:
      return ldU32(cpu, address, mmu);
    default:
      return ldU64(cpu, address, mmu);
  }
}

function write(cpu: usize, address: u64, value: u64): void {
  switch (bytes) {
    case 1:
      stU8(cpu, address, value, mmu);
      break;
    case 2:
      stU16(cpu, address, value, mmu);
      break;
    case 4:
      stU32(cpu, address, value, mmu);
      break;
    default:
      stU64(cpu, address, value, mmu);
  }
}

function readHost(host: usize): u64 {
  switch (bytes) {
    case 1:
      return <u64>load<u8>(host);
    case 2:
      return <u64>load<u16>(host);
    case 4:
      return <u64>load<u32>(host);
    default:
      return load<u64>(host);
  }
}

/** Whole elements from `ea` to the end of its page, and before the address wraps. */
function run(ea: u64, address: u64): u64 {
  let room: u64 = 4096 - (address & 0xfff);
  const wrap = mask - ea;
  if (wrap < room) room = wrap + 1;
  return room >> <u64>ctz<u32>(bytes);
}

/** Whole elements from `ea` down to the start of its page, and before the address wraps; 1 when its own crosses into the next page. */
function runDown(ea: u64, address: u64): u64 {
  const above = address & 0xfff;
  if (above + bytes > 4096) return 1;
  return (min(above, ea) >> <u64>ctz<u32>(bytes)) + 1;
}

/** Do the usual circumstances hold: 64-bit addresses and mode, upwards, nothing that looks at single elements? */
function plain(cpu: usize, imm: u32): bool {
  const watched = load<u32>(cpu, VCPU_MODE) & (MODE_TRAP | MODE_BREAKPOINTS | MODE_ALIGN);
  return (imm & (LONG | (7 << 8))) === (LONG | (4 << 8)) && watched === 0 && <i64>load<u64>(cpu, X86_DF) > 0;
}

/** Copies between ranges that do not overlap. Few bytes are not worth a call of the engine's. */
function copy(target: usize, source: usize, size: usize): void {
  if (size > SMALL) {
    memory.copy(target, source, size);
    return;
  }
  if (size < 16) {
    for (let at: usize = 0; at < size; at++) store<u8>(target + at, load<u8>(source + at));
    return;
  }
  const last = size - 16;
  for (let at: usize = 0; at < last; at += 16) v128.store(target + at, v128.load(source + at));
  v128.store(target + last, v128.load(source + last));
}

function copyElement(target: usize, source: usize): void {
  if (bytes === 1) store<u8>(target, load<u8>(source));
  else if (bytes === 2) store<u16>(target, load<u16>(source));
  else if (bytes === 4) store<u32>(target, load<u32>(source));
  else store<u64>(target, load<u64>(source));
}

/** Sets bytes to `value`. */
function set(target: usize, value: u8, size: usize): void {
  if (size > SMALL) {
    memory.fill(target, value, size);
    return;
  }
  if (size < 16) {
    for (let at: usize = 0; at < size; at++) store<u8>(target + at, value);
    return;
  }
  const last = size - 16;
  const pattern = i8x16.splat(<i8>value);
  for (let at: usize = 0; at < last; at += 16) v128.store(target + at, pattern);
  v128.store(target + last, pattern);
}

/** Accounts for `n` elements done. */
function done(cpu: usize, n: u64): void {
  count -= n;
  budget = budget > n ? budget - n : 0;
  setRegister(cpu, X86_RCX, count);
}

/** REP MOVS in the usual circumstances within a page on both sides and without overlap: true, all done. */
function movsInPage(cpu: usize, imm: u32): bool {
  if (((imm >> 4) & 7) >= FS || !plain(cpu, imm)) return false;
  const si = load<u64>(cpu, X86_RSI);
  const di = load<u64>(cpu, X86_RDI);
  const n = load<u64>(cpu, X86_RCX);
  const size = n << (<u64>ctz<u32>(imm & 15));
  if (n - 1 > 4095 || (si & 0xfff) + size > 4096 || (di & 0xfff) + size > 4096) return false;
  const index = load<u32>(cpu, VCPU_MMU_INDEX);
  const source = bulkRead(cpu, si, index);
  if (source === 0) return faulted(cpu);
  const target = bulkWrite(cpu, di, index);
  if (target === 0) return faulted(cpu);
  if (target < source + <usize>size && source < target + <usize>size) return false;
  copy(target, source, <usize>size);
  store<u64>(cpu, si + size, X86_RSI);
  store<u64>(cpu, di + size, X86_RDI);
  store<u64>(cpu, 0, X86_RCX);
  return true;
}

export function repMovs(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  if (movsInPage(cpu, imm)) return 0;
  begin(cpu, imm);
  shorten(cpu, X86_RSI);
  shorten(cpu, X86_RDI);
  while (count !== 0 && budget !== 0) {
    const si = load<u64>(cpu, X86_RSI) & mask;
    const di = load<u64>(cpu, X86_RDI) & mask;
    if (!allowed(cpu, seg, si, false) || !allowed(cpu, ES, di, true)) return 0;
    const from = linear(cpu, seg, si);
    const to = linear(cpu, ES, di);
    let n: u64 = 0;
    if (!limits) {
      const room = step > 0 ? min(run(si, from), run(di, to)) : min(runDown(si, from), runDown(di, to));
      n = min(min(count, budget), room);
      if (n > 1) {
        let source = bulkRead(cpu, from, mmu);
        if (faulted(cpu)) return 0;
        let target = source === 0 ? <usize>0 : bulkWrite(cpu, to, mmu);
        if (faulted(cpu)) return 0;
        if (target === 0) n = 0;
        else {
          const size = <usize>n * bytes;
          if (step < 0) {
            source -= size - bytes;
            target -= size - bytes;
          }
          // A target just ahead of its source repeats a pattern, element by element.
          if (step > 0 && target > source && target < source + size) {
            for (let at: usize = 0; at < size; at += bytes) copyElement(target + at, source + at);
          } else if (step < 0 && target < source && source < target + size) {
            for (let at: usize = size; at > 0; at -= bytes) copyElement(target + at - bytes, source + at - bytes);
          } else if (source < target + size && target < source + size) memory.copy(target, source, size);
          else copy(target, source, size);
        }
      } else n = 0;
    }
    if (n === 0) {
      const v = read(cpu, from);
      if (faulted(cpu)) return 0;
      write(cpu, to, v);
      if (faulted(cpu)) return 0;
      n = 1;
    }
    setRegister(cpu, X86_RSI, si + n * <u64>step);
    setRegister(cpu, X86_RDI, di + n * <u64>step);
    done(cpu, n);
  }
  return <u64>(count !== 0);
}

/** REP STOS in the usual circumstances within a page: true, all done. */
function stosInPage(cpu: usize, imm: u32): bool {
  if (!plain(cpu, imm)) return false;
  const di = load<u64>(cpu, X86_RDI);
  const n = load<u64>(cpu, X86_RCX);
  bytes = imm & 15;
  const size = n << (<u64>ctz<u32>(bytes));
  if (n - 1 > 4095 || (di & 0xfff) + size > 4096) return false;
  const target = bulkWrite(cpu, di, load<u32>(cpu, VCPU_MMU_INDEX));
  if (target === 0) return faulted(cpu);
  fill(target, n, load<u64>(cpu, X86_RAX));
  store<u64>(cpu, di + size, X86_RDI);
  store<u64>(cpu, 0, X86_RCX);
  return true;
}

export function repStos(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  if (stosInPage(cpu, imm)) return 0;
  begin(cpu, imm);
  shorten(cpu, X86_RDI);
  const v = load<u64>(cpu, X86_RAX);
  while (count !== 0 && budget !== 0) {
    const di = load<u64>(cpu, X86_RDI) & mask;
    if (!allowed(cpu, ES, di, true)) return 0;
    const to = linear(cpu, ES, di);
    let n: u64 = 0;
    if (step > 0 && !limits) {
      n = min(min(count, budget), run(di, to));
      if (n > 1) {
        const target = bulkWrite(cpu, to, mmu);
        if (faulted(cpu)) return 0;
        if (target === 0) n = 0;
        else fill(target, n, v);
      } else n = 0;
    }
    if (n === 0) {
      write(cpu, to, v);
      if (faulted(cpu)) return 0;
      n = 1;
    }
    setRegister(cpu, X86_RDI, di + n * <u64>step);
    done(cpu, n);
  }
  return <u64>(count !== 0);
}

function fill(target: usize, n: u64, v: u64): void {
  const size = <usize>n * bytes;
  const low = v & 0xff;
  const pair = low | (low << 8) | (low << 16) | (low << 24);
  const same = pair | (pair << 32);
  if (bytes === 1 || ((v ^ same) & (<u64>-1 >> <u64>(64 - bytes * 8))) === 0) {
    set(target, <u8>low, size);
    return;
  }
  for (let at: usize = 0; at < size; at += bytes) {
    if (bytes === 2) store<u16>(target + at, <u16>v);
    else if (bytes === 4) store<u32>(target + at, <u32>v);
    else store<u64>(target + at, v);
  }
}

export function repLods(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  begin(cpu, imm);
  while (count !== 0 && budget !== 0) {
    const si = load<u64>(cpu, X86_RSI) & mask;
    if (!allowed(cpu, seg, si, false)) return 0;
    const v = read(cpu, linear(cpu, seg, si));
    if (faulted(cpu)) return 0;
    if (bytes === 1) store<u8>(cpu, <u8>v, X86_RAX);
    else if (bytes === 2) store<u16>(cpu, <u16>v, X86_RAX);
    else store<u64>(cpu, v, X86_RAX);
    setRegister(cpu, X86_RSI, si + <u64>step);
    done(cpu, 1);
  }
  return <u64>(count !== 0);
}

/**
 * A REPNE comparison that faults: Intel's processors leave the flags that were before the instruction (SDM vol. 2B, "REP"),
 * AMD's those of the last elements compared.
 */
function keepFlags(cpu: usize, imm: u32, op: u64, result: u64, source: u64): void {
  if ((imm & REPE) !== 0 || !faulted(cpu) || !isIntel(cpu)) return;
  store<u64>(cpu, op, VCPU_FLAG_OP);
  store<u64>(cpu, result, VCPU_FLAG_RES);
  store<u64>(cpu, source, VCPU_FLAG_SRC);
}

/** Lazy flags of a compare of `x` with `y`. */
function compareFlags(cpu: usize, x: u64, y: u64): void {
  const log: u32 = bytes === 1 ? 0 : bytes === 2 ? 1 : bytes === 4 ? 2 : 3;
  store<u64>(cpu, <u64>((FLAG_SUB << 2) | log), VCPU_FLAG_OP);
  store<u64>(cpu, x - y, VCPU_FLAG_RES);
  store<u64>(cpu, x, VCPU_FLAG_SRC);
}

export function repCmps(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const op = load<u64>(cpu, VCPU_FLAG_OP);
  const result = load<u64>(cpu, VCPU_FLAG_RES);
  const source = load<u64>(cpu, VCPU_FLAG_SRC);
  const more = compareStrings(cpu, imm);
  keepFlags(cpu, imm, op, result, source);
  return more;
}
function compareStrings(cpu: usize, imm: u32): u64 {
  begin(cpu, imm);
  const whileEqual = (imm & REPE) !== 0;
  while (count !== 0 && budget !== 0) {
    const si = load<u64>(cpu, X86_RSI) & mask;
    const di = load<u64>(cpu, X86_RDI) & mask;
    if (!allowed(cpu, seg, si, false) || !allowed(cpu, ES, di, false)) return 0;
    const left = linear(cpu, seg, si);
    const right = linear(cpu, ES, di);
    let n: u64 = 0;
    let x: u64 = 0;
    let y: u64 = 0;
    if (step > 0 && !limits) {
      const most = min(min(count, budget), min(run(si, left), run(di, right)));
      if (most > 1) {
        const p = bulkRead(cpu, left, mmu);
        if (faulted(cpu)) return 0;
        const q = p === 0 ? <usize>0 : bulkRead(cpu, right, mmu);
        if (faulted(cpu)) return 0;
        if (q !== 0) {
          do {
            x = readHost(p + <usize>n * bytes);
            y = readHost(q + <usize>n * bytes);
            n++;
          } while (n < most && (x === y) === whileEqual);
        }
      }
    }
    if (n === 0) {
      x = read(cpu, left);
      if (faulted(cpu)) return 0;
      y = read(cpu, right);
      if (faulted(cpu)) return 0;
      n = 1;
    }
    setRegister(cpu, X86_RSI, si + n * <u64>step);
    setRegister(cpu, X86_RDI, di + n * <u64>step);
    done(cpu, n);
    compareFlags(cpu, x, y);
    if ((x === y) !== whileEqual) return 0;
  }
  return <u64>(count !== 0);
}

export function repScas(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  const op = load<u64>(cpu, VCPU_FLAG_OP);
  const result = load<u64>(cpu, VCPU_FLAG_RES);
  const source = load<u64>(cpu, VCPU_FLAG_SRC);
  const more = scanString(cpu, imm);
  keepFlags(cpu, imm, op, result, source);
  return more;
}
function scanString(cpu: usize, imm: u32): u64 {
  begin(cpu, imm);
  const whileEqual = (imm & REPE) !== 0;
  const x = load<u64>(cpu, X86_RAX) & (<u64>-1 >> <u64>(64 - bytes * 8));
  while (count !== 0 && budget !== 0) {
    const di = load<u64>(cpu, X86_RDI) & mask;
    if (!allowed(cpu, ES, di, false)) return 0;
    const address = linear(cpu, ES, di);
    let n: u64 = 0;
    let y: u64 = 0;
    if (step > 0 && !limits) {
      const most = min(min(count, budget), run(di, address));
      if (most > 1) {
        const p = bulkRead(cpu, address, mmu);
        if (faulted(cpu)) return 0;
        if (p !== 0) {
          do {
            y = readHost(p + <usize>n * bytes);
            n++;
          } while (n < most && (x === y) === whileEqual);
        }
      }
    }
    if (n === 0) {
      y = read(cpu, address);
      if (faulted(cpu)) return 0;
      n = 1;
    }
    setRegister(cpu, X86_RDI, di + n * <u64>step);
    done(cpu, n);
    compareFlags(cpu, x, y);
    if ((x === y) !== whileEqual) return 0;
  }
  return <u64>(count !== 0);
}

export function repIns(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  begin(cpu, imm);
  if (budget > PORT_BUDGET) budget = PORT_BUDGET;
  const port = load<u64>(cpu, X86_RDX) & 0xffff;
  while (count !== 0 && budget !== 0) {
    const di = load<u64>(cpu, X86_RDI) & mask;
    if (!allowed(cpu, ES, di, true)) return 0;
    const to = linear(cpu, ES, di);
    if (!probeWrite(cpu, to, bytes, mmu)) return 0;
    const v = inPort(cpu, port, 0, bytes);
    if (faulted(cpu)) return 0;
    write(cpu, to, v);
    if (faulted(cpu)) return 0;
    setRegister(cpu, X86_RDI, di + <u64>step);
    done(cpu, 1);
  }
  return <u64>(count !== 0);
}

export function repOuts(cpu: usize, a: u64, b: u64, imm: u32): u64 {
  begin(cpu, imm);
  if (budget > PORT_BUDGET) budget = PORT_BUDGET;
  const port = load<u64>(cpu, X86_RDX) & 0xffff;
  while (count !== 0 && budget !== 0) {
    const si = load<u64>(cpu, X86_RSI) & mask;
    if (!allowed(cpu, seg, si, false)) return 0;
    const v = read(cpu, linear(cpu, seg, si));
    if (faulted(cpu)) return 0;
    outPort(cpu, port, v, bytes);
    if (faulted(cpu)) return 0;
    setRegister(cpu, X86_RSI, si + <u64>step);
    done(cpu, 1);
  }
  return <u64>(count !== 0);
}
