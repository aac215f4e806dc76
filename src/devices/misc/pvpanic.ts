/** The paravirtual panic device on the ISA bus (QEMU, "PVPANIC DEVICE"): a guest's kernel says that it has died. */
import { guestError } from '../../base/log.js';
import { traceEvents } from '../../base/trace.js';
import type { Device } from '../../machine/device.js';
import type { IsaDeviceType, SystemRequests } from '../../machine/device-type.js';
import { prop } from '../../machine/property.js';
import { stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';

const Event = {
  /** The guest has panicked. */
  panicked: 1,
  /** It has panicked, and its own crash kernel takes care of it. */
  crashLoaded: 2,
} as const;

export const PVPANIC_TRACE = traceEvents({ pvpanic_event: 'events 0x%02x' });

export class Pvpanic implements Device, IoHandler {
  readonly type = 'pvpanic';
  readonly sizes = { min: 1, max: 1 } as const;
  readonly #state = stateOf<Pvpanic>(this, 1, []);
  readonly save = this.#state.save;
  readonly load = this.#state.load;

  constructor(
    private readonly requests: Pick<SystemRequests, 'panicked' | 'shutdown'>,
    private readonly events: number,
  ) {}

  /** The events that the device knows. */
  read(): number {
    return this.events;
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    if (PVPANIC_TRACE.pvpanic_event.enabled) PVPANIC_TRACE.pvpanic_event.emit(value);
    const event = value & this.events;
    if (event !== value) guestError('pvpanic: unknown events 0x%02x', value & ~this.events);
    if (event & Event.panicked) {
      this.requests.panicked('pause');
      this.requests.shutdown('guest-panic');
    } else if (event & Event.crashLoaded) this.requests.panicked('run');
  }

  reset(): void {}
}

const properties = {
  ioport: prop.uint16(0x505, 'its port'),
  events: prop.uint8(Event.panicked | Event.crashLoaded, 'events that the guest may report'),
};

export const pvpanic: IsaDeviceType<typeof properties> = {
  name: 'pvpanic',
  description: 'lets a guest report that it has panicked',
  category: 'Misc devices',
  bus: 'ISA',
  properties,
  trace: PVPANIC_TRACE,
  create(bus, { ioport, events }, context) {
    const device = new Pvpanic(context.requests, events);
    bus.mapPorts('pvpanic', ioport, 1, device);
    return device;
  },
};
