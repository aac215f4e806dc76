/**
 * One port of an AHCI controller: fetches commands from their list, feeds them to an ATA or ATAPI device, and moves its data.
 * Serial ATA AHCI 1.3.1, chapters 3.3, 4 and 5. Queued commands run beside each other (queued-commands.ts), others alone.
 */
import { getU32, putU32 } from '../../base/bytes.js';
import { guestError } from '../../base/log.js';
import { traceEvents } from '../../base/trace.js';
import { type DeviceState, type Stateful, stateOf } from '../../machine/state.js';
import type { DmaMemory } from '../../memory/io.js';
import type { DmaPort, IdeDevice, IdeHost } from '../ide/ide-device.js';
import { COMMAND, CONTROL, STATUS } from '../ide/task-file.js';
import { isQueued, QueuedCommands } from './queued-commands.js';
import {
  COMMAND_FIS_BYTES,
  COMMAND_SLOTS,
  FIS_BYTES,
  Fis,
  HEADER_BYTES,
  LINK_UP,
  NO_DEVICE,
  PACKET_AT,
  PORT_CMD_WRITABLE,
  PORT_INTERRUPTS,
  Port,
  PortCmd,
  PortInterrupt,
  PRD_BYTES,
  PRD_MOST_BYTES,
  PRDT_AT,
  Received,
  Signature,
} from './registers.js';

export const AHCI_TRACE = traceEvents({
  ahci_port_read: '[%d] 0x%02x -> 0x%x',
  ahci_port_write: '[%d] 0x%02x <- 0x%x',
  handle_cmd_fis: '[%d] slot %d command 0x%02x',
  ahci_cmd_done: '[%d] slot %d status 0x%02x',
});

const NO_SLOT = -1;

export interface AhciPortHost {
  readonly dma: DmaMemory;
  /** Bits of this port's interrupt status came or went. */
  interruptChanged(port: number, raised: boolean): void;
}

const powerOn = () => ({
  listBase: 0,
  fisBase: 0,
  interruptStatus: 0,
  interruptEnable: 0,
  command: PortCmd.spinUp | PortCmd.powerOn,
  taskFile: NO_DEVICE,
  signature: Signature.none as number,
  control: 0,
  error: 0,
  issued: 0,
  /** Queued commands that the host waits for (SACT), and those that ended since it was told. */
  active: 0,
  ended: 0,
  /** The slot whose command runs, or -1; its header's flags, its table, and how far its data is. */
  slot: NO_SLOT,
  flags: 0,
  table: 0,
  prds: 0,
  prd: 0,
  prdDone: 0,
  moved: 0,
  /** The packet of a PACKET command has not been sent yet. */
  packetDue: false,
  /** The soft reset bit as the host wrote it last. */
  softReset: false,
  /** An error stopped the list; clearing ST ends that. */
  halted: false,
});

export class AhciPort implements IdeHost, DmaPort, Stateful {
  device: IdeDevice | null = null;
  readonly #s = powerOn();
  /** The drives of a machine that is saved are idle; should a queued command be missing its end, it is begun anew. */
  readonly #stateful = stateOf(this.#s, 2, undefined, () => {
    this.#queued.forget();
    this.#s.issued = (this.#s.issued | (this.#s.active & ~this.#s.ended)) >>> 0;
  });
  readonly queueDepth = COMMAND_SLOTS;
  readonly #queued = new QueuedCommands(
    () => this.host.dma,
    (slot, error) => this.#queuedEnded(slot, error),
  );
  readonly #prd = new Uint8Array(PRD_BYTES);
  /** Commands are being begun: what ends meanwhile is told together. */
  #starting = false;
  #pumping = false;
  #again = false;

  constructor(
    readonly number: number,
    private readonly host: AhciPortHost,
  ) {}

  attach(device: IdeDevice): void {
    this.device = device;
    device.host = this;
    this.#linkUp();
  }

  get interruptPending(): boolean {
    return (this.#s.interruptStatus & this.#s.interruptEnable) !== 0;
  }

  reset(): void {
    this.#queued.forget();
    Object.assign(this.#s, powerOn());
    this.device?.reset();
    this.#linkUp();
  }

  save(): DeviceState {
    return this.#stateful.save();
  }

  load(state: DeviceState): void {
    this.#stateful.load(state);
  }

  read(register: number): number {
    const value = this.#read(register);
    if (AHCI_TRACE.ahci_port_read.enabled) AHCI_TRACE.ahci_port_read.emit(this.number, register, value);
    return value;
  }

  write(register: number, value: number): void {
    if (AHCI_TRACE.ahci_port_write.enabled) AHCI_TRACE.ahci_port_write.emit(this.number, register, value);
    const s = this.#s;
    switch (register) {
      case Port.CLB:
        s.listBase = high(s.listBase) + (value - (value % 0x400));
        break;
      case Port.CLBU:
        s.listBase = value * 2 ** 32 + (s.listBase % 2 ** 32);
        break;
      case Port.FB:
        s.fisBase = high(s.fisBase) + (value - (value % 0x100));
        break;
      case Port.FBU:
        s.fisBase = value * 2 ** 32 + (s.fisBase % 2 ** 32);
        break;
      case Port.IS:
        s.interruptStatus &= ~value;
        this.host.interruptChanged(this.number, false);
        break;
      case Port.IE:
        s.interruptEnable = value & PORT_INTERRUPTS;
        this.host.interruptChanged(this.number, this.interruptPending);
        break;
      case Port.CMD:
        this.#command(value);
        break;
      case Port.SCTL: {
        const before = s.control;
        s.control = value;
        // DET: 1 resets the link, and the device, for as long as it is there.
        if ((before & 0xf) === 1 && (value & 0xf) === 0) {
          this.#forget();
          this.device?.reset();
          this.#linkUp();
        }
        break;
      }
      case Port.SERR:
        s.error &= ~value;
        break;
      case Port.SACT:
        if (s.command & PortCmd.start) s.active = (s.active | value) >>> 0;
        break;
      case Port.CI:
        s.issued = (s.issued | value) >>> 0;
        this.#next();
        break;
    }
  }

  /** The device's phase changed. */
  interruptChanged(): void {
    if (this.#s.slot !== NO_SLOT) this.#pump();
  }

  dmaReady(): void {
    if (this.#s.slot !== NO_SLOT) this.#pump();
  }

  /** Between `buffer` and the memory that the command's descriptors name. */
  transfer(buffer: Uint8Array, toMemory: boolean): number {
    const s = this.#s;
    const { dma } = this.host;
    let moved = 0;
    while (moved < buffer.length && s.prd < s.prds) {
      dma.read(s.table + PRDT_AT + PRD_BYTES * s.prd, this.#prd);
      const address = getU32(this.#prd, 0) + getU32(this.#prd, 4) * 2 ** 32;
      const bytes = (getU32(this.#prd, 12) & (PRD_MOST_BYTES - 1)) + 1;
      const n = Math.min(bytes - s.prdDone, buffer.length - moved);
      const part = buffer.subarray(moved, moved + n);
      if (toMemory) dma.write(address + s.prdDone, part);
      else dma.read(address + s.prdDone, part);
      moved += n;
      s.prdDone += n;
      if (s.prdDone === bytes) {
        s.prd++;
        s.prdDone = 0;
      }
    }
    s.moved += moved;
    return moved;
  }

  #read(register: number): number {
    const s = this.#s;
    switch (register) {
      case Port.CLB:
        return s.listBase % 2 ** 32;
      case Port.CLBU:
        return Math.floor(s.listBase / 2 ** 32);
      case Port.FB:
        return s.fisBase % 2 ** 32;
      case Port.FBU:
        return Math.floor(s.fisBase / 2 ** 32);
      case Port.IS:
        return s.interruptStatus >>> 0;
      case Port.IE:
        return s.interruptEnable >>> 0;
      case Port.CMD:
        return (s.command | (s.slot === NO_SLOT ? 0 : s.slot << 8)) >>> 0;
      case Port.TFD:
        return s.taskFile;
      case Port.SIG:
        return s.signature;
      case Port.SSTS:
        return this.device && (s.control & 0xf) === 0 ? LINK_UP : 0;
      case Port.SCTL:
        return s.control;
      case Port.SERR:
        return s.error >>> 0;
      case Port.SACT:
        return s.active >>> 0;
      case Port.CI:
        return s.issued >>> 0;
      default:
        return 0;
    }
  }

  #command(value: number): void {
    const s = this.#s;
    const before = s.command;
    let now = (before & ~PORT_CMD_WRITABLE) | (value & PORT_CMD_WRITABLE);
    if (value & PortCmd.commandListOverride) s.taskFile &= ~(STATUS.BSY | STATUS.DRQ);
    now = now & PortCmd.fisReceive ? now | PortCmd.fisRunning : now & ~PortCmd.fisRunning;
    now = now & PortCmd.start ? now | PortCmd.listRunning : now & ~PortCmd.listRunning;
    s.command = now;
    if (now & ~before & PortCmd.fisReceive && this.device) this.#sendRegisters(false);
    if (before & ~now & PortCmd.start) this.#forget();
    if (now & ~before & PortCmd.start) this.#next();
  }

  /** Commands under way are no longer wanted. */
  #forget(): void {
    const s = this.#s;
    if (s.slot !== NO_SLOT) this.device?.stopDma();
    this.#queued.forget();
    s.slot = NO_SLOT;
    s.issued = s.active = s.ended = 0;
    s.halted = false;
  }

  #linkUp(): void {
    const { device } = this;
    const s = this.#s;
    s.signature = device ? (device.packet ? Signature.packet : Signature.disk) : Signature.none;
    s.taskFile = device ? STATUS.DRDY | STATUS.DSC : NO_DEVICE;
    if (device && s.command & PortCmd.fisReceive) this.#sendRegisters(false);
  }

  /** Begins issued commands until one has to wait. */
  #next(): void {
    const s = this.#s;
    if (this.#pumping || this.#starting) return;
    this.#starting = true;
    while (s.slot === NO_SLOT && s.issued !== 0 && s.command & PortCmd.start && !s.halted && this.device) {
      let slot = 0;
      while (slot < COMMAND_SLOTS && !((s.issued >>> slot) & 1)) slot++;
      if (!this.#begin(this.device, slot)) break;
    }
    this.#starting = false;
    this.#tellEnded();
  }

  /** False when the command has to wait for those before it. */
  #begin(device: IdeDevice, slot: number): boolean {
    const s = this.#s;
    const header = new Uint8Array(HEADER_BYTES);
    this.host.dma.read(s.listBase + HEADER_BYTES * slot, header);
    const prds = getU32(header, 0) >>> 16;
    const table = getU32(header, 8) + getU32(header, 12) * 2 ** 32;
    const fis = new Uint8Array(COMMAND_FIS_BYTES);
    this.host.dma.read(table, fis);
    const command = fis[2]!;
    if (fis[0] === Fis.hostToDevice && fis[1]! & 0x80 && isQueued(command)) {
      if (AHCI_TRACE.handle_cmd_fis.enabled) AHCI_TRACE.handle_cmd_fis.emit(this.number, slot, command);
      // Accepted: the slot's bit in SACT says from here on that it is not done.
      s.issued = (s.issued & ~(1 << slot)) >>> 0;
      this.#sendRegisters(false);
      this.#queued.begin(device, slot, fis, table, prds);
      return true;
    }
    if (this.#queued.busy) return false;
    s.slot = slot;
    s.flags = getU32(header, 0) & 0xffff;
    s.prds = prds;
    s.table = table;
    s.prd = s.prdDone = s.moved = 0;
    this.#run(device, slot, fis);
    return true;
  }

  /** Begins a command that runs alone. */
  #run(device: IdeDevice, slot: number, fis: Uint8Array): void {
    const s = this.#s;
    if (fis[0] !== Fis.hostToDevice) {
      guestError('ahci: port %d: a command of FIS type 0x%02x', this.number, fis[0]!);
      this.#complete();
      return;
    }
    if (!(fis[1]! & 0x80)) {
      this.#writeControl(device, fis[15]!);
      return;
    }
    const command = fis[2]!;
    if (AHCI_TRACE.handle_cmd_fis.enabled) AHCI_TRACE.handle_cmd_fis.emit(this.number, slot, command);
    // Registers are two deep: the high-order bytes go first.
    for (const [register, low, previous] of [
      [1, 3, 11],
      [2, 12, 13],
      [3, 4, 8],
      [4, 5, 9],
      [5, 6, 10],
    ] as const) {
      device.writeRegister(register, fis[previous]!);
      device.writeRegister(register, fis[low]!);
    }
    device.writeRegister(6, fis[7]! & ~0x10);
    s.packetDue = command === COMMAND.PACKET;
    s.taskFile |= STATUS.BSY;
    device.command(command);
    this.#pump();
  }

  /** A FIS that only writes the control register: a soft reset begins with SRST set and ends with it clear. */
  #writeControl(device: IdeDevice, control: number): void {
    const s = this.#s;
    const set = (control & CONTROL.SRST) !== 0;
    const ended = s.softReset && !set;
    s.softReset = set;
    s.issued &= ~(1 << s.slot);
    s.slot = NO_SLOT;
    if (!ended) return;
    device.reset();
    this.#linkUp();
  }

  /** Does what the device is ready for, until it is busy or has done its command. */
  #pump(): void {
    this.#again = true;
    if (this.#pumping) return;
    const { device } = this;
    const s = this.#s;
    if (!device) return;
    this.#pumping = true;
    while (this.#again && s.slot !== NO_SLOT) {
      this.#again = false;
      if (device.wantsDma) {
        device.runDma(this);
        // The descriptors ended before the data did.
        if (device.wantsDma && s.prd >= s.prds) this.#overflow(device);
        continue;
      }
      const pio = device.pioWaiting();
      if (pio) this.#movePio(device, pio.bytes, pio.toHost);
      else if (!(device.status & STATUS.BSY)) this.#complete();
    }
    this.#pumping = false;
    this.#next();
  }

  #movePio(device: IdeDevice, bytes: number, toHost: boolean): void {
    const s = this.#s;
    const data = new Uint8Array(bytes + (bytes & 1));
    this.#again = true;
    if (toHost) {
      for (let at = 0; at < bytes; at += 2) {
        const word = device.readData(2);
        data[at] = word;
        data[at + 1] = word >>> 8;
      }
      this.transfer(data.subarray(0, bytes), true);
      this.#sendPioSetup(bytes);
      return;
    }
    if (s.packetDue) {
      s.packetDue = false;
      this.host.dma.read(s.table + PACKET_AT, data);
    } else this.transfer(data, false);
    for (let at = 0; at < bytes; at += 2) device.writeData(2, data[at]! | (data[at + 1]! << 8));
  }

  #overflow(device: IdeDevice): void {
    device.reset();
    this.#s.interruptStatus |= PortInterrupt.overflow;
    this.#complete();
  }

  /** The command is done: tells the host, and lets the next one begin. */
  #complete(): void {
    const s = this.#s;
    const { device } = this;
    const { slot } = s;
    device?.acknowledge();
    const count = new Uint8Array(4);
    putU32(count, 0, s.moved);
    this.host.dma.write(s.listBase + HEADER_BYTES * slot + 4, count);
    s.slot = NO_SLOT;
    this.#sendRegisters(true);
    if (AHCI_TRACE.ahci_cmd_done.enabled) AHCI_TRACE.ahci_cmd_done.emit(this.number, slot, s.taskFile & 0xff);
    if (s.taskFile & STATUS.ERR) {
      s.halted = true;
      this.#raise(PortInterrupt.registerFis | PortInterrupt.taskFileError);
      return;
    }
    s.issued = (s.issued & ~(1 << slot)) >>> 0;
    this.#raise(PortInterrupt.registerFis);
  }

  /** A queued command has ended. An error stops the list and all that is queued. */
  #queuedEnded(slot: number, error: number): void {
    const s = this.#s;
    if (AHCI_TRACE.ahci_cmd_done.enabled) AHCI_TRACE.ahci_cmd_done.emit(this.number, slot, error);
    if (error === 0) s.ended = (s.ended | (1 << slot)) >>> 0;
    else {
      this.#queued.forget();
      this.#tellEnded();
      s.halted = true;
      this.#sendDeviceBits(STATUS.DRDY | STATUS.DSC | STATUS.ERR, error, 0);
      this.#raise(PortInterrupt.setDeviceBits | PortInterrupt.taskFileError);
      return;
    }
    if (this.#starting) return;
    this.#tellEnded();
    this.#next();
  }

  /** One message for all queued commands that ended meanwhile. */
  #tellEnded(): void {
    const s = this.#s;
    if (s.ended === 0 || s.halted) return;
    const { ended } = s;
    s.ended = 0;
    s.active = (s.active & ~ended) >>> 0;
    this.#sendDeviceBits(STATUS.DRDY | STATUS.DSC, 0, ended);
    this.#raise(PortInterrupt.setDeviceBits);
  }

  #sendDeviceBits(status: number, error: number, ended: number): void {
    const s = this.#s;
    const fis = Uint8Array.of(Fis.setDeviceBits, 0x40, status & ~(STATUS.BSY | STATUS.DRQ), error, 0, 0, 0, 0);
    putU32(fis, 4, ended);
    s.taskFile = fis[2]! | (error << 8);
    if (s.command & PortCmd.fisReceive) this.host.dma.write(s.fisBase + Received.setDeviceBits, fis);
  }

  #raise(bits: number): void {
    this.#s.interruptStatus |= bits;
    if (this.interruptPending) this.host.interruptChanged(this.number, true);
  }

  /** The registers of the device, as a FIS and in TFD. */
  #sendRegisters(interrupt: boolean): void {
    const fis = this.#registerFis(Fis.deviceToHost, interrupt);
    if (this.#s.command & PortCmd.fisReceive) this.host.dma.write(this.#s.fisBase + Received.register, fis);
  }

  #sendPioSetup(bytes: number): void {
    const s = this.#s;
    const fis = this.#registerFis(Fis.pioSetup, true);
    fis[1]! |= 0x20;
    fis[15] = fis[2]!;
    fis[16] = bytes;
    fis[17] = bytes >>> 8;
    if (s.command & PortCmd.fisReceive) this.host.dma.write(s.fisBase + Received.pioSetup, fis);
    this.#raise(PortInterrupt.pioSetupFis);
  }

  #registerFis(type: number, interrupt: boolean): Uint8Array {
    const device = this.device!;
    const fis = new Uint8Array(FIS_BYTES);
    const read = (register: number): number => device.readRegister(register, 0);
    const previous = (register: number): number => device.readRegister(register, CONTROL.HOB);
    fis[0] = type;
    fis[1] = interrupt ? 0x40 : 0;
    fis[2] = device.status;
    fis[3] = read(1);
    fis.set([read(3), read(4), read(5), read(6), previous(3), previous(4), previous(5)], 4);
    fis[12] = read(2);
    fis[13] = previous(2);
    this.#s.taskFile = fis[2]! | (fis[3]! << 8);
    return fis;
  }
}

const high = (address: number): number => Math.floor(address / 2 ** 32) * 2 ** 32;
