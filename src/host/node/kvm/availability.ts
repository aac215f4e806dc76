/** Opens /dev/kvm, or says in one line why it cannot be used and what to do about it. */
import { readFileSync, statSync } from 'node:fs';
import { API_VERSION, Capability, type CapabilityName } from '../../../accel/kvm/abi.js';
import { KvmError } from '../../../accel/kvm/error.js';
import { DEVICE, Kvm } from '../../../accel/kvm/kvm.js';
import { UserError } from '../../../base/errors.js';
import { linuxCalls } from './linux.js';

/** Without these no machine of ours runs. */
export const NEEDED: readonly CapabilityName[] = ['USER_MEMORY', 'IMMEDIATE_EXIT', 'SET_TSS_ADDR', 'EXT_CPUID'];

/** Throws UserError. */
export function openKvm(): Kvm {
  const calls = linuxCalls();
  let kvm: Kvm;
  try {
    kvm = new Kvm(calls);
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    throw new UserError(whyNotOpened(error.errnoName, HOST));
  }
  const problem = whyNotEnough(kvm);
  if (problem === undefined) return kvm;
  kvm.close();
  throw new UserError(problem);
}

/** What a KVM that opens lacks for any machine of ours; undefined: nothing. */
export function whyNotEnough(kvm: Pick<Kvm, 'apiVersion' | 'capability'>): string | undefined {
  if (kvm.apiVersion !== API_VERSION) {
    return `${DEVICE} has interface version ${kvm.apiVersion}, not ${API_VERSION}: the kernel is too old`;
  }
  const missing = NEEDED.filter((name) => kvm.capability(name) === 0);
  if (missing.length === 0) return undefined;
  return `this KVM has no ${missing.map((name) => `KVM_CAP_${name} (${Capability[name]})`).join(', ')}: the kernel is too old`;
}

/** What the messages look up of this host. */
export interface HostFacts {
  /** Of /proc/cpuinfo and /etc/group; '' when there is none. */
  read(path: string): string;
  /** Number of the group that owns the device. */
  deviceGroup(): number;
}

const HOST: HostFacts = {
  read(path) {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  },
  deviceGroup: () => statSync(DEVICE).gid,
};

/** Why the device does not open, and what helps. */
export function whyNotOpened(errnoName: string, host: HostFacts): string {
  switch (errnoName) {
    case 'ENOENT':
    case 'ENODEV':
    case 'ENXIO':
      return missingDevice(host);
    case 'EACCES':
    case 'EPERM':
      return `no permission to open ${DEVICE}: ${permissionRemedy(host)}`;
    case 'EBUSY':
      return `${DEVICE} is busy: another hypervisor uses the processor's virtualization`;
    default:
      return `could not open ${DEVICE}: ${errnoName}`;
  }
}

function missingDevice(host: HostFacts): string {
  const flags = host.read('/proc/cpuinfo');
  const module = /\bsvm\b/.test(flags) ? 'kvm_amd' : /\bvmx\b/.test(flags) ? 'kvm_intel' : undefined;
  if (module === undefined) {
    return `there is no ${DEVICE}, and this processor shows no virtualization: turn it on in the firmware setup, or in the hypervisor around this machine`;
  }
  return `there is no ${DEVICE}: load its module (modprobe ${module})`;
}

function permissionRemedy(host: HostFacts): string {
  const gid = host.deviceGroup();
  const name = host
    .read('/etc/group')
    .split('\n')
    .map((line) => line.split(':'))
    .find((fields) => Number(fields[2]) === gid)?.[0];
  return gid === 0
    ? `only root may use it (its mode or group is unusual: expected is group 'kvm', mode 0660)`
    : `join the group '${name ?? gid}' (usermod -aG ${name ?? gid} USER, then log in again)`;
}
