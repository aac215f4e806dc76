/** Entry of the x86 runtime module: everything the host or compiled code calls. */

export { addBlock, clearJumpCaches, codeRangeWritten, findBlock, invalidateBlock, resetCode } from '../core/code';
export { interpret } from '../core/interpreter';
export { flatViewChanged, ldU8, ldU16, ldU32, ldU64, physRead, physWrite, tlbFlush, watchWrites } from '../core/memory';
export { callEntry, run } from '../core/run';
export * from '../generated/x86-exports';
export { condition, flagCondition, readEflags, writeEflags } from './flags';
