/** The monitor's commands about a machine's state: snapshots in the images, and moving it elsewhere. */
import { UserError } from '../../base/errors.js';
import type { SnapshotInfo } from '../../block/format.js';
import { snapshotTable } from '../../block/snapshot-table.js';
import type { Session } from './context.js';

/** How far the last `migrate` has come. Times in ms. */
export interface MigrationReport {
  readonly status: 'none' | 'setup' | 'active' | 'completed' | 'failed' | 'cancelled';
  /** Why it failed. */
  readonly reason?: string;
  readonly totalTime: number;
  readonly setupTime: number;
  readonly transferred: number;
  /** Bytes of RAM: still to go, all that is stored, all that the machine has. */
  readonly remaining: number;
  readonly stored: number;
  readonly total: number;
}

/** All of these fail with UserError. */
export interface SavingControl {
  saveSnapshot(tag: string | undefined): Promise<void>;
  loadSnapshot(tag: string): Promise<void>;
  deleteSnapshot(tag: string): Promise<void>;
  /** Snapshots that all images have; those that only some have, by image. Undefined: no image can have any. */
  listSnapshots(): Promise<
    | {
        readonly complete: readonly SnapshotInfo[];
        readonly partial: readonly { readonly drive: string; readonly snapshots: readonly SnapshotInfo[] }[];
      }
    | undefined
  >;
  /** Resolves when the machine has been sent. */
  migrate(uri: string): Promise<void>;
  cancelMigration(): void;
  migration(): MigrationReport;
  /** For a machine started with `-incoming defer`. */
  startIncoming(uri: string): Promise<void>;
}

/** An argument as QEMU's monitor reads it: quotes go away. */
function argument(text: string): string | undefined {
  const quoted = /^"((?:[^"\\]|\\.)*)"\s*$/s.exec(text);
  if (quoted) return quoted[1]!.replace(/\\(.)/gs, (_, c: string) => (c === 'n' ? '\n' : c === 'r' ? '\r' : c));
  return text === '' ? undefined : text;
}

export function saveVm(s: Session, text: string): Promise<void> {
  return s.saving.saveSnapshot(argument(text));
}

function tagged(text: string, command: string): string {
  const tag = argument(text);
  if (tag === undefined) throw new UserError(`${command}: string expected`);
  return tag;
}

export function loadVm(s: Session, text: string): Promise<void> {
  return s.saving.loadSnapshot(tagged(text, 'loadvm'));
}

export function deleteVm(s: Session, text: string): Promise<void> {
  return s.saving.deleteSnapshot(tagged(text, 'delvm'));
}

export async function infoSnapshots(s: Session): Promise<void> {
  const lists = await s.saving.listSnapshots();
  if (!lists) {
    s.print('no block device can store vmstate for snapshot\n');
    return;
  }
  const { complete, partial } = lists;
  if (complete.length === 0 && partial.length === 0) {
    s.print('There is no snapshot available.\n');
    return;
  }
  s.print('List of snapshots present on all disks:\n');
  s.print(complete.length > 0 ? snapshotTable(complete.map((each) => ({ ...each, id: '--' }))) : 'None\n');
  for (const { drive, snapshots } of partial) {
    s.print(`\nList of partial (non-loadable) snapshots on '${drive}':\n${snapshotTable(snapshots)}`);
  }
}

export function migrate(s: Session, text: string): void | Promise<void> {
  const [, flags = '', rest = ''] = /^((?:-\w+\s+)*)(.*)$/s.exec(text) ?? [];
  for (const flag of flags.split(/\s+/).filter(Boolean)) {
    if (flag !== '-d') throw new UserError(`migrate ${flag}: Tinamou has only -d (do not wait)`);
  }
  const uri = argument(rest);
  if (uri === undefined) throw new UserError('migrate: string expected');
  const moving = s.saving.migrate(uri);
  if (flags === '') return moving;
  // How it ends is told by `info migrate`.
  moving.catch((error: unknown) => {
    if (!(error instanceof UserError)) throw error;
  });
  return undefined;
}

export function migrateIncoming(s: Session, text: string): Promise<void> {
  const uri = argument(text);
  if (uri === undefined) throw new UserError('migrate_incoming: string expected');
  return s.saving.startIncoming(uri);
}

const kilobytes = (bytes: number): string => `${Math.floor(bytes / 1024)} kbytes`;
const PAGE = 4096;

export function infoMigrate(s: Session): void {
  const m = s.saving.migration();
  if (m.status === 'none') return;
  s.print(`Migration status: ${m.status}${m.reason === undefined ? '' : ` (${m.reason})`}\n`);
  if (m.status === 'failed' || m.status === 'cancelled') return;
  const mbps = m.totalTime > 0 ? (8 * m.transferred) / 1000 / m.totalTime : 0;
  s.print(
    [
      `total time: ${Math.round(m.totalTime)} ms`,
      // The machine stands still all the while.
      ...(m.status === 'completed' ? [`downtime: ${Math.round(m.totalTime)} ms`] : []),
      `setup: ${Math.round(m.setupTime)} ms`,
      `transferred ram: ${kilobytes(m.transferred)}`,
      `throughput: ${mbps.toFixed(2)} mbps`,
      `remaining ram: ${kilobytes(m.remaining)}`,
      `total ram: ${kilobytes(m.total)}`,
      `duplicate: ${(m.total - m.stored) / PAGE} pages`,
      `normal: ${m.stored / PAGE} pages`,
      `normal bytes: ${kilobytes(m.stored)}`,
      `page size: ${PAGE / 1024} kbytes`,
      '',
    ].join('\n'),
  );
}
