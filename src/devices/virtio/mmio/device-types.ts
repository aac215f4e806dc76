/** The types of devices that plug into a virtio bus: the devices of `virtio-...-pci`, without that transport. */

import type { DriveContext } from '../../../block/drive.js';
import type { IoThreadContext } from '../../../block/io-thread.js';
import type { Device } from '../../../machine/device.js';
import type { OfferedBus, OffersBuses } from '../../../machine/device-bus.js';
import type { BusDeviceType } from '../../../machine/device-type.js';
import type { FolderContext } from '../../../machine/host-folder.js';
import { BOOT_INDEX, type PropertySpecs, prop } from '../../../machine/property.js';
import type { DeviceState } from '../../../machine/state.js';
import { VirtioBalloon } from '../balloon/virtio-balloon.js';
import { BLK_PROPERTIES, makeVirtioBlk } from '../blk/virtio-blk-pci.js';
import { makeVirtioSerial, SERIAL_PROPERTIES } from '../console/virtio-serial-pci.js';
import type { VirtioDevice } from '../core/virtio-device.js';
import { makeVirtio9p, NINEP_PROPERTIES } from '../ninep/virtio-9p.js';
import { coreOptions, VIRTIO_CORE_PROPERTIES } from '../pci/properties.js';
import { type GeneratorContext, RNG_PROPERTIES, rngOptions, VirtioRng } from '../rng/virtio-rng.js';
import { makeVirtioScsi, VIRTIO_SCSI_PROPERTIES } from '../scsi/virtio-scsi.js';
import type { VirtioBusSlot } from './virtio-mmio.js';

/** A device on a virtio bus, in the machine's tree. */
class VirtioBusDevice implements Device, OffersBuses {
  constructor(
    readonly type: string,
    readonly device: VirtioDevice,
    readonly buses: readonly OfferedBus[],
  ) {}

  reset(): void {
    this.device.reset();
  }

  save(): DeviceState {
    return this.device.save();
  }

  load(state: DeviceState): void {
    this.device.load(state);
  }

  dispose(): void {
    this.device.dispose();
  }
}

export type VirtioBusDeviceType<P extends PropertySpecs = PropertySpecs, C = unknown> = BusDeviceType<
  'virtio-bus',
  VirtioBusSlot,
  P,
  C
>;

function plugged(slot: VirtioBusSlot, type: string, device: VirtioDevice, buses: readonly OfferedBus[] = []): Device {
  slot.attach(device);
  return new VirtioBusDevice(type, device, buses);
}

const blkProperties = { ...VIRTIO_CORE_PROPERTIES, ...BLK_PROPERTIES, bootindex: BOOT_INDEX };
export const virtioBlkDevice: VirtioBusDeviceType<typeof blkProperties, DriveContext & IoThreadContext> = {
  name: 'virtio-blk-device',
  description: 'virtio disk without PCI',
  category: 'Storage devices',
  bus: 'virtio-bus',
  properties: blkProperties,
  create: (slot, v, context) =>
    // One queue: there is one interrupt.
    plugged(
      slot,
      'virtio-blk-device',
      makeVirtioBlk('virtio-blk-device', v, coreOptions(v), {
        drive: (id) => context.drive(id),
        isIoThread: (id) => context.isIoThread(id),
        cpus: 1,
      }),
    ),
};

const rngProperties = { ...VIRTIO_CORE_PROPERTIES, ...RNG_PROPERTIES };
export const virtioRngDevice: VirtioBusDeviceType<typeof rngProperties, GeneratorContext> = {
  name: 'virtio-rng-device',
  description: 'virtio source of random numbers without PCI',
  category: 'Misc devices',
  bus: 'virtio-bus',
  properties: rngProperties,
  create: (slot, v, context) => {
    const options = { ...coreOptions(v), ...rngOptions('virtio-rng-device', v, context.clocks.virtual) };
    return plugged(slot, 'virtio-rng-device', new VirtioRng(context.generator(v.rng), options));
  },
};

const balloonProperties = {
  ...VIRTIO_CORE_PROPERTIES,
  'deflate-on-oom': prop.bool(false, 'the guest may take pages back when it runs out of memory'),
};
export const virtioBalloonDevice: VirtioBusDeviceType<typeof balloonProperties> = {
  name: 'virtio-balloon-device',
  description: 'virtio memory balloon without PCI',
  category: 'Misc devices',
  bus: 'virtio-bus',
  properties: balloonProperties,
  create: (slot, v, { ramBytes }) =>
    plugged(
      slot,
      'virtio-balloon-device',
      new VirtioBalloon({ ...coreOptions(v), ramBytes, deflateOnOom: v['deflate-on-oom'] }),
    ),
};

const serialProperties = { ...VIRTIO_CORE_PROPERTIES, ...SERIAL_PROPERTIES };
export const virtioSerialDevice: VirtioBusDeviceType<typeof serialProperties> = {
  name: 'virtio-serial-device',
  description: 'virtio console device without PCI',
  category: 'Input devices',
  bus: 'virtio-bus',
  properties: serialProperties,
  create(slot, v) {
    const { device, bus } = makeVirtioSerial(v, coreOptions(v));
    return plugged(slot, 'virtio-serial-device', device, [bus]);
  },
};

const scsiProperties = { ...VIRTIO_CORE_PROPERTIES, ...VIRTIO_SCSI_PROPERTIES };
export const virtioScsiDevice: VirtioBusDeviceType<typeof scsiProperties, IoThreadContext> = {
  name: 'virtio-scsi-device',
  description: 'virtio SCSI host adapter without PCI',
  category: 'Storage devices',
  bus: 'virtio-bus',
  properties: scsiProperties,
  create(slot, v, context) {
    const isIoThread = (id: string): boolean => context.isIoThread(id);
    const device = makeVirtioScsi(v, coreOptions(v), { isIoThread, cpus: 1 });
    return plugged(slot, 'virtio-scsi-device', device, [device.bus.offered]);
  },
};

const ninepProperties = { ...VIRTIO_CORE_PROPERTIES, ...NINEP_PROPERTIES };
export const virtio9pDevice: VirtioBusDeviceType<typeof ninepProperties, FolderContext> = {
  name: 'virtio-9p-device',
  description: 'folder of the host without PCI',
  category: 'Storage devices',
  bus: 'virtio-bus',
  properties: ninepProperties,
  create: (slot, v, context) =>
    plugged(
      slot,
      'virtio-9p-device',
      makeVirtio9p('virtio-9p-device', v, coreOptions(v), context, () => context.clocks.host.now()),
    ),
};
