/** Writes static ELF programs for x86-64. */

export interface Segment {
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Size in memory; what is beyond `bytes` is zero. */
  readonly size?: number;
  /** PF_X = 1, PF_W = 2, PF_R = 4. */
  readonly flags: number;
}

const PAGE = 4096;
const HEADER = 64;
const PROGRAM_HEADER = 56;

/** An executable file (ET_EXEC) of these segments, whose addresses are multiples of the page size. */
export function writeElf(entry: number, segments: readonly Segment[]): Uint8Array {
  const round = (n: number): number => Math.ceil(n / PAGE) * PAGE;
  let end = round(HEADER + PROGRAM_HEADER * segments.length);
  const offsets = segments.map((s) => {
    const at = end;
    end += round(s.bytes.length);
    return at;
  });
  const file = new Uint8Array(end);
  const view = new DataView(file.buffer);
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true);
  u64(24, entry);
  u64(32, HEADER);
  view.setUint16(52, HEADER, true);
  view.setUint16(54, PROGRAM_HEADER, true);
  view.setUint16(56, segments.length, true);
  view.setUint16(58, 64, true);
  segments.forEach((s, n) => {
    const at = HEADER + n * PROGRAM_HEADER;
    view.setUint32(at, 1, true); // PT_LOAD
    view.setUint32(at + 4, s.flags, true);
    u64(at + 8, offsets[n] as number);
    u64(at + 16, s.address);
    u64(at + 24, s.address);
    u64(at + 32, s.bytes.length);
    u64(at + 40, s.size ?? s.bytes.length);
    u64(at + 48, PAGE);
    file.set(s.bytes, offsets[n]);
  });
  return file;
}
