/** A port by which test programs end the emulator: a write of n exits with status 2n + 1. */
import type { Device } from '../../machine/device.js';
import type { IsaDeviceType, SystemRequests } from '../../machine/device-type.js';
import { prop } from '../../machine/property.js';
import { stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';

export class DebugExit implements Device, IoHandler {
  readonly type = 'isa-debug-exit';
  readonly sizes = { min: 1, max: 4 } as const;
  readonly #state = stateOf<DebugExit>(this, 1, []);
  readonly save = this.#state.save;
  readonly load = this.#state.load;

  constructor(private readonly requests: Pick<SystemRequests, 'shutdown'>) {}

  read(): number {
    return 0;
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    this.requests.shutdown('guest-shutdown', ((value << 1) | 1) & 0xff);
  }

  reset(): void {}
}

const properties = {
  iobase: prop.uint32(0x501, 'its first port'),
  iosize: prop.uint32(2, 'how many ports'),
};

export const isaDebugExit: IsaDeviceType<typeof properties> = {
  name: 'isa-debug-exit',
  description: 'ends the emulator on a write',
  category: 'Misc devices',
  bus: 'ISA',
  properties,
  create(bus, { iobase, iosize }, context) {
    const device = new DebugExit(context.requests);
    bus.mapPorts('isa-debug-exit', iobase, iosize, device);
    return device;
  },
};
