/** What the user is told of an exit that nobody can answer. */
import { SystemEvent } from './abi.js';
import { hexBytes } from './guest-access.js';
import type { KvmExit, KvmProcessor } from './interface.js';

/** What a user searches for comes first, in QEMU's words. */
const STOPS = 'the machine stops (info registers of the monitor tells more)';

export const hexOf = (value: bigint): string => `0x${value.toString(16)}`;

export function describeStop(index: number, exit: KvmExit, vcpu: KvmProcessor): string {
  const where = `processor ${index} at ${hexOf(vcpu.regs().rip)}`;
  if (exit.reason === 'internalError') {
    const { instruction, data } = exit;
    const what = instruction?.length
      ? `emulation failure, instruction ${hexBytes(instruction)}`
      : `extra data ${data.map(hexOf).join(' ') || 'none'}`;
    return `KVM internal error. Suberror: ${exit.suberror} (${where}: ${what}): ${STOPS}`;
  }
  if (exit.reason === 'systemEvent') {
    const [what = `asked for event ${exit.type}`] = Object.entries(SystemEvent).flatMap(([name, type]) =>
      type === exit.type ? [`says ${name}`] : [],
    );
    return `${where} ${what}: the machine stops`;
  }
  if (exit.reason === 'notify') {
    const state = exit.contextInvalid ? ', and KVM no longer knows its state' : '';
    return `${where} took no interrupt for a whole window${state}: the machine stops (notify-vmexit)`;
  }
  if (exit.reason === 'failEntry') {
    return `KVM: entry failed, hardware error ${hexOf(exit.hardwareReason)} (${where}): ${STOPS}`;
  }
  return `KVM: unhandled exit ${exit.reason === 'other' ? exit.number : exit.reason} (${where}): ${STOPS}`;
}
