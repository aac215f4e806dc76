/** The ACPI tables of the PC machines (ACPI 6.4, chapter 5; HPET 1.0a, 3.2.4). */
import { Bug } from '../../base/errors.js';
import { ByteWriter } from '../bytes.js';
import { hasAcpi, MICROVM, PC, type PlatformDescription, Q35 } from '../platform.js';
import { dsdtTerms } from './dsdt.js';
import type { Checksum, LinkedFiles, Pointer } from './table-set.js';

export const ACPI_TABLES_FILE = 'etc/acpi/tables';
export const ACPI_RSDP_FILE = 'etc/acpi/rsdp';

const OEM_ID = 'TINAMU';
const OEM_TABLE_ID = 'TINAMOU ';
const CREATOR_ID = 'TINA';
const HEADER_SIZE = 36;

/** Collects tables in one file and remembers what must be linked. */
class TableFile {
  private readonly w = new ByteWriter();
  readonly pointers: Pointer[] = [];
  readonly checksums: Checksum[] = [];

  /** Adds a table behind a standard header and returns its offset. `links`: [offset in the table, size, offset pointed at]. */
  add(
    signature: string,
    revision: number,
    body: (w: ByteWriter) => void,
    links: readonly (readonly [at: number, size: 4 | 8, to: number])[] = [],
  ): number {
    this.w.align(8);
    const start = this.w.length;
    this.w.text(signature, 4).u32(0).u8(revision, 0);
    this.w.text(OEM_ID, 6).text(OEM_TABLE_ID, 8).u32(1).text(CREATOR_ID, 4).u32(1);
    body(this.w);
    const length = this.w.length - start;
    this.w.setU32(start + 4, length);
    for (const [at, size, to] of links) {
      this.w.setU32(start + at, to);
      this.pointers.push({ file: ACPI_TABLES_FILE, target: ACPI_TABLES_FILE, offset: start + at, size });
    }
    this.checksums.push({ file: ACPI_TABLES_FILE, offset: start + 9, start, length });
    return start;
  }

  /** The FACS has no standard header, no checksum, and lies on 64 bytes. */
  addFacs(): number {
    this.w.align(64);
    const start = this.w.length;
    this.w.text('FACS', 4).u32(64).zeros(56);
    return start;
  }

  finish(): Uint8Array {
    return this.w.finish();
  }
}

/** Generic Address Structure of a register in port space. */
const portRegister = (w: ByteWriter, bits: number, port: number): ByteWriter => w.u8(1, bits, 0, 0).u64(port);
const noRegister = (w: ByteWriter): ByteWriter => w.zeros(12);

const FadtFlag = { WBINVD: 1, PROC_C1: 4, SLP_BUTTON: 0x20, RTC_S4: 0x80, RESET_REG_SUP: 0x400 };
/** Legacy devices and an 8042 are there; VGA may be probed. */
const BOOT_ARCH = { legacyDevices: 1, i8042: 2, noVga: 4 };
const LATENCY_UNSUPPORTED = 0xfff;

/** Table revision 3. Offsets of the pointers within: FIRMWARE_CTRL 36, DSDT 40, X_DSDT 140. */
function fadt(p: PlatformDescription): (w: ByteWriter) => void {
  const flags = FadtFlag.WBINVD | FadtFlag.PROC_C1 | FadtFlag.SLP_BUTTON | FadtFlag.RTC_S4 | FadtFlag.RESET_REG_SUP;
  const pm = PC.pmBase;
  const { gpe0Base, gpe0Length, acpiEnable, acpiDisable } = p.virtioMmio ? MICROVM : p.chipset === 'q35' ? Q35 : PC;
  const smiCommand = p.virtioMmio ? 0 : PC.smiCommand;
  return (w) => {
    w.u32(0).u32(0); // FIRMWARE_CTRL, DSDT: linked
    w.u8(1, 0).u16(PC.sciIrq).u32(smiCommand).u8(acpiEnable, acpiDisable, 0, 0);
    w.u32(pm)
      .u32(0)
      .u32(pm + 4)
      .u32(0)
      .u32(0)
      .u32(pm + 8)
      .u32(gpe0Base)
      .u32(0);
    w.u8(4, 2, 0, 4, gpe0Length, 0, 0, 0); // lengths; GPE1_BASE, CST_CNT
    w.u16(LATENCY_UNSUPPORTED).u16(LATENCY_UNSUPPORTED).u16(0).u16(0); // C2, C3, flush size and stride
    w.u8(0, 0, 0, 0, 0x32); // duty offset and width, day and month alarm, RTC century register
    w.u16(BOOT_ARCH.legacyDevices | (p.virtioMmio ? BOOT_ARCH.noVga : 0) | (p.ps2 ? BOOT_ARCH.i8042 : 0))
      .u8(0)
      .u32(flags);
    portRegister(w, 8, 0xcf9).u8(0x06).u16(0).u8(0); // reset register and value: PIIX3's RCR, hard reset
    w.u64(0).u64(0); // X_FIRMWARE_CTRL: the 32-bit one counts; X_DSDT: linked
    portRegister(w, 32, pm);
    noRegister(w);
    portRegister(w, 16, pm + 4);
    noRegister(w);
    noRegister(w);
    portRegister(w, 32, pm + 8);
    if (gpe0Length > 0) portRegister(w, 8 * gpe0Length, gpe0Base);
    else noRegister(w);
    noRegister(w);
  };
}

/** Level-triggered, active-high (MPS INTI flags). */
const LEVEL_HIGH = 0b1101;

function madt(p: PlatformDescription): (w: ByteWriter) => void {
  return (w) => {
    w.u32(PC.localApicBase).u32(1); // PCAT_COMPAT: there are 8259s as well
    p.apicIds.forEach((apicId, uid) => {
      if (apicId < 0xff) w.u8(0, 8, uid, apicId).u32(1);
      else w.u8(9, 16, 0, 0).u32(apicId).u32(1).u32(uid);
    });
    w.u8(1, 12, p.ioApicId, 0).u32(PC.ioApicBase).u32(0);
    const override = (irq: number, gsi: number, flags: number): ByteWriter => w.u8(2, 10, 0, irq).u32(gsi).u16(flags);
    override(0, 2, 0); // the timer is wired to I/O APIC input 2
    for (const irq of p.pci ? [5, PC.sciIrq, 10, 11] : hasAcpi(p) ? [PC.sciIrq] : []) override(irq, irq, LEVEL_HIGH);
    w.u8(4, 6, 0xff).u16(0).u8(1); // NMI of all processors on LINT1
  };
}

/** Intel, 3 comparators, 64 bits wide, legacy replacement: the HPET's capability register, low half. */
const HPET_BLOCK_ID = 0x8086a201;

function hpet(w: ByteWriter): void {
  w.u32(HPET_BLOCK_ID).u8(0, 0, 0, 0).u64(PC.hpetBase).u8(0).u16(0).u8(0);
}

/** Where configuration space lies in memory: one segment, buses 0 to 255 (PCI Firmware Specification 3.0, 4.1.2). */
function mcfg(w: ByteWriter): void {
  w.zeros(8).u64(Q35.mmconfigBase).u16(0).u8(0, 255).u32(0);
}

/** Windows ACPI Emulated devices: the RTC needs no re-read, the PM timer no double read. */
const WAET_FLAGS = 0b11;

/** All tables, unlinked: RSDP in one file, everything else in another. */
export function acpiTables(p: PlatformDescription): LinkedFiles {
  const file = new TableFile();
  const facs = file.addFacs();
  const dsdt = file.add('DSDT', 2, (w) => {
    for (const t of dsdtTerms(p)) w.bytes(t.bytes);
  });
  const listed: number[] = [];
  if (hasAcpi(p))
    listed.push(
      file.add('FACP', 3, fadt(p), [
        [36, 4, facs],
        [40, 4, dsdt],
        [140, 8, dsdt],
      ]),
    );
  listed.push(file.add('APIC', 3, madt(p)));
  if (p.hpet) listed.push(file.add('HPET', 1, hpet));
  if (p.chipset === 'q35') listed.push(file.add('MCFG', 1, mcfg));
  listed.push(file.add('WAET', 1, (w) => w.u32(WAET_FLAGS)));
  const list = (signature: string, size: 4 | 8): number =>
    file.add(
      signature,
      1,
      (w) => w.zeros(size * listed.length),
      listed.map((to, i) => [HEADER_SIZE + size * i, size, to] as const),
    );
  const rsdt = list('RSDT', 4);
  const xsdt = list('XSDT', 8);
  const tables = file.finish();
  if (tables.length > 0x20000) throw new Bug('ACPI tables exceed the space firmware gives them');

  const RSDP_SIZE = 36;
  const RSDP_V1_SIZE = 20;
  const rsdp = new ByteWriter();
  rsdp.text('RSD PTR ', 8).u8(0).text(OEM_ID, 6).u8(2).u32(rsdt).u32(RSDP_SIZE).u64(xsdt).zeros(4);
  return {
    files: [
      { name: ACPI_RSDP_FILE, zone: 'f-segment', align: 16, bytes: rsdp.finish() },
      { name: ACPI_TABLES_FILE, zone: 'high', align: 64, bytes: tables },
    ],
    pointers: [
      ...file.pointers,
      { file: ACPI_RSDP_FILE, target: ACPI_TABLES_FILE, offset: 16, size: 4 },
      { file: ACPI_RSDP_FILE, target: ACPI_TABLES_FILE, offset: 24, size: 8 },
    ],
    checksums: [
      ...file.checksums,
      { file: ACPI_RSDP_FILE, offset: 8, start: 0, length: RSDP_V1_SIZE },
      { file: ACPI_RSDP_FILE, offset: 32, start: 0, length: RSDP_SIZE },
    ],
  };
}
