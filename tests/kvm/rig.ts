/** What the KVM tests share: a machine of one page-aligned memory and a few processors, in a given mode. */
import { Worker } from 'node:worker_threads';
import { KvmError } from '../../src/accel/kvm/error.js';
import type { KvmExit } from '../../src/accel/kvm/interface.js';
import { Kvm } from '../../src/accel/kvm/kvm.js';
import type { KvmVcpu } from '../../src/accel/kvm/vcpu.js';
import type { KvmVm } from '../../src/accel/kvm/vm.js';
import { linuxCalls } from '../../src/host/node/kvm/linux.js';
import type { KickWorkerData } from './kick-worker.js';

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

export const CODE = 0x1000;
export const DATA = 0x8000;
export type Mode = 'real' | 'protected' | 'long';

const KVM_RAM_PAGES = 16; // of 64 KiB
const SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss'] as const;
const PAGE_TABLES = 0x2000;

export class Rig {
  readonly calls = linuxCalls();
  readonly kvm = new Kvm(this.calls);
  readonly vm: KvmVm = this.kvm.createVm();
  readonly ram: Uint8Array;
  readonly vcpus: KvmVcpu[] = [];

  constructor(options: { irqchip?: boolean; flags?: 0 | 1 } = {}) {
    if (options.irqchip) this.vm.createIrqchip();
    const memory = new WebAssembly.Memory({ initial: KVM_RAM_PAGES, maximum: KVM_RAM_PAGES, shared: true });
    this.ram = new Uint8Array(memory.buffer);
    this.vm.setMemory({ slot: 0, guestAddress: 0n, memory: this.ram, flags: options.flags ?? 0 });
  }

  /** A processor that starts with `code` at `at`, stack below 0x7000. */
  vcpu(mode: Mode, code: string | readonly number[], at = CODE): KvmVcpu {
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
    const view = new DataView(this.ram.buffer);
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

const RUN_MS = 10_000;
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
export function run(vcpu: KvmVcpu): KvmExit {
  const words = kicker();
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

/** Calls `body` with a rig that is gone afterwards. */
export async function withRig(
  options: ConstructorParameters<typeof Rig>[0],
  body: (rig: Rig) => void | Promise<void>,
): Promise<void> {
  const rig = new Rig(options);
  try {
    await body(rig);
  } finally {
    rig.dispose();
  }
}

export { KvmError };
