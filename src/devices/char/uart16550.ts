/**
 * The 16550A UART, four of which sit in a PC (ISA 3f8/4, 2f8/3, 3e8/4, 2e8/3).
 * Specification: National Semiconductor PC16550D data sheet (June 1995).
 *
 *   offset  DLAB=0 read  DLAB=0 write  DLAB=1
 *   0       RBR          THR           DLL
 *   1       IER          IER           DLM
 *   2       IIR          FCR           IIR/FCR
 *   3       LCR          LCR
 *   4       MCR          MCR
 *   5       LSR          -
 *   6       MSR          -
 *   7       SCR          SCR
 *
 * Sending takes no time: a byte leaves as soon as the backend takes it. The divisor only scales the receive timeout. The
 * interrupt pin is not gated by OUT2 (as in QEMU: guests written for it forget to set it).
 */
import { traceEvents } from '../../base/trace.js';
import type { CharBackend, CharEvent, CharFrontend, SerialLine } from '../../char/backend.js';
import type { Clock, Timer } from '../../machine/clock.js';
import type { Device } from '../../machine/device.js';
import type { IrqLine } from '../../machine/irq.js';
import { stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';

const IER = { RDA: 0x01, THRE: 0x02, RLS: 0x04, MS: 0x08, MASK: 0x0f };
const IIR = { NONE: 0x01, MS: 0x00, THRE: 0x02, RDA: 0x04, RLS: 0x06, TIMEOUT: 0x0c, FIFOS: 0xc0 };
const FCR = { ENABLE: 0x01, CLEAR_RX: 0x02, CLEAR_TX: 0x04, DMA_MODE: 0x08, TRIGGER: 0xc0 };
const LCR = { WORD: 0x03, STOP: 0x04, PARITY: 0x08, EVEN: 0x10, BREAK: 0x40, DLAB: 0x80 };
const MCR = { DTR: 0x01, RTS: 0x02, OUT1: 0x04, OUT2: 0x08, LOOP: 0x10, MASK: 0x1f };
const LSR = { DR: 0x01, OE: 0x02, PE: 0x04, FE: 0x08, BI: 0x10, THRE: 0x20, TEMT: 0x40, FIFO_ERROR: 0x80 };
const LSR_ERRORS = LSR.OE | LSR.PE | LSR.FE | LSR.BI;
const MSR = { DCTS: 0x01, DDSR: 0x02, TERI: 0x04, DDCD: 0x08, CTS: 0x10, DSR: 0x20, RI: 0x40, DCD: 0x80, DELTAS: 0x0f };
const TRIGGER_LEVELS = [1, 4, 8, 14] as const;

const CLOCK_HZ = 1843200;
const FIFO_SIZE = 16;
/** A character has a start bit, its data bits, parity, and a stop bit; the timeout is four of them. */
const TIMEOUT_CHARACTERS = 4;

export const trace = traceEvents({
  serial_read: 'read addr 0x%02x val 0x%02x',
  serial_write: 'write addr 0x%02x val 0x%02x',
});

export interface Uart16550Wiring {
  readonly irq: IrqLine;
  readonly clock: Clock;
  readonly backend: CharBackend;
}

/** The whole state; its reset values are the data sheet's table III, with a modem that is connected and ready. */
const powerOn = () => ({
  ier: 0,
  fcr: 0,
  lcr: 0,
  mcr: MCR.OUT2 as number,
  msr: (MSR.CTS | MSR.DSR | MSR.DCD) as number,
  scr: 0,
  divisor: 12,
  /** Only THRE, TEMT and OE: the rest of LSR comes from the receive FIFO. */
  lsr: (LSR.THRE | LSR.TEMT) as number,
  /** Received characters: the byte, and its LSR error bits in bits 8 to 15. */
  rx: new Uint16Array(FIFO_SIZE),
  rxHead: 0,
  rxCount: 0,
  tx: new Uint8Array(FIFO_SIZE),
  txHead: 0,
  txCount: 0,
  /** Interrupt causes that are latched rather than levels. */
  threPending: false,
  timeoutPending: false,
  /** When the receive timeout fires, in ns of the clock; -1 while it does not run. */
  timeoutAt: -1,
});

const PLACE = [0, FIFO_SIZE - 1] as const;
const COUNT = [0, FIFO_SIZE] as const;

export class Uart16550 implements Device, IoHandler, CharFrontend {
  static readonly PORTS = 8;
  readonly type = 'isa-serial';
  readonly sizes = { min: 1, max: 1 } as const;

  readonly #irq: IrqLine;
  readonly #clock: Clock;
  readonly #backend: CharBackend;
  readonly #timeout: Timer;
  /** After a load, when the machine runs. */
  readonly #goOn: Timer;
  readonly #one = new Uint8Array(1);
  readonly #s = powerOn();
  readonly #stateful = stateOf(this.#s, 1, undefined, () => this.#loaded(), {
    ranges: { rxHead: PLACE, rxCount: COUNT, txHead: PLACE, txCount: COUNT },
  });
  readonly save = this.#stateful.save;
  readonly load = this.#stateful.load;

  constructor(wiring: Uart16550Wiring) {
    this.#irq = wiring.irq;
    this.#clock = wiring.clock;
    this.#backend = wiring.backend;
    this.#timeout = wiring.clock.timer('uart16550 receive timeout', () => {
      this.#s.timeoutAt = -1;
      this.#s.timeoutPending = this.#fifos && this.#s.rxCount > 0;
      this.#update();
    });
    this.#goOn = wiring.clock.timer('uart16550 loaded', () => {
      this.#drain();
      this.#backend.acceptInput();
    });
    this.#backend.attach(this);
  }

  reset(): void {
    Object.assign(this.#s, powerOn());
    this.#timeout.disarm();
    this.#update();
    this.#backend.acceptInput();
  }

  read(offset: number, _size: AccessSize): number {
    const value = this.#read(offset);
    if (trace.serial_read.enabled) trace.serial_read.emit(offset, value);
    return value;
  }

  #read(offset: number): number {
    const s = this.#s;
    switch (offset & 7) {
      case 0:
        return s.lcr & LCR.DLAB ? s.divisor & 0xff : this.#receiveBuffer();
      case 1:
        return s.lcr & LCR.DLAB ? s.divisor >> 8 : s.ier;
      case 2: {
        const cause = this.#cause();
        if (cause === IIR.THRE) {
          s.threPending = false;
          this.#update();
        }
        return cause | (this.#fifos ? IIR.FIFOS : 0);
      }
      case 3:
        return s.lcr;
      case 4:
        return s.mcr;
      case 5: {
        const lsr = this.#lineStatus();
        s.lsr &= ~LSR.OE;
        if (s.rxCount > 0) s.rx[s.rxHead]! &= 0xff;
        this.#update();
        return lsr;
      }
      case 6: {
        const msr = s.mcr & MCR.LOOP ? this.#loopedModem() | (s.msr & MSR.DELTAS) : s.msr;
        s.msr &= ~MSR.DELTAS;
        this.#update();
        return msr;
      }
      default:
        return s.scr;
    }
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (trace.serial_write.enabled) trace.serial_write.emit(offset, value);
    const s = this.#s;
    switch (offset & 7) {
      case 0:
        if (s.lcr & LCR.DLAB) this.#setDivisor((s.divisor & 0xff00) | value);
        else this.#transmit(value);
        break;
      case 1:
        if (s.lcr & LCR.DLAB) {
          this.#setDivisor((s.divisor & 0xff) | (value << 8));
          break;
        }
        // Enabling THRE's interrupt while the register is empty raises it (data sheet 8.5).
        if (value & ~s.ier & IER.THRE && s.lsr & LSR.THRE) s.threPending = true;
        s.ier = value & IER.MASK;
        break;
      case 2:
        this.#fifoControl(value);
        break;
      case 3:
        this.#lineControl(value);
        break;
      case 4:
        this.#modemControl(value & MCR.MASK);
        break;
      case 7:
        s.scr = value;
        break;
    }
    this.#update();
  }

  canReceive(): number {
    if (this.#s.mcr & MCR.LOOP) return 0;
    return (this.#fifos ? FIFO_SIZE : 1) - this.#s.rxCount;
  }

  receive(data: Uint8Array): void {
    for (const byte of data) this.#arrive(byte);
    this.#update();
  }

  event(event: CharEvent): void {
    if (event !== 'break') return;
    this.#arrive(LSR.BI << 8);
    this.#update();
  }

  writable(): void {
    this.#drain();
    this.#update();
  }

  dispose(): void {
    this.#timeout.disarm();
    this.#backend.attach(null);
  }

  get #fifos(): boolean {
    return (this.#s.fcr & FCR.ENABLE) !== 0;
  }

  /** Puts a character (error bits above the byte) into the receive FIFO; a full one overruns. */
  #arrive(character: number): void {
    const s = this.#s;
    const size = this.#fifos ? FIFO_SIZE : 1;
    if (s.rxCount >= size) {
      s.lsr |= LSR.OE;
      // Without FIFOs the new character replaces the one that was not read (8.6.3).
      if (size === 1) s.rx[s.rxHead] = character;
    } else s.rx[(s.rxHead + s.rxCount++) % FIFO_SIZE] = character;
    this.#startTimeout();
  }

  #receiveBuffer(): number {
    const s = this.#s;
    s.timeoutPending = false;
    if (s.rxCount === 0) {
      this.#update();
      return s.rx[s.rxHead]! & 0xff;
    }
    const byte = s.rx[s.rxHead]! & 0xff;
    if (this.#fifos) s.rxHead = (s.rxHead + 1) % FIFO_SIZE;
    s.rxCount--;
    this.#startTimeout();
    this.#update();
    this.#backend.acceptInput();
    return byte;
  }

  #transmit(byte: number): void {
    const s = this.#s;
    s.threPending = false;
    if (s.mcr & MCR.LOOP) {
      this.#arrive(byte);
      s.threPending = true;
      return;
    }
    const size = this.#fifos ? FIFO_SIZE : 1;
    // Writing to a full transmitter overwrites what was written last.
    if (s.txCount === size) s.txCount--;
    s.tx[(s.txHead + s.txCount++) % FIFO_SIZE] = byte;
    s.lsr &= ~(LSR.THRE | LSR.TEMT);
    // The backend may hold more back already: then `writable` is to come.
    if (s.txCount === 1 || size === 1) this.#drain();
  }

  /** Hands waiting characters to the backend until it declines. */
  #drain(): void {
    const s = this.#s;
    while (s.txCount > 0) {
      this.#one[0] = s.tx[s.txHead]!;
      if (this.#backend.write(this.#one) === 0) return;
      s.txHead = (s.txHead + 1) % FIFO_SIZE;
      s.txCount--;
    }
    if (!(s.lsr & LSR.THRE)) s.threPending = true;
    s.lsr |= LSR.THRE | LSR.TEMT;
  }

  #fifoControl(value: number): void {
    const s = this.#s;
    const toggled = (value ^ s.fcr) & FCR.ENABLE;
    if (toggled || value & FCR.CLEAR_RX) {
      s.rxCount = 0;
      s.rxHead = 0;
      s.timeoutPending = false;
      this.#startTimeout();
      this.#backend.acceptInput();
    }
    if (toggled || value & FCR.CLEAR_TX) {
      s.txCount = 0;
      s.txHead = 0;
      if (!(s.lsr & LSR.THRE)) s.threPending = true;
      s.lsr |= LSR.THRE | LSR.TEMT;
    }
    s.fcr = value & FCR.ENABLE ? value & (FCR.ENABLE | FCR.DMA_MODE | FCR.TRIGGER) : 0;
  }

  #lineControl(value: number): void {
    const s = this.#s;
    const changed = s.lcr ^ value;
    s.lcr = value;
    if (changed & LCR.BREAK) this.#backend.setBreak?.((value & LCR.BREAK) !== 0);
    if (changed & (LCR.WORD | LCR.STOP | LCR.PARITY | LCR.EVEN)) this.#tellLine();
  }

  #modemControl(value: number): void {
    const s = this.#s;
    const before = s.mcr & MCR.LOOP ? this.#loopedModem() : s.msr;
    s.mcr = value;
    const after = value & MCR.LOOP ? this.#loopedModem() : s.msr;
    const changed = before ^ after;
    if (changed & MSR.CTS) s.msr |= MSR.DCTS;
    if (changed & MSR.DSR) s.msr |= MSR.DDSR;
    if (changed & MSR.DCD) s.msr |= MSR.DDCD;
    if (before & ~after & MSR.RI) s.msr |= MSR.TERI;
    this.#backend.acceptInput();
  }

  /** In loopback the modem outputs drive the inputs: RTS CTS, DTR DSR, OUT1 RI, OUT2 DCD. */
  #loopedModem(): number {
    const mcr = this.#s.mcr;
    return (
      (mcr & MCR.RTS ? MSR.CTS : 0) |
      (mcr & MCR.DTR ? MSR.DSR : 0) |
      (mcr & MCR.OUT1 ? MSR.RI : 0) |
      (mcr & MCR.OUT2 ? MSR.DCD : 0)
    );
  }

  #setDivisor(divisor: number): void {
    this.#s.divisor = divisor;
    this.#tellLine();
  }

  #tellLine(): void {
    const { lcr, divisor } = this.#s;
    if (divisor === 0) return;
    this.#backend.setLine?.({
      speed: Math.round(CLOCK_HZ / (16 * divisor)),
      dataBits: (5 + (lcr & LCR.WORD)) as SerialLine['dataBits'],
      stopBits: lcr & LCR.STOP ? 2 : 1,
      parity: lcr & LCR.PARITY ? (lcr & LCR.EVEN ? 'even' : 'odd') : 'none',
    });
  }

  #lineStatus(): number {
    const s = this.#s;
    let lsr = s.lsr;
    if (s.rxCount > 0) lsr |= LSR.DR | (s.rx[s.rxHead]! >> 8);
    if (this.#fifos)
      for (let i = 0; i < s.rxCount; i++) if (s.rx[(s.rxHead + i) % FIFO_SIZE]! >> 8) lsr |= LSR.FIFO_ERROR;
    return lsr;
  }

  /** Restarts the receive timeout: it runs while the FIFO holds characters that nobody reads. */
  #startTimeout(): void {
    const s = this.#s;
    if (this.#fifos && s.rxCount > 0) {
      const bits = 1 + 5 + (s.lcr & LCR.WORD) + (s.lcr & LCR.PARITY ? 1 : 0) + (s.lcr & LCR.STOP ? 2 : 1);
      const bitNs = (16 * Math.max(1, s.divisor) * 1e9) / CLOCK_HZ;
      s.timeoutAt = this.#clock.now() + TIMEOUT_CHARACTERS * bits * bitNs;
      this.#timeout.arm(s.timeoutAt);
    } else if (s.timeoutAt >= 0) {
      s.timeoutAt = -1;
      this.#timeout.disarm();
    }
  }

  /** The interrupt of highest priority, as IIR shows it (data sheet table V). */
  #cause(): number {
    const s = this.#s;
    if (s.ier & IER.RLS && this.#lineStatus() & LSR_ERRORS) return IIR.RLS;
    if (s.ier & IER.RDA) {
      const level = this.#fifos ? TRIGGER_LEVELS[(s.fcr >> 6) as 0 | 1 | 2 | 3] : 1;
      if (s.rxCount >= level) return IIR.RDA;
      if (s.timeoutPending) return IIR.TIMEOUT;
    }
    if (s.ier & IER.THRE && s.threPending) return IIR.THRE;
    if (s.ier & IER.MS && s.msr & MSR.DELTAS) return IIR.MS;
    return IIR.NONE;
  }

  #update(): void {
    this.#irq.set(this.#cause() !== IIR.NONE);
  }

  #loaded(): void {
    if (this.#s.timeoutAt >= 0) this.#timeout.arm(this.#s.timeoutAt);
    else this.#timeout.disarm();
    this.#update();
    // What comes in meanwhile is for the whole machine to see: interrupts before that would be lost.
    this.#goOn.arm(this.#clock.now());
  }
}
