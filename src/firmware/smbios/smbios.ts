/** SMBIOS 2.8 tables (DMTF DSP0134): what dmidecode and drivers' quirk lists read. */
import { type LinkedFiles, placeAt } from '../acpi/table-set.js';
import { ByteWriter } from '../bytes.js';
import { FOUR_GIB, type RamLayout } from '../platform.js';

export const SMBIOS_ANCHOR_FILE = 'etc/smbios/smbios-anchor';
export const SMBIOS_TABLES_FILE = 'etc/smbios/smbios-tables';

/** What a user may say about the machine; guests know QEMU's PC by these names and act on them. */
export interface SmbiosIdentity {
  readonly biosVendor: string;
  readonly biosVersion: string;
  readonly biosDate: string;
  readonly manufacturer: string;
  readonly product: string;
  readonly version: string;
  readonly serial: string;
  readonly sku: string;
  readonly family: string;
}
export const DEFAULT_IDENTITY: SmbiosIdentity = {
  biosVendor: 'Tinamou',
  biosVersion: '0.1',
  biosDate: '04/01/2014',
  manufacturer: 'QEMU',
  product: 'Standard PC (i440FX + PIIX, 1996)',
  version: 'pc-i440fx-7.2',
  serial: '',
  sku: '',
  family: '',
};

export interface SmbiosOptions {
  readonly identity?: Partial<SmbiosIdentity>;
  /** 16 bytes in the order in which a UUID is written; absent: all zero, "not present". */
  readonly uuid?: Uint8Array;
  readonly ram: RamLayout;
  readonly sockets: number;
  /** Of one socket. */
  readonly cores: number;
  readonly threads: number;
  /** CPUID leaf 1, EAX and EDX. */
  readonly processorId?: readonly [signature: number, features: number];
}

const KIB = 1024;
const MIB = 1 << 20;
const DIMM_SIZE = 16 * 1024 * MIB;
const UNKNOWN = 2;
const SAFE = 3;
const NO_HANDLE = 0xffff;
const NO_ERROR_INFORMATION = 0xfffe;

/** Writes structures one after the other and counts. */
class Structures {
  private readonly w = new ByteWriter();
  count = 0;
  largest = 0;

  /** `body` writes the formatted part after the header; `text` numbers a string, 0 for an empty one. */
  add(type: number, handle: number, body: (w: ByteWriter, text: (value: string) => number) => void): void {
    const formatted = new ByteWriter();
    const strings: string[] = [];
    body(formatted, (value) => (value === '' ? 0 : strings.push(value)));
    const start = this.w.length;
    this.w
      .u8(type, 4 + formatted.length)
      .u16(handle)
      .bytes(formatted.finish());
    for (const s of strings) this.w.text(s).u8(0);
    if (strings.length === 0) this.w.u8(0);
    this.w.u8(0);
    this.count++;
    this.largest = Math.max(this.largest, this.w.length - start);
  }

  finish(): Uint8Array {
    return this.w.finish();
  }
}

/** The first three fields of a UUID are little endian (DSP0134, 7.2.1). */
function uuidBytes(uuid: Uint8Array): Uint8Array {
  const out = uuid.slice();
  out.subarray(0, 4).reverse();
  out.subarray(4, 6).reverse();
  out.subarray(6, 8).reverse();
  return out;
}

function memoryStructures(s: Structures, ram: RamLayout): void {
  const total = ram.below4g + ram.above4g;
  const devices = Math.max(1, Math.ceil(total / DIMM_SIZE));
  s.add(16, 0x1000, (w) => {
    w.u8(1, 3, 6); // other location, system memory, multi-bit ECC
    const kib = total / KIB;
    const large = kib >= 0x80000000;
    w.u32(large ? 0x80000000 : kib)
      .u16(NO_ERROR_INFORMATION)
      .u16(devices)
      .u64(large ? total : 0);
  });
  for (let i = 0; i < devices; i++) {
    const size = Math.min(DIMM_SIZE, total - i * DIMM_SIZE);
    s.add(17, 0x1100 + i, (w, text) => {
      w.u16(0x1000).u16(NO_ERROR_INFORMATION).u16(0xffff).u16(0xffff); // array; widths unknown
      w.u16(Math.ceil(size / MIB))
        .u8(9, 0, text(`DIMM ${i}`), 0, 7)
        .u16(2); // DIMM, no set, RAM, other
      w.u16(0).u8(text(DEFAULT_IDENTITY.manufacturer), 0, 0, 0, 0).u32(0).u16(0).u16(0).u16(0).u16(0);
    });
  }
  const range = (index: number, start: number, length: number): void =>
    s.add(19, 0x1300 + index, (w) => {
      const end = start + length;
      const wide = end > 0xffffffff * KIB;
      w.u32(wide ? 0xffffffff : start / KIB)
        .u32(wide ? 0xffffffff : end / KIB - 1)
        .u16(0x1000)
        .u8(1);
      w.u64(wide ? start : 0).u64(wide ? end - 1 : 0);
    });
  range(0, 0, ram.below4g);
  if (ram.above4g > 0) range(1, FOUR_GIB, ram.above4g);
}

/** Entry point and tables, unlinked. */
export function smbiosTables(options: SmbiosOptions): LinkedFiles {
  const id = { ...DEFAULT_IDENTITY, ...options.identity };
  const s = new Structures();
  s.add(0, 0, (w, text) => {
    const [vendor, version] = [text(id.biosVendor), text(id.biosVersion)];
    w.u8(vendor, version).u16(0xe800).u8(text(id.biosDate), 0);
    w.u64(0x08); // "characteristics not supported"
    w.u8(0, 0x14, 0, 0, 0xff, 0xff); // a virtual machine; release 0.0, no embedded controller
  });
  s.add(1, 0x100, (w, text) => {
    w.u8(text(id.manufacturer), text(id.product), text(id.version), text(id.serial));
    w.bytes(options.uuid ? uuidBytes(options.uuid) : new Uint8Array(16));
    w.u8(6, text(id.sku), text(id.family)); // woken by the power switch
  });
  s.add(3, 0x300, (w, text) => {
    w.u8(text(id.manufacturer), 1, text(id.version), 0, 0); // type "other"
    w.u8(SAFE, SAFE, SAFE, UNKNOWN).u32(0).u8(0, 0, 0, 0, 0);
  });
  const [signature, features] = options.processorId ?? [0, 0];
  const cores = Math.min(options.cores, 0xff);
  for (let i = 0; i < options.sockets; i++)
    s.add(4, 0x400 + i, (w, text) => {
      w.u8(text(`CPU ${i}`), 3, 1, text(id.manufacturer))
        .u32(signature)
        .u32(features)
        .u8(text(id.version), 0);
      w.u16(0).u16(2000).u16(2000).u8(0x41, 1); // MHz: populated and enabled
      w.u16(NO_HANDLE).u16(NO_HANDLE).u16(NO_HANDLE).u8(0, 0, 0);
      w.u8(cores, cores, Math.min(options.cores * options.threads, 0xff))
        .u16(UNKNOWN)
        .u16(1);
    });
  memoryStructures(s, options.ram);
  s.add(32, 0x2000, (w) => w.zeros(6).u8(0));
  s.add(127, 0x7f00, () => {});

  const tables = s.finish();
  const ENTRY_SIZE = 0x1f;
  const anchor = new ByteWriter();
  anchor.text('_SM_').u8(0, ENTRY_SIZE, 2, 8).u16(s.largest).u8(0).zeros(5);
  anchor.text('_DMI_').u8(0).u16(tables.length).u32(0).u16(s.count).u8(0x28);
  return {
    files: [
      { name: SMBIOS_ANCHOR_FILE, zone: 'f-segment', align: 16, bytes: anchor.finish() },
      { name: SMBIOS_TABLES_FILE, zone: 'high', align: 16, bytes: tables },
    ],
    pointers: [{ file: SMBIOS_ANCHOR_FILE, target: SMBIOS_TABLES_FILE, offset: 0x18, size: 4 }],
    checksums: [
      { file: SMBIOS_ANCHOR_FILE, offset: 0x15, start: 0x10, length: 0x0f },
      { file: SMBIOS_ANCHOR_FILE, offset: 4, start: 0, length: ENTRY_SIZE },
    ],
  };
}

/** For firmware, which finds its own place: the files with an entry point that points at 0. */
export function smbiosFiles(options: SmbiosOptions): Map<string, Uint8Array> {
  return placeAt(smbiosTables(options), { [SMBIOS_TABLES_FILE]: 0 });
}
