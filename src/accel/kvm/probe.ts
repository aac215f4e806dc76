/** Small guests that show which processor modes a KVM can run. */

import type { Sregs } from './abi.js';
import type { KvmMachine, KvmSystem } from './interface.js';

export const PROBES = ['real', 'protected', 'paging', 'long'] as const;
export type ProbeName = (typeof PROBES)[number];

export const MODE_TEXT: Readonly<Record<ProbeName, string>> = {
  real: 'real mode',
  protected: 'protected mode without paging',
  paging: '32-bit paging',
  long: '64-bit mode',
};

export interface ProbeResult {
  readonly mode: ProbeName;
  readonly works: boolean;
  /** Why not. */
  readonly reason: string;
}

const CODE = 0x1000;
const TABLES = 0x2000;
const PAGE = 4096;
const ANSWER_PORT = 0x80;
/** mov al, 0x2a / out 0x80, al / hlt: the same in every mode. */
const PROGRAM = [0xb0, 0x2a, 0xe6, ANSWER_PORT, 0xf4];
const Cr0 = { pe: 1n, pg: 0x8000_0000n } as const;
const Cr4 = { pse: 0x10n, pae: 0x20n } as const;
const EFER_LONG = 0x500n;
const FLAT = { limit: 0xffff_ffff, g: 1, db: 1, base: 0n } as const;
const RUNS = 100;

/** Tries these modes, one after the other in one VM: the kernel takes long to make and unmake those. */
export function probe(kvm: KvmSystem, modes: readonly ProbeName[]): ProbeResult[] {
  const vm = kvm.createVm();
  try {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const ram = new Uint8Array(memory.buffer);
    ram.set(PROGRAM, CODE);
    vm.setMemory({ slot: 0, guestAddress: 0n, memory: ram });
    return modes.map((mode, id) => tryMode(vm, id, mode, memory));
  } finally {
    vm.close();
  }
}

function tryMode(vm: KvmMachine, id: number, mode: ProbeName, memory: WebAssembly.Memory): ProbeResult {
  try {
    const vcpu = vm.createVcpu(id);
    try {
      const wanted = prepare(vcpu.sregs(), mode, new DataView(memory.buffer));
      vcpu.setSregs(wanted);
      vcpu.setRegs({ ...vcpu.regs(), rip: BigInt(CODE), rflags: 2n });
      if ((vcpu.sregs().cr0 & wanted.cr0) !== wanted.cr0) {
        return { mode, works: false, reason: 'KVM takes the control registers and drops CR0.PG' };
      }
      let answered = false;
      for (let i = 0; i < RUNS; i++) {
        vcpu.run();
        const exit = vcpu.exit();
        if (exit.reason === 'interrupted') continue;
        if (exit.reason === 'hlt') return { mode, works: answered, reason: answered ? '' : 'halted without an answer' };
        if (exit.reason !== 'io') return { mode, works: false, reason: `the guest stopped: ${exit.reason}` };
        answered = exit.port === ANSWER_PORT && exit.data[0] === PROGRAM[1];
      }
      return { mode, works: false, reason: 'the guest does not come to its end' };
    } finally {
      vcpu.close();
    }
  } catch (error) {
    if (error instanceof Error && error.name === 'KvmError') return { mode, works: false, reason: error.message };
    throw error;
  }
}

function prepare(sregs: Sregs, mode: ProbeName, view: DataView): Sregs {
  if (mode === 'real') return { ...sregs, cs: { ...sregs.cs, base: 0n, selector: 0 } };
  const data = { ...sregs.ds, ...FLAT, selector: 16 };
  const code = { ...sregs.cs, ...FLAT, selector: 8 };
  const flat = { ...sregs, cs: code, ds: data, es: data, ss: data, cr0: sregs.cr0 | Cr0.pe };
  if (mode === 'protected') return flat;
  const paged = { ...flat, cr0: flat.cr0 | Cr0.pg, cr3: BigInt(TABLES) };
  if (mode === 'paging') {
    // One 4 MiB page at 0.
    view.setUint32(TABLES, 0x83, true);
    return { ...paged, cr4: flat.cr4 | Cr4.pse };
  }
  // One 2 MiB page at 0.
  view.setBigUint64(TABLES, BigInt(TABLES + PAGE) | 3n, true);
  view.setBigUint64(TABLES + PAGE, BigInt(TABLES + 2 * PAGE) | 3n, true);
  view.setBigUint64(TABLES + 2 * PAGE, 0x83n, true);
  return { ...paged, cs: { ...code, l: 1, db: 0 }, cr4: flat.cr4 | Cr4.pae, efer: flat.efer | EFER_LONG };
}
