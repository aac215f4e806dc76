/**
 * The binding of /dev/kvm, and the same in software, for programs of their own: `import { openKvm } from 'tinamou/kvm'`.
 *
 * In a browser: `SoftwareKvm` of `tinamou/kvm/software`, with the compiled module `tinamou/runtime/x86.wasm`.
 */

export type {
  CpuidEntry,
  DebugRegs,
  Events,
  Fpu,
  IoapicState,
  KvmSegment,
  PicState,
  PitState,
  Regs,
  Sregs,
} from '../../accel/kvm/abi.js';
export { Capability, type CapabilityName, MemoryFlag, MpState } from '../../accel/kvm/abi.js';
export { KvmError } from '../../accel/kvm/error.js';
export type {
  GsiRoute,
  GuestDebugRequest,
  IoEventRequest,
  KvmExit,
  KvmMachine,
  KvmProcessor,
  KvmSystem,
  MemorySlotRequest,
} from '../../accel/kvm/interface.js';
export { Kvm } from '../../accel/kvm/kvm.js';
export { KvmVcpu } from '../../accel/kvm/vcpu.js';
export { KvmVm } from '../../accel/kvm/vm.js';
export { UserError } from '../../base/errors.js';
export { openKvm } from '../../host/node/kvm/availability.js';
export { linuxCalls } from '../../host/node/kvm/linux.js';
export { softwareKvm } from '../../host/node/kvm/software.js';
