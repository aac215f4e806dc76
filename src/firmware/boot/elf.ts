/** ELF executables as boot loaders see them (System V ABI, chapters 4 and 5): entry, loadable segments, notes. */

export interface ElfSegment {
  readonly physical: number;
  readonly virtual: number;
  readonly bytes: Uint8Array;
  readonly memorySize: number;
}
export interface ElfNote {
  readonly name: string;
  readonly type: number;
  readonly descriptor: Uint8Array;
}
export interface Elf {
  readonly bits: 32 | 64;
  /** e_machine: 3 is i386, 62 is x86-64. */
  readonly machine: number;
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
  readonly notes: readonly ElfNote[];
}

export const ElfMachine = { i386: 3, x86_64: 62 } as const;
const ProgramType = { load: 1, note: 4 } as const;

export const isElf = (b: Uint8Array): boolean => b[0] === 0x7f && b[1] === 0x45 && b[2] === 0x4c && b[3] === 0x46;

/** Undefined when a table or segment lies outside the file: truncated or damaged. */
export function parseElf(bytes: Uint8Array): Elf | undefined {
  const HEADER_SIZE = 64;
  if (!isElf(bytes) || bytes.length < HEADER_SIZE || bytes[5] !== 1) return undefined;
  const wide = bytes[4] === 2;
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u16 = (at: number): number => v.getUint16(at, true);
  const u32 = (at: number): number => v.getUint32(at, true);
  /** An address or size, exact up to 2^53. */
  const word = (at: number): number => (wide ? u32(at) + u32(at + 4) * 2 ** 32 : u32(at));
  const tableAt = wide ? word(0x20) : u32(0x1c);
  const entrySize = u16(wide ? 0x36 : 0x2a);
  const count = u16(wide ? 0x38 : 0x2c);
  if (entrySize < (wide ? 56 : 32) || tableAt + entrySize * count > bytes.length) return undefined;
  const segments: ElfSegment[] = [];
  const notes: ElfNote[] = [];
  for (let i = 0; i < count; i++) {
    const at = tableAt + i * entrySize;
    const type = u32(at);
    if (type !== ProgramType.load && type !== ProgramType.note) continue;
    const offset = word(at + (wide ? 8 : 4));
    const fileSize = word(at + (wide ? 32 : 16));
    if (offset + fileSize > bytes.length) return undefined;
    const content = bytes.subarray(offset, offset + fileSize);
    if (type === ProgramType.note) notes.push(...parseNotes(content));
    else {
      const memorySize = word(at + (wide ? 40 : 20));
      if (memorySize < fileSize) return undefined;
      segments.push({
        virtual: word(at + (wide ? 16 : 8)),
        physical: word(at + (wide ? 24 : 12)),
        bytes: content,
        memorySize,
      });
    }
  }
  return { bits: wide ? 64 : 32, machine: u16(0x12), entry: word(0x18), segments, notes };
}

function parseNotes(bytes: Uint8Array): ElfNote[] {
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: ElfNote[] = [];
  const padded = (n: number): number => (n + 3) & ~3;
  for (let at = 0; at + 12 <= bytes.length; ) {
    const nameSize = v.getUint32(at, true);
    const size = v.getUint32(at + 4, true);
    const name = bytes.subarray(at + 12, at + 12 + nameSize);
    const start = at + 12 + padded(nameSize);
    if (start + size > bytes.length) break;
    out.push({
      name: String.fromCharCode(...name).replace(/\0.*$/s, ''),
      type: v.getUint32(at + 8, true),
      descriptor: bytes.subarray(start, start + size),
    });
    at = start + padded(size);
  }
  return out;
}
