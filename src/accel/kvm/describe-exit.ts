/** What the user is told of an exit that nobody can answer. */
import { SystemEvent } from './abi.js';
import { hexBytes } from './guest-access.js';
import type { KvmExit, KvmProcessor } from './interface.js';

export const hexOf = (value: bigint): string => `0x${value.toString(16)}`;

export function describeStop(index: number, exit: KvmExit, vcpu: KvmProcessor): string {
  const where = `processor ${index} at ${hexOf(vcpu.regs().rip)}`;
  if (exit.reason === 'internalError') {
    const bytes = exit.instruction && hexBytes(exit.instruction);
    return bytes
      ? `KVM cannot emulate an instruction of ${where}: ${bytes}`
      : `KVM gave up on ${where}: internal error ${exit.suberror}`;
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
  if (exit.reason === 'failEntry') return `KVM could not enter ${where}: hardware reason ${hexOf(exit.hardwareReason)}`;
  return `KVM stopped ${where} for a reason that is not handled: ${exit.reason === 'other' ? exit.number : exit.reason}`;
}
