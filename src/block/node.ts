/**
 * Block nodes: something of so many bytes that can be read and written at offsets. Formats (raw, qcow2) and filters
 * (throttle, copy-on-read) are nodes on top of other nodes; at the bottom are protocol nodes (a host file, memory, NBD).
 * Together they form the graph of a drive.
 *
 * An operation that is done when the call returns gives `undefined`: no promise is made where none is needed, so the way
 * from a device to a file in the host's page cache allocates nothing. Several operations may be under way at a time; their
 * order matters only where a caller waited for one before it started the next.
 */
import { Bug, UserError } from '../base/errors.js';

/** Nothing when the operation is done already; a promise when it still runs. */
export type Completion = undefined | Promise<void>;
/** A value now or later. */
export type Eventually<T> = T | Promise<T>;

export type BlockErrno =
  | 'EIO'
  | 'ENOSPC'
  | 'EROFS'
  | 'ENOMEDIUM'
  | 'EINVAL'
  | 'EACCES'
  | 'ENOTSUP'
  | 'EFBIG'
  | 'EBUSY'
  | 'ENOENT'
  | 'EPERM'
  | 'ESHUTDOWN';

/** A failed operation: thrown at once, or what the promise rejects with. */
export class BlockError extends UserError {
  constructor(
    readonly errno: BlockErrno,
    message: string,
  ) {
    super(message);
  }
}

/** What is known of a range of bytes (QEMU's BDRV_BLOCK_ flags). */
export interface BlockStatus {
  /** Bytes from the asked offset on of which this is true: more than 0, at most what was asked for. */
  readonly length: number;
  /** The bytes are stored somewhere (not merely known to be zero, or absent). */
  readonly data: boolean;
  /** They read as zeroes. */
  readonly zero: boolean;
  /** This layer decides what they are: the backing node is not asked. */
  readonly allocated: boolean;
  /** Where they are in `file`, byte for byte, when that can be said. */
  readonly offset?: number;
  readonly file?: BlockNode;
  readonly compressed?: boolean;
}

export const PREALLOCATIONS = ['off', 'metadata', 'falloc', 'full'] as const;
export type Preallocation = (typeof PREALLOCATIONS)[number];

export interface NodeChild {
  /** QEMU's names: `file`, `backing`, `data-file`. */
  readonly role: string;
  readonly node: BlockNode;
}

export interface BlockNode {
  /** QEMU's name of the driver: `raw`, `qcow2`, `file`. */
  readonly driver: string;
  /** What `info block` shows. */
  readonly filename: string;
  /** In bytes. */
  readonly length: number;
  readonly readOnly: boolean;
  readonly children: readonly NodeChild[];
  /** Fills `into`; what lies beyond the end reads as zeroes. */
  read(offset: number, into: Uint8Array): Completion;
  /** `from` must not change until the operation is done. Beyond the end, a protocol node grows where it can. */
  write(offset: number, from: Uint8Array): Completion;
  /** The same of bytes that lie in several places; `writeViews` is for nodes without it. */
  writeViews?(offset: number, from: readonly Uint8Array[]): Completion;
  /** Makes what was written so far survive a crash of the host. */
  flush(): Completion;
  /** The bytes are not needed any more: a hint. What they read as afterwards is anybody's guess. */
  discard(offset: number, length: number): Completion;
  /** The bytes read as zeroes from now on. With `unmap` their storage may be given back. */
  writeZeroes(offset: number, length: number, unmap: boolean): Completion;
  /** What is known of the range that starts at `offset`; `length` is more than 0 and inside the node. */
  status(offset: number, length: number): Eventually<BlockStatus>;
  /** Whether much of what `status` says is stored are holes in `file`, so that it is worth asking too. Without: not. */
  hasHoles?(): Eventually<boolean>;
  /** Changes the length. Fails with ENOTSUP where it cannot be changed. New bytes read as zeroes. */
  truncate(length: number, preallocation?: Preallocation): Completion;
  /** Bytes of host storage in use; undefined when nobody can tell. */
  allocatedBytes?(): number | undefined;
  /** Writes back what is cached; closes this node and those below. */
  close(): Completion;
}

/** Writes bytes that lie in several places. */
export function writeViews(node: BlockNode, offset: number, from: readonly Uint8Array[]): Completion {
  if (node.writeViews) return node.writeViews(offset, from);
  const pending: Promise<void>[] = [];
  for (const view of from) {
    const part = node.write(offset, view);
    if (part) pending.push(part);
    offset += view.length;
  }
  return settled(pending);
}

/** As many zeroes as are written at a time. */
export const ZEROES = new Uint8Array(1 << 16);

/** What most nodes have in common. A node of its own overrides what it knows better. */
export abstract class BaseNode implements BlockNode {
  abstract readonly driver: string;
  abstract readonly length: number;
  abstract readonly readOnly: boolean;
  children: readonly NodeChild[] = [];

  abstract get filename(): string;
  abstract read(offset: number, into: Uint8Array): Completion;

  write(_offset: number, _from: Uint8Array): Completion {
    throw new BlockError('EROFS', `'${this.filename}' cannot be written`);
  }

  flush(): Completion {
    return undefined;
  }

  discard(_offset: number, _length: number): Completion {
    return undefined;
  }

  writeZeroes(offset: number, length: number, _unmap: boolean): Completion {
    return writeZeroBytes(this, offset, length);
  }

  status(_offset: number, length: number): Eventually<BlockStatus> {
    return { length, data: true, zero: false, allocated: true };
  }

  truncate(_length: number, _preallocation?: Preallocation): Completion {
    throw new BlockError('ENOTSUP', 'Image format driver does not support resize');
  }

  allocatedBytes(): number | undefined {
    return this.children.find((c) => c.role === 'file')?.node.allocatedBytes?.();
  }

  close(): Completion {
    return closeAll(this.children.map((c) => c.node));
  }
}

/** The node of one of the children. */
export function childNode(node: BlockNode, role: string): BlockNode | undefined {
  return node.children.find((c) => c.role === role)?.node;
}

/** Reads what lies inside the node; what lies behind its end is zero, whatever the storage has there. */
export function readWithin(node: BlockNode, offset: number, into: Uint8Array): Completion {
  const inside = Math.max(0, Math.min(into.length, node.length - offset));
  into.fill(0, inside);
  if (inside === 0) return undefined;
  return node.read(offset, inside === into.length ? into : into.subarray(0, inside));
}

/** Closes all of them, also when one fails. */
export function closeAll(nodes: readonly BlockNode[]): Completion {
  const pending: Promise<void>[] = [];
  let failure: unknown;
  for (const node of nodes) {
    try {
      const closing = node.close();
      if (closing) pending.push(closing);
    } catch (error) {
      failure ??= error;
    }
  }
  if (pending.length > 0) {
    return Promise.allSettled(pending).then((results) => {
      const rejected = results.find((r) => r.status === 'rejected');
      if (failure ?? rejected) throw failure ?? rejected?.reason;
    });
  }
  if (failure) throw failure;
  return undefined;
}

/** Waits for all of them, also when one fails: buffers are in use until then. */
export function settled(pending: readonly Promise<void>[]): Completion {
  if (pending.length === 0) return undefined;
  if (pending.length === 1) return pending[0];
  return Promise.allSettled(pending).then((results) => {
    for (const r of results) if (r.status === 'rejected') throw r.reason;
  });
}

/** Writes zeroes the plain way, piece by piece. */
export function writeZeroBytes(node: BlockNode, offset: number, length: number): Completion {
  while (length > 0) {
    const n = Math.min(length, ZEROES.length);
    const done = node.write(offset, n === ZEROES.length ? ZEROES : ZEROES.subarray(0, n));
    offset += n;
    length -= n;
    if (done) return done.then(() => writeZeroBytes(node, offset, length));
  }
  return undefined;
}

/** Whether all bytes are zero. */
export function isZero(bytes: Uint8Array): boolean {
  let at = 0;
  const end = bytes.length;
  while (at < end && (bytes.byteOffset + at) & 3) if (bytes[at++] !== 0) return false;
  const count = (end - at) >> 2;
  if (count > 0) {
    const words = new Int32Array(bytes.buffer, bytes.byteOffset + at, count);
    for (let i = 0; i < count; i++) if (words[i] !== 0) return false;
    at += count << 2;
  }
  while (at < end) if (bytes[at++] !== 0) return false;
  return true;
}

/** Runs an operation and tells how it ended: during the call when it completes at once. */
export function whenDone(start: () => Completion, done: (error: BlockError | null) => void): void {
  let completion: Completion;
  try {
    completion = start();
  } catch (error) {
    done(asBlockError(error));
    return;
  }
  if (completion)
    completion.then(
      () => done(null),
      (error: unknown) => done(asBlockError(error)),
    );
  else done(null);
}

/** Broken invariants are not block errors and pass through. */
function asBlockError(error: unknown): BlockError {
  if (error instanceof BlockError) return error;
  throw error;
}

/** One after the other; stays synchronous as long as the parts do. */
export function sequence(first: Completion, then: () => Completion): Completion {
  return first ? first.then(then) : then();
}

/** Lets one operation run at a time, in the order they came; at once and without a promise when nothing runs. */
export class Exclusive {
  #last: Promise<void> | undefined;

  get busy(): boolean {
    return this.#last !== undefined;
  }

  run(operation: () => Completion): Completion {
    const done = this.#last ? this.#last.then(operation) : operation();
    if (done) this.#queue(done);
    return done;
  }

  /** The same for operations that have a result. */
  async get<T>(operation: () => Promise<T>): Promise<T> {
    let result: { value: T } | undefined;
    await this.run(async () => {
      result = { value: await operation() };
    });
    if (!result) throw new Bug('an exclusive operation ended without a result');
    return result.value;
  }

  #queue(done: Promise<void>): void {
    const settled: Promise<void> = done.then(
      () => this.#settled(settled),
      () => this.#settled(settled),
    );
    this.#last = settled;
  }

  #settled(which: Promise<void>): void {
    if (this.#last === which) this.#last = undefined;
  }
}
