/**
 * Two Intel 8237A DMA controllers of a PC/AT with their page registers: channels 0 to 3 move bytes, 5 to 7 words;
 * channel 4 is the cascade. 8237A data sheet (Intel 231466-005); page registers: IBM PC/AT Technical Reference.
 */
import { traceEvents } from '../../base/trace.js';
import type { Clock, Timer } from '../../machine/clock.js';
import type { Device } from '../../machine/device.js';
import type { DmaChannel, DmaClient, IsaBus } from '../../machine/isa-bus.js';
import { type DeviceState, type Stateful, stateOf } from '../../machine/state.js';
import type { AccessSize, Dma } from '../../memory/io.js';

export const I8237_TRACE = traceEvents({
  i8237_transfer: 'channel %d mode 0x%02x address 0x%x bytes %d',
});

const PAGE_PORTS: Readonly<Record<number, number>> = {
  135: 0,
  131: 1,
  129: 2,
  130: 3,
  139: 5,
  137: 6,
  138: 7,
  143: 4,
};
const Mode = {
  type: 0x0c,
  write: 0x04,
  read: 0x08,
  autoInitialise: 0x10,
  decrement: 0x20,
  select: 0xc0,
  cascade: 0xc0,
} as const;
const COMMAND_DISABLE = 0x04;
/** Channels are served this long after DREQ and between portions. */
const SERVICE_NS = 1000;
/** A portion is at most this long, so that a demand transfer does not hold the machine. */
const PORTION_BYTES = 4096;

class Channel implements DmaChannel, Stateful {
  baseAddress = 0;
  baseCount = 0;
  address = 0;
  /** Units left, less one. */
  count = 0;
  mode = 0;
  page = 0;
  masked = true;
  requested = false;
  softRequest = false;
  terminalCount = false;
  client: DmaClient | undefined;
  readonly #state = stateOf<Channel>(this, 1, [
    'baseAddress',
    'baseCount',
    'address',
    'count',
    'mode',
    'page',
    'masked',
    'requested',
    'softRequest',
    'terminalCount',
  ]);

  constructor(
    readonly number: number,
    private readonly controller: Controller,
  ) {}

  request(asserted: boolean): void {
    if (this.requested === asserted) return;
    this.requested = asserted;
    if (asserted) this.controller.schedule();
  }

  attach(device: DmaClient): void {
    this.client = device;
  }

  get ready(): boolean {
    return !this.masked && (this.mode & Mode.select) !== Mode.cascade;
  }

  /** Master clear: addresses, counts and pages stay. */
  clear(): void {
    this.masked = true;
    this.mode = 0;
    this.softRequest = false;
    this.terminalCount = false;
  }

  reset(): void {
    this.clear();
    this.baseAddress = 0;
    this.baseCount = 0;
    this.address = 0;
    this.count = 0;
    this.page = 0;
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }
}

/** One 8237A. `shift` 1: it moves words, and its addresses and counts are in words. */
class Controller implements Stateful {
  command = 0;
  /** The byte pointer: the next access of an address or count is its high byte. */
  high = false;
  readonly channels: readonly Channel[];
  readonly #timer: Timer;
  readonly #state = stateOf<Controller>(this, 1, ['command', 'high', 'channels'], () => this.schedule());

  constructor(
    first: number,
    private readonly shift: 0 | 1,
    private readonly clock: Clock,
    private readonly memory: Dma,
  ) {
    this.channels = Array.from({ length: 4 }, (_, i) => new Channel(first + i, this));
    this.#timer = clock.timer(`dma ${first}`, () => this.#serve());
  }

  reset(): void {
    this.#masterClear();
    for (const channel of this.channels) channel.reset();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  schedule(): void {
    if (!(this.command & COMMAND_DISABLE) && this.channels.some((c) => this.#runnable(c))) {
      this.#timer.arm(this.clock.now() + SERVICE_NS);
    }
  }

  read(register: number): number {
    const channel = this.channels[(register >> 1) & 3]!;
    if (register < 8) {
      const value = register & 1 ? channel.count : channel.address;
      return (this.#takeHigh() ? value >> 8 : value) & 0xff;
    }
    if (register === 8) {
      let status = 0;
      this.channels.forEach((c, i) => {
        if (c.terminalCount) status |= 1 << i;
        if (c.requested) status |= 0x10 << i;
        c.terminalCount = false;
      });
      return status;
    }
    if (register === 15) return this.channels.reduce((mask, c, i) => (c.masked ? mask | (1 << i) : mask), 0xf0);
    return 0;
  }

  write(register: number, value: number): void {
    if (register < 8) {
      this.#writeWord(this.channels[register >> 1]!, (register & 1) !== 0, value);
      return;
    }
    const selected = this.channels[value & 3]!;
    switch (register) {
      case 8:
        this.command = value;
        break;
      case 9:
        selected.softRequest = (value & 4) !== 0;
        break;
      case 10:
        selected.masked = (value & 4) !== 0;
        break;
      case 11:
        selected.mode = value & 0xfc;
        break;
      case 12:
        this.high = false;
        break;
      case 13:
        this.#masterClear();
        break;
      case 14:
        for (const c of this.channels) c.masked = false;
        break;
      default:
        this.channels.forEach((c, i) => {
          c.masked = (value & (1 << i)) !== 0;
        });
    }
    this.schedule();
  }

  #masterClear(): void {
    this.command = 0;
    this.high = false;
    for (const channel of this.channels) channel.clear();
    this.#timer.disarm();
  }

  #takeHigh(): boolean {
    const high = this.high;
    this.high = !high;
    return high;
  }

  #writeWord(channel: Channel, isCount: boolean, value: number): void {
    const put = (old: number, high: boolean): number => (high ? (old & 0xff) | (value << 8) : (old & 0xff00) | value);
    const high = this.#takeHigh();
    if (isCount) {
      channel.baseCount = put(channel.baseCount, high);
      channel.count = channel.baseCount;
    } else {
      channel.baseAddress = put(channel.baseAddress, high);
      channel.address = channel.baseAddress;
    }
  }

  #runnable(channel: Channel): boolean {
    return channel.ready && (channel.requested || channel.softRequest) && channel.client !== undefined;
  }

  #serve(): void {
    if (this.command & COMMAND_DISABLE) return;
    for (const channel of this.channels) if (this.#runnable(channel)) this.#transfer(channel);
    this.schedule();
  }

  #transfer(channel: Channel): void {
    const left = (channel.count + 1) << this.shift;
    const decrement = (channel.mode & Mode.decrement) !== 0;
    const bytes = Math.min(left, PORTION_BYTES);
    const last = bytes === left;
    const buffer = new Uint8Array(bytes);
    const type = channel.mode & Mode.type;
    const direction = type === Mode.read ? 'read' : type === Mode.write ? 'write' : 'verify';
    const unit = 1 << this.shift;
    const start = this.#address(channel, 0);
    if (I8237_TRACE.i8237_transfer.enabled) I8237_TRACE.i8237_transfer.emit(channel.number, channel.mode, start, bytes);
    if (direction === 'read') this.#copy(channel, bytes, decrement, (at, piece) => this.memory.read(at, piece), buffer);
    const moved = channel.client!.transfer(direction, buffer, last);
    const whole = moved - (moved % unit);
    if (direction === 'write') {
      this.#copy(channel, whole, decrement, (at, piece) => this.memory.write(at, piece), buffer);
    }
    const units = whole >> this.shift;
    channel.address = (channel.address + (decrement ? -units : units)) & 0xffff;
    channel.count -= units;
    if (channel.count >= 0) return;
    channel.terminalCount = true;
    channel.softRequest = false;
    if (channel.mode & Mode.autoInitialise) {
      channel.address = channel.baseAddress;
      channel.count = channel.baseCount;
    } else {
      channel.count = 0xffff;
      channel.masked = true;
    }
  }

  /** Physical address of the unit `units` further on; the 16-bit address counter wraps within its page. */
  #address(channel: Channel, units: number): number {
    const counter = (channel.address + units) & 0xffff;
    return this.shift ? ((channel.page & 0xfe) << 16) | (counter << 1) : (channel.page << 16) | counter;
  }

  /** Moves `bytes` between buffer and memory, in as long pieces as the address counter allows. */
  #copy(
    channel: Channel,
    bytes: number,
    decrement: boolean,
    move: (address: number, piece: Uint8Array) => void,
    buffer: Uint8Array,
  ): void {
    const unit = 1 << this.shift;
    const units = bytes >> this.shift;
    for (let done = 0; done < units; ) {
      const step = decrement ? -done : done;
      const counter = (channel.address + step) & 0xffff;
      const run = decrement ? 1 : Math.min(units - done, 0x10000 - counter);
      move(this.#address(channel, step), buffer.subarray(done * unit, (done + run) * unit));
      done += run;
    }
  }
}

export class I8237Pair implements Device {
  readonly type = 'i8237';
  readonly controllers: readonly Controller[];
  /** Page registers that belong to no channel are bytes that BIOSes use as they like. */
  readonly extraPages = new Uint8Array(16);
  readonly #state = stateOf<I8237Pair>(this, 1, ['controllers', 'extraPages']);

  constructor(bus: Pick<IsaBus, 'mapPorts'>, clock: Clock, memory: Dma) {
    this.controllers = [new Controller(0, 0, clock, memory), new Controller(4, 1, clock, memory)];
    this.controllers.forEach((controller, i) => {
      const spacing = 1 << i;
      bus.mapPorts('dma', i ? 0xc0 : 0x00, 16 * spacing, {
        sizes: { min: 1, max: 1 },
        read: (offset) => controller.read(offset >> i),
        write: (offset, _size, value) => controller.write(offset >> i, value),
      });
    });
    const pages = (base: number) => ({
      sizes: { min: 1, max: 1 } as const,
      read: (offset: number, _size: AccessSize) => this.#readPage(base + offset),
      write: (offset: number, _size: AccessSize, value: number) => this.#writePage(base + offset, value),
    });
    bus.mapPorts('dma-page', 0x80, 16, pages(0x80));
  }

  /** By number; 4 is the cascade and takes no device. */
  get channels(): readonly (DmaChannel | undefined)[] {
    return this.controllers.flatMap((c) => c.channels).map((c) => (c.number === 4 ? undefined : c));
  }

  reset(): void {
    this.extraPages.fill(0);
    for (const controller of this.controllers) controller.reset();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  #channelOfPage(port: number): Channel | undefined {
    const number = PAGE_PORTS[port];
    return number === undefined ? undefined : this.controllers[number >> 2]!.channels[number & 3];
  }

  #readPage(port: number): number {
    return this.#channelOfPage(port)?.page ?? this.extraPages[port & 15]!;
  }

  #writePage(port: number, value: number): void {
    const channel = this.#channelOfPage(port);
    if (channel) channel.page = value;
    else this.extraPages[port & 15] = value;
  }
}
