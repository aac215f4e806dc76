/** Buses that devices offer to other devices: a SCSI controller's, a port of a PCI Express root complex. */
import type { Device } from './device.js';
import type { PropertySpecs } from './property.js';

/** How devices come to a bus, and leave it, while the machine runs. */
export interface HotBus {
  /** A device came: tells the guest. */
  added(device: Device): void;
  /** Asks the guest to let go of a device; `gone` is called once it has. */
  remove(device: Device, gone: () => void): void;
}

export interface OfferedBus {
  /** QEMU's name of its kind, in lower case: what the bus's own name begins with. */
  readonly name: string;
  /** Named after the device's id itself, without a number. */
  readonly namedById?: boolean;
  /** What `DeviceType.bus` of its devices says. */
  readonly type: string;
  /** Properties of the place on it: `scsi-id`, `nr`. */
  readonly place: PropertySpecs;
  hasRoom(): boolean;
  /** What a device of the type is plugged into; throws UserError when the place is taken or is not there. */
  slot(type: string, place: Readonly<Record<string, unknown>>): unknown;
  /** Without it, devices stay as long as the machine. */
  readonly hot?: HotBus;
  /** More lines of `info qtree` about the device that was plugged in last. */
  details?(): () => readonly string[];
}

export interface OffersBuses {
  readonly buses: readonly OfferedBus[];
}

export const offersBuses = (device: object): device is OffersBuses => 'buses' in device;

/** A bus whose own protocol tells the guest what came and went. */
export const HOT_AT_ONCE: HotBus = { added: () => {}, remove: (_device, gone) => gone() };
