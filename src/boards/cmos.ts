/** What a PC's firmware reads from the CMOS RAM: memory sizes, boot order, floppy drives. */
import type { Mc146818 } from '../devices/timer/mc146818.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const Equipment = { fpu: 0x02, mouse: 0x04 } as const;
const FLOPPY_1440 = 4;
const FLOPPY_2880 = 5;

export type FloppyDrive = 'none' | '144' | '288';

export interface CmosContents {
  readonly below4g: number;
  readonly above4g: number;
  readonly cpus: number;
  /** Letters in the order to try: a, c, d, n. */
  readonly bootOrder: string;
  readonly floppies: readonly [FloppyDrive, FloppyDrive];
}

const DEVICE_NIBBLE: Readonly<Record<string, number>> = { a: 1, b: 1, c: 2, d: 3, n: 4 };
const FLOPPY_TYPE: Readonly<Record<FloppyDrive, number>> = { none: 0, '144': FLOPPY_1440, '288': FLOPPY_2880 };

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
  rtc.setByte(0x10, (FLOPPY_TYPE[floppies[0]] << 4) | FLOPPY_TYPE[floppies[1]]);
  const count = floppies.filter((f) => f !== 'none').length;
  rtc.setByte(0x14, Equipment.fpu | Equipment.mouse | (count ? 1 | ((count - 1) << 6) : 0));
  const [first = 0, second = 0, third = 0] = [...bootOrder].map((letter) => DEVICE_NIBBLE[letter] ?? 0);
  rtc.setByte(0x3d, (second << 4) | first);
  rtc.setByte(0x38, third << 4);
}
