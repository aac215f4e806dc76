// hot path
/** Answers reads of PCI functions that are not there on the vCPU's own thread. */
import { CONFIG_ADDRESS_PORT, CONFIG_DATA_PORT, type PciPresence } from '../../machine/pci-presence.js';
import { RUN, RUN_IO } from './abi.js';
import type { KvmVcpu } from './vcpu.js';

const DATA_BYTES = 4;
const UNION = RUN.at.union;

export class AbsentFunctions {
  readonly #pending = (): number | undefined => this.vcpu.lastCoalesced(CONFIG_ADDRESS_PORT);

  constructor(
    private readonly vcpu: KvmVcpu,
    private readonly presence: PciPresence,
  ) {}

  /** Of an `io` exit; false: it is the machine thread's. */
  answer(): boolean {
    const view = this.vcpu.runView;
    if (view.getUint8(UNION + RUN_IO.at.direction) !== 0 || view.getUint32(UNION + RUN_IO.at.count, true) !== 1) {
      return false;
    }
    const offset = view.getUint16(UNION + RUN_IO.at.port, true) - CONFIG_DATA_PORT;
    const size = view.getUint8(UNION + RUN_IO.at.size);
    if (offset < 0 || offset + size > DATA_BYTES || !this.presence.isAbsent(this.#pending)) return false;
    const data = view.getUint32(UNION + RUN_IO.at.dataOffset, true);
    for (let i = 0; i < size; i++) view.setUint8(data + i, 0xff);
    this.presence.countAnswer();
    return true;
  }
}
