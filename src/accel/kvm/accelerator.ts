/**
 * The `kvm` accelerator with a split interrupt controller: local APICs in the kernel, 8259s and I/O APIC among the
 * machine's devices. Every vCPU has a thread of its own that sits in KVM_RUN; devices stay on the machine thread, which
 * `runSlice` makes answer what the vCPUs ask.
 *
 * A `TcgAccelerator` keeps what accelerators share: linear memory with RAM, and each vCPU's record. While a vCPU's thread
 * may run, KVM has its state; parked, it is fetched into the record when someone wants to see it.
 */
import { Bug } from '../../base/errors.js';
import type { CpuConfig } from '../../guest/x86/cpu-models.js';
import { X86Registers } from '../../guest/x86/registers.js';
import { LAPIC, X86 } from '../../guest/x86/state.js';
import { FlatFlag } from '../../ir/layout.js';
import type { ApicMessage } from '../../machine/apic-message.js';
import type { FlatRange } from '../../memory/flat-view.js';
import type { Accelerator, MachineServices, SliceEnd, Vcpu } from '../accelerator.js';
import type { TcgAccelerator } from '../tcg/tcg.js';
import { type CpuidEntry, MSR_EXIT_UNKNOWN } from './abi.js';
import { CONTROL_WORDS, Command, Control, Question, State, type VcpuThreadData } from './control.js';
import { kvmCpuid } from './cpuid.js';
import { Doorbells } from './doorbells.js';
import { type AccessCount, AccessCounts, readExits, STATS_BYTES, type VcpuExits } from './exit-stats.js';
import type { HostCalls } from './host-calls.js';
import type { GsiRoute, GuestDebugRequest, KvmExit } from './interface.js';
import type { IrqchipMode } from './irqchip-mode.js';
import { KernelChips } from './kernel-chips.js';
import type { Kvm } from './kvm.js';
import { MemorySlots } from './slots.js';
import { KVM_TRACE } from './trace.js';
import type { KvmVcpu } from './vcpu.js';
import type { KvmVm } from './vm.js';
import { X86StateTransfer } from './x86-state.js';

/** A vCPU's thread, started. */
export interface VcpuThread {
  terminate(): void;
}

export interface KvmOptions {
  readonly kvm: Kvm;
  readonly calls: HostCalls;
  /** Memory and vCPU records, with their CPU model installed; it does not run. */
  readonly shared: TcgAccelerator;
  startThread(data: VcpuThreadData): VcpuThread;
  /** In ns. */
  monotonic(): number;
  /** One line about something that stopped a processor. */
  report(text: string): void;
  readonly irqchip: IrqchipMode;
  readonly cpu: Pick<CpuConfig, 'passthrough' | 'kvmLeaves'>;
  /**
   * How often a thread looks for an answer, or a question, before it sleeps: guests come in bursts, and most answers take
   * less than waking a thread does. 0 where threads share one core.
   */
  readonly spins: number;
  /** Calls back once the word has changed from `value`. */
  whenChanged(words: Int32Array, index: number, value: number, then: () => void): void;
}

interface Processor {
  readonly kvm: KvmVcpu;
  readonly transfer: X86StateTransfer;
  /** Of its control block, in words. */
  readonly base: number;
  /** The record is newer than KVM's state; `reset`: altogether. */
  recordIsNewer: 'no' | 'yes' | 'reset';
  /** The record is as new as KVM's state. */
  recordIsValid: boolean;
  thread: VcpuThread | undefined;
  /** Asked something that only a reset, or the user, can answer. */
  held: boolean;
  /** What a debugger asked for. */
  debug: GuestDebugRequest | undefined;
  /** Steps off a breakpoint first. */
  leaving: boolean;
}

/** Pages for KVM itself, below all firmware. */
const RESERVED_PAGES = 0xfeffc000n;
const IOAPIC_PINS = 24;
/** The machine thread waits so long for a question before it lets the event loop wait. */
const LINGER_MS = 0.2;
const MOST_MISSES = 6;
const DOORBELL_BYTES = 2;
/** Coalesced writes are looked at so often, when nothing else makes us. */
const COALESCED_NS = 20e6;
/** A kick that was lost is repeated after this. */
const KICK_AGAIN_MS = 10;
const MSI_ADDRESS = 0xfee00000;
const HARDWARE_BREAKPOINTS = 4;

export class KvmAccelerator implements Accelerator {
  readonly name = 'kvm';
  readonly smm = false;
  readonly chips: KernelChips | undefined;
  onDispose: () => void = () => {};
  readonly memory: WebAssembly.Memory;
  readonly vcpus: readonly Vcpu[];
  readonly #vm: KvmVm;
  readonly #slots: MemorySlots;
  readonly #doorbells: Doorbells;
  readonly #processors: Processor[];
  readonly #control: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #doorbell: number;
  readonly #stats: SharedArrayBuffer;
  readonly #accesses = new AccessCounts();
  readonly #supported: readonly CpuidEntry[];
  /** Messages of level-triggered interrupts, whose end KVM must tell. */
  readonly #levelRoutes = new Map<number, GsiRoute>();
  #services: MachineServices | undefined;
  #ranges: readonly FlatRange[] = [];
  #kicked = false;
  #watching = false;
  #disposed = false;
  /** Times that watching the doorbell was in vain, one after the other, and how often not to try again. */
  #misses = 0;
  #skips = 0;
  /** A processor ended the slice while all were made to stop. */
  #late: SliceEnd | undefined;
  #coalescing = false;

  constructor(private readonly options: KvmOptions) {
    const { kvm, shared } = options;
    this.memory = shared.memory;
    this.#supported = kvm.supportedCpuid();
    this.#vm = kvm.createVm();
    this.#vm.reservePages(RESERVED_PAGES);
    if (options.irqchip === 'on') this.chips = new KernelChips(this.#vm, () => options.monotonic());
    else this.#vm.enableCapability('SPLIT_IRQCHIP', BigInt(IOAPIC_PINS));
    if (this.#vm.capability('X86_USER_SPACE_MSR') !== 0) {
      this.#vm.enableCapability('X86_USER_SPACE_MSR', MSR_EXIT_UNKNOWN);
    }
    this.#slots = new MemorySlots(this.#vm, this.memory, (host, bytes) => shared.notifyWrite(host, bytes));
    this.#doorbells = new Doorbells(this.#vm, options.calls, (region, offset) =>
      this.#connected().mmioWrite(region, offset, DOORBELL_BYTES, 0),
    );
    const count = shared.vcpus.length;
    this.#control = new SharedArrayBuffer(4 * (count + 1) * CONTROL_WORDS);
    this.#words = new Int32Array(this.#control);
    this.#doorbell = count * CONTROL_WORDS;
    this.#stats = new SharedArrayBuffer(count * STATS_BYTES);
    const view = new DataView(this.memory.buffer);
    const apicId = (state: number): number => view.getUint32(state + X86.at['lapic']! + LAPIC.at['initialId']!, true);
    this.#processors = shared.vcpus.map(
      ({ state }, i): Processor => ({
        kvm: this.#vm.createVcpu(apicId(state)),
        transfer: new X86StateTransfer(this.memory, new X86Registers(this.memory, state, shared.runtime), state, () =>
          this.#connected().virtualNow(),
        ),
        base: i * CONTROL_WORDS,
        recordIsNewer: 'reset',
        recordIsValid: true,
        thread: undefined,
        held: false,
        debug: undefined,
        leaving: false,
      }),
    );
    this.vcpus = this.#processors.map((p, index) => this.#vcpu(p, index));
  }

  /** How often each processor left the guest, and for what. */
  exits(): readonly VcpuExits[] {
    return this.#processors.map((_, index) => readExits(this.#stats, index));
  }

  /** Ports and pages of device memory that exits were for. */
  accesses(): readonly AccessCount[] {
    return this.#accesses.read();
  }

  connect(services: MachineServices): void {
    this.#services = services;
    this.options.shared.connect(services);
  }

  allocateRam(bytes: number, align: number): number {
    return this.options.shared.allocateRam(bytes, align);
  }

  notifyWrite(host: number, bytes: number): void {
    this.options.shared.notifyWrite(host, bytes);
  }

  fetchAndClearDirty(host: number, bytes: number): Uint8Array {
    this.#takeCoalesced();
    const dirty = this.options.shared.fetchAndClearDirty(host, bytes);
    this.#slots.collectDirty(host, dirty);
    return dirty;
  }

  setFlatView(space: 0 | 1, ranges: readonly FlatRange[]): void {
    this.options.shared.setFlatView(space, ranges);
    if (space !== 0) return;
    this.#ranges = ranges;
    this.#slots.update(ranges);
    this.#doorbells.update(ranges);
  }

  coalesceWrites(space: 'port' | 'memory', address: number, bytes: number): void {
    if (this.#vm.capability(space === 'port' ? 'COALESCED_PIO' : 'COALESCED_MMIO') === 0) return;
    this.#vm.coalesce(space, BigInt(address), bytes, true);
    this.#coalescing = true;
  }

  /** KVM has no A20 gate: it is always open. */
  setA20(): void {}

  deliverApic(m: ApicMessage): void {
    if (m.levelTriggered && !m.level) return;
    const address =
      MSI_ADDRESS + (m.destination & 0xff) * 0x1000 + (m.logical ? 4 : 0) + (m.deliveryMode === 1 ? 8 : 0);
    const data = m.vector | (m.deliveryMode << 8) | (m.level ? 0x4000 : 0) | (m.levelTriggered ? 0x8000 : 0);
    if (KVM_TRACE.kvm_msi.enabled) KVM_TRACE.kvm_msi.emit(address, data);
    if (m.levelTriggered && !this.chips) this.#tellEndOf(address, data);
    this.#vm.signalMsi(BigInt(address), data);
  }

  /** The local APICs' timers are KVM's. Someone must look at coalesced writes now and then. */
  nextDeadline(): number {
    return this.#coalescing ? this.#connected().virtualNow() + COALESCED_NS : Number.POSITIVE_INFINITY;
  }

  kick(): void {
    this.#kicked = true;
    this.#ring();
    this.#services?.wake();
  }

  /** 'halted' means here: the processors need nothing of this thread, and wake it when they do. */
  runSlice(maxNs: number): SliceEnd {
    const late = this.#late;
    this.#late = undefined;
    if (late) return late;
    this.#kicked = false;
    this.#resume();
    const end = this.options.monotonic() + maxNs;
    for (;;) {
      const seen = Atomics.load(this.#words, this.#doorbell);
      const stop = this.#answerAll();
      if (stop) return stop;
      if (this.#spin(seen)) continue;
      const left = (end - this.options.monotonic()) / 1e6;
      if (this.#kicked || left <= 0) return { reason: 'running' };
      if (Atomics.wait(this.#words, this.#doorbell, seen, Math.min(left, LINGER_MS)) !== 'timed-out') continue;
      this.#wakeOnDoorbell(seen);
      return { reason: 'halted' };
    }
  }

  /** Watches the doorbell for a moment; less and less often while nothing comes of it. True when it rang. */
  #spin(seen: number): boolean {
    if (this.#skips > 0) {
      this.#skips--;
      return false;
    }
    for (let i = 0; i < this.options.spins; i++) {
      if (Atomics.load(this.#words, this.#doorbell) === seen) continue;
      this.#misses = 0;
      return true;
    }
    this.#misses = Math.min(this.#misses + 1, MOST_MISSES);
    this.#skips = 2 ** this.#misses;
    return false;
  }

  stop(): void {
    if (KVM_TRACE.kvm_park.enabled) KVM_TRACE.kvm_park.emit();
    this.#command(Command.park, (p) => this.#state(p) === State.parked || p.held);
    this.#takeCoalesced();
    this.#doorbells.drain();
  }

  /** Brings the records up to date; the next slice loads them back. */
  synchronize(): void {
    this.stop();
    for (const p of this.#processors) {
      if (p.recordIsValid || this.#state(p) === State.ended) continue;
      p.transfer.fetch(p.kvm);
      p.recordIsValid = true;
      p.recordIsNewer = 'yes';
    }
  }

  /** Brings the records up to date with all that is under way, for someone who goes on elsewhere. */
  settle(): void {
    this.synchronize();
    for (const p of this.#processors) {
      if (p.recordIsNewer === 'reset' || this.#state(p) === State.ended) continue;
      p.transfer.settle(p.kvm);
      p.recordIsNewer = 'reset';
    }
  }

  /** The records hold another machine's state: nothing of what KVM has counts. */
  recordsLoaded(): void {
    this.stop();
    for (const p of this.#processors) {
      p.recordIsValid = true;
      p.recordIsNewer = 'reset';
    }
  }

  /** Loads the records back at once, rather than with the next slice. */
  reload(): void {
    for (const p of this.#processors) this.#load(p);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const p of this.#processors) p.held = false;
    // A thread that has not come to its loop yet reads the command first.
    this.#command(Command.end, (p) => this.#state(p) === State.ended || this.#state(p) === State.starting, true);
    for (const p of this.#processors) {
      p.thread?.terminate();
      p.kvm.close();
    }
    this.#doorbells.dispose();
    this.#vm.close();
    this.options.kvm.close();
    this.options.shared.dispose();
    this.onDispose();
  }

  #vcpu(p: Processor, index: number): Vcpu {
    const record = this.options.shared.vcpus[index]!;
    return {
      index,
      state: record.state,
      get halted(): boolean {
        return record.halted;
      },
      reset: () => {
        this.stop();
        this.#late = undefined;
        record.reset();
        p.recordIsValid = true;
        p.recordIsNewer = 'reset';
        Atomics.store(this.#words, p.base + Control.nmis, 0);
      },
      setInterruptLine: (level) => {
        Atomics.store(this.#words, p.base + Control.interruptLine, level ? 1 : 0);
        if (level) this.#interrupt(p);
      },
      raiseNmi: () => {
        if (KVM_TRACE.kvm_inj_nmi.enabled) KVM_TRACE.kvm_inj_nmi.emit(index);
        Atomics.add(this.#words, p.base + Control.nmis, 1);
        this.#interrupt(p);
      },
      raiseSmi: () => {},
    };
  }

  /** Loads what the records have and lets the threads run. */
  #resume(): void {
    for (const [index, p] of this.#processors.entries()) {
      if (Atomics.load(this.#words, p.base + Control.command) === Command.run && !p.held) continue;
      p.thread ??= this.#start(p, index);
      this.#load(p);
      this.#debug(p);
      Atomics.store(this.#words, p.base + Control.command, Command.run);
      Atomics.notify(this.#words, p.base + Control.command);
      if (p.held) this.#release(p);
    }
  }

  #load(p: Processor): void {
    if (p.recordIsNewer !== 'no') p.transfer.store(p.kvm, p.recordIsNewer === 'reset');
    p.recordIsNewer = 'no';
    p.recordIsValid = false;
  }

  /** A debugger's wishes are in the record, as tcg has them. */
  #debug(p: Processor): void {
    const { breakpoints = [], singleStep = false } = p.transfer.debugRequest();
    if (breakpoints.length > HARDWARE_BREAKPOINTS) {
      this.options.report(
        `KVM watches ${HARDWARE_BREAKPOINTS} breakpoints: of ${breakpoints.length} the last are left out`,
      );
    }
    const watched = breakpoints.slice(0, HARDWARE_BREAKPOINTS);
    if (!singleStep && watched.length === 0 && !p.debug) return;
    p.debug = singleStep || watched.length > 0 ? { singleStep, breakpoints: watched } : undefined;
    // Who goes on at a breakpoint wants to leave it: one step without it.
    p.leaving = !singleStep && watched.includes(p.transfer.linearPc(p.kvm));
    p.kvm.setGuestDebug(p.leaving ? { singleStep: true } : (p.debug ?? {}));
  }

  /** Whether a debug exit is one that the debugger asked for. */
  #debugStop(p: Processor): boolean {
    if (!p.leaving) return true;
    p.leaving = false;
    p.kvm.setGuestDebug(p.debug ?? {});
    return p.debug?.breakpoints?.includes(p.transfer.linearPc(p.kvm)) ?? false;
  }

  #start(p: Processor, index: number): VcpuThread {
    const view = new DataView(this.memory.buffer);
    p.kvm.setCpuid(kvmCpuid(view, this.options.shared.vcpus[index]!.state, this.#supported, this.options.cpu));
    return this.options.startThread({
      fd: p.kvm.fd,
      runBytes: p.kvm.runBytes,
      index,
      control: this.#control,
      base: p.base,
      doorbell: this.#doorbell,
      stats: this.#stats,
      spins: this.options.spins,
    });
  }

  /** Gives all threads a command and answers them until all have heard. Never waits for one that does not exist. */
  #command(command: number, heard: (p: Processor) => boolean, silent = false): void {
    const live = this.#processors.filter((p) => p.thread && this.#state(p) !== State.ended);
    for (const p of live) {
      Atomics.store(this.#words, p.base + Control.command, command);
      Atomics.notify(this.#words, p.base + Control.command);
    }
    for (;;) {
      const seen = Atomics.load(this.#words, this.#doorbell);
      if (silent) for (const p of live) this.#release(p);
      else this.#late ??= this.#answerAll();
      const deaf = live.filter((p) => !heard(p) && this.#state(p) !== State.ended);
      if (deaf.length === 0) return;
      for (const p of deaf) this.#interrupt(p);
      Atomics.wait(this.#words, this.#doorbell, seen, KICK_AGAIN_MS);
    }
  }

  /** Makes a running vCPU look at its words. */
  #interrupt(p: Processor): void {
    if (this.#state(p) !== State.running) return;
    p.kvm.setImmediateExit(true);
    this.options.calls.interruptThread(Atomics.load(this.#words, p.base + Control.thread));
  }

  #state(p: Processor): number {
    return Atomics.load(this.#words, p.base + Control.state);
  }

  /** Ends a question. */
  #release(p: Processor): void {
    p.held = false;
    const state = p.base + Control.state;
    if (Atomics.compareExchange(this.#words, state, State.asking, State.running) === State.asking) {
      Atomics.notify(this.#words, state);
    }
  }

  #takeCoalesced(): void {
    if (!this.#coalescing) return;
    this.#processors[0]!.kvm.takeCoalesced((space, address, data) => {
      if (space === 'memory') this.#access(address, true, data);
      else this.#connected().portWrite(address, data.length as 1 | 2 | 4, load(data, 0, data.length as 1 | 2 | 4));
    });
  }

  #answerAll(): SliceEnd | undefined {
    this.#takeCoalesced();
    for (const [index, p] of this.#processors.entries()) {
      const state = this.#state(p);
      if (p.held || (state !== State.asking && state !== State.ended)) continue;
      const stop: SliceEnd | undefined =
        state === State.ended ? { reason: 'internalError', vcpu: index } : this.#answer(p, index);
      if (stop) {
        p.held = true;
        return stop;
      }
      if (KVM_TRACE.kvm_entry.enabled) KVM_TRACE.kvm_entry.emit(index, hexOf(p.kvm.regs().rip));
      this.#release(p);
    }
    return undefined;
  }

  #answer(p: Processor, index: number): SliceEnd | undefined {
    const question = Atomics.load(this.#words, p.base + Control.question);
    if (question === Question.acknowledge) {
      const vector = this.#connected().picAcknowledge();
      if (KVM_TRACE.kvm_inj_virq.enabled) KVM_TRACE.kvm_inj_virq.emit(index, vector);
      Atomics.store(this.#words, p.base + Control.answer, vector);
      return undefined;
    }
    const exit = p.kvm.exit();
    if (KVM_TRACE.kvm_exit.enabled) KVM_TRACE.kvm_exit.emit(index, exit.reason, hexOf(p.kvm.regs().rip));
    switch (exit.reason) {
      case 'io':
        this.#portAccess(index, exit);
        return undefined;
      case 'mmio':
        this.#memoryAccess(index, exit);
        return undefined;
      case 'ioapicEoi':
        this.#connected().ioapicEoi(exit.vector);
        return undefined;
      case 'rdmsr':
      case 'wrmsr':
        if (KVM_TRACE.kvm_unknown_msr.enabled) {
          KVM_TRACE.kvm_unknown_msr.emit(index, exit.reason, exit.index, hexOf(exit.value));
        }
        p.kvm.answerMsr(undefined);
        return undefined;
      case 'shutdown':
        return { reason: 'shutdown', vcpu: index };
      case 'debug':
        return this.#debugStop(p) ? { reason: 'debug', vcpu: index } : undefined;
      default:
        this.options.report(describeStop(index, exit, p.kvm));
        return { reason: 'internalError', vcpu: index };
    }
  }

  #portAccess(index: number, { port, size, count, write, data }: Extract<KvmExit, { reason: 'io' }>): void {
    this.#accesses.port(port, write);
    const services = this.#connected();
    for (let i = 0; i < count; i++) {
      if (write) services.portWrite(port, size, load(data, i * size, size));
      else save(data, i * size, size, services.portRead(port, size));
    }
    if (KVM_TRACE.kvm_pio.enabled) {
      KVM_TRACE.kvm_pio.emit(index, write ? 'write' : 'read', port, size, count, hexBytes(data));
    }
  }

  #memoryAccess(index: number, { address, write, data }: Extract<KvmExit, { reason: 'mmio' }>): void {
    this.#accesses.memory(address, write);
    this.#access(address, write, data);
    if (KVM_TRACE.kvm_mmio.enabled) {
      KVM_TRACE.kvm_mmio.emit(index, write ? 'write' : 'read', address, data.length, hexBytes(data));
    }
  }

  #access(start: number, write: boolean, data: Uint8Array): void {
    for (let done = 0; done < data.length; ) {
      const size = data.length - done >= 4 ? 4 : data.length - done >= 2 ? 2 : 1;
      if (write) this.#write(start + done, size, load(data, done, size));
      else save(data, done, size, this.#read(start + done, size));
      done += size;
    }
  }

  #read(address: number, size: 1 | 2 | 4): number {
    const range = this.#find(address);
    if (range && range.flags & FlatFlag.ramRead) return load(this.#ram(range, address, size), 0, size);
    return this.#connected().mmioRead(range?.region ?? 0, range ? range.offset + (address - range.start) : 0, size);
  }

  #write(address: number, size: 1 | 2 | 4, value: number): void {
    const range = this.#find(address);
    if (range && range.flags & FlatFlag.ramWrite) save(this.#ram(range, address, size), 0, size, value);
    else if (range) this.#connected().mmioWrite(range.region, range.offset + (address - range.start), size, value);
  }

  #ram(range: FlatRange, address: number, size: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, range.host + (address - range.start), size);
  }

  #find(address: number): FlatRange | undefined {
    let low = 0;
    let high = this.#ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const range = this.#ranges[middle]!;
      if (address < range.start) high = middle - 1;
      else if (address > range.last) low = middle + 1;
      else return range;
    }
    return undefined;
  }

  /** KVM reports the end of an interrupt only for vectors that it finds among the routes of the I/O APIC's pins. */
  #tellEndOf(address: number, data: number): void {
    const message = (data & 0xff) * 0x1_0000_0000 + address;
    if (this.#levelRoutes.has(message)) return;
    if (this.#levelRoutes.size === IOAPIC_PINS) this.#levelRoutes.delete(this.#levelRoutes.keys().next().value!);
    this.#levelRoutes.set(message, { gsi: 0, address: BigInt(address), data });
    if (KVM_TRACE.kvm_set_routes.enabled) KVM_TRACE.kvm_set_routes.emit(this.#levelRoutes.size);
    this.#vm.setRoutes([...this.#levelRoutes.values()].map((route, gsi) => ({ ...route, gsi })));
  }

  #ring(): void {
    Atomics.add(this.#words, this.#doorbell, 1);
    Atomics.notify(this.#words, this.#doorbell);
  }

  #wakeOnDoorbell(seen: number): void {
    if (this.#watching) return;
    this.#watching = true;
    this.options.whenChanged(this.#words, this.#doorbell, seen, () => {
      this.#watching = false;
      if (!this.#disposed) this.#connected().wake();
    });
  }

  #connected(): MachineServices {
    if (this.#services === undefined) throw new Bug('accelerator not connected to a machine');
    return this.#services;
  }
}

const hexOf = (value: bigint): string => `0x${value.toString(16)}`;

function load(data: Uint8Array, at: number, size: 1 | 2 | 4): number {
  if (size === 1) return data[at]!;
  const low = data[at]! | (data[at + 1]! << 8);
  return size === 2 ? low : (low | (data[at + 2]! << 16) | (data[at + 3]! << 24)) >>> 0;
}

function save(data: Uint8Array, at: number, size: 1 | 2 | 4, value: number): void {
  for (let i = 0; i < size; i++) data[at + i] = value >>> (8 * i);
}

const hexBytes = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(' ');

function describeStop(index: number, exit: KvmExit, vcpu: KvmVcpu): string {
  const where = `processor ${index} at ${hexOf(vcpu.regs().rip)}`;
  if (exit.reason === 'internalError') {
    const bytes = exit.instruction && hexBytes(exit.instruction);
    return bytes
      ? `KVM cannot emulate an instruction of ${where}: ${bytes}`
      : `KVM gave up on ${where}: internal error ${exit.suberror}`;
  }
  if (exit.reason === 'failEntry')
    return `KVM could not enter ${where}: hardware reason 0x${exit.hardwareReason.toString(16)}`;
  return `KVM stopped ${where} for a reason that is not handled: ${exit.reason === 'other' ? exit.number : exit.reason}`;
}
