/** What sits on the ports of a virtio console device: terminals and channels, connected to character backends. */
import { UserError } from '../../../base/errors.js';
import type { CharBackend, CharEvent, CharFrontend } from '../../../char/backend.js';
import type { CharContext } from '../../../char/context.js';
import type { Device } from '../../../machine/device.js';
import type { BusDeviceType } from '../../../machine/device-type.js';
import { prop } from '../../../machine/property.js';
import { type DeviceState, stateOf } from '../../../machine/state.js';
import type { SerialPort, SerialPortClient, VirtioSerial } from './virtio-serial.js';

const MOST_INPUT = 4096;
const ANY_PORT = 0xffff_ffff;

/** A place on the bus of a virtio console device. */
export interface VirtioSerialSlot {
  readonly controller: VirtioSerial;
  /** The port asked for; undefined: any. */
  readonly port: number | undefined;
}

export const SERIAL_PLACE = { nr: prop.uint32(ANY_PORT, 'number of the port; by default the first free one') };

export const serialSlot = (controller: VirtioSerial, place: Readonly<Record<string, unknown>>): VirtioSerialSlot => ({
  controller,
  port: place['nr'] === ANY_PORT ? undefined : Number(place['nr']),
});

export class CharPort implements Device, SerialPortClient, CharFrontend {
  hostOpen: boolean;
  readonly #port: SerialPort;
  /** The port itself is part of the controller's state. */
  readonly #state = stateOf<CharPort>(this, 1, []);

  constructor(
    slot: VirtioSerialSlot,
    readonly type: string,
    readonly portName: string,
    readonly console: boolean,
    private readonly backend: CharBackend,
  ) {
    // A terminal is always there; a channel as long as something is connected.
    this.hostOpen = console;
    this.#port = slot.controller.connect(this, slot.port);
    backend.attach(this);
  }

  output(data: Uint8Array): number {
    return this.backend.write(data);
  }

  ready(): void {
    this.backend.acceptInput();
  }

  canReceive(): number {
    return Math.min(this.#port.room(), MOST_INPUT);
  }

  receive(data: Uint8Array): void {
    this.#port.receive(data);
  }

  writable(): void {
    this.#port.pump();
  }

  event(event: CharEvent): void {
    if (this.console || (event !== 'opened' && event !== 'closed')) return;
    const open = event === 'opened';
    if (open === this.hostOpen) return;
    this.hostOpen = open;
    // `attach` in the constructor tells at once, before there is a port.
    this.#port?.hostOpenChanged(open);
  }

  reset(): void {}

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  unplug(): void {
    this.#port.disconnect();
  }

  dispose(): void {
    this.backend.attach(null);
  }
}

const properties = {
  chardev: prop.chardev('character backend that the port is connected to'),
  name: prop.str('name by which programs in the guest find the port'),
};

type PortType = BusDeviceType<'virtio-serial-bus', VirtioSerialSlot, typeof properties, CharContext>;

function portType(name: string, description: string, console: boolean): PortType {
  return {
    name,
    description,
    category: 'Input devices',
    bus: 'virtio-serial-bus',
    properties,
    create(slot, values, context) {
      if (!console && values.chardev === '') throw new UserError(`${name}: no chardev: give one with 'chardev=...'`);
      return new CharPort(slot, name, values.name, console, context.chardev(values.chardev));
    },
  };
}

export const virtconsole = portType('virtconsole', 'terminal on a virtio console device', true);
export const virtserialport = portType('virtserialport', 'channel on a virtio console device', false);
