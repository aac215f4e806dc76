import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { PlatformDescription } from '../platform.js';
import { loaderScript, placeAt } from './table-set.js';
import { ACPI_RSDP_FILE, ACPI_TABLES_FILE, acpiTables } from './tables.js';

const PC_WITH_TWO_CPUS: PlatformDescription = {
  ram: { below4g: 128 << 20, above4g: 0 },
  apicIds: [0, 1],
  ioApicId: 0,
  serial: [
    { port: 0x3f8, irq: 4 },
    { port: 0x2f8, irq: 3 },
  ],
  parallel: [{ port: 0x378, irq: 7 }],
  hpet: true,
  floppy: true,
  ps2: true,
  fwCfg: true,
  vga: true,
  pvpanicPort: 0x505,
  pci: true,
};
const BASE = 0x7fe0000;
const RSDP = 0xf5000;

const sum = (bytes: Uint8Array): number => bytes.reduce((a, b) => (a + b) & 0xff, 0);
const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/** Walks from the RSDP as an operating system does: signature to table bytes, from RSDT or XSDT. */
function walk(p: PlatformDescription, extended: boolean): Map<string, Uint8Array> {
  const placed = placeAt(acpiTables(p), { [ACPI_RSDP_FILE]: RSDP, [ACPI_TABLES_FILE]: BASE });
  const rsdp = placed.get(ACPI_RSDP_FILE)!;
  const tables = placed.get(ACPI_TABLES_FILE)!;
  const at = (address: number): Uint8Array => {
    const start = address - BASE;
    const length = new DataView(tables.buffer).getUint32(start + 4, true);
    return tables.slice(start, start + length);
  };
  assert.equal(text(rsdp.slice(0, 8)), 'RSD PTR ');
  assert.equal(sum(rsdp.slice(0, 20)), 0);
  assert.equal(sum(rsdp), 0);
  const root = at(new DataView(rsdp.buffer).getUint32(extended ? 24 : 16, true));
  assert.equal(text(root.slice(0, 4)), extended ? 'XSDT' : 'RSDT');
  assert.equal(sum(root), 0);
  const out = new Map<string, Uint8Array>();
  const view = new DataView(root.buffer);
  for (let i = 36; i < root.length; i += extended ? 8 : 4) {
    const table = at(view.getUint32(i, true));
    assert.equal(sum(table), 0, 'table checksum');
    out.set(text(table.slice(0, 4)), table);
  }
  const fadt = out.get('FACP');
  if (fadt) {
    const f = new DataView(fadt.buffer);
    assert.equal(f.getUint32(36, true) % 64, 0, 'FACS alignment');
    out.set('FACS', at(f.getUint32(36, true)));
    assert.equal(f.getUint32(40, true), f.getUint32(140, true));
    const dsdt = at(f.getUint32(40, true));
    assert.equal(sum(dsdt), 0);
    out.set('DSDT', dsdt);
  }
  return out;
}

test('RSDT and XSDT reach the same tables, all with right checksums', () => {
  const names = ['FACP', 'APIC', 'HPET', 'WAET', 'FACS', 'DSDT'];
  assert.deepEqual([...walk(PC_WITH_TWO_CPUS, false).keys()], names);
  assert.deepEqual([...walk(PC_WITH_TWO_CPUS, true).keys()], names);
});

test('the FADT is 244 bytes and names the PIIX4 registers', () => {
  const fadt = walk(PC_WITH_TWO_CPUS, true).get('FACP')!;
  const v = new DataView(fadt.buffer);
  assert.equal(fadt.length, 244);
  assert.equal(v.getUint16(46, true), 9, 'SCI_INT');
  assert.equal(v.getUint32(48, true), 0xb2, 'SMI_CMD');
  assert.deepEqual([fadt[52], fadt[53]], [0xf1, 0xf0]);
  assert.deepEqual([v.getUint32(56, true), v.getUint32(64, true), v.getUint32(76, true)], [0x600, 0x604, 0x608]);
  assert.equal(v.getUint32(80, true), 0xafe0, 'GPE0_BLK');
  assert.equal(fadt[108], 0x32, 'CENTURY');
  assert.equal(v.getUint32(152, true), 0x600, 'X_PM1a_EVT_BLK');
});

test('the loader script does what placing does', () => {
  const set = acpiTables(PC_WITH_TWO_CPUS);
  const script = loaderScript(set);
  const view = new DataView(script.buffer);
  const files = new Map(set.files.map((f) => [f.name, f.bytes.slice()]));
  const address: Record<string, number> = { [ACPI_RSDP_FILE]: RSDP, [ACPI_TABLES_FILE]: BASE };
  const nameAt = (o: number): string => text(script.slice(o, o + 56)).replace(/\0.*/s, '');
  for (let o = 0; o < script.length; o += 128) {
    const code = view.getUint32(o, true);
    const bytes = files.get(nameAt(o + 4))!;
    if (code === 2) {
      const dst = new DataView(bytes.buffer);
      const offset = view.getUint32(o + 116, true);
      dst.setUint32(offset, dst.getUint32(offset, true) + address[nameAt(o + 60)]!, true);
    } else if (code === 3) {
      const [at, start, length] = [60, 64, 68].map((d) => view.getUint32(o + d, true)) as [number, number, number];
      bytes[at] = 0;
      bytes[at] = -sum(bytes.slice(start, start + length)) & 0xff;
    } else assert.equal(code, 1);
  }
  assert.deepEqual(files, placeAt(set, address));
});

const iasl = spawnSync('iasl', ['-v']).status === 0;

test('the ASL compiler disassembles every table without complaint and assembles the DSDT again', {
  skip: iasl ? false : 'iasl (acpica-tools) is not installed',
}, () => {
  const dir = mkdtempSync(join(tmpdir(), 'tinamou-acpi-'));
  try {
    for (const [variant, p] of Object.entries({
      pc: PC_WITH_TWO_CPUS,
      big: { ...PC_WITH_TWO_CPUS, ram: { below4g: 0xc0000000, above4g: 0x1_0000_0000 }, floppy: false, hpet: false },
    })) {
      for (const [signature, bytes] of walk(p, true)) {
        const base = join(dir, `${variant}-${signature}`);
        writeFileSync(`${base}.aml`, bytes);
        const done = spawnSync('iasl', ['-d', `${base}.aml`], { encoding: 'utf8', cwd: dir });
        const said = done.stdout + done.stderr;
        assert.equal(done.status, 0, said);
        assert.doesNotMatch(said, /error|warning|invalid|incorrect/i, `${signature}: ${said}`);
        const asl = readFileSync(`${base}.dsl`, 'utf8');
        assert.doesNotMatch(asl, /Unknown|Invalid|Incorrect|External \(/, asl);
        if (signature !== 'DSDT') continue;
        assert.match(asl, /Name \(_HID, EisaId \("PNP0A03"\)/);
        const again = spawnSync('iasl', [`${base}.dsl`], { encoding: 'utf8', cwd: dir });
        assert.match(again.stdout + again.stderr, / 0 Errors, 0 Warnings/, again.stdout + again.stderr);
      }
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});
