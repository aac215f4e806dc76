// hot path
/**
 * One IDE channel: two devices behind one task file and one interrupt line.
 * Source: ATA/ATAPI-5, chapters 7 and 9; for absent devices, 9.16.
 */
import { traceEvents } from '../../base/trace.js';
import type { IrqLine } from '../../machine/irq.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';
import type { IdeDevice, IdeHost } from './ide-device.js';
import { COMMAND, CONTROL, DEVICE, STATUS } from './task-file.js';

export const trace = traceEvents({
  ide_ioport_read: 'IDE PIO rd @ 0x%x val 0x%02x',
  ide_ioport_write: 'IDE PIO wr @ 0x%x val 0x%02x',
  ide_status_read: 'IDE PIO rd Alt Status val 0x%02x',
  ide_ctrl_write: 'IDE PIO wr Device Control val 0x%02x',
  ide_exec_cmd: 'IDE exec cmd: device %u cmd 0x%02x',
});

export class IdeChannel implements IdeHost {
  static readonly COMMAND_PORTS = 8;
  static readonly CONTROL_PORTS = 1;
  readonly devices: [IdeDevice | null, IdeDevice | null] = [null, null];
  /** A device waits for the bus master. */
  onDmaReady: (device: IdeDevice) => void = () => {};
  readonly #irq: IrqLine;
  readonly #s = { selected: 0, control: 0 };
  readonly #stateful = stateOf(this.#s, 1, undefined, () => this.interruptChanged());

  constructor(irq: IrqLine) {
    this.#irq = irq;
  }

  /** Ports 1f0h to 1f7h. */
  readonly commandBlock: IoHandler = {
    read: (offset, size) => {
      const value = offset === 0 ? this.#readData(size) : this.#readBytes(offset, size);
      if (trace.ide_ioport_read.enabled) trace.ide_ioport_read.emit(offset, value);
      return value;
    },
    write: (offset, size, value) => {
      if (trace.ide_ioport_write.enabled) trace.ide_ioport_write.emit(offset, value);
      if (offset === 0) this.#current?.writeData(size, value);
      else for (let i = 0; i < size; i++) this.#writeRegister(offset + i, (value >>> (8 * i)) & 0xff);
    },
  };

  /** Port 3f6h. */
  readonly controlBlock: IoHandler = {
    sizes: { min: 1, max: 1 },
    read: () => {
      const value = this.#status(this.#current);
      if (trace.ide_status_read.enabled) trace.ide_status_read.emit(value);
      return value;
    },
    write: (_offset, _size, value) => {
      if (trace.ide_ctrl_write.enabled) trace.ide_ctrl_write.emit(value);
      const before = this.#s.control;
      this.#s.control = value;
      // Reset begins with the rising edge of SRST and has ended when the guest clears it.
      if (value & ~before & CONTROL.SRST) this.#resetDevices();
      this.interruptChanged();
    },
  };

  attach(unit: 0 | 1, device: IdeDevice): void {
    this.devices[unit] = device;
    device.host = this;
  }

  reset(): void {
    this.#s.control = 0;
    this.#resetDevices();
    this.interruptChanged();
  }

  save(): DeviceState {
    return this.#stateful.save();
  }

  load(state: DeviceState): void {
    this.#stateful.load(state);
  }

  /** The device that waits for the bus master or works with it. */
  get dmaDevice(): IdeDevice | null {
    return this.#current;
  }

  interruptChanged(): void {
    const pending = this.#current?.interrupt ?? false;
    this.#irq.set(pending && !(this.#s.control & CONTROL.NIEN));
  }

  dmaReady(device: IdeDevice): void {
    this.onDmaReady(device);
  }

  get #current(): IdeDevice | null {
    return this.devices[this.#s.selected as 0 | 1];
  }

  #resetDevices(): void {
    this.#s.selected = 0;
    for (const device of this.devices) device?.reset();
  }

  #readData(size: AccessSize): number {
    return this.#current?.readData(size) ?? 0;
  }

  #readBytes(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.#readRegister(offset + i) << (8 * i);
    return value >>> 0;
  }

  #readRegister(register: number): number {
    const device = this.#current;
    if (!device || register > 7) return 0;
    if (register < 7) return device.readRegister(register, this.#s.control);
    const status = this.#status(device);
    device.acknowledge();
    return status;
  }

  #status(device: IdeDevice | null): number {
    if (!device) return 0;
    return this.#s.control & CONTROL.SRST ? STATUS.BSY : device.status;
  }

  /** Both devices see what is written to the task file; the command register only the selected one. */
  #writeRegister(register: number, value: number): void {
    if (register > 7) return;
    this.#s.control &= ~CONTROL.HOB;
    if (register === 7) {
      this.#command(value);
      return;
    }
    for (const device of this.devices) device?.writeRegister(register, value);
    if (register === 6) {
      this.#s.selected = value & DEVICE.DEV ? 1 : 0;
      this.interruptChanged();
    }
  }

  #command(command: number): void {
    if (trace.ide_exec_cmd.enabled) trace.ide_exec_cmd.emit(this.#s.selected, command);
    if (command !== COMMAND.EXECUTE_DEVICE_DIAGNOSTIC) {
      this.#current?.command(command);
      return;
    }
    for (const device of this.devices) device?.diagnose();
    this.#s.selected = 0;
    this.devices[0]?.command(command);
  }
}
