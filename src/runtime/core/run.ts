/** The dispatcher: finds the block or compiled region for the pc, runs it, and sees to faults and requests between. */
// hot path

import {
  chainFrom,
  clearChain,
  currentBlock,
  interpret,
  mayChain,
  RUN_DISPATCH,
  RUN_EXIT,
  RUN_FAULT,
  setCurrentBlock,
} from '../generated/interpreter';
import {
  BLOCK_ENTRY,
  BLOCK_FLAGS,
  BLOCK_HEAT,
  BLOCK_HOST,
  BLOCK_HOST2,
  BLOCK_REGION,
  BLOCK_SIDE_EXITS,
  BLOCK_SIZE,
  BLOCK_VALID,
  BLOCKFLAG_INDIRECT,
  ENTRY_SHIFT,
  EXIT_UNWIND,
  JUMP_BLOCK,
  JUMP_GENERATION,
  JUMP_MODE,
  JUMP_PC,
  MACHINE_HOT_THRESHOLD,
  MACHINE_REGION_EXITS,
  MACHINE_SIDE_EXIT_OPS,
  MACHINE_TRACE_MASK,
  MANY_SIDE_EXITS,
  MAX_CALL_DEPTH,
  TRACE_EXEC,
  TRACE_NO_CHAIN,
  VCPU_CALL_DEPTH,
  VCPU_EXIT_DETAIL,
  VCPU_EXIT_REQUEST,
  VCPU_FAULT_PENDING,
  VCPU_HALTED,
  VCPU_JUMPED,
  VCPU_MACHINE,
  VCPU_MODE,
  VCPU_PC,
  VCPU_SIDE_BLOCK,
  VCPU_SIDE_OP,
  VCPU_SIDE_REGION,
  VCPU_STAT_LOOKUPS,
  VCPU_STAT_SIDE_EXITS,
  VCPU_TLB_GENERATION,
  WHOLE_BLOCK,
} from '../generated/layout';
import { EXIT_BAD_CODE, EXIT_DEBUG, EXIT_REQUEST } from '../generated/ops';
import { MODE_BREAKPOINTS, MODE_CS_BASE, MODE_SINGLE } from '../generated/x86';
import { codeBreakpoint, deliverFault, handleRequests, linearPc } from '../x86/hooks';
import { codeEpoch, findBlock, invalidateBlock, markExecuted } from './code';
import { hot, traceBlock, translate } from './env';
import { displaceEntry, jumpEntry, swapEntries } from './jump-cache';
import { FAULT_RESTART, fetchHost } from './memory';

const TABLE_INDEX: u32 = (1 << ENTRY_SHIFT) - 1;

/** exitRequest bit: return to the host. Bit 0 only makes us look around (requests, invalidated code). */
const REQUEST_RETURN: u32 = 2;

/** What a compiled region returned: go on at pc; interpret the block at pc; a fault is pending. */
const REGION_NEXT: u32 = 0;
const REGION_SIDE_EXIT: u32 = 1;
const REGION_FAULT: u32 = 2;
/** + ExitReason: the run loop is to end; only from a guest call inside. */
const REGION_EXIT: u32 = 16;
/** What callGuest gives when the guest is back where its caller expects it. */
const CALL_RETURNED: u32 = 0xffffffff;

/** Block for the code at `linear`, translated if need be; 0 with a fault recorded, 1 when it is not in RAM or ROM. */
function lookUp(cpu: usize, linear: u64, mode: u32, entry: usize): usize {
  store<u64>(cpu + VCPU_STAT_LOOKUPS, load<u64>(cpu + VCPU_STAT_LOOKUPS) + 1);
  const machine = <usize>load<u32>(cpu + VCPU_MACHINE);
  const host = fetchHost(cpu, linear);
  if (host <= 1) return host;
  let block = findBlock(machine, <u32>host, mode);
  if (block && load<u32>(block + BLOCK_HOST2)) {
    const second = fetchHost(cpu, (linear & ~0xfff) + 0x1000);
    if (second <= 1) return second;
    if (<u32>second !== load<u32>(block + BLOCK_HOST2)) {
      invalidateBlock(machine, block);
      block = 0;
    }
  }
  if (!block) {
    block = <usize>translate(cpu, <u32>host, mode, 0);
    if (!block) {
      const second = fetchHost(cpu, (linear & ~0xfff) + 0x1000);
      if (second <= 1) return second;
      return <usize>translate(cpu, <u32>host, mode, <u32>second);
    }
  }
  markExecuted(cpu, linear);
  if (load<u32>(block + BLOCK_HOST2)) markExecuted(cpu, linear + 0xfff);
  displaceEntry(cpu, linear, entry);
  store<u64>(entry + JUMP_PC, linear);
  store<u32>(entry + JUMP_MODE, mode);
  store<u32>(entry + JUMP_GENERATION, load<u32>(cpu + VCPU_TLB_GENERATION));
  store<u32>(entry + JUMP_BLOCK, <u32>block);
  return block;
}

/**
 * The block of a jump cache entry that was made under another TLB generation (another address space), if the same code is
 * mapped there now: then the entry is valid again. Else 0; a fault that this met is forgotten.
 */
function revalidate(cpu: usize, entry: usize, linear: u64): usize {
  const block = <usize>load<u32>(entry + JUMP_BLOCK);
  if (!block || !load<u32>(block + BLOCK_VALID) || load<u32>(block + BLOCK_HOST2)) return 0;
  if (<u32>fetchHost(cpu, linear) !== load<u32>(block + BLOCK_HOST)) {
    store<u32>(cpu + VCPU_FAULT_PENDING, 0);
    return 0;
  }
  markExecuted(cpu, linear);
  store<u32>(entry + JUMP_GENERATION, load<u32>(cpu + VCPU_TLB_GENERATION));
  return block;
}

const NEAR_JUMP: u32 = 4096;

/** An indirect jump has led to a block: regions that end with such a jump in its page may go on with it. */
function markIndirect(cpu: usize, block: usize): void {
  // Jumps far away are tail calls: what they lead to is no part of the region.
  const distance = load<u32>(cpu + VCPU_PC) - load<u32>(cpu + VCPU_JUMPED);
  store<u32>(cpu + VCPU_JUMPED, 0);
  if (distance + NEAR_JUMP > 2 * NEAR_JUMP) return;
  const flags = load<u32>(block + BLOCK_FLAGS);
  if (flags & BLOCKFLAG_INDIRECT) return;
  store<u32>(block + BLOCK_FLAGS, flags | BLOCKFLAG_INDIRECT);
  if (load<u32>(block + BLOCK_ENTRY)) hot(block, 0);
}

/** A compiled region asked for the interpreter: it goes on where the region left (sideBlock, sideOp). */
let cold = false;
/** No pc: `run` has none at which it must end. */
const NOWHERE: u64 = 0xffffffffffffffff;

function requested(cpu: usize): bool {
  // exitRequest and interruptRequest are neighbours.
  return (atomic.load<u64>(cpu + VCPU_EXIT_REQUEST) | <u64>load<u32>(cpu + VCPU_HALTED)) !== 0;
}

/**
 * Runs the block or region at pc. `single` is MODE_SINGLE to run just one instruction, from a block of its own, else 0. Comes
 * back when the guest jumps to `stop`.
 * Returns RUN_DISPATCH, RUN_FAULT, or RUN_EXIT + ExitReason.
 */
function step(cpu: usize, machine: usize, single: u32, stop: u64): u32 {
  if (cold) {
    cold = false;
    const block = <usize>load<u32>(cpu + VCPU_SIDE_BLOCK);
    const op = load<u32>(cpu + VCPU_SIDE_OP);
    return interpret(cpu, block, op === WHOLE_BLOCK ? 0 : block + BLOCK_SIZE + <usize>(op << 4), stop);
  }
  const mode = load<u32>(cpu + VCPU_MODE) | single;
  const linear = mode & MODE_CS_BASE ? linearPc(cpu) : load<u64>(cpu + VCPU_PC);
  const entry = jumpEntry(cpu, linear);
  let block: usize = 0;
  if (load<u64>(entry + JUMP_PC) === linear || swapEntries(cpu, linear, entry)) {
    if (load<u64>(entry + JUMP_MODE) === (load<u64>(cpu + VCPU_MODE) | <u64>single)) {
      block = <usize>load<u32>(entry + JUMP_BLOCK);
      if (!load<u32>(block + BLOCK_VALID)) block = 0;
    } else if (load<u32>(entry + JUMP_MODE) === mode) block = revalidate(cpu, entry, linear);
  }
  if (block === 0) {
    block = lookUp(cpu, linear, mode, entry);
    if (block <= 1) {
      clearChain();
      if (block === 0) return RUN_FAULT;
      store<u32>(cpu + VCPU_EXIT_DETAIL, <u32>linear);
      return RUN_EXIT + EXIT_BAD_CODE;
    }
  }
  if (load<u32>(cpu + VCPU_JUMPED)) markIndirect(cpu, block);
  if (chainFrom) {
    // Same page and mode as the block that jumped here: from now on it goes on without us.
    if (!single && mayChain(currentBlock, block) && !(load<u32>(machine + MACHINE_TRACE_MASK) & TRACE_NO_CHAIN)) {
      store<u32>(chainFrom, <u32>block, 4);
    }
    clearChain();
  }
  if (mode & MODE_BREAKPOINTS) {
    const stop = codeBreakpoint(cpu);
    if (stop === 2) return RUN_EXIT + EXIT_DEBUG;
    if (stop === 1) return RUN_FAULT;
  }
  if (load<u32>(machine + MACHINE_TRACE_MASK) & TRACE_EXEC) traceBlock(cpu, block);
  const compiled = load<u32>(block + BLOCK_ENTRY);
  if (compiled) return enterRegion(cpu, compiled);
  // An instruction that is started alone, as it changes translated code, must be interpreted (hitsRunningCode).
  if (!(mode & MODE_SINGLE)) {
    const heat = load<u32>(block + BLOCK_HEAT) + 1;
    store<u32>(block + BLOCK_HEAT, heat);
    if (heat === load<u32>(machine + MACHINE_HOT_THRESHOLD)) hot(block, cpu);
  }
  return interpret(cpu, block, 0, stop);
}

function sideExit(cpu: usize): void {
  store<u64>(cpu + VCPU_STAT_SIDE_EXITS, load<u64>(cpu + VCPU_STAT_SIDE_EXITS) + 1);
  const head = <usize>load<u32>(cpu + VCPU_SIDE_REGION);
  const count = load<u32>(head + BLOCK_SIDE_EXITS) + 1;
  store<u32>(head + BLOCK_SIDE_EXITS, count);
  if (count >= MANY_SIDE_EXITS && (count & (count - 1)) === 0) hot(head, 0);
  cold = true;
  const op = load<u32>(cpu + VCPU_SIDE_OP);
  const block = <usize>load<u32>(cpu + VCPU_SIDE_BLOCK);
  const reason: usize = op === WHOLE_BLOCK ? 255 : load<u8>(block + BLOCK_SIZE + <usize>(op << 4));
  const ops = <usize>load<u32>(cpu + VCPU_MACHINE) + MACHINE_SIDE_EXIT_OPS + (reason << 2);
  store<u32>(ops, load<u32>(ops) + 1);
}

/** Runs a compiled region and turns what it returned into a result of `step`. */
function enterRegion(cpu: usize, compiled: u32): u32 {
  setCurrentBlock(0xffffffff);
  const result = call_indirect<u32>(compiled & TABLE_INDEX, cpu, compiled >> ENTRY_SHIFT);
  const exits = <usize>load<u32>(cpu + VCPU_MACHINE) + MACHINE_REGION_EXITS + ((<usize>min<u32>(result, 3)) << 3);
  store<u64>(exits, load<u64>(exits) + 1);
  if (result === REGION_NEXT) return RUN_DISPATCH;
  if (result === REGION_SIDE_EXIT) {
    sideExit(cpu);
    return RUN_DISPATCH;
  }
  return result === REGION_FAULT ? RUN_FAULT : result - REGION_EXIT + RUN_EXIT;
}

/** Whether the code at pc is: 0: unknown, 1: in the cold tier, 2: part of a compiled region. For statistics. */
export function tierAtPc(cpu: usize): u32 {
  const mode = load<u32>(cpu + VCPU_MODE);
  if (mode & MODE_CS_BASE || load<u32>(cpu + VCPU_FAULT_PENDING)) return 0;
  const host = fetchHost(cpu, load<u64>(cpu + VCPU_PC));
  store<u32>(cpu + VCPU_FAULT_PENDING, 0);
  if (host <= 1) return 0;
  const block = findBlock(<usize>load<u32>(cpu + VCPU_MACHINE), <u32>host, mode);
  return block && load<u32>(block + BLOCK_REGION) ? 2 : 1;
}

/** What was asked of the vCPU is done; 1 + ExitReason when the run is to end, else 0. */
function seeToRequests(cpu: usize): u32 {
  // After a side exit the state is that inside an instruction: that is finished first.
  if (cold || !requested(cpu)) return 0;
  const requests = atomic.and<u32>(cpu + VCPU_EXIT_REQUEST, 0);
  if (requests & REQUEST_RETURN) return 1 + EXIT_REQUEST;
  const reason = handleRequests(cpu);
  clearChain();
  return reason;
}

/** Runs the vCPU until something needs the host; returns an ExitReason. */
export function run(cpu: usize): u32 {
  const machine = <usize>load<u32>(cpu + VCPU_MACHINE);
  let single: u32 = 0;
  cold = false;
  store<u32>(cpu + VCPU_CALL_DEPTH, 0);
  clearChain();
  for (;;) {
    const reason = seeToRequests(cpu);
    if (reason) return reason - 1;
    const result = step(cpu, machine, single, NOWHERE);
    single = 0;
    if (result === RUN_DISPATCH || result === RUN_EXIT + EXIT_UNWIND) continue;
    clearChain();
    cold = false;
    if (result === RUN_FAULT) {
      if (load<u32>(cpu + VCPU_FAULT_PENDING) === FAULT_RESTART) {
        store<u32>(cpu + VCPU_FAULT_PENDING, 0);
        single = MODE_SINGLE;
        continue;
      }
      const reason = deliverFault(cpu);
      if (reason) return reason - 1;
      continue;
    }
    return result - RUN_EXIT;
  }
}

/** Guest calls in progress that are WebAssembly calls become more (or fewer). */
function deepen(cpu: usize, by: i32): void {
  store<u32>(cpu + VCPU_CALL_DEPTH, load<u32>(cpu + VCPU_CALL_DEPTH) + by);
}

/**
 * A compiled region makes a guest call: runs from the pc in the header until the guest is back at `expected` with
 * everything as it was that the region relies on (then CALL_RETURNED), or until something ends the run or turns the guest
 * elsewhere; then the region returns the result at once, and whoever gets it goes on from the pc in the header. No state
 * lives in WebAssembly frames, so it never matters how many of them are left this way.
 */
export function callGuest(cpu: usize, expected: u64): u32 {
  if (load<u32>(cpu + VCPU_CALL_DEPTH) >= MAX_CALL_DEPTH) return REGION_EXIT + EXIT_UNWIND;
  if (load<u64>(cpu + VCPU_EXIT_REQUEST) !== 0) return REGION_NEXT;
  const key = load<u64>(cpu + VCPU_MODE);
  const epoch = codeEpoch;
  if (!(<u32>key & MODE_CS_BASE)) {
    // The short way: compiled code all along, until it returns.
    for (;;) {
      const pc = load<u64>(cpu + VCPU_PC);
      const entry = jumpEntry(cpu, pc);
      if (load<u64>(entry + JUMP_PC) !== pc && !swapEntries(cpu, pc, entry)) break;
      if (load<u64>(entry + JUMP_MODE) !== load<u64>(cpu + VCPU_MODE)) {
        if (load<u32>(entry + JUMP_MODE) !== load<u32>(cpu + VCPU_MODE) || !revalidate(cpu, entry, pc)) break;
      }
      const block = <usize>load<u32>(entry + JUMP_BLOCK);
      const compiled = load<u32>(block + BLOCK_ENTRY);
      if (!compiled) break;
      if (load<u32>(cpu + VCPU_JUMPED)) markIndirect(cpu, block);
      deepen(cpu, 1);
      const result = call_indirect<u32>(compiled & TABLE_INDEX, cpu, compiled >> ENTRY_SHIFT);
      deepen(cpu, -1);
      if (result !== REGION_NEXT) {
        const end = goOn(cpu, result);
        if (end) return end;
        break;
      }
      if (load<u64>(cpu + VCPU_PC) === expected) return returned(cpu, key, epoch);
      if (requested(cpu) || load<u32>(cpu + VCPU_MODE) & MODE_CS_BASE) break;
    }
  }
  deepen(cpu, 1);
  const result = runUntil(cpu, expected);
  deepen(cpu, -1);
  setCurrentBlock(0xffffffff);
  return result === CALL_RETURNED ? returned(cpu, key, epoch) : result;
}

/**
 * A region has called itself for a guest call and got `result`, not simply back at `expected`: goes on until the guest is there
 * (CALL_RETURNED; the caller sees whether all is as it was) or the run ends.
 */
export function resumeGuest(cpu: usize, expected: u64, result: u32): u32 {
  let end = goOn(cpu, result);
  if (end) return end;
  deepen(cpu, 1);
  end = runUntil(cpu, expected);
  deepen(cpu, -1);
  setCurrentBlock(0xffffffff);
  return end;
}

/**
 * Makes the guest ready to go on inside a guest call whose code gave `result`; else gives what to hand on. The regions that made
 * the call are to find the guest behind it when a fault has been seen to by its handler: so it is delivered here.
 */
function goOn(cpu: usize, result: u32): u32 {
  if (result === REGION_SIDE_EXIT) sideExit(cpu);
  else if (result === REGION_FAULT) return deliverInside(cpu);
  else if (result !== REGION_NEXT) return result;
  return 0;
}

/** Delivers a fault inside a guest call; 0: the guest goes on. What starts the instruction again alone is for `run`. */
function deliverInside(cpu: usize): u32 {
  if (load<u32>(cpu + VCPU_FAULT_PENDING) === FAULT_RESTART) return REGION_FAULT;
  clearChain();
  cold = false;
  const reason = deliverFault(cpu);
  return reason ? REGION_EXIT + reason - 1 : 0;
}

/** The guest is back at the expected pc: in the same mode and address space, and is the region still there? */
function returned(cpu: usize, key: u64, epoch: u32): u32 {
  if (load<u64>(cpu + VCPU_MODE) !== key || codeEpoch !== epoch) return REGION_NEXT;
  return CALL_RETURNED;
}

function runUntil(cpu: usize, expected: u64): u32 {
  const machine = <usize>load<u32>(cpu + VCPU_MACHINE);
  for (;;) {
    const reason = seeToRequests(cpu);
    if (reason) return REGION_EXIT + reason - 1;
    const result = step(cpu, machine, 0, expected);
    if (result === RUN_FAULT) {
      const end = deliverInside(cpu);
      if (end) return end;
    } else if (result !== RUN_DISPATCH) return result - RUN_EXIT + REGION_EXIT;
    if (!cold && load<u64>(cpu + VCPU_PC) === expected) break;
  }
  clearChain();
  return CALL_RETURNED;
}
