/** What the KVM tests share: a machine of one page-aligned memory and a few processors, in a given mode. */
import { KvmError } from '../../src/accel/kvm/error.js';
import type { KvmExit } from '../../src/accel/kvm/interface.js';
import { Kvm } from '../../src/accel/kvm/kvm.js';
import type { KvmVcpu } from '../../src/accel/kvm/vcpu.js';
import type { KvmVm } from '../../src/accel/kvm/vm.js';
import { linuxCalls } from '../../src/host/node/kvm/linux.js';

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

/** Runs until something that is no interruption. */
export function run(vcpu: KvmVcpu): KvmExit {
  for (;;) {
    vcpu.run();
    const exit = vcpu.exit();
    if (exit.reason !== 'interrupted') return exit;
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
