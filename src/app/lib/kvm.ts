/** The kvm accelerator on this host. */
import { KvmAccelerator } from '../../accel/kvm/accelerator.js';
import type { Kvm } from '../../accel/kvm/kvm.js';
import type { TcgAccelerator } from '../../accel/tcg/tcg.js';
import { UserError } from '../../base/errors.js';
import { openKvm } from '../../host/node/kvm/availability.js';
import { linuxCalls } from '../../host/node/kvm/linux.js';
import { startVcpuThread, whenChanged } from '../../host/node/kvm/vcpu-thread.js';
import { monotonicNs } from '../../host/node/time-source.js';
import type { AcceleratorName } from '../options/wishes.js';

function openUsable(): Kvm {
  const kvm = openKvm();
  if (kvm.capability('SPLIT_IRQCHIP') !== 0) return kvm;
  kvm.close();
  throw new UserError('this KVM has no split interrupt controller (KVM_CAP_SPLIT_IRQCHIP): the kernel is too old');
}

/** The first of these that this host can do; tells why others were passed over. Throws UserError when there is none. */
export function chooseAccelerator(
  wanted: readonly AcceleratorName[],
  icount: boolean,
  note: (text: string) => void,
): AcceleratorName {
  if (icount && wanted[0] === 'kvm') throw new UserError('-icount needs counted instructions: use -accel tcg with it');
  for (const [i, name] of wanted.entries()) {
    if (name === 'tcg') return name;
    try {
      openUsable().close();
      return name;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      if (i + 1 === wanted.length) throw new UserError(`could not use KVM: ${error.message}`);
      note(`could not use KVM: ${error.message}; going on with ${wanted[i + 1]}`);
    }
  }
  return 'tcg';
}

/** Throws UserError where KVM cannot be used. */
export function kvmAccelerator(shared: TcgAccelerator, report: (text: string) => void): KvmAccelerator {
  const kvm = openUsable();
  const accelerator = new KvmAccelerator({
    kvm,
    calls: linuxCalls(),
    shared,
    startThread: startVcpuThread,
    monotonic: monotonicNs,
    report,
    whenChanged,
  });
  // A process cannot end while one of its threads sits in KVM_RUN.
  const leave = (): void => accelerator.dispose();
  process.on('exit', leave);
  accelerator.onDispose = () => process.off('exit', leave);
  return accelerator;
}
