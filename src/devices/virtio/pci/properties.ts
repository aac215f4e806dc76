/** Properties that every virtio device on PCI has, under QEMU's names. */
import { UserError } from '../../../base/errors.js';
import { type PropertyValues, prop } from '../../../machine/property.js';
import type { VirtioOptions } from '../core/virtio-device.js';

export const AUTO_VECTORS = 0xffff_ffff;

/** Those that do not depend on the transport. */
export const VIRTIO_CORE_PROPERTIES = {
  indirect_desc: prop.bool(true, 'tables of descriptors outside the ring'),
  event_idx: prop.bool(true, 'the driver says when it wants interrupts'),
  packed: prop.bool(false, 'packed rings'),
  queue_reset: prop.bool(true, 'single queues can be reset'),
} as const;

export const VIRTIO_PCI_PROPERTIES = {
  ...VIRTIO_CORE_PROPERTIES,
  'disable-legacy': prop.enumeration(['auto', 'on', 'off'], 'auto', 'without the legacy interface'),
  'disable-modern': prop.bool(false, 'without the modern interface'),
  vectors: prop.uint32(AUTO_VECTORS, 'MSI-X vectors; by default as many as the device can use'),
  ioeventfd: prop.bool(true, 'under kvm, notices of the driver do not leave the guest'),
} as const;

type Values = PropertyValues<typeof VIRTIO_PCI_PROPERTIES>;

export const coreOptions = (v: PropertyValues<typeof VIRTIO_CORE_PROPERTIES>): VirtioOptions => ({
  indirectDescriptors: v.indirect_desc,
  eventIndex: v.event_idx,
  packedRing: v.packed,
  ringReset: v.queue_reset,
});

export function transportOptions(
  type: string,
  v: Values,
  standardVectors: number,
): {
  readonly type: string;
  readonly legacy: boolean;
  readonly modern: boolean;
  readonly doorbells: boolean;
  readonly vectors: number;
} {
  const legacy = v['disable-legacy'] !== 'on';
  const modern = !v['disable-modern'];
  if (!legacy && !modern) {
    throw new UserError(
      `${type}: device cannot work as neither modern nor legacy mode is enabled: set disable-modern=off`,
    );
  }
  const vectors = v.vectors === AUTO_VECTORS ? standardVectors : Math.min(v.vectors, 2048);
  return { type, legacy, modern, doorbells: v.ioeventfd, vectors };
}
