/**
 * What a PC tells its firmware through fw_cfg, under the keys and file names that SeaBIOS 1.16 asks for (QEMU firmware
 * configuration device specification; SeaBIOS "Runtime configuration").
 */

import { loaderScript } from './acpi/table-set.js';
import { acpiTables } from './acpi/tables.js';
import { e820, type MemoryRange, MemoryType } from './boot/memory-map.js';
import { ByteWriter } from './bytes.js';
import { FOUR_GIB, hasAcpi, type PlatformDescription } from './platform.js';
import { smbiosFiles } from './smbios/smbios.js';
import { smbiosOptions } from './tables-in-ram.js';

export const FwCfgKey = {
  signature: 0x00,
  id: 0x01,
  uuid: 0x02,
  ramSize: 0x03,
  noGraphic: 0x04,
  cpuCount: 0x05,
  numa: 0x0d,
  bootMenu: 0x0e,
  maxCpus: 0x0f,
  fileDirectory: 0x19,
  firstFile: 0x20,
  irq0Override: 0x8002,
} as const;

export interface FwCfgFile {
  readonly bytes: Uint8Array;
  /** Whether firmware may write it (WRITE_POINTER of the table loader). */
  readonly writable?: boolean;
}

export interface FwCfgContents {
  readonly keys: ReadonlyMap<number, Uint8Array>;
  readonly files: ReadonlyMap<string, FwCfgFile>;
}

export interface FirmwareOptions {
  /** No display: firmware talks on the first serial port. */
  readonly noGraphic: boolean;
  readonly bootMenu: boolean;
  /** `-boot splash-time`: ms that the boot menu waits. */
  readonly bootMenuWait?: number;
  /** `-boot reboot-timeout`: ms after which firmware that found nothing starts over. */
  readonly bootFailWait?: number;
  /** Option ROMs by file name, run after those of PCI devices. */
  readonly optionRoms: Readonly<Record<string, Uint8Array>>;
  /** Files that the user gave (`-fw_cfg name=...`), and what else a board wants to say. */
  readonly files: Readonly<Record<string, Uint8Array>>;
}

/** The file of OpenFirmware paths of boot devices: it is told anew at each reset, for devices come and go. */
export const BOOT_ORDER = 'bootorder';

/** Its contents, first choice first; nothing leaves the order to the CMOS. */
export const bootOrderFile = (paths: readonly string[]): Uint8Array =>
  new ByteWriter().text(paths.length === 0 ? '' : `${paths.join('\n')}\0`).finish();

const u16 = (value: number): Uint8Array => new ByteWriter().u16(value).finish();
const u32 = (value: number): Uint8Array => new ByteWriter().u32(value).finish();
const u64 = (value: number): Uint8Array => new ByteWriter().u64(value).finish();

/** One byte a sleep state S0..S5: bit 7 says that it is offered, the rest is its SLP_TYP. */
const SYSTEM_STATES = new Uint8Array([128, 0, 0, 1, 2, 128]);

export function pcFwCfg(p: PlatformDescription, o: FirmwareOptions): FwCfgContents {
  const { below4g, above4g } = p.ram;
  const cpus = p.apicIds.length;
  const maxApicId = Math.max(...p.apicIds);
  const keys = new Map<number, Uint8Array>([
    [FwCfgKey.uuid, p.uuid ?? new Uint8Array(16)],
    [FwCfgKey.ramSize, u64(below4g + above4g)],
    [FwCfgKey.noGraphic, u16(o.noGraphic ? 1 : 0)],
    [FwCfgKey.cpuCount, u16(cpus)],
    // No nodes; then a node number for each possible APIC id.
    [FwCfgKey.numa, new Uint8Array(8 * (1 + maxApicId + 1))],
    [FwCfgKey.bootMenu, u16(o.bootMenu ? 1 : 0)],
    [FwCfgKey.maxCpus, u16(maxApicId + 1)],
    [FwCfgKey.irq0Override, u32(1)],
  ]);

  const files = new Map<string, FwCfgFile>();
  const add = (name: string, bytes: Uint8Array): void => void files.set(name, { bytes });
  const map: MemoryRange[] = p.ram.reserved ? [{ ...p.ram.reserved, type: MemoryType.reserved }] : [];
  map.push({ start: 0, length: below4g, type: MemoryType.ram });
  if (above4g > 0) map.push({ start: FOUR_GIB, length: above4g, type: MemoryType.ram });
  add('etc/e820', e820(map));
  add('etc/system-states', SYSTEM_STATES);
  add('etc/boot-fail-wait', u32(o.bootFailWait ?? 0xffffffff));
  if (o.bootMenuWait !== undefined) add('etc/boot-menu-wait', u16(o.bootMenuWait));
  add(BOOT_ORDER, new Uint8Array(0));
  for (const [name, bytes] of Object.entries(o.optionRoms)) add(`genroms/${name}`, bytes);
  if (hasAcpi(p)) {
    const acpi = acpiTables(p);
    for (const f of acpi.files) add(f.name, f.bytes);
    add('etc/table-loader', loaderScript(acpi));
  }
  for (const [name, bytes] of smbiosFiles(smbiosOptions(p))) add(name, bytes);
  for (const [name, bytes] of Object.entries(o.files)) add(name, bytes);
  return { keys, files };
}
