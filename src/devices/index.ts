/** Every type of device that `-device` can make, and what the lists, help texts and traces derive from. */
import type { DriveContext } from '../block/drive.js';
import type { CharContext } from '../char/context.js';
import type { BusDeviceType, IsaDeviceType, PciDeviceType } from '../machine/device-type.js';
import type { PropertySpecs } from '../machine/property.js';
import { isaSerial } from './char/isa-serial.js';
import { isaParallel } from './char/parallel.js';
import { vgaIsaType } from './display/vga-isa.js';
import { type RomContext, vgaPciType } from './display/vga-pci.js';
import { ideCd } from './ide/ide-cd.js';
import { ideHd } from './ide/ide-hd.js';
import type { IdeSlot } from './ide/ide-slot.js';
import { isaDebugExit } from './misc/debug-exit.js';
import { isaDebugcon } from './misc/debugcon.js';
import { pcTestdev } from './misc/pc-testdev.js';
import { pvpanic } from './misc/pvpanic.js';
import { isaFdc } from './storage/isa-fdc.js';
import { virtioBlkPci } from './virtio/blk/virtio-blk-pci.js';

/** What devices use that lies outside the machine: backends by the user's names. */
export interface DeviceResources extends CharContext, DriveContext, RomContext {}

export type DeviceType =
  | IsaDeviceType<PropertySpecs, DeviceResources>
  | PciDeviceType<PropertySpecs, DeviceResources>
  | BusDeviceType<'IDE', IdeSlot, PropertySpecs, DeviceResources>;

export const DEVICE_TYPES: readonly DeviceType[] = [
  ideCd,
  ideHd,
  isaDebugExit,
  isaDebugcon,
  isaFdc,
  isaParallel,
  isaSerial,
  pcTestdev,
  pvpanic,
  vgaIsaType,
  vgaPciType,
  virtioBlkPci,
];

/** By name or alias. */
export function findDeviceType(name: string): DeviceType | undefined {
  return DEVICE_TYPES.find((type) => type.name === name || type.aliases?.includes(name));
}
