/** Messages to local APICs: interrupt commands, the I/O APIC, message-signalled interrupts (Intel SDM vol. 3A 11.6). */
import { MACHINE_VCPU_COUNT, MACHINE_VCPUS } from '../generated/layout';
import {
  INT_INIT,
  INT_NMI,
  INT_SIPI,
  INT_SMI,
  LAPIC_DFR,
  LAPIC_ID,
  LAPIC_INITIAL_ID,
  LAPIC_LDR,
  LAPIC_TPR,
  X86_SIPI_VECTOR,
} from '../generated/x86';
import { request, vcpuAt, vcpuCount } from './cpu';
import {
  apicGet,
  isEnabled,
  isSoftwareEnabled,
  isX2apic,
  MODE_EXTINT,
  MODE_FIXED,
  MODE_INIT,
  MODE_LOWEST,
  MODE_NMI,
  MODE_SIPI,
  MODE_SMI,
  setExternal,
  setIrr,
  x2apicLdr,
} from './lapic';

const BROADCAST8: u32 = 0xff;
const BROADCAST32: u32 = 0xffffffff;

/** Does a message name this APIC? Destinations are 8 bits in xAPIC form; x2APICs also see 32-bit ones. */
function matches(cpu: usize, destination: u32, logical: bool): bool {
  if (!isEnabled(cpu)) return false;
  if (destination === BROADCAST32 || (destination === BROADCAST8 && !isX2apic(cpu))) return true;
  if (!logical) {
    return destination === (isX2apic(cpu) ? apicGet(cpu, LAPIC_INITIAL_ID) : apicGet(cpu, LAPIC_ID) >> 24);
  }
  if (isX2apic(cpu)) {
    const own = x2apicLdr(cpu);
    return destination >> 16 === own >> 16 && (destination & own & 0xffff) !== 0;
  }
  const own = apicGet(cpu, LAPIC_LDR) >> 24;
  if (apicGet(cpu, LAPIC_DFR) >> 28 === 0xf) return (own & destination & 0xff) !== 0;
  return ((own ^ destination) & 0xf0) === 0 && (own & destination & 0xf) !== 0;
}

/** One message arrives at one APIC. */
export function sendIpi(_from: usize, to: usize, mode: u32, vector: u32, level: bool): void {
  switch (mode) {
    case MODE_FIXED:
    case MODE_LOWEST:
      if (isSoftwareEnabled(to)) setIrr(to, vector, level);
      return;
    case MODE_SMI:
      request(to, INT_SMI);
      return;
    case MODE_NMI:
      request(to, INT_NMI);
      return;
    case MODE_INIT:
      request(to, INT_INIT);
      return;
    case MODE_SIPI:
      store<u32>(to + X86_SIPI_VECTOR, vector);
      request(to, INT_SIPI);
      return;
  }
}

// Round robin among equals in lowest-priority delivery.
let lastLowest: u32 = 0;

/** Lowest-priority delivery: among those named, the one with the lowest task priority. */
function sendLowest(cpu: usize, destination: u32, logical: bool, vector: u32, level: bool): void {
  const count = vcpuCount(cpu);
  let best: usize = 0;
  let bestTpr: u32 = 0x100;
  for (let i: u32 = 1; i <= count; i++) {
    const index = (lastLowest + i) % count;
    const to = vcpuAt(cpu, index);
    if (!matches(to, destination, logical) || !isSoftwareEnabled(to)) continue;
    const tpr = apicGet(to, LAPIC_TPR) & 0xf0;
    if (tpr < bestTpr) {
      bestTpr = tpr;
      best = to;
      lastLowest = index;
    }
  }
  if (best !== 0) setIrr(best, vector, level);
}

function send(cpu: usize, destination: u32, logical: bool, mode: u32, vector: u32, level: bool): void {
  if (mode === MODE_LOWEST) {
    sendLowest(cpu, destination, logical, vector, level);
    return;
  }
  const count = vcpuCount(cpu);
  for (let i: u32 = 0; i < count; i++) {
    const to = vcpuAt(cpu, i);
    if (matches(to, destination, logical)) sendIpi(cpu, to, mode, vector, level);
  }
}

/** ExtINT goes to one processor: there is one 8259 to give one vector. Commands between processors cannot ask for it. */
function sendExternal(cpu: usize, destination: u32, logical: bool): void {
  const count = vcpuCount(cpu);
  for (let i: u32 = 0; i < count; i++) {
    const to = vcpuAt(cpu, i);
    if (!matches(to, destination, logical) || !isSoftwareEnabled(to)) continue;
    setExternal(to);
    return;
  }
}

/** Interrupt command with its shorthand; `destination` has the width of the sender's mode. */
export function commandTo(cpu: usize, low: u32, destination: u32): void {
  const mode = (low >> 8) & 7;
  const vector = low & 0xff;
  const level = false; // commands between processors are edges
  const shorthand = (low >> 18) & 3;
  if (shorthand === 0) {
    send(
      cpu,
      destination === BROADCAST8 && !isX2apic(cpu) ? BROADCAST32 : destination,
      (low & 0x800) !== 0,
      mode,
      vector,
      level,
    );
    return;
  }
  if (shorthand === 1) {
    sendIpi(cpu, cpu, mode, vector, level);
    return;
  }
  const count = vcpuCount(cpu);
  for (let i: u32 = 0; i < count; i++) {
    const to = vcpuAt(cpu, i);
    if ((to !== cpu || shorthand === 2) && isEnabled(to)) sendIpi(cpu, to, mode, vector, level);
  }
}

/**
 * A message from outside the processors (I/O APIC entry, MSI): destination, physical 0 or logical 1, delivery mode, vector,
 * `level` asserted, `trigger` 1 for level.
 */
export function apicDeliver(
  machine: usize,
  destination: u32,
  logical: u32,
  mode: u32,
  vector: u32,
  level: u32,
  trigger: u32,
): void {
  if (trigger !== 0 && level === 0) return;
  if (load<u32>(machine + MACHINE_VCPU_COUNT) === 0) return;
  const first = <usize>load<u32>(machine + MACHINE_VCPUS);
  const to = destination === BROADCAST8 ? BROADCAST32 : destination;
  if (mode === MODE_EXTINT) sendExternal(first, to, logical !== 0);
  else send(first, to, logical !== 0, mode, vector, trigger !== 0);
}
