/**
 * Boots a kernel without firmware: does to the machine what firmware would have done, loads the kernel, and says in which
 * state the boot processor starts. Called at power-on and again after every reset.
 */
import { UserError } from '../../base/errors.js';
import { type GuestMemory, hasAcpi, type PlatformDescription, type PortIo, pciWindowStart } from '../platform.js';
import { writeTables } from '../tables-in-ram.js';
import { writeBiosData } from './bios-data.js';
import type { BootState } from './boot-state.js';
import { isBzImage, loadBzImage } from './bzimage.js';
import { setUpChipset, shadowRam } from './chipset-setup.js';
import { type BootModule, type ImageFile, type LoadRequest, malformed } from './image.js';
import { Low } from './memory-map.js';
import { loadMultiboot, multibootHeader } from './multiboot.js';
import { loadPvh, pvhEntry } from './pvh.js';
import { setTextMode } from './text-mode.js';

export interface DirectBoot {
  readonly memory: GuestMemory;
  readonly ports: PortIo;
  readonly platform: PlatformDescription;
  readonly kernel: ImageFile;
  readonly modules: readonly BootModule[];
  readonly commandLine: string;
  readonly longMode: boolean;
}

export type KernelKind = 'bzimage' | 'multiboot' | 'pvh';

/** What kind of kernel an image is, undefined for none that we load. */
export function kernelKind(bytes: Uint8Array): KernelKind | undefined {
  if (isBzImage(bytes)) return 'bzimage';
  if (multibootHeader(bytes) >= 0) return 'multiboot';
  return pvhEntry(bytes) === undefined ? undefined : 'pvh';
}

const LOADERS: Record<KernelKind, (r: LoadRequest) => BootState> = {
  bzimage: loadBzImage,
  multiboot: loadMultiboot,
  pvh: loadPvh,
};

/** Local APIC on (or its LINT pins stay masked), LINT0 as ExtINT, LINT1 as NMI: PC firmware's virtual wire mode. */
const VIRTUAL_WIRE = [
  [0x0f0, 0x01ff],
  [0x350, 0x8700],
  [0x360, 0x8400],
] as const;

/** Memory types as PC firmware sets them: RAM write-back, video memory and the PCI window uncached (SDM vol. 3, 11.11). */
function memoryTypes(p: PlatformDescription, physicalBits: number): BootState['msrs'] {
  const WRITE_BACK = 0x0606060606060606n;
  const ENABLE = 0xc00n;
  const hole = BigInt(pciWindowStart(p));
  return [
    [0x250, WRITE_BACK],
    [0x258, WRITE_BACK],
    [0x200, hole],
    [0x201, ((1n << BigInt(physicalBits)) - (0x1_0000_0000n - hole)) | 0x800n],
    [0x2ff, ENABLE | 6n],
  ];
}

const SMALLEST_RAM = 4 << 20;

export function directBoot(boot: DirectBoot): BootState {
  const { memory, ports, platform, kernel } = boot;
  const kind = kernelKind(kernel.bytes);
  if (!kind)
    throw malformed(
      kernel,
      'it is neither a bzImage nor a multiboot or PVH ELF file; name a kernel image with -kernel',
    );
  if (platform.ram.below4g < SMALLEST_RAM) throw new UserError('a kernel needs at least 4 MiB of RAM: raise -m');
  shadowRam(ports, 'open');
  setUpChipset(ports, platform);
  if (platform.vga) setTextMode(ports, memory);
  writeBiosData(memory, platform);
  writeTables(memory, platform);
  shadowRam(ports, 'lock');
  const state = LOADERS[kind]({
    memory,
    ram: platform.ram,
    kernel,
    modules: boot.modules,
    commandLine: boot.commandLine,
    longMode: boot.longMode,
    rsdp: hasAcpi(platform) ? Low.rsdp : 0,
    textConsole: platform.vga,
  });
  return {
    ...state,
    localApic: VIRTUAL_WIRE,
    msrs: memoryTypes(platform, platform.physicalBits ?? (boot.longMode ? 40 : 36)),
  };
}
