/** The system level: /dev/kvm itself. */
import { Capability, type CapabilityName, CPUID, CPUID_ENTRY, type CpuidEntry } from './abi.js';
import { KvmError } from './error.js';
import type { HostCalls } from './host-calls.js';
import type { KvmSystem } from './interface.js';
import { KvmDescriptor } from './requests.js';
import { KvmVm } from './vm.js';

export const DEVICE = '/dev/kvm';
const E2BIG = 7;
const MOST_CPUID_ENTRIES = 4096;

export class Kvm implements KvmSystem {
  readonly apiVersion: number;
  readonly #device: KvmDescriptor;

  /** Throws KvmError, of call `open`, when there is no usable device. */
  constructor(
    private readonly calls: HostCalls,
    path = DEVICE,
  ) {
    const fd = calls.open(path);
    if (fd < 0) throw new KvmError('open', -fd, calls.errnoName(-fd), path);
    this.#device = new KvmDescriptor(calls, fd);
    try {
      this.apiVersion = this.#device.number('KVM_GET_API_VERSION');
    } catch (error) {
      this.#device.close();
      throw error;
    }
  }

  capability(name: CapabilityName): number {
    return this.#device.number('KVM_CHECK_EXTENSION', Capability[name], name);
  }

  supportedCpuid(): CpuidEntry[] {
    for (let room = 64; ; room *= 2) {
      const list = CPUID.encode({ nent: room, padding: 0 }, room * CPUID_ENTRY.size);
      try {
        this.#device.bytes('KVM_GET_SUPPORTED_CPUID', list);
      } catch (error) {
        if (error instanceof KvmError && error.errno === E2BIG && room < MOST_CPUID_ENTRIES) continue;
        throw error;
      }
      const { nent } = CPUID.decode(list);
      return Array.from({ length: nent }, (_, i) => CPUID_ENTRY.decode(list, CPUID.size + i * CPUID_ENTRY.size));
    }
  }

  msrIndices(): number[] {
    const list = new Uint32Array(4096);
    list[0] = list.length - 1;
    this.#device.bytes('KVM_GET_MSR_INDEX_LIST', new Uint8Array(list.buffer));
    return [...list.subarray(1, 1 + list[0])];
  }

  createVm(): KvmVm {
    const runBytes = this.#device.number('KVM_GET_VCPU_MMAP_SIZE');
    return new KvmVm(this.calls, this.#device.number('KVM_CREATE_VM'), runBytes);
  }

  close(): void {
    this.#device.close();
  }
}
