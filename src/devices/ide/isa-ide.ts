/** An IDE channel directly on the ISA bus: PIO only. */
import type { Device } from '../../machine/device.js';
import type { IsaBus } from '../../machine/isa-bus.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import { IdeChannel } from './ide-channel.js';
import { LEGACY_CHANNELS, mapLegacyChannel } from './piix-ide.js';

export class IsaIde implements Device {
  readonly type = 'isa-ide';
  readonly channel: IdeChannel;
  readonly #state = stateOf<IsaIde>(this, 1, ['channel']);

  /** `index`: 0 for the ports and interrupt of the primary channel, 1 for the secondary. */
  constructor(bus: IsaBus, index: 0 | 1) {
    this.channel = new IdeChannel(bus.irq(LEGACY_CHANNELS[index].irq));
    mapLegacyChannel(bus, this.channel, index);
  }

  reset(): void {
    this.channel.reset();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }
}
