/**
 * The vCPU level in software. The interpreter runs an instruction at a time. An access to a port or a device unwinds it, as
 * exit; with the next `run` the instruction starts over, and this time finds the answer: instructions can start over, as
 * they do after page faults.
 */
import { X86Registers } from '../../../guest/x86/registers.js';
import { DebuggerFlag, GPR, IntReq, X86 } from '../../../guest/x86/state.js';
import { VCPU } from '../../../ir/layout.js';
import { ExitReason } from '../../../ir/ops.js';
import type { Vcpu } from '../../accelerator.js';
import type { TcgAccelerator } from '../../tcg/tcg.js';
import {
  CPUID_SIGNIFICANT_INDEX,
  type CpuidEntry,
  type DebugRegs,
  EVENTS,
  type Events,
  EventsValid,
  Exit,
  FPU,
  type Fpu,
  LAPIC_BYTES,
  MpState,
  type Regs,
  SREGS,
  type Sregs,
  XSAVE_BYTES,
} from '../abi.js';
import { KvmError } from '../error.js';
import type { GuestDebugRequest, KvmExit, KvmProcessor } from '../interface.js';
import { fromKvm, SEGMENTS, TABLES, toKvm, X86StateTransfer } from '../x86-state.js';
import { OWN_OFFSETS } from '../xsave-state.js';

const EINVAL = 22;
const MOST_CPUID = 128;
const ANY = 0xffffffff;
const INT3 = 0xcc;
const DR6_STEP = 0x4ff0n | 0xffff_0000n;
const DR6_FIXED = 0xffff_0ff0n;
const INTERRUPT_FLAG = 0x200n;
const DB = 1;
const BP = 3;
const APIC_ENABLE = 0x800n;
const CONTROL = ['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const;
const FPR_AT = 32;
const XMM_AT = 160;
const EFER = 0xc0000080;

/** What unwinds the interpreter: nothing is wrong, so there is no stack to note. */
const UNWIND = { reason: 'an access leaves the guest' };

interface Access {
  readonly space: 'port' | 'memory';
  readonly address: number;
  readonly size: 1 | 2 | 4;
  readonly write: boolean;
  readonly data: Uint8Array;
}

export interface VcpuSurroundings {
  enter(vcpu: SoftwareVcpu): void;
  /** Guest memory from a physical address on. */
  slotAt(address: number): Uint8Array | undefined;
  readonly tscKhz: number;
  /** Virtual time, ns. */
  readonly now: () => number;
}

const load = (data: Uint8Array): number => data.reduce((sum, byte, i) => sum + byte * 2 ** (8 * i), 0);

export class SoftwareVcpu implements KvmProcessor {
  readonly id: number;
  readonly #registers: X86Registers;
  readonly #transfer: X86StateTransfer;
  readonly #view: DataView;
  readonly #state: number;
  /** Accesses of the instruction at rip that have been answered, and how many of them it has come by again. */
  #answered: Access[] = [];
  #replayed = 0;
  /** The one that waits for an answer. */
  #waiting: Access | undefined;
  #exit: KvmExit = { reason: 'other', number: Exit.unknown };
  #immediateExit = false;
  #window = false;
  #vector = -1;
  #debug: GuestDebugRequest = {};
  /** The breakpoint at rip has been told. */
  #skipBreakpoint = false;
  #mpState: number;

  constructor(
    private readonly tcg: TcgAccelerator,
    record: Vcpu,
    private readonly around: VcpuSurroundings,
  ) {
    this.id = record.index;
    this.#state = record.state;
    this.#registers = new X86Registers(tcg.memory, record.state, tcg.runtime);
    this.#transfer = new X86StateTransfer(tcg.memory, this.#registers, record.state, {
      now: around.now,
      kernelApic: false,
      smm: false,
      xsave: OWN_OFFSETS,
    });
    this.#view = new DataView(tcg.memory.buffer);
    record.reset();
    // Without an irqchip there are no local APICs.
    this.#registers.set('apicBase', this.#registers.get('apicBase') & ~APIC_ENABLE);
    // An instruction at a time, and of repeated string instructions an element.
    this.#registers.setField('debugger', DebuggerFlag.single | DebuggerFlag.breakpoints);
    this.#registers.setField('waitForSipi', 0);
    tcg.runtime.updateMode(record.state);
    this.#mpState = record.index === 0 ? MpState.runnable : MpState.uninitialized;
  }

  run(): number {
    if (this.#mpState !== MpState.runnable) return this.#interrupted();
    if (this.#waiting) {
      this.#answered.push(this.#waiting);
      this.#waiting = undefined;
    } else if (this.#immediateExit) return this.#interrupted();
    this.around.enter(this);
    for (;;) {
      const stop = this.#answered.length === 0 ? this.#beforeInstruction() : undefined;
      if (stop !== undefined) return stop;
      const reason = this.#step();
      if (reason !== undefined) return reason;
      if (this.#immediateExit) return this.#interrupted();
    }
  }

  exit(): KvmExit {
    return this.#exit;
  }

  /** The interpreter knows by itself which MSRs there are. */
  answerMsr(): void {}

  setImmediateExit(on: boolean): void {
    this.#immediateExit = on;
  }

  /** An access of the running instruction: its answer, when there is one; else it unwinds to `run`. */
  access(space: Access['space'], address: number, size: 1 | 2 | 4, value: number | undefined): number {
    const write = value !== undefined;
    const before = this.#answered[this.#replayed];
    if (
      before &&
      before.space === space &&
      before.address === address &&
      before.size === size &&
      before.write === write
    ) {
      this.#replayed++;
      return load(before.data);
    }
    const data = new Uint8Array(size);
    if (write) for (let i = 0; i < size; i++) data[i] = value >>> (8 * i);
    this.#waiting = { space, address, size, write, data };
    this.#exit =
      space === 'port'
        ? { reason: 'io', write, port: address, size, count: 1, data }
        : { reason: 'mmio', write, address, data };
    throw UNWIND;
  }

  /** The processor takes the interrupt that `interrupt` left. */
  acknowledge(): number {
    this.tcg.runtime.setIntr(this.#state, 0);
    const vector = this.#vector;
    this.#vector = -1;
    return vector;
  }

  regs(): Regs {
    return Object.fromEntries([...GPR, 'rip', 'rflags'].map((name) => [name, this.#registers.get(name)])) as Regs;
  }

  setRegs(regs: Regs): void {
    this.#startOver();
    for (const name of [...GPR, 'rip', 'rflags'] as (keyof Regs)[]) this.#registers.set(name, regs[name]);
  }

  sregs(): Sregs {
    const sregs = SREGS.decode(new Uint8Array(SREGS.size));
    for (const [ours, theirs] of SEGMENT_NAMES) sregs[theirs] = toKvm(this.#registers.segment(ours));
    for (const [ours, theirs] of TABLE_NAMES) {
      const { base, limit } = this.#registers.segment(ours);
      sregs[theirs] = { base, limit, padding: [0, 0, 0] };
    }
    for (const name of CONTROL) sregs[name] = this.#registers.get(name);
    sregs.apicBase = this.#registers.get('apicBase');
    return sregs;
  }

  setSregs(sregs: Sregs): void {
    this.#startOver();
    for (const name of CONTROL) this.#registers.set(name, sregs[name]);
    for (const [ours, theirs] of SEGMENT_NAMES) this.#registers.setSegment(ours, fromKvm(sregs[theirs]));
    for (const [ours, theirs] of TABLE_NAMES) {
      const { base, limit } = sregs[theirs];
      this.#registers.setSegment(ours, { selector: 0, base, limit, attributes: 0 });
    }
    this.#registers.set('apicBase', sregs.apicBase);
    this.tcg.runtime.tlbFlush(this.#state);
    this.tcg.runtime.updateMode(this.#state);
  }

  fpu(): Fpu {
    const area = this.xsave();
    const view = new DataView(area.buffer);
    return {
      ...FPU.decode(new Uint8Array(FPU.size)),
      fpr: Array.from({ length: 8 }, (_, i) => area.slice(FPR_AT + 16 * i, FPR_AT + 16 * i + 16)),
      fcw: view.getUint16(0, true),
      fsw: view.getUint16(2, true),
      ftwx: view.getUint8(4),
      lastOpcode: view.getUint16(6, true),
      lastIp: view.getBigUint64(8, true),
      lastDp: view.getBigUint64(16, true),
      xmm: Array.from({ length: 16 }, (_, i) => area.slice(XMM_AT + 16 * i, XMM_AT + 16 * i + 16)),
      mxcsr: view.getUint32(24, true),
    };
  }

  setFpu(fpu: Fpu): void {
    const area = this.xsave();
    const view = new DataView(area.buffer);
    fpu.fpr.forEach((bytes, i) => {
      area.set(bytes, FPR_AT + 16 * i);
    });
    fpu.xmm.forEach((bytes, i) => {
      area.set(bytes, XMM_AT + 16 * i);
    });
    view.setUint16(0, fpu.fcw, true);
    view.setUint16(2, fpu.fsw, true);
    view.setUint8(4, fpu.ftwx);
    view.setUint16(6, fpu.lastOpcode, true);
    view.setBigUint64(8, fpu.lastIp, true);
    view.setBigUint64(16, fpu.lastDp, true);
    view.setUint32(24, fpu.mxcsr, true);
    this.setXsave(area);
  }

  xsave(): Uint8Array {
    const area = new Uint8Array(XSAVE_BYTES);
    this.#transfer.xsave.fill(area);
    return area;
  }

  setXsave(area: Uint8Array): void {
    const whole = new Uint8Array(XSAVE_BYTES);
    whole.set(area);
    this.#transfer.xsave.take(whole);
  }

  xcr0(): bigint {
    return this.#registers.get('xcr0');
  }

  setXcr0(value: bigint): void {
    this.#registers.set('xcr0', value);
    this.tcg.runtime.updateMode(this.#state);
  }

  msrs(indices: readonly number[]): (bigint | undefined)[] {
    return indices.map((index) => (index === EFER ? this.#registers.get('efer') : this.#transfer.msr(index)));
  }

  setMsrs(values: ReadonlyMap<number, bigint>): number[] {
    const refused: number[] = [];
    for (const [index, value] of values) {
      if (index === EFER) this.#registers.set('efer', value);
      else if (!this.#transfer.setMsr(index, value)) refused.push(index);
    }
    return refused;
  }

  lapic(): Uint8Array {
    const page = new Uint8Array(LAPIC_BYTES);
    this.#transfer.fillLapic(page);
    return page;
  }

  setLapic(page: Uint8Array): void {
    this.#transfer.takeLapic(page);
  }

  events(): Events {
    return {
      ...EVENTS.decode(new Uint8Array(EVENTS.size)),
      nmiMasked: this.#registers.field('nmiBlocked'),
      nmiPending: this.#requests & IntReq.nmi ? 1 : 0,
      interruptInjected: this.#vector >= 0 ? 1 : 0,
      interruptNr: Math.max(this.#vector, 0),
    };
  }

  setEvents(events: Events): void {
    this.#registers.setField('nmiBlocked', events.nmiMasked);
    if (!(events.flags & EventsValid.nmiPending)) return;
    if (events.nmiPending) this.tcg.runtime.raiseNmi(this.#state);
    else this.#setRequests(this.#requests & ~IntReq.nmi);
  }

  debugRegs(): DebugRegs {
    const dr = (n: number): bigint => this.#registers.wide('dr', n);
    return { db: [dr(0), dr(1), dr(2), dr(3)], dr6: dr(6), dr7: dr(7), flags: 0n };
  }

  setDebugRegs({ db, dr6, dr7 }: DebugRegs): void {
    const set = (n: number, value: bigint): void =>
      this.#view.setBigUint64(this.#state + X86.at['dr']! + 8 * n, value, true);
    db.forEach((value, n) => {
      set(n, value);
    });
    set(6, dr6);
    set(7, dr7);
    this.tcg.runtime.tlbFlush(this.#state);
    this.tcg.runtime.updateMode(this.#state);
  }

  mpState(): number {
    return this.#mpState;
  }

  setMpState(state: number): void {
    this.#mpState = state;
  }

  setCpuid(entries: readonly CpuidEntry[]): void {
    if (entries.length > MOST_CPUID) throw new KvmError('KVM_SET_CPUID2', EINVAL, 'EINVAL', `${entries.length} leaves`);
    const at = (field: string): number => this.#state + X86.at[field]!;
    entries.forEach((e, i) => {
      this.#view.setUint32(at('cpuidIndex') + 8 * i, e.function, true);
      this.#view.setUint32(at('cpuidIndex') + 8 * i + 4, e.flags & CPUID_SIGNIFICANT_INDEX ? e.index : ANY, true);
      [e.eax, e.ebx, e.ecx, e.edx].forEach((word, n) => {
        this.#view.setUint32(at('cpuid') + 16 * i + 4 * n, word, true);
      });
    });
    this.#view.setUint32(at('cpuidCount'), entries.length, true);
  }

  setGuestDebug(request: GuestDebugRequest): void {
    this.#debug = request;
  }

  translate(linear: bigint): bigint | undefined {
    const physical = this.tcg.runtime.debugTranslate(this.#state, BigInt.asIntN(64, linear));
    return physical === -1n ? undefined : BigInt.asUintN(64, physical);
  }

  get readyForInterrupt(): boolean {
    const shadow = this.#registers.field('inhibitInterrupts') !== 0;
    return this.#vector < 0 && !shadow && (this.#registers.get('rflags') & INTERRUPT_FLAG) !== 0n;
  }

  requestInterruptWindow(on: boolean): void {
    this.#window = on;
  }

  interrupt(vector: number): void {
    if (this.#vector >= 0) throw new KvmError('KVM_INTERRUPT', EEXIST, 'EEXIST', `vector ${vector}`);
    this.#vector = vector;
    this.tcg.runtime.setIntr(this.#state, 1);
  }

  nmi(): void {
    this.tcg.runtime.raiseNmi(this.#state);
  }

  tscKhz(): number {
    return this.around.tscKhz;
  }

  close(): void {}

  /** What stops the vCPU before the instruction at rip: an Exit. */
  #beforeInstruction(): number | undefined {
    if (this.#window && this.readyForInterrupt) {
      this.#exit = { reason: 'irqWindowOpen' };
      return Exit.irqWindowOpen;
    }
    const { breakpoints = [], softwareBreakpoints } = this.#debug;
    if (breakpoints.length === 0 && !softwareBreakpoints) return undefined;
    const pc = this.#linearPc();
    const hit = breakpoints.indexOf(pc);
    const physical = softwareBreakpoints ? this.translate(pc) : undefined;
    const int3 = physical !== undefined && this.around.slotAt(Number(physical))?.[0] === INT3;
    if ((hit < 0 || this.#skipBreakpoint) && !int3) {
      this.#skipBreakpoint = false;
      return undefined;
    }
    this.#skipBreakpoint = true;
    return this.#stopForDebugger(int3 ? BP : DB, pc, int3 ? DR6_FIXED : DR6_FIXED | (1n << BigInt(hit)));
  }

  /** Runs an instruction; undefined: go on with the next. */
  #step(): number | undefined {
    const pending = this.#registers.field('pendingDr6');
    const rip = this.#registers.get('rip');
    this.#replayed = 0;
    this.#view.setUint32(this.#state + VCPU.at['halted']!, 0, true);
    let reason: number;
    try {
      reason = this.tcg.runtime.run(this.#state);
    } catch (thrown) {
      if (thrown !== UNWIND) throw thrown;
      // As if the instruction had not been started.
      this.#registers.set('rip', rip);
      this.#registers.setField('pendingDr6', pending);
      this.#setRequests((this.#requests & ~IntReq.debug) | (pending === 0 ? 0 : IntReq.debug));
      return this.#waiting!.space === 'port' ? Exit.io : Exit.mmio;
    }
    this.#answered = [];
    if (this.#view.getUint32(this.#state + VCPU.at['halted']!, true) !== 0) {
      // KVM goes on behind the HLT when it is entered again.
      this.#exit = { reason: 'hlt' };
      return Exit.hlt;
    }
    switch (reason) {
      case ExitReason.shutdown:
        this.#exit = { reason: 'shutdown' };
        return Exit.shutdown;
      case ExitReason.badCode:
        this.#exit = { reason: 'internalError', suberror: 1, data: [] };
        return Exit.internalError;
      case ExitReason.debug:
        return this.#debug.singleStep ? this.#stopForDebugger(DB, this.#linearPc(), DR6_STEP) : undefined;
      default:
        return undefined;
    }
  }

  #stopForDebugger(exception: number, pc: bigint, dr6: bigint): number {
    this.#exit = { reason: 'debug', exception, pc, dr6, dr7: this.#registers.wide('dr', 7) };
    return Exit.debug;
  }

  #interrupted(): number {
    this.#exit = { reason: 'interrupted' };
    return Exit.interrupted;
  }

  /** Someone changed the registers: what was answered belongs to an instruction that is no more. */
  #startOver(): void {
    this.#answered = [];
    this.#waiting = undefined;
    this.#skipBreakpoint = false;
  }

  #linearPc(): bigint {
    const { base, attributes } = this.#registers.segment('cs');
    const rip = this.#registers.get('rip');
    const long = (attributes & CS_LONG) !== 0 && (this.#registers.get('efer') & EFER_LMA) !== 0n;
    return long ? rip : (base + rip) & 0xffff_ffffn;
  }

  get #requests(): number {
    return this.#view.getUint32(this.#state + VCPU.at['interruptRequest']!, true);
  }

  #setRequests(bits: number): void {
    this.#view.setUint32(this.#state + VCPU.at['interruptRequest']!, bits, true);
  }
}

const CS_LONG = 1 << 13;
const EFER_LMA = 1n << 10n;
const EEXIST = 17;
const SEGMENT_NAMES = Object.entries(SEGMENTS) as [keyof typeof SEGMENTS, (typeof SEGMENTS)[keyof typeof SEGMENTS]][];
const TABLE_NAMES = Object.entries(TABLES) as [keyof typeof TABLES, (typeof TABLES)[keyof typeof TABLES]][];
