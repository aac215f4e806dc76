/** Puts ACPI and SMBIOS tables where operating systems look for them, for boot without firmware. */

import { type LinkedFiles, placeAt } from './acpi/table-set.js';
import { ACPI_RSDP_FILE, acpiTables } from './acpi/tables.js';
import { Low, tablesBase } from './boot/memory-map.js';
import { type GuestMemory, hasAcpi, type PlatformDescription } from './platform.js';
import { SMBIOS_ANCHOR_FILE, type SmbiosOptions, smbiosTables } from './smbios/smbios.js';

export const smbiosOptions = (p: PlatformDescription): SmbiosOptions => ({
  ram: p.ram,
  sockets: 1,
  cores: p.apicIds.length,
  threads: 1,
  ...(p.uuid && { uuid: p.uuid }),
  ...(p.identity && { identity: p.identity }),
  ...(p.processorId && { processorId: p.processorId }),
});

const ALIGN = 0x1000;

export function writeTables(memory: GuestMemory, p: PlatformDescription): void {
  let next = tablesBase(p.ram);
  const write = (set: LinkedFiles, fixed: Readonly<Record<string, number>>): void => {
    const addresses: Record<string, number> = { ...fixed };
    for (const f of set.files) {
      if (addresses[f.name] !== undefined) continue;
      addresses[f.name] = next;
      next = Math.ceil((next + f.bytes.length) / ALIGN) * ALIGN;
    }
    for (const [name, bytes] of placeAt(set, addresses)) memory.write(addresses[name]!, bytes);
  };
  if (hasAcpi(p)) write(acpiTables(p), { [ACPI_RSDP_FILE]: Low.rsdp });
  write(smbiosTables(smbiosOptions(p)), { [SMBIOS_ANCHOR_FILE]: Low.smbiosAnchor });
}
