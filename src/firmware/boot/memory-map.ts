/** The memory map that firmware reports (ACPI 6.4, chapter 15: INT 15h, E820h), and where direct boot puts its own things. */
import { ByteWriter } from '../bytes.js';
import { FOUR_GIB, type RamLayout } from '../platform.js';

export const MemoryType = { ram: 1, reserved: 2, acpi: 3, nvs: 4 } as const;

export interface MemoryRange {
  readonly start: number;
  readonly length: number;
  readonly type: (typeof MemoryType)[keyof typeof MemoryType];
}

/**
 * Low memory as direct boot uses it, once, before the guest's kernel takes over. Everything is below the extended BIOS
 * data area, in what the memory map calls RAM: kernels copy what they want to keep.
 */
export const Low = {
  biosData: 0x400,
  gdt: 0x600,
  /** boot_params, multiboot or PVH information, up to the page tables. */
  info: 0x1000,
  pageTables: 0x9000,
  commandLine: 0x20000,
  /** Commands and module lists end here at the latest. */
  end: 0x90000,
  extendedBiosData: 0x9fc00,
  /** Tables that legacy scans look for, in the BIOS segment. */
  rsdp: 0xf5000,
  smbiosAnchor: 0xf5040,
} as const;

/** What is kept back at the top of RAM below 4 GiB for ACPI and SMBIOS tables. */
export const TABLES_SIZE = 0x20000;
export const tablesBase = (ram: RamLayout): number => ram.below4g - (ram.below4g % 0x1000) - TABLES_SIZE;

export function memoryMap(ram: RamLayout): MemoryRange[] {
  const out: MemoryRange[] = [];
  const add = (start: number, end: number, type: MemoryRange['type']): void => {
    if (end > start) out.push({ start, length: end - start, type });
  };
  const tables = tablesBase(ram);
  add(0, Low.extendedBiosData, MemoryType.ram);
  add(Low.extendedBiosData, 0xa0000, MemoryType.reserved);
  add(0xf0000, 0x100000, MemoryType.reserved);
  add(0x100000, tables, MemoryType.ram);
  add(tables, ram.below4g, MemoryType.reserved);
  if (ram.reserved) out.push({ ...ram.reserved, type: MemoryType.reserved });
  add(0xfffc0000, FOUR_GIB, MemoryType.reserved); // the flash
  add(FOUR_GIB, FOUR_GIB + ram.above4g, MemoryType.ram);
  return out;
}

/** Entries of 20 bytes: start, length, type. */
export function e820(map: readonly MemoryRange[]): Uint8Array {
  const w = new ByteWriter();
  for (const r of map) w.u64(r.start).u64(r.length).u32(r.type);
  return w.finish();
}
