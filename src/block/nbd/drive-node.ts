/** What is in a drive, as a node that others than its device use too: the drive's medium may change, and be gone. */
import type { Drive } from '../drive.js';
import { BaseNode, BlockError, type BlockNode, type BlockStatus, type Completion, type Eventually } from '../node.js';

export class DriveNode extends BaseNode {
  readonly driver = 'drive';

  constructor(private readonly drive: Drive) {
    super();
  }

  get filename(): string {
    return this.drive.node?.filename ?? '';
  }

  get length(): number {
    return this.drive.length;
  }

  get readOnly(): boolean {
    return this.drive.readOnly;
  }

  /** Throws BlockError where the range is not in the medium that is there now. */
  #medium(offset: number, length: number): BlockNode {
    const { node } = this.drive;
    if (!node) throw new BlockError('ENOMEDIUM', `there is no medium in '${this.drive.id}'`);
    if (offset + length > node.length) throw new BlockError('EINVAL', `beyond the end of '${this.drive.id}'`);
    return node;
  }

  read(offset: number, into: Uint8Array): Completion {
    return this.#medium(offset, into.length).read(offset, into);
  }

  override write(offset: number, from: Uint8Array): Completion {
    return this.#medium(offset, from.length).write(offset, from);
  }

  override flush(): Completion {
    return this.#medium(0, 0).flush();
  }

  override discard(offset: number, length: number): Completion {
    return this.#medium(offset, length).discard(offset, length);
  }

  override writeZeroes(offset: number, length: number, unmap: boolean): Completion {
    return this.#medium(offset, length).writeZeroes(offset, length, unmap);
  }

  override status(offset: number, length: number): Eventually<BlockStatus> {
    return this.#medium(offset, length).status(offset, length);
  }

  /** The medium is the drive's to close. */
  override close(): Completion {
    return undefined;
  }
}
