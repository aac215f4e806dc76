/** What the monitor works on: handed in by whoever composed the machine. */
import type { TraceEvent } from '../../base/trace.js';
import type { Drive } from '../../block/drive.js';
import type { IoThread } from '../../block/io-thread.js';
import type { BlockNode } from '../../block/node.js';
import type { CharBackend } from '../../char/backend.js';
import type { I8259Info } from '../../devices/intc/i8259.js';
import type { IoapicInfo } from '../../devices/intc/ioapic.js';
import type { PciFunctionInfo } from '../../devices/pci/describe.js';
import type { GraphicConsole } from '../../display/console.js';
import type { KeySender } from '../../display/key-sender.js';
import type { Deflate } from '../../display/screendump.js';
import type { X86Registers } from '../../guest/x86/registers.js';
import type { Machine } from '../../machine/machine.js';
import type { NbdControl } from './nbd.js';
import type { Profiler } from './profile.js';
import type { SavingControl } from './saving.js';

/** A counter or size with its label, for `info jit`. */
export interface Statistic {
  readonly label: string;
  readonly value: string;
}

/** What `info kvm` and `info exits` show. Times in ns. */
export interface KvmReport {
  /** Label and value. */
  readonly facts: readonly Statistic[];
  /** A processor each. */
  readonly processors: readonly {
    readonly guestNs: number;
    readonly exits: readonly { readonly reason: string; readonly count: number; readonly ns: number }[];
  }[];
  readonly accesses: readonly {
    readonly space: 'port' | 'memory';
    readonly write: boolean;
    readonly address: number;
    readonly count: number;
    /** What is there, as the address space names it. */
    readonly name: string;
  }[];
}

export interface MonitorContext {
  readonly name: string | undefined;
  readonly uuid: string;
  readonly version: string;
  readonly accelerator: 'tcg' | 'kvm';
  readonly ramBytes: number;
  /** The host's id of the thread that runs the processors. */
  readonly threadId: number;
  readonly machine: Machine;
  /** One per vCPU. */
  readonly registers: readonly X86Registers[];
  /** Whether a vCPU waits for an interrupt. */
  halted(cpu: number): boolean;
  /** Guest-physical address of a linear one on a vCPU; undefined where nothing is mapped. */
  translate(cpu: number, linear: bigint): bigint | undefined;
  /** Objects that disks may name; the host's threads do their I/O with or without them. */
  readonly ioThreads: ReadonlyMap<string, IoThread>;
  readonly drives: readonly Drive[];
  /** `drive_add`, `drive_del`: `text` as after -drive, with if=none. Fail with UserError. */
  addDrive(text: string): Promise<void>;
  removeDrive(id: string): Promise<void>;
  /** Opens an image for `change`. Fails with UserError. */
  openMedium(file: string, format: string | undefined, readOnly: boolean): Promise<BlockNode>;
  readonly nbd: NbdControl;
  chardevs(): readonly { readonly id: string; readonly backend: CharBackend }[];
  /** Memory that was filled from files before the guest ran. */
  readonly roms: readonly { readonly address: number; readonly size: number; readonly name: string }[];
  readonly display: GraphicConsole | undefined;
  readonly keys: KeySender | undefined;
  readonly inspection: {
    pci(): readonly PciFunctionInfo[];
    pic(): readonly I8259Info[];
    ioapic(): IoapicInfo | undefined;
    irqCounts(): readonly { readonly controller: string; readonly counts: readonly number[] }[];
  };
  translation(): readonly Statistic[];
  readonly profiler: Profiler;
  readonly saving: SavingControl;
  /** Lets the machine run; may take a moment, when its images must be opened again. */
  resume(): void | Promise<void>;
  /** Undefined under another accelerator. */
  kvm(): KvmReport | undefined;
  /** Throws UserError. */
  writeFile(path: string, bytes: Uint8Array): void;
  readonly deflate: Deflate;
  /** `log`: the items of -d; throws UserError for unknown ones. '' lists what there is. */
  setLog(items: readonly string[]): void;
  readonly logHelp: string;
  readonly traceEvents: readonly TraceEvent[];
  quit(): void;
  /** `device_add`, `device_del`: `text` as after -device. Throw UserError. */
  addDevice(text: string): void;
  removeDevice(id: string): void;
}

export interface MemoryFormat {
  readonly kind: 'x' | 'd' | 'u' | 'o' | 'c' | 'i';
  /** Bytes of an item. */
  readonly size: 1 | 2 | 4 | 8;
}

/** What a command is given. */
export interface Session extends MonitorContext {
  /** The vCPU that registers and virtual addresses belong to (`cpu`). */
  cpu: number;
  quit(): void;
  /** Lines typed before, oldest first; the one being run is the last. */
  history(): readonly string[];
  /** How `x` and `xp` show memory unless told otherwise: as the last one did. */
  format: MemoryFormat;
  print(text: string): void;
}
