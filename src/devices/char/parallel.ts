/** A PC's parallel port in compatibility mode (IEEE 1284-1994, clause 5; IBM PC/AT Technical Reference): data goes out. */
import { UserError } from '../../base/errors.js';
import type { CharBackend } from '../../char/backend.js';
import type { CharContext } from '../../char/context.js';
import type { Device } from '../../machine/device.js';
import type { IsaDeviceType } from '../../machine/device-type.js';
import { type IrqLine, pulse } from '../../machine/irq.js';
import { prop } from '../../machine/property.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';

const Reg = { data: 0, status: 1, control: 2 } as const;
/** Status as the port shows it: BUSY is inverted on the way, so set means ready. */
const Status = { ready: 0x80, ack: 0x40, paperOut: 0x20, selected: 0x10, noError: 0x08 } as const;
const IDLE = Status.ready | Status.ack | Status.selected | Status.noError;
const Control = { strobe: 0x01, autoFeed: 0x02, init: 0x04, select: 0x08, irqEnable: 0x10, reverse: 0x20 } as const;
const CONTROL_ONES = 0xc0;

export class ParallelPort implements Device, IoHandler {
  static readonly PORTS = 8;
  readonly type = 'isa-parallel';
  readonly sizes = { min: 1, max: 1 } as const;
  data = 0xff;
  status: number = IDLE;
  control: number = CONTROL_ONES | Control.init | Control.select;
  readonly #state = stateOf<ParallelPort>(this, 1, ['data', 'status', 'control']);
  readonly #byte = new Uint8Array(1);

  constructor(
    private readonly irq: IrqLine,
    private readonly backend: CharBackend,
  ) {
    backend.attach({ canReceive: () => 0, receive: () => {}, writable: () => this.#retry() });
  }

  reset(): void {
    this.data = 0xff;
    this.status = IDLE;
    this.control = CONTROL_ONES | Control.init | Control.select;
    this.irq.set(false);
  }

  read(offset: number): number {
    switch (offset) {
      case Reg.data:
        return this.control & Control.reverse ? 0xff : this.data;
      case Reg.status:
        return this.status;
      case Reg.control:
        return this.control;
      default:
        return 0xff;
    }
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (offset === Reg.data) this.data = value;
    else if (offset === Reg.control) this.#writeControl(value | CONTROL_ONES);
  }

  #writeControl(value: number): void {
    const previous = this.control;
    this.control = value;
    if (!(value & Control.init)) {
      this.status = IDLE;
      return;
    }
    if (!(value & Control.select)) return;
    if (value & ~previous & Control.strobe) {
      this.#byte[0] = this.data;
      this.status &= ~Status.ready;
      if (this.backend.write(this.#byte) === 1) this.#taken();
    }
  }

  /** The peripheral has the byte: it pulses ACK, which interrupts, and is ready again. */
  #taken(): void {
    this.status |= Status.ready;
    if (this.control & Control.irqEnable) pulse(this.irq);
  }

  /** A byte that the backend did not take is still waiting. */
  #retry(): void {
    if (this.status & Status.ready) return;
    if (this.backend.write(this.#byte) === 1) this.#taken();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
    this.#byte[0] = this.data;
  }
}

const PARALLEL_IRQ = 7;
/** By index: base port. */
export const PARALLEL_PORTS = [0x378, 0x278, 0x3bc] as const;
const UNSET = 0xffff_ffff;

const properties = {
  index: prop.uint32(UNSET, 'which of the three ports of a PC (0 to 2) gives iobase'),
  iobase: prop.uint32(UNSET, 'first of its eight ports'),
  irq: prop.uint32(PARALLEL_IRQ, 'ISA interrupt line'),
  chardev: prop.chardev('character backend that takes what is printed'),
};

export const isaParallel: IsaDeviceType<typeof properties, CharContext> = {
  name: 'isa-parallel',
  description: 'parallel port',
  category: 'Input devices',
  bus: 'ISA',
  properties,
  create(bus, { index, iobase, irq, chardev }, context) {
    const base = PARALLEL_PORTS[index === UNSET ? 0 : index];
    if (base === undefined) throw new UserError(`Max. supported number of parallel ports is ${PARALLEL_PORTS.length}.`);
    if (irq > 15) throw new UserError(`isa-parallel: there is no ISA interrupt ${irq} (0 to 15)`);
    const port = new ParallelPort(bus.irq(irq), context.chardev(chardev));
    bus.mapPorts('parallel', iobase === UNSET ? base : iobase, ParallelPort.PORTS, port);
    return port;
  },
};
