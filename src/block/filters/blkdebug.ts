/** Makes operations fail on purpose, for tests of what happens then. */
import { type BlockErrno, BlockError, type BlockNode, type Completion } from '../node.js';
import { FilterNode } from './filter.js';

export type FaultKind = 'read' | 'write' | 'write-zeroes' | 'discard' | 'flush';

export interface Fault {
  readonly kinds: readonly FaultKind[];
  readonly errno: BlockErrno;
  /** Only operations that touch this byte. */
  readonly offset?: number;
  /** Only the first time. */
  readonly once?: boolean;
  /** Operations that pass before the fault does its work. */
  readonly after?: number;
}

export class BlkdebugNode extends FilterNode {
  readonly driver = 'blkdebug';
  #faults: { readonly fault: Fault; left: number }[];

  constructor(below: BlockNode, faults: readonly Fault[]) {
    super(below);
    this.#faults = faults.map((fault) => ({ fault, left: fault.after ?? 0 }));
  }

  /** No more faults. */
  heal(): void {
    this.#faults = [];
  }

  override read(offset: number, into: Uint8Array): Completion {
    this.#maybeFail('read', offset, into.length);
    return super.read(offset, into);
  }

  override write(offset: number, from: Uint8Array): Completion {
    this.#maybeFail('write', offset, from.length);
    return super.write(offset, from);
  }

  override writeZeroes(offset: number, length: number, unmap: boolean): Completion {
    this.#maybeFail('write-zeroes', offset, length);
    return super.writeZeroes(offset, length, unmap);
  }

  override discard(offset: number, length: number): Completion {
    this.#maybeFail('discard', offset, length);
    return super.discard(offset, length);
  }

  override flush(): Completion {
    this.#maybeFail('flush', 0, 0);
    return super.flush();
  }

  #maybeFail(kind: FaultKind, offset: number, length: number): void {
    for (const f of this.#faults) {
      const { fault } = f;
      if (!fault.kinds.includes(kind)) continue;
      if (fault.offset !== undefined && kind !== 'flush' && (fault.offset < offset || fault.offset >= offset + length))
        continue;
      if (f.left-- > 0) continue;
      f.left = fault.once ? Number.POSITIVE_INFINITY : 0;
      throw new BlockError(fault.errno, `blkdebug: ${kind} fails on purpose`);
    }
  }
}
