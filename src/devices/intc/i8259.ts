/**
 * Two Intel 8259A interrupt controllers in cascade, with the edge/level control registers of the PIIX.
 * 8259A data sheet (Intel 231468-003); 82371SB (PIIX3) data sheet, section 2.6 (ELCR).
 */
import { traceEvents } from '../../base/trace.js';
import type { Device } from '../../machine/device.js';
import { IrqInput, type IrqLine } from '../../machine/irq.js';
import type { IsaBus } from '../../machine/isa-bus.js';
import { type DeviceState, type Stateful, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';

export const I8259_TRACE = traceEvents({
  pic_ioport_write: 'master %d addr 0x%x val 0x%02x',
  pic_ioport_read: 'master %d addr 0x%x val 0x%02x',
  pic_interrupt: 'irq %d vector 0x%02x',
  pic_set_irq: 'master %d irq %d level %d',
});

/** What an initialisation sequence waits for. */
enum Expect {
  Operation,
  Icw2,
  Icw3,
  Icw4,
}

const CASCADE = 2;
const SPURIOUS = 7;
const NONE = 8;

/** One chip. */
export class I8259 implements IoHandler, Stateful {
  irr = 0;
  imr = 0;
  isr = 0;
  /** Input levels. */
  inputs = 0;
  /** Level-triggered inputs: bits of the ELCR. */
  elcr = 0;
  /** The input with the highest priority. */
  highest = 0;
  vectorBase = 0;
  readIsr = false;
  poll = false;
  specialMask = false;
  autoEoi = false;
  rotateOnAutoEoi = false;
  fullyNested = false;
  expect: number = Expect.Operation;
  wantsIcw4 = false;
  single = false;

  readonly sizes = { min: 1, max: 1 } as const;
  /** How often each input was acknowledged since power-on, for `info irq`: no part of the state. */
  readonly counts = new Uint32Array(8);
  readonly #state = stateOf<I8259>(this, 1, [
    'irr',
    'imr',
    'isr',
    'inputs',
    'elcr',
    'highest',
    'vectorBase',
    'readIsr',
    'poll',
    'specialMask',
    'autoEoi',
    'rotateOnAutoEoi',
    'fullyNested',
    'expect',
    'wantsIcw4',
    'single',
  ]);

  /** `elcrMask`: which inputs can be made level triggered. */
  constructor(
    readonly master: boolean,
    readonly elcrMask: number,
    private readonly output: IrqLine,
  ) {}

  /** All but the input levels, which belong to the devices that drive them. */
  reset(): void {
    this.elcr = 0;
    this.vectorBase = 0;
    this.rotateOnAutoEoi = false;
    this.#initialise();
    this.irr = 0;
    this.expect = Expect.Operation;
    this.wantsIcw4 = false;
    this.single = false;
    this.update();
  }

  setInput(input: number, level: boolean): void {
    if (I8259_TRACE.pic_set_irq.enabled) I8259_TRACE.pic_set_irq.emit(Number(this.master), input, Number(level));
    const bit = 1 << input;
    if (this.elcr & bit) this.irr = level ? this.irr | bit : this.irr & ~bit;
    else if (level && !(this.inputs & bit)) this.irr |= bit;
    this.inputs = level ? this.inputs | bit : this.inputs & ~bit;
    this.update();
  }

  /** The slave's INT: a request as long as it lasts, whatever the trigger mode. */
  setCascade(level: boolean): void {
    const bit = 1 << CASCADE;
    this.irr = level ? this.irr | bit : this.irr & ~bit;
    this.inputs = level ? this.inputs | bit : this.inputs & ~bit;
    this.update();
  }

  setElcr(value: number): void {
    this.elcr = value & this.elcrMask;
    // A level-triggered request is its input.
    this.irr = (this.irr & ~this.elcr) | (this.inputs & this.elcr);
    this.update();
  }

  /** The input to be served next, or -1. */
  pending(): number {
    const requested = this.#rank(this.irr & ~this.imr);
    if (requested === NONE) return -1;
    let serving = this.isr;
    if (this.specialMask) serving &= ~this.imr;
    if (this.fullyNested && this.master) serving &= ~(1 << CASCADE);
    return requested < this.#rank(serving) ? (requested + this.highest) & 7 : -1;
  }

  acknowledge(input: number): void {
    const bit = 1 << input;
    this.counts[input] = this.counts[input]! + 1;
    if (!this.autoEoi) this.isr |= bit;
    else if (this.rotateOnAutoEoi) this.highest = (input + 1) & 7;
    if (!(this.elcr & bit)) this.irr &= ~bit;
    // INT falls during the acknowledge cycle: the master sees an edge for the next request.
    this.output.set(false);
    this.update();
  }

  update(): void {
    this.output.set(this.pending() >= 0);
  }

  read(offset: number, _size: AccessSize): number {
    const value = this.#read(offset);
    if (I8259_TRACE.pic_ioport_read.enabled) I8259_TRACE.pic_ioport_read.emit(Number(this.master), offset, value);
    return value;
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (I8259_TRACE.pic_ioport_write.enabled) I8259_TRACE.pic_ioport_write.emit(Number(this.master), offset, value);
    if (offset === 0) {
      if (value & 0x10) this.#icw1(value);
      else if (value & 0x08) this.#ocw3(value);
      else this.#ocw2(value);
    } else this.#data(value);
    this.update();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  /** Rank of the most urgent bit, 0 first; NONE when there is none. */
  #rank(bits: number): number {
    if (bits === 0) return NONE;
    const rotated = ((bits >> this.highest) | (bits << (8 - this.highest))) & 0xff;
    return 31 - Math.clz32(rotated & -rotated);
  }

  #read(offset: number): number {
    if (this.poll) {
      this.poll = false;
      const input = this.pending();
      if (input < 0) return 0;
      this.acknowledge(input);
      return 0x80 | input;
    }
    if (offset === 1) return this.imr;
    return this.readIsr ? this.isr : this.irr;
  }

  #initialise(): void {
    this.irr &= this.elcr;
    this.imr = 0;
    this.isr = 0;
    this.highest = 0;
    this.readIsr = false;
    this.poll = false;
    this.specialMask = false;
    this.autoEoi = false;
    this.fullyNested = false;
  }

  #icw1(value: number): void {
    this.#initialise();
    this.wantsIcw4 = (value & 1) !== 0;
    this.single = (value & 2) !== 0;
    this.expect = Expect.Icw2;
  }

  #data(value: number): void {
    switch (this.expect) {
      case Expect.Icw2:
        this.vectorBase = value & 0xf8;
        this.expect = this.single ? this.#afterIcw3() : Expect.Icw3;
        return;
      case Expect.Icw3:
        this.expect = this.#afterIcw3();
        return;
      case Expect.Icw4:
        this.fullyNested = (value & 0x10) !== 0;
        this.autoEoi = (value & 2) !== 0;
        this.expect = Expect.Operation;
        return;
      default:
        this.imr = value;
    }
  }

  #afterIcw3(): Expect {
    return this.wantsIcw4 ? Expect.Icw4 : Expect.Operation;
  }

  #ocw2(value: number): void {
    const rotate = (value & 0x80) !== 0;
    const specific = (value & 0x40) !== 0;
    const eoi = (value & 0x20) !== 0;
    if (!eoi) {
      if (specific) {
        if (rotate) this.highest = (value + 1) & 7;
      } else this.rotateOnAutoEoi = rotate;
      return;
    }
    const rank = this.#rank(this.isr);
    if (!specific && rank === NONE) return;
    const input = specific ? value & 7 : (rank + this.highest) & 7;
    this.isr &= ~(1 << input);
    if (rotate) this.highest = (input + 1) & 7;
  }

  #ocw3(value: number): void {
    if (value & 4) this.poll = true;
    if (value & 2) this.readIsr = (value & 1) !== 0;
    if (value & 0x40) this.specialMask = (value & 0x20) !== 0;
  }
}

/** What `info pic` shows of a chip. */
export interface I8259Info {
  readonly irr: number;
  readonly imr: number;
  readonly isr: number;
  readonly highest: number;
  readonly vectorBase: number;
  readonly readIsr: boolean;
  readonly elcr: number;
  readonly fullyNested: boolean;
}

/** Master at 0x20, slave at 0xa0, ELCR at 0x4d0. */
export class I8259Pair implements Device {
  readonly type = 'isa-i8259';
  readonly master: I8259;
  readonly slave: I8259;
  /** Inputs 0..15; 2 is the cascade and takes no device. */
  readonly inputs: readonly IrqLine[];
  readonly #state = stateOf<I8259Pair>(this, 1, ['master', 'slave'], () => {
    this.slave.update();
    this.master.update();
  });

  /** `output`: the processor's INTR. */
  constructor(bus: Pick<IsaBus, 'mapPorts'>, output: IrqLine) {
    this.master = new I8259(true, 0xf8, output);
    this.slave = new I8259(false, 0xde, new IrqInput((level) => this.master.setCascade(level)));
    this.inputs = Array.from({ length: 16 }, (_, i) => {
      const chip = i < 8 ? this.master : this.slave;
      return new IrqInput((level) => chip.setInput(i & 7, level));
    });
    bus.mapPorts('pic', 0x20, 2, this.master);
    bus.mapPorts('pic', 0xa0, 2, this.slave);
    bus.mapPorts('elcr', 0x4d0, 2, {
      sizes: { min: 1, max: 1 },
      read: (offset) => (offset === 0 ? this.master : this.slave).elcr,
      write: (offset, _size, value) => (offset === 0 ? this.master : this.slave).setElcr(value),
    });
  }

  /** The processor's two INTA cycles: gives the vector, a spurious one when the request is gone. */
  acknowledge(): number {
    const input = this.master.pending();
    if (input < 0) return this.master.vectorBase + SPURIOUS;
    this.master.acknowledge(input);
    let vector = this.master.vectorBase + input;
    if (input === CASCADE) {
      const second = this.slave.pending();
      if (second >= 0) this.slave.acknowledge(second);
      vector = this.slave.vectorBase + (second < 0 ? SPURIOUS : second);
    }
    if (I8259_TRACE.pic_interrupt.enabled) I8259_TRACE.pic_interrupt.emit(input, vector);
    return vector;
  }

  reset(): void {
    this.master.reset();
    this.slave.reset();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  /** `info pic`: master first. */
  describe(): readonly I8259Info[] {
    return [this.master, this.slave].map((chip) => ({
      irr: chip.irr,
      imr: chip.imr,
      isr: chip.isr,
      highest: chip.highest,
      vectorBase: chip.vectorBase,
      readIsr: chip.readIsr,
      elcr: chip.elcr,
      fullyNested: chip.fullyNested,
    }));
  }

  /** `info irq`: how often each of the 16 inputs was acknowledged; the cascade does not count. */
  counts(): readonly number[] {
    const counts = [...this.master.counts, ...this.slave.counts];
    counts[CASCADE] = 0;
    return counts;
  }
}
