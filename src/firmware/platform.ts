/** The machine as firmware sees it: memory, ports, and what the board knows and firmware would have to find out. */
import type { AccessSize, Dma } from '../memory/io.js';
import type { SmbiosIdentity } from './smbios/smbios.js';

/** Guest-physical memory. */
export type GuestMemory = Dma;

/** The processor's I/O ports, as IN and OUT reach them. */
export interface PortIo {
  read(port: number, size: AccessSize): number;
  write(port: number, size: AccessSize, value: number): void;
}

/** Where RAM is: from 0 to `below4g`, and from 4 GiB on `above4g` bytes. */
export interface RamLayout {
  readonly below4g: number;
  readonly above4g: number;
  /** Addresses behind the RAM below 4 GiB that guests must leave alone. */
  readonly reserved?: { readonly start: number; readonly length: number };
}

export const FOUR_GIB = 0x1_0000_0000;

export interface SerialPort {
  readonly port: number;
  readonly irq: number;
}

/** What the tables describe and the loader sets up; the board fills it in from what it wired. */
export interface PlatformDescription {
  readonly ram: RamLayout;
  /** Local APIC id of each present processor; the first is the boot processor. */
  readonly apicIds: readonly number[];
  readonly ioApicId: number;
  /** COM1 first. */
  readonly serial: readonly SerialPort[];
  readonly parallel: readonly SerialPort[];
  readonly hpet: boolean;
  readonly floppy: boolean;
  readonly ps2: boolean;
  readonly fwCfg: boolean;
  readonly vga: boolean;
  /** I/O port of the ISA pvpanic device. */
  readonly pvpanicPort?: number;
  /** Whether there is a PCI bus (`pc`, `q35`) or only ISA (`isapc`). */
  readonly pci: boolean;
  /** Without PCI: registers of virtio devices in memory, found by ACPI (`microvm`). */
  readonly virtioMmio?: readonly { readonly base: number; readonly irq: number }[];
  /** The chipset around that bus; default i440fx with PIIX3. */
  readonly chipset?: 'q35';
  /** 16 bytes in the order in which a UUID is written. */
  readonly uuid?: Uint8Array;
  /** What SMBIOS says about the machine where it differs from QEMU's PC. */
  readonly identity?: Partial<SmbiosIdentity>;
  /** Of the processor; default 40 with long mode, 36 without. */
  readonly physicalBits?: number;
  /** CPUID leaf 1, EAX and EDX, for SMBIOS. */
  readonly processorId?: readonly [signature: number, features: number];
}

/** Reset values and addresses of the `pc` machine that tables, loader and devices agree on. */
export const PC = {
  /** PIIX4 power management: PM1a event, +4 control, +8 timer. */
  pmBase: 0x600,
  gpe0Base: 0xafe0,
  gpe0Length: 4,
  smbusBase: 0x700,
  sciIrq: 9,
  smiCommand: 0xb2,
  /** Registers of ACPI PCI hot plugging. */
  pciHotplugBase: 0xae00,
  acpiEnable: 0xf1,
  acpiDisable: 0xf0,
  ioApicBase: 0xfec00000,
  localApicBase: 0xfee00000,
  hpetBase: 0xfed00000,
  fwCfgPort: 0x510,
  /** IRQs that PIRQA..PIRQD are routed to, as PC firmware does. */
  pirqRoutes: [10, 10, 11, 11],
  /** Memory window for BARs ends at the I/O APIC. */
  pciMemoryEnd: 0xfec00000,
  pciIoStart: 0xc000,
} as const;

/** Whether there are ACPI tables. */
export const hasAcpi = (p: Pick<PlatformDescription, 'pci' | 'virtioMmio'>): boolean =>
  p.pci || p.virtioMmio !== undefined;

/** Where `microvm` has its devices. */
export const MICROVM = {
  virtioBase: 0xfeb00000,
  virtioBytes: 0x200,
  virtioTransports: 8,
  virtioFirstIrq: 16,
  /** No general purpose events, and ACPI mode always. */
  gpe0Base: 0,
  gpe0Length: 0,
  acpiEnable: 0,
  acpiDisable: 0,
} as const;

/** What the Q35 chipset has otherwise than `PC` says. */
export const Q35 = {
  gpe0Base: 0x620,
  gpe0Length: 16,
  acpiEnable: 2,
  acpiDisable: 3,
  /** Configuration space in memory, for 256 buses. */
  mmconfigBase: 0xb0000000,
  mmconfigBytes: 0x10000000,
  /** The ICH9's functions are those of this device. */
  lpcSlot: 31,
} as const;

/** Start of the 32-bit PCI window of any chipset. */
export const pciWindowStart = (p: Pick<PlatformDescription, 'ram' | 'chipset'>): number =>
  p.chipset === 'q35' ? Q35.mmconfigBase + Q35.mmconfigBytes : pciMemoryStart(p.ram.below4g);

/** Start of the 32-bit PCI memory window: above RAM, on the boundary that PC firmware chooses. */
export function pciMemoryStart(below4g: number): number {
  if (below4g <= 0x80000000) return 0x80000000;
  return below4g <= 0xc0000000 ? 0xc0000000 : 0xe0000000;
}
