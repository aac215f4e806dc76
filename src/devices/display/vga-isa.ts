/** The standard VGA on the ISA bus, with its frame buffer at e0000000h as the Bochs VGA BIOS expects. */
import type { GraphicConsole, Refresh, TextScreen } from '../../display/console.js';
import type { Clock } from '../../machine/clock.js';
import type { Device } from '../../machine/device.js';
import type { IsaDeviceType } from '../../machine/device-type.js';
import type { IsaBus } from '../../machine/isa-bus.js';
import { prop } from '../../machine/property.js';
import type { DeviceState } from '../../machine/state.js';
import type { Memory } from '../../memory/memory.js';
import { trace, Vga } from './vga.js';
import { checkVideoMemory } from './vga-pci.js';

const OVERLAP = 1;
export const ISA_FRAME_BUFFER = 0xe0000000;

export class VgaIsa implements Device, GraphicConsole {
  readonly type = 'isa-vga';
  readonly vga: Vga;

  constructor(bus: IsaBus, memory: Memory, clock: Clock, vramBytes: number) {
    this.vga = new Vga(memory, clock, vramBytes);
    bus.mapMemory(this.vga.window, Vga.WINDOW, OVERLAP);
    bus.mapMemory(this.vga.vram, ISA_FRAME_BUFFER, OVERLAP);
    bus.mapPorts('vga', Vga.FIRST_PORT, Vga.PORTS, this.vga.ports);
    bus.mapPorts('vbe', Vga.FIRST_DISPI_PORT, Vga.DISPI_PORTS, this.vga.dispiPorts);
  }

  reset(): void {
    this.vga.reset();
  }

  save(): DeviceState {
    return this.vga.save();
  }

  load(state: DeviceState): void {
    this.vga.load(state);
  }

  refresh(): Refresh {
    return this.vga.refresh();
  }

  text(): TextScreen | null {
    return this.vga.text();
  }
}

const properties = { vgamem_mb: prop.uint32(8, 'video memory in MiB') };

export const vgaIsaType: IsaDeviceType<typeof properties> = {
  name: 'isa-vga',
  description: 'standard VGA on the ISA bus',
  category: 'Display devices',
  bus: 'ISA',
  properties,
  trace,
  create: (bus, p, context) =>
    new VgaIsa(bus, context.memory, context.clocks.virtual, checkVideoMemory('isa-vga', p.vgamem_mb)),
};
