/** Entry of the x86 runtime module: everything the host or compiled code calls. */

export {
  clearJumpCaches,
  codeRangeWritten,
  findBlock,
  invalidateBlock,
  newEpoch,
  resetCode,
} from '../core/code';
export {
  fillForRegion,
  flatViewChanged,
  ldU8,
  ldU16,
  ldU32,
  ldU64,
  openRange,
  physRead,
  physWrite,
  watchWrites,
} from '../core/memory';
export { fuse, makeBlock, optimise } from '../core/passes';
export { callGuest, resumeGuest, run, tierAtPc } from '../core/run';
export { checksumPages, findPage } from '../core/used-pages';
export { interpret } from '../generated/interpreter';
export * from '../generated/x86-exports';
export { flushAll as tlbFlush } from './address-spaces';
export { apicDeliver } from './apic-bus';
export { condition, flagCondition, readEflags, writeEflags } from './flags';
export {
  acceptInterrupt,
  lapicTimerExpired,
  localIo,
  localRead,
  localWrite,
  raiseNmi,
  readTpr,
  setIntr,
  writeApicBase,
  writeTpr,
} from './lapic';
export { updateMode } from './mode';
export { debugLeaf, debugPageMask, debugTranslate } from './paging';
export { handleRequests, raiseSmi } from './requests';
export { initProcessor, resetCpu, setA20, startProcessor } from './reset';
export { x87Resume, x87Store } from './x87-region';
export { endStoppedStore } from './x87-stopped';
