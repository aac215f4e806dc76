/**
 * The `kvm` accelerator. Every vCPU has a thread of its own that sits in KVM_RUN; devices stay on the machine thread, which
 * `runSlice` makes answer what the vCPUs ask.
 *
 * A `TcgAccelerator` keeps what accelerators share: linear memory with RAM, and each vCPU's record. While a vCPU's thread
 * may run, KVM has its state; parked, it is fetched into the record when someone wants to see it.
 */
import { Bug } from '../../base/errors.js';
import { tracing } from '../../base/trace.js';
import type { CpuConfig } from '../../guest/x86/cpu-models.js';
import { X86Registers } from '../../guest/x86/registers.js';
import { LAPIC, X86 } from '../../guest/x86/state.js';
import type { ApicMessage } from '../../machine/apic-message.js';
import { CONFIG_ADDRESS_PORT, PciPresence } from '../../machine/pci-presence.js';
import { WindowReads } from '../../machine/window-reads.js';
import type { FlatRange } from '../../memory/flat-view.js';
import type { Accelerator, MachineServices, SliceEnd, Vcpu } from '../accelerator.js';
import type { TcgAccelerator } from '../tcg/tcg.js';
import { type CpuidEntry, MSR_EXIT_UNKNOWN } from './abi.js';
import { Answers, type Asking } from './answers.js';
import type { BellOptions } from './bell.js';
import { CONTROL_WORDS, Command, Control, State, type VcpuThreadData } from './control.js';
import { kvmCpuid, usableCpuid } from './cpuid.js';
import { Debugger } from './debugger.js';
import { hexOf } from './describe-exit.js';
import { Doorbells } from './doorbells.js';
import { type AccessCount, readExits, STATS_BYTES, type VcpuExits } from './exit-stats.js';
import { GuestAccess } from './guest-access.js';
import { GuestClock } from './guest-clock.js';
import type { HostCalls } from './host-calls.js';
import type { IrqchipMode } from './irqchip-mode.js';
import type { KernelChips } from './kernel-chips.js';
import { KernelInterrupts } from './kernel-interrupts.js';
import type { Kvm } from './kvm.js';
import { RecordApics, type Waiting } from './record-apics.js';
import { MemorySlots } from './slots.js';
import { SoftwareBreakpoints } from './software-breakpoints.js';
import { KVM_TRACE } from './trace.js';
import { setTscRate } from './tsc-rate.js';
import type { KvmVcpu } from './vcpu.js';
import { VcpuThreads } from './vcpu-threads.js';
import type { KvmVm } from './vm.js';
import { tuneVm, type VmTuning } from './vm-tuning.js';
import { type StoreScope, X86StateTransfer } from './x86-state.js';
import { hostOffsets } from './xsave-state.js';

/** A vCPU's thread, started. */
export interface VcpuThread {
  terminate(): void;
}

export interface KvmOptions extends BellOptions {
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
  /** Whether system management mode may be used, where this KVM has it. */
  readonly smm: boolean;
  readonly tuning: VmTuning;
  readonly cpu: Pick<CpuConfig, 'passthrough' | 'kvmLeaves' | 'kvmFeatures' | 'tscKhz'>;
}

interface Processor extends Asking {
  /** Address of the record. */
  readonly state: number;
  readonly transfer: X86StateTransfer;
  /** How much newer the record is than KVM's state. */
  recordIsNewer: StoreScope;
  /** The record is as new as KVM's state. */
  recordIsValid: boolean;
  thread: VcpuThread | undefined;
  /** KVM has its CPUID. */
  configured: boolean;
  /** It has been let run once; before that, its thread waits for nobody and nobody for it. */
  begun: boolean;
}

/** Pages for KVM itself, below all firmware: page tables for real mode, and three for the task state segment. */
const RESERVED = { start: 0xfeffc000, length: 0x4000 } as const;
/** Coalesced writes are looked at so often, when nothing else makes us. */
const COALESCED_NS = 20e6;
/** And less and less often while there are none: an idle guest is to leave the host alone. */
const LONGEST_COALESCED_NS = 320e6;
/** Of memory: with and without system management mode. */
const SMM_SPACES = 2;
/** KVM maps RAM in pages of this size where the guest's address and the host's have the same place in one. */
const HUGE_PAGE = 2 ** 21;
/** As under tcg: ten banks, and IA32_MCG_CTL. */
const MCG_CAP = 0x10an;

export class KvmAccelerator implements Accelerator {
  readonly name = 'kvm';
  readonly smm: boolean;
  readonly reserved = RESERVED;
  readonly chips: KernelChips | undefined;
  readonly pciPresence = PciPresence.create();
  readonly windowReads = WindowReads.create();
  onDispose: () => void = () => {};
  readonly memory: WebAssembly.Memory;
  readonly vcpus: readonly Vcpu[];
  readonly #vm: KvmVm;
  /** Of each address space. */
  readonly #slots: MemorySlots[];
  /** Flat views by address space that KVM does not know yet. */
  readonly #views: (readonly FlatRange[])[] = [];
  #portView: readonly FlatRange[] | undefined;
  readonly #doorbells: Readonly<Record<'memory' | 'port', Doorbells>>;
  /** While processors are being made. */
  readonly #opened: KvmVcpu[] = [];
  readonly #processors: Processor[];
  readonly #threads: VcpuThreads;
  readonly #stats: SharedArrayBuffer;
  readonly #access: GuestAccess;
  readonly #answers: Answers;
  /** The host's address of linear memory, within a huge page. */
  readonly #memoryBase: number;
  readonly #breakpoints: SoftwareBreakpoints;
  readonly #interrupts: KernelInterrupts;
  readonly #clock: GuestClock;
  /** With `kernel_irqchip=off`. */
  readonly #apics: RecordApics | undefined;
  readonly #supported: readonly CpuidEntry[];
  #services: MachineServices | undefined;
  #kicked = false;
  #disposed = false;
  /** A processor ended the slice while all were made to stop. */
  #late: SliceEnd | undefined;
  #coalescing = false;
  #coalescedNs = COALESCED_NS;
  /** A processor has asked something since this was cleared. */
  #asked = false;

  constructor(private readonly options: KvmOptions) {
    const { kvm, shared } = options;
    this.memory = shared.memory;
    const address = options.calls.addressOf(new Uint8Array(this.memory.buffer));
    this.#memoryBase = Number(address % BigInt(HUGE_PAGE));
    this.#supported = usableCpuid(kvm.supportedCpuid(), options.irqchip);
    this.#vm = kvm.createVm();
    this.#vm.reservePages(BigInt(RESERVED.start));
    this.#orClose(() => tuneVm(this.#vm, options.tuning));
    this.#interrupts = new KernelInterrupts(this.#vm, options.calls, options.irqchip, () => options.monotonic());
    this.chips = this.#interrupts.chips;
    this.#clock = new GuestClock(this.#vm, () => this.#connected().virtualNow());
    this.#access = new GuestAccess(this.memory, () => this.#connected());
    this.#breakpoints = new SoftwareBreakpoints(this.memory, (physical) => this.#access.host(0, physical));
    if (this.#vm.capability('X86_USER_SPACE_MSR') !== 0) {
      this.#vm.enableCapability('X86_USER_SPACE_MSR', MSR_EXIT_UNKNOWN);
    }
    this.smm =
      options.smm && this.#vm.capability('X86_SMM') !== 0 && this.#vm.capability('MULTI_ADDRESS_SPACE') >= SMM_SPACES;
    const touched = (host: number, bytes: number): void => shared.notifyWrite(host, bytes);
    this.#slots = [new MemorySlots(this.#vm, 0, this.memory, touched)];
    if (this.smm) this.#slots.push(new MemorySlots(this.#vm, 1, this.memory, touched));
    const doorbells = (space: 'memory' | 'port'): Doorbells =>
      new Doorbells(this.#vm, options.calls, space, ({ region, offset, size, value = 0 }) =>
        this.#connected().mmioWrite(region, offset, size, value),
      );
    this.#doorbells = { memory: doorbells('memory'), port: doorbells('port') };
    const count = shared.vcpus.length;
    this.#threads = new VcpuThreads(count, options.calls, options);
    this.#stats = new SharedArrayBuffer(count * STATS_BYTES);
    this.#processors = this.#orClose(() => shared.vcpus.map(({ state }, i) => this.#processor(state, i)));
    this.vcpus = this.#processors.map((p, index) => this.#vcpu(p, index));
    if (options.irqchip === 'off') {
      this.#apics = new RecordApics(shared, this.#processors, (index, waiting) =>
        this.#publish(this.#processors[index]!, waiting),
      );
    }
    for (const p of this.#processors) this.#recordRules(p);
    this.#answers = new Answers(
      this.#threads,
      this.#access,
      this.#apics,
      () => this.#connected(),
      options.tuning.notify,
      (text) => options.report(text),
    );
    // Starting a thread takes about as long as putting the machine together, which goes on meanwhile.
    for (const p of this.#processors) p.thread = this.#start(p);
  }

  /** How often each processor left the guest, and for what. */
  exits(): readonly VcpuExits[] {
    return this.#processors.map((_, index) => readExits(this.#stats, index));
  }

  /** What a vCPU would execute at a physical address. */
  codeAt(address: number, bytes: number): Uint8Array {
    return this.#access.code(0, address, bytes);
  }

  /** Ports and pages of device memory that exits were for. */
  accesses(): readonly AccessCount[] {
    return this.#access.counts.read(this.pciPresence.answered, this.windowReads.answered());
  }

  connect(services: MachineServices): void {
    this.#services = services;
    this.options.shared.connect(services);
  }

  allocateRam(bytes: number, align: number): number {
    if (bytes < HUGE_PAGE) return this.options.shared.allocateRam(bytes, align);
    return this.options.shared.allocateRam(bytes, Math.max(align, HUGE_PAGE), this.#memoryBase);
  }

  notifyWrite(host: number, bytes: number): void {
    this.options.shared.notifyWrite(host, bytes);
  }

  fetchAndClearDirty(host: number, bytes: number): Uint8Array {
    this.#takeCoalesced();
    const dirty = this.options.shared.fetchAndClearDirty(host, bytes);
    for (const slots of this.#slots) slots.collectDirty(host, dirty);
    return dirty;
  }

  setFlatView(space: 0 | 1, ranges: readonly FlatRange[]): void {
    this.options.shared.setFlatView(space, ranges);
    this.#access.setRanges(space, ranges);
    if (space === 0) this.windowReads.setRanges(ranges);
    this.#views[space] = ranges;
    // While the machine is being put together views come one after the other, and each slot takes KVM its time.
    if (this.#begun) this.#updateSlots();
  }

  setPortView(ranges: readonly FlatRange[]): void {
    this.#portView = ranges;
    if (this.#begun) this.#updateSlots();
  }

  get #begun(): boolean {
    return this.#processors.some(({ begun }) => begun);
  }

  coalesceWrites(space: 'port' | 'memory', address: number, bytes: number): void {
    if (this.#vm.capability(space === 'port' ? 'COALESCED_PIO' : 'COALESCED_MMIO') === 0) return;
    this.#vm.coalesce(space, BigInt(address), bytes, true);
    this.#coalescing = true;
  }

  /** KVM has no A20 gate: it is always open. */
  setA20(): void {}

  deliverApic(m: ApicMessage): void {
    (this.#apics ?? this.#interrupts).deliver(m);
  }

  /** The local APICs' timers are KVM's unless they are in the records. Someone must look at coalesced writes now and then. */
  nextDeadline(): number {
    const timers = this.#apics?.nextDeadline() ?? Number.POSITIVE_INFINITY;
    return this.#coalescing ? Math.min(timers, this.#connected().virtualNow() + this.#coalescedNs) : timers;
  }

  kick(): void {
    this.#kicked = true;
    this.#threads.bell.ring();
    this.#services?.wake();
  }

  /** 'halted' means here: the processors need nothing of this thread, and wake it when they do. */
  runSlice(maxNs: number): SliceEnd {
    const late = this.#late;
    this.#late = undefined;
    if (late) return late;
    this.#kicked = false;
    this.#coalescedNs = Math.min(2 * this.#coalescedNs, LONGEST_COALESCED_NS);
    this.pciPresence.watched = tracing();
    this.windowReads.watched = tracing();
    for (const p of this.#processors) this.#threads.watch(p, KVM_TRACE.kvm_exit.enabled);
    this.#resume();
    const end = this.options.monotonic() + maxNs;
    for (;;) {
      const seen = this.#threads.bell.read();
      this.#asked = false;
      const stop = this.#answerAll() ?? this.#startUp();
      if (stop) return stop;
      this.#runTimers();
      // Who has just asked asks again soon, more often than not.
      if (this.#asked && this.#threads.bell.spin(seen)) continue;
      const left = (Math.min(end, this.#timerEnd()) - this.options.monotonic()) / 1e6;
      if (this.#kicked || left <= 0) return { reason: 'running' };
      if (this.#asked && this.#threads.bell.linger(seen, left)) continue;
      this.#threads.bell.wake(seen, () => {
        if (!this.#disposed) this.#connected().wake();
      });
      return { reason: 'halted' };
    }
  }

  /** Local APICs' timers that are due, where KVM does not have them. */
  #runTimers(): void {
    if (this.#apics && this.#apics.nextDeadline() <= this.#connected().virtualNow()) this.#apics.runTimers();
  }

  /** When the next of them is, by the host's clock. */
  #timerEnd(): number {
    if (!this.#apics) return Number.POSITIVE_INFINITY;
    return this.options.monotonic() + this.#apics.nextDeadline() - this.#connected().virtualNow();
  }

  /** Processors that others have sent INIT or a start-up message, where KVM does not do it. */
  #startUp(): SliceEnd | undefined {
    if (!this.#apics) return undefined;
    const starting = this.#apics.starting();
    if (starting.length === 0) return undefined;
    this.synchronize();
    for (const index of starting) {
      this.#apics.startUp(index);
      this.#processors[index]!.recordIsNewer = 'init';
    }
    const late = this.#late;
    this.#late = undefined;
    if (!late) this.#resume();
    return late;
  }

  stop(): void {
    if (KVM_TRACE.kvm_park.enabled) KVM_TRACE.kvm_park.emit();
    const begun = this.#processors.filter((p) => p.begun);
    const parked = (p: Processor): boolean => this.#threads.state(p) === State.parked || p.held;
    this.#threads.commandAll(begun, Command.park, parked, () => {
      this.#late ??= this.#answerAll();
    });
    this.#breakpoints.clear();
    this.#takeCoalesced();
    for (const bells of Object.values(this.#doorbells)) bells.drain();
    this.#clock.park();
    this.chips?.park();
  }

  /** Brings the records up to date; the next slice loads them back. */
  synchronize(): void {
    this.stop();
    for (const p of this.#processors) {
      if (p.recordIsValid || this.#threads.state(p) === State.ended) continue;
      this.#apics?.catchUp(p.index);
      p.transfer.fetch(p.kvm);
      this.#apics?.fetched(p.index, this.#threads.get(p, Control.halted));
      p.recordIsValid = true;
      p.recordIsNewer = 'yes';
    }
  }

  /** Brings the records up to date with all that is under way, for someone who goes on elsewhere. */
  settle(): void {
    this.synchronize();
    // Then it is in KVM's local APICs.
    if (this.#interrupts.held.any) {
      this.reload();
      this.synchronize();
    }
    const clock = this.#clock.now();
    for (const p of this.#processors) {
      p.transfer.setClock(clock);
      if (p.recordIsNewer === 'reset' || this.#threads.state(p) === State.ended) continue;
      const external = p.transfer.settle(p.kvm);
      if (external !== undefined) this.chips?.takeBack(external);
      this.#recordRules(p);
    }
  }

  /** The records hold another machine's state: nothing of what KVM has counts. */
  recordsLoaded(): void {
    this.stop();
    this.#clock.load(this.#processors[0]!.transfer.clock());
    // The lines of the devices as they were loaded: what interrupts came of them is in the records.
    this.#interrupts.held.release();
    for (const p of this.#processors) {
      p.recordIsValid = true;
      this.#recordRules(p);
    }
  }

  /** Loads the records back at once, rather than with the next slice. */
  reload(): void {
    for (const p of this.#processors) this.#load(p);
    this.#interrupts.held.release();
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const p of this.#processors) p.held = false;
    for (const p of this.#processors) this.#threads.forestall(p);
    const ended = (p: Processor): boolean => this.#threads.state(p) === State.ended;
    this.#threads.commandAll(this.#processors, Command.end, ended, (live) => {
      for (const p of live) this.#threads.release(p);
    });
    for (const p of this.#processors) {
      p.thread?.terminate();
      p.kvm.close();
    }
    for (const bells of Object.values(this.#doorbells)) bells.dispose();
    this.#interrupts.dispose();
    this.#vm.close();
    this.options.kvm.close();
    this.options.shared.dispose();
    this.onDispose();
  }

  #processor(state: number, index: number): Processor {
    const view = new DataView(this.memory.buffer, state);
    const kvm = this.#vm.createVcpu(view.getUint32(X86.at['lapic']! + LAPIC.at['initialId']!, true));
    this.#opened.push(kvm);
    if (this.#vm.capability('MCE') !== 0) kvm.setupMachineCheck(MCG_CAP);
    const { tscKhz } = this.options.cpu;
    if (tscKhz !== undefined) setTscRate(kvm, (name) => this.#vm.capability(name), tscKhz);
    const registers = new X86Registers(this.memory, state, this.options.shared.runtime);
    const transfer = new X86StateTransfer(this.memory, registers, state, {
      now: () => this.#connected().virtualNow(),
      kernelApic: this.options.irqchip !== 'off',
      smm: this.smm,
      xsave: hostOffsets(this.#supported),
    });
    return {
      index,
      kvm,
      state,
      transfer,
      debugger: new Debugger(kvm, transfer, this.#breakpoints, (text) => this.options.report(text)),
      base: index * CONTROL_WORDS,
      recordIsNewer: 'reset',
      recordIsValid: true,
      thread: undefined,
      configured: false,
      begun: false,
      held: false,
    };
  }

  /** When the host cannot do what is asked for, nothing is left of what was made. */
  #orClose<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      for (const made of [...this.#opened, this.#vm, this.options.kvm]) made.close();
      throw error;
    }
  }

  #vcpu(p: Processor, index: number): Vcpu {
    const record = this.options.shared.vcpus[index]!;
    return {
      index,
      state: record.state,
      get halted(): boolean {
        return record.halted;
      },
      reset: (begins) => {
        this.stop();
        this.#late = undefined;
        record.reset(begins);
        p.recordIsValid = true;
        this.#recordRules(p);
        this.#threads.set(p, Control.nmis, 0);
        this.#threads.set(p, Control.smis, 0);
        this.#apics?.changed();
      },
      setInterruptLine: (level) => {
        if (!this.#apics) {
          this.#publish(p, { interrupt: level, nmi: false, smi: false });
          return;
        }
        this.#apics.setInterruptLine(index, level);
        // The guest may have turned its local APIC off, which only its thread sees.
        if (level) this.#threads.interrupt(p);
      },
      raiseNmi: () => {
        if (!this.#apics) {
          this.#publish(p, { interrupt: this.#threads.hasInterrupt(p), nmi: true, smi: false });
          return;
        }
        this.#apics.raiseNmi(index);
      },
      raiseSmi: () => {
        if (!this.#apics) {
          this.#publish(p, { interrupt: this.#threads.hasInterrupt(p), nmi: false, smi: true });
          return;
        }
        record.raiseSmi();
        this.#apics.changed();
      },
    };
  }

  /** Tells a processor's thread what waits for it outside the kernel. */
  #publish(p: Processor, { interrupt, nmi, smi }: Waiting): void {
    this.#threads.publish(p, { interrupt, nmi, smi: smi && this.smm });
  }

  /** KVM's memory follows the flat views. */
  #updateSlots(): void {
    this.#views.forEach((ranges, space) => {
      this.#slots[space]?.update(ranges);
      if (space === 0) this.#doorbells.memory.update(ranges);
    });
    this.#views.length = 0;
    if (this.#portView) this.#doorbells.port.update(this.#portView);
    this.#portView = undefined;
  }

  /** Loads what the records have and lets the threads run. */
  #resume(): void {
    const stoodStill = this.#clock.resume();
    this.chips?.resume(stoodStill);
    this.#updateSlots();
    const going = this.#processors.filter((p) => this.#threads.get(p, Control.command) !== Command.run || p.held);
    if (going.length === 0) return;
    for (const p of going) {
      this.#load(p);
      if (!p.begun) this.#traceEntry(p);
      p.begun = true;
      if (stoodStill) p.kvm.tellOfPause();
      p.debugger.apply();
    }
    this.#interrupts.held.release();
    for (const p of going) p.debugger.plant();
    for (const p of going) {
      this.#threads.command(p, Command.run);
      if (p.held) this.#threads.release(p);
    }
  }

  #traceEntry({ index, kvm }: Processor): void {
    if (KVM_TRACE.kvm_entry.enabled) KVM_TRACE.kvm_entry.emit(index, hexOf(kvm.regs().rip));
  }

  /** The record is the processor's state, and KVM's local APIC holds none of it. */
  #recordRules(p: Processor): void {
    p.recordIsNewer = 'reset';
    this.#interrupts.held.hold();
  }

  #load(p: Processor): void {
    if (!p.configured) this.#configure(p);
    if (p.recordIsNewer !== 'no') {
      p.transfer.store(p.kvm, p.recordIsNewer);
      if (this.#apics) this.#threads.set(p, Control.halted, this.#apics.loaded(p.index));
    }
    p.recordIsNewer = 'no';
    p.recordIsValid = false;
  }

  #configure(p: Processor): void {
    p.configured = true;
    const view = new DataView(this.memory.buffer);
    p.kvm.setCpuid(kvmCpuid(view, p.state, this.#supported, this.options.cpu));
  }

  #start(p: Processor): VcpuThread {
    return this.options.startThread({
      fd: p.kvm.fd,
      runBytes: p.kvm.runBytes,
      ringPage: p.kvm.ringPage,
      presence: this.pciPresence.buffer,
      window: this.windowReads.buffer,
      memory: this.memory,
      index: p.index,
      control: this.#threads.control,
      base: p.base,
      doorbell: this.#threads.bell.index,
      stats: this.#stats,
      spins: this.options.spins,
      recordApics: this.#apics !== undefined,
    });
  }

  #takeCoalesced(): void {
    const { kvm } = this.#processors[0]!;
    if (!this.#coalescing || !kvm.hasCoalesced) return;
    this.pciPresence.whileChanging(() =>
      this.windowReads.whileChanging(() =>
        kvm.takeCoalesced(
          (space, address, data) => {
            // Nobody waits to see which PCI function is selected next.
            if (address !== CONFIG_ADDRESS_PORT || space === 'memory') this.#coalescedNs = COALESCED_NS;
            this.#access.coalesced(space, address, data);
          },
          // Whoever traces sees all.
          tracing() ? undefined : CONFIG_ADDRESS_PORT,
        ),
      ),
    );
  }

  #answerAll(): SliceEnd | undefined {
    this.#takeCoalesced();
    for (const [index, p] of this.#processors.entries()) {
      const state = this.#threads.state(p);
      if (p.held || (state !== State.asking && state !== State.ended)) continue;
      // What it wrote before it asked: it may have come here since the look above.
      this.#takeCoalesced();
      const stop: SliceEnd | undefined =
        state === State.ended ? { reason: 'internalError', vcpu: index } : this.#answers.answer(p);
      if (stop) {
        p.held = true;
        return stop;
      }
      this.#traceEntry(p);
      this.#threads.release(p);
      this.#asked = true;
    }
    return undefined;
  }

  #connected(): MachineServices {
    if (this.#services === undefined) throw new Bug('accelerator not connected to a machine');
    return this.#services;
  }
}
