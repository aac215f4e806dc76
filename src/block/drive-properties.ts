/** Properties of a device that say how it uses its drive, as far as they are the same for all. */
import { UserError } from '../base/errors.js';
import { type PropertyValues, prop } from '../machine/property.js';
import type { BlockBackend, DriveContext } from './drive.js';

const POLICIES = ['auto', 'report', 'ignore', 'enospc', 'stop'] as const;

/** `auto`: as the drive says. */
export const CACHE_PROPERTIES = {
  'write-cache': prop.enumeration(['auto', 'on', 'off'], 'auto', 'writes need not be safe when they end'),
  'share-rw': prop.bool(false, 'others may write the image of a -drive meanwhile'),
} as const;

export const BLOCK_SIZE_PROPERTIES = {
  logical_block_size: prop.size(512, 'bytes of a block as the guest addresses it'),
  physical_block_size: prop.size(512, 'bytes of a block as the medium has it'),
} as const;

const SMALLEST_BLOCK = 512;
const LARGEST_BLOCK = 2 * 2 ** 20;

/** Throws UserError for sizes that no medium has. */
export function blockSizes(
  type: string,
  v: PropertyValues<typeof BLOCK_SIZE_PROPERTIES>,
): { readonly logicalBlockSize: number; readonly physicalBlockSize: number } {
  const { logical_block_size: logicalBlockSize, physical_block_size: physicalBlockSize } = v;
  for (const n of [logicalBlockSize, physicalBlockSize]) {
    if (n < SMALLEST_BLOCK || n > LARGEST_BLOCK || !Number.isInteger(Math.log2(n)))
      throw new UserError(`${type}: block sizes are powers of 2 from 512 to 2 MiB`);
  }
  if (logicalBlockSize > physicalBlockSize)
    throw new UserError('logical_block_size > physical_block_size not supported: raise physical_block_size');
  return { logicalBlockSize, physicalBlockSize };
}

const UNSET = 0xffff_ffff;

/** Hints for a guest: sizes that its requests had best be multiples of. */
export const LIMIT_PROPERTIES = {
  discard_granularity: prop.size(UNSET, 'what discards had best be multiples of; by default a block'),
  min_io_size: prop.size(0, 'least size of a request that the medium likes'),
  opt_io_size: prop.size(0, 'size of a request that the medium likes best'),
} as const;

export interface BlockLimits {
  /** Bytes each. */
  readonly discardGranularity: number;
  readonly minIo: number;
  readonly optIo: number;
}

/** Throws UserError for what is no multiple of a block. */
export function blockLimits(v: PropertyValues<typeof LIMIT_PROPERTIES>, logicalBlockSize: number): BlockLimits {
  const { discard_granularity, min_io_size, opt_io_size } = v;
  for (const [name, value] of Object.entries({ min_io_size, opt_io_size, discard_granularity })) {
    if (value % logicalBlockSize !== 0 && value !== UNSET)
      throw new UserError(`${name} must be a multiple of logical_block_size`);
  }
  if (min_io_size / logicalBlockSize > 0xffff)
    throw new UserError(`min_io_size must not exceed ${0xffff} logical blocks`);
  if (opt_io_size / logicalBlockSize > 0xffff_ffff)
    throw new UserError(`opt_io_size must not exceed ${0xffff_ffff} logical blocks`);
  return {
    discardGranularity:
      discard_granularity === UNSET || discard_granularity === 0 ? logicalBlockSize : discard_granularity,
    minIo: min_io_size,
    optIo: opt_io_size,
  };
}

export const DRIVE_PROPERTIES = {
  ...CACHE_PROPERTIES,
  rerror: prop.enumeration(POLICIES, 'auto', 'what happens when the host cannot read'),
  werror: prop.enumeration(POLICIES, 'auto', 'what happens when the host cannot write'),
} as const;

type DriveValues = Pick<PropertyValues<typeof CACHE_PROPERTIES>, 'write-cache'> &
  Partial<PropertyValues<typeof DRIVE_PROPERTIES>>;

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
