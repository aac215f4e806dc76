/** Numbers of the NBD protocol (its doc/proto.md); all fields are big-endian. */
import { UserError } from '../../base/errors.js';

export const NBDMAGIC = [0x4e42444d, 0x41474943] as const;
export const IHAVEOPT = [0x49484156, 0x454f5054] as const;
export const OPTION_REPLY = [0x0003e889, 0x045565a9] as const;
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;
export const DEFAULT_PORT = 10809;

export const Handshake = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;
export const Option = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const;
export const Reply = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x80000001,
  ERR_POLICY: 0x80000002,
  ERR_INVALID: 0x80000003,
  ERR_TLS_REQD: 0x80000005,
  ERR_UNKNOWN: 0x80000006,
  ERR_TOO_BIG: 0x80000009,
} as const;
export const Info = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;
export const Transmission = {
  HAS_FLAGS: 1,
  READ_ONLY: 2,
  SEND_FLUSH: 4,
  SEND_FUA: 8,
  SEND_TRIM: 32,
  SEND_WRITE_ZEROES: 64,
  SEND_DF: 128,
  CAN_MULTI_CONN: 256,
  SEND_CACHE: 1024,
} as const;
export const Command = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;
export const CommandFlag = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8 } as const;
export const Chunk = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const;
export const CHUNK_DONE = 1;
export const Allocation = { HOLE: 1, ZERO: 2 } as const;
export const BASE_ALLOCATION = 'base:allocation';
export const BITMAP_PREFIX = 'qemu:dirty-bitmap:';
/** Longest read or write. */
export const MAX_REQUEST = 32 << 20;
/** Longest option data, names included. */
export const MAX_OPTION = 1 << 16;
export const MAX_NAME = 4096;

export const Errno = { EPERM: 1, EIO: 5, ENOMEM: 12, EINVAL: 22, ENOSPC: 28, ENOTSUP: 95, ESHUTDOWN: 108 } as const;

/** What one side of an encrypted connection shows and asks for: the host's business. */
export interface Credentials {
  readonly endpoint: 'client' | 'server';
}

/** A client's side of an encrypted connection. */
export interface ClientTls {
  readonly credentials: Credentials;
  /** Whom the server's certificate must name; undefined: as it was called. */
  readonly hostname: string | undefined;
}

/** For an id of the user's. Throws UserError. */
export function credentialsFor(
  all: ReadonlyMap<string, Credentials>,
  id: string,
  endpoint: Credentials['endpoint'],
): Credentials {
  const found = all.get(id);
  if (!found) throw new UserError(`No TLS credentials with id '${id}'`);
  if (found.endpoint !== endpoint) throw new UserError(`Expecting TLS credentials with a ${endpoint} endpoint`);
  return found;
}

/** A connection: bytes in both directions. */
export interface ByteStream {
  /** Settles with exactly so many bytes; rejects with BlockError when the other side is gone. */
  read(length: number): Promise<Uint8Array>;
  /** Queues; settles when there is room for more. Rejects when the other side is gone. */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * Goes on encrypted: this stream is not used any more. `hostname`: of the server, for its client. Rejects with BlockError when the
   * other side does not show what it should.
   */
  secure?(credentials: Credentials, hostname?: string): Promise<ByteStream>;
  close(): void;
}
