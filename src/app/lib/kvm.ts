/** The kvm accelerator on this host. */

import { availableParallelism } from 'node:os';
import type { CapabilityName } from '../../accel/kvm/abi.js';
import { KvmAccelerator, type KvmOptions } from '../../accel/kvm/accelerator.js';
import { hostProcessor, usableCpuid } from '../../accel/kvm/cpuid.js';
import type { IrqchipMode } from '../../accel/kvm/irqchip-mode.js';
import type { Kvm } from '../../accel/kvm/kvm.js';
import { MODE_TEXT, probe } from '../../accel/kvm/probe.js';
import type { TcgAccelerator } from '../../accel/tcg/tcg.js';
import { UserError } from '../../base/errors.js';
import type { HostProcessor } from '../../guest/x86/cpu-models.js';
import { openKvm, orRefused } from '../../host/node/kvm/availability.js';
import { linuxCalls } from '../../host/node/kvm/linux.js';
import { dropVcpuThread, prepareVcpuThread, startVcpuThread, whenChanged } from '../../host/node/kvm/vcpu-thread.js';
import { monotonicNs } from '../../host/node/time-source.js';
import { noSuchAccelerator } from '../options/machine-options.js';
import { blamed, within } from '../options/parse.js';
import { ACCELERATORS, type AcceleratorName, type WantedAccelerator } from '../options/wishes.js';

/** About ten microseconds of looking. */
const SPINS = 4000;

/** Capabilities that each way of making interrupt controllers needs, and what that is called. */
const IRQCHIP_NEEDS: Readonly<Record<IrqchipMode, readonly [what: string, capabilities: readonly CapabilityName[]]>> = {
  on: ['interrupt controllers', ['IRQCHIP', 'PIT2', 'IRQ_ROUTING']],
  split: ['split interrupt controller', ['SPLIT_IRQCHIP']],
  off: ['interrupt controller', []],
};

function openUsable(irqchip: IrqchipMode, smm: boolean): Kvm {
  const kvm = openKvm();
  const [what, needs] = IRQCHIP_NEEDS[irqchip];
  const missing = needs.find((name) => kvm.capability(name) === 0);
  const noSmm = smm && kvm.capability('X86_SMM') === 0;
  if (missing === undefined && !noSmm) return kvm;
  kvm.close();
  if (missing === undefined) {
    throw new UserError('this KVM has no system management mode (KVM_CAP_X86_SMM): leave out smm=on');
  }
  throw new UserError(`this KVM has no ${what} (KVM_CAP_${missing}): the kernel is too old`);
}

/** What this KVM cannot do that operating systems need. */
function missingModes(kvm: Kvm): string | undefined {
  const failed = probe(kvm, ['paging', 'long']).find(({ works }) => !works);
  return failed && `this KVM does not run ${MODE_TEXT[failed.mode]} (${failed.reason})`;
}

export interface AcceleratorNeeds {
  readonly icount: boolean;
  readonly cpus: number;
  readonly irqchip: IrqchipMode;
  /** System management mode must be there. */
  readonly smm: boolean;
}

export interface ChosenAccelerator {
  readonly name: AcceleratorName;
  /** The processor that runs guests, when it is the host's. */
  readonly host?: HostProcessor;
}

/** Throws UserError for more processors than a VM can have. */
export function checkCount(kvm: Pick<Kvm, 'capability'>, cpus: number, note: (text: string) => void): void {
  const recommended = kvm.capability('NR_VCPUS');
  const most = kvm.capability('MAX_VCPUS');
  const exceeds = (what: string, n: number): string =>
    `Number of SMP cpus requested (${cpus}) exceeds the ${what} cpus supported by KVM (${n})`;
  // An old KVM does not tell: 0.
  if (most !== 0 && cpus > most) throw new UserError(exceeds('maximum', most));
  if (recommended !== 0 && cpus > recommended) note(`warning: ${exceeds('recommended', recommended)}`);
}

/** The host's processor under KVM. `alone`: nothing else was asked for, and it is used as far as it goes. Throws UserError. */
function chooseKvm(
  { icount, cpus, irqchip, smm }: AcceleratorNeeds,
  alone: boolean,
  note: (text: string) => void,
): HostProcessor {
  if (icount) throw new UserError('-icount is not allowed with hardware virtualization: use -accel tcg with it');
  const initialize = (): readonly [HostProcessor, string | undefined] => {
    const kvm = openUsable(irqchip, smm);
    prepareVcpuThread();
    try {
      checkCount(kvm, cpus, note);
      return [hostProcessor(usableCpuid(kvm.supportedCpuid(), irqchip)), missingModes(kvm)];
    } finally {
      kvm.close();
    }
  };
  const [host, missing] = within('failed to initialize kvm', () => orRefused(initialize));
  if (missing === undefined) return host;
  if (!alone) throw new UserError(missing);
  note(`${missing}: firmware runs, most operating systems do not`);
  return host;
}

/** The first of these that this host can do; tells why others were passed over. Throws UserError when there is none. */
export function chooseAccelerator(
  wanted: readonly WantedAccelerator[],
  needs: AcceleratorNeeds,
  note: (text: string) => void,
): ChosenAccelerator {
  for (const [i, { name, origin }] of wanted.entries()) {
    if (name === 'tcg') break;
    const rest = wanted.slice(i + 1);
    const next = rest.find((other) => (ACCELERATORS as readonly string[]).includes(other.name));
    try {
      if (name !== 'kvm') throw noSuchAccelerator(name);
      return { name, host: chooseKvm(needs, next === undefined, note) };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const failed = blamed(origin, error) as UserError;
      if (rest.length === 0) {
        dropVcpuThread();
        throw failed;
      }
      note(next ? `${failed.message}; falling back to ${next.name}` : failed.message);
    }
  }
  dropVcpuThread();
  return { name: 'tcg' };
}

/** Throws UserError where KVM cannot be used. */
export function kvmAccelerator(
  shared: TcgAccelerator,
  { irqchip, cpu, smm, tuning }: Pick<KvmOptions, 'irqchip' | 'cpu' | 'smm' | 'tuning'>,
  report: (text: string) => void,
): KvmAccelerator {
  const kvm = openUsable(irqchip, false);
  const options: KvmOptions = {
    kvm,
    calls: linuxCalls(),
    shared,
    irqchip,
    smm,
    tuning,
    cpu,
    spins: availableParallelism() > 1 ? SPINS : 0,
    startThread: startVcpuThread,
    monotonic: monotonicNs,
    report,
    whenChanged,
  };
  const accelerator = within('failed to initialize kvm', () => orRefused(() => new KvmAccelerator(options)));
  // A process cannot end while one of its threads sits in KVM_RUN.
  const leave = (): void => accelerator.dispose();
  process.on('exit', leave);
  accelerator.onDispose = () => process.off('exit', leave);
  return accelerator;
}
