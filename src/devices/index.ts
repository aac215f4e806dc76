/** Every type of device that `-device` can make, and what the lists, help texts and traces derive from. */
import type { DriveContext } from '../block/drive.js';
import type { IoThreadContext } from '../block/io-thread.js';
import type { CharContext } from '../char/context.js';
import type { BusDeviceType, IsaDeviceType, PciDeviceType } from '../machine/device-type.js';
import type { FolderContext } from '../machine/host-folder.js';
import type { PropertySpecs } from '../machine/property.js';
import { ich9Ahci } from './ahci/ich9-ahci.js';
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
import { nvme } from './nvme/device-type.js';
import { pcieRootPort } from './pci/pcie-root-port.js';
import { scsiCd } from './scsi/scsi-cd.js';
import { scsiHd } from './scsi/scsi-hd.js';
import type { ScsiSlot } from './scsi/scsi-unit.js';
import { isaFdc } from './storage/isa-fdc.js';
import { virtioBalloonPci } from './virtio/balloon/virtio-balloon.js';
import { virtioBlkPci } from './virtio/blk/virtio-blk-pci.js';
import { type VirtioSerialSlot, virtconsole, virtserialport } from './virtio/console/ports.js';
import { virtioSerialPci } from './virtio/console/virtio-serial-pci.js';
import {
  virtio9pDevice,
  virtioBalloonDevice,
  virtioBlkDevice,
  virtioRngDevice,
  virtioScsiDevice,
  virtioSerialDevice,
} from './virtio/mmio/device-types.js';
import type { VirtioBusSlot } from './virtio/mmio/virtio-mmio.js';
import { virtio9pPci } from './virtio/ninep/virtio-9p.js';
import { type GeneratorContext, virtioRngPci } from './virtio/rng/virtio-rng.js';
import { virtioScsiPci } from './virtio/scsi/virtio-scsi.js';

/** What devices use that lies outside the machine: backends by the user's names. */
export interface DeviceResources
  extends CharContext,
    DriveContext,
    FolderContext,
    GeneratorContext,
    IoThreadContext,
    RomContext {}

export type DeviceType =
  | IsaDeviceType<PropertySpecs, DeviceResources>
  | PciDeviceType<PropertySpecs, DeviceResources>
  | BusDeviceType<'IDE', IdeSlot, PropertySpecs, DeviceResources>
  | BusDeviceType<'SCSI', ScsiSlot, PropertySpecs, DeviceResources>
  | BusDeviceType<'virtio-bus', VirtioBusSlot, PropertySpecs, DeviceResources>
  | BusDeviceType<'virtio-serial-bus', VirtioSerialSlot, PropertySpecs, DeviceResources>;

export const DEVICE_TYPES: readonly DeviceType[] = [
  ich9Ahci,
  ideCd,
  ideHd,
  isaDebugExit,
  isaDebugcon,
  isaFdc,
  isaParallel,
  isaSerial,
  nvme,
  pcieRootPort,
  pcTestdev,
  pvpanic,
  scsiCd,
  scsiHd,
  vgaIsaType,
  vgaPciType,
  virtconsole,
  virtio9pDevice,
  virtio9pPci,
  virtioBalloonDevice,
  virtioBalloonPci,
  virtioBlkDevice,
  virtioRngDevice,
  virtioScsiDevice,
  virtioSerialDevice,
  virtioBlkPci,
  virtioRngPci,
  virtioScsiPci,
  virtioSerialPci,
  virtserialport,
];

/** What QEMU's names of virtio devices on PCI that end so mean: with or without the legacy interface, whatever the bus. */
const VIRTIO_VARIANTS = {
  '-non-transitional': { 'disable-legacy': 'on', 'disable-modern': 'off' },
  '-transitional': { 'disable-legacy': 'off', 'disable-modern': 'off' },
} as const;

const hasVariants = (type: DeviceType): boolean => /^virtio-.*-pci$/.test(type.name);

/** Properties that a name of a device type stands for beside the type. */
export function presetOf(name: string): Readonly<Record<string, string>> {
  for (const [suffix, preset] of Object.entries(VIRTIO_VARIANTS)) if (name.endsWith(suffix)) return preset;
  return {};
}

/** The names of a type that a user may give, the usual one first. */
export const namesOf = (type: DeviceType): string[] => [
  type.name,
  ...(hasVariants(type) ? Object.keys(VIRTIO_VARIANTS).map((suffix) => type.name + suffix) : []),
];

/** By any of its names, or an alias. */
export function findDeviceType(name: string): DeviceType | undefined {
  return DEVICE_TYPES.find((type) => namesOf(type).includes(name) || type.aliases?.includes(name));
}
