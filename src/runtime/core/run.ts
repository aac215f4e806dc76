/** The dispatcher: finds the block or compiled region for the pc, runs it, and sees to faults and requests between. */
// hot path
import {
  BLOCK_ENTRY,
  BLOCK_HEAT,
  BLOCK_HOST,
  BLOCK_HOST2,
  JUMP_BLOCK,
  JUMP_CACHE_ENTRIES,
  JUMP_ENTRY,
  JUMP_GENERATION,
  JUMP_MODE,
  JUMP_PC,
  JUMP_SIZE,
  MACHINE_HOT_THRESHOLD,
  MACHINE_TRACE_MASK,
  TRACE_EXEC,
  VCPU_EXIT_DETAIL,
  VCPU_EXIT_REQUEST,
  VCPU_FAULT_PENDING,
  VCPU_HALTED,
  VCPU_INTERRUPT_REQUEST,
  VCPU_JUMP_CACHE,
  VCPU_MACHINE,
  VCPU_MODE,
  VCPU_STAT_LOOKUPS,
  VCPU_STAT_SIDE_EXITS,
  VCPU_TLB_GENERATION,
} from '../generated/layout';
import { EXIT_BAD_CODE, EXIT_DEBUG, EXIT_REQUEST } from '../generated/ops';
import { MODE_BREAKPOINTS, MODE_SINGLE } from '../generated/x86';
import { codeBreakpoint, deliverFault, handleRequests, linearPc } from '../x86/hooks';
import { findBlock, invalidateBlock } from './code';
import { hot, traceBlock, translate } from './env';
import { chainFrom, clearChain, interpret, RUN_DISPATCH, RUN_EXIT, RUN_FAULT, setCurrentBlock } from './interpreter';
import { FAULT_RESTART, fetchHost } from './memory';

/** exitRequest bit: return to the host. Bit 0 only makes us look around (requests, invalidated code). */
const REQUEST_RETURN: u32 = 2;

/** What a compiled region returned: go on at pc; interpret the block at pc; a fault is pending. */
const REGION_SIDE_EXIT: u32 = 1;
const REGION_FAULT: u32 = 2;

function jumpEntry(cpu: usize, linear: u64): usize {
  const hash = (<u32>linear ^ <u32>(linear >> 13)) & (JUMP_CACHE_ENTRIES - 1);
  return <usize>load<u32>(cpu + VCPU_JUMP_CACHE) + <usize>hash * JUMP_SIZE;
}

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
    if (<u32>second === load<u32>(block + BLOCK_HOST2)) return block;
    invalidateBlock(machine, block);
    block = 0;
  }
  if (!block) {
    block = <usize>translate(cpu, <u32>host, mode, 0);
    if (!block) {
      const second = fetchHost(cpu, (linear & ~0xfff) + 0x1000);
      if (second <= 1) return second;
      return <usize>translate(cpu, <u32>host, mode, <u32>second);
    }
  }
  store<u64>(entry + JUMP_PC, linear);
  store<u32>(entry + JUMP_MODE, mode);
  store<u32>(entry + JUMP_GENERATION, load<u32>(cpu + VCPU_TLB_GENERATION));
  store<u32>(entry + JUMP_BLOCK, <u32>block);
  store<u32>(entry + JUMP_ENTRY, load<u32>(block + BLOCK_ENTRY));
  return block;
}

/** Runs the vCPU until something needs the host; returns an ExitReason. */
export function run(cpu: usize): u32 {
  const machine = <usize>load<u32>(cpu + VCPU_MACHINE);
  let single: u32 = 0; // MODE_SINGLE: run just the instruction at pc, from a block of its own
  let cold = false; // a compiled region asked for the interpreter
  let from: u32 = 0; // block whose goto may be chained to the next one
  for (;;) {
    if (
      atomic.load<u32>(cpu + VCPU_EXIT_REQUEST) |
      load<u32>(cpu + VCPU_INTERRUPT_REQUEST) |
      load<u32>(cpu + VCPU_HALTED)
    ) {
      const requests = atomic.and<u32>(cpu + VCPU_EXIT_REQUEST, 0);
      if (requests & REQUEST_RETURN) return EXIT_REQUEST;
      const reason = handleRequests(cpu);
      if (reason) return reason - 1;
      clearChain();
    }
    const mode = load<u32>(cpu + VCPU_MODE) | single;
    const linear = linearPc(cpu);
    const entry = jumpEntry(cpu, linear);
    let block: usize;
    if (
      load<u64>(entry + JUMP_PC) === linear &&
      load<u32>(entry + JUMP_MODE) === mode &&
      load<u32>(entry + JUMP_GENERATION) === load<u32>(cpu + VCPU_TLB_GENERATION)
    ) {
      block = <usize>load<u32>(entry + JUMP_BLOCK);
      if (load<u32>(entry + JUMP_ENTRY) === 0) store<u32>(entry + JUMP_ENTRY, load<u32>(block + BLOCK_ENTRY));
    } else {
      block = lookUp(cpu, linear, mode, entry);
      if (block <= 1) {
        clearChain();
        if (block === 1) {
          store<u32>(cpu + VCPU_EXIT_DETAIL, <u32>linear);
          return EXIT_BAD_CODE;
        }
        const reason = deliverFault(cpu);
        if (reason) return reason - 1;
        continue;
      }
    }
    if (chainFrom) {
      // Same page and mode as the block that jumped here: from now on it goes on without us.
      if (
        from &&
        !single &&
        !load<u32>(block + BLOCK_HOST2) &&
        ((load<u32>(block + BLOCK_HOST) ^ from) & ~0xfff) === 0
      ) {
        store<u32>(chainFrom, <u32>block, 4);
      }
      clearChain();
    }
    if (mode & MODE_BREAKPOINTS) {
      const stop = codeBreakpoint(cpu);
      if (stop === 2) return EXIT_DEBUG;
      if (stop === 1) {
        const reason = deliverFault(cpu);
        if (reason) return reason - 1;
        continue;
      }
    }
    if (load<u32>(machine + MACHINE_TRACE_MASK) & TRACE_EXEC) traceBlock(cpu, block);
    let result: u32;
    const compiled = load<u32>(block + BLOCK_ENTRY);
    if (compiled && !cold) {
      setCurrentBlock(0xffffffff);
      result = call_indirect<u32>(compiled, cpu);
      if (result === REGION_SIDE_EXIT) {
        store<u64>(cpu + VCPU_STAT_SIDE_EXITS, load<u64>(cpu + VCPU_STAT_SIDE_EXITS) + 1);
        cold = true;
        continue;
      }
      if (result === REGION_FAULT) result = RUN_FAULT;
    } else {
      cold = false;
      if (!compiled) {
        const heat = load<u32>(block + BLOCK_HEAT) + 1;
        store<u32>(block + BLOCK_HEAT, heat);
        if (heat === load<u32>(machine + MACHINE_HOT_THRESHOLD)) hot(block);
      }
      from = 0;
      if (!load<u32>(block + BLOCK_HOST2)) from = load<u32>(block + BLOCK_HOST);
      result = interpret(cpu, block);
    }
    single = 0;
    if (result === RUN_DISPATCH) continue;
    clearChain();
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

/** Compiled code goes on in another region. Exported for it: only this module has the function table. */
export function callEntry(entry: u32, cpu: usize): u32 {
  return call_indirect<u32>(entry, cpu);
}
