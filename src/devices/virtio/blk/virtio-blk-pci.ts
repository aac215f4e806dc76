/** A virtio disk on PCI, as `-device virtio-blk-pci` and `-drive if=virtio` name it. */
import { UserError } from '../../../base/errors.js';
import type { DriveContext } from '../../../block/drive.js';
import {
  BLOCK_SIZE_PROPERTIES,
  blockLimits,
  blockSizes,
  DRIVE_PROPERTIES,
  driveWithMedium,
  LIMIT_PROPERTIES,
} from '../../../block/drive-properties.js';
import { IO_THREAD_PROPERTIES, type IoThreadContext, requireIoThread } from '../../../block/io-thread.js';
import type { PciDeviceType } from '../../../machine/device-type.js';
import { BOOT_INDEX, prop } from '../../../machine/property.js';
import { coreOptions, transportOptions, VIRTIO_PCI_PROPERTIES } from '../pci/properties.js';
import { VirtioPci } from '../pci/virtio-pci.js';
import { MOST_RANGE_SECTORS, VIRTIO_BLK_TRACE, VirtioBlk } from './virtio-blk.js';

const AUTO_QUEUES = 0xffff;
const MOST_QUEUES = 1024;

export const BLK_PROPERTIES = {
  ...DRIVE_PROPERTIES,
  ...IO_THREAD_PROPERTIES,
  drive: prop.drive('drive that holds the medium'),
  serial: prop.str('serial number, 20 characters at most'),
  'num-queues': prop.uint16(AUTO_QUEUES, 'request queues; by default one for each processor'),
  'queue-size': prop.uint16(256, 'requests that a queue holds: a power of two from 4 to 1024'),
  'config-wce': prop.bool(true, 'the guest may turn the write cache on and off'),
  discard: prop.bool(true, 'the guest may discard blocks'),
  'write-zeroes': prop.bool(true, 'the guest may write zeroes without sending them'),
  ...BLOCK_SIZE_PROPERTIES,
  ...LIMIT_PROPERTIES,
  'max-discard-sectors': prop.uint32(MOST_RANGE_SECTORS, 'sectors that a request discards at most'),
  'max-write-zeroes-sectors': prop.uint32(MOST_RANGE_SECTORS, 'sectors that a request zeroes at most'),
} as const;

const properties = { ...VIRTIO_PCI_PROPERTIES, ...BLK_PROPERTIES, bootindex: BOOT_INDEX };

/** The device without its transport; throws UserError for values that do not fit. */
export function makeVirtioBlk(
  type: string,
  v: { readonly [K in keyof typeof BLK_PROPERTIES]: (typeof BLK_PROPERTIES)[K]['default'] },
  core: ReturnType<typeof coreOptions>,
  context: DriveContext & IoThreadContext & { readonly cpus: number },
): VirtioBlk {
  requireIoThread(context, v);
  const backend = driveWithMedium(context, type, v);
  const queues = v['num-queues'] === AUTO_QUEUES ? context.cpus : v['num-queues'];
  if (queues < 1 || queues > MOST_QUEUES) {
    throw new UserError(`num-queues property must be larger than 0 and at most ${MOST_QUEUES}`);
  }
  const queueSize = v['queue-size'];
  if (queueSize < 4 || queueSize > 1024 || !Number.isInteger(Math.log2(queueSize))) {
    throw new UserError(`invalid queue-size property (${queueSize}), must be a power of 2 from 4 to 1024`);
  }
  const { logicalBlockSize, physicalBlockSize } = blockSizes(type, v);
  for (const name of ['max-discard-sectors', 'max-write-zeroes-sectors'] as const) {
    if (v[name] < 1 || v[name] > MOST_RANGE_SECTORS)
      throw new UserError(`invalid ${name} property (${v[name]}), must be between 1 and ${MOST_RANGE_SECTORS}`);
  }
  return new VirtioBlk({
    ...core,
    backend,
    serial: v.serial,
    queues,
    queueSize,
    configWce: v['config-wce'],
    discard: v.discard,
    writeZeroes: v['write-zeroes'],
    logicalBlockSize,
    physicalBlockSize,
    limits: blockLimits(v, logicalBlockSize),
    mostDiscard: v['max-discard-sectors'],
    mostWriteZeroes: v['max-write-zeroes-sectors'],
  });
}

export const virtioBlkPci: PciDeviceType<typeof properties, DriveContext & IoThreadContext> = {
  name: 'virtio-blk-pci',
  aliases: ['virtio-blk'],
  description: 'virtio disk',
  category: 'Storage devices',
  bus: 'PCI',
  properties,
  trace: VIRTIO_BLK_TRACE,
  create(slot, values, context) {
    const device = makeVirtioBlk('virtio-blk-pci', values, coreOptions(values), context);
    return new VirtioPci(slot, device, {
      ...transportOptions('virtio-blk-pci', values, device.queues.length + 1),
      classCode: 0x010000,
      transitionalId: 0x1001,
      clocks: context.clocks,
    });
  },
};
