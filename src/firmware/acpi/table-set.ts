/**
 * A set of files whose contents point at each other and carry checksums, before their addresses are known. Two ways to
 * finish it: `placeAt` resolves everything for known addresses; `loaderScript` has firmware do the same (the table-loader
 * protocol of the fw_cfg interface: 128-byte commands in `etc/table-loader`).
 */
import { Bug } from '../../base/errors.js';
import { ByteWriter, checksum } from '../bytes.js';

/** Where firmware must put a file: anywhere, or where legacy scans find it (0xe0000 to 0xfffff). */
export type Zone = 'high' | 'f-segment';
const ZONES: Record<Zone, number> = { high: 1, 'f-segment': 2 };

export interface LinkedFile {
  readonly name: string;
  readonly zone: Zone;
  readonly align: number;
  readonly bytes: Uint8Array;
}
/** Adds `target`'s address to the `size`-byte number at `offset` of `file`. */
export interface Pointer {
  readonly file: string;
  readonly target: string;
  readonly offset: number;
  readonly size: 4 | 8;
}
/** Makes `file[start, start+length)` sum to zero by the byte at `offset`. Done after all pointers of the file. */
export interface Checksum {
  readonly file: string;
  readonly offset: number;
  readonly start: number;
  readonly length: number;
}
export interface LinkedFiles {
  readonly files: readonly LinkedFile[];
  readonly pointers: readonly Pointer[];
  readonly checksums: readonly Checksum[];
}

/** The finished contents of every file when it lies at `addresses[name]`. */
export function placeAt(set: LinkedFiles, addresses: Readonly<Record<string, number>>): Map<string, Uint8Array> {
  const out = new Map(set.files.map((f) => [f.name, f.bytes.slice()]));
  const bytesOf = (name: string): Uint8Array => {
    const bytes = out.get(name);
    if (!bytes) throw new Bug(`no linked file '${name}'`);
    return bytes;
  };
  for (const p of set.pointers) {
    const base = addresses[p.target];
    if (base === undefined) throw new Bug(`no address for '${p.target}'`);
    const bytes = bytesOf(p.file);
    const view = new DataView(bytes.buffer);
    const value = view.getUint32(p.offset, true) + base;
    view.setUint32(p.offset, value, true);
    if (p.size === 8) view.setUint32(p.offset + 4, Math.floor(value / 0x1_0000_0000), true);
  }
  for (const c of set.checksums) {
    const bytes = bytesOf(c.file);
    bytes[c.offset] = 0;
    bytes[c.offset] = checksum(bytes, c.start, c.start + c.length);
  }
  return out;
}

const NAME_SIZE = 56;
const COMMAND_SIZE = 128;

/** The contents of `etc/table-loader`. */
export function loaderScript(set: LinkedFiles): Uint8Array {
  const w = new ByteWriter();
  const command = (code: number, write: () => void): void => {
    const end = w.length + COMMAND_SIZE;
    w.u32(code);
    write();
    w.zeros(end - w.length);
  };
  for (const f of set.files) command(1, () => w.text(f.name, NAME_SIZE).u32(f.align).u8(ZONES[f.zone]));
  for (const p of set.pointers)
    command(2, () => w.text(p.file, NAME_SIZE).text(p.target, NAME_SIZE).u32(p.offset).u8(p.size));
  for (const c of set.checksums) command(3, () => w.text(c.file, NAME_SIZE).u32(c.offset).u32(c.start).u32(c.length));
  return w.finish();
}
