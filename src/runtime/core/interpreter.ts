/**
 * The cold tier: runs a block's ops one by one, and goes on from block to block inside a page.
 *
 * An op's operands are slots of the vCPU state, so the state in memory is exact after every op.
 *
 * The build puts the cases of all ops that compute values or touch memory, and of sequences of ops (tools/interpreter-ops.ts), in
 * place of the lines CODE_CASES and NUMBER_CASES below and compiles the result, src/runtime/generated/interpreter.ts.
 */
// hot path

import {
  BLOCK_BYTES,
  BLOCK_ENTRY,
  BLOCK_HEAT,
  BLOCK_HOST,
  BLOCK_HOST2,
  BLOCK_INSTRUCTIONS,
  BLOCK_MODE,
  BLOCK_RUNS,
  BLOCK_SIZE,
  BLOCK_VALID,
  JUMP_BLOCK,
  JUMP_MODE,
  JUMP_PC,
  MACHINE_HOT_THRESHOLD,
  MACHINE_ICOUNT,
  MACHINE_TRACE_MASK,
  VCPU_BLOCK_PC,
  VCPU_EXIT_REQUEST,
  VCPU_FAULT_PENDING,
  VCPU_FLAG_OP,
  VCPU_FLAG_RES,
  VCPU_FLAG_SRC,
  VCPU_FLAG_SRC2,
  VCPU_INSTRUCTION_BUDGET,
  VCPU_INSTRUCTION_COUNT,
  VCPU_JUMPED,
  VCPU_MACHINE,
  VCPU_MMU_INDEX,
  VCPU_MODE,
  VCPU_PC,
  VCPU_STAT_COLD_BLOCKS,
} from '../generated/layout';
import { CODE_EXIT, CODE_GOTO, CODE_JMP, CODE_LEAVE, EXIT_YIELD, JUMP_JUMP, OP_GOTO } from '../generated/ops';
import { MODE_BREAKPOINTS, MODE_CS_BASE, MODE_SINGLE } from '../generated/x86';
import { flagCondition } from '../x86/flags';
import { hot } from './env';
import { jumpEntry } from './jump-cache';
import { ldU64, probeRead, probeWrite, stU64, tlbOf } from './memory';

/** Results of `interpret`: look the pc up again; deliver the pending fault; ExitReason + RUN_EXIT. */
export const RUN_DISPATCH: u32 = 0;
export const RUN_FAULT: u32 = 1;
export const RUN_EXIT: u32 = 2;

/** The block being interpreted; 0xffffffff while compiled code runs. Writes that would change it restart their instruction. */
export let currentBlock: usize = 0;
/** The op (a `goto`) that left the last block and whose chain pointer the dispatcher may fill in; 0: none. */
export let chainFrom: usize = 0;

export function setCurrentBlock(block: usize): void {
  currentBlock = block;
}
export function clearChain(): void {
  chainFrom = 0;
}

/** May a `goto` of one block name the other: are both in one page and mode, each with all it has? */
export function mayChain(from: usize, to: usize): bool {
  return (
    !load<u32>(from + BLOCK_HOST2) &&
    !load<u32>(to + BLOCK_HOST2) &&
    ((load<u32>(from + BLOCK_HOST) ^ load<u32>(to + BLOCK_HOST)) & ~0xfff) === 0
  );
}

/** The block at a pc by the jump cache, if it is one for the interpreter; else 0. */
function nextBlock(cpu: usize, pc: u64): usize {
  const entry = jumpEntry(cpu, pc);
  if (load<u64>(entry + JUMP_PC) !== pc || load<u64>(entry + JUMP_MODE) !== load<u64>(cpu + VCPU_MODE)) return 0;
  const block = <usize>load<u32>(entry + JUMP_BLOCK);
  return load<u32>(block + BLOCK_VALID) && !load<u32>(block + BLOCK_ENTRY) ? block : 0;
}

/** Counts an entry of what may be the head of a region. */
function countHead(cpu: usize, machine: usize, block: usize): void {
  const heat = load<u32>(block + BLOCK_HEAT) + 1;
  store<u32>(block + BLOCK_HEAT, heat);
  if (heat === load<u32>(machine + MACHINE_HOT_THRESHOLD)) hot(block, cpu);
}

export function a(cpu: usize, ip: usize): u64 {
  return load<u64>(cpu + ((<usize>load<u16>(ip, 4)) << 3));
}
export function b(cpu: usize, ip: usize): u64 {
  return load<u64>(cpu + ((<usize>load<u16>(ip, 6)) << 3));
}
export function set(cpu: usize, ip: usize, value: u64): void {
  store<u64>(cpu + ((<usize>load<u16>(ip, 2)) << 3), value);
}
export function vectorD(cpu: usize, ip: usize): usize {
  return cpu + ((<usize>load<u16>(ip, 2)) << 3);
}
export function vectorA(cpu: usize, ip: usize): usize {
  return cpu + ((<usize>load<u16>(ip, 4)) << 3);
}
export function vectorB(cpu: usize, ip: usize): usize {
  return cpu + ((<usize>load<u16>(ip, 6)) << 3);
}

/** A pc after an addition, cut to what PcMask `mask` says. */
export function maskPc(pc: u64, mask: u32): u64 {
  return mask === 2 ? pc : mask === 1 ? pc & 0xffffffff : pc & 0xffff;
}

export function faultAt(cpu: usize, ip: usize, blockPc: u64): u32 {
  store<u64>(cpu + VCPU_PC, blockPc + <u64>load<u16>(ip, 12));
  return RUN_FAULT;
}

/** The `flags` op. */
export function setFlags(cpu: usize, res: u64, src: u64, flagOp: u32): void {
  store<u64>(cpu + VCPU_FLAG_RES, res);
  store<u64>(cpu + VCPU_FLAG_SRC, src);
  store<u64>(cpu + VCPU_FLAG_OP, <u64>flagOp);
}
/** The `cond` op. */
export function currentCondition(cpu: usize, condition: u32): u64 {
  return flagCondition(
    load<u64>(cpu + VCPU_FLAG_OP),
    load<u64>(cpu + VCPU_FLAG_RES),
    load<u64>(cpu + VCPU_FLAG_SRC),
    load<u64>(cpu + VCPU_FLAG_SRC2),
    condition,
  );
}

export function mulHighU(x: u64, y: u64): u64 {
  const xl = x & 0xffffffff;
  const xh = x >> 32;
  const yl = y & 0xffffffff;
  const yh = y >> 32;
  const middle = xh * yl + ((xl * yl) >> 32);
  const cross = xl * yh + (middle & 0xffffffff);
  return xh * yh + (middle >> 32) + (cross >> 32);
}
export function mulHighS(x: u64, y: u64): u64 {
  return mulHighU(x, y) - (<i64>x < 0 ? y : 0) - (<i64>y < 0 ? x : 0);
}

/** Divisors that might trap count as 1. */
export function quotientU(x: u64, y: u64): u64 {
  return x / (y !== 0 ? y : 1);
}
export function quotientS(x: u64, y: u64): u64 {
  return <u64>(<i64>x / (y + 1 > 1 ? <i64>y : 1));
}

export function load128(cpu: usize, to: usize, at: u64, mmu: u32): void {
  if ((<u32>at & 0xfff) > 4080 && !probeRead(cpu, at, 16, mmu)) return;
  const low = ldU64(cpu, at, mmu);
  if (load<u32>(cpu + VCPU_FAULT_PENDING)) return;
  const high = ldU64(cpu, at + 8, mmu);
  if (load<u32>(cpu + VCPU_FAULT_PENDING)) return;
  store<u64>(to, low);
  store<u64>(to, high, 8);
}
export function store128(cpu: usize, from: usize, at: u64, mmu: u32): void {
  if (!probeWrite(cpu, at, 16, mmu)) return;
  stU64(cpu, at, load<u64>(from), mmu);
  if (load<u32>(cpu + VCPU_FAULT_PENDING)) return;
  stU64(cpu, at + 8, load<u64>(from, 8), mmu);
}
export function load256(cpu: usize, to: usize, at: u64, mmu: u32): void {
  if (!probeRead(cpu, at, 32, mmu)) return;
  load128(cpu, to, at, mmu);
  load128(cpu, to + 16, at + 16, mmu);
}
export function store256(cpu: usize, from: usize, at: u64, mmu: u32): void {
  if (!probeWrite(cpu, at, 32, mmu)) return;
  store128(cpu, from, at, mmu);
  if (load<u32>(cpu + VCPU_FAULT_PENDING)) return;
  store128(cpu, from + 16, at + 16, mmu);
}

/** Under -icount: takes a block's instructions out of the budget of the slice; false: there is none left. */
function spend(cpu: usize, block: usize): bool {
  const left = load<u64>(cpu, VCPU_INSTRUCTION_BUDGET);
  if (<i64>left <= 0) return false;
  store<u64>(cpu, left - <u64>load<u16>(block, BLOCK_INSTRUCTIONS), VCPU_INSTRUCTION_BUDGET);
  return true;
}

/**
 * Runs `block`, entered at the pc in the header, and what it chains to; returns RUN_DISPATCH, RUN_FAULT or an exit. `start`
 * is the address of the op to go on with where compiled code left the block (a side exit), 0: all of it. Comes back when the
 * guest jumps to `stop` (by chance perhaps not, when two blocks of a page jump there).
 */
export function interpret(cpu: usize, block: usize, start: usize, stop: u64): u32 {
  const machine = <usize>load<u32>(cpu, VCPU_MACHINE);
  const mmu = load<u32>(cpu, VCPU_MMU_INDEX);
  const tlb = tlbOf(cpu, mmu);
  const icount = load<u32>(machine, MACHINE_ICOUNT);
  // Elsewhere the dispatcher has more to do between blocks.
  const plain: bool =
    !(load<u32>(block, BLOCK_MODE) & (MODE_CS_BASE | MODE_BREAKPOINTS | MODE_SINGLE)) &&
    !load<u32>(machine, MACHINE_TRACE_MASK);
  let blockPc = load<u64>(cpu, VCPU_PC);
  for (;;) {
    let ip = start;
    if (start) start = 0;
    else {
      // What is left of a block was counted when the block was entered.
      if (icount && !spend(cpu, block)) return RUN_EXIT + EXIT_YIELD;
      const count = load<u64>(cpu, VCPU_INSTRUCTION_COUNT) + <u64>load<u16>(block, BLOCK_INSTRUCTIONS);
      store<u64>(cpu, count, VCPU_INSTRUCTION_COUNT);
      ip = block + BLOCK_SIZE;
    }
    store<u64>(cpu, load<u64>(cpu, VCPU_STAT_COLD_BLOCKS) + 1, VCPU_STAT_COLD_BLOCKS);
    store<u64>(cpu, blockPc, VCPU_BLOCK_PC);
    store<u32>(block, load<u32>(block, BLOCK_RUNS) + 1, BLOCK_RUNS);
    currentBlock = block;
    for (; ; ip += 16) {
      // `continue` goes on with the next op; `break` where the block ends.
      switch (<u32>load<u8>(ip, 1)) {
        // CODE_CASES: sequences of ops, and ops that compute values or touch memory
        case CODE_GOTO:
        case CODE_JMP:
          break;
        case CODE_LEAVE:
          return RUN_DISPATCH;
        case CODE_EXIT:
          return RUN_EXIT + load<u32>(ip, 8);
        default:
          switch (<u32>load<u8>(ip)) {
            // NUMBER_CASES: rare ops
            default:
              unreachable();
          }
      }
      let next: usize = 0;
      if (<u32>load<u8>(ip) === OP_GOTO) {
        const hint = <u32>load<u16>(ip, 2);
        const offset = load<i32>(ip, 8);
        blockPc = maskPc(blockPc + <u64>(<i64>offset), hint >> 4);
        store<u64>(cpu, blockPc, VCPU_PC);
        const backward: bool = offset < <i32>load<u16>(block, BLOCK_BYTES);
        if (backward && load<u32>(cpu, VCPU_EXIT_REQUEST)) return RUN_DISPATCH;
        next = <usize>load<u32>(ip, 4);
        if (!next || !load<u32>(next, BLOCK_VALID)) {
          next = plain && blockPc !== stop && !load<u64>(cpu, VCPU_EXIT_REQUEST) ? nextBlock(cpu, blockPc) : 0;
          if (!next) {
            chainFrom = ip;
            return RUN_DISPATCH;
          }
          if (mayChain(block, next)) store<u32>(ip, <u32>next, 4);
          countHead(cpu, machine, next);
        } else {
          if (load<u32>(next, BLOCK_ENTRY)) return RUN_DISPATCH;
          if (backward) countHead(cpu, machine, next);
        }
      } else {
        const from = blockPc;
        blockPc = a(cpu, ip);
        store<u64>(cpu, blockPc, VCPU_PC);
        if (load<u32>(ip, 8) === JUMP_JUMP) {
          store<u32>(cpu, <u32>from | 1, VCPU_JUMPED);
          return RUN_DISPATCH;
        }
        // With its neighbour interruptRequest.
        next = plain && blockPc !== stop && !load<u64>(cpu, VCPU_EXIT_REQUEST) ? nextBlock(cpu, blockPc) : 0;
        if (!next) return RUN_DISPATCH;
        countHead(cpu, machine, next);
      }
      block = next;
      break;
    }
  }
  return RUN_DISPATCH;
}
