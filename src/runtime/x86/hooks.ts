/** What the guest-neutral core asks of the x86 processor. */
export { codeBreakpoint, dataBreakpoint, linearPc } from './debug';
export { deliverInstructionFault as deliverFault, raiseMisaligned } from './exceptions';
export { localIo, localRead, localWrite } from './lapic';
export { updateMode } from './mode';
export { endsOutside, walk, walkGlobal, walkPhys, walkProt } from './paging';
export { handleRequests } from './requests';
