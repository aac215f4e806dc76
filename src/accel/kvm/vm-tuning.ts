/** What `-accel kvm,...` asks of a VM besides its interrupt controllers. */
import { UserError } from '../../base/errors.js';
import type { CapabilityName } from './abi.js';
import { KvmError } from './error.js';

/** What a processor that KVM notifies us of, for it took no interrupt during a whole window, does. */
export const NOTIFY_POLICIES = ['run', 'internal-error', 'disable'] as const;
export type NotifyPolicy = (typeof NOTIFY_POLICIES)[number];

export interface VmTuning {
  readonly notify: NotifyPolicy;
  /** In cycles of the time stamp counter, besides the processor's own. */
  readonly notifyWindow: number;
  /** Most memory for KVM's own page tables; undefined: as KVM thinks fit. */
  readonly shadowMemoryBytes: number | undefined;
}

export const USUAL_TUNING: VmTuning = { notify: 'run', notifyWindow: 0, shadowMemoryBytes: undefined };

const PAGE = 4096;
/** Argument of KVM_CAP_X86_NOTIFY_VMEXIT, beside the window. */
const NotifyFlag = { enabled: 1n, toUs: 2n } as const;

interface TunedVm {
  capability(name: CapabilityName): number;
  enableCapability(name: CapabilityName, ...args: bigint[]): void;
  setMmuPages(pages: number): void;
}

/** Throws UserError for a limit that KVM refuses. A KVM without notifications does without, as QEMU lets it. */
export function tuneVm(vm: TunedVm, { notify, notifyWindow, shadowMemoryBytes }: VmTuning): void {
  if (notify !== 'disable' && vm.capability('X86_NOTIFY_VMEXIT') !== 0) {
    vm.enableCapability('X86_NOTIFY_VMEXIT', (BigInt(notifyWindow) << 32n) | NotifyFlag.enabled | NotifyFlag.toUs);
  }
  if (shadowMemoryBytes === undefined) return;
  try {
    vm.setMmuPages(Math.floor(shadowMemoryBytes / PAGE));
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    throw new UserError(`kvm-shadow-mem: KVM refuses ${shadowMemoryBytes} bytes (${error.message}): give it more`);
  }
}
