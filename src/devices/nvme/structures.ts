/** Registers, commands and identify structures. NVM Express Base Specification 1.4. */
import { ascii, putU16, putU32, putU64 } from '../../base/bytes.js';

export const Register = {
  CAP: 0x00,
  VS: 0x08,
  INTMS: 0x0c,
  INTMC: 0x10,
  CC: 0x14,
  CSTS: 0x1c,
  AQA: 0x24,
  ASQ: 0x28,
  ACQ: 0x30,
} as const;
export const DOORBELLS_AT = 0x1000;
export const VERSION = 0x0001_0400;
/** Queues hold up to 2048 entries, lie in one piece; 7.5 s until ready; the NVM command set; pages of 4 to 64 KiB. */
export const MOST_ENTRIES = 2048;
export const CAP_LOW = (0x0f00_0000 | 0x1_0000 | (MOST_ENTRIES - 1)) >>> 0;
export const CAP_HIGH = (4 << 20) | (1 << 5);
export const Config = { enable: 1, shutdown: 0xc000 } as const;
export const ControllerStatus = { ready: 1, fatal: 2, shutdownComplete: 8 } as const;

export const SUBMISSION_BYTES = 64;
export const COMPLETION_BYTES = 16;

export const Admin = {
  deleteSubmission: 0x00,
  createSubmission: 0x01,
  getLogPage: 0x02,
  deleteCompletion: 0x04,
  createCompletion: 0x05,
  identify: 0x06,
  abort: 0x08,
  setFeatures: 0x09,
  getFeatures: 0x0a,
  asyncEvent: 0x0c,
} as const;
export const Nvm = { flush: 0x00, write: 0x01, read: 0x02, writeZeroes: 0x08, datasetManagement: 0x09 } as const;

/** Status codes, the type of code in bits 8 to 10. */
export const Status = {
  success: 0x00,
  invalidOpcode: 0x01,
  invalidField: 0x02,
  dataTransfer: 0x04,
  internal: 0x06,
  aborted: 0x07,
  invalidNamespace: 0x0b,
  lbaRange: 0x80,
  invalidQueue: 0x101,
  invalidQueueSize: 0x102,
  tooManyEvents: 0x105,
  invalidVector: 0x108,
  invalidLogPage: 0x109,
  invalidDeletion: 0x10c,
  writeFault: 0x280,
  readError: 0x281,
  accessDenied: 0x286,
  doNotRetry: 0x4000,
} as const;

export const PAGE = 4096;
export const NAMESPACE = 1;
export const ALL_NAMESPACES = 0xffff_ffff;
const padded = (text: string, length: number): Uint8Array => ascii(text.padEnd(length).slice(0, length));

export interface ControllerFacts {
  readonly vendorId: number;
  readonly serial: string;
  /** Largest transfer: 2^mdts pages. */
  readonly mdts: number;
}

/** IDENTIFY, controller. */
export function identifyController({ vendorId, serial, mdts }: ControllerFacts): Uint8Array {
  const b = new Uint8Array(PAGE);
  putU16(b, 0, vendorId);
  putU16(b, 2, 0x1af4);
  b.set(padded(serial, 20), 4);
  b.set(padded('QEMU NVMe Ctrl', 40), 24);
  b.set(padded('7.2', 8), 64);
  b[72] = 6;
  b[77] = mdts;
  putU32(b, 80, VERSION);
  // Namespace attribute notices.
  putU32(b, 92, 0x100);
  b[258] = 3;
  b[259] = MOST_EVENTS - 1;
  b[260] = 0x03;
  putU16(b, 266, 0x157);
  putU16(b, 268, 0x175);
  b[512] = 0x66;
  b[513] = 0x44;
  putU32(b, 516, 1);
  // Dataset management, write zeroes.
  putU16(b, 520, 0x04 | 0x08);
  // A volatile write cache.
  b[525] = 1;
  b.set(ascii(`nqn.2019-08.org.qemu:${serial}`.slice(0, 223)), 768);
  return b;
}

export const MOST_EVENTS = 4;

export const LogPage = { errors: 1, smart: 2, firmware: 3, changedNamespaces: 4 } as const;
/** GET LOG PAGE, dword 10: reading changes nothing. */
export const RETAIN_EVENT = 0x8000;
/** Result of an ASYNCHRONOUS EVENT REQUEST: a notice, a namespace has changed, and the log page that says which. */
export const NAMESPACE_CHANGED = 0x02 | (LogPage.changedNamespaces << 16);

/** GET LOG PAGE: nothing has ever gone wrong, but the namespace may have `changed`. */
export function logPage(page: number, changed: boolean): Uint8Array | undefined {
  const log = new Uint8Array(page === LogPage.changedNamespaces ? PAGE : 512);
  switch (page) {
    case LogPage.errors:
      return log;
    case LogPage.smart:
      log.set([0, 0x43, 0x01, 100, 10], 0);
      return log;
    case LogPage.firmware:
      log[0] = 1;
      log.set(ascii('7.2     '), 8);
      return log;
    case LogPage.changedNamespaces:
      if (changed) putU32(log, 0, NAMESPACE);
      return log;
    default:
      return undefined;
  }
}

/** IDENTIFY, namespace: all blocks there, one format. */
export function identifyNamespace(blocks: number, blockBytes: number): Uint8Array {
  const b = new Uint8Array(PAGE);
  putU64(b, 0, blocks);
  putU64(b, 8, blocks);
  putU64(b, 16, blocks);
  // Deallocated blocks can be told of, and read as zeroes only when they were zeroed.
  b[24] = 0x10;
  b[130] = Math.log2(blockBytes);
  return b;
}

/** IDENTIFY, descriptors of a namespace: a UUID made of its serial number would be a guess; its EUI-64 is of QEMU's range. */
export function namespaceDescriptors(): Uint8Array {
  const b = new Uint8Array(PAGE);
  b.set([1, 8, 0, 0, 0x52, 0x54, 0, 0, 0, 0, 0, NAMESPACE]);
  return b;
}

/** IDENTIFY, list of active namespaces above `after`. */
export function namespaceList(after: number): Uint8Array {
  const b = new Uint8Array(PAGE);
  if (after < NAMESPACE) putU32(b, 0, NAMESPACE);
  return b;
}
