import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placeAt } from '../acpi/table-set.js';
import { SMBIOS_ANCHOR_FILE, SMBIOS_TABLES_FILE, smbiosTables } from './smbios.js';

const sum = (bytes: Uint8Array): number => bytes.reduce((a, b) => (a + b) & 0xff, 0);
const GIB = 2 ** 30;

interface Structure {
  readonly type: number;
  readonly handle: number;
  readonly bytes: Uint8Array;
  readonly strings: readonly string[];
}

function parse(tables: Uint8Array): Structure[] {
  const out: Structure[] = [];
  for (let at = 0; at < tables.length; ) {
    const length = tables[at + 1]!;
    let end = at + length;
    while (tables[end] !== 0 || tables[end + 1] !== 0) end++;
    const text = String.fromCharCode(...tables.subarray(at + length, end));
    out.push({
      type: tables[at]!,
      handle: tables[at + 2]! | (tables[at + 3]! << 8),
      bytes: tables.slice(at, at + length),
      strings: text === '' ? [] : text.split('\0'),
    });
    at = end + 2;
  }
  return out;
}

test('entry point and structures agree with each other and with the machine', () => {
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  const set = smbiosTables({
    ram: { below4g: 3 * GIB, above4g: 30 * GIB },
    sockets: 2,
    cores: 4,
    threads: 1,
    uuid,
    identity: { product: 'A product' },
  });
  const placed = placeAt(set, { [SMBIOS_TABLES_FILE]: 0x7ff0000 });
  const anchor = placed.get(SMBIOS_ANCHOR_FILE)!;
  const tables = placed.get(SMBIOS_TABLES_FILE)!;
  const v = new DataView(anchor.buffer);
  assert.equal(String.fromCharCode(...anchor.subarray(0, 4)), '_SM_');
  assert.equal(sum(anchor), 0);
  assert.equal(sum(anchor.slice(0x10)), 0);
  assert.equal(v.getUint32(0x18, true), 0x7ff0000);
  assert.equal(v.getUint16(0x16, true), tables.length);
  const all = parse(tables);
  assert.equal(v.getUint16(0x1c, true), all.length);
  assert.deepEqual(
    all.map((s) => s.type),
    [0, 1, 3, 4, 4, 16, 17, 17, 17, 19, 19, 32, 127],
  );
  assert.equal(new Set(all.map((s) => s.handle)).size, all.length, 'handles are unique');
  // Lengths that DSP0134 2.8 gives.
  const lengths: Record<number, number> = {
    0: 0x18,
    1: 0x1b,
    3: 0x16,
    4: 0x2a,
    16: 0x17,
    17: 0x28,
    19: 0x1f,
    32: 0x0b,
    127: 4,
  };
  for (const s of all) assert.equal(s.bytes.length, lengths[s.type], `type ${s.type}`);
  const system = all[1]!;
  assert.deepEqual(system.strings, ['QEMU', 'A product', 'pc-i440fx-7.2']);
  assert.deepEqual([...system.bytes.slice(8, 16)], [4, 3, 2, 1, 6, 5, 8, 7], 'little-endian fields of the UUID');
  const upper = new DataView(all[10]!.bytes.buffer);
  assert.equal(upper.getUint32(4, true) * 1024, 2 ** 32);
  assert.equal((upper.getUint32(8, true) + 1) * 1024, 34 * GIB);
});
