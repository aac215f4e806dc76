/**
 * What a CD-ROM or DVD-ROM drive tells about itself and its medium: replies to packet commands.
 * Source: T10/1228D (MMC-3), chapters 5 and 6; T10/1236D (SPC-2) for INQUIRY and sense data; SFF-8020i.
 * Numbers are big endian.
 */

export const OPERATION = {
  TEST_UNIT_READY: 0x00,
  REQUEST_SENSE: 0x03,
  INQUIRY: 0x12,
  START_STOP_UNIT: 0x1b,
  PREVENT_ALLOW: 0x1e,
  READ_CAPACITY: 0x25,
  READ_10: 0x28,
  SEEK_10: 0x2b,
  READ_TOC: 0x43,
  GET_CONFIGURATION: 0x46,
  GET_EVENT_STATUS: 0x4a,
  READ_DISC_INFORMATION: 0x51,
  MODE_SELECT_10: 0x55,
  MODE_SENSE_10: 0x5a,
  READ_12: 0xa8,
  READ_CD_MSF: 0xb9,
  SET_CD_SPEED: 0xbb,
  MECHANISM_STATUS: 0xbd,
  READ_CD: 0xbe,
} as const;

/** Sense key, additional sense code and qualifier. */
export type Sense = readonly [key: number, code: number, qualifier: number];
export const SENSE = {
  NONE: [0, 0, 0],
  NO_MEDIUM_TRAY_CLOSED: [2, 0x3a, 1],
  NO_MEDIUM_TRAY_OPEN: [2, 0x3a, 2],
  READ_ERROR: [3, 0x11, 0],
  INVALID_OPERATION: [5, 0x20, 0],
  OUT_OF_RANGE: [5, 0x21, 0],
  INVALID_FIELD: [5, 0x24, 0],
  SAVING_NOT_SUPPORTED: [5, 0x39, 0],
  REMOVAL_PREVENTED: [5, 0x53, 2],
  INCOMPATIBLE_MEDIUM: [5, 0x30, 0],
  MEDIUM_CHANGED: [6, 0x28, 0],
  CAPACITY_CHANGED: [6, 0x2a, 9],
} as const satisfies Record<string, Sense>;

export const SECTOR = 2048;
/** A sector as it is on the disc: sync and header, data, error detection and correction. */
export const RAW_SECTOR = 2352;
const RAW_DATA_AT = 16;
/** A disc of 80 minutes; anything longer is a DVD. */
const CD_SECTORS = 80 * 60 * 75;
const PROFILE = { NONE: 0, CD_ROM: 0x08, DVD_ROM: 0x10 };
const FRAMES = 75;
/** The pregap: logical block 0 is at 2 seconds. */
const PREGAP = 2 * FRAMES;
const LEAD_OUT = 0xaa;
/** Sub-channel Q: position; a data track. */
const DATA_TRACK = 0x14;

export const be16 = (n: number): number[] => [(n >> 8) & 0xff, n & 0xff];
export const be32 = (n: number): number[] => [(n >>> 24) & 0xff, (n >>> 16) & 0xff, (n >>> 8) & 0xff, n & 0xff];
export const getBe16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;
export const getBe24 = (b: Uint8Array, at: number): number => (b[at]! << 16) | getBe16(b, at + 1);
export const getBe32 = (b: Uint8Array, at: number): number => ((b[at]! << 24) | getBe24(b, at + 1)) >>> 0;

const text = (value: string, length: number): number[] =>
  Array.from(value.padEnd(length).slice(0, length), (c) => c.charCodeAt(0));

/** Minutes, seconds, frames of a logical block. */
export function toMsf(lba: number): number[] {
  const frames = lba + PREGAP;
  return [Math.floor(frames / FRAMES / 60), Math.floor(frames / FRAMES) % 60, frames % FRAMES];
}

export const fromMsf = (b: Uint8Array, at: number): number => (b[at]! * 60 + b[at + 1]!) * FRAMES + b[at + 2]! - PREGAP;

export function senseData([key, code, qualifier]: Sense): number[] {
  return [0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0];
}

export function inquiry(vendor: string, product: string, revision: string): number[] {
  return [0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0, ...text(vendor, 8), ...text(product, 16), ...text(revision, 4)];
}

/** READ TOC in its three old formats; null for a track or format that is not there. */
export function tableOfContents(sectors: number, format: number, msf: boolean, firstTrack: number): number[] | null {
  const address = (lba: number) => (msf ? [0, ...toMsf(lba)] : be32(lba));
  switch (format) {
    case 0: {
      if (firstTrack > 1 && firstTrack !== LEAD_OUT) return null;
      const track = firstTrack <= 1 ? [0, DATA_TRACK, 1, 0, ...address(0)] : [];
      const entries = [...track, 0, DATA_TRACK, LEAD_OUT, 0, ...address(sectors)];
      return [...be16(entries.length + 2), 1, 1, ...entries];
    }
    case 1:
      return [...be16(10), 1, 1, 0, DATA_TRACK, 1, 0, ...address(0)];
    case 2: {
      // First track, last track, lead-out (points a0h, a1h, a2h), then track 1 itself.
      const entry = (point: number, position: readonly number[]) => [1, DATA_TRACK, 0, point, 0, 0, 0, ...position];
      const position = (lba: number) => (msf ? [0, ...toMsf(lba)] : be32(lba));
      const entries = [
        ...entry(0xa0, [0, 1, 0, 0]),
        ...entry(0xa1, [0, 1, 0, 0]),
        ...entry(0xa2, position(sectors)),
        ...entry(1, position(0)),
      ];
      return [...be16(entries.length + 2), 1, 1, ...entries];
    }
    default:
      return null;
  }
}

/** What GET CONFIGURATION asks for: all features from one on, those that are current, or that one alone. */
export const FEATURES = { ALL: 0, CURRENT: 1, ONE: 2 } as const;

/** GET CONFIGURATION: profile list, core and removable medium. `sectors` is -1 without a medium. */
export function configuration(sectors: number, asked: number, first: number): number[] | null {
  const current = sectors < 0 ? PROFILE.NONE : sectors > CD_SECTORS ? PROFILE.DVD_ROM : PROFILE.CD_ROM;
  const profile = (number: number) => [...be16(number), number === current ? 1 : 0, 0];
  const features: readonly (readonly [number: number, descriptor: readonly number[]])[] = [
    [0x0000, [0x00, 0x00, 0x03, 8, ...profile(PROFILE.DVD_ROM), ...profile(PROFILE.CD_ROM)]],
    // Core, version 2: ATAPI, with device busy events.
    [0x0001, [0x00, 0x01, 0x0b, 8, 0, 0, 0, 2, 1, 0, 0, 0]],
    // Removable medium: tray, can be ejected and locked.
    [0x0003, [0x00, 0x03, 0x03, 4, 0x29, 0, 0, 0]],
  ];
  if (asked > FEATURES.ONE) return null;
  // All of them are current always.
  const chosen = features.filter(([number]) => (asked === FEATURES.ONE ? number === first : number >= first));
  const bytes = chosen.flatMap(([, descriptor]) => descriptor);
  return [...be32(bytes.length + 4), 0, 0, ...be16(current), ...bytes];
}

/** Media class of GET EVENT STATUS NOTIFICATION. `event`: 0 none, 1 eject requested, 2 new medium, 3 removed. */
export function mediaEvent(event: number, present: boolean, trayOpen: boolean): number[] {
  return [...be16(6), 0x04, 0x10, event, (present ? 2 : 0) | (trayOpen ? 1 : 0), 0, 0];
}

/** The answer when none of the classes asked for exists. */
export const noEvents = (): number[] => [...be16(2), 0x80, 0x10];

export function discInformation(): number[] {
  // Complete disc, last session complete, one session of one track, no bar code.
  const fields = [0x0e, 1, 1, 1, 1, 0x20, 0, 0, 0, 0, 0, 0];
  return [...be16(32), ...fields, ...new Array(34 - 2 - fields.length).fill(0)];
}

/** MODE SENSE (10); null for a page that is not there. */
export function modeSense(page: number, mediumPresent: boolean, locked: boolean): number[] | null {
  const pages: { readonly [page: number]: readonly number[] } = {
    1: [0x01, 6, 0, 5, 0, 0, 0, 0],
    14: [0x0e, 14, 0x04, 0, 0, 0, 0, 0, 1, 0xff, 2, 0xff, 0, 0, 0, 0],
    42: [
      ...[0x2a, 18, 0x3b, 0, 0x70, 0x60, 0x29 | (locked ? 2 : 0), 0],
      // Highest speed (4x), two volume levels, 512 KiB of buffer, speed now.
      ...[...be16(706), ...be16(2), ...be16(512), ...be16(706), 0, 0, 0, 0],
    ],
  };
  const chosen = page === 0x3f ? Object.values(pages) : pages[page] ? [pages[page]] : null;
  if (!chosen) return null;
  const body = chosen.flat();
  return [...be16(body.length + 6), mediumPresent ? 0x01 : 0x70, 0, 0, 0, 0, 0, ...body];
}

/** Puts sync and header around the 2048 bytes of data that `into` (one raw sector) has already at their place. */
export function frameRawSector(into: Uint8Array, lba: number): void {
  into.fill(0xff, 1, 11);
  into[0] = 0;
  into[11] = 0;
  const bcd = (n: number) => (Math.floor(n / 10) << 4) | (n % 10);
  into.set(toMsf(lba).map(bcd), 12);
  into[15] = 1;
  into.fill(0, RAW_DATA_AT + SECTOR, RAW_SECTOR);
}

/** Where the data of a raw sector is. */
export const rawData = (raw: Uint8Array): Uint8Array => raw.subarray(RAW_DATA_AT, RAW_DATA_AT + SECTOR);
