/** A CD-ROM drive on an IDE channel, as `-device ide-cd` names it. */
import { Drive } from '../../block/drive.js';
import { configured, DRIVE_PROPERTIES } from '../../block/drive-properties.js';
import { BOOT_INDEX, prop } from '../../machine/property.js';
import { AtapiCdrom, trace } from './atapi.js';
import { defaultSerial } from './ide-hd.js';
import type { IdeDeviceType } from './ide-slot.js';

const properties = {
  ...DRIVE_PROPERTIES,
  bootindex: BOOT_INDEX,
  drive: prop.drive('drive that holds the medium; by default an empty one'),
  model: prop.str('model that IDENTIFY and INQUIRY tell', 'QEMU DVD-ROM'),
  serial: prop.str('serial number that IDENTIFY tells; by default it counts'),
  ver: prop.str('firmware revision that IDENTIFY and INQUIRY tell', '2.5+'),
};

export const ideCd: IdeDeviceType<typeof properties> = {
  name: 'ide-cd',
  description: 'virtual IDE CD-ROM',
  category: 'Storage devices',
  bus: 'IDE',
  properties,
  trace,
  create(slot, v, context) {
    const { drive, model, serial, ver } = v;
    const backend = drive === '' ? new Drive(null, { id: `ide-cd${slot.index}` }) : context.drive(drive);
    configured(backend, v);
    const cdrom = new AtapiCdrom(backend, {
      vendor: 'QEMU',
      model,
      serial: serial || defaultSerial(slot.index),
      firmware: ver,
    });
    slot.attach(cdrom);
    return cdrom;
  },
};
