/** PCI configuration mechanism 1: address at CF8h, data at CFCh. PCI Local Bus Specification 3.0, 3.2.2.3.2. */
import type { Device } from '../../machine/device.js';
import {
  CONFIG_ADDRESS_BITS,
  CONFIG_ADDRESS_PORT,
  CONFIG_DATA_PORT,
  type PciPresence,
} from '../../machine/pci-presence.js';
import type { PciChildBus } from '../../machine/pci-slot.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';
import type { Memory } from '../../memory/memory.js';
import type { MemoryRegion } from '../../memory/region.js';
import type { PciBus } from './pci-bus.js';

export const ADDRESS_BYTES = 4;
const ENABLE = 0x8000_0000;
const ALL_ONES: Readonly<Record<AccessSize, number>> = { 1: 0xff, 2: 0xffff, 4: 0xffff_ffff };

export class ConfigMechanism1 implements Device {
  #address = 0;
  #presence: PciPresence | undefined;
  readonly #state = stateOf<ConfigMechanism1>(this, 1, ['configAddress']);

  /** `type`: what QEMU calls the host bridge that has these ports. */
  constructor(
    readonly type: string,
    private readonly bus: PciBus,
    memory: Memory,
    ioSpace: MemoryRegion,
  ) {
    ioSpace.add(memory.io('pci-conf-idx', 4, this.#addressPort()), CONFIG_ADDRESS_PORT);
    ioSpace.add(memory.io('pci-conf-data', 4, this.#dataPort()), CONFIG_DATA_PORT);
  }

  get configAddress(): number {
    return this.#address;
  }

  set configAddress(address: number) {
    this.#address = address;
    this.#presence?.setAddress(address);
  }

  /** Keeps `presence` up to date from now on. */
  publish(presence: PciPresence): void {
    this.#presence = presence;
    presence.setAddress(this.#address);
    this.bus.watch(() =>
      presence.setFunctions((devfn) => this.bus.functionAt(devfn) !== undefined, this.bus.children.length > 0),
    );
  }

  reset(): void {
    this.configAddress = 0;
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  /** CONFADD takes 32-bit accesses only. */
  #addressPort(): IoHandler {
    return {
      read: (offset, size) => (offset === 0 && size === 4 ? this.configAddress : ALL_ONES[size]),
      write: (offset, size, value) => {
        if (offset === 0 && size === 4) this.configAddress = (value & CONFIG_ADDRESS_BITS) >>> 0;
      },
    };
  }

  #dataPort(): IoHandler {
    return {
      read: (offset, size) =>
        this.#selected()?.configRead(this.#devfn(), this.#register() + offset, size) ?? ALL_ONES[size],
      write: (offset, size, value) => {
        this.#selected()?.configWrite(this.#devfn(), this.#register() + offset, size, value);
      },
    };
  }

  #selected(): PciChildBus | undefined {
    return this.configAddress >= ENABLE ? this.bus.find((this.configAddress >>> 16) & 0xff) : undefined;
  }

  #devfn(): number {
    return (this.configAddress >>> 8) & 0xff;
  }

  #register(): number {
    return this.configAddress & 0xfc;
  }
}
