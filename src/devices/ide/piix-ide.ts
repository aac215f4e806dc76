/**
 * The IDE function of the PIIX3: two ISA-compatible channels and a bus master for each.
 * Source: Intel 82371SB (PIIX3) data sheet, 2.3 and 2.7.
 *
 *   0x40 IDETIM  0x42 IDETIM (secondary)  0x44 SIDETIM      BAR 4: bus masters, 16 ports
 *
 * The channels always answer: a board without firmware would have nobody to set the decode bits of IDETIM.
 */
import type { Device } from '../../machine/device.js';
import type { IrqLine } from '../../machine/irq.js';
import type { IsaBus } from '../../machine/isa-bus.js';
import type { PciSlot } from '../../machine/pci-slot.js';
import { defineRegisters } from '../../machine/register-map.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';
import { PciFunction, Status } from '../pci/pci-function.js';
import { BusMaster } from './bus-master.js';
import { IdeChannel } from './ide-channel.js';

const REGISTERS = defineRegisters(0x100, [
  { name: 'IDETIM', at: 0x40, size: 2 },
  { name: 'IDETIM2', at: 0x42, size: 2 },
  { name: 'SIDETIM', at: 0x44, size: 1 },
]).registers;

/** Command block, control block and interrupt of the two compatible channels. */
export const LEGACY_CHANNELS = [
  { command: 0x1f0, control: 0x3f6, irq: 14 },
  { command: 0x170, control: 0x376, irq: 15 },
] as const;

/** Puts a channel at the ports of a PC. */
export function mapLegacyChannel(isa: IsaBus, channel: IdeChannel, index: 0 | 1): void {
  const { command, control } = LEGACY_CHANNELS[index];
  isa.mapPorts(`ide${index}`, command, IdeChannel.COMMAND_PORTS, channel.commandBlock);
  isa.mapPorts(`ide${index}-control`, control, IdeChannel.CONTROL_PORTS, channel.controlBlock);
}

export class PiixIde implements Device {
  readonly type = 'piix3-ide';
  readonly pci: PciFunction<(typeof REGISTERS)[number]['name']>;
  readonly channels: readonly [IdeChannel, IdeChannel];
  readonly #masters: readonly [BusMaster, BusMaster];
  readonly #stateful;

  /** `isa`: where the compatible ports and interrupts are. */
  constructor(slot: PciSlot, isa: IsaBus) {
    // The bus masters reach memory through the function, whose BAR needs the bus masters first.
    const dma = {
      read: (address: number, into: Uint8Array) => this.pci.dma.read(address, into),
      write: (address: number, from: Uint8Array) => this.pci.dma.write(address, from),
    };
    this.#masters = [new BusMaster(dma), new BusMaster(dma)];
    const region = slot.memory.io('piix-bmdma-container', 2 * BusMaster.PORTS, busMasters(this.#masters));
    this.pci = new PciFunction(slot, {
      vendorId: 0x8086,
      deviceId: 0x7010,
      classCode: 0x010180,
      status: Status.fastBackToBack | Status.devselMedium,
      bars: [{ index: 4, kind: 'io', region }],
      registers: REGISTERS,
    });
    const make = (index: 0 | 1): IdeChannel => {
      const irq: IrqLine = isa.irq(LEGACY_CHANNELS[index].irq);
      const channel = new IdeChannel(this.#masters[index].through(irq));
      this.#masters[index].connect(channel);
      mapLegacyChannel(isa, channel, index);
      return channel;
    };
    this.channels = [make(0), make(1)];
    this.#stateful = stateOf(
      { pci: this.pci, channels: [...this.channels], masters: [...this.#masters] },
      1,
      undefined,
    );
  }

  reset(): void {
    this.pci.reset();
    for (const channel of this.channels) channel.reset();
    for (const master of this.#masters) master.reset();
  }

  save(): DeviceState {
    return this.#stateful.save();
  }

  load(state: DeviceState): void {
    this.#stateful.load(state);
  }
}

/** Both bus masters behind one BAR. */
function busMasters(masters: readonly [BusMaster, BusMaster]): IoHandler {
  return {
    sizes: { min: 1, max: 1 },
    read: (offset: number, size: AccessSize) => masters[(offset >> 3) as 0 | 1].read(offset & 7, size),
    write: (offset: number, size: AccessSize, value: number) =>
      masters[(offset >> 3) as 0 | 1].write(offset & 7, size, value),
  };
}
