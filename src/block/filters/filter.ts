/** Filters stand between a node and its user and pass everything on, but for what they are there for. */
import {
  BaseNode,
  type BlockNode,
  type BlockStatus,
  type Completion,
  type Eventually,
  type Preallocation,
} from '../node.js';

export abstract class FilterNode extends BaseNode {
  constructor(readonly below: BlockNode) {
    super();
    this.children = [{ role: 'file', node: below }];
  }

  get filename(): string {
    return this.below.filename;
  }

  get length(): number {
    return this.below.length;
  }

  get readOnly(): boolean {
    return this.below.readOnly;
  }

  read(offset: number, into: Uint8Array): Completion {
    return this.below.read(offset, into);
  }

  override write(offset: number, from: Uint8Array): Completion {
    return this.below.write(offset, from);
  }

  override flush(): Completion {
    return this.below.flush();
  }

  override discard(offset: number, length: number): Completion {
    return this.below.discard(offset, length);
  }

  override writeZeroes(offset: number, length: number, unmap: boolean): Completion {
    return this.below.writeZeroes(offset, length, unmap);
  }

  override status(offset: number, length: number): Eventually<BlockStatus> {
    return this.below.status(offset, length);
  }

  override truncate(length: number, preallocation?: Preallocation): Completion {
    return this.below.truncate(length, preallocation);
  }

  override allocatedBytes(): number | undefined {
    return this.below.allocatedBytes?.();
  }
}
