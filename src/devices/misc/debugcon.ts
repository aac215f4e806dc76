/** A debug console: every byte written to its port goes out; reading gives a byte by which firmware finds it. */
import type { CharBackend } from '../../char/backend.js';
import type { CharContext } from '../../char/context.js';
import type { Device } from '../../machine/device.js';
import type { IsaDeviceType } from '../../machine/device-type.js';
import { prop } from '../../machine/property.js';
import { stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';

export class Debugcon implements Device, IoHandler {
  readonly type = 'isa-debugcon';
  readonly sizes = { min: 1, max: 1 } as const;
  readonly #state = stateOf<Debugcon>(this, 1, []);
  readonly save = this.#state.save;
  readonly load = this.#state.load;
  readonly #byte = new Uint8Array(1);

  constructor(
    readonly port: number,
    private readonly backend: CharBackend,
    private readonly readback: number,
  ) {
    backend.attach({ canReceive: () => 0, receive: () => {} });
  }

  /** A byte that the backend cannot take is lost: the guest has no way to wait for it. */
  write(_offset: number, _size: AccessSize, value: number): void {
    this.#byte[0] = value;
    this.backend.write(this.#byte);
  }

  read(): number {
    return this.readback;
  }

  reset(): void {}
}

const properties = {
  iobase: prop.uint32(0xe9, 'its port'),
  readback: prop.uint32(0xe9, 'what reading the port gives'),
  chardev: prop.chardev('character backend that takes the output'),
};

export const isaDebugcon: IsaDeviceType<typeof properties, CharContext> = {
  name: 'isa-debugcon',
  description: 'debug console',
  category: 'Misc devices',
  bus: 'ISA',
  properties,
  create(bus, { iobase, readback, chardev }, context) {
    const device = new Debugcon(iobase, context.chardev(chardev), readback);
    bus.mapPorts('isa-debugcon', iobase, 1, device);
    return device;
  },
};
