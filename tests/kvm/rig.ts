/** What the KVM tests share: a machine of one page-aligned memory and a few processors, in a given mode. */
import { Worker } from 'node:worker_threads';
import { KvmError } from '../../src/accel/kvm/error.js';
import type { KvmExit, KvmMachine, KvmProcessor, KvmSystem } from '../../src/accel/kvm/interface.js';
import { Kvm } from '../../src/accel/kvm/kvm.js';
import { KvmVcpu } from '../../src/accel/kvm/vcpu.js';
import type { KvmVm } from '../../src/accel/kvm/vm.js';
import { linuxCalls } from '../../src/host/node/kvm/linux.js';
import { softwareKvm } from '../../src/host/node/kvm/software.js';
import type { KickWorkerData } from './kick-worker.js';
import { inLab, patience } from './patience.js';

/** Why there is no KVM to test on; false: there is. */
export const skip: string | false = ((): string | false => {
  try {
    new Kvm(linuxCalls()).close();
    return false;
  } catch (error) {
    if (error instanceof Error && ['KvmError', 'UserError'].includes(error.name)) return `no KVM: ${error.message}`;
    throw error;
  }
})();

/** The same for tests of debug exits: QEMU's emulation of SVM does not tell a KVM on it of debug exceptions. */
export const skipDebug: string | false =
  skip || (inLab ? "the lab's processor does not pass debug exceptions on to its KVM" : false);

export const CODE = 0x1000;
export const DATA = 0x8000;
export type Mode = 'real' | 'protected' | 'long';

const RAM_BYTES = 1 << 20;
const SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss'] as const;
const PAGE_TABLES = 0x2000;

export interface RigOptions {
  readonly irqchip?: boolean;
  readonly flags?: 0 | 1;
}

/** A machine on any implementation of the binding. */
export class Rig {
  readonly vm: KvmMachine;
  readonly ram: Uint8Array;
  readonly vcpus: KvmProcessor[] = [];

  constructor(
    readonly kvm: KvmSystem,
    options: RigOptions = {},
  ) {
    this.vm = kvm.createVm();
    if (options.irqchip) this.vm.createIrqchip();
    this.ram = this.vm.allocate(RAM_BYTES);
    this.vm.setMemory({ slot: 0, guestAddress: 0n, memory: this.ram, flags: options.flags ?? 0 });
  }

  /** A processor that starts with `code` at `at`, stack below 0x7000. */
  vcpu(mode: Mode, code: string | readonly number[], at = CODE): KvmProcessor {
    this.ram.set(typeof code === 'string' ? hex(code) : code, at);
    const vcpu = this.vm.createVcpu(this.vcpus.length);
    this.vcpus.push(vcpu);
    if (this.vcpus.length > 1) vcpu.setMpState(0);
    const sregs = vcpu.sregs();
    for (const name of SEGMENTS) {
      const s = { ...sregs[name], base: 0n };
      if (mode === 'real') s.selector = 0;
      else Object.assign(s, { limit: 0xffffffff, selector: name === 'cs' ? 8 : 16, g: 1, db: 1 });
      if (name === 'cs' && mode === 'long') Object.assign(s, { l: 1, db: 0 });
      sregs[name] = s;
    }
    if (mode !== 'real') sregs.cr0 |= 1n;
    if (mode === 'long') this.#paging(sregs);
    vcpu.setSregs(sregs);
    vcpu.setRegs({ ...vcpu.regs(), rip: BigInt(at), rflags: 2n, rsp: 0x7000n });
    return vcpu;
  }

  dispose(): void {
    for (const vcpu of this.vcpus) vcpu.close();
    this.vm.close();
    this.kvm.close();
  }

  /** Identity-maps the first GiB with 2 MiB pages. */
  #paging(sregs: { cr0: bigint; cr3: bigint; cr4: bigint; efer: bigint }): void {
    const view = new DataView(this.ram.buffer, this.ram.byteOffset);
    view.setBigUint64(PAGE_TABLES, BigInt(PAGE_TABLES + 0x1000) | 3n, true);
    view.setBigUint64(PAGE_TABLES + 0x1000, BigInt(PAGE_TABLES + 0x2000) | 3n, true);
    for (let i = 0; i < 512; i++) {
      view.setBigUint64(PAGE_TABLES + 0x2000 + 8 * i, (BigInt(i) << 21n) | 0x83n, true);
    }
    sregs.cr3 = BigInt(PAGE_TABLES);
    sregs.cr4 |= 0x20n; // PAE
    sregs.efer |= 0x500n; // LME, LMA
    sregs.cr0 |= 0x8000_0001n;
  }
}

const RUN_MS = patience(10_000);
let kicks: Int32Array | undefined;

/** Someone who ends KVM_RUN in this thread every few milliseconds while word 0 is 1. */
function kicker(): Int32Array {
  if (kicks) return kicks;
  const shared = new SharedArrayBuffer(8);
  const workerData: KickWorkerData = { thread: linuxCalls().threadId(), shared };
  new Worker(new URL('./kick-worker.js', import.meta.url), { workerData }).unref();
  kicks = new Int32Array(shared);
  return kicks;
}

/** Runs until something that is no interruption. Throws when nothing happens for ten seconds, rather than hang. */
export function run(vcpu: KvmProcessor): KvmExit {
  const words = vcpu instanceof KvmVcpu ? kicker() : new Int32Array(new SharedArrayBuffer(8));
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  try {
    for (const end = performance.now() + RUN_MS; performance.now() < end; ) {
      vcpu.run();
      const exit = vcpu.exit();
      if (exit.reason !== 'interrupted') return exit;
    }
    throw new Error(`the guest does nothing for ${RUN_MS} ms at ${vcpu.regs().rip.toString(16)}`);
  } finally {
    Atomics.store(words, 0, 0);
    Atomics.notify(words, 0);
  }
}

export function hex(text: string): Uint8Array {
  return Uint8Array.from(text.trim().split(/\s+/), (byte) => Number.parseInt(byte, 16));
}

/** On the host's KVM. */
export class KernelRig extends Rig {
  declare readonly vm: KvmVm;
  readonly calls = linuxCalls();

  constructor(options: RigOptions) {
    super(new Kvm(linuxCalls()), options);
  }

  override vcpu(mode: Mode, code: string | readonly number[], at = CODE): KvmVcpu {
    return super.vcpu(mode, code, at) as KvmVcpu;
  }
}

type Body<R extends Rig> = (rig: R) => void | Promise<void>;

async function withNew<R extends Rig>(rig: R, body: Body<R>): Promise<void> {
  try {
    await body(rig);
  } finally {
    rig.dispose();
  }
}

/** Calls `body` with a rig on the host's KVM that is gone afterwards. */
export const withRig = (options: RigOptions, body: Body<KernelRig>): Promise<void> =>
  withNew(new KernelRig(options), body);

/** What implements the binding: one suite runs on both. */
export const BACKENDS: readonly {
  readonly name: string;
  readonly skip: string | false;
  withRig(options: RigOptions, body: Body<Rig>): Promise<void>;
}[] = [
  { name: '/dev/kvm', skip, withRig },
  {
    name: 'software',
    skip: false,
    withRig: (options, body) => withNew(new Rig(softwareKvm(), options), body),
  },
];

export { KvmError };
