/** The floppy disk controller on the ISA bus of a PC: ports 3f0h to 3f5h and 3f7h (3f6h is IDE's), interrupt 6, DMA channel 2. */
import type { DriveContext } from '../../block/drive.js';
import type { IsaDeviceType } from '../../machine/device-type.js';
import { BOOT_INDEX, prop } from '../../machine/property.js';
import { driveFor, FloppyDrive } from './floppy-drive.js';
import { I82078, trace } from './i82078.js';

const IRQ = 6;
const DMA_CHANNEL = 2;
const LAST_PORT = 7;
const TYPES = ['120', '144', '288', 'auto'] as const;

const properties = {
  bootindexA: BOOT_INDEX,
  bootindexB: BOOT_INDEX,
  driveA: prop.drive('drive that is floppy A'),
  driveB: prop.drive('drive that is floppy B'),
  fdtypeA: prop.enumeration(TYPES, 'auto', 'kind of drive A; auto chooses by the disk in it'),
  fdtypeB: prop.enumeration(TYPES, 'auto', 'kind of drive B; auto chooses by the disk in it'),
};

export const isaFdc: IsaDeviceType<typeof properties, DriveContext> = {
  name: 'isa-fdc',
  description: 'floppy disk controller',
  category: 'Storage devices',
  bus: 'ISA',
  properties,
  trace,
  create(bus, { driveA, driveB, fdtypeA, fdtypeB }, context) {
    const make = (id: string, type: (typeof TYPES)[number]): FloppyDrive | null => {
      if (id === '') return null;
      const backend = context.drive(id);
      return new FloppyDrive(type === 'auto' ? driveFor(backend.length) : type, backend);
    };
    const drives = [make(driveA, fdtypeA), make(driveB, fdtypeB)];
    const fdc = new I82078({ irq: bus.irq(IRQ), dma: bus.dma(DMA_CHANNEL), drives });
    bus.mapPorts('fdc', I82078.FIRST_PORT, 6, fdc);
    bus.mapPorts('fdc-dir', I82078.FIRST_PORT + LAST_PORT, 1, {
      sizes: fdc.sizes,
      read: (_offset, size) => fdc.read(LAST_PORT, size),
      write: (_offset, size, value) => fdc.write(LAST_PORT, size, value),
    });
    return fdc;
  },
};
