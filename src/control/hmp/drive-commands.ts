/** The monitor's commands about drives. */
import { UserError } from '../../base/errors.js';
import type { Session } from './context.js';
import { Usage, words } from './usage.js';

function driveNamed(s: Session, id: string): Session['drives'][number] {
  const drive = s.drives.find((d) => d.id === id);
  if (!drive) throw new UserError(`Device '${id}' not found`);
  return drive;
}

export async function change(s: Session, text: string): Promise<void> {
  const [id, file, format, mode] = words(text.replace(/-f\s+/, ''));
  if (id === undefined) throw new Usage('change: block device name expected', 'change');
  if (file === undefined) throw new Usage('change: filename expected', 'change');
  const drive = driveNamed(s, id);
  drive.checkRemovable();
  const readOnly = mode === 'read-only' || (mode === undefined && drive.readOnly);
  const medium = await s.openMedium(file, format, readOnly || /cd\d$/.test(id));
  try {
    drive.changeMedium(medium, /(^|\s)-f\s/.test(text));
  } catch (error) {
    await medium.close();
    throw error;
  }
}

export function eject(s: Session, text: string): void {
  const force = /^-f\s/.test(text);
  const [id] = words(text.replace(/^-f\s+/, ''));
  if (id === undefined) throw new Usage('eject: block device name expected', 'eject');
  driveNamed(s, id).changeMedium(null, force);
}

const SUFFIXES = 'BKMGTPE';
/** Sizes without a suffix are MiB. */
const DEFAULT_POWER = 2;

export async function blockResize(s: Session, text: string): Promise<void> {
  const [id, size] = words(text);
  if (id === undefined) throw new Usage('block_resize: block device name expected', 'block_resize');
  const [, number, suffix] = /^(\d+(?:\.\d+)?)([BKMGTPE]?)$/i.exec(size ?? '') ?? [];
  if (number === undefined) throw new Usage('invalid size', 'block_resize');
  const power = suffix === '' ? DEFAULT_POWER : SUFFIXES.indexOf(suffix!.toUpperCase());
  await driveNamed(s, id).resize(Math.floor(Number(number) * 1024 ** power));
}

/** A place on a bus comes first in old scripts: it says nothing to a drive with if=none. */
export async function driveAdd(s: Session, text: string): Promise<void> {
  const all = words(text).filter((word) => word !== '-n');
  const options = all.at(-1);
  if (options === undefined || all.length > 2) throw new Usage('drive_add: options of a drive expected', 'drive_add');
  await s.addDrive(options);
  s.print('OK\n');
}

export async function driveDel(s: Session, text: string): Promise<void> {
  const [id] = words(text);
  if (id === undefined) throw new Usage('drive_del: block device name expected', 'drive_del');
  await s.removeDrive(id);
}
