/** What an image format declares, and what it is given to open and create images. */
import type { CheckResult, Repair } from './check.js';
import type { FetchRange } from './http.js';
import type { NbdAddress } from './nbd/address.js';
import type { ByteStream, ClientTls } from './nbd/protocol.js';
import type { BlockNode, Completion, Eventually } from './node.js';

/** Compression and ciphers of the host; synchronous, so that only small pieces (clusters) go through them. */
export interface Codecs {
  /** Raw deflate streams (RFC 1951). Null when `data` does not inflate to exactly `length` bytes. */
  inflateRaw(data: Uint8Array, length: number): Uint8Array | null;
  /** `windowBits` as zlib counts them. */
  deflateRaw(data: Uint8Array, windowBits: number): Uint8Array;
  /** zlib streams (RFC 1950). */
  inflate(data: Uint8Array, length: number): Uint8Array | null;
  deflate(data: Uint8Array): Uint8Array;
  /** Raw deflate streams in other threads, where the host has some. */
  readonly beside?: {
    inflateRaw(data: Uint8Array, length: number): Promise<Uint8Array | null>;
    deflateRaw(data: Uint8Array, windowBits: number): Promise<Uint8Array>;
  };
  readonly crypto?: Crypto;
  zstd?(): Promise<Zstd>;
}

export interface Zstd {
  compress(data: Uint8Array): Uint8Array;
  /** The frame that `data` begins with. Null when it is broken or does not unpack to exactly `length` bytes. */
  decompress(data: Uint8Array, length: number): Uint8Array | null;
}

export type HashName = 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512' | 'ripemd160';

export interface Crypto {
  hash(name: HashName, data: Uint8Array): Uint8Array;
  pbkdf2(hash: HashName, password: Uint8Array, salt: Uint8Array, iterations: number, length: number): Uint8Array;
  /** One of aes-128-ecb, aes-256-cbc, ...; no padding. */
  cipher(name: string, encrypt: boolean, key: Uint8Array, iv: Uint8Array | null, data: Uint8Array): Uint8Array;
  random(length: number): Uint8Array;
}

/** What the host offers. */
export interface BlockHost {
  /** Throws UserError when the file cannot be opened. */
  openFile(filename: string, options: FileAccess): BlockNode;
  /** Makes an empty file. Throws UserError. */
  createFile?(filename: string): BlockNode;
  /** A store for an overlay, gone when it is closed. Without one, overlays live in memory. */
  temporaryFile?(): BlockNode;
  readonly codecs?: Codecs;
  /** Seconds since 1970. */
  now?(): number;
  random?(bytes: Uint8Array): void;
  /** A connection to a server. Fails with UserError. */
  connect?(address: NbdAddress): Promise<ByteStream>;
  readonly fetchRange?: FetchRange;
  sleep?(seconds: number): Promise<void>;
}

export interface FileAccess {
  readonly readOnly: boolean;
  /** Lets other processes write the file meanwhile (-U). */
  readonly share?: boolean;
  /** Without asking whether others use it. */
  readonly unlocked?: boolean;
  readonly cache?: CacheMode;
  /** Long reads and writes are not to hold up the caller. */
  readonly beside?: boolean;
  /** For an NBD server. */
  readonly tls?: ClientTls;
}

export const CACHE_MODES = ['none', 'writeback', 'writethrough', 'directsync', 'unsafe'] as const;
export type CacheMode = (typeof CACHE_MODES)[number];

/** What a format's `open` may use. */
export interface OpenContext {
  readonly host: BlockHost;
  readonly readOnly: boolean;
  /** The name the user gave the image by: others in it are relative to its folder. */
  readonly filename: string;
  /** Options of the format, by QEMU's names (`data-file`, `encrypt.key-secret`). */
  option(name: string): string | undefined;
  /** The bytes of a `secret` object. Throws UserError. */
  secret(id: string): Uint8Array;
  /** Opens another file of the image: by a name relative to it (an extent), or as it is (an external data file). */
  openFile(name: string, relative: boolean): Promise<BlockNode>;
  /**
   * Where the format was guessed from the first bytes: whether a first sector would speak for another, which a guest must not write.
   * Else null.
   */
  readonly otherFormat: ((sector: Uint8Array) => boolean) | null;
  /** The image is only to be looked at: a check or repair may find it broken. */
  readonly forCheck: boolean;
}

/** An option of `create -o`, as its help lists it. */
export interface CreateOption {
  readonly name: string;
  readonly type: 'str' | 'size' | 'num' | 'bool';
  readonly help: string;
  /** Shown by `create` when the user says nothing. */
  readonly initial?: string;
}

/** What a format's `create` is given. */
export interface CreateContext {
  readonly host: BlockHost;
  readonly filename: string;
  /** Empty. */
  readonly file: BlockNode;
  readonly size: number;
  /** As the user gave it; undefined: not given. Values of `size` options are in bytes. */
  text(name: string): string | undefined;
  flag(name: string): boolean | undefined;
  number(name: string): number | undefined;
  secret(id: string): Uint8Array;
  /** Makes another file of the image. */
  createFile(name: string, relative: boolean): BlockNode;
  /** Opens the backing image, for formats that look into it. */
  openBacking(): Promise<BlockNode | null>;
}

/** What `amend` is given beside its options. */
export interface AmendContext {
  readonly host: BlockHost;
  /** What destroys the data is done too. */
  readonly force: boolean;
  /** The bytes of a `secret` object. Throws UserError. */
  secret(id: string): Uint8Array;
}

export interface Format {
  readonly name: string;
  /** How sure it is of being meant: 0 not, 100 very. */
  probe(head: Uint8Array, file: BlockNode): number;
  open(file: BlockNode, context: OpenContext): Promise<FormatNode>;
  /** In the order in which `create` prints them. Without, images cannot be made. */
  readonly createOptions?: readonly CreateOption[];
  create?(context: CreateContext): Promise<void>;
  /** What `FormatNode.amend` takes. Without, images stay as they were made. */
  readonly amendOptions?: readonly CreateOption[];
}

/** What `info` tells beside sizes. Names are those of QEMU's JSON. */
export type InfoValue = string | number | boolean | readonly InfoValue[] | { readonly [name: string]: InfoValue };

export interface FormatInfo {
  readonly clusterSize?: number;
  /** Not closed properly. */
  readonly dirty?: boolean;
  readonly encrypted?: boolean;
  readonly compressed?: boolean;
  readonly specific?: { readonly type: string; readonly data: { readonly [name: string]: InfoValue } };
}

export interface SnapshotInfo {
  readonly id: string;
  readonly name: string;
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly vmClockNs: number;
  readonly vmStateBytes: number;
  readonly icount: number | undefined;
}

/** What a snapshot says beside the disk's contents. */
export interface SnapshotFacts {
  readonly name: string;
  /** Seconds since 1970. */
  readonly time: number;
  readonly vmClockNs?: number;
  /** Of the machine's state that `beginState` wrote: it belongs to this snapshot from then on. */
  readonly vmStateBytes?: number;
  /** Instructions executed; null: nobody counts them. */
  readonly icount?: number | null;
}

/** The state of a machine in a snapshot. */
export interface SnapshotState {
  read(position: number, into: Uint8Array): Promise<void>;
}

/** Writes a machine's state, in parts and in any order. */
export interface StateWriter {
  /** Before something up to there is written. */
  makeRoom(end: number): Promise<void>;
  /** Begins at once; the bytes stay as they are until it is done. */
  write(position: number, views: readonly Uint8Array[]): Completion;
}

/** Internal snapshots of a format. */
export interface SnapshotSupport {
  list(): Promise<readonly SnapshotInfo[]>;
  create(facts: SnapshotFacts): Promise<void>;
  apply(idOrName: string): Promise<void>;
  delete(idOrName: string): Promise<void>;
  /** Begins a machine's state of so many bytes at most, for the snapshot that is created next. */
  beginState(most: number): Promise<StateWriter>;
  /** Gives up a state that was begun and that no snapshot has. */
  dropState(): Promise<void>;
  /** The machine's state that belongs to a snapshot. */
  openState(idOrName: string): Promise<SnapshotState>;
  /** A read-only node of a snapshot's disk; closing it closes nothing else. */
  open(idOrName: string): Promise<BlockNode>;
}

/** A node of a format: it may stand on a backing image. */
export interface FormatNode extends BlockNode {
  /** As the image says; absent or '' without. */
  readonly backingFile?: string;
  readonly backingFormat?: string;
  /** Puts the opened backing image below. */
  setBacking?(node: BlockNode | null): void;
  /** Changes what the image says; '' for none. */
  changeBacking?(file: string, format: string): Promise<void>;
  info?(): Eventually<FormatInfo>;
  check?(repair: Repair | null): Promise<CheckResult>;
  readonly snapshots?: SnapshotSupport;
  /** Writes a piece of `compressedUnit` bytes, the last one perhaps shorter. */
  writeCompressed?(offset: number, data: Uint8Array): Promise<void>;
  /** Several may be under way: they are compressed at a time, and written in the order in which they came. */
  readonly compressesBeside?: boolean;
  readonly compressedUnit?: number;
  /** All that is written must be compressed. */
  readonly onlyCompressed?: boolean;
  /** Changes options of the image; sizes are in bytes. Throws UserError. */
  amend?(values: ReadonlyMap<string, string>, context: AmendContext): Promise<void>;
  /** Drops all that is allocated: the backing image shows through. */
  makeEmpty?(): Promise<void>;
}

export type { Completion };
