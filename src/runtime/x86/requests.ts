/** Between instructions: what waits for the processor, by priority; HLT and its relatives. */
import { setCurrentBlock } from '../generated/interpreter';
import { VCPU_HALTED, VCPU_INTERRUPT_REQUEST } from '../generated/layout';
import { EXIT_DEBUG, EXIT_HALT, EXIT_SHUTDOWN } from '../generated/ops';
import {
  EFLAGS_IF,
  FEATURE_MONITOR,
  INT_DEBUG,
  INT_HARD,
  INT_INIT,
  INT_NMI,
  INT_POLL,
  INT_SHUTDOWN,
  INT_SIPI,
  INT_SMI,
  X86_HARD_PENDING,
  X86_IN_SMM,
  X86_MONITOR_ARMED,
  X86_NMI_BLOCKED,
  X86_PENDING_DR6,
  X86_WAIT_FOR_SIPI,
} from '../generated/x86';
import { DB, fault, has, NMI, reg, request, returnToHost, sysFlags, UD, unrequest, vcpuCount } from './cpu';
import { orDr6, STEP_DONE } from './debug';
import { deliverFault, deliverHardware } from './exceptions';
import { inShadow } from './interrupt-flag';
import { acceptInterrupt } from './lapic';
import { initProcessor, startProcessor } from './reset';
import { notKernel } from './segments';
import { enterSmm } from './smm';

/** monitorArmed: address given; waiting in MWAIT and a masked interrupt ends it. */
const MONITOR_ARMED: u32 = 1;
const MONITOR_BREAK: u32 = 2;

/** Debug traps of the instruction that just ended: EXIT_DEBUG + 1 for a debugger's step, EXIT_SHUTDOWN + 1, or 0. */
function debugTraps(cpu: usize): u32 {
  const pending = load<u32>(cpu + X86_PENDING_DR6);
  unrequest(cpu, INT_DEBUG);
  store<u32>(cpu + X86_PENDING_DR6, 0);
  const bits = pending & ~STEP_DONE;
  if (bits !== 0) {
    orDr6(cpu, bits);
    fault(cpu, DB, 0);
    const reason = deliverFault(cpu);
    if (reason !== 0) return reason;
  }
  return (pending & STEP_DONE) !== 0 ? EXIT_DEBUG + 1 : 0;
}

/** Handles whatever is pending; 0 go on at pc, else ExitReason + 1. */
export function handleRequests(cpu: usize): u32 {
  setCurrentBlock(0);
  let bits = load<u32>(cpu + VCPU_INTERRUPT_REQUEST);
  if ((bits & INT_POLL) !== 0) unrequest(cpu, INT_POLL);
  if ((bits & INT_SHUTDOWN) !== 0) {
    unrequest(cpu, INT_SHUTDOWN);
    return EXIT_SHUTDOWN + 1;
  }
  if ((bits & INT_INIT) !== 0 && load<u32>(cpu + X86_IN_SMM) === 0) {
    unrequest(cpu, INT_INIT);
    initProcessor(cpu);
  }
  if ((bits & INT_SIPI) !== 0) {
    unrequest(cpu, INT_SIPI);
    if (load<u32>(cpu + X86_WAIT_FOR_SIPI) !== 0) startProcessor(cpu);
  }
  if (load<u32>(cpu + X86_WAIT_FOR_SIPI) !== 0) return EXIT_HALT + 1;
  if ((bits & INT_SMI) !== 0 && load<u32>(cpu + X86_IN_SMM) === 0) {
    unrequest(cpu, INT_SMI);
    enterSmm(cpu);
  }
  bits = load<u32>(cpu + VCPU_INTERRUPT_REQUEST);
  if ((bits & (INT_DEBUG | INT_NMI | INT_HARD)) !== 0) {
    if (inShadow(cpu)) return 0;
    if ((bits & INT_DEBUG) !== 0) {
      const reason = debugTraps(cpu);
      if (reason !== 0) return reason;
    }
    if ((bits & INT_NMI) !== 0 && load<u32>(cpu + X86_NMI_BLOCKED) === 0) {
      unrequest(cpu, INT_NMI);
      store<u32>(cpu + X86_NMI_BLOCKED, 1);
      const reason = deliverHardware(cpu, NMI);
      if (reason !== 0) return reason;
    }
    if ((bits & INT_HARD) !== 0) {
      if ((sysFlags(cpu) & EFLAGS_IF) === 0) {
        // Nobody looks again until IF is set (afterFlags), except an MWAIT that asked for it.
        unrequest(cpu, INT_HARD);
        if (load<u32>(cpu + X86_MONITOR_ARMED) === MONITOR_BREAK) store<u32>(cpu + VCPU_HALTED, 0);
      } else {
        const vector = acceptInterrupt(cpu);
        if (vector >= 0) {
          const reason = deliverHardware(cpu, vector);
          if (reason !== 0) return reason;
        }
      }
    }
  }
  return load<u32>(cpu + VCPU_HALTED) !== 0 ? EXIT_HALT + 1 : 0;
}

export function raiseSmi(cpu: usize): void {
  request(cpu, INT_SMI);
}

function halt(cpu: usize): void {
  store<u32>(cpu + VCPU_HALTED, 1);
  request(cpu, load<u32>(cpu + X86_HARD_PENDING) !== 0 ? INT_HARD : INT_POLL);
}

export function hlt(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (notKernel(cpu)) return 0;
  store<u32>(cpu + X86_MONITOR_ARMED, 0);
  halt(cpu);
  return 0;
}

export function monitor(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (!has(cpu, FEATURE_MONITOR)) return fault(cpu, UD, 0);
  if (notKernel(cpu)) return 0;
  store<u32>(cpu + X86_MONITOR_ARMED, MONITOR_ARMED);
  return 0;
}
/**
 * A lone processor waits as in HLT, since nobody else could write the monitored line. With others it only yields: the
 * instruction may end at any time, and its users look again.
 */
export function mwait(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (!has(cpu, FEATURE_MONITOR)) return fault(cpu, UD, 0);
  if (notKernel(cpu)) return 0;
  const armed = load<u32>(cpu + X86_MONITOR_ARMED);
  store<u32>(cpu + X86_MONITOR_ARMED, 0);
  if (armed === 0) return 0;
  if (vcpuCount(cpu) > 1) {
    returnToHost(cpu);
    return 0;
  }
  if ((reg(cpu, 1) & 1) !== 0) store<u32>(cpu + X86_MONITOR_ARMED, MONITOR_BREAK);
  halt(cpu);
  return 0;
}
/** A spinning processor lets the others run. */
export function pause(cpu: usize, _a: u64, _b: u64, _imm: u32): u64 {
  if (vcpuCount(cpu) > 1) returnToHost(cpu);
  return 0;
}
