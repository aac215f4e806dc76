/** What a PC's firmware reads from the CMOS RAM: memory sizes, boot order, floppy drives. */
import type { FloppyType } from '../devices/storage/floppy-drive.js';
import type { Mc146818 } from '../devices/timer/mc146818.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const Equipment = { fpu: 0x02, mouse: 0x04 } as const;

export interface CmosContents {
  readonly below4g: number;
  readonly above4g: number;
  readonly cpus: number;
  /** Letters in the order to try: a, c, d, n. */
  readonly bootOrder: string;
  /** Kinds of drives A and B; undefined: absent. */
  readonly floppies: readonly (FloppyType | undefined)[];
}

const DEVICE_NIBBLE: Readonly<Record<string, number>> = { a: 1, b: 1, c: 2, d: 3, n: 4 };
const FLOPPY_NIBBLE: Readonly<Record<FloppyType, number>> = { '120': 2, '144': 4, '288': 5 };

export function fillCmos(rtc: Mc146818, contents: CmosContents): void {
  const { below4g, above4g, cpus, bootOrder, floppies } = contents;
  rtc.setWord(0x15, Math.min(640, below4g / KIB));
  const extended = Math.min(Math.max(below4g / KIB - 1024, 0), 0xffff);
  rtc.setWord(0x17, extended);
  rtc.setWord(0x30, extended);
  rtc.setWord(0x34, Math.min(Math.max((below4g - 16 * MIB) / (64 * KIB), 0), 0xffff));
  const high = above4g / (64 * KIB);
  rtc.setWord(0x5b, high & 0xffff);
  rtc.setByte(0x5d, high >> 16);
  rtc.setByte(0x5f, cpus - 1);
  const [a, b] = floppies;
  rtc.setByte(0x10, ((a ? FLOPPY_NIBBLE[a] : 0) << 4) | (b ? FLOPPY_NIBBLE[b] : 0));
  const count = floppies.filter(Boolean).length;
  rtc.setByte(0x14, Equipment.fpu | Equipment.mouse | (count ? 1 | ((count - 1) << 6) : 0));
  const [first = 0, second = 0, third = 0] = [...bootOrder].map((letter) => DEVICE_NIBBLE[letter] ?? 0);
  rtc.setByte(0x3d, (second << 4) | first);
  rtc.setByte(0x38, third << 4);
}
