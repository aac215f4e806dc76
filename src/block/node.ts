/**
 * Block nodes: something of so many bytes that can be read and written at offsets. Formats (raw, overlay) are nodes on top
 * of other nodes; at the bottom are protocol nodes (a host file, memory). Together they form the graph of a drive.
 */
import { UserError } from '../base/errors.js';

/** Nothing when the operation is done already; a promise when it still runs. */
export type Completion = undefined | Promise<void>;

export type BlockErrno = 'EIO' | 'ENOSPC' | 'EROFS' | 'ENOMEDIUM' | 'EINVAL' | 'EACCES';

/** A failed operation: thrown at once, or what the promise rejects with. */
export class BlockError extends UserError {
  constructor(
    readonly errno: BlockErrno,
    message: string,
  ) {
    super(message);
  }
}

export interface BlockNode {
  /** QEMU's name of the driver: `raw`, `file`. */
  readonly driver: string;
  /** What `info block` shows. */
  readonly filename: string;
  /** In bytes. */
  readonly length: number;
  readonly readOnly: boolean;
  /** The nodes below, with QEMU's names of their roles (`file`, `backing`). */
  readonly children: readonly { readonly role: string; readonly node: BlockNode }[];
  /** Fills `into`; what lies beyond the end reads as zeroes. */
  read(offset: number, into: Uint8Array): Completion;
  /** `from` must not change until the operation is done. Beyond the end, the node grows where it can. */
  write(offset: number, from: Uint8Array): Completion;
  /** Makes what was written so far survive a crash of the host. */
  flush(): Completion;
  /** The bytes are not needed any more: a hint. */
  discard(offset: number, length: number): Completion;
  /** Closes this node and those below. */
  close(): void;
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
