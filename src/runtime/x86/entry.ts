/** Entry of the x86 runtime module: everything the host or compiled code calls. */
export * from '../generated/x86-exports';
export { condition, flagCondition, readEflags, writeEflags } from './flags';

import { VCPU_PC } from '../generated/layout';
export function probe(cpu: usize): u64 {
  return load<u64>(cpu + VCPU_PC);
}
