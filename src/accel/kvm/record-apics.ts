/**
 * `kernel_irqchip=off`: KVM runs guest code and nothing else. The local APICs are those of the vCPUs' records, which the
 * runtime's functions work on; only the machine thread does so. What a vCPU's thread must know of them are words in its
 * control block: whether an interrupt waits, and how many NMIs and SMIs.
 */
import { IntReq, X86 } from '../../guest/x86/state.js';
import { VCPU } from '../../ir/layout.js';
import type { ApicMessage } from '../../machine/apic-message.js';
import type { TcgAccelerator } from '../tcg/tcg.js';
import { Halted } from './control.js';
import { load, save } from './guest-access.js';
import type { KvmExit } from './interface.js';
import type { KvmVcpu } from './vcpu.js';

/** One processor with the local APIC in its record. */
export interface ApicOwner {
  /** Address of the record. */
  readonly state: number;
  readonly kvm: KvmVcpu;
  /** 'no': KVM has the state. */
  readonly recordIsNewer: string;
}

/** What waits for a processor. */
export interface Waiting {
  /** Its local APIC or the 8259s have an interrupt. */
  readonly interrupt: boolean;
  readonly nmi: boolean;
  readonly smi: boolean;
}

const STARTUPS = IntReq.init | IntReq.sipi;

export class RecordApics {
  readonly #view: DataView;

  constructor(
    private readonly shared: TcgAccelerator,
    private readonly owners: readonly ApicOwner[],
    /** Is told of what may have changed. */
    private readonly publish: (index: number, waiting: Waiting) => void,
  ) {
    this.#view = new DataView(shared.memory.buffer);
  }

  deliver(message: ApicMessage): void {
    this.shared.deliverApic(message);
    this.changed();
  }

  runTimers(): void {
    this.shared.runTimers();
    this.changed();
  }

  /** Earliest end of a timer, virtual ns. */
  nextDeadline(): number {
    return this.shared.nextDeadline();
  }

  /** Answers an exit for the page of this processor's local APIC; false: it is for something else. */
  access(index: number, { address, write, data }: Extract<KvmExit, { reason: 'mmio' }>): boolean {
    const { state, kvm } = this.owners[index]!;
    const { runtime } = this.shared;
    this.catchUp(index);
    const at = BigInt(address);
    if (!runtime.localIo(at, state)) return false;
    const size = data.length === 1 || data.length === 2 ? data.length : 4;
    if (write) runtime.localWrite(state, at, size, BigInt(load(data, 0, size)));
    else save(data, 0, size, Number(BigInt.asUintN(32, runtime.localRead(state, at, size))));
    kvm.cr8 = runtime.readTpr(state) >>> 4;
    this.changed();
    return true;
  }

  /** The processor can take an interrupt now: its vector, or -1 when there is none after all. */
  accept(index: number): number {
    this.catchUp(index);
    const vector = this.shared.runtime.acceptInterrupt(this.owners[index]!.state);
    this.changed();
    return vector;
  }

  /** Writes of CR8 and IA32_APIC_BASE that KVM kept to itself reach the local APIC. */
  catchUp(index: number): void {
    const { state, kvm, recordIsNewer } = this.owners[index]!;
    if (recordIsNewer !== 'no') return;
    const { runtime } = this.shared;
    const sameBase = kvm.apicBase === this.#view.getBigUint64(state + X86.at['apicBase']!, true);
    const samePriority = kvm.cr8 === runtime.readTpr(state) >>> 4;
    if (sameBase && samePriority) return;
    if (!sameBase) runtime.writeApicBase(state, kvm.apicBase);
    if (!samePriority) runtime.writeTpr(state, kvm.cr8 << 4);
    this.#tell(index);
  }

  /** KVM was loaded from the record; gives a word of `Halted`. */
  loaded(index: number): number {
    const { state, kvm } = this.owners[index]!;
    kvm.apicBase = this.#view.getBigUint64(state + X86.at['apicBase']!, true);
    kvm.cr8 = this.shared.runtime.readTpr(state) >>> 4;
    this.#tell(index);
    if (this.#view.getUint32(state + X86.at['waitForSipi']!, true) !== 0) return Halted.startup;
    return this.#view.getUint32(state + VCPU.at['halted']!, true) === 0 ? Halted.no : Halted.hlt;
  }

  /** The record has been loaded from KVM, whose thread said so of halting. */
  fetched(index: number, halted: number): void {
    const { state } = this.owners[index]!;
    this.#view.setUint32(state + X86.at['waitForSipi']!, Number(halted === Halted.startup), true);
    this.#view.setUint32(state + VCPU.at['halted']!, Number(halted !== Halted.no), true);
  }

  /** Output of the 8259s. */
  setInterruptLine(index: number, level: boolean): void {
    this.catchUp(index);
    this.shared.vcpus[index]!.setInterruptLine(level);
    this.changed();
  }

  raiseNmi(index: number): void {
    this.catchUp(index);
    this.shared.vcpus[index]!.raiseNmi();
    this.changed();
  }

  /** Processors that got INIT or a start-up message. */
  starting(): number[] {
    return this.owners.flatMap(({ state }, i) => (this.#requests(state) & STARTUPS ? [i] : []));
  }

  /** Does to the record what these messages ask for. It must be as new as KVM's state. */
  startUp(index: number): void {
    const { state } = this.owners[index]!;
    const { runtime } = this.shared;
    const requests = this.#requests(state);
    this.#setRequests(state, requests & ~STARTUPS);
    if (requests & IntReq.init) runtime.initProcessor(state);
    const waits = this.#view.getUint32(state + X86.at['waitForSipi']!, true) !== 0;
    if (requests & IntReq.sipi && waits) runtime.startProcessor(state);
    this.changed();
  }

  /** Someone worked on the records. */
  changed(): void {
    for (let i = 0; i < this.owners.length; i++) this.#tell(i);
  }

  #tell(index: number): void {
    const { state } = this.owners[index]!;
    const requests = this.#requests(state);
    const once = requests & (IntReq.nmi | IntReq.smi);
    if (once !== 0) this.#setRequests(state, requests & ~once);
    this.publish(index, {
      interrupt: this.#view.getUint32(state + X86.at['hardPending']!, true) !== 0,
      nmi: (once & IntReq.nmi) !== 0,
      smi: (once & IntReq.smi) !== 0,
    });
  }

  #requests(state: number): number {
    return this.#view.getUint32(state + VCPU.at['interruptRequest']!, true);
  }

  #setRequests(state: number, bits: number): void {
    this.#view.setUint32(state + VCPU.at['interruptRequest']!, bits, true);
  }
}
