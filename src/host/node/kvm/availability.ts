/** Opens /dev/kvm, or says in one line why it cannot be used and what to do about it. */
import { readFileSync, statSync } from 'node:fs';
import { API_VERSION, Capability, type CapabilityName } from '../../../accel/kvm/abi.js';
import { KvmError } from '../../../accel/kvm/error.js';
import { DEVICE, Kvm } from '../../../accel/kvm/kvm.js';
import { UserError } from '../../../base/errors.js';
import { linuxCalls } from './linux.js';

/** Without these no machine of ours runs. */
export const NEEDED: readonly CapabilityName[] = ['USER_MEMORY', 'IMMEDIATE_EXIT', 'SET_TSS_ADDR', 'EXT_CPUID'];

/** There when KVM's module is loaded. */
const KERNEL_DEVICE = '/sys/class/misc/kvm/dev';
const GROUP_READS_AND_WRITES = 0o060;
const BUSY = `${DEVICE} is busy: another hypervisor uses the processor's virtualization`;

/** Throws UserError. */
export function openKvm(): Kvm {
  const foreign = whyNotHere(process.arch);
  if (foreign !== undefined) throw new UserError(foreign);
  const calls = linuxCalls();
  let kvm: Kvm;
  try {
    kvm = new Kvm(calls);
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    throw new UserError(
      error.call === 'open' ? whyNotOpened(error.errnoName, HOST) : `${DEVICE} is no KVM: ${error.message}`,
    );
  }
  const problem = whyNotEnough(kvm);
  if (problem === undefined) return kvm;
  kvm.close();
  throw new UserError(problem);
}

/** `arch`: Node.js's name of this host's processor. */
export function whyNotHere(arch: string): string | undefined {
  return arch === 'x64'
    ? undefined
    : `KVM runs guests of the host's kind, and this one is ${arch}: use -accel tcg here`;
}

/** Does something with a KVM that opens; what it refuses is the user's to know of. */
export function orRefused<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    throw new UserError(whyRefused(error));
  }
}

/** Another hypervisor does not keep the device from being opened, but VMs and processors from being made. */
function whyRefused({ errnoName, message }: KvmError): string {
  return errnoName === 'EBUSY' ? `${BUSY} (${message})` : message;
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
  /** Of a text file; '' when there is none. */
  read(path: string): string;
  /** Number of the group that owns the device, and its mode. */
  device(): { readonly gid: number; readonly mode: number };
}

const HOST: HostFacts = {
  read(path) {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  },
  device: () => statSync(DEVICE),
};

/** Why the device does not open, and what helps. */
export function whyNotOpened(errnoName: string, host: HostFacts): string {
  switch (errnoName) {
    case 'ENOENT':
      // A container sees the kernel's devices only where it was given them.
      if (host.read(KERNEL_DEVICE) !== '') {
        return `there is no ${DEVICE}, though the kernel has it: give it to this container (--device ${DEVICE}), or make it (mknod ${DEVICE} c 10 232)`;
      }
      return missingModule(`there is no ${DEVICE}`, host);
    case 'ENODEV':
    case 'ENXIO':
      return missingModule(`${DEVICE} has no driver`, host);
    case 'EACCES':
    case 'EPERM':
      return `no permission to open ${DEVICE}: ${permissionRemedy(host)}`;
    case 'EBUSY':
      return BUSY;
    default:
      return `could not open ${DEVICE}: ${errnoName}`;
  }
}

function missingModule(what: string, host: HostFacts): string {
  const flags = host.read('/proc/cpuinfo');
  const module = /\bsvm\b/.test(flags) ? 'kvm_amd' : /\bvmx\b/.test(flags) ? 'kvm_intel' : undefined;
  if (module === undefined) {
    return `${what}, and this processor shows no virtualization: turn it on in the firmware setup, or in the hypervisor around this machine`;
  }
  return `${what}: load its module (modprobe ${module})`;
}

function permissionRemedy(host: HostFacts): string {
  const { gid, mode } = host.device();
  const name = host
    .read('/etc/group')
    .split('\n')
    .map((line) => line.split(':'))
    .find((fields) => Number(fields[2]) === gid)?.[0];
  return gid === 0 || (mode & GROUP_READS_AND_WRITES) !== GROUP_READS_AND_WRITES
    ? `only its owner may use it (its mode or group is unusual: expected is group 'kvm', mode 0660)`
    : `join the group '${name ?? gid}' (usermod -aG ${name ?? gid} USER, then log in again)`;
}
