/**
 * The KVM interface without KVM: guests run on our translator's interpreter, an instruction at a time, so programs written
 * for the binding run on any machine, and in a browser. What needs the kernel (interrupt chips, event descriptors, threads)
 * is not there: capabilities say so, and the calls throw KvmError with ENOTTY.
 */
import { type CpuConfig, parseCpu } from '../../../guest/x86/cpu-models.js';
import { installCpu } from '../../../guest/x86/cpuid-leaves.js';
import { X86_64 } from '../../../guest/x86/index.js';
import { TcgAccelerator } from '../../tcg/tcg.js';
import { API_VERSION, type CapabilityName, type CpuidEntry } from '../abi.js';
import { modelLeaves } from '../cpuid.js';
import type { KvmSystem } from '../interface.js';
import { MSRS } from '../x86-state.js';
import { SoftwareVm } from './vm.js';

export interface SoftwareKvmOptions {
  /** The compiled runtime module. */
  readonly runtime: WebAssembly.Module;
  /** Monotonic ns. */
  readonly now: () => number;
  /** 32 random bits. */
  readonly random: () => number;
  /** vCPUs that a VM can have; default 2. */
  readonly vcpus?: number;
}

const CAPABILITIES: Partial<Record<CapabilityName, number>> = {
  USER_MEMORY: 1,
  SET_TSS_ADDR: 1,
  EXT_CPUID: 1,
  NR_MEMSLOTS: 512,
  MP_STATE: 1,
  USER_NMI: 1,
  SET_GUEST_DEBUG: 1,
  SET_IDENTITY_MAP_ADDR: 1,
  INTERNAL_ERROR_DATA: 1,
  VCPU_EVENTS: 1,
  DEBUGREGS: 1,
  XSAVE: 1,
  XCRS: 1,
  READONLY_MEM: 1,
  IMMEDIATE_EXIT: 1,
};
const DEFAULT_VCPUS = 2;

export class SoftwareKvm implements KvmSystem {
  readonly apiVersion = API_VERSION;
  readonly #cpu: CpuConfig = parseCpu('max');

  constructor(private readonly options: SoftwareKvmOptions) {}

  capability(name: CapabilityName): number {
    if (name === 'NR_VCPUS' || name === 'MAX_VCPUS' || name === 'MAX_VCPU_ID') return this.#vcpus;
    return CAPABILITIES[name] ?? 0;
  }

  supportedCpuid(): CpuidEntry[] {
    const tcg = this.#machine();
    const leaves = modelLeaves(new DataView(tcg.memory.buffer), tcg.vcpus[0]!.state);
    tcg.dispose();
    return leaves;
  }

  msrIndices(): number[] {
    return MSRS.map(([index]) => index);
  }

  createVm(): SoftwareVm {
    return new SoftwareVm(this.#machine(), this, this.options);
  }

  close(): void {}

  get #vcpus(): number {
    return this.options.vcpus ?? DEFAULT_VCPUS;
  }

  #machine(): TcgAccelerator {
    const tcg = new TcgAccelerator({
      guest: X86_64,
      runtime: this.options.runtime,
      vcpus: this.#vcpus,
      hotThreshold: Number.POSITIVE_INFINITY,
      startTicker: () => ({ arm() {}, disarm() {}, dispose() {} }),
      monotonic: this.options.now,
    });
    const view = new DataView(tcg.memory.buffer);
    const topology = { sockets: this.#vcpus, cores: 1, threads: 1 };
    for (const { state, index } of tcg.vcpus) installCpu(view, state, this.#cpu, topology, index);
    return tcg;
  }
}
