/**
 * From the ops that a translator wrote to a block. Constant operands become immediates; writes that nobody can see go (temporaries;
 * lazy flags and registers overwritten before anything reads or observes them); the ops close up, and get the codes by which the
 * interpreter does several at once (src/ir/fusion.ts). Once for each block, and at a start for thousands that run a few times: so it
 * is here, where the engine's first compiler makes code that is fast at once.
 */
// hot path
import {
  BLOCK_BYTES,
  BLOCK_HOST,
  BLOCK_HOST2,
  BLOCK_INSTRUCTIONS,
  BLOCK_MODE,
  BLOCK_OPS,
  BLOCK_SIZE,
  MAX_BLOCK_OPS,
  TEMP_COUNT,
  VCPU_FLAG_OP,
  VCPU_FLAG_RES,
  VCPU_FLAG_SRC,
  VCPU_FLAG_SRC2,
  VCPU_SIZE,
  VCPU_TEMPS,
} from '../generated/layout';
import {
  EFFECT_OBSERVES,
  EFFECT_READS_A,
  EFFECT_READS_B,
  EFFECT_READS_FLAGS,
  EFFECT_READS_IMM_SLOT,
  EFFECT_REMOVABLE,
  EFFECT_WRITES_DST,
  EFFECTS,
  EXCHANGED,
  FUSION_CHILD,
  FUSION_CODE,
  FUSION_IF,
  FUSION_KEY,
  FUSION_ROOT,
  FUSION_SIBLING,
  FUSION_SINGLE,
  NARROW,
  SKIP_WORD,
  STATE,
  WITH_IMMEDIATE,
} from '../generated/op-tables';
import { OP_CALLF, OP_FLAGS, OP_GOTO, OP_MOV, OP_MOVI, OP_NOP, OP_VCALL, OP_VCALLF } from '../generated/ops';
import { X86_SIZE } from '../generated/x86';
import { addBlock } from './code';

const OP_BYTES: usize = 16;
const TEMP0: u32 = <u32>VCPU_TEMPS / 8;
const FIRST_STATE: u32 = <u32>VCPU_SIZE / 8;
const FLAG_OP: u32 = <u32>VCPU_FLAG_OP / 8;
const FLAG_RES: u32 = <u32>VCPU_FLAG_RES / 8;
const FLAG_SRC: u32 = <u32>VCPU_FLAG_SRC / 8;
const FLAG_SRC2: u32 = <u32>VCPU_FLAG_SRC2 / 8;
const MAX_DEPTH = 256;

/** How deep in bodies of `if_…` each op is, a u8 each; where those end, a u32 each. */
const depthOf = memory.data(MAX_BLOCK_OPS);
const bodyEnds = memory.data(MAX_DEPTH * 4, 4);

/** Temporaries with a known value, a u32 and a u64 each: valid when the stamp is the current one. */
const constantStamp = memory.data(TEMP_COUNT * 4, 4);
const constantValue = memory.data(TEMP_COUNT * 8, 8);
let stamp: u32 = 0;

/** A guest slot is dead (overwritten before it is read or observed) while its mark, a u32 each, is the current period. */
const deadMark = memory.data(<i32>X86_SIZE / 2, 4);
let period: u32 = 0;
const liveTemps = memory.data(TEMP_COUNT, 4);
/** Ops kept from each index on, a u32 each. */
const keptFrom = memory.data((MAX_BLOCK_OPS + 1) * 4, 4);

function opAt(ops: usize, i: u32): usize {
  return ops + <usize>i * OP_BYTES;
}
function effectsOf(op: u32): u32 {
  return load<u8>(EFFECTS + <usize>op);
}
/** For an if: where in the op the number of ops is that it may skip; else 0. */
function skipField(op: u32): usize {
  return (<usize>load<u8>(SKIP_WORD + <usize>op)) << 2;
}
function isTemp(slot: u32): bool {
  return slot - TEMP0 < TEMP_COUNT;
}
function constantOf(slot: u32): i64 {
  return load<i64>(constantValue + ((<usize>(slot - TEMP0)) << 3));
}

/** Whether a slot is a constant that an immediate can stand for: one that is sign-extended from 32 bits. */
function isImmediate(slot: u32, narrow: bool): bool {
  if (!isTemp(slot) || load<u32>(constantStamp + ((<usize>(slot - TEMP0)) << 2)) !== stamp) return false;
  const value = constantOf(slot);
  return narrow || value === <i64>(<i32>value);
}

/** Gives the op at `at` the immediate that one of its operands is, if one is. */
function foldOperand(at: usize, op: u32, immediate: u32): void {
  const narrow = load<u8>(NARROW + <usize>op) !== 0;
  let a = <u32>load<u16>(at, 4);
  let b = <u32>load<u16>(at, 6);
  if (load<u8>(EXCHANGED + <usize>op) && !isImmediate(b, narrow) && isImmediate(a, narrow)) {
    const first = a;
    a = b;
    b = first;
  }
  if (!isImmediate(b, narrow)) return;
  store<u16>(at, <u16>immediate);
  store<u32>(at, a, 4);
  if (skipField(op)) store<u32>(at, load<u32>(at, 8), 12);
  store<u32>(at, <u32>constantOf(b), 8);
}

/** Constant operands become immediates; notes how deep each op is on the way. */
function foldConstants(ops: usize, count: u32): void {
  stamp++;
  let depth: usize = 0;
  for (let i: u32 = 0; i < count; i++) {
    while (depth > 0 && i >= load<u32>(bodyEnds + ((depth - 1) << 2))) {
      // Behind a body that may or may not have run: what it changed is unknown, and so, simply, is everything.
      depth--;
      stamp++;
    }
    store<u8>(depthOf + <usize>i, <u8>depth);
    const at = opAt(ops, i);
    const op = <u32>load<u16>(at);
    const immediate = <u32>load<u16>(WITH_IMMEDIATE + ((<usize>op) << 1));
    if (immediate) foldOperand(at, op, immediate);
    const skip = skipField(<u32>load<u16>(at));
    if (skip) store<u32>(bodyEnds + (depth++ << 2), i + 1 + load<u32>(at + skip));
    const dst = <u32>load<u16>(at, 2);
    if (!isTemp(dst) || !(effectsOf(op) & EFFECT_WRITES_DST)) continue;
    store<u32>(constantStamp + ((<usize>(dst - TEMP0)) << 2), op === OP_MOVI ? stamp : 0);
    store<i64>(constantValue + ((<usize>(dst - TEMP0)) << 3), load<i64>(at, 8));
  }
}

function isDead(slot: u32): bool {
  if (isTemp(slot)) return load<u8>(liveTemps + <usize>(slot - TEMP0)) === 0;
  return load<u32>(deadMark + ((<usize>slot) << 2)) === period;
}
function reads(slot: u32): void {
  if (isTemp(slot)) store<u8>(liveTemps + <usize>(slot - TEMP0), 1);
  else store<u32>(deadMark + ((<usize>slot) << 2), 0);
}
/** A write that happens whenever the ops behind it are reached. */
function overwrites(slot: u32): void {
  if (isTemp(slot)) store<u8>(liveTemps + <usize>(slot - TEMP0), 0);
  else if (slot >= FIRST_STATE || (slot >= FLAG_OP && slot <= FLAG_SRC2))
    store<u32>(deadMark + ((<usize>slot) << 2), period);
}

/** Ops without a visible effect become `nop`; counts those kept. */
function removeDead(ops: usize, count: u32): void {
  period++;
  memory.fill(liveTemps, 0, TEMP_COUNT);
  let kept: u32 = 0;
  store<u32>(keptFrom + ((<usize>count) << 2), 0);
  for (let i = count; i-- > 0; ) {
    const at = opAt(ops, i);
    const op = <u32>load<u16>(at);
    const effects = effectsOf(op);
    const dst = <u32>load<u16>(at, 2);
    const skip = skipField(op);
    let keep: bool = op !== OP_NOP;
    if (skip) keep = kept !== load<u32>(keptFrom + ((<usize>(i + 1 + load<u32>(at + skip))) << 2));
    else if (op === OP_FLAGS) keep = !(isDead(FLAG_OP) && isDead(FLAG_RES) && isDead(FLAG_SRC));
    else if (effects & EFFECT_REMOVABLE) keep = !isDead(dst) && !(op === OP_MOV && dst === <u32>load<u16>(at, 4));
    if (keep) {
      kept++;
      if (load<u8>(depthOf + <usize>i) === 0) {
        if (effects & EFFECT_WRITES_DST) overwrites(dst);
        else if (op === OP_FLAGS) {
          overwrites(FLAG_OP);
          overwrites(FLAG_RES);
          overwrites(FLAG_SRC);
        }
      }
      // Whoever observes does so before the op's own result is there: a load that faults has not written its register.
      // Vector helpers read vector state without saying which: to them, too, everything is visible.
      if (effects & EFFECT_OBSERVES || op === OP_VCALL) period++;
      const vector: bool = op === OP_VCALL || op === OP_VCALLF;
      if (vector || effects & EFFECT_READS_A) reads(<u32>load<u16>(at, 4));
      if (vector || effects & EFFECT_READS_B) reads(<u32>load<u16>(at, 6));
      if (effects & EFFECT_READS_IMM_SLOT) reads(load<u32>(at, 8));
      if (effects & EFFECT_READS_FLAGS) {
        reads(FLAG_OP);
        reads(FLAG_RES);
        reads(FLAG_SRC);
        reads(FLAG_SRC2);
      }
      // State reached by byte offset; a partial write leaves the rest of the slot to be seen as well.
      if (load<u8>(STATE + <usize>op)) reads(load<u32>(at, 8) >> 3);
    } else store<u32>(at, OP_NOP);
    store<u32>(keptFrom + ((<usize>i) << 2), kept);
  }
}

/** Copies all but the `nop`s to `to`, which may be `ops`; gives how many. */
function compact(ops: usize, count: u32, to: usize): u32 {
  let next = to;
  for (let i: u32 = 0; i < count; i++) {
    const at = opAt(ops, i);
    const op = <u32>load<u16>(at);
    if (op === OP_NOP) continue;
    const skip = skipField(op);
    if (skip) {
      const end = i + 1 + load<u32>(at + skip);
      const left = load<u32>(keptFrom + ((<usize>(i + 1)) << 2)) - load<u32>(keptFrom + ((<usize>end) << 2));
      store<u32>(at + skip, left);
    }
    v128.store(next, v128.load(at));
    next += OP_BYTES;
  }
  return <u32>((next - to) / OP_BYTES);
}

/** Runs all passes on `count` ops; gives how many are left. */
export function optimise(ops: usize, count: u32): u32 {
  foldConstants(ops, count);
  removeDead(ops, count);
  return compact(ops, count, ops);
}

/** The op of number `i` without its code; behind the last: one that is in no sequence. */
function plainOp(ops: usize, i: u32, count: u32): u32 {
  return i < count ? <u32>load<u8>(opAt(ops, i)) : OP_NOP;
}

/** The code of the longest sequence that begins at op number `start`, else that of the op alone. */
function codeAt(ops: usize, start: u32, count: u32): u32 {
  let code = <u32>load<u8>(FUSION_SINGLE + <usize>plainOp(ops, start, count));
  let node: usize = 0;
  for (let i = start; i < count; ) {
    const at = opAt(ops, i);
    const op = <u32>load<u8>(at);
    const form = load<u8>(FUSION_IF + <usize>op);
    let manner: u32 = 0;
    let next = i + 1;
    if (form) {
      const skip = load<u32>(at + 4 + ((<usize>form) << 2));
      if (plainOp(ops, next, count) === OP_CALLF) {
        manner = 1;
        next += skip;
      } else if (skip === 1 && plainOp(ops, next, count) === OP_GOTO && plainOp(ops, next + 1, count) === OP_GOTO)
        manner = 2;
    }
    const key = op | (manner << 8);
    node = load<u16>((i === start ? FUSION_ROOT + ((<usize>key) << 1) : FUSION_CHILD + (node << 1)) as usize);
    while (node && <u32>load<u16>(FUSION_KEY + (node << 1)) !== key) node = load<u16>(FUSION_SIBLING + (node << 1));
    if (!node) break;
    const found = <u32>load<u8>(FUSION_CODE + node);
    if (found) code = found;
    i = next;
  }
  return code;
}

/** Puts the codes into the second bytes of `count` ops. */
export function fuse(ops: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) store<u8>(opAt(ops, i), <u8>codeAt(ops, i, count), 1);
}

/**
 * Makes the block at `block` of `count` ops, for which there is room, and enters it. `extent`: guest bytes, and instructions in the
 * upper half. Gives how many ops it has. The ops at `ops` are used up.
 */
export function makeBlock(
  machine: usize,
  block: usize,
  ops: usize,
  count: u32,
  host: u32,
  mode: u32,
  extent: u32,
  host2: u32,
): u32 {
  foldConstants(ops, count);
  removeDead(ops, count);
  const kept = compact(ops, count, block + BLOCK_SIZE);
  fuse(block + BLOCK_SIZE, kept);
  memory.fill(block, 0, BLOCK_SIZE);
  store<u32>(block + BLOCK_HOST, host);
  store<u32>(block + BLOCK_MODE, mode);
  store<u32>(block + BLOCK_OPS, kept);
  store<u32>(block + BLOCK_HOST2, host2);
  store<u16>(block + BLOCK_BYTES, <u16>extent);
  store<u16>(block + BLOCK_INSTRUCTIONS, <u16>(extent >> 16));
  addBlock(machine, block);
  return kept;
}
