/** The board's interrupt and timer chips when the accelerator has them itself: their devices then only keep what is saved. */
import type { I8259, I8259Pair } from '../devices/intc/i8259.js';
import { IOAPIC_PINS, type Ioapic } from '../devices/intc/ioapic.js';
import { type I8254, PIT_HZ } from '../devices/timer/i8254.js';
import type { Clock } from '../machine/clock.js';
import type { Device } from '../machine/device.js';
import type { AcceleratorChips } from '../machine/interrupt-chips.js';
import { IrqInput, type IrqLine } from '../machine/irq.js';
import type { DeviceState } from '../machine/state.js';

const NS_PER_TICK = 1e9 / PIT_HZ;
const TIMER_PIN = 2;

/** A device whose registers live in the accelerator; `device` holds a copy while someone looks. */
class Mirror implements Device {
  readonly type: string;

  constructor(
    private readonly device: Device,
    readonly fetch: () => void,
    private readonly store: () => void,
  ) {
    this.type = device.type;
  }

  reset(): void {
    this.fetch();
    this.device.reset();
    this.store();
  }

  save(): DeviceState {
    this.fetch();
    return this.device.save();
  }

  load(state: DeviceState): void {
    this.device.load(state);
    this.store();
  }
}

/** Inputs and devices of a board whose chips are the accelerator's. */
export class MirroredChips {
  /** Inputs 0..23 of the board. */
  readonly inputs: readonly IrqLine[];
  /** How often each of them rose, for `info irq`: what came of it only the accelerator knows. */
  readonly rises = new Uint32Array(IOAPIC_PINS);
  /** A bit for each input that is high. */
  #levels = 0;

  constructor(private readonly chips: AcceleratorChips) {
    const drive = (gsi: number, level: boolean): void => {
      if (level && !(this.#levels & (1 << gsi))) this.rises[gsi] = this.rises[gsi]! + 1;
      this.#levels = level ? this.#levels | (1 << gsi) : this.#levels & ~(1 << gsi);
      chips.setInput(gsi, level);
    };
    this.inputs = Array.from({ length: IOAPIC_PINS }, (_, gsi) => new IrqInput((level) => drive(gsi, level)));
  }

  pic(pair: I8259Pair): Mirror {
    const each = (act: (chip: I8259, index: 0 | 1) => void): void => {
      act(pair.master, 0);
      act(pair.slave, 1);
    };
    const fetch = (): void =>
      each((chip, index) => {
        const { elcrMask, ...registers } = this.chips.pic(index);
        Object.assign(chip, registers);
      });
    const store = (): void =>
      each((chip, index) => {
        // What the lines are now: an input that is taken for high already sees no edge. The timer's falls with each tick.
        const inputs = (this.#levels >>> (8 * index)) & 0xff;
        const { irr, imr, isr, elcr, elcrMask, highest, vectorBase, readIsr, poll } = chip;
        const { specialMask, autoEoi, rotateOnAutoEoi, fullyNested, expect, wantsIcw4 } = chip;
        this.chips.setPic(index, {
          ...{ irr, imr, isr, inputs, elcr, elcrMask, highest, vectorBase, readIsr, poll },
          ...{ specialMask, autoEoi, rotateOnAutoEoi, fullyNested, expect, wantsIcw4 },
        });
      });
    return new Mirror(pair, fetch, store);
  }

  ioapic(ioapic: Ioapic): Mirror {
    const fetch = (): void => {
      const { low, high, ...registers } = this.chips.ioapic();
      Object.assign(ioapic, registers);
      ioapic.low.set(low);
      ioapic.high.set(high);
      ioapic.levels = this.#levels | ((this.#levels & 1) << TIMER_PIN);
    };
    const store = (): void => {
      const { id, select, irr, low, high } = ioapic;
      this.chips.setIoapic({ id, select, irr, low, high });
    };
    return new Mirror(ioapic, fetch, store);
  }

  pit(pit: I8254, clock: Clock): Mirror {
    const fetch = (): void => {
      const { speaker, counters } = this.chips.pit();
      pit.control = (pit.control & ~3) | speaker;
      counters.forEach(({ counting, elapsed, ...registers }, i) => {
        const counter = pit.counters[i]!;
        Object.assign(counter, registers, { nullCount: !counting, start: clock.now() - elapsed, held: -1 });
        counter.reschedule();
      });
    };
    const store = (): void =>
      this.chips.setPit({
        speaker: pit.control & 3,
        counters: pit.counters.map((c) => {
          const { mode, bcd, access, initial, writeLow, readHigh, latch, statusLatch, gate } = c;
          const elapsed = c.held >= 0 ? (c.initial - c.held) * NS_PER_TICK : clock.now() - c.start;
          return {
            ...{ mode, bcd, access, initial, writeLow, readHigh, latch, statusLatch, gate },
            ...{ counting: !c.nullCount, elapsed },
          };
        }),
      });
    return new Mirror(pit, fetch, store);
  }
}
