/**
 * What Tinamou uses of KVM, at its three levels. `Kvm`, `KvmVm` and `KvmVcpu` do it with /dev/kvm; something else that does
 * the same (a translator, in a browser) can stand in for it.
 *
 * All calls throw KvmError. Addresses and 64-bit registers are bigints; sizes and small numbers are numbers.
 */
import type {
  CapabilityName,
  CpuidEntry,
  DebugRegs,
  Events,
  Fpu,
  IoapicState,
  MemoryFlag,
  PicState,
  PitState,
  Regs,
  Sregs,
} from './abi.js';

export interface KvmSystem {
  readonly apiVersion: number;
  /** 0: not there; else a number whose meaning depends on the capability. */
  capability(name: CapabilityName): number;
  supportedCpuid(): CpuidEntry[];
  msrIndices(): number[];
  createVm(): KvmMachine;
  close(): void;
}

export interface MemorySlotRequest {
  readonly slot: number;
  readonly guestAddress: bigint;
  /** Host memory that does not move; whole pages. Empty: the slot goes. */
  readonly memory: Uint8Array;
  /** MemoryFlag bits. */
  readonly flags?: (typeof MemoryFlag)[keyof typeof MemoryFlag] | 0 | 3;
}

/** Where a GSI leads. */
export type GsiRoute =
  | { readonly gsi: number; readonly chip: 0 | 1 | 2; readonly pin: number }
  | { readonly gsi: number; readonly address: bigint; readonly data: number };

export interface IoEventRequest {
  readonly eventfd: number;
  readonly space: 'port' | 'memory';
  readonly address: bigint;
  readonly length: 1 | 2 | 4 | 8;
  /** Only writes of this value. */
  readonly match?: bigint;
}

export interface KvmMachine {
  capability(name: CapabilityName): number;
  enableCapability(name: CapabilityName, ...args: bigint[]): void;
  /** Zeroed whole pages that `setMemory` takes: memory that does not move. */
  allocate(bytes: number): Uint8Array;
  setMemory(request: MemorySlotRequest): void;
  /** Four pages below 4 GiB that Intel processors without unrestricted guests need: an identity map, then three for a TSS. */
  reservePages(address: bigint): void;
  /** Pages of the slot written since the last call, a bit each. The slot needs `logDirtyPages`. */
  dirtyLog(slot: number, pages: number): Uint8Array;
  createVcpu(id: number): KvmProcessor;
  /** PIC, I/O APIC and local APICs in the kernel. Before any vCPU. */
  createIrqchip(): void;
  /** The state of the 8259s (0 master, 1 slave) and the I/O APIC that `createIrqchip` made. */
  pic(chip: 0 | 1): PicState;
  setPic(chip: 0 | 1, state: PicState): void;
  ioapic(): IoapicState;
  setIoapic(state: IoapicState): void;
  /** The 8254 in the kernel, with port 61h. Needs the irqchip. */
  createPit(): void;
  pit(): PitState;
  setPit(state: PitState): void;
  setIrqLine(gsi: number, level: boolean): void;
  setRoutes(routes: readonly GsiRoute[]): void;
  /** False: no processor took it. */
  signalMsi(address: bigint, data: number): boolean;
  irqfd(eventfd: number, gsi: number, attach: boolean): void;
  ioeventfd(request: IoEventRequest, attach: boolean): void;
  /** Writes there need not be awaited: they are gathered, for `takeCoalesced` of any vCPU, until something else is an exit. */
  coalesce(space: 'port' | 'memory', address: bigint, size: number, on: boolean): void;
  /** Nanoseconds of the guest's paravirtual clock. */
  clock(): bigint;
  setClock(ns: bigint): void;
  close(): void;
}

/** Why KVM_RUN returned, decoded. `data` of io and mmio is the kernel's buffer itself: a read is answered by filling it. */
export type KvmExit =
  | { readonly reason: 'interrupted' }
  | {
      readonly reason: 'io';
      readonly write: boolean;
      readonly port: number;
      readonly size: 1 | 2 | 4;
      /** More than 1 for string instructions. */
      readonly count: number;
      readonly data: Uint8Array;
    }
  | { readonly reason: 'mmio'; readonly write: boolean; readonly address: number; readonly data: Uint8Array }
  | { readonly reason: 'hlt' | 'shutdown' | 'irqWindowOpen' | 'intr' | 'nmi' | 'setTpr' }
  | { readonly reason: 'failEntry'; readonly hardwareReason: bigint; readonly cpu: number }
  | {
      readonly reason: 'internalError';
      readonly suberror: number;
      /** The instruction that KVM could not emulate, when it says so. */
      readonly instruction?: Uint8Array;
      readonly data: readonly bigint[];
    }
  | {
      readonly reason: 'debug';
      readonly exception: number;
      readonly pc: bigint;
      readonly dr6: bigint;
      readonly dr7: bigint;
    }
  | { readonly reason: 'systemEvent'; readonly type: number; readonly data: readonly bigint[] }
  | { readonly reason: 'ioapicEoi'; readonly vector: number }
  | { readonly reason: 'hypercall'; readonly number: bigint; readonly args: readonly bigint[] }
  /** It took no interrupt for a whole window (KVM_CAP_X86_NOTIFY_VMEXIT). */
  | { readonly reason: 'notify'; readonly contextInvalid: boolean }
  | { readonly reason: 'rdmsr' | 'wrmsr'; readonly index: number; readonly value: bigint }
  | { readonly reason: 'other'; readonly number: number };

export interface GuestDebugRequest {
  readonly singleStep?: boolean;
  /** INT3 in guest code comes to us. */
  readonly softwareBreakpoints?: boolean;
  /** The guest gets a breakpoint exception, as from an INT3 of its own. */
  readonly injectBreakpoint?: boolean;
  /** Up to four linear addresses. */
  readonly breakpoints?: readonly bigint[];
}

export interface KvmProcessor {
  readonly id: number;
  /** Enters the guest until something happens that the kernel does not handle: an `Exit` number. */
  run(): number;
  /** What the last `run` came back with; the next `run` may change it. */
  exit(): KvmExit;
  /** Answers an exit `rdmsr` or `wrmsr`; undefined: there is no such register, the guest gets #GP. */
  answerMsr(value: bigint | undefined): void;
  /** The next (or, with a signal to the thread, the running) `run` returns at once. Good from any thread. */
  setImmediateExit(on: boolean): void;
  regs(): Regs;
  setRegs(regs: Regs): void;
  sregs(): Sregs;
  setSregs(sregs: Sregs): void;
  fpu(): Fpu;
  setFpu(fpu: Fpu): void;
  xsave(): Uint8Array;
  setXsave(area: Uint8Array): void;
  xcr0(): bigint;
  setXcr0(value: bigint): void;
  /** Values in the order asked; undefined: this KVM has no such register. */
  msrs(indices: readonly number[]): (bigint | undefined)[];
  /** Indices of those that were refused. */
  setMsrs(values: ReadonlyMap<number, bigint>): number[];
  lapic(): Uint8Array;
  setLapic(page: Uint8Array): void;
  events(): Events;
  setEvents(events: Events): void;
  debugRegs(): DebugRegs;
  setDebugRegs(registers: DebugRegs): void;
  mpState(): number;
  setMpState(state: number): void;
  setCpuid(entries: readonly CpuidEntry[]): void;
  setGuestDebug(request: GuestDebugRequest): void;
  /** Physical address of a linear one; undefined: not mapped. */
  translate(linear: bigint): bigint | undefined;
  /** Whether `interrupt` would be taken now, as of the last `run`. */
  readonly readyForInterrupt: boolean;
  /** Makes `run` return as soon as an interrupt can be taken. */
  requestInterruptWindow(on: boolean): void;
  /** Injects an external interrupt; only without the in-kernel PIC. */
  interrupt(vector: number): void;
  nmi(): void;
  /** In kHz; 0 when the host's is not stable. */
  tscKhz(): number;
  close(): void;
}
