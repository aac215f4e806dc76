/**
 * Guest memory as translated code and helpers see it: the software TLB, its slow path, physical memory and devices.
 *
 * Loads and stores set `faultPending` in the vCPU header instead of throwing; the caller looks there after each access
 * that may fault.
 */
// hot path
import {
  FLAT_FLAGS,
  FLAT_HOST,
  FLAT_LAST,
  FLAT_OFFSET,
  FLAT_REGION,
  FLAT_SIZE,
  FLAT_START,
  FLATFLAG_DIRTY_LOG,
  FLATFLAG_RAM_READ,
  FLATFLAG_RAM_WRITE,
  MACHINE_CODE_PAGES,
  MACHINE_DIRTY,
  MACHINE_FLAT,
  MACHINE_FLAT_COUNT,
  MACHINE_VCPU_COUNT,
  MACHINE_VCPUS,
  MACHINE_WRITABLE,
  MMU_MODES,
  TLB_ADDEND,
  TLB_ENTRIES,
  TLB_EXECUTE,
  TLB_FLAGS,
  TLB_READ,
  TLB_SIZE,
  TLB_WRITE,
  VCPU_ADDRESS_SPACE,
  VCPU_FAULT_PENDING,
  VCPU_MACHINE,
  VCPU_MMU_INDEX,
  VCPU_STAT_IO_ACCESSES,
  VCPU_STAT_TLB_FLUSHES,
  VCPU_STAT_TLB_MISSES,
  VCPU_STAT_TLB_REVIVED,
  VCPU_TLB,
  VCPU_TLB_GENERATION,
  VCPU_TLB_GLOBAL_GENERATION,
  VCPU_TLB_LAST_GENERATION,
} from '../generated/layout';
import {
  dataBreakpoint,
  endsOutside,
  localIo,
  localRead,
  localWrite,
  walk,
  walkGlobal,
  walkPhys,
  walkProt,
} from '../x86/hooks';
import { clearJumpCache, codeWritten, flushJumpPage, hitsRunningCode } from './code';
import { mmioRead, mmioWrite } from './env';

export const ACCESS_READ: u32 = 0;
export const ACCESS_WRITE: u32 = 1;
export const ACCESS_EXECUTE: u32 = 2;

/** TLB entry flag: the page may be written, but each write must be seen (translated code, dirty log). */
const TLBFLAG_WATCHED: u32 = 1;
/** Where an entry's flags hold the global generation; it counts from 1 to the highest that fits. */
const GLOBAL_SHIFT: u32 = 8;
const GLOBAL_LAST: u32 = 0xffffff;

/**
 * faultPending value: not a guest fault. The instruction would change the block it is in; it is started again alone, in a
 * block of one instruction, so that what follows it is translated afresh.
 */
export const FAULT_RESTART: u32 = 2;

const PAGE_MASK: u64 = ~0xfff;

// Results of find(): the flat range of the last physical address looked up. Globals are per thread.
let foundStart: u64 = 1;
let foundLast: u64 = 0;
let foundFlags: u32 = 0;
let foundHost: u32 = 0;
let foundRegion: u32 = 0;
let foundOffset: u64 = 0;
let foundTable: u32 = 0;

/** Forgets the cached range; the host calls it after every change of the flat view. */
export function flatViewChanged(): void {
  foundTable = 0;
}

/** Looks up the range that holds `phys`; false when nothing is mapped there. */
function find(cpu: usize, phys: u64): bool {
  const machine = <usize>load<u32>(cpu + VCPU_MACHINE);
  const space = (<usize>load<u32>(cpu + VCPU_ADDRESS_SPACE)) << 2;
  const table = load<u32>(machine + space + MACHINE_FLAT);
  if (table === foundTable && phys >= foundStart && phys <= foundLast) return true;
  let low: u32 = 0;
  let high = load<u32>(machine + space + MACHINE_FLAT_COUNT);
  while (low < high) {
    const middle = (low + high) >> 1;
    const range = <usize>table + <usize>middle * FLAT_SIZE;
    if (phys < load<u64>(range + FLAT_START)) high = middle;
    else if (phys > load<u64>(range + FLAT_LAST)) low = middle + 1;
    else {
      foundTable = table;
      foundStart = load<u64>(range + FLAT_START);
      foundLast = load<u64>(range + FLAT_LAST);
      foundFlags = load<u32>(range + FLAT_FLAGS);
      foundHost = load<u32>(range + FLAT_HOST);
      foundRegion = load<u32>(range + FLAT_REGION);
      foundOffset = load<u64>(range + FLAT_OFFSET);
      return true;
    }
  }
  return false;
}

/** Linear-memory address of a physical address when it is RAM or ROM that can be read there directly, else 0. */
export function physHost(cpu: usize, phys: u64): usize {
  if (!find(cpu, phys) || !(foundFlags & FLATFLAG_RAM_READ)) return 0;
  return <usize>foundHost + <usize>(phys - foundStart);
}

function allOnes(size: u32): u64 {
  return <u64>-1 >> <u64>(64 - (size << 3));
}

function readHost(host: usize, size: u32): u64 {
  switch (size) {
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

function writeHost(host: usize, size: u32, value: u64): void {
  switch (size) {
    case 1:
      store<u8>(host, <u8>value);
      return;
    case 2:
      store<u16>(host, <u16>value);
      return;
    case 4:
      store<u32>(host, <u32>value);
      return;
    default:
      store<u64>(host, value);
  }
}

function dirtyAndCode(machine: usize, host: usize, size: u32): void {
  store<u8>(<usize>load<u32>(machine + MACHINE_DIRTY) + (host >> 12), 0xff);
  codeWritten(machine, host, size);
}

/** Physical read of `size` bytes that do not cross a page; devices answer for what is not RAM. */
export function physRead(cpu: usize, phys: u64, size: u32): u64 {
  if (localIo(phys, cpu)) return localRead(cpu, phys, size);
  if (!find(cpu, phys)) return allOnes(size);
  if (foundFlags & FLATFLAG_RAM_READ) return readHost(<usize>foundHost + <usize>(phys - foundStart), size);
  store<u64>(cpu + VCPU_STAT_IO_ACCESSES, load<u64>(cpu + VCPU_STAT_IO_ACCESSES) + 1);
  const region = foundRegion;
  const offset = <u32>(phys - foundStart + foundOffset);
  if (size === 8) {
    const low = <u64>mmioRead(cpu, region, offset, 4);
    return low | ((<u64>mmioRead(cpu, region, offset + 4, 4)) << 32);
  }
  return <u64>mmioRead(cpu, region, offset, size);
}

/** Physical write of `size` bytes that do not cross a page. */
export function physWrite(cpu: usize, phys: u64, size: u32, value: u64): void {
  if (localIo(phys, cpu)) {
    localWrite(cpu, phys, size, value);
    return;
  }
  if (!find(cpu, phys)) return;
  if (foundFlags & FLATFLAG_RAM_WRITE) {
    const host = <usize>foundHost + <usize>(phys - foundStart);
    writeHost(host, size, value);
    dirtyAndCode(<usize>load<u32>(cpu + VCPU_MACHINE), host, size);
    return;
  }
  store<u64>(cpu + VCPU_STAT_IO_ACCESSES, load<u64>(cpu + VCPU_STAT_IO_ACCESSES) + 1);
  const region = foundRegion;
  const offset = <u32>(phys - foundStart + foundOffset);
  if (size === 8) {
    mmioWrite(cpu, region, offset, 4, <u32>value);
    mmioWrite(cpu, region, offset + 4, 4, <u32>(value >> 32));
  } else mmioWrite(cpu, region, offset, size, <u32>value);
}

export function physLd8(cpu: usize, phys: u64): u64 {
  return physRead(cpu, phys, 1);
}
export function physLd16(cpu: usize, phys: u64): u64 {
  return physRead(cpu, phys, 2);
}
export function physLd32(cpu: usize, phys: u64): u64 {
  const host = physHost(cpu, phys);
  return host ? <u64>load<u32>(host) : physRead(cpu, phys, 4);
}
export function physLd64(cpu: usize, phys: u64): u64 {
  const host = physHost(cpu, phys);
  return host ? load<u64>(host) : physRead(cpu, phys, 8);
}
export function physSt8(cpu: usize, phys: u64, value: u64): void {
  physWrite(cpu, phys, 1, value);
}
export function physSt16(cpu: usize, phys: u64, value: u64): void {
  physWrite(cpu, phys, 2, value);
}
export function physSt32(cpu: usize, phys: u64, value: u64): void {
  physWrite(cpu, phys, 4, value);
}
export function physSt64(cpu: usize, phys: u64, value: u64): void {
  physWrite(cpu, phys, 8, value);
}

// ---------------------------------------------------------------- TLB

/** Where the host pages of the entries lie, behind the tables. */
const TLB_HOSTS: usize = <usize>(MMU_MODES * TLB_ENTRIES) * TLB_SIZE;

/** The TLB of an MMU mode. */
export function tlbOf(cpu: usize, mmu: u32): usize {
  return <usize>load<u32>(cpu + VCPU_TLB) + <usize>(mmu * TLB_ENTRIES) * TLB_SIZE;
}
/** Its entry for a linear address. */
export function entryIn(tlb: usize, linear: u64): usize {
  return tlb + <usize>(<u32>(linear >> 12) & (TLB_ENTRIES - 1)) * TLB_SIZE;
}
function entryOf(cpu: usize, linear: u64, mmu: u32): usize {
  return entryIn(tlbOf(cpu, mmu), linear);
}
/** Linear-memory address that a linear address has by its entry. */
export function hostIn(entry: usize, linear: u64): usize {
  return <usize>(load<u32>(entry + TLB_ADDEND) + <u32>linear);
}

/** Tag of an access of `size` bytes: matches no entry when it crosses its page. */
export function tagOf(cpu: usize, linear: u64, size: u32): u64 {
  return ((linear + <u64>(size - 1)) & PAGE_MASK) | <u64>load<u32>(cpu + VCPU_TLB_GENERATION);
}

/** Invalidates every cached translation of the current address space, and the global ones of all. */
export function tlbFlush(cpu: usize): void {
  const global = load<u32>(cpu + VCPU_TLB_GLOBAL_GENERATION);
  if (global >= GLOBAL_LAST) clearTlb(cpu);
  store<u32>(cpu + VCPU_TLB_GLOBAL_GENERATION, global >= GLOBAL_LAST ? 1 : global + 1);
  store<u32>(cpu + VCPU_TLB_GENERATION, tlbNewGeneration(cpu));
}

function clearTlb(cpu: usize): void {
  memory.fill(<usize>load<u32>(cpu + VCPU_TLB), 0, <usize>(MMU_MODES * TLB_ENTRIES) * TLB_SIZE);
}

/**
 * A generation that no TLB entry carries; entries of others stay valid for when their generation is selected again.
 * Returns 1 only after a wrap (or at reset), when all tables have been cleared: generations remembered elsewhere are void.
 */
export function tlbNewGeneration(cpu: usize): u32 {
  store<u64>(cpu + VCPU_STAT_TLB_FLUSHES, load<u64>(cpu + VCPU_STAT_TLB_FLUSHES) + 1);
  let next = load<u32>(cpu + VCPU_TLB_LAST_GENERATION) + 1;
  if (next > 4095) {
    clearTlb(cpu);
    clearJumpCache(cpu);
    next = 1;
  }
  store<u32>(cpu + VCPU_TLB_LAST_GENERATION, next);
  return next;
}

/** Invalidates the translation of one linear page (in all generations). */
export function tlbFlushPage(cpu: usize, linear: u64): void {
  flushJumpPage(cpu, linear);
  for (let mmu: u32 = 0; mmu < MMU_MODES; mmu++) {
    const entry = entryOf(cpu, linear, mmu);
    store<u64>(entry + TLB_READ, 0);
    store<u64>(entry + TLB_WRITE, 0);
    store<u64>(entry + TLB_EXECUTE, 0);
    store<u32>(entry + TLB_FLAGS, 0);
  }
}

/** Makes the next write through a TLB entry take the slow path. */
function watchEntry(entry: usize): void {
  if (load<u64>(entry + TLB_WRITE) === 0) return;
  store<u64>(entry + TLB_WRITE, 0);
  store<u32>(entry + TLB_FLAGS, load<u32>(entry + TLB_FLAGS) | TLBFLAG_WATCHED);
}

/** A TLB entry is about to let writes to a page of RAM through. */
function markWritable(machine: usize, ramPage: usize): void {
  store<u8>(<usize>load<u32>(machine + MACHINE_WRITABLE) + ramPage, 1);
}

/** Makes the next write to each RAM page in [first, last] (linear-memory addresses) take the slow path, on all vCPUs. */
export function watchWrites(machine: usize, first: usize, last: usize): void {
  // Most code is where nobody may write, and the tables are large.
  const marks = <usize>load<u32>(machine + MACHINE_WRITABLE);
  let any: u32 = 0;
  for (let page = first >> 12; page <= last >> 12; page++) {
    any |= load<u8>(marks + page);
    store<u8>(marks + page, 0);
  }
  if (!any) return;
  const from = i32x4.splat(<u32>(first >> 12));
  const span = i32x4.splat(<u32>((last >> 12) - (first >> 12)));
  const count = load<u32>(machine + MACHINE_VCPU_COUNT);
  for (let i: u32 = 0; i < count; i++) {
    const cpu = <usize>load<u32>(machine + MACHINE_VCPUS + <usize>(i << 2));
    const tlb = <usize>load<u32>(cpu + VCPU_TLB);
    const hosts = tlb + TLB_HOSTS;
    for (let n: u32 = 0; n < MMU_MODES * TLB_ENTRIES; n += 8) {
      const at = hosts + ((<usize>n) << 2);
      const low = i32x4.le_u(i32x4.sub(v128.load(at), from), span);
      const high = i32x4.le_u(i32x4.sub(v128.load(at, 16), from), span);
      if (!v128.any_true(v128.or(low, high))) continue;
      let found = <u32>i32x4.bitmask(low) | ((<u32>i32x4.bitmask(high)) << 4);
      for (; found; found &= found - 1) watchEntry(tlb + <usize>(n + ctz<u32>(found)) * TLB_SIZE);
    }
  }
}

/**
 * Does the TLB hold `linear` as a global page, under another generation? Then the entry becomes one of the current generation:
 * global translations outlive the change of address spaces, and cost it nothing.
 */
function revive(cpu: usize, linear: u64, mmu: u32): bool {
  const entry = entryOf(cpu, linear, mmu);
  const global = load<u32>(entry + TLB_FLAGS) >> GLOBAL_SHIFT;
  if (global === 0 || global !== load<u32>(cpu + VCPU_TLB_GLOBAL_GENERATION)) return false;
  const read = load<u64>(entry + TLB_READ);
  const write = load<u64>(entry + TLB_WRITE);
  const execute = load<u64>(entry + TLB_EXECUTE);
  const tag = (linear & PAGE_MASK) | <u64>load<u32>(cpu + VCPU_TLB_GENERATION);
  const old = read | write | execute;
  if (((old ^ tag) & PAGE_MASK) !== 0 || old === tag) return false;
  if (read) store<u64>(entry + TLB_READ, tag);
  if (write) store<u64>(entry + TLB_WRITE, tag);
  if (execute) store<u64>(entry + TLB_EXECUTE, tag);
  store<u64>(cpu + VCPU_STAT_TLB_REVIVED, load<u64>(cpu + VCPU_STAT_TLB_REVIVED) + 1);
  return true;
}

/** Walks the guest's page tables and enters the translation. False with a fault recorded; the address is in walkPhys. */
function fill(cpu: usize, linear: u64, access: u32, mmu: u32): bool {
  store<u64>(cpu + VCPU_STAT_TLB_MISSES, load<u64>(cpu + VCPU_STAT_TLB_MISSES) + 1);
  if (walk(cpu, linear, access, mmu)) return false;
  const phys = walkPhys;
  const prot = walkProt;
  const page = phys & PAGE_MASK;
  if (!find(cpu, phys) || page < foundStart || (page | 0xfff) > foundLast || localIo(phys, cpu)) return true;
  const flags = foundFlags;
  if (!(flags & FLATFLAG_RAM_READ)) return true;
  const machine = <usize>load<u32>(cpu + VCPU_MACHINE);
  const host = <usize>foundHost + <usize>(page - foundStart);
  const entry = entryOf(cpu, linear, mmu);
  const tag = (linear & PAGE_MASK) | <u64>load<u32>(cpu + VCPU_TLB_GENERATION);
  const ramPage = host >> 12;
  let writable: bool = (prot & 2) !== 0 && (flags & FLATFLAG_RAM_WRITE) !== 0;
  let watched: u32 = 0;
  if (writable) {
    if (
      load<u32>(<usize>load<u32>(machine + MACHINE_CODE_PAGES) + (ramPage << 2)) !== 0 ||
      ((flags & FLATFLAG_DIRTY_LOG) !== 0 && load<u8>(<usize>load<u32>(machine + MACHINE_DIRTY) + ramPage) === 0)
    ) {
      writable = false;
      watched = TLBFLAG_WATCHED;
    }
  }
  if (writable) markWritable(machine, ramPage);
  store<u64>(entry + TLB_READ, prot & 1 ? tag : 0);
  store<u64>(entry + TLB_WRITE, writable ? tag : 0);
  store<u64>(entry + TLB_EXECUTE, prot & 4 ? tag : 0);
  store<u32>(entry + TLB_ADDEND, <u32>host - <u32>(linear & PAGE_MASK));
  const tlb = <usize>load<u32>(cpu + VCPU_TLB);
  store<u32>(tlb + TLB_HOSTS + (((entry - tlb) / TLB_SIZE) << 2), <u32>ramPage);
  const global = walkGlobal ? load<u32>(cpu + VCPU_TLB_GLOBAL_GENERATION) << GLOBAL_SHIFT : 0;
  store<u32>(entry + TLB_FLAGS, watched | global);
  return true;
}

/**
 * A TLB miss in compiled code: linear-memory address of the `size` bytes at `linear` once the translation is in the TLB, or
 * 0 when the interpreter must make the access (a fault, a device, a watched page, two pages). `access` is ACCESS_READ or
 * ACCESS_WRITE.
 */
export function fillForRegion(cpu: usize, linear: u64, size: u32, access: u32): u32 {
  if (size > 4096 - (<u32>linear & 0xfff)) return 0;
  const mmu = load<u32>(cpu + VCPU_MMU_INDEX);
  const entry = entryOf(cpu, linear, mmu);
  const wanted = tagOf(cpu, linear, size);
  const field: usize = access === ACCESS_WRITE ? TLB_WRITE : TLB_READ;
  // Accesses of a group that straddles two pages come here without having looked.
  if (load<u64>(entry + field) !== wanted && (!revive(cpu, linear, mmu) || load<u64>(entry + field) !== wanted)) {
    if (load<u32>(entry + TLB_FLAGS) & TLBFLAG_WATCHED && load<u64>(entry + TLB_READ) === wanted) return 0;
    if (!fill(cpu, linear, access, mmu)) {
      // The interpreter will meet the fault again, with the state that delivering it needs.
      store<u32>(cpu + VCPU_FAULT_PENDING, 0);
      return 0;
    }
  }
  return load<u64>(entry + field) === wanted ? load<u32>(entry + TLB_ADDEND) + <u32>linear : 0;
}

/**
 * The same for the range of a group of accesses, one of which is certain to be made. It may lie in two pages that are neighbours in
 * linear memory, too, as those of a kernel's stacks and structures are. A page becomes dirty by a write alone, and the way to it may
 * end before: one that is not dirty yet has no address for a group that writes.
 */
export function openRange(cpu: usize, linear: u64, size: u32, access: u32): u32 {
  const inPage: u32 = 4096 - (<u32>linear & 0xfff);
  const mmu = load<u32>(cpu + VCPU_MMU_INDEX);
  const field: usize = access === ACCESS_WRITE ? TLB_WRITE : TLB_READ;
  if (size <= inPage) {
    return fillForRegion(cpu, linear, size, ACCESS_READ) ? <u32>cachedHost(cpu, linear, field, mmu) : 0;
  }
  revive(cpu, linear, mmu);
  revive(cpu, linear + inPage, mmu);
  const first = cachedHost(cpu, linear, field, mmu);
  return first && cachedHost(cpu, linear + inPage, field, mmu) === first + inPage ? <u32>first : 0;
}

// ---------------------------------------------------------------- loads

/** Linear-memory address of `linear` when the TLB allows accesses of the kind of `field` (TLB_READ, TLB_WRITE), else 0. */
function cachedHost(cpu: usize, linear: u64, field: usize, mmu: u32): usize {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + field) !== tagOf(cpu, linear, 1)) return 0;
  return hostIn(entry, linear);
}

function slowLoad(cpu: usize, linear: u64, size: u32, mmu: u32): u64 {
  const inPage: u32 = 4096 - (<u32>linear & 0xfff);
  if (size > inPage) {
    const first = cachedHost(cpu, linear, TLB_READ, mmu);
    const second = cachedHost(cpu, linear + inPage, TLB_READ, mmu);
    if (first && second) {
      let value: u64 = 0;
      for (let i: u32 = 0; i < size; i++) {
        const at = i < inPage ? first + i : second + (i - inPage);
        value |= (<u64>load<u8>(at)) << (i << 3);
      }
      return value;
    }
    // Both pages must be readable before a device sees the access.
    if (!probeRead(cpu, linear, size, mmu)) return 0;
    dataBreakpoint(cpu, linear, size, false);
    const low = slowLoadPart(cpu, linear, inPage, mmu);
    return low | (slowLoadPart(cpu, linear + inPage, size - inPage, mmu) << (inPage << 3));
  }
  const entry = entryOf(cpu, linear, mmu);
  if (revive(cpu, linear, mmu) && load<u64>(entry + TLB_READ) === tagOf(cpu, linear, size)) {
    return readHost(hostIn(entry, linear), size);
  }
  if (!fill(cpu, linear, ACCESS_READ, mmu)) return 0;
  const phys = walkPhys;
  dataBreakpoint(cpu, linear, size, false);
  return physRead(cpu, phys, size);
}

/** A part of an access that crosses pages: 1 to 7 bytes inside one page. */
function slowLoadPart(cpu: usize, linear: u64, bytes: u32, mmu: u32): u64 {
  if (!fill(cpu, linear, ACCESS_READ, mmu)) return 0;
  const phys = walkPhys;
  let value: u64 = 0;
  for (let i: u32 = 0; i < bytes; i++) value |= physRead(cpu, phys + i, 1) << (i << 3);
  return value;
}

export function ldU8(cpu: usize, linear: u64, mmu: u32): u64 {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_READ) === tagOf(cpu, linear, 1)) {
    return <u64>load<u8>(hostIn(entry, linear));
  }
  return slowLoad(cpu, linear, 1, mmu);
}
export function ldU16(cpu: usize, linear: u64, mmu: u32): u64 {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_READ) === tagOf(cpu, linear, 2)) {
    return <u64>load<u16>(hostIn(entry, linear));
  }
  return slowLoad(cpu, linear, 2, mmu);
}
export function ldU32(cpu: usize, linear: u64, mmu: u32): u64 {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_READ) === tagOf(cpu, linear, 4)) {
    return <u64>load<u32>(hostIn(entry, linear));
  }
  return slowLoad(cpu, linear, 4, mmu);
}
export function ldU64(cpu: usize, linear: u64, mmu: u32): u64 {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_READ) === tagOf(cpu, linear, 8)) {
    return load<u64>(hostIn(entry, linear));
  }
  return slowLoad(cpu, linear, 8, mmu);
}

// ---------------------------------------------------------------- stores

function slowStore(cpu: usize, linear: u64, size: u32, value: u64, mmu: u32): void {
  const inPage: u32 = 4096 - (<u32>linear & 0xfff);
  if (size > inPage) {
    const low = cachedHost(cpu, linear, TLB_WRITE, mmu);
    const high = cachedHost(cpu, linear + inPage, TLB_WRITE, mmu);
    if (low && high) {
      for (let i: u32 = 0; i < size; i++) {
        const at = i < inPage ? low + i : high + (i - inPage);
        store<u8>(at, <u8>(value >> (i << 3)));
      }
      return;
    }
    // Both pages must be writable before the first byte changes.
    if (endsOutside(cpu, linear, size) || !fill(cpu, linear, ACCESS_WRITE, mmu)) return;
    const first = walkPhys;
    if (!fill(cpu, linear + inPage, ACCESS_WRITE, mmu)) return;
    const second = walkPhys;
    if (restarts(cpu, first, inPage) || restarts(cpu, second, size - inPage)) return;
    dataBreakpoint(cpu, linear, size, true);
    for (let i: u32 = 0; i < size; i++) {
      physWrite(cpu, i < inPage ? first + i : second + (i - inPage), 1, (value >> (i << 3)) & 0xff);
    }
    return;
  }
  const entry = entryOf(cpu, linear, mmu);
  if (revive(cpu, linear, mmu) && load<u64>(entry + TLB_WRITE) === tagOf(cpu, linear, size)) {
    writeHost(hostIn(entry, linear), size, value);
    return;
  }
  if (load<u32>(entry + TLB_FLAGS) & TLBFLAG_WATCHED && load<u64>(entry + TLB_READ) === tagOf(cpu, linear, size)) {
    const host = hostIn(entry, linear);
    const machine = <usize>load<u32>(cpu + VCPU_MACHINE);
    if (hitsRunningCode(machine, host, size)) {
      store<u32>(cpu + VCPU_FAULT_PENDING, FAULT_RESTART);
      return;
    }
    writeHost(host, size, value);
    dirtyAndCode(machine, host, size);
    if (load<u32>(<usize>load<u32>(machine + MACHINE_CODE_PAGES) + ((host >> 12) << 2)) === 0) {
      store<u32>(entry + TLB_FLAGS, load<u32>(entry + TLB_FLAGS) & ~TLBFLAG_WATCHED);
      store<u64>(entry + TLB_WRITE, load<u64>(entry + TLB_READ));
      markWritable(machine, host >> 12);
    }
    return;
  }
  if (!fill(cpu, linear, ACCESS_WRITE, mmu)) return;
  const phys = walkPhys;
  if (restarts(cpu, phys, size)) return;
  dataBreakpoint(cpu, linear, size, true);
  physWrite(cpu, phys, size, value);
}

/** Asks for the running instruction to be started alone when its write would change the code it is part of. */
function restarts(cpu: usize, phys: u64, size: u32): bool {
  const host = physHost(cpu, phys);
  if (!host || !hitsRunningCode(<usize>load<u32>(cpu + VCPU_MACHINE), host, size)) return false;
  store<u32>(cpu + VCPU_FAULT_PENDING, FAULT_RESTART);
  return true;
}

export function stU8(cpu: usize, linear: u64, value: u64, mmu: u32): void {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_WRITE) === tagOf(cpu, linear, 1)) {
    store<u8>(hostIn(entry, linear), <u8>value);
  } else slowStore(cpu, linear, 1, value, mmu);
}
export function stU16(cpu: usize, linear: u64, value: u64, mmu: u32): void {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_WRITE) === tagOf(cpu, linear, 2)) {
    store<u16>(hostIn(entry, linear), <u16>value);
  } else slowStore(cpu, linear, 2, value, mmu);
}
export function stU32(cpu: usize, linear: u64, value: u64, mmu: u32): void {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_WRITE) === tagOf(cpu, linear, 4)) {
    store<u32>(hostIn(entry, linear), <u32>value);
  } else slowStore(cpu, linear, 4, value, mmu);
}
export function stU64(cpu: usize, linear: u64, value: u64, mmu: u32): void {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_WRITE) === tagOf(cpu, linear, 8)) {
    store<u64>(hostIn(entry, linear), value);
  } else slowStore(cpu, linear, 8, value, mmu);
}

/** True when `bytes` (1 to 4096) at `linear` can be written; else a fault is recorded. */
export function probeWrite(cpu: usize, linear: u64, bytes: u32, mmu: u32): bool {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_WRITE) === tagOf(cpu, linear, bytes)) return true;
  const last = linear + <u64>(bytes - 1);
  if (((linear ^ last) & PAGE_MASK) === 0) {
    if (revive(cpu, linear, mmu) && load<u64>(entry + TLB_WRITE) === tagOf(cpu, linear, bytes)) return true;
    return fill(cpu, linear, ACCESS_WRITE, mmu);
  }
  if (endsOutside(cpu, linear, bytes) || !fill(cpu, linear, ACCESS_WRITE, mmu)) return false;
  return fill(cpu, last & PAGE_MASK, ACCESS_WRITE, mmu);
}

/**
 * The same for an operand that its instruction will write for certain: neither will that write have to start the instruction
 * anew, so the flags and registers may change before it.
 */
export function probeModify(cpu: usize, linear: u64, bytes: u32, mmu: u32): bool {
  const entry = entryOf(cpu, linear, mmu);
  const wanted = tagOf(cpu, linear, bytes);
  if (load<u64>(entry + TLB_WRITE) === wanted) return true;
  if (load<u32>(entry + TLB_FLAGS) & TLBFLAG_WATCHED && load<u64>(entry + TLB_READ) === wanted) {
    const host = hostIn(entry, linear);
    if (!hitsRunningCode(<usize>load<u32>(cpu + VCPU_MACHINE), host, bytes)) return true;
    store<u32>(cpu + VCPU_FAULT_PENDING, FAULT_RESTART);
    return false;
  }
  if (!probeWrite(cpu, linear, bytes, mmu)) return false;
  if (load<u64>(entry + TLB_WRITE) === wanted) return true;
  const inPage: u32 = min<u32>(bytes, 4096 - (<u32>linear & 0xfff));
  const last = walkPhys;
  if (inPage === bytes) return !restarts(cpu, last, bytes);
  if (!fill(cpu, linear, ACCESS_WRITE, mmu)) return false;
  return !restarts(cpu, walkPhys, inPage) && !restarts(cpu, last, bytes - inPage);
}

/** True when `bytes` (1 to 4096) at `linear` can be read; else a fault is recorded. */
export function probeRead(cpu: usize, linear: u64, bytes: u32, mmu: u32): bool {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_READ) === tagOf(cpu, linear, bytes)) return true;
  const last = linear + <u64>(bytes - 1);
  if (((linear ^ last) & PAGE_MASK) === 0) {
    if (revive(cpu, linear, mmu) && load<u64>(entry + TLB_READ) === tagOf(cpu, linear, bytes)) return true;
    return fill(cpu, linear, ACCESS_READ, mmu);
  }
  if (endsOutside(cpu, linear, bytes) || !fill(cpu, linear, ACCESS_READ, mmu)) return false;
  return fill(cpu, last & PAGE_MASK, ACCESS_READ, mmu);
}

/**
 * Linear-memory address for bulk reads from `linear` to the end of its page; 0 when the page is a device's (use the
 * element loads) or a fault has been recorded.
 */
export function bulkRead(cpu: usize, linear: u64, mmu: u32): usize {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_READ) !== tagOf(cpu, linear, 1)) {
    const alive = revive(cpu, linear, mmu) && load<u64>(entry + TLB_READ) === tagOf(cpu, linear, 1);
    if (!alive && !fill(cpu, linear, ACCESS_READ, mmu)) return 0;
    if (load<u64>(entry + TLB_READ) !== tagOf(cpu, linear, 1)) return 0;
  }
  return hostIn(entry, linear);
}

/** The same for bulk writes; 0 also when writes to the page must be seen one by one. */
export function bulkWrite(cpu: usize, linear: u64, mmu: u32): usize {
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_WRITE) !== tagOf(cpu, linear, 1)) {
    const alive = revive(cpu, linear, mmu) && load<u64>(entry + TLB_WRITE) === tagOf(cpu, linear, 1);
    if (!alive && !fill(cpu, linear, ACCESS_WRITE, mmu)) return 0;
    if (load<u64>(entry + TLB_WRITE) !== tagOf(cpu, linear, 1)) return 0;
  }
  return hostIn(entry, linear);
}

/** Linear-memory address of the code at `linear`; 0: a fault is recorded, 1: the code is not in RAM or ROM. */
export function fetchHost(cpu: usize, linear: u64): usize {
  const mmu: u32 = load<u32>(cpu + VCPU_MMU_INDEX) === 1 ? 1 : 0;
  const entry = entryOf(cpu, linear, mmu);
  if (load<u64>(entry + TLB_EXECUTE) !== tagOf(cpu, linear, 1)) {
    const alive = revive(cpu, linear, mmu) && load<u64>(entry + TLB_EXECUTE) === tagOf(cpu, linear, 1);
    if (!alive && !fill(cpu, linear, ACCESS_EXECUTE, mmu)) return 0;
    if (load<u64>(entry + TLB_EXECUTE) !== tagOf(cpu, linear, 1)) {
      const host = physHost(cpu, walkPhys);
      return host ? host : 1;
    }
  }
  return hostIn(entry, linear);
}
