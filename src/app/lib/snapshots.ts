/** Snapshots of a whole machine in its images: each disk's contents, and in the first image the machine's state. */
import { UserError } from '../../base/errors.js';
import type { Drive } from '../../block/drive.js';
import { FilterNode } from '../../block/filters/filter.js';
import type { FormatNode, SnapshotInfo, SnapshotState, SnapshotSupport, StateWriter } from '../../block/format.js';
import type { BlockNode } from '../../block/node.js';
import type { StateSink, StateSource } from '../../machine/saved/layout.js';

export interface SnapshotImage {
  readonly drive: Drive;
  readonly snapshots: SnapshotSupport;
}

/** What of a drive's graph keeps snapshots. */
function supportOf(node: BlockNode): SnapshotSupport | undefined {
  if (node instanceof FilterNode) return supportOf(node.below);
  return (node as FormatNode).snapshots;
}

/** The images that a snapshot is in: all that can be written. Throws UserError when one of them can keep none. */
export function snapshotImages(drives: readonly Drive[]): SnapshotImage[] {
  for (const { id, node } of drives) {
    if (node && !node.readOnly && !supportOf(node)) {
      throw new UserError(`Device '${id}' is writable but does not support snapshots`);
    }
  }
  return imagesWithSnapshots(drives);
}

/** Those that can be written and can keep snapshots. */
export function imagesWithSnapshots(drives: readonly Drive[]): SnapshotImage[] {
  return drives.flatMap((drive) => {
    const snapshots = drive.node && !drive.node.readOnly ? supportOf(drive.node) : undefined;
    return snapshots ? [{ drive, snapshots }] : [];
  });
}

/** The image that keeps the machine's state. Throws UserError when there is none. */
export function stateImage([first]: readonly SnapshotImage[]): SnapshotImage {
  if (!first) throw new UserError('no block device can store vmstate for snapshot');
  return first;
}

/** As QEMU looks for them by name. */
export const named = (list: readonly SnapshotInfo[], tag: string): SnapshotInfo | undefined =>
  list.find((s) => s.name === tag);

/** The machine's state on its way into an image. */
export class SnapshotSink implements StateSink {
  readonly anywhere = true;
  #writer: StateWriter | undefined;

  constructor(private readonly snapshots: SnapshotSupport) {}

  async expect(most: number): Promise<void> {
    this.#writer = await this.snapshots.beginState(most);
  }

  makeRoom(end: number): Promise<void> {
    return this.#writer!.makeRoom(end);
  }

  async write(position: number, views: readonly Uint8Array[]): Promise<void> {
    await this.#writer!.write(position, views);
  }
}

/** The state that a snapshot has. */
export class SnapshotSource implements StateSource {
  #position = 0;
  #buffer = new Uint8Array(0);
  #last: Promise<void> = Promise.resolve();

  constructor(
    private readonly state: SnapshotState,
    readonly length: number,
  ) {}

  read(views: readonly Uint8Array[]): Promise<void> {
    const bytes = views.reduce((sum, v) => sum + v.length, 0);
    const position = this.#position;
    this.#position += bytes;
    this.#last = this.#last.then(async () => {
      if (position + bytes > this.length) throw new UserError('the saved state is broken: it is cut off');
      if (views.length === 1) {
        await this.state.read(position, views[0]!);
        return;
      }
      // Reads of an image go by clusters, which are larger than most views.
      if (this.#buffer.length < bytes) this.#buffer = new Uint8Array(bytes);
      const all = this.#buffer.subarray(0, bytes);
      await this.state.read(position, all);
      let at = 0;
      for (const view of views) {
        view.set(all.subarray(at, at + view.length));
        at += view.length;
      }
    });
    this.#last.catch(() => {});
    return this.#last;
  }
}
