/**
 * The architectural state of a vCPU between KVM and its record in linear memory (src/guest/x86/state.ts). The record is the
 * form that all accelerators share: tcg runs on it, KVM is loaded from it and writes it back, monitors and loaders work on
 * nothing else.
 */

import type { Segment, SegmentName, X86Registers } from '../../guest/x86/registers.js';
import { ClockRate, DebuggerFlag, GPR, IntReq, LAPIC, PARAVIRTUAL_MSRS, X86 } from '../../guest/x86/state.js';
import { lapicTimerStep } from '../../guest/x86/vcpu-state.js';
import { VCPU } from '../../ir/layout.js';
import { EventsValid, type KvmSegment, MpState, type Regs, type Sregs } from './abi.js';
import type { GuestDebugRequest, KvmProcessor } from './interface.js';
import { KVM_TRACE } from './trace.js';
import { type XsaveOffsets, XsaveTransfer } from './xsave-state.js';

/** MSRs by the field that holds them; arrays element by element. */
export const MSRS: readonly (readonly [index: number, field: string, element: number])[] = [
  [0x174, 'sysenterCs', 0],
  [0x175, 'sysenterEsp', 0],
  [0x176, 'sysenterEip', 0],
  [0x1a0, 'miscEnable', 0],
  [0x277, 'pat', 0],
  [0x2ff, 'mtrrDefType', 0],
  ...[0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f].map(
    (index, i) => [index, 'mtrrFixed', i] as const,
  ),
  ...Array.from({ length: 16 }, (_, i) => [0x200 + i, 'mtrrVar', i] as const),
  [0x17a, 'mcgStatus', 0],
  [0x17b, 'mcgCtl', 0],
  ...Array.from({ length: X86.bytes['mcBanks']! / 8 }, (_, i) => [0x400 + i, 'mcBanks', i] as const),
  [0xc0000081, 'star', 0],
  [0xc0000082, 'lstar', 0],
  [0xc0000083, 'cstar', 0],
  [0xc0000084, 'fmask', 0],
  [0xc0000102, 'kernelGsBase', 0],
  [0xc0000103, 'tscAux', 0],
  [0x3b, 'tscAdjust', 0],
  [0x48, 'specCtrl', 0],
  [0xda0, 'xss', 0],
  [0x9e, 'smbase', 0],
];

/** KVM's names of the segments that ours have in KVM_GET_SREGS. */
export const SEGMENTS = { cs: 'cs', ds: 'ds', es: 'es', fs: 'fs', gs: 'gs', ss: 'ss', tr: 'tr', ldtr: 'ldt' } as const;
export const TABLES = { gdtr: 'gdt', idtr: 'idt' } as const;

/** Registers of the local APIC's page by the field that holds them. */
const LAPIC_PAGE: readonly (readonly [offset: number, field: string, element: number])[] = [
  [0x20, 'id', 0],
  [0x80, 'tpr', 0],
  [0xd0, 'ldr', 0],
  [0xe0, 'dfr', 0],
  [0xf0, 'svr', 0],
  ...Array.from({ length: 8 }, (_, i) => [0x100 + 16 * i, 'isr', i] as const),
  ...Array.from({ length: 8 }, (_, i) => [0x180 + 16 * i, 'tmr', i] as const),
  ...Array.from({ length: 8 }, (_, i) => [0x200 + 16 * i, 'irr', i] as const),
  [0x280, 'esr', 0],
  [0x300, 'icrLow', 0],
  [0x310, 'icrHigh', 0],
  ...Array.from({ length: 6 }, (_, i) => [0x320 + 16 * i, 'lvt', i] as const),
  [0x380, 'timerInitial', 0],
  [0x3e0, 'timerDivide', 0],
];

const TSC = 0x10;
const TSC_DEADLINE = 0x6e0;
const Page = { timerInitial: 0x380, timerCurrent: 0x390, timerDivide: 0x3e0, timer: 0x320 } as const;
const TIMER_MASKED = 1 << 16;
const TIMER_MODE = 3 << 17;
const PERIODIC = 1 << 17;
/** Ticks of the emulated processors' time stamp counter, a nanosecond. */
const TSC_RATE = BigInt(ClockRate.tsc);

const NOTHING_UNDER_WAY = {
  exceptionInjected: 0,
  exceptionPending: 0,
  interruptInjected: 0,
  interruptShadow: 0,
  nmiInjected: 0,
  nmiPending: 0,
};
const EFER_LMA = 0x400n;
const XSTATE_BV = 512;
const DR6 = 6;
const DR7 = 7;

/**
 * How much newer a record is than KVM's state. `yes`: what KVM was about to deliver stays; `init`: nothing is under way any
 * more; `reset`: clocks are the record's too.
 */
export type StoreScope = 'no' | 'yes' | 'init' | 'reset';

/** Moves one vCPU's state; the addresses are those of its record. */
export class X86StateTransfer {
  readonly xsave: XsaveTransfer;
  readonly #view: DataView;
  /** The local APIC's timer has run out, once and for all. */
  #mayBeDue = false;

  constructor(
    memory: WebAssembly.Memory,
    private readonly registers: X86Registers,
    private readonly state: number,
    private readonly surroundings: {
      /** Virtual time, ns. */
      now(): number;
      /** Whether KVM has the local APIC; if not, the record is it, and halting is not KVM's either. */
      readonly kernelApic: boolean;
      /** KVM has system management mode. */
      readonly smm: boolean;
      /** Of this KVM's XSAVE areas. */
      readonly xsave: XsaveOffsets;
    },
  ) {
    this.#view = new DataView(memory.buffer);
    this.xsave = new XsaveTransfer(memory, registers, surroundings.xsave);
  }

  /** Record to KVM. */
  store(vcpu: KvmProcessor, scope: StoreScope): void {
    const { registers } = this;
    const { kernelApic, smm } = this.surroundings;
    const fresh = scope !== 'yes';
    const regs = vcpu.regs();
    for (const name of [...GPR, 'rip', 'rflags'] as (keyof Regs)[]) regs[name] = registers.get(name);
    const sregs = vcpu.sregs();
    for (const [ours, theirs] of entries(SEGMENTS)) sregs[theirs] = toKvm(registers.segment(ours));
    for (const [ours, theirs] of entries(TABLES)) {
      const { base, limit } = registers.segment(ours);
      sregs[theirs] = { base, limit, padding: [0, 0, 0] };
    }
    for (const name of ['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const) sregs[name] = registers.get(name);
    sregs.cr8 = BigInt(this.#lapic('tpr') >>> 4);
    sregs.apicBase = this.#wide('apicBase');
    if (fresh) sregs.interruptBitmap = [0n, 0n, 0n, 0n];
    // The local APIC's mode comes with the base, before its registers.
    vcpu.setSregs(sregs);
    vcpu.setRegs(regs);
    vcpu.setXcr0(this.#wide('xcr0'));
    const area = vcpu.xsave();
    if (fresh) area.fill(0, XSTATE_BV, XSTATE_BV + 8);
    this.xsave.fill(area);
    vcpu.setXsave(area);
    const refused = vcpu.setMsrs(new Map(MSRS.map(([index, field, element]) => [index, this.#wide(field, element)])));
    if (KVM_TRACE.kvm_msr_refused.enabled) for (const index of refused) KVM_TRACE.kvm_msr_refused.emit(vcpu.id, index);
    // Else KVM's is as new, or newer: interrupts may have come since.
    if (kernelApic && fresh) {
      const page = vcpu.lapic();
      this.fillLapic(page);
      vcpu.setLapic(page);
    }
    if (scope === 'reset') this.#storeTime(vcpu);
    const dr = (n: number): bigint => this.#wide('dr', n);
    vcpu.setDebugRegs({ db: [dr(0), dr(1), dr(2), dr(3)], dr6: dr(DR6), dr7: dr(DR7), flags: 0n });
    const requests = this.state + VCPU.at['interruptRequest']!;
    const bits = this.#view.getUint32(requests, true);
    const events = vcpu.events();
    vcpu.setEvents({
      ...events,
      ...(fresh && { ...NOTHING_UNDER_WAY, smiPending: bits & IntReq.smi ? 1 : 0 }),
      nmiMasked: registers.field('nmiBlocked') ? 1 : 0,
      smiSmm: registers.field('inSmm') ? 1 : 0,
      flags: EventsValid.nmiPending | EventsValid.shadow | (smm ? EventsValid.smm : 0),
    });
    if (fresh && bits & IntReq.nmi) vcpu.nmi();
    if (fresh) this.#view.setUint32(requests, bits & ~(IntReq.nmi | IntReq.smi), true);
    if (!kernelApic) return;
    const waits = registers.field('waitForSipi') !== 0;
    const halted = this.#view.getUint32(this.state + VCPU.at['halted']!, true) !== 0;
    vcpu.setMpState(waits ? MpState.uninitialized : halted ? MpState.halted : MpState.runnable);
  }

  /** KVM to record. */
  fetch(vcpu: KvmProcessor): void {
    const { registers } = this;
    const regs = vcpu.regs();
    const sregs = vcpu.sregs();
    for (const name of ['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const) registers.set(name, sregs[name]);
    for (const [ours, theirs] of entries(SEGMENTS)) registers.setSegment(ours, fromKvm(sregs[theirs]));
    for (const [ours, theirs] of entries(TABLES)) {
      const { base, limit } = sregs[theirs];
      registers.setSegment(ours, { selector: 0, base, limit, attributes: 0 });
    }
    this.#setWide('apicBase', 0, sregs.apicBase);
    for (const name of [...GPR, 'rip', 'rflags'] as (keyof Regs)[]) registers.set(name, regs[name]);
    this.#setWide('xcr0', 0, vcpu.xcr0());
    this.xsave.take(vcpu.xsave());
    vcpu.msrs(MSRS.map(([index]) => index)).forEach((value, i) => {
      const [, field, element] = MSRS[i]!;
      if (value !== undefined) this.#setWide(field, element, value);
    });
    if (this.surroundings.kernelApic) this.takeLapic(vcpu.lapic());
    const [tsc = 0n, deadline = 0n] = vcpu.msrs([TSC, TSC_DEADLINE]);
    this.#setWide('tscOffset', 0, BigInt.asUintN(64, tsc - this.#nowTicks()));
    this.#setWide('tscDeadline', 0, deadline);
    vcpu.msrs(PARAVIRTUAL_MSRS).forEach((value = 0n, i) => {
      this.#setWide('paravirtual', i, value);
    });
    const debug = vcpu.debugRegs();
    debug.db.forEach((value, i) => {
      this.#setWide('dr', i, value);
    });
    this.#setWide('dr', DR6, debug.dr6);
    this.#setWide('dr', DR7, debug.dr7);
    const { nmiMasked, smiSmm } = vcpu.events();
    registers.setField('nmiBlocked', nmiMasked);
    registers.setField('inSmm', smiSmm);
    this.#view.setUint32(this.state + VCPU.at['addressSpace']!, smiSmm, true);
    if (!this.surroundings.kernelApic) return;
    const mode = vcpu.mpState();
    registers.setField('waitForSipi', mode === MpState.uninitialized || mode === MpState.initReceived ? 1 : 0);
    this.#view.setUint32(this.state + VCPU.at['halted']!, mode === MpState.runnable ? 0 : 1, true);
  }

  /** Record to the registers in a local APIC's page. */
  fillLapic(page: Uint8Array): void {
    const view = new DataView(page.buffer, page.byteOffset);
    for (const [offset, field, element] of LAPIC_PAGE) view.setUint32(offset, this.#lapic(field, element), true);
    view.setUint32(Page.timerCurrent, this.#timerCount(view), true);
  }

  takeLapic(page: Uint8Array): void {
    const view = new DataView(page.buffer, page.byteOffset);
    const lapic = X86.at['lapic']! + this.state;
    for (const [offset, field, element] of LAPIC_PAGE) {
      this.#view.setUint32(lapic + LAPIC.at[field]! + 4 * element, view.getUint32(offset, true), true);
    }
    const timer = view.getUint32(Page.timer, true);
    const initial = view.getUint32(Page.timerInitial, true);
    const current = view.getUint32(Page.timerCurrent, true);
    const stands = initial === 0 || current === 0;
    // A period is over, and KVM has not come to begin the next: on a busy host, that is often.
    if (stands && initial !== 0 && timer & PERIODIC) this.#setTimerLeft(1);
    else if (stands) this.#view.setFloat64(lapic + LAPIC.at['timerStart']!, -1, true);
    else this.#setTimerLeft(current);
    this.#mayBeDue = stands && initial !== 0 && (timer & (TIMER_MODE | TIMER_MASKED)) === 0;
  }

  /** The local APIC's timer has so many counts to go. */
  #setTimerLeft(count: number): void {
    const gone = (this.#lapic('timerInitial') - count) * lapicTimerStep(this.#lapic('timerDivide'));
    const start = Math.max(0, this.surroundings.now() - gone);
    this.#view.setFloat64(this.state + X86.at['lapic']! + LAPIC.at['timerStart']!, start, true);
  }

  /** What a debugger wants, as the record has it. */
  debugRequest(): GuestDebugRequest {
    const wishes = this.registers.field('debugger');
    const count = wishes & DebuggerFlag.breakpoints ? this.registers.field('breakpointCount') : 0;
    return {
      singleStep: (wishes & DebuggerFlag.single) !== 0,
      breakpoints: Array.from({ length: count }, (_, i) => this.#wide('breakpoints', i)),
    };
  }

  /** Where the next instruction is, by KVM. */
  linearPc(vcpu: KvmProcessor): bigint {
    const { cs, efer } = vcpu.sregs();
    const { rip } = vcpu.regs();
    return cs.l && efer & EFER_LMA ? rip : (cs.base + rip) & 0xffff_ffffn;
  }

  /**
   * What KVM was about to deliver goes back to where it came from: the record has it all then. Gives the vector of an interrupt that
   * came from the 8259s.
   */
  settle(vcpu: KvmProcessor): number | undefined {
    const events = vcpu.events();
    const { interruptInjected, interruptSoft, interruptNr } = events;
    let external: number | undefined;
    if (interruptInjected && !interruptSoft) {
      const word = 4 * (interruptNr >> 5);
      const bit = 1 << (interruptNr & 31);
      const at = (field: string): number => this.state + X86.at['lapic']! + LAPIC.at[field]! + word;
      if (this.#view.getUint32(at('isr'), true) & bit) {
        this.#view.setUint32(at('isr'), this.#view.getUint32(at('isr'), true) & ~bit, true);
        this.#view.setUint32(at('irr'), this.#view.getUint32(at('irr'), true) | bit, true);
      } else external = interruptNr;
    }
    // KVM does not tell whether its one interrupt has come already. To one that came, another does no harm; KVM does the same.
    if (this.#mayBeDue) this.#setTimerLeft(1);
    this.#mayBeDue = false;
    const requests = this.state + VCPU.at['interruptRequest']!;
    const nmi = events.nmiPending || events.nmiInjected ? IntReq.nmi : 0;
    const smi = events.smiPending ? IntReq.smi : 0;
    this.#view.setUint32(requests, this.#view.getUint32(requests, true) | nmi | smi, true);
    return external;
  }

  /** KVM's clock for guests, ns, as the record has it. */
  clock(): bigint {
    return this.#wide('paravirtualClock');
  }

  setClock(ns: bigint): void {
    this.#setWide('paravirtualClock', 0, ns);
  }

  /** After a reset, or in a machine that was loaded. */
  #storeTime(vcpu: KvmProcessor): void {
    const values = new Map<number, bigint>(PARAVIRTUAL_MSRS.map((index, i) => [index, this.#wide('paravirtual', i)]));
    values.set(TSC, BigInt.asUintN(64, this.#wide('tscOffset') + this.#nowTicks()));
    values.set(TSC_DEADLINE, this.#wide('tscDeadline'));
    vcpu.setMsrs(values);
  }

  #nowTicks(): bigint {
    return BigInt(Math.round(this.surroundings.now())) * TSC_RATE;
  }

  /** What is left on the local APIC's timer. */
  #timerCount(page: DataView): number {
    const start = this.#view.getFloat64(this.state + X86.at['lapic']! + LAPIC.at['timerStart']!, true);
    const initial = page.getUint32(Page.timerInitial, true);
    if (start < 0 || initial === 0) return 0;
    const gone = Math.floor((this.surroundings.now() - start) / lapicTimerStep(page.getUint32(Page.timerDivide, true)));
    if (page.getUint32(Page.timer, true) & PERIODIC) return initial - (gone % initial);
    return Math.max(0, initial - gone);
  }

  /** The MSR's value, when the record has it. */
  msr(index: number): bigint | undefined {
    const found = MSRS.find(([number]) => number === index);
    return found && this.#wide(found[1], found[2]);
  }

  /** False: the record has no such MSR. */
  setMsr(index: number, value: bigint): boolean {
    const found = MSRS.find(([number]) => number === index);
    if (found) this.#setWide(found[1], found[2], value);
    return found !== undefined;
  }

  #wide(field: string, element = 0): bigint {
    return this.#view.getBigUint64(this.state + X86.at[field]! + 8 * element, true);
  }

  #setWide(field: string, element: number, value: bigint): void {
    this.#view.setBigUint64(this.state + X86.at[field]! + 8 * element, value, true);
  }

  #lapic(field: string, element = 0): number {
    return this.#view.getUint32(this.state + X86.at['lapic']! + LAPIC.at[field]! + 4 * element, true);
  }
}

function entries<K extends SegmentName, V extends keyof Sregs>(names: Readonly<Record<K, V>>): [K, V][];
function entries(names: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(names);
}

/** Attributes are descriptor bits 40..55. */
export function toKvm({ selector, base, limit, attributes }: Segment): KvmSegment {
  const bit = (n: number): number => (attributes >> n) & 1;
  return {
    base,
    limit,
    selector,
    type: attributes & 15,
    present: bit(7),
    dpl: (attributes >> 5) & 3,
    db: bit(14),
    s: bit(4),
    l: bit(13),
    g: bit(15),
    avl: bit(12),
    unusable: bit(7) ? 0 : 1,
    padding: 0,
  };
}

export function fromKvm(s: KvmSegment): Segment {
  const attributes =
    s.type | (s.s << 4) | (s.dpl << 5) | (s.present << 7) | (s.avl << 12) | (s.l << 13) | (s.db << 14) | (s.g << 15);
  return { selector: s.selector, base: s.base, limit: s.limit, attributes: s.unusable ? 0 : attributes };
}
