/**
 * The standard VGA of QEMU as a PCI function (1234:1111).
 * Source: QEMU, docs/specs/standard-vga.rst.
 *
 *   BAR 0: video memory       BAR 2: registers in memory
 *     0x000-0x0ff  EDID                      0x400-0x41f  ports 3c0h to 3dfh
 *     0x500-0x515  VBE registers, 16 bits    0x600        bytes of this block (8)     0x604  byte order of the frame buffer
 */
import { getSized } from '../../base/bytes.js';
import { UserError } from '../../base/errors.js';
import type { GraphicConsole, Refresh, TextScreen } from '../../display/console.js';
import type { Clock } from '../../machine/clock.js';
import type { Device } from '../../machine/device.js';
import type { PciDeviceType } from '../../machine/device-type.js';
import type { PciSlot } from '../../machine/pci-slot.js';
import { prop } from '../../machine/property.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { AccessSize, IoHandler } from '../../memory/io.js';
import type { MemoryRegion } from '../../memory/region.js';
import { type BarSpec, PciFunction } from '../pci/pci-function.js';
import { edid } from './edid.js';
import { trace, Vga } from './vga.js';
import { DISPI_COUNT } from './vga-registers.js';

const MIB = 1 << 20;
const MMIO_BYTES = 4096;
const PORTS_AT = 0x400;
const FIRST_MMIO_PORT = 0x3c0;
const DISPI_AT = 0x500;
const EXTENDED_AT = 0x600;
const EXTENDED_BYTES = 8;
const LITTLE_ENDIAN = 0x1e1e1e1e;
/** Video memory at a0000h lies over the RAM that is there. */
const OVERLAP = 1;

export interface VgaPciOptions {
  /** A power of two. */
  readonly vramBytes: number;
  /** The VGA BIOS, or none. */
  readonly rom: Uint8Array | null;
  /** Preferred resolution that EDID tells; null for no EDID. */
  readonly preferred: { readonly width: number; readonly height: number } | null;
}

export class VgaPci implements Device, GraphicConsole {
  readonly type = 'VGA';
  readonly vga: Vga;
  readonly pci: PciFunction;
  readonly #stateful;

  constructor(slot: PciSlot, clock: Clock, options: VgaPciOptions) {
    const { memory } = slot;
    const vga = new Vga(memory, clock, options.vramBytes);
    this.vga = vga;
    const identification = options.preferred ? edid(options.preferred.width, options.preferred.height) : null;
    const bars: BarSpec[] = [
      { index: 0, kind: 'memory32', prefetchable: true, region: vga.vram },
      { index: 2, kind: 'memory32', region: memory.io('vga.mmio', MMIO_BYTES, registers(vga, identification)) },
    ];
    if (options.rom) bars.push({ index: 'rom', kind: 'memory32', region: romRegion(slot, options.rom) });
    this.pci = new PciFunction(slot, {
      vendorId: 0x1234,
      deviceId: 0x1111,
      revision: 2,
      classCode: 0x030000,
      bars,
    });
    slot.memorySpace.add(vga.window, Vga.WINDOW, OVERLAP);
    slot.ioSpace.add(memory.io('vga', Vga.PORTS, vga.ports), Vga.FIRST_PORT);
    slot.ioSpace.add(memory.io('vbe', Vga.DISPI_PORTS, vga.dispiPorts), Vga.FIRST_DISPI_PORT);
    this.#stateful = stateOf({ pci: this.pci, vga }, 1);
  }

  reset(): void {
    this.pci.reset();
    this.vga.reset();
  }

  save(): DeviceState {
    return this.#stateful.save();
  }

  load(state: DeviceState): void {
    this.#stateful.load(state);
  }

  refresh(): Refresh {
    return this.vga.refresh();
  }

  text(): TextScreen | null {
    return this.vga.text();
  }
}

/** BAR 2. */
function registers(vga: Vga, identification: Uint8Array | null): IoHandler {
  const port = (offset: number) => offset - PORTS_AT + FIRST_MMIO_PORT - Vga.FIRST_PORT;
  const isPort = (offset: number) => offset >= PORTS_AT && offset < PORTS_AT + 0x20;
  const isDispi = (offset: number) => offset >= DISPI_AT && offset < DISPI_AT + 2 * DISPI_COUNT;
  return {
    sizes: { min: 1, max: 2 },
    read(offset: number, size: AccessSize): number {
      if (isPort(offset)) {
        const low = vga.ports.read(port(offset), 1);
        return size === 1 ? low : low | (vga.ports.read(port(offset) + 1, 1) << 8);
      }
      if (isDispi(offset)) return vga.readDispi((offset - DISPI_AT) >> 1) >> (8 * (offset & 1));
      if (identification && offset < identification.length) return getSized(identification, offset, size);
      if (offset >= EXTENDED_AT && offset < EXTENDED_AT + EXTENDED_BYTES) {
        const word = offset < EXTENDED_AT + 4 ? EXTENDED_BYTES : LITTLE_ENDIAN;
        return word >>> (8 * (offset & 3));
      }
      return 0;
    },
    write(offset: number, size: AccessSize, value: number): void {
      if (isPort(offset)) {
        vga.ports.write(port(offset), 1, value & 0xff);
        if (size === 2) vga.ports.write(port(offset) + 1, 1, value >> 8);
      } else if (isDispi(offset) && size === 2) vga.writeDispi((offset - DISPI_AT) >> 1, value);
    },
  };
}

function romRegion(slot: PciSlot, rom: Uint8Array): MemoryRegion {
  const region = slot.memory.rom('vga.rom', Math.max(4096, 2 ** Math.ceil(Math.log2(rom.length))));
  region.ram!.bytes.set(rom);
  return region;
}

/** What devices with a firmware image are given. */
export interface RomContext {
  /** The image of this name; null for '' or where there is none. */
  firmwareImage(name: string): Uint8Array | null;
}

const properties = {
  vgamem_mb: prop.uint32(16, 'video memory in MiB'),
  romfile: prop.str('image of the VGA BIOS', 'vgabios-stdvga.bin'),
  edid: prop.bool(true, 'tell the guest about the display'),
  xres: prop.uint32(1280, 'preferred width'),
  yres: prop.uint32(800, 'preferred height'),
};

export function checkVideoMemory(type: string, mib: number): number {
  if (mib < 1 || mib > 256 || (mib & (mib - 1)) !== 0)
    throw new UserError(`${type}: vgamem_mb=${mib} is no power of two from 1 to 256`);
  return mib * MIB;
}

export const vgaPciType: PciDeviceType<typeof properties, RomContext> = {
  name: 'VGA',
  description: 'standard VGA with Bochs VBE extensions',
  category: 'Display devices',
  bus: 'PCI',
  properties,
  trace,
  create: (slot, p, context) =>
    new VgaPci(slot, context.clocks.virtual, {
      vramBytes: checkVideoMemory('VGA', p.vgamem_mb),
      rom: context.firmwareImage(p.romfile),
      preferred: p.edid ? { width: p.xres, height: p.yres } : null,
    }),
};
