/** `kernel_irqchip=on`: 8259s, I/O APIC and 8254 in the kernel, in the form that all accelerators share. */
import type {
  AcceleratorChips,
  IoapicRegisters,
  PicRegisters,
  PitCounterRegisters,
  PitRegisters,
} from '../../machine/interrupt-chips.js';
import { type IoapicState, IrqchipId, type PicState, PitFlag, type PitState } from './abi.js';
import type { GsiRoute, KvmMachine } from './interface.js';
import { KVM_TRACE } from './trace.js';

const IOAPIC_PINS = 24;
const ISA_INPUTS = 16;
/** Of the I/O APIC; the 8259s' cascade has this number too. */
const TIMER_PIN = 2;
/** Input of the first 8259. */
const CASCADE = 2;
/** Channel states of two-byte accesses in struct kvm_pit_channel_state. */
const Access = { low: 1, high: 2, word0: 3, word1: 4 } as const;

/** The kernel's mode of a counter that nobody has programmed; what the chip shows then. */
const NO_MODE = 0xff;
const RESET_MODE = 3;

type PitChannel = PitState['channels'][number];

/**
 * GSIs as the board numbers them: 0 is the timer, 8259 input 0 and I/O APIC input 2. KVM finds the GSI of an input whose
 * interrupt has ended: there must be one only, or the timer never hears that its tick was taken.
 */
export const PC_ROUTES: readonly GsiRoute[] = Array.from({ length: IOAPIC_PINS }, (_, gsi): GsiRoute[] => {
  if (gsi === TIMER_PIN) return [];
  const routes: GsiRoute[] = [{ gsi, chip: IrqchipId.ioapic, pin: gsi === 0 ? TIMER_PIN : gsi }];
  if (gsi >= ISA_INPUTS) return routes;
  return [...routes, { gsi, chip: gsi < 8 ? IrqchipId.master : IrqchipId.slave, pin: gsi & 7 }];
}).flat();

/** An input's interrupt is requested, not in service. A level needs no memory: it is high still, or has gone. */
const offered = (chip: PicRegisters, bit: number): PicRegisters => ({
  ...chip,
  isr: chip.isr & ~bit,
  irr: chip.irr | (bit & ~chip.elcr),
});

export class KernelChips implements AcceleratorChips {
  /** The 8254 when the processors were parked. */
  #parked: PitRegisters | undefined;

  /** `setInput`: sooner or later calls `drive`. `monotonic`: the clock that the kernel counts the 8254's time by, in ns. */
  constructor(
    private readonly vm: KvmMachine,
    readonly setInput: (gsi: number, level: boolean) => void,
    private readonly monotonic: () => number,
  ) {
    vm.createIrqchip();
    vm.createPit();
  }

  drive(gsi: number, level: boolean): void {
    if (KVM_TRACE.kvm_irq_line.enabled) KVM_TRACE.kvm_irq_line.emit(gsi, level);
    this.vm.setIrqLine(gsi, level);
  }

  pic(chip: 0 | 1): PicRegisters {
    const s = this.vm.pic(chip);
    return {
      irr: s.irr,
      imr: s.imr,
      isr: s.isr,
      inputs: s.lastIrr,
      elcr: s.elcr,
      elcrMask: s.elcrMask,
      highest: s.priorityAdd,
      vectorBase: s.irqBase,
      readIsr: s.readRegSelect !== 0,
      poll: s.poll !== 0,
      specialMask: s.specialMask !== 0,
      autoEoi: s.autoEoi !== 0,
      rotateOnAutoEoi: s.rotateOnAutoEoi !== 0,
      fullyNested: s.specialFullyNestedMode !== 0,
      expect: s.initState,
      wantsIcw4: s.init4 !== 0,
    };
  }

  setPic(chip: 0 | 1, r: PicRegisters): void {
    const state: PicState = {
      lastIrr: r.inputs,
      irr: r.irr,
      imr: r.imr,
      isr: r.isr,
      priorityAdd: r.highest,
      irqBase: r.vectorBase,
      readRegSelect: Number(r.readIsr),
      poll: Number(r.poll),
      specialMask: Number(r.specialMask),
      initState: r.expect,
      autoEoi: Number(r.autoEoi),
      rotateOnAutoEoi: Number(r.rotateOnAutoEoi),
      specialFullyNestedMode: Number(r.fullyNested),
      init4: Number(r.wantsIcw4),
      elcr: r.elcr,
      elcrMask: r.elcrMask,
    };
    this.vm.setPic(chip, state);
  }

  /** An interrupt that the 8259s have given away will not be delivered: they are to offer it once more. */
  takeBack(vector: number): void {
    const [master, slave] = [this.pic(0), this.pic(1)];
    const at = (chip: PicRegisters): boolean => (vector & ~7) === (chip.vectorBase & ~7);
    const bit = 1 << (vector & 7);
    if (at(master)) this.setPic(0, offered(master, bit));
    else if (at(slave)) {
      this.setPic(1, offered(slave, bit));
      this.setPic(0, offered(master, 1 << CASCADE));
    }
  }

  ioapic(): IoapicRegisters {
    const { id, ioregsel, irr, redirection } = this.vm.ioapic();
    return {
      id,
      select: ioregsel,
      irr,
      low: Uint32Array.from(redirection, (entry) => Number(entry & 0xffff_ffffn)),
      high: Uint32Array.from(redirection, (entry) => Number(entry >> 32n)),
    };
  }

  setIoapic({ id, select, irr, low, high }: IoapicRegisters): void {
    const redirection = Array.from(low, (word, i) => (BigInt(high[i]!) << 32n) | BigInt(word));
    const state: IoapicState = { baseAddress: 0xfec0_0000n, ioregsel: select, id, irr, pad: 0, redirection };
    this.vm.setIoapic(state);
  }

  /** The processors stand still. Says nothing new when they did already. */
  park(): void {
    this.#parked ??= this.pit();
  }

  /**
   * The processors go on. When the machine stood still, so did its 8254: the kernel's did not, and has ticks to make up for. A period
   * begins again then.
   */
  resume(stoodStill: boolean): void {
    const parked = this.#parked;
    this.#parked = undefined;
    if (parked && stoodStill) this.setPit(parked);
  }

  pit(): PitRegisters {
    if (this.#parked) return this.#parked;
    const { channels, flags } = this.vm.pit();
    const now = this.monotonic();
    return {
      speaker: (channels[2]!.gate ? 1 : 0) | (flags & PitFlag.speakerOn ? 2 : 0),
      counters: channels.map((c): PitCounterRegisters => {
        const word = c.rwMode >= Access.word0;
        return {
          mode: c.mode === NO_MODE ? RESET_MODE : c.mode,
          counting: c.mode !== NO_MODE,
          bcd: c.bcd !== 0,
          access: word ? 3 : c.rwMode,
          initial: c.count,
          writeLow: c.writeState === Access.word1 ? c.writeLatch : -1,
          readHigh: (c.countLatched === 0 ? c.readState : c.countLatched) === Access.word1,
          latch: c.countLatched === 0 ? -1 : c.latchedCount,
          statusLatch: c.statusLatched === 0 ? -1 : c.status,
          gate: c.gate !== 0,
          elapsed: now - Number(c.countLoadTime),
        };
      }),
    };
  }

  setPit(registers: PitRegisters): void {
    if (this.#parked) this.#parked = registers;
    const { speaker, counters } = registers;
    const now = this.monotonic();
    const { flags } = this.vm.pit();
    this.vm.setPit({
      flags: (flags & PitFlag.hpetLegacy) | (speaker & 2 ? PitFlag.speakerOn : 0),
      channels: counters.map((c): PitChannel => {
        const rwMode = c.access === 3 ? Access.word0 : c.access;
        const read = c.access !== 3 ? c.access : c.readHigh ? Access.word1 : Access.word0;
        return {
          count: c.initial,
          latchedCount: Math.max(c.latch, 0),
          countLatched: c.latch < 0 ? 0 : read,
          statusLatched: c.statusLatch < 0 ? 0 : 1,
          status: Math.max(c.statusLatch, 0),
          readState: read,
          writeState: c.writeLow >= 0 ? Access.word1 : rwMode,
          writeLatch: Math.max(c.writeLow, 0),
          rwMode,
          mode: c.counting ? c.mode : NO_MODE,
          bcd: Number(c.bcd),
          gate: Number(c.gate),
          countLoadTime: BigInt(Math.round(now - c.elapsed)),
        };
      }),
    });
  }

  replaceTimer(on: boolean): void {
    const state = this.vm.pit();
    const flags = on ? state.flags | PitFlag.hpetLegacy : state.flags & ~PitFlag.hpetLegacy;
    this.vm.setPit({ ...state, flags });
  }
}
