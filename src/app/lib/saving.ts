/** Saving a machine and going on with it: snapshots in its images, and states sent elsewhere. */
import { UserError } from '../../base/errors.js';
import type { SnapshotInfo } from '../../block/format.js';
import type { MigrationReport, SavingControl } from '../../control/hmp/saving.js';
import type { OpenSink, OpenSource } from '../../host/node/state-file.js';
import { openStateSink, openStateSource, type PendingSource } from '../../host/node/state-streams.js';
import type { RunState } from '../../machine/lifecycle.js';
import type { SavedParts } from './assemble.js';
import {
  imagesWithSnapshots,
  named,
  type SnapshotImage,
  SnapshotSink,
  SnapshotSource,
  snapshotImages,
  stateImage,
} from './snapshots.js';
import { installMachine, receiveDescription, receiveMachine, sendMachine, settleDrives } from './state-transfer.js';

class Cancelled extends UserError {}

const NO_MIGRATION: MigrationReport = {
  status: 'none',
  totalTime: 0,
  setupTime: 0,
  transferred: 0,
  remaining: 0,
  stored: 0,
  total: 0,
};

export class Saving implements SavingControl {
  #migration = NO_MIGRATION;
  #cancel = false;
  /** Where the state is awaited from. */
  #pending: PendingSource | undefined;
  /** Nothing has run, and nothing has been put into memory: no kernel is where a snapshot is to be loaded. */
  #untouched: boolean;
  /** The state is there, or about to be: there is nothing to wait for any more. */
  #arrived = false;

  constructor(private readonly m: SavedParts) {
    this.#untouched = m.wishes.loadSnapshot !== undefined;
    const touched = (): void => {
      this.#untouched = false;
    };
    m.machine.lifecycle.resetDone.subscribe(touched);
    m.machine.lifecycle.stateChanged.subscribe((state) => {
      if (state === 'running') touched();
    });
    if (m.wishes.incoming !== undefined) m.machine.lifecycle.awaitState();
  }

  /** Lets the machine run. */
  resume(): void | Promise<void> {
    const { lifecycle } = this.m.machine;
    if (lifecycle.state !== 'postmigrate') {
      lifecycle.start();
      return undefined;
    }
    return this.m.images.takeBack().then(() => lifecycle.start());
  }

  async saveSnapshot(tag = defaultTag()): Promise<void> {
    const images = snapshotImages(this.m.drives);
    const first = stateImage(images);
    await this.#held('save-vm', async (before) => {
      await settleDrives(this.m);
      await deleteFrom(images, tag);
      try {
        const { total } = await sendMachine(this.m, before, new SnapshotSink(first.snapshots));
        const facts = {
          name: tag,
          time: Date.now() / 1000,
          vmClockNs: this.m.machine.clocks.virtual.now(),
          icount: this.m.wishes.icount ? this.m.accelerator.executed : null,
        };
        for (const [i, { snapshots }] of images.entries()) {
          await snapshots.create({ ...facts, vmStateBytes: i === 0 ? total : 0 });
        }
      } catch (error) {
        await first.snapshots.dropState().catch(() => {});
        await deleteFrom(images, tag);
        throw error;
      }
      return before;
    });
  }

  async loadSnapshot(tag: string): Promise<void> {
    const images = snapshotImages(this.m.drives);
    const first = stateImage(images);
    const lists = await Promise.all(images.map(({ snapshots }) => snapshots.list()));
    if (lists.some((list) => !named(list, tag))) {
      throw new UserError(`Snapshot '${tag}' does not exist in one or more devices`);
    }
    const { vmStateBytes } = named(lists[0]!, tag)!;
    if (vmStateBytes === 0) {
      throw new UserError('This is a disk-only snapshot. Revert to it offline using qemu-img');
    }
    await this.#held('restore-vm', async (before) => {
      const { machine, drives } = this.m;
      const source = new SnapshotSource(await first.snapshots.openState(tag), vmStateBytes);
      const received = receiveMachine(this.m, await receiveDescription(source));
      const fresh = this.#untouched;
      this.#untouched = false;
      // From here on there is no way back.
      try {
        for (const drive of drives) drive.abandon();
        if (!fresh) machine.reset(true);
        await settleDrives(this.m);
        for (const { snapshots } of images) await snapshots.apply(tag);
        await installMachine(this.m, received, source, fresh);
      } catch (error) {
        machine.reset();
        throw error;
      }
      if (received.run === 'suspended') return 'suspended';
      return before === 'running' || before === 'prelaunch' ? before : 'paused';
    });
  }

  async deleteSnapshot(tag: string): Promise<void> {
    await deleteFrom(snapshotImages(this.m.drives), tag);
  }

  async listSnapshots(): ReturnType<SavingControl['listSnapshots']> {
    const images = imagesWithSnapshots(this.m.drives);
    if (images.length === 0) return undefined;
    const lists = await Promise.all(images.map(({ snapshots }) => snapshots.list()));
    const everywhere = ({ name }: SnapshotInfo): boolean => lists.every((list) => named(list, name));
    return {
      complete: lists[0]!.filter(everywhere),
      partial: images
        .map(({ drive }, i) => ({ drive: drive.id, snapshots: lists[i]!.filter((s) => !everywhere(s)) }))
        .filter(({ snapshots }) => snapshots.length > 0),
    };
  }

  async migrate(uri: string): Promise<void> {
    const { status } = this.#migration;
    if (status === 'setup' || status === 'active') throw new UserError('There is a migration process in progress');
    if (this.m.machine.lifecycle.state === 'inmigrate')
      throw new UserError('Guest is waiting for an incoming migration');
    if (this.m.machine.lifecycle.state === 'postmigrate')
      throw new UserError('the machine has been sent already: cont lets it go on here');
    const start = performance.now();
    const elapsed = (): number => performance.now() - start;
    this.#cancel = false;
    this.#migration = { ...NO_MIGRATION, status: 'setup' };
    let sink: OpenSink | undefined;
    try {
      const to = await openStateSink(uri);
      sink = to;
      this.#migration = { ...this.#migration, status: 'active', setupTime: elapsed() };
      await this.#held('finish-migrate', async (before) => {
        try {
          await settleDrives(this.m);
          await this.m.images.lend();
          const total = this.m.machine.memory.ramBlocks.reduce((sum, { bytes }) => sum + bytes.length, 0);
          const sent = await sendMachine(this.m, before, to, (done, stored) => {
            if (this.#cancel) throw new Cancelled('migration was cancelled');
            this.#migration = {
              ...this.#migration,
              ...{ transferred: done, remaining: stored - done, stored, total, totalTime: elapsed() },
            };
          });
          await to.finish();
          if (this.#cancel) throw new Cancelled('migration was cancelled');
          this.#migration = { ...this.#migration, status: 'completed', transferred: sent.total, totalTime: elapsed() };
          return 'postmigrate';
        } catch (error) {
          await this.m.images.takeBack();
          throw error;
        }
      });
    } catch (error) {
      sink?.abort();
      const cancelled = error instanceof Cancelled;
      const reason = error instanceof Error ? error.message : String(error);
      this.#migration = {
        ...this.#migration,
        status: cancelled ? 'cancelled' : 'failed',
        ...(!cancelled && { reason }),
        totalTime: elapsed(),
      };
      throw error;
    }
  }

  cancelMigration(): void {
    if (this.#migration.status === 'setup' || this.#migration.status === 'active') this.#cancel = true;
  }

  migration(): MigrationReport {
    return this.#migration;
  }

  async startIncoming(uri: string): Promise<void> {
    if (this.m.wishes.incoming !== 'defer')
      throw new UserError("'-incoming' was not specified as defer on the command line");
    await this.receive(uri);
  }

  /** Waits for the state from there, and goes on with it. Fails with UserError. */
  async receive(uri: string): Promise<void> {
    const { lifecycle } = this.m.machine;
    if (this.#pending || this.#arrived) throw new UserError('The incoming migration has already been started');
    const ahead = this.m.stateAhead?.take(uri);
    let source: OpenSource | undefined;
    try {
      this.#pending = ahead?.pending ?? openStateSource(uri);
      source = await this.#pending.opened;
      const received = receiveMachine(this.m, await (ahead?.description ?? receiveDescription(source)));
      this.#arrived = true;
      await installMachine(this.m, received, source, true, ahead?.filled);
      // Only now does the other machine surely not need them any more.
      await this.m.images.takeBack();
      lifecycle.release(received.run === 'running' && this.m.wishes.paused ? 'paused' : received.run);
    } finally {
      this.#pending = undefined;
      await ahead?.settled();
      source?.close();
    }
  }

  /** Waits for the state that the command line speaks of, if it does. Fails with UserError. */
  async begin(): Promise<void> {
    const { incoming, loadSnapshot } = this.m.wishes;
    if (incoming !== undefined && incoming !== 'defer') {
      await this.receive(incoming).catch((error: unknown) => {
        throw error instanceof UserError ? new UserError(`-incoming ${incoming}: ${error.message}`) : error;
      });
    } else if (loadSnapshot !== undefined) {
      await this.loadSnapshot(loadSnapshot).catch((error: unknown) => {
        throw error instanceof UserError ? new UserError(`-loadvm ${loadSnapshot}: ${error.message}`) : error;
      });
    }
  }

  /** Nobody waits for a state any more. */
  dispose(): void {
    this.#cancel = true;
    this.#pending?.opened.catch(() => {});
    this.#pending?.abort();
  }

  /** Works on the state of the machine while it stands still; it gives what the machine does afterwards. */
  async #held(
    state: 'save-vm' | 'restore-vm' | 'finish-migrate',
    work: (before: RunState) => Promise<RunState>,
  ): Promise<void> {
    const { lifecycle } = this.m.machine;
    const before = await lifecycle.hold(state);
    if (before === undefined) throw new UserError('the machine has ended, or its state is being worked on already');
    let after: RunState = state === 'restore-vm' && before === 'running' ? 'paused' : before;
    try {
      after = await work(before);
    } finally {
      // A machine that has ended meanwhile stays so.
      if (lifecycle.state === state) lifecycle.release(after);
    }
  }
}

async function deleteFrom(images: readonly SnapshotImage[], tag: string): Promise<void> {
  for (const { snapshots } of images) {
    if (named(await snapshots.list(), tag)) await snapshots.delete(tag);
  }
}

/** As QEMU names snapshots without a name. */
function defaultTag(): string {
  const now = new Date();
  const two = (n: number): string => String(n).padStart(2, '0');
  const date = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  return `vm-${date}${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
}
