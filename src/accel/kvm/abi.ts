/** The Linux KVM interface for x86: numbers and structures of <linux/kvm.h> and <asm/kvm.h> (Documentation/virt/kvm/api.rst). */
import { array, bytes, type Codec, type Struct, s32, s64, struct, u8, u16, u32, u64 } from './struct.js';

export const API_VERSION = 12;

/** KVM_CAP_* */
export const Capability = {
  IRQCHIP: 0,
  USER_MEMORY: 3,
  SET_TSS_ADDR: 4,
  EXT_CPUID: 7,
  NR_VCPUS: 9,
  NR_MEMSLOTS: 10,
  MP_STATE: 14,
  COALESCED_MMIO: 15,
  USER_NMI: 22,
  SET_GUEST_DEBUG: 23,
  IRQ_ROUTING: 25,
  MCE: 31,
  IRQFD: 32,
  PIT2: 33,
  IOEVENTFD: 36,
  SET_IDENTITY_MAP_ADDR: 37,
  ADJUST_CLOCK: 39,
  INTERNAL_ERROR_DATA: 40,
  VCPU_EVENTS: 41,
  DEBUGREGS: 50,
  XSAVE: 55,
  XCRS: 56,
  TSC_CONTROL: 60,
  GET_TSC_KHZ: 61,
  MAX_VCPUS: 66,
  TSC_DEADLINE_TIMER: 72,
  SYNC_REGS: 74,
  SIGNAL_MSI: 77,
  READONLY_MEM: 81,
  IRQFD_RESAMPLE: 82,
  ENABLE_CAP_VM: 98,
  X86_SMM: 117,
  MULTI_ADDRESS_SPACE: 118,
  SPLIT_IRQCHIP: 121,
  IOEVENTFD_ANY_LENGTH: 122,
  MAX_VCPU_ID: 128,
  X2APIC_API: 129,
  IMMEDIATE_EXIT: 136,
  X86_DISABLE_EXITS: 143,
  COALESCED_PIO: 162,
  EXCEPTION_PAYLOAD: 164,
  MANUAL_DIRTY_LOG_PROTECT2: 168,
  STEAL_TIME: 187,
  X86_USER_SPACE_MSR: 188,
  X86_MSR_FILTER: 189,
  SREGS2: 200,
  EXIT_ON_EMULATION_FAILURE: 204,
  XSAVE2: 208,
  X86_TRIPLE_FAULT_EVENT: 218,
  X86_NOTIFY_VMEXIT: 219,
} as const;
export type CapabilityName = keyof typeof Capability;

/** KVM_EXIT_*; `interrupted` is ours, for a KVM_RUN that a signal ended. */
export const Exit = {
  interrupted: -1,
  unknown: 0,
  exception: 1,
  io: 2,
  hypercall: 3,
  debug: 4,
  hlt: 5,
  mmio: 6,
  irqWindowOpen: 7,
  shutdown: 8,
  failEntry: 9,
  intr: 10,
  setTpr: 11,
  tprAccess: 12,
  nmi: 16,
  internalError: 17,
  systemEvent: 24,
  ioapicEoi: 26,
  hyperv: 27,
  rdmsr: 29,
  wrmsr: 30,
  dirtyRingFull: 31,
  busLock: 33,
  xen: 34,
  notify: 37,
} as const;
const EXIT_NAMES = new Map<number, string>(Object.entries(Exit).map(([name, number]) => [number, name]));
export const exitName = (reason: number): string => EXIT_NAMES.get(reason) ?? `number ${reason}`;

export const MemoryFlag = { logDirtyPages: 1, readOnly: 2 } as const;
export const MpState = { runnable: 0, uninitialized: 1, initReceived: 2, halted: 3, sipiReceived: 4 } as const;
export const GuestDebug = {
  enable: 1,
  singleStep: 2,
  softwareBreakpoints: 0x10000,
  hardwareBreakpoints: 0x20000,
  injectBreakpoint: 0x80000,
} as const;
export const Routing = { irqchip: 1, msi: 2 } as const;
export const IoeventFlag = { dataMatch: 1, pio: 2, deassign: 4 } as const;
export const IRQFD_DEASSIGN = 1;
/** Types of KVM_EXIT_SYSTEM_EVENT. */
export const SystemEvent = { shutdown: 1, reset: 2, crash: 3 } as const;
/** Argument of KVM_CAP_X86_USER_SPACE_MSR: exit for MSRs that KVM does not know. */
export const MSR_EXIT_UNKNOWN = 2n;
export const SyncRegs = { regs: 1, sregs: 2, events: 4 } as const;
/** kvm_run.flags */
export const RunFlag = { smm: 1 } as const;
export const CPUID_SIGNIFICANT_INDEX = 1;
/** Of struct kvm_vcpu_events: which fields KVM_SET_VCPU_EVENTS takes. */
export const EventsValid = { nmiPending: 1, sipiVector: 2, shadow: 4, smm: 8 } as const;

export const MEMORY_REGION = struct({ slot: u32, flags: u32, guestPhysAddr: u64, memorySize: u64, userspaceAddr: u64 });
export const ENABLE_CAP = struct({ cap: u32, flags: u32, args: array(u64, 4) }, 104);
export const IRQ_LEVEL = struct({ irq: u32, level: u32 });
export const PIT_CONFIG = struct({ flags: u32 }, 64);
export const MSI = struct({ addressLo: u32, addressHi: u32, data: u32, flags: u32 }, 32);
export const IRQFD = struct({ fd: u32, gsi: u32, flags: u32, resamplefd: u32 }, 32);
export const IOEVENTFD = struct({ datamatch: u64, addr: u64, len: u32, fd: s32, flags: u32 }, 64);
export const DIRTY_LOG = struct({ slot: u32, pad: u32, bitmap: u64 });
export const CLEAR_DIRTY_LOG = struct({ slot: u32, numPages: u32, firstPage: u64, bitmap: u64 });
export const COALESCED_ZONE = struct({ addr: u64, size: u32, pio: u32 });
/** One write in struct kvm_coalesced_mmio_ring, and what goes before the writes. */
export const COALESCED_WRITE = struct({ address: u64, len: u32, pio: u32, data: bytes(8) });
export const COALESCED_RING = struct({ first: u32, last: u32 });
export const CLOCK_DATA = struct({ clock: u64, flags: u32, pad: u32, realtime: u64, hostTsc: u64 }, 48);

/** A GSI as an input of a chip (0: PIC master, 1: slave, 2: I/O APIC), or as a message. */
export const ROUTE = struct({ gsi: u32, type: u32, flags: u32, pad: u32, a: u32, b: u32, c: u32 }, 48);
export const ROUTES = struct({ nr: u32, flags: u32 });

export const PIC_STATE = struct({
  lastIrr: u8,
  irr: u8,
  imr: u8,
  isr: u8,
  priorityAdd: u8,
  irqBase: u8,
  readRegSelect: u8,
  poll: u8,
  specialMask: u8,
  initState: u8,
  autoEoi: u8,
  rotateOnAutoEoi: u8,
  specialFullyNestedMode: u8,
  init4: u8,
  elcr: u8,
  elcrMask: u8,
});
/** Of struct kvm_irqchip, and of a route that leads to a chip's input. */
export const IrqchipId = { master: 0, slave: 1, ioapic: 2 } as const;
export const IRQCHIP = struct({ chipId: u32, pad: u32, chip: bytes(512) });
/** What `chip` holds for IrqchipId.ioapic; for the others it is PIC_STATE. */
export const IOAPIC_STATE = struct({
  baseAddress: u64,
  ioregsel: u32,
  id: u32,
  irr: u32,
  pad: u32,
  redirection: array(u64, 24),
});
/** struct kvm_pit_config.flags: port 61h is the kernel's too. */
export const PIT_SPEAKER = 1;
/** struct kvm_pit_state2.flags */
export const PitFlag = { hpetLegacy: 1, speakerOn: 2 } as const;
export const PIT_CHANNEL = struct({
  count: u32,
  latchedCount: u16,
  countLatched: u8,
  statusLatched: u8,
  status: u8,
  readState: u8,
  writeState: u8,
  writeLatch: u8,
  rwMode: u8,
  mode: u8,
  bcd: u8,
  gate: u8,
  countLoadTime: s64,
});
export const PIT_STATE2 = struct({ channels: array(PIT_CHANNEL, 3), flags: u32 }, 112);

export const REGS = struct({
  rax: u64,
  rbx: u64,
  rcx: u64,
  rdx: u64,
  rsi: u64,
  rdi: u64,
  rsp: u64,
  rbp: u64,
  r8: u64,
  r9: u64,
  r10: u64,
  r11: u64,
  r12: u64,
  r13: u64,
  r14: u64,
  r15: u64,
  rip: u64,
  rflags: u64,
});
export const SEGMENT = struct({
  base: u64,
  limit: u32,
  selector: u16,
  type: u8,
  present: u8,
  dpl: u8,
  db: u8,
  s: u8,
  l: u8,
  g: u8,
  avl: u8,
  unusable: u8,
  padding: u8,
});
export const DTABLE = struct({ base: u64, limit: u16, padding: array(u16, 3) });
export const SREGS = struct({
  cs: SEGMENT,
  ds: SEGMENT,
  es: SEGMENT,
  fs: SEGMENT,
  gs: SEGMENT,
  ss: SEGMENT,
  tr: SEGMENT,
  ldt: SEGMENT,
  gdt: DTABLE,
  idt: DTABLE,
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  cr8: u64,
  efer: u64,
  apicBase: u64,
  interruptBitmap: array(u64, 4),
});
export const FPU = struct({
  fpr: array(bytes(16), 8),
  fcw: u16,
  fsw: u16,
  ftwx: u8,
  pad1: u8,
  lastOpcode: u16,
  lastIp: u64,
  lastDp: u64,
  xmm: array(bytes(16), 16),
  mxcsr: u32,
  pad2: u32,
});
export const MSR_ENTRY = struct({ index: u32, reserved: u32, data: u64 });
export const MSRS = struct({ nmsrs: u32, pad: u32 });
export const CPUID_ENTRY = struct(
  { function: u32, index: u32, flags: u32, eax: u32, ebx: u32, ecx: u32, edx: u32 },
  40,
);
export const CPUID = struct({ nent: u32, padding: u32 });
export const EVENTS = struct({
  exceptionInjected: u8,
  exceptionNr: u8,
  exceptionHasErrorCode: u8,
  exceptionPending: u8,
  exceptionErrorCode: u32,
  interruptInjected: u8,
  interruptNr: u8,
  interruptSoft: u8,
  interruptShadow: u8,
  nmiInjected: u8,
  nmiPending: u8,
  nmiMasked: u8,
  nmiPad: u8,
  sipiVector: u32,
  flags: u32,
  smiSmm: u8,
  smiPending: u8,
  smiSmmInsideNmi: u8,
  smiLatchedInit: u8,
  tripleFaultPending: u8,
  reserved: bytes(26),
  exceptionHasPayload: u8,
  exceptionPayload: u64,
});
export const DEBUGREGS = struct({ db: array(u64, 4), dr6: u64, dr7: u64, flags: u64 }, 128);
export const GUEST_DEBUG = struct({ control: u32, pad: u32, debugreg: array(u64, 8) });
export const XCR = struct({ xcr: u32, reserved: u32, value: u64 });
export const XCRS = struct({ nrXcrs: u32, flags: u32, xcrs: array(XCR, 16) }, 392);
export const TRANSLATION = struct({ linear: u64, physical: u64, valid: u8, writeable: u8, usermode: u8 });
export const MACHINE_CHECK = struct({ capabilities: u64 });
export const MP_STATE = struct({ mpState: u32 });
export const INTERRUPT = struct({ irq: u32 });
export const XSAVE_BYTES = 4096;
export const LAPIC_BYTES = 0x400;

/** The head of struct kvm_run, and what each exit reason leaves in its union. */
export const RUN = struct({
  requestInterruptWindow: u8,
  immediateExit: u8,
  padding: bytes(6),
  exitReason: u32,
  readyForInterruptInjection: u8,
  ifFlag: u8,
  flags: u16,
  cr8: u64,
  apicBase: u64,
  union: bytes(256),
  validRegs: u64,
  dirtyRegs: u64,
  syncRegs: bytes(2048),
});
export const RUN_IO = struct({ direction: u8, size: u8, port: u16, count: u32, dataOffset: u64 });
export const RUN_MMIO = struct({ physAddr: u64, data: bytes(8), len: u32, isWrite: u8 });
export const RUN_DEBUG = struct({ exception: u32, pad: u32, pc: u64, dr6: u64, dr7: u64 });
export const RUN_FAIL_ENTRY = struct({ reason: u64, cpu: u32 });
export const RUN_INTERNAL = struct({ suberror: u32, ndata: u32, data: array(u64, 16) });
/** Laid over RUN_INTERNAL for suberror 1; bit 0 of `flags`: the instruction bytes are there. */
export const RUN_EMULATION = struct({ suberror: u32, ndata: u32, flags: u64, insnSize: u8, insnBytes: bytes(15) });
export const RUN_SYSTEM_EVENT = struct({ type: u32, ndata: u32, data: array(u64, 16) });
export const RUN_HYPERCALL = struct({ nr: u64, args: array(u64, 6), ret: u64, longmode: u32 });
/** Of a processor that took no interrupt for long: what KVM has of it may be wrong. */
export const RUN_NOTIFY = struct({ flags: u32 });
export const NOTIFY_CONTEXT_INVALID = 1;
export const RUN_MSR = struct({ error: u8, pad: bytes(7), reason: u32, index: u32, data: u64 });
/** What lies in RUN.syncRegs. */
export const SYNC_REGS = struct({ regs: REGS, sregs: SREGS, events: EVENTS });

export type ValueOf<S> = S extends Codec<infer T> ? T : never;
export type Regs = ValueOf<typeof REGS>;
export type Sregs = ValueOf<typeof SREGS>;
export type KvmSegment = ValueOf<typeof SEGMENT>;
export type Fpu = ValueOf<typeof FPU>;
export type Events = ValueOf<typeof EVENTS>;
export type DebugRegs = ValueOf<typeof DEBUGREGS>;
export type CpuidEntry = ValueOf<typeof CPUID_ENTRY>;
export type MemorySlot = ValueOf<typeof MEMORY_REGION>;
export type PicState = ValueOf<typeof PIC_STATE>;
export type IoapicState = ValueOf<typeof IOAPIC_STATE>;
export type PitState = ValueOf<typeof PIT_STATE2>;

const KVMIO = 0xae;
/** Numbers as <asm-generic/ioctl.h> makes them. */
const number = (direction: number, nr: number, size: number): number =>
  ((direction << 30) | (size << 16) | (KVMIO << 8) | nr) >>> 0;
const io = (nr: number): number => number(0, nr, 0);
const iow = (nr: number, argument: { size: number }): number => number(1, nr, argument.size);
const ior = (nr: number, argument: { size: number }): number => number(2, nr, argument.size);
const iowr = (nr: number, argument: { size: number }): number => number(3, nr, argument.size);

/** Requests by name: what KvmError tells. */
export const Request = {
  KVM_GET_API_VERSION: io(0x00),
  KVM_CREATE_VM: io(0x01),
  KVM_GET_MSR_INDEX_LIST: iowr(0x02, { size: 4 }),
  KVM_CHECK_EXTENSION: io(0x03),
  KVM_GET_VCPU_MMAP_SIZE: io(0x04),
  KVM_GET_SUPPORTED_CPUID: iowr(0x05, CPUID),
  KVM_CREATE_VCPU: io(0x41),
  KVM_GET_DIRTY_LOG: iow(0x42, DIRTY_LOG),
  KVM_SET_USER_MEMORY_REGION: iow(0x46, MEMORY_REGION),
  KVM_SET_NR_MMU_PAGES: io(0x44),
  KVM_SET_TSS_ADDR: io(0x47),
  KVM_SET_IDENTITY_MAP_ADDR: iow(0x48, u64),
  KVM_CREATE_IRQCHIP: io(0x60),
  KVM_IRQ_LINE: iow(0x61, IRQ_LEVEL),
  KVM_GET_IRQCHIP: iowr(0x62, IRQCHIP),
  KVM_SET_IRQCHIP: ior(0x63, IRQCHIP),
  KVM_REGISTER_COALESCED_MMIO: iow(0x67, COALESCED_ZONE),
  KVM_UNREGISTER_COALESCED_MMIO: iow(0x68, COALESCED_ZONE),
  KVM_SET_GSI_ROUTING: iow(0x6a, ROUTES),
  KVM_IRQFD: iow(0x76, IRQFD),
  KVM_CREATE_PIT2: iow(0x77, PIT_CONFIG),
  KVM_IOEVENTFD: iow(0x79, IOEVENTFD),
  KVM_SET_CLOCK: iow(0x7b, CLOCK_DATA),
  KVM_GET_CLOCK: ior(0x7c, CLOCK_DATA),
  KVM_RUN: io(0x80),
  KVM_GET_REGS: ior(0x81, REGS),
  KVM_SET_REGS: iow(0x82, REGS),
  KVM_GET_SREGS: ior(0x83, SREGS),
  KVM_SET_SREGS: iow(0x84, SREGS),
  KVM_TRANSLATE: iowr(0x85, TRANSLATION),
  KVM_INTERRUPT: iow(0x86, INTERRUPT),
  KVM_GET_MSRS: iowr(0x88, MSRS),
  KVM_SET_MSRS: iow(0x89, MSRS),
  KVM_GET_FPU: ior(0x8c, FPU),
  KVM_SET_FPU: iow(0x8d, FPU),
  KVM_GET_LAPIC: ior(0x8e, { size: LAPIC_BYTES }),
  KVM_SET_LAPIC: iow(0x8f, { size: LAPIC_BYTES }),
  KVM_SET_CPUID2: iow(0x90, CPUID),
  KVM_GET_MP_STATE: ior(0x98, MP_STATE),
  KVM_SET_MP_STATE: iow(0x99, MP_STATE),
  KVM_NMI: io(0x9a),
  KVM_SET_GUEST_DEBUG: iow(0x9b, GUEST_DEBUG),
  KVM_X86_SETUP_MCE: iow(0x9c, MACHINE_CHECK),
  KVM_GET_VCPU_EVENTS: ior(0x9f, EVENTS),
  KVM_GET_PIT2: ior(0x9f, PIT_STATE2),
  KVM_SET_PIT2: iow(0xa0, PIT_STATE2),
  KVM_SET_VCPU_EVENTS: iow(0xa0, EVENTS),
  KVM_GET_DEBUGREGS: ior(0xa1, DEBUGREGS),
  KVM_SET_DEBUGREGS: iow(0xa2, DEBUGREGS),
  KVM_SET_TSC_KHZ: io(0xa2),
  KVM_GET_TSC_KHZ: io(0xa3),
  KVM_ENABLE_CAP: iow(0xa3, ENABLE_CAP),
  KVM_GET_XSAVE: ior(0xa4, { size: XSAVE_BYTES }),
  KVM_SET_XSAVE: iow(0xa5, { size: XSAVE_BYTES }),
  KVM_SIGNAL_MSI: iow(0xa5, MSI),
  KVM_GET_XCRS: ior(0xa6, XCRS),
  KVM_SET_XCRS: iow(0xa7, XCRS),
  KVM_KVMCLOCK_CTRL: io(0xad),
  KVM_SMI: io(0xb7),
  KVM_CLEAR_DIRTY_LOG: iowr(0xc0, CLEAR_DIRTY_LOG),
} as const;
export type RequestName = keyof typeof Request;

/** A structure with a counted list behind it. */
export function encodeList<H, E>(head: Struct<H>, header: H, element: Struct<E>, elements: readonly E[]): Uint8Array {
  const encoded = head.encode(header, element.size * elements.length);
  const view = new DataView(encoded.buffer);
  for (const [i, e] of elements.entries()) element.write(view, head.size + i * element.size, e);
  return encoded;
}
