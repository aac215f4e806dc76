/** A virtio console device on PCI, as `-device virtio-serial-pci` names it; its ports are devices of their own. */

import { UserError } from '../../../base/errors.js';
import { HOT_AT_ONCE, type OfferedBus } from '../../../machine/device-bus.js';
import type { PciDeviceType } from '../../../machine/device-type.js';
import { prop } from '../../../machine/property.js';
import { coreOptions, transportOptions, VIRTIO_PCI_PROPERTIES } from '../pci/properties.js';
import { VirtioPci } from '../pci/virtio-pci.js';
import { SERIAL_PLACE, serialSlot } from './ports.js';
import { VIRTIO_SERIAL_TRACE, VirtioSerial } from './virtio-serial.js';

const MOST_PORTS = 31;

export const SERIAL_PROPERTIES = {
  max_ports: prop.uint32(MOST_PORTS, 'how many ports there can be, 1 to 31'),
  'emergency-write': prop.bool(true, 'a driver may write single characters before it has queues'),
} as const;

/** The device without its transport, and its bus; throws UserError. */
export function makeVirtioSerial(
  v: { readonly max_ports: number; readonly 'emergency-write': boolean },
  core: ReturnType<typeof coreOptions>,
): { readonly device: VirtioSerial; readonly bus: OfferedBus } {
  if (v.max_ports < 1 || v.max_ports > MOST_PORTS) {
    throw new UserError(`max_ports of a virtio-serial device is 1 to ${MOST_PORTS}`);
  }
  const device = new VirtioSerial({ ...core, maxPorts: v.max_ports, emergencyWrite: v['emergency-write'] });
  const bus: OfferedBus = {
    name: 'virtio-serial-bus',
    type: 'virtio-serial-bus',
    place: SERIAL_PLACE,
    hot: HOT_AT_ONCE,
    hasRoom: () => device.ports.some((p) => !p.client),
    slot: (_type, place) => serialSlot(device, place),
  };
  return { device, bus };
}

const properties = { ...VIRTIO_PCI_PROPERTIES, ...SERIAL_PROPERTIES };

export const virtioSerialPci: PciDeviceType<typeof properties> = {
  name: 'virtio-serial-pci',
  aliases: ['virtio-serial'],
  description: 'virtio console device',
  category: 'Input devices',
  bus: 'PCI',
  properties,
  trace: VIRTIO_SERIAL_TRACE,
  create(slot, values, context) {
    const { device, bus } = makeVirtioSerial(values, coreOptions(values));
    return new VirtioPci(slot, device, {
      ...transportOptions('virtio-serial-pci', values, values.max_ports + 1),
      classCode: 0x078000,
      transitionalId: 0x1003,
      clocks: context.clocks,
      buses: [bus],
    });
  },
};
