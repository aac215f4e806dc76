/** Guest memory accesses: the inline TLB lookup, with the region's side exit as the way out of every other case. */
// hot path
import { JUMP_CACHE_ENTRIES, JUMP_ENTRY, TLB_ENTRIES, TLB_ENTRY, VCPU } from '../ir/layout.js';
import { OP, OPS } from '../ir/ops.js';
import type { PageMemory } from './groups.js';
import { KIND, Kind } from './lower-alu.js';
import { Local, type Values } from './values.js';
import { V, ValType, VOID, W } from './wasm/opcodes.js';

const READ = TLB_ENTRY.at['read'] as number;
const WRITE = TLB_ENTRY.at['write'] as number;
const ADDEND = TLB_ENTRY.at['addend'] as number;
/** log2 of an entry's size: the index is scaled by shifting the address less. */
const ENTRY_SHIFT = 31 - Math.clz32(TLB_ENTRY.size);
const TABLE_BYTES = TLB_ENTRIES * TLB_ENTRY.size;

/** By op code: bytes accessed. */
export const SIZE = new Uint8Array(OPS.length);
/** By op code: needs write permission. */
export const WRITES = new Uint8Array(OPS.length);
/** By op code: offset in a TLB entry of the tag to compare with. */
const TAG = new Uint8Array(OPS.length);
/** By op code: the load or store instruction. */
const ACCESS = new Uint8Array(OPS.length);
/** By op code: the loaded value's high half is zero. */
const ZERO_EXTENDS = new Uint8Array(OPS.length);
/** By op code: a misaligned address is a fault. */
const ALIGNED = new Uint8Array(OPS.length);

const LOADS: Readonly<Record<string, number>> = {
  '8u': W.i64Load8U,
  '8s': W.i64Load8S,
  '16u': W.i64Load16U,
  '16s': W.i64Load16S,
  '32u': W.i64Load32U,
  '32s': W.i64Load32S,
  '64': W.i64Load,
};
const STORES: Readonly<Record<string, number>> = {
  '8': W.i64Store8,
  '16': W.i64Store16,
  '32': W.i64Store32,
  '64': W.i64Store,
};
for (const [code, o] of OPS.entries()) {
  const parts = /^(ldm|ld|st)(8|16|32|64|128|256)([usa]?)$/.exec(o.name);
  if (parts === null) continue;
  const [, what, bits, suffix] = parts as unknown as [string, string, string, string];
  const bytes = Number(bits) / 8;
  SIZE[code] = bytes;
  TAG[code] = what === 'ld' ? READ : WRITE;
  WRITES[code] = what === 'ld' ? 0 : 1;
  if (bytes > 8) {
    KIND[code] = what === 'st' ? Kind.storeVector : Kind.loadVector;
    ALIGNED[code] = suffix === 'a' ? 1 : 0;
  } else if (what === 'st') {
    KIND[code] = Kind.store;
    ACCESS[code] = STORES[bits] as number;
  } else {
    KIND[code] = Kind.load;
    ACCESS[code] = LOADS[what === 'ldm' && bytes < 8 ? `${bits}u` : `${bits}${suffix}`] as number;
    ZERO_EXTENDS[code] = suffix !== 's' && bytes < 8 ? 1 : 0;
  }
}

WRITES[OP.probew] = 1;
TAG[OP.probew] = WRITE;

/** Does the op access guest memory, or ask whether it may? */
export function isAccess(op: number): boolean {
  return (KIND[op] as number) >= Kind.load || op === OP.probew;
}
/** How many bytes. `ab`: the op's second word. */
export function accessSize(op: number, ab: number): number {
  return op === OP.probew ? ab >>> 16 : (SIZE[op] as number);
}

/** (Re-)reads what the TLB lookup keeps in locals. */
export function loadTlbBase(v: Values): void {
  if (v.tlb === 0) {
    v.pushState();
    v.state(W.i32Load, 2, VCPU.at['tlb'] as number);
    v.pushState();
    v.state(W.i32Load, 2, VCPU.at['mmuIndex'] as number);
    v.i32(TABLE_BYTES);
    v.op(W.i32Mul);
    v.op(W.i32Add);
    v.setLocal(Local.tlb);
  }
  v.pushState();
  v.state(W.i64Load32U, 2, VCPU.at['tlbGeneration'] as number);
  v.setLocal(Local.generation);
}

/** A memory access of an op: its operands, the way out, and its place in a group. */
export class Access {
  op = 0;
  /** Linear address: slot[a] + imm. */
  a = 0;
  imm = 0;
  /** Value of the side exit for the op, and the distance of its label. */
  exitLow = 0;
  exitHigh = 0;
  label = 0;
  /** Function that fills the TLB; -1: a miss is a side exit. */
  fill = -1;
  /** Local that holds the linear-memory address of the group's base, or 0 when each access checks for itself; 0: no group. */
  base = 0;
  /** Function that gives the address of a group's range that misses the TLB; -1: too little in it is certain to be accessed. */
  open = -1;
  /** The access's distance from that base. */
  offset = 0;
  /** In a loop: the page of the last time round. */
  memory: PageMemory | undefined;
}

/**
 * Pushes what to compare with the tag of the TLB entry for `Local.linear`, which is on the stack, and the entry's tag:
 * equal when all of `size` bytes may be accessed. Leaves `Local.address` (low half of the linear address) and `Local.entry`
 * (from the table, where that has a constant address).
 */
function pushTags(v: Values, size: number, tag: number): void {
  v.teeLocal(Local.linear);
  if (size > 1) {
    v.i64(size - 1, 0);
    v.op(W.i64Add);
  }
  v.i64(-4096, -1);
  v.op(W.i64And);
  v.getLocal(Local.generation);
  v.op(W.i64Or);
  v.getLocal(Local.linear);
  v.op(W.i32WrapI64);
  v.teeLocal(Local.address);
  v.i32(12 - ENTRY_SHIFT);
  v.op(W.i32ShrU);
  v.i32((TLB_ENTRIES - 1) << ENTRY_SHIFT);
  v.op(W.i32And);
  if (v.tlb === 0) {
    v.getLocal(Local.tlb);
    v.op(W.i32Add);
  }
  v.teeLocal(Local.entry);
  v.memory(W.i64Load, 3, v.tlb + tag);
}

/** Pushes the linear address of an access. */
function pushLinear(v: Values, access: Access): void {
  v.get(access.a);
  if (access.imm !== 0) {
    v.i64(access.imm, access.imm >> 31);
    v.op(W.i64Add);
  }
}

const CELLS = VCPU.at['pageMemories'] as number;

/** Pushes the remembered page, or what to add to an address in it. */
function pushMemory(v: Values, { cell, page, addend }: PageMemory, what: 'page' | 'addend'): void {
  if (cell < 0) v.getLocal(what === 'page' ? page : addend);
  else {
    v.pushState();
    if (what === 'page') v.state(W.i64Load, 3, CELLS + cell * 16);
    else v.state(W.i32Load, 2, CELLS + cell * 16 + 8);
  }
}
/** Remembers what `push` pushes. */
function setMemory(v: Values, { cell, page, addend }: PageMemory, what: 'page' | 'addend', push: () => void): void {
  if (cell >= 0) v.pushState();
  push();
  if (cell < 0) v.setLocal(what === 'page' ? page : addend);
  else if (what === 'page') v.state(W.i64Store, 3, CELLS + cell * 16);
  else v.state(W.i32Store, 2, CELLS + cell * 16 + 8);
}

/** Before a loop: the remembered page is none. */
export function forgetPage(v: Values, memory: PageMemory): void {
  setMemory(v, memory, 'page', () => v.i64(1, 0));
}

/** Pushes the linear-memory address for an access, or takes the side exit. `label`: its distance here. */
function translate(v: Values, access: Access, size: number, tag: number, label: number): void {
  const { memory } = access;
  if (memory === undefined) {
    lookUp(v, access, size, tag, label);
    return;
  }
  pushLinear(v, access);
  v.teeLocal(Local.linear);
  if (size > 1) {
    v.i64(size - 1, 0);
    v.op(W.i64Add);
  }
  v.i64(-4096, -1);
  v.op(W.i64And);
  pushMemory(v, memory, 'page');
  v.op(W.i64Eq);
  v.likelyIf(ValType.i32);
  v.getLocal(Local.linear);
  v.op(W.i32WrapI64);
  pushMemory(v, memory, 'addend');
  v.op(W.i32Add);
  v.op(W.else);
  lookUp(v, access, size, tag, label + 1);
  v.setLocal(Local.address);
  setMemory(v, memory, 'addend', () => {
    v.getLocal(Local.address);
    v.getLocal(Local.linear);
    v.op(W.i32WrapI64);
    v.op(W.i32Sub);
  });
  setMemory(v, memory, 'page', () => {
    v.getLocal(Local.linear);
    v.i64(-4096, -1);
    v.op(W.i64And);
  });
  v.getLocal(Local.address);
  v.op(W.end);
}

/** The same through the TLB. */
function lookUp(v: Values, access: Access, size: number, tag: number, label: number): void {
  const fills = access.fill >= 0;
  if (!fills) v.i64(access.exitLow, access.exitHigh);
  pushLinear(v, access);
  pushTags(v, size, tag);
  if (!fills) {
    v.op(W.i64Ne);
    v.unlikelyBranch(label);
    v.op(W.drop);
    pushAddress(v);
    return;
  }
  v.op(W.i64Eq);
  v.likelyIf(ValType.i32);
  pushAddress(v);
  v.op(W.else);
  v.i64(access.exitLow, access.exitHigh);
  v.pushCpu();
  v.getLocal(Local.linear);
  callFill(v, access.fill, size, tag === WRITE, label + 1);
  v.op(W.end);
}

/**
 * Takes the vCPU and a linear address off the stack and pushes the linear-memory address that `fill` gives. `leave`: the side exit's
 * value is below; that is taken when there is no address.
 */
function callFill(v: Values, fill: number, size: number, writes: boolean, leave = -1): void {
  v.i32(size);
  v.i32(writes ? 1 : 0);
  v.op(W.call);
  v.code.uleb(fill);
  if (leave < 0) return;
  v.teeLocal(Local.address);
  v.op(W.i32Eqz);
  v.unlikelyBranch(leave);
  v.op(W.drop);
  v.getLocal(Local.address);
}

/** Pushes the linear-memory address after `pushTags`. */
function pushAddress(v: Values): void {
  v.getLocal(Local.address);
  v.getLocal(Local.entry);
  v.memory(W.i32Load, 2, v.tlb + ADDEND);
  v.op(W.i32Add);
}

/** Whether the base of the access's group is never 0: the region is left in that case. */
function isSure(access: Access): boolean {
  return access.open >= 0 && access.fill < 0;
}

/**
 * Checks the range of a group: [access + from, + size). Its base local becomes the linear-memory address of the range. When it
 * misses the TLB or straddles pages, `open` is called; what that does not have is a side exit if the group `isSure`, else 0.
 * `narrow`: addresses are cut to 32 bits.
 */
export function openGroup(
  v: Values,
  access: Access,
  from: number,
  size: number,
  writes: boolean,
  narrow: boolean,
): void {
  const add = access.imm + from;
  if (narrow) {
    v.get32(access.a);
    v.i32(add);
    v.op(W.i32Add);
    v.op(W.i64ExtendI32U);
  } else {
    v.get(access.a);
    v.i64(add, add >> 31);
    v.op(W.i64Add);
  }
  pushTags(v, size, writes ? WRITE : READ);
  v.op(W.i64Eq);
  if (access.open < 0) {
    v.setLocal(Local.scratch);
    pushAddress(v);
    v.i32(0);
    v.getLocal(Local.scratch);
    v.op(W.select);
    v.setLocal(access.base);
    return;
  }
  v.likelyIf(ValType.i32);
  pushAddress(v);
  v.op(W.else);
  const sure = isSure(access);
  if (sure) v.i64(access.exitLow, access.exitHigh);
  v.pushCpu();
  v.getLocal(Local.linear);
  callFill(v, access.open, size, writes, sure ? access.label + 1 : -1);
  v.op(W.end);
  v.setLocal(access.base);
}

/** Makes an access by `emit`, with the address on the stack: at the base of its group, or where it is by itself. `type`: what it pushes. */
function inGroup(
  v: Values,
  access: Access,
  type: number,
  emit: (offset: number) => void,
  size = SIZE[access.op] as number,
): void {
  const { op, base } = access;
  const tag = TAG[op] as number;
  if (base === 0) {
    translate(v, access, size, tag, access.label);
    emit(0);
    return;
  }
  if (isSure(access)) {
    v.getLocal(base);
    emit(access.offset);
    return;
  }
  if (access.fill < 0) {
    // Of the checks of one base the engine keeps the first on each way.
    v.i64(access.exitLow, access.exitHigh);
    v.getLocal(base);
    v.op(W.i32Eqz);
    v.unlikelyBranch(access.label);
    v.op(W.drop);
    v.getLocal(base);
    emit(access.offset);
    return;
  }
  v.getLocal(base);
  v.likelyIf(type);
  v.getLocal(base);
  emit(access.offset);
  v.op(W.else);
  // The call looks into the TLB, too: a look in line would be most of the region's code, and hardly ever run.
  v.i64(access.exitLow, access.exitHigh);
  v.pushCpu();
  pushLinear(v, access);
  callFill(v, access.fill, size, tag === WRITE, access.label + 1);
  emit(0);
  v.op(W.end);
}

export function load(v: Values, access: Access, dst: number): void {
  const { op } = access;
  const instruction = ACCESS[op] as number;
  v.open(dst);
  // A side exit out of here drops what `open` pushed.
  inGroup(v, access, ValType.i64, (offset) => v.memory(instruction, 0, offset));
  v.set(dst, ZERO_EXTENDS[op] === 1);
}

/** Pushes the v128 that `instruction` loads: 8 or 4 bytes, zeros above. `halfOf`: a cell whose other half stays. */
function loadVectorPart(v: Values, access: Access, halfOf: number): void {
  const wide = (SIZE[access.op] as number) === 8;
  const instruction = halfOf !== 0 && wide ? V.load64Lane : wide ? V.load64Zero : V.load32Zero;
  inGroup(v, access, ValType.v128, (offset) => {
    if (halfOf !== 0 && wide) v.getLocal(v.cell(halfOf));
    v.simdMemory(instruction, offset);
    if (halfOf !== 0 && wide) v.code.u8(halfOf & 1);
  });
}

/** A load to the low half of a cell whose other half becomes zero. */
export function loadCell(v: Values, access: Access, dst: number): void {
  loadVectorPart(v, access, 0);
  v.setVector(dst);
}

/** A load to half of a cell. */
export function loadHalfCell(v: Values, access: Access, dst: number): void {
  const size = SIZE[access.op] as number;
  if (size === 8) loadVectorPart(v, access, dst);
  else if (access.op === OP.ld32u && (dst & 1) === 0) {
    loadVectorPart(v, access, 0);
    v.setLocal(Local.vector0);
    v.getLocal(v.cell(dst));
    v.getLocal(Local.vector0);
    v.simdLane(V.f64x2ExtractLane, 0);
    v.simdLane(V.f64x2ReplaceLane, 0);
  } else {
    load(v, access, dst);
    return;
  }
  v.setLocal(v.cell(dst));
  v.storeHalf(dst);
}

/** Stores the low bits of half a cell to the address on the stack. */
function storeFromCell(v: Values, size: number, value: number, offset: number): void {
  v.getLocal(v.cell(value));
  v.simdMemory(size === 8 ? V.store64Lane : V.store32Lane, offset);
  v.code.u8(size === 8 ? value & 1 : (value & 1) * 2);
}

export function store(v: Values, access: Access, value: number): void {
  const instruction = ACCESS[access.op] as number;
  const size = SIZE[access.op] as number;
  const fromCell = size >= 4 && v.cell(value) !== 0;
  inGroup(v, access, VOID, (offset) => {
    if (fromCell) storeFromCell(v, size, value, offset);
    else {
      v.get(value);
      v.memory(instruction, 0, offset);
    }
  });
}

/** Vector loads and stores between guest memory and the vector field at `slot`. */
export function moveVector(v: Values, access: Access, slot: number): void {
  const { op } = access;
  const size = SIZE[op] as number;
  inGroup(v, access, ValType.i32, (offset) => {
    if (offset === 0) return;
    v.i32(offset);
    v.op(W.i32Add);
  });
  v.setLocal(Local.address);
  if (ALIGNED[op] === 1) {
    v.i64(access.exitLow, access.exitHigh);
    v.getLocal(Local.address);
    v.i32(size - 1);
    v.op(W.i32And);
    v.unlikelyBranch(access.label);
    v.op(W.drop);
  }
  const isLoad = KIND[op] === Kind.loadVector;
  for (let at = 0; at < size; at += 16) {
    v.getLocal(Local.address);
    if (isLoad) {
      v.simdMemory(V.load, at);
      v.setVector(slot + at / 8);
    } else {
      v.getVector(slot + at / 8);
      v.simdMemory(V.store, at);
    }
  }
}

/**
 * Takes a linear address of code off the stack and pushes whether the jump cache does not say that `block` is there: the page
 * may be mapped elsewhere by now.
 */
export function pushIsElsewhere(v: Values, block: number): void {
  v.teeLocal(Local.linear);
  v.op(W.i32WrapI64);
  v.getLocal(Local.linear);
  v.i64(12, 0);
  v.op(W.i64ShrU);
  v.op(W.i32WrapI64);
  v.op(W.i32Xor);
  v.i32(JUMP_CACHE_ENTRIES - 1);
  v.op(W.i32And);
  v.i32(JUMP_ENTRY.size);
  v.op(W.i32Mul);
  if (v.jumpCache === 0) {
    v.pushState();
    v.state(W.i32Load, 2, VCPU.at['jumpCache'] as number);
    v.op(W.i32Add);
  }
  v.teeLocal(Local.entry);
  v.memory(W.i64Load, 3, v.jumpCache + (JUMP_ENTRY.at['pc'] as number));
  v.getLocal(Local.linear);
  v.op(W.i64Ne);
  v.getLocal(Local.entry);
  v.memory(W.i64Load, 3, v.jumpCache + (JUMP_ENTRY.at['mode'] as number));
  v.pushState();
  v.state(W.i64Load, 3, VCPU.at['mode'] as number);
  v.op(W.i64Ne);
  v.op(W.i32Or);
  v.getLocal(Local.entry);
  v.memory(W.i32Load, 2, v.jumpCache + (JUMP_ENTRY.at['block'] as number));
  v.i32(block);
  v.op(W.i32Ne);
  v.op(W.i32Or);
}

/** Takes the side exit unless `bytes` bytes at the access's address can be written without a check. */
export function probeWrite(v: Values, access: Access, bytes: number): void {
  if (bytes === 0 || (access.base !== 0 && isSure(access))) return;
  inGroup(v, access, VOID, () => v.op(W.drop), bytes);
}

/** Reads of vCPU state by byte offset: a slot that lives in a local is read there. */
export function loadState(v: Values, op: number, dst: number, offset: number): void {
  const bits = op === OP.env_ld8u ? 8 : op === OP.env_ld16u ? 16 : 32;
  const local = v.local(offset >>> 3);
  v.open(dst);
  if (local === 0) {
    v.pushState();
    v.state(bits === 8 ? W.i64Load8U : bits === 16 ? W.i64Load16U : W.i64Load32U, 0, offset);
  } else {
    v.getLocal(local);
    v.i64((offset & 7) * 8, 0);
    v.op(W.i64ShrU);
    v.i64(bits === 32 ? -1 : (1 << bits) - 1, 0);
    v.op(W.i64And);
  }
  v.set(dst, true);
}

export function storeState(v: Values, op: number, offset: number, a: number): void {
  const bits = op === OP.env_st8 ? 8 : op === OP.env_st16 ? 16 : 32;
  const slot = offset >>> 3;
  const local = v.local(slot);
  if (local === 0) {
    v.pushState();
    v.get(a);
    v.state(bits === 8 ? W.i64Store8 : bits === 16 ? W.i64Store16 : W.i64Store32, 0, offset);
    v.reloadCells(v.cellsIn(slot, 1));
    return;
  }
  // local = local with the field's bits replaced, by ((local rotated so that the field is lowest) & ~mask | a & mask)
  const shift = (offset & 7) * 8;
  const mask = bits === 32 ? -1 : (1 << bits) - 1;
  v.get(slot);
  v.i64(shift, 0);
  v.op(W.i64Rotr);
  v.i64(~mask, -1);
  v.op(W.i64And);
  v.get(a);
  v.i64(mask, 0);
  v.op(W.i64And);
  v.op(W.i64Or);
  v.i64(shift, 0);
  v.op(W.i64Rotl);
  v.set(slot);
}
