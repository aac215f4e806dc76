/**
 * A console device with many ports: terminals (virtconsole) and channels (virtserialport). VIRTIO 1.2, 5.3.
 *
 * Queues: 0 and 1 are port 0's input and output, 2 and 3 carry control messages, 2n + 2 and 2n + 3 are port n's.
 */
import { getU16, getU32, putU16, putU32 } from '../../../base/bytes.js';
import { UserError } from '../../../base/errors.js';
import { traceEvents } from '../../../base/trace.js';
import { type DeviceState, type Stateful, stateOf } from '../../../machine/state.js';
import type { Chain } from '../core/chain.js';
import type { VirtQueue } from '../core/virt-queue.js';
import { VirtioDevice, type VirtioOptions } from '../core/virtio-device.js';

export const VIRTIO_SERIAL_TRACE = traceEvents({
  virtio_serial_send_control_event: 'port %u, event %u, value %u',
  virtio_serial_handle_control_message: 'event %u, value %u',
});

export const ConsoleFeature = { multiport: 1, emergencyWrite: 2 } as const;
const Event = {
  deviceReady: 0,
  portAdd: 1,
  portRemove: 2,
  portReady: 3,
  consolePort: 4,
  portOpen: 6,
  portName: 7,
} as const;
const CONTROL_IN = 2;
const CONTROL_OUT = 3;
const CONTROL_BYTES = 8;
const QUEUE_SIZE = 128;
/** Messages that wait for the guest's buffers; beyond it is the guest that does not listen. */
const MOST_MESSAGES = 256;
const EMERGENCY_WRITE_AT = 8;
const CONFIG_BYTES = 12;

/** What sits on a port: a character device. */
export interface SerialPortClient {
  /** A terminal: the guest's kernel may make it its console. */
  readonly console: boolean;
  readonly portName: string;
  /** Something is connected on the host's side. */
  readonly hostOpen: boolean;
  /** The first bytes of `data` that it takes, now; `pump` of the port asks for the rest. */
  output(data: Uint8Array): number;
  /** The guest has room for input, or opened the port. */
  ready(): void;
}

/** One port, as its client sees it. */
export class SerialPort implements Stateful {
  /** A program in the guest has it open. */
  guestOpen = false;
  client: SerialPortClient | undefined;
  /** Output that the client did not take yet: bytes of the buffer that were taken. */
  outputDone = 0;
  output: Chain | undefined;
  input: Chain | undefined;
  readonly #state = stateOf<SerialPort>(this, 1, ['guestOpen', 'outputDone']);

  constructor(
    private readonly device: VirtioSerial,
    readonly number: number,
  ) {}

  get #in(): VirtQueue {
    return this.device.queues[this.number === 0 ? 0 : 2 * this.number + 2]!;
  }
  get #out(): VirtQueue {
    return this.device.queues[this.number === 0 ? 1 : 2 * this.number + 3]!;
  }

  /** How many bytes of input the guest takes now. */
  room(): number {
    const { device } = this;
    if (!device.live || !this.#in.enabled || (device.multiport && !this.guestOpen)) return 0;
    this.input ??= this.#in.pop();
    return this.input?.writableBytes ?? 0;
  }

  /** At most `room` bytes. */
  receive(data: Uint8Array): void {
    const chain = this.input;
    if (!chain) return;
    this.input = undefined;
    this.#in.push(chain, chain.write(0, data));
    this.#in.signal();
  }

  /** The client's side was connected or disconnected. */
  hostOpenChanged(open: boolean): void {
    this.device.sendControl(this.number, Event.portOpen, open ? 1 : 0);
  }

  /** The client leaves: the port is no more. */
  disconnect(): void {
    this.client = undefined;
    this.device.sendControl(this.number, Event.portRemove, 1);
    this.reset();
  }

  /** Hands the client what the guest has written. */
  pump(): void {
    const queue = this.#out;
    if (!queue.enabled || !this.device.live) return;
    for (;;) {
      if (!this.output) {
        this.output = queue.pop();
        this.outputDone = 0;
      }
      const chain = this.output;
      if (!chain) break;
      if (!this.#write(chain)) break;
      this.output = undefined;
      queue.push(chain, 0);
    }
    queue.signal();
  }

  /** True when all of it went through. */
  #write(chain: Chain): boolean {
    let start = 0;
    for (const piece of chain.readable) {
      while (this.client && this.outputDone < start + piece.length) {
        // A copy: backends may keep it, and RAM that processors share is not for every consumer.
        const data = piece.slice(this.outputDone - start, this.outputDone - start + 4096);
        const taken = this.client.output(data);
        this.outputDone += taken;
        if (taken < data.length) return false;
      }
      start += piece.length;
    }
    return true;
  }

  reset(): void {
    this.guestOpen = false;
    this.input = this.output = undefined;
    this.outputDone = 0;
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.input = this.output = undefined;
    this.#state.load(state);
  }
}

export interface VirtioSerialOptions extends VirtioOptions {
  readonly maxPorts: number;
  readonly emergencyWrite: boolean;
}

export class VirtioSerial extends VirtioDevice {
  readonly id = 3;
  readonly name = 'virtio-serial';
  readonly config = new Uint8Array(CONFIG_BYTES);
  readonly ports: SerialPort[];
  /** Control messages that wait for a buffer. */
  messages: Uint8Array[] = [];
  readonly #state = stateOf({ core: this.coreState, own: stateOf<VirtioSerial>(this, 1, ['ports', 'messages']) }, 1);

  constructor(options: VirtioSerialOptions) {
    super(options);
    this.offered.add(ConsoleFeature.multiport);
    if (options.emergencyWrite) this.offered.add(ConsoleFeature.emergencyWrite);
    putU32(this.config, 4, options.maxPorts);
    for (let i = 0; i < 2 * (options.maxPorts + 1); i++) this.addQueue(QUEUE_SIZE);
    this.ports = Array.from({ length: options.maxPorts }, (_, i) => new SerialPort(this, i));
  }

  get multiport(): boolean {
    return this.has(ConsoleFeature.multiport);
  }

  /** The port for a new client: `asked`, or the first that is free (port 0 is for consoles). Throws UserError. */
  connect(client: SerialPortClient, asked: number | undefined): SerialPort {
    const first = client.console ? 0 : 1;
    const number = asked ?? this.ports.findIndex((p, i) => i >= first && !p.client);
    const port = this.ports[number];
    if (!port) throw new UserError('virtio-serial-bus: Maximum port limit for this device reached: raise max_ports');
    if (port.client) throw new UserError(`virtio-serial-bus: A port already exists at id ${number}`);
    if (number === 0 && !client.console) {
      throw new UserError(
        'Port number 0 on virtio-serial devices reserved for virtconsole devices for backward compatibility.',
      );
    }
    port.client = client;
    if (this.live) this.sendControl(number, Event.portAdd, 1);
    return port;
  }

  sendControl(port: number, event: number, value: number, text = ''): void {
    if (!this.multiport || !this.live) return;
    if (VIRTIO_SERIAL_TRACE.virtio_serial_send_control_event.enabled)
      VIRTIO_SERIAL_TRACE.virtio_serial_send_control_event.emit(port, event, value);
    if (this.messages.length >= MOST_MESSAGES) return;
    const message = new Uint8Array(CONTROL_BYTES + text.length);
    putU32(message, 0, port);
    putU16(message, 4, event);
    putU16(message, 6, value);
    for (let i = 0; i < text.length; i++) message[CONTROL_BYTES + i] = text.charCodeAt(i);
    this.messages.push(message);
    this.#deliver();
  }

  override save(): DeviceState {
    return this.#state.save();
  }

  override load(state: DeviceState): void {
    this.#state.load(state);
  }

  protected override resumed(queue: VirtQueue, chain: Chain): void {
    const port = this.#portOf(queue.index);
    if (!port) return;
    if (queue.index % 2 === 0) {
      port.input = chain;
      port.client?.ready?.();
    } else {
      port.output = chain;
      port.pump();
    }
  }

  protected override stopped(): void {
    this.messages = [];
    for (const port of this.ports) port.reset();
  }

  protected override configWritten(offset: number, size: number, value: number): void {
    if (offset === EMERGENCY_WRITE_AT && size === 4) this.ports[0]?.client?.output(Uint8Array.of(value & 0xff));
  }

  protected handle(queue: VirtQueue): void {
    if (queue.index === CONTROL_IN) this.#deliver();
    else if (queue.index === CONTROL_OUT) this.#handleControl(queue);
    else {
      const port = this.#portOf(queue.index);
      if (queue.index % 2 === 0) port?.client?.ready();
      else port?.pump();
    }
  }

  #portOf(queue: number): SerialPort | undefined {
    if (queue < 2) return this.ports[0];
    return queue < 4 ? undefined : this.ports[(queue >> 1) - 1];
  }

  #deliver(): void {
    const queue = this.queues[CONTROL_IN]!;
    if (!queue.enabled) return;
    while (this.messages.length > 0) {
      const chain = queue.pop();
      if (!chain) break;
      queue.push(chain, chain.write(0, this.messages.shift()!));
    }
    queue.signal();
  }

  #handleControl(queue: VirtQueue): void {
    const message = new Uint8Array(CONTROL_BYTES);
    for (let chain = queue.pop(); chain; chain = queue.pop()) {
      const whole = chain.read(0, message) === CONTROL_BYTES;
      queue.push(chain, 0);
      if (whole) this.#control(getU32(message, 0), getU16(message, 4), getU16(message, 6));
    }
  }

  #control(number: number, event: number, value: number): void {
    if (VIRTIO_SERIAL_TRACE.virtio_serial_handle_control_message.enabled)
      VIRTIO_SERIAL_TRACE.virtio_serial_handle_control_message.emit(event, value);
    if (event === Event.deviceReady) {
      if (value) for (const port of this.ports) if (port.client) this.sendControl(port.number, Event.portAdd, 1);
      return;
    }
    const port = this.ports[number];
    const client = port?.client;
    if (!port || !client) return;
    if (event === Event.portReady && value) {
      if (client.console) this.sendControl(number, Event.consolePort, 1);
      if (client.portName) this.sendControl(number, Event.portName, 1, client.portName);
      if (client.hostOpen) this.sendControl(number, Event.portOpen, 1);
    } else if (event === Event.portOpen) {
      port.guestOpen = value !== 0;
      if (port.guestOpen) client.ready();
    }
  }
}
