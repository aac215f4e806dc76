/** A place on an IDE channel, as a type of device sees it. */
import type { DriveContext } from '../../block/drive.js';
import type { BusDeviceType } from '../../machine/device-type.js';
import type { PropertySpecs } from '../../machine/property.js';
import type { IdeDevice } from './ide-device.js';

export interface IdeSlot {
  /** 0 to 3: channel * 2 + unit; serial numbers count by it. */
  readonly index: number;
  attach(device: IdeDevice): void;
}

export type IdeDeviceType<P extends PropertySpecs = PropertySpecs> = BusDeviceType<'IDE', IdeSlot, P, DriveContext>;
