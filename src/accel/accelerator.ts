/** The one interface behind which guests run: on our translator (`tcg`) or on the host's processor (`kvm`). */
import type { ApicMessage } from '../machine/apic-message.js';
import type { AcceleratorChips } from '../machine/interrupt-chips.js';
import type { PciPresence } from '../machine/pci-presence.js';
import type { WindowReads } from '../machine/window-reads.js';
import type { FlatRange } from '../memory/flat-view.js';
import type { RamSource } from '../memory/memory.js';

/** Timers are not worth leaving guest code for earlier than this. */
export const MIN_SLICE_NS = 50_000;

/** What the machine does for its processors. */
export interface MachineServices {
  portRead(port: number, size: 1 | 2 | 4): number;
  portWrite(port: number, size: 1 | 2 | 4, value: number): void;
  /** `region` is FlatRange.region. */
  mmioRead(region: number, offset: number, size: 1 | 2 | 4): number;
  mmioWrite(region: number, offset: number, size: 1 | 2 | 4, value: number): void;
  /** Virtual time in ns. */
  virtualNow(): number;
  random(): number;
  /** The processor takes the interrupt that the 8259s offer; its vector. */
  picAcknowledge(): number;
  /** A local APIC has finished a level-triggered interrupt. */
  ioapicEoi(vector: number): void;
  /** The coprocessor's error output (FERR#). */
  fpuError(level: boolean): void;
  /** A processor that may be waiting got something to do. */
  wake(): void;
}

export type { ApicMessage };

/** Why a slice of guest code ended. */
export type SliceEnd =
  | { readonly reason: 'running' } // time is up, or the host asked
  | { readonly reason: 'halted' } // every processor waits for an interrupt, or runs on a thread of its own
  | { readonly reason: 'shutdown'; readonly vcpu: number } // triple fault
  | { readonly reason: 'debug'; readonly vcpu: number }
  | { readonly reason: 'internalError'; readonly vcpu: number } // the accelerator cannot go on; it has reported why
  | { readonly reason: 'badCode'; readonly vcpu: number; readonly address: number }; // code outside RAM and ROM

/** One virtual processor. Its architectural state is a record in linear memory; the guest's `registers` read it. */
export interface Vcpu {
  readonly index: number;
  /** Linear-memory address of its state. */
  readonly state: number;
  readonly halted: boolean;
  /** `begins`: at the reset vector, and not when a start-up message comes; otherwise the first one does. */
  reset(begins?: boolean): void;
  /** Output of the interrupt controller that has no local APIC between it and this processor. */
  setInterruptLine(level: boolean): void;
  raiseNmi(): void;
  raiseSmi(): void;
}

export interface Accelerator extends RamSource {
  readonly name: string;
  /** Whether its processors have system management mode. */
  readonly smm: boolean;
  /** Interrupt and timer chips that the accelerator has itself; without them, the board's devices are the chips. */
  readonly chips?: AcceleratorChips | undefined;
  /** Guest-physical addresses that it needs for itself. */
  readonly reserved?: { readonly start: number; readonly length: number };
  readonly memory: WebAssembly.Memory;
  readonly vcpus: readonly Vcpu[];
  connect(services: MachineServices): void;
  /** `space` 1 is what system management mode sees. */
  setFlatView(space: 0 | 1, ranges: readonly FlatRange[]): void;
  /** What ports there are, for who can have some of them answered without us. */
  setPortView?(ranges: readonly FlatRange[]): void;
  setA20(enabled: boolean): void;
  /** A hint: writes there have no effect that anyone sees before the next other access, or a few milliseconds later. */
  coalesceWrites?(space: 'port' | 'memory', address: number, bytes: number): void;
  /** Kept up to date by a board with PCI: reads of functions that are not there need not come to the machine thread. */
  readonly pciPresence?: PciPresence;
  /** Kept up to date by a board with a VGA: reads of its window need not come to the machine thread. */
  readonly windowReads?: WindowReads;
  deliverApic(message: ApicMessage): void;
  /**
   * Runs guest code for at most `maxNs` of real time, or until a timer inside the processors is due, and, when they are counted, so
   * many instructions.
   */
  runSlice(maxNs: number, instructions?: number): SliceEnd;
  /** Earliest deadline of timers inside the processors, in virtual ns; Infinity: none. */
  nextDeadline(): number;
  /** Processors that run on threads of their own, also between slices, stand still until the next one. */
  stop(): void;
  /** Ends the running slice soon (also from device code called by it). */
  kick(): void;
  dispose(): void;
}
