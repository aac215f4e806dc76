/** Buses that devices offer to other devices: a SCSI controller's, a port of a PCI Express root complex. */
import type { PropertySpecs } from './property.js';

export interface OfferedBus {
  /** QEMU's name of its kind, in lower case: what the bus's own name begins with. */
  readonly name: string;
  /** What `DeviceType.bus` of its devices says. */
  readonly type: string;
  /** Properties of the place on it: `scsi-id`, `nr`. */
  readonly place: PropertySpecs;
  hasRoom(): boolean;
  /** What a device of the type is plugged into; throws UserError when the place is taken or is not there. */
  slot(type: string, place: Readonly<Record<string, unknown>>): unknown;
  /** More lines of `info qtree` about the device that was plugged in last. */
  details?(): () => readonly string[];
}

export interface OffersBuses {
  readonly buses: readonly OfferedBus[];
}

export const offersBuses = (device: object): device is OffersBuses => 'buses' in device;
