// hot path
/** Answers reads of the VGA's window on the vCPU's own thread. */
import type { WindowReads } from '../../machine/window-reads.js';
import { RUN, RUN_MMIO } from './abi.js';
import type { KvmVcpu } from './vcpu.js';

const UNION = RUN.at.union;

export class WindowAnswers {
  readonly #pending = (): boolean => this.vcpu.hasCoalescedMemory;

  constructor(
    private readonly vcpu: KvmVcpu,
    private readonly reads: WindowReads,
    private readonly memory: WebAssembly.Memory,
  ) {}

  /** Of an `mmio` exit; false: it is the machine thread's. */
  answer(): boolean {
    const view = this.vcpu.runView;
    // System management mode may see something else there.
    if (view.getUint8(UNION + RUN_MMIO.at.isWrite) !== 0 || this.vcpu.inSmm) return false;
    if (view.getUint32(UNION + RUN_MMIO.at.physAddr + 4, true) !== 0) return false;
    const address = view.getUint32(UNION + RUN_MMIO.at.physAddr, true);
    const size = view.getUint32(UNION + RUN_MMIO.at.len, true);
    return this.reads.read(address, size, this.memory, this.#pending, view, UNION + RUN_MMIO.at.data);
  }
}
