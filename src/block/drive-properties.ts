/** Properties of a device that say how it uses its drive, as far as they are the same for all. */
import { UserError } from '../base/errors.js';
import { type PropertyValues, prop } from '../machine/property.js';
import type { BlockBackend, DriveContext } from './drive.js';

const POLICIES = ['auto', 'report', 'ignore', 'enospc', 'stop'] as const;

/** `auto`: as the drive says. */
export const CACHE_PROPERTIES = {
  'write-cache': prop.enumeration(['auto', 'on', 'off'], 'auto', 'writes need not be safe when they end'),
} as const;

export const DRIVE_PROPERTIES = {
  ...CACHE_PROPERTIES,
  rerror: prop.enumeration(POLICIES, 'auto', 'what happens when the host cannot read'),
  werror: prop.enumeration(POLICIES, 'auto', 'what happens when the host cannot write'),
} as const;

type DriveValues = PropertyValues<typeof CACHE_PROPERTIES> & Partial<PropertyValues<typeof DRIVE_PROPERTIES>>;

/** Makes the drive work as the device's properties say. */
export function configured(drive: BlockBackend, v: DriveValues): BlockBackend {
  const { rerror = 'auto', werror = 'auto' } = v;
  drive.setPolicy({ ...(rerror !== 'auto' && { rerror }), ...(werror !== 'auto' && { werror }) });
  if (v['write-cache'] !== 'auto') drive.writeCache = v['write-cache'] === 'on';
  return drive;
}

/** The drive that `device` needs a medium in; throws UserError when there is none. */
export function driveWithMedium(
  context: DriveContext,
  device: string,
  v: DriveValues & { readonly drive: string },
): BlockBackend {
  if (v.drive === '') throw new UserError(`${device}: no drive: give one with '-drive if=none,id=...' and 'drive=...'`);
  const drive = context.drive(v.drive);
  if (!drive.inserted) throw new UserError(`${device}: drive '${v.drive}' has no medium: name its file`);
  return configured(drive, v);
}
