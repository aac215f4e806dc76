/** A hard disk on an IDE channel, as `-device ide-hd` names it. */
import { DRIVE_PROPERTIES, driveWithMedium } from '../../block/drive-properties.js';
import { BOOT_INDEX, prop } from '../../machine/property.js';
import { AtaDisk, trace } from './ata.js';
import type { IdeDeviceType } from './ide-slot.js';

const properties = {
  ...DRIVE_PROPERTIES,
  bootindex: BOOT_INDEX,
  drive: prop.drive('drive that holds the medium'),
  model: prop.str('model that IDENTIFY tells', 'QEMU HARDDISK'),
  serial: prop.str('serial number that IDENTIFY tells; by default it counts'),
  ver: prop.str('firmware revision that IDENTIFY tells', '2.5+'),
  wwn: prop.bits64('world wide name'),
  rotation_rate: prop.uint16(0, 'revolutions a minute; 1 for a medium that does not turn, 0 for unknown'),
};

/** Serial numbers count over the places of a board, from 1. */
export const defaultSerial = (index: number): string => `QM${String(index + 1).padStart(5, '0')}`;

export const ideHd: IdeDeviceType<typeof properties> = {
  name: 'ide-hd',
  description: 'virtual IDE disk',
  category: 'Storage devices',
  bus: 'IDE',
  properties,
  trace,
  create(slot, v, context) {
    const { model, serial, ver } = v;
    const backend = driveWithMedium(context, 'ide-hd', v);
    const disk = new AtaDisk(backend, {
      model,
      serial: serial || defaultSerial(slot.index),
      firmware: ver,
      wwn: v.wwn,
      rotationRate: v.rotation_rate,
    });
    slot.attach(disk);
    return disk;
  },
};
