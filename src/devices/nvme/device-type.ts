/** `-device nvme`. */
import { UserError } from '../../base/errors.js';
import type { DriveContext } from '../../block/drive.js';
import { CACHE_PROPERTIES, driveWithMedium } from '../../block/drive-properties.js';
import type { PciDeviceType } from '../../machine/device-type.js';
import { BOOT_INDEX, prop } from '../../machine/property.js';
import { NVME_TRACE, Nvme } from './nvme.js';

const properties = {
  ...CACHE_PROPERTIES,
  bootindex: BOOT_INDEX,
  drive: prop.drive('drive that holds the medium'),
  serial: prop.str('serial number, 1 to 20 characters'),
  max_ioqpairs: prop.uint32(64, 'pairs of queues for reading and writing'),
  msix_qsize: prop.uint16(65, 'MSI-X vectors'),
  mdts: prop.uint8(7, 'largest transfer: 2 to the power of this, in pages of 4 KiB'),
  logical_block_size: prop.size(512, 'bytes of a block'),
};

export const nvme: PciDeviceType<typeof properties, DriveContext> = {
  name: 'nvme',
  description: 'NVM Express controller',
  category: 'Storage devices',
  bus: 'PCI',
  properties,
  trace: NVME_TRACE,
  create(slot, v, context) {
    const drive = driveWithMedium(context, 'nvme', v);
    if (v.serial === '' || v.serial.length > 20)
      throw new UserError('nvme: serial property not set: give 1 to 20 characters');
    const block = v.logical_block_size;
    if (![512, 1024, 2048, 4096].includes(block)) throw new UserError('nvme: logical_block_size is 512 to 4096');
    if (v.max_ioqpairs < 1 || v.max_ioqpairs > 1000)
      throw new UserError('nvme: max_ioqpairs must be between 1 and 1000');
    // The table and its pending bits have 8 KiB of the BAR.
    if (v.msix_qsize < 1 || v.msix_qsize > 256) throw new UserError('nvme: msix_qsize must be between 1 and 256');
    if (v.mdts < 1 || v.mdts > 10) throw new UserError('nvme: mdts must be between 1 and 10');
    return new Nvme(
      slot,
      drive,
      {
        serial: v.serial,
        queuePairs: v.max_ioqpairs,
        vectors: v.msix_qsize,
        mdts: v.mdts,
        blockBytes: block,
      },
      context.clocks,
    );
  },
};
