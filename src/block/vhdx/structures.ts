/** Structures of VHDX files ([MS-VHDX] 2.2 to 2.6): little-endian, with CRC-32C sums. */
import { getU16, getU32, getU64, putU16, putU32, putU64 } from '../../base/bytes.js';
import { BlockError, type BlockNode } from '../node.js';
import { crc32c } from './crc32c.js';

export const MIB = 1 << 20;
export const KIB = 1024;
const HEADER_OFFSETS = [64 * KIB, 128 * KIB] as const;
const HEADER_BYTES = 4096;
export const REGION_OFFSETS = [192 * KIB, 256 * KIB] as const;
export const REGION_BYTES = 64 * KIB;
const LOG_SECTOR = 4096;
const MAX_LOG = 64 << 20;

/** A GUID as files have it: the first three groups little-endian. */
export function guid(text: string): Uint8Array {
  const hex = text.replaceAll('-', '');
  const bytes = Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
  return Uint8Array.from([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15], (i) => bytes[i]!);
}

export const sameGuid = (a: Uint8Array, at: number, b: Uint8Array): boolean => b.every((x, i) => a[at + i] === x);

export const Region = {
  BAT: guid('2DC27766-F623-4200-9D64-115E9BFD4A08'),
  METADATA: guid('8B7CA206-4790-4B9A-B8FE-575F050F886E'),
} as const;

export const Item = {
  FILE_PARAMETERS: guid('CAA16737-FA36-4D43-B3B6-33F0AA44E76B'),
  DISK_SIZE: guid('2FA54224-CD1B-4876-B211-5DBED83BF4B8'),
  PAGE_83: guid('BECA12AB-B2E6-4523-93EF-C309E000C746'),
  LOGICAL_SECTOR: guid('8141BF1D-A96F-4709-BA47-F233A8FAAB5F'),
  PHYSICAL_SECTOR: guid('CDA348C7-445D-4471-9CC9-E9885251C556'),
} as const;

export const signature = (bytes: Uint8Array, at: number, text: string): boolean =>
  [...text].every((c, i) => bytes[at + i] === c.charCodeAt(0));

/** Whether the sum at `at` is that of all bytes with it zero. */
export function sumIsRight(bytes: Uint8Array, at: number): boolean {
  const copy = bytes.slice();
  putU32(copy, at, 0);
  return crc32c(copy) === getU32(bytes, at);
}

export function putSum(bytes: Uint8Array, at: number): void {
  putU32(bytes, at, 0);
  putU32(bytes, at, crc32c(bytes));
}

export interface Header {
  sequence: number;
  readonly bytes: Uint8Array;
  slot: number;
}

export const logGuid = (h: Header): Uint8Array => h.bytes.subarray(48, 64);

/** The newer of the two headers that are right. */
export async function readHeader(file: BlockNode): Promise<Header> {
  let best: Header | undefined;
  for (const [slot, offset] of HEADER_OFFSETS.entries()) {
    const bytes = new Uint8Array(HEADER_BYTES);
    await file.read(offset, bytes);
    if (!signature(bytes, 0, 'head') || !sumIsRight(bytes, 4) || getU16(bytes, 66) !== 1) continue;
    const sequence = getU64(bytes, 8);
    if (!best || sequence > best.sequence) best = { sequence, bytes, slot };
  }
  if (!best) throw new BlockError('EINVAL', 'No valid VHDX header found');
  return best;
}

/** Writes the header over the older one, and then over the other, so that one is right at any moment. */
export async function writeHeader(file: BlockNode, h: Header): Promise<void> {
  for (let i = 0; i < 2; i++) {
    h.slot = 1 - h.slot;
    h.sequence++;
    putU64(h.bytes, 8, h.sequence);
    putSum(h.bytes, 4);
    await file.write(HEADER_OFFSETS[h.slot as 0 | 1], h.bytes);
    await file.flush();
  }
}

export function newHeader(logOffset: number, logBytes: number, random: (bytes: Uint8Array) => void): Header {
  const bytes = new Uint8Array(HEADER_BYTES);
  bytes.set([0x68, 0x65, 0x61, 0x64]);
  random(bytes.subarray(16, 48));
  putU16(bytes, 66, 1);
  putU32(bytes, 68, logBytes);
  putU64(bytes, 72, logOffset);
  return { sequence: 0, bytes, slot: 1 };
}

interface LogEntry {
  readonly at: number;
  readonly sequence: number;
  readonly tail: number;
  readonly bytes: Uint8Array;
}

/** Carries out what the log says, if it says something. */
export async function replayLog(file: BlockNode, h: Header): Promise<void> {
  const id = logGuid(h);
  if (id.every((b) => b === 0)) return;
  const length = getU32(h.bytes, 68);
  const offset = getU64(h.bytes, 72);
  if (length % MIB !== 0 || length === 0 || length > MAX_LOG || offset % MIB !== 0 || offset + length > file.length) {
    throw new BlockError('EINVAL', 'the log of the image is not where it may be');
  }
  const log = new Uint8Array(length);
  await file.read(offset, log);
  const entries = new Map<number, LogEntry>();
  for (let at = 0; at < length; at += LOG_SECTOR) {
    const entry = logEntry(log, at, id);
    if (entry) entries.set(at, entry);
  }
  const head = [...entries.values()].reduce<LogEntry | undefined>(
    (a, b) => (a && a.sequence > b.sequence ? a : b),
    undefined,
  );
  if (!head) throw new BlockError('EINVAL', 'the log of the image is broken');
  let at = head.tail;
  for (let n = 0; n <= entries.size; n++) {
    const entry = entries.get(at);
    if (!entry) throw new BlockError('EINVAL', 'the log of the image is broken');
    await applyEntry(file, entry);
    if (entry === head) break;
    at = (at + entry.bytes.length) % length;
  }
  await file.flush();
  id.fill(0);
  await writeHeader(file, h);
}

function logEntry(log: Uint8Array, at: number, id: Uint8Array): LogEntry | undefined {
  if (!signature(log, at, 'loge')) return undefined;
  const length = getU32(log, at + 8);
  if (length === 0 || length % LOG_SECTOR !== 0 || length > log.length) return undefined;
  const bytes = new Uint8Array(length);
  const first = Math.min(length, log.length - at);
  bytes.set(log.subarray(at, at + first));
  bytes.set(log.subarray(0, length - first), first);
  if (!sameGuid(bytes, 32, id) || !sumIsRight(bytes, 4)) return undefined;
  return { at, sequence: getU64(bytes, 16), tail: getU32(bytes, 12), bytes };
}

async function applyEntry(file: BlockNode, { bytes, sequence }: LogEntry): Promise<void> {
  const count = getU32(bytes, 24);
  let data = Math.ceil((64 + 32 * count) / LOG_SECTOR) * LOG_SECTOR;
  if (data > bytes.length) throw new BlockError('EINVAL', 'the log of the image is broken');
  const flushed = getU64(bytes, 48);
  if (flushed > file.length) throw new BlockError('EINVAL', 'the image is shorter than its log says');
  for (let i = 0; i < count; i++) {
    const at = 64 + 32 * i;
    if (getU64(bytes, at + 24) !== sequence) throw new BlockError('EINVAL', 'the log of the image is broken');
    const offset = getU64(bytes, at + 16);
    if (offset % LOG_SECTOR !== 0 || offset > 2 ** 53) throw new BlockError('EINVAL', 'the log of the image is broken');
    if (signature(bytes, at, 'zero'))
      await file.writeZeroes(offset, Math.min(getU64(bytes, at + 8), Math.max(0, file.length - offset)), false);
    else {
      if (!signature(bytes, at, 'desc') || data + LOG_SECTOR > bytes.length)
        throw new BlockError('EINVAL', 'the log of the image is broken');
      const sector = new Uint8Array(LOG_SECTOR);
      sector.set(bytes.subarray(at + 8, at + 16));
      sector.set(bytes.subarray(data + 8, data + 4092), 8);
      sector.set(bytes.subarray(at + 4, at + 8), 4092);
      data += LOG_SECTOR;
      await file.write(offset, sector);
    }
  }
  const last = getU64(bytes, 56);
  if (last > file.length && last - file.length < 2 ** 30) await file.truncate(last);
}
