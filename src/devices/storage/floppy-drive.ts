/**
 * A floppy disk drive and the formats of disks in it. The controller is i82078.ts.
 * Source for formats and data rates: Intel 82077AA data sheet, table 5-3; IBM PS/2 Technical Reference, Diskette Drives.
 */
import type { BlockBackend, DriveUser } from '../../block/drive.js';
import { type Stateful, stateOf } from '../../machine/state.js';

export const SECTOR = 512;

/** QEMU's names of drives: 5.25" 1.2M, 3.5" 1.44M and 2.88M. */
export type FloppyType = '120' | '144' | '288';

/** Data rates as the low two bits of CCR and DSR select them. */
const RATE = { KBPS_500: 0, KBPS_300: 1, KBPS_250: 2, MBPS_1: 3 } as const;

export interface FloppyFormat {
  readonly sectors: number;
  readonly cylinders: number;
  readonly heads: number;
  readonly rate: number;
}

const format = (sectors: number, cylinders: number, heads: number, rate: number): FloppyFormat => ({
  sectors,
  cylinders,
  heads,
  rate,
});

/** What each drive reads, the usual format first. */
const FORMATS: { readonly [type in FloppyType]: readonly FloppyFormat[] } = {
  '144': [
    format(18, 80, 2, RATE.KBPS_500),
    format(20, 80, 2, RATE.KBPS_500),
    format(21, 80, 2, RATE.KBPS_500),
    format(21, 82, 2, RATE.KBPS_500),
    format(21, 83, 2, RATE.KBPS_500),
    format(22, 80, 2, RATE.KBPS_500),
    format(23, 80, 2, RATE.KBPS_500),
    format(24, 80, 2, RATE.KBPS_500),
    format(9, 80, 2, RATE.KBPS_250),
    format(10, 80, 2, RATE.KBPS_250),
    format(10, 82, 2, RATE.KBPS_250),
    format(10, 83, 2, RATE.KBPS_250),
    format(9, 80, 1, RATE.KBPS_250),
  ],
  '288': [
    format(36, 80, 2, RATE.MBPS_1),
    format(39, 80, 2, RATE.MBPS_1),
    format(40, 80, 2, RATE.MBPS_1),
    format(44, 80, 2, RATE.MBPS_1),
    format(48, 80, 2, RATE.MBPS_1),
  ],
  '120': [
    format(15, 80, 2, RATE.KBPS_500),
    format(18, 80, 2, RATE.KBPS_500),
    format(18, 82, 2, RATE.KBPS_500),
    format(20, 80, 2, RATE.KBPS_500),
    format(9, 80, 2, RATE.KBPS_300),
    format(9, 40, 2, RATE.KBPS_300),
    format(9, 40, 1, RATE.KBPS_300),
    format(8, 40, 2, RATE.KBPS_300),
    format(8, 40, 1, RATE.KBPS_300),
  ],
};

const bytesOf = (f: FloppyFormat): number => f.sectors * f.cylinders * f.heads * SECTOR;

/** The format of a disk of so many bytes in this drive; a size that fits none is read as the usual format. */
export function formatOf(type: FloppyType, bytes: number): FloppyFormat {
  // A 2.88M drive reads what a 1.44M drive does.
  const known = type === '288' ? [...FORMATS['288'], ...FORMATS['144']] : FORMATS[type];
  return known.find((f) => bytesOf(f) === bytes) ?? known[0]!;
}

/** The drive that reads disks of this size; a 2.88M one when there is no disk to tell. */
export function driveFor(bytes: number): FloppyType {
  const types = ['144', '288', '120'] as const;
  return types.find((type) => FORMATS[type].some((f) => bytesOf(f) === bytes)) ?? (bytes === 0 ? '288' : '144');
}

export class FloppyDrive implements DriveUser, Stateful {
  readonly removable = true;
  /** Where the head stands. */
  readonly #s = { track: 0, changed: true };
  readonly #stateful = stateOf(this.#s, 1);
  readonly save = this.#stateful.save;
  readonly load = this.#stateful.load;

  constructor(
    readonly type: FloppyType,
    readonly backend: BlockBackend,
  ) {
    backend.attach(this);
  }

  reset(): void {
    this.#s.track = 0;
    this.#s.changed = true;
  }

  mediumChanged(): void {
    this.#s.changed = true;
  }

  get inserted(): boolean {
    return this.backend.inserted;
  }

  get format(): FloppyFormat {
    return formatOf(this.type, this.backend.length);
  }

  get writeProtected(): boolean {
    return this.backend.readOnly;
  }

  get track(): number {
    return this.#s.track;
  }

  /** The disk change line: up since the disk was changed, until the head moves with a disk in the drive. */
  get diskChanged(): boolean {
    return this.#s.changed || !this.inserted;
  }

  step(track: number): void {
    this.#s.track = Math.max(0, Math.min(track, this.format.cylinders - 1));
    if (this.inserted) this.#s.changed = false;
  }

  /** Bytes from the start of the disk; -1 where there is no such sector. */
  offset(cylinder: number, head: number, sector: number): number {
    const { sectors, cylinders, heads } = this.format;
    if (cylinder >= cylinders || head >= heads || sector < 1 || sector > sectors) return -1;
    const at = ((cylinder * heads + head) * sectors + sector - 1) * SECTOR;
    return at + SECTOR <= this.backend.length ? at : -1;
  }

  dispose(): void {
    this.backend.attach(null);
  }
}
