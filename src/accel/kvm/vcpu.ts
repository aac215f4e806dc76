// hot path
/** The vCPU level: registers, KVM_RUN and what it comes back with. */
import {
  COALESCED_RING,
  COALESCED_WRITE,
  CPUID,
  CPUID_ENTRY,
  type CpuidEntry,
  DEBUGREGS,
  type DebugRegs,
  EVENTS,
  type Events,
  Exit,
  encodeList,
  exitName,
  FPU,
  type Fpu,
  GUEST_DEBUG,
  GuestDebug,
  INTERRUPT,
  LAPIC_BYTES,
  MACHINE_CHECK,
  MP_STATE,
  MSR_ENTRY,
  MSRS,
  NOTIFY_CONTEXT_INVALID,
  REGS,
  type Regs,
  Request,
  RUN,
  RUN_DEBUG,
  RUN_EMULATION,
  RUN_FAIL_ENTRY,
  RUN_HYPERCALL,
  RUN_INTERNAL,
  RUN_IO,
  RUN_MMIO,
  RUN_MSR,
  RUN_NOTIFY,
  RUN_SYSTEM_EVENT,
  RunFlag,
  SREGS,
  type Sregs,
  TRANSLATION,
  XCRS,
  XSAVE_BYTES,
} from './abi.js';
import type { HostCalls, Mapping } from './host-calls.js';
import type { GuestDebugRequest, KvmExit, KvmProcessor } from './interface.js';
import { KvmDescriptor } from './requests.js';

const EINTR = 4;
const EAGAIN = 11;
const SUBERROR_EMULATION = 1;
const PAGE = 4096;
const UNION = RUN.at.union;
const NOTHING = new Uint8Array(0);
// What each exit of a guest's loop looks at, as words and by name: looking the places up took longer than the exit's own work.
const EXIT_IO: number = Exit.io;
const EXIT_MMIO: number = Exit.mmio;
const REASON = RUN.at.exitReason >> 2;
/** Direction, size, and the port in the upper half. */
const IO_HEAD = (UNION + RUN_IO.at.direction) >> 2;
const IO_COUNT = (UNION + RUN_IO.at.count) >> 2;
const IO_OFFSET = (UNION + RUN_IO.at.dataOffset) >> 2;
const MMIO_LOW = (UNION + RUN_MMIO.at.physAddr) >> 2;
const MMIO_HIGH = MMIO_LOW + 1;
const MMIO_DATA = UNION + RUN_MMIO.at.data;
const MMIO_LENGTH = (UNION + RUN_MMIO.at.len) >> 2;
/** In its lowest byte. */
const MMIO_WRITE = (UNION + RUN_MMIO.at.isWrite) >> 2;
const RING_WRITES = Math.floor((PAGE - COALESCED_RING.size) / COALESCED_WRITE.size);

type Refilled<Reason> = {
  -readonly [K in keyof Extract<KvmExit, { reason: Reason }>]: Extract<KvmExit, { reason: Reason }>[K];
};

export class KvmVcpu implements KvmProcessor {
  /** struct kvm_run, as long as the vCPU lives. */
  readonly runView: DataView;
  readonly #words: Int32Array;
  readonly #vcpu: KvmDescriptor;
  readonly #mapping: Mapping;
  #lastBytes: Uint8Array = NOTHING;
  #lastOffset = 0;
  #lastLength = 0;
  // Filled anew by each such exit: guests make hundreds of thousands a second.
  readonly #io: Refilled<'io'> = { reason: 'io', write: false, port: 0, size: 1, count: 0, data: NOTHING };
  readonly #mmio: Refilled<'mmio'> = { reason: 'mmio', write: false, address: 0, data: NOTHING };
  #interrupted = false;
  #closed = false;
  /** Of the ring's writes, the first that has not been taken. */
  #nextCoalesced = 0;

  /** `fd` may have been made in another thread; each thread that uses it has its own KvmVcpu. */
  constructor(
    private readonly calls: HostCalls,
    readonly fd: number,
    readonly runBytes: number,
    readonly id: number,
    /** Page of the mapping that has the ring of coalesced writes; 0: none. */
    readonly ringPage = 0,
  ) {
    this.#vcpu = new KvmDescriptor(calls, fd);
    this.#mapping = calls.map(fd, runBytes);
    this.runView = new DataView(this.#mapping.buffer);
    this.#words = new Int32Array(this.#mapping.buffer);
  }

  run(): number {
    const result = this.calls.run(this.fd);
    this.#interrupted = result === -EINTR || result === -EAGAIN;
    if (this.#interrupted) return Exit.interrupted;
    if (result < 0) this.#vcpu.check('KVM_RUN', result, `vCPU ${this.id}`);
    return this.exitReason;
  }

  /** An `Exit` number. */
  get exitReason(): number {
    return this.#words[REASON]! >>> 0;
  }

  /**
   * Hands on the coalesced writes of the VM's vCPUs, oldest first. For one thread. `register`: a port that does nothing but keep a
   * double word; of several that follow one another only the last is handed on.
   */
  takeCoalesced(
    handle: (space: 'port' | 'memory', address: number, data: Uint8Array) => void,
    register?: number | undefined,
  ): void {
    if (this.ringPage === 0 || this.#closed) return;
    const ring = this.ringPage * PAGE;
    const view = this.runView;
    let next = this.#nextCoalesced;
    for (;;) {
      const last = view.getUint32(ring + COALESCED_RING.at.last, true);
      if (next === last) return;
      const at = ring + COALESCED_RING.size + next * COALESCED_WRITE.size;
      const following = (next + 1) % RING_WRITES;
      const overwritten =
        register !== undefined &&
        following !== last &&
        this.#isRegisterWrite(next, register) &&
        this.#isRegisterWrite(following, register);
      const length = Math.min(view.getUint32(at + COALESCED_WRITE.at.len, true), 8);
      const data = overwritten ? NOTHING : new Uint8Array(view.buffer, at + COALESCED_WRITE.at.data, length).slice();
      const low = view.getUint32(at + COALESCED_WRITE.at.address, true);
      const address = view.getUint32(at + COALESCED_WRITE.at.address + 4, true) * 2 ** 32 + low;
      const port = view.getUint32(at + COALESCED_WRITE.at.pio, true) !== 0;
      next = following;
      this.#nextCoalesced = next;
      // Linux before 6.12 finds room in a ring that is full if `first` is 0, and a whole lap is lost: there this one stays, as nobody's.
      if (next === 0) view.setUint32(at + COALESCED_WRITE.at.len, 0, true);
      else view.setUint32(ring + COALESCED_RING.at.first, next, true);
      if (!overwritten) handle(port ? 'port' : 'memory', address, data);
    }
  }

  /** Whether that write of the ring is of a double word to the port. */
  #isRegisterWrite(index: number, port: number): boolean {
    const view = this.runView;
    const at = this.ringPage * PAGE + COALESCED_RING.size + index * COALESCED_WRITE.size;
    return (
      view.getUint32(at + COALESCED_WRITE.at.address, true) === port &&
      view.getUint32(at + COALESCED_WRITE.at.pio, true) !== 0 &&
      view.getUint32(at + COALESCED_WRITE.at.len, true) === 4
    );
  }

  /** Whether `takeCoalesced` has something to take. */
  get hasCoalesced(): boolean {
    if (this.ringPage === 0 || this.#closed) return false;
    const ring = this.ringPage * PAGE;
    return this.#nextCoalesced !== this.runView.getUint32(ring + COALESCED_RING.at.last, true);
  }

  /** The newest double word written to a port among the coalesced writes that nobody has taken yet. */
  lastCoalesced(port: number): number | undefined {
    if (this.ringPage === 0) return undefined;
    const ring = this.ringPage * PAGE;
    const view = this.runView;
    const first = view.getUint32(ring + COALESCED_RING.at.first, true);
    let next = view.getUint32(ring + COALESCED_RING.at.last, true);
    if (first >= RING_WRITES || next >= RING_WRITES) return undefined;
    while (next !== first) {
      next = (next + RING_WRITES - 1) % RING_WRITES;
      if (!this.#isRegisterWrite(next, port)) continue;
      return view.getUint32(ring + COALESCED_RING.size + next * COALESCED_WRITE.size + COALESCED_WRITE.at.data, true);
    }
    return undefined;
  }

  /** Whether there are writes to memory among those. */
  get hasCoalescedMemory(): boolean {
    if (this.ringPage === 0) return false;
    const ring = this.ringPage * PAGE;
    const view = this.runView;
    let next = view.getUint32(ring + COALESCED_RING.at.first, true);
    const last = view.getUint32(ring + COALESCED_RING.at.last, true);
    if (next >= RING_WRITES || last >= RING_WRITES) return true;
    for (; next !== last; next = (next + 1) % RING_WRITES) {
      const at = ring + COALESCED_RING.size + next * COALESCED_WRITE.size;
      // A write that has been taken, but could not be let go, has no bytes.
      const bytes = view.getUint32(at + COALESCED_WRITE.at.len, true);
      if (bytes !== 0 && view.getUint32(at + COALESCED_WRITE.at.pio, true) === 0) return true;
    }
    return false;
  }

  exit(): KvmExit {
    if (this.#interrupted) return { reason: 'interrupted' };
    const words = this.#words;
    const number = words[REASON]!;
    if (number === EXIT_IO) {
      const io = this.#io;
      const head = words[IO_HEAD]!;
      io.write = (head & 0xff) === 1;
      io.size = ((head >>> 8) & 0xff) as 1 | 2 | 4;
      io.port = head >>> 16;
      io.count = words[IO_COUNT]! >>> 0;
      io.data = this.#bytes(words[IO_OFFSET]!, io.size * io.count);
      return io;
    }
    if (number === EXIT_MMIO) {
      const mmio = this.#mmio;
      mmio.write = (words[MMIO_WRITE]! & 0xff) !== 0;
      mmio.address = (words[MMIO_HIGH]! >>> 0) * 2 ** 32 + (words[MMIO_LOW]! >>> 0);
      mmio.data = this.#bytes(MMIO_DATA, words[MMIO_LENGTH]!);
      return mmio;
    }
    const view = this.runView;
    switch (number) {
      case Exit.failEntry: {
        const { reason, cpu } = RUN_FAIL_ENTRY.read(view, UNION);
        return { reason: 'failEntry', hardwareReason: reason, cpu };
      }
      case Exit.internalError:
        return this.#internalError();
      case Exit.debug: {
        const { exception, pc, dr6, dr7 } = RUN_DEBUG.read(view, UNION);
        return { reason: 'debug', exception, pc, dr6, dr7 };
      }
      case Exit.systemEvent: {
        const { type, ndata, data } = RUN_SYSTEM_EVENT.read(view, UNION);
        return { reason: 'systemEvent', type, data: data.slice(0, ndata) };
      }
      case Exit.ioapicEoi:
        return { reason: 'ioapicEoi', vector: view.getUint8(UNION) };
      case Exit.hypercall: {
        const { nr, args } = RUN_HYPERCALL.read(view, UNION);
        return { reason: 'hypercall', number: nr, args };
      }
      case Exit.notify: {
        const { flags } = RUN_NOTIFY.read(view, UNION);
        return { reason: 'notify', contextInvalid: (flags & NOTIFY_CONTEXT_INVALID) !== 0 };
      }
      case Exit.rdmsr:
      case Exit.wrmsr: {
        const { index, data } = RUN_MSR.read(view, UNION);
        return { reason: number === Exit.rdmsr ? 'rdmsr' : 'wrmsr', index, value: data };
      }
      case Exit.hlt:
      case Exit.shutdown:
      case Exit.irqWindowOpen:
      case Exit.intr:
      case Exit.nmi:
      case Exit.setTpr:
        return { reason: exitName(number) as 'hlt' | 'shutdown' | 'irqWindowOpen' | 'intr' | 'nmi' | 'setTpr' };
      default:
        return { reason: 'other', number };
    }
  }

  /** The guest's own number is in `exit`. */
  answerHypercall(result: bigint): void {
    this.runView.setBigUint64(UNION + RUN_HYPERCALL.at.ret, BigInt.asUintN(64, result), true);
  }

  answerMsr(value: bigint | undefined): void {
    this.runView.setUint8(UNION + RUN_MSR.at.error, value === undefined ? 1 : 0);
    if (value !== undefined) this.runView.setBigUint64(UNION + RUN_MSR.at.data, value, true);
  }

  setImmediateExit(on: boolean): void {
    if (this.#closed) return;
    this.runView.setUint8(RUN.at.immediateExit, on ? 1 : 0);
  }

  regs(): Regs {
    return REGS.decode(this.#vcpu.bytes('KVM_GET_REGS', new Uint8Array(REGS.size)));
  }

  setRegs(regs: Regs): void {
    this.#vcpu.bytes('KVM_SET_REGS', REGS.encode(regs));
  }

  sregs(): Sregs {
    return SREGS.decode(this.#vcpu.bytes('KVM_GET_SREGS', new Uint8Array(SREGS.size)));
  }

  setSregs(sregs: Sregs): void {
    this.#vcpu.bytes('KVM_SET_SREGS', SREGS.encode(sregs));
  }

  fpu(): Fpu {
    return FPU.decode(this.#vcpu.bytes('KVM_GET_FPU', new Uint8Array(FPU.size)));
  }

  setFpu(fpu: Fpu): void {
    this.#vcpu.bytes('KVM_SET_FPU', FPU.encode(fpu));
  }

  xsave(): Uint8Array {
    return this.#vcpu.bytes('KVM_GET_XSAVE', new Uint8Array(XSAVE_BYTES));
  }

  setXsave(area: Uint8Array): void {
    const whole = new Uint8Array(XSAVE_BYTES);
    whole.set(area);
    this.#vcpu.bytes('KVM_SET_XSAVE', whole);
  }

  xcr0(): bigint {
    const { nrXcrs, xcrs } = XCRS.decode(this.#vcpu.bytes('KVM_GET_XCRS', new Uint8Array(XCRS.size)));
    return xcrs.slice(0, nrXcrs).find((x) => x.xcr === 0)?.value ?? 1n;
  }

  setXcr0(value: bigint): void {
    this.#vcpu.bytes('KVM_SET_XCRS', XCRS.encode({ nrXcrs: 1, flags: 0, xcrs: [{ xcr: 0, reserved: 0, value }] }));
  }

  msrs(indices: readonly number[]): (bigint | undefined)[] {
    const found: (bigint | undefined)[] = [];
    while (found.length < indices.length) {
      const rest = indices.slice(found.length).map((index) => ({ index, reserved: 0, data: 0n }));
      const list = encodeList(MSRS, { nmsrs: rest.length, pad: 0 }, MSR_ENTRY, rest);
      const got = this.#vcpu.bytesResult('KVM_GET_MSRS', list);
      for (let i = 0; i < got; i++) found.push(MSR_ENTRY.decode(list, MSRS.size + i * MSR_ENTRY.size).data);
      // The kernel stops at the first that it has not.
      if (got < rest.length) found.push(undefined);
    }
    return found;
  }

  setMsrs(values: ReadonlyMap<number, bigint>): number[] {
    const refused: number[] = [];
    let rest = [...values].map(([index, data]) => ({ index, reserved: 0, data }));
    while (rest.length > 0) {
      const list = encodeList(MSRS, { nmsrs: rest.length, pad: 0 }, MSR_ENTRY, rest);
      const taken = this.#vcpu.bytesResult('KVM_SET_MSRS', list);
      if (taken < rest.length) refused.push(rest[taken]!.index);
      rest = rest.slice(taken + 1);
    }
    return refused;
  }

  lapic(): Uint8Array {
    return this.#vcpu.bytes('KVM_GET_LAPIC', new Uint8Array(LAPIC_BYTES));
  }

  setLapic(page: Uint8Array): void {
    this.#vcpu.bytes('KVM_SET_LAPIC', page.slice(0, LAPIC_BYTES));
  }

  events(): Events {
    return EVENTS.decode(this.#vcpu.bytes('KVM_GET_VCPU_EVENTS', new Uint8Array(EVENTS.size)));
  }

  setEvents(events: Events): void {
    this.#vcpu.bytes('KVM_SET_VCPU_EVENTS', EVENTS.encode(events));
  }

  debugRegs(): DebugRegs {
    return DEBUGREGS.decode(this.#vcpu.bytes('KVM_GET_DEBUGREGS', new Uint8Array(DEBUGREGS.size)));
  }

  setDebugRegs(registers: DebugRegs): void {
    this.#vcpu.bytes('KVM_SET_DEBUGREGS', DEBUGREGS.encode(registers));
  }

  mpState(): number {
    return MP_STATE.decode(this.#vcpu.bytes('KVM_GET_MP_STATE', new Uint8Array(MP_STATE.size))).mpState;
  }

  setMpState(state: number): void {
    this.#vcpu.bytes('KVM_SET_MP_STATE', MP_STATE.encode({ mpState: state }));
  }

  setCpuid(entries: readonly CpuidEntry[]): void {
    this.#vcpu.bytes('KVM_SET_CPUID2', encodeList(CPUID, { nent: entries.length, padding: 0 }, CPUID_ENTRY, entries));
  }

  setGuestDebug({ singleStep, softwareBreakpoints, injectBreakpoint, breakpoints = [] }: GuestDebugRequest): void {
    const wanted =
      (singleStep ? GuestDebug.singleStep : 0) |
      (softwareBreakpoints ? GuestDebug.softwareBreakpoints : 0) |
      (injectBreakpoint ? GuestDebug.injectBreakpoint : 0) |
      (breakpoints.length > 0 ? GuestDebug.hardwareBreakpoints : 0);
    const debugreg = [...breakpoints, ...Array<bigint>(8 - breakpoints.length).fill(0n)];
    // DR7: a global-enable bit each; execution breakpoints have zero in type and length. Bit 10 always reads as 1.
    debugreg[7] = breakpoints.reduce((bits, _, i) => bits | (2n << BigInt(2 * i)), 0x400n);
    const control = wanted === 0 ? 0 : GuestDebug.enable | wanted;
    this.#vcpu.bytes('KVM_SET_GUEST_DEBUG', GUEST_DEBUG.encode({ control, pad: 0, debugreg }));
  }

  /** What IA32_MCG_CAP says. */
  setupMachineCheck(capabilities: bigint): void {
    this.#vcpu.bytes('KVM_X86_SETUP_MCE', MACHINE_CHECK.encode({ capabilities }));
  }

  translate(linear: bigint): bigint | undefined {
    const page = linear & ~BigInt(PAGE - 1);
    const request = TRANSLATION.encode({ linear: page, physical: 0n, valid: 0, writeable: 0, usermode: 0 });
    const { physical, valid } = TRANSLATION.decode(this.#vcpu.bytes('KVM_TRANSLATE', request));
    return valid === 0 ? undefined : physical | (linear - page);
  }

  get readyForInterrupt(): boolean {
    return this.runView.getUint8(RUN.at.readyForInterruptInjection) !== 0;
  }

  requestInterruptWindow(on: boolean): void {
    this.runView.setUint8(RUN.at.requestInterruptWindow, on ? 1 : 0);
  }

  interrupt(vector: number): void {
    this.#vcpu.bytes('KVM_INTERRUPT', INTERRUPT.encode({ irq: vector }), `vector ${vector}`);
  }

  nmi(): void {
    this.#vcpu.number('KVM_NMI');
  }

  /** Lets a guest that uses KVM's clock know that it stood still, so that its watchdogs do not bark. */
  tellOfPause(): void {
    // A guest without that clock need not know.
    this.calls.ioctl(this.fd, Request.KVM_KVMCLOCK_CTRL, 0);
  }

  smi(): void {
    this.#vcpu.number('KVM_SMI');
  }

  /** Whether the last `run` came back from system management mode. */
  get inSmm(): boolean {
    return (this.runView.getUint16(RUN.at.flags, true) & RunFlag.smm) !== 0;
  }

  /** Without a local APIC in the kernel: CR8 and IA32_APIC_BASE as of the last `run`; the next one takes CR8. */
  get cr8(): number {
    return this.runView.getUint32(RUN.at.cr8, true);
  }

  set cr8(value: number) {
    this.runView.setBigUint64(RUN.at.cr8, BigInt(value), true);
  }

  get apicBase(): bigint {
    return this.runView.getBigUint64(RUN.at.apicBase, true);
  }

  get apicBaseLow(): number {
    return this.runView.getUint32(RUN.at.apicBase, true);
  }

  /** What `apicBase` says until the next `run`. */
  set apicBase(value: bigint) {
    this.runView.setBigUint64(RUN.at.apicBase, value, true);
  }

  tscKhz(): number {
    return this.#vcpu.number('KVM_GET_TSC_KHZ');
  }

  setTscKhz(khz: number): void {
    this.#vcpu.number('KVM_SET_TSC_KHZ', khz);
  }

  /** Lets go of this thread's view and leaves the vCPU to others. */
  detach(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.calls.unmap(this.#mapping);
  }

  close(): void {
    if (this.#closed) return;
    this.detach();
    this.#vcpu.close();
  }

  /** A part of struct kvm_run; most exits use the same one again. */
  #bytes(offset: number, length: number): Uint8Array {
    // Asking the array for these costs a call each, which counts at that rate.
    if (this.#lastOffset !== offset || this.#lastLength !== length) {
      this.#lastBytes = new Uint8Array(this.runView.buffer, offset, length);
      this.#lastOffset = offset;
      this.#lastLength = length;
    }
    return this.#lastBytes;
  }

  #internalError(): KvmExit {
    const { suberror, ndata, data } = RUN_INTERNAL.read(this.runView, UNION);
    const emulation = RUN_EMULATION.read(this.runView, UNION);
    const instruction =
      suberror === SUBERROR_EMULATION && ndata >= 3 && emulation.flags & 1n
        ? emulation.insnBytes.slice(0, Math.min(emulation.insnSize, 15))
        : undefined;
    return { reason: 'internalError', suberror, data: data.slice(0, ndata), ...(instruction && { instruction }) };
  }
}
