/**
 * One channel of a bus-master IDE controller.
 * Source: Intel, Programming Interface for Bus Master IDE Controller, rev. 1.0 (1994); Intel 82371SB (PIIX3), 2.7.
 *
 *   offset 0  COMMAND  bit 0 start, bit 3 direction (1: to memory)
 *   offset 2  STATUS   bit 0 active, bit 1 error (w1c), bit 2 interrupt (w1c), bits 5, 6 drives can do DMA
 *   offset 4  PRDT     address of the descriptor table, 4 bytes
 *
 *   descriptor: 32-bit address, 16-bit byte count (0 is 64 KiB), bit 63 ends the table
 */
import { getU16, getU32 } from '../../base/bytes.js';
import { traceEvents } from '../../base/trace.js';
import type { IrqLine } from '../../machine/irq.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { AccessSize, Dma, IoHandler } from '../../memory/io.js';
import type { IdeChannel } from './ide-channel.js';
import type { DmaPort } from './ide-device.js';

export const trace = traceEvents({
  bmdma_read: 'bmdma: readb 0x%02x : 0x%02x',
  bmdma_write: 'bmdma: writeb 0x%02x : 0x%02x',
});

const COMMAND = { START: 0x01, TO_MEMORY: 0x08 };
const STATUS = { ACTIVE: 0x01, ERROR: 0x02, INTERRUPT: 0x04, CAPABLE: 0x60 };
const DESCRIPTOR_BYTES = 8;
const END_OF_TABLE = 0x8000;

const powerOn = () => ({
  command: 0,
  status: 0,
  table: 0,
  /** Next descriptor, and what is left of the current one. */
  next: 0,
  address: 0,
  left: 0,
  last: false,
});

export class BusMaster implements IoHandler, DmaPort {
  static readonly PORTS = 8;
  readonly sizes = { min: 1, max: 1 } as const;
  readonly #dma: Dma;
  readonly #s = powerOn();
  readonly #stateful = stateOf(this.#s, 1);
  readonly #descriptor = new Uint8Array(DESCRIPTOR_BYTES);
  #channel: IdeChannel | null = null;

  constructor(dma: Dma) {
    this.#dma = dma;
  }

  /** The channel's interrupt goes through here: its rising edge shows in STATUS. */
  through(irq: IrqLine): IrqLine {
    return {
      set: (level) => {
        if (level) this.#s.status |= STATUS.INTERRUPT;
        irq.set(level);
      },
    };
  }

  connect(channel: IdeChannel): void {
    this.#channel = channel;
    channel.onDmaReady = () => this.#run();
  }

  reset(): void {
    Object.assign(this.#s, powerOn());
  }

  save(): DeviceState {
    return this.#stateful.save();
  }

  load(state: DeviceState): void {
    this.#stateful.load(state);
  }

  read(offset: number, _size: AccessSize): number {
    const s = this.#s;
    const value = offset === 0 ? s.command : offset === 2 ? s.status : offset < 4 ? 0xff : this.#tableByte(offset);
    if (trace.bmdma_read.enabled) trace.bmdma_read.emit(offset, value);
    return value;
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (trace.bmdma_write.enabled) trace.bmdma_write.emit(offset, value);
    const s = this.#s;
    if (offset === 0) this.#command(value);
    else if (offset === 2) {
      const cleared = value & (STATUS.ERROR | STATUS.INTERRUPT);
      s.status = (s.status & ~(cleared | STATUS.CAPABLE)) | (value & STATUS.CAPABLE);
    } else if (offset >= 4) {
      const shift = 8 * (offset - 4);
      s.table = ((s.table & ~(0xff << shift)) | (value << shift)) & ~3;
    }
  }

  transfer(buffer: Uint8Array, toMemory: boolean): number {
    const s = this.#s;
    let moved = 0;
    // Every descriptor has at least two bytes, so the buffer bounds the loop.
    while (moved < buffer.length) {
      if (s.left === 0) {
        if (s.last) {
          // The table was shorter than the transfer: the bus master stops, the device goes on waiting (3.1).
          s.status &= ~STATUS.ACTIVE;
          return moved;
        }
        this.#fetchDescriptor();
      }
      const n = Math.min(s.left, buffer.length - moved);
      const part = buffer.subarray(moved, moved + n);
      if (toMemory) this.#dma.write(s.address, part);
      else this.#dma.read(s.address, part);
      s.address += n;
      s.left -= n;
      moved += n;
    }
    // ACTIVE falls when the table was used up exactly; with more descriptors than data it stays (3.1).
    if (s.last && s.left === 0) s.status &= ~STATUS.ACTIVE;
    return moved;
  }

  #tableByte(offset: number): number {
    return (this.#s.table >>> (8 * (offset - 4))) & 0xff;
  }

  #command(value: number): void {
    const s = this.#s;
    const before = s.command;
    s.command = value & (COMMAND.START | COMMAND.TO_MEMORY);
    if (!(before & COMMAND.START) && value & COMMAND.START) {
      s.status |= STATUS.ACTIVE;
      s.next = s.table >>> 0;
      s.left = 0;
      s.last = false;
      this.#run();
    } else if (before & COMMAND.START && !(value & COMMAND.START)) {
      s.status &= ~STATUS.ACTIVE;
      this.#channel?.dmaDevice?.stopDma();
    }
  }

  /** Lets the device work when both it and the bus master are ready. */
  #run(): void {
    const s = this.#s;
    const device = this.#channel?.dmaDevice;
    if (device?.wantsDma && s.command & COMMAND.START && s.status & STATUS.ACTIVE) device.runDma(this);
  }

  #fetchDescriptor(): void {
    const s = this.#s;
    const d = this.#descriptor;
    this.#dma.read(s.next, d);
    s.next += DESCRIPTOR_BYTES;
    s.address = (getU32(d, 0) & ~1) >>> 0;
    s.left = getU16(d, 4) & ~1 || 0x10000;
    s.last = (getU16(d, 6) & END_OF_TABLE) !== 0;
  }
}
