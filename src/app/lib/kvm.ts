/** The kvm accelerator on this host. */
import { KvmAccelerator } from '../../accel/kvm/accelerator.js';
import type { TcgAccelerator } from '../../accel/tcg/tcg.js';
import { UserError } from '../../base/errors.js';
import { openKvm } from '../../host/node/kvm/availability.js';
import { linuxCalls } from '../../host/node/kvm/linux.js';
import { startVcpuThread, whenChanged } from '../../host/node/kvm/vcpu-thread.js';
import { monotonicNs } from '../../host/node/time-source.js';

/** Throws UserError where KVM cannot be used. */
export function kvmAccelerator(shared: TcgAccelerator, report: (text: string) => void): KvmAccelerator {
  const kvm = openKvm();
  if (kvm.capability('SPLIT_IRQCHIP') === 0) {
    kvm.close();
    throw new UserError('this KVM has no split interrupt controller (KVM_CAP_SPLIT_IRQCHIP): the kernel is too old');
  }
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
