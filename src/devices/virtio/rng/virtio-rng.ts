/** An entropy source. VIRTIO 1.2, 5.4. */

import { putU32 } from '../../../base/bytes.js';
import type { PciDeviceType } from '../../../machine/device-type.js';
import type { VirtQueue } from '../core/virt-queue.js';
import { VirtioDevice, type VirtioOptions } from '../core/virtio-device.js';
import { coreOptions, transportOptions, VIRTIO_PCI_PROPERTIES } from '../pci/properties.js';
import { VirtioPci } from '../pci/virtio-pci.js';

const QUEUE_SIZE = 8;
/** A buffer may be filled in part; drivers come again for more. */
const MOST_BYTES = 4096;

export class VirtioRng extends VirtioDevice {
  readonly id = 4;
  readonly name = 'virtio-rng';
  readonly config = new Uint8Array(0);
  readonly #bytes = new Uint8Array(MOST_BYTES);

  /** `random` gives 32 random bits. */
  constructor(
    private readonly random: () => number,
    options: VirtioOptions = {},
  ) {
    super(options);
    this.addQueue(QUEUE_SIZE);
  }

  protected handle(queue: VirtQueue): void {
    for (let chain = queue.pop(); chain; chain = queue.pop()) {
      const bytes = this.#bytes.subarray(0, chain.writableBytes);
      for (let at = 0; at < bytes.length; at += 4) putU32(this.#bytes, at, this.random());
      queue.push(chain, chain.write(0, bytes));
    }
  }
}

export const virtioRngPci: PciDeviceType<typeof VIRTIO_PCI_PROPERTIES> = {
  name: 'virtio-rng-pci',
  aliases: ['virtio-rng'],
  description: 'virtio source of random numbers',
  category: 'Misc devices',
  bus: 'PCI',
  properties: VIRTIO_PCI_PROPERTIES,
  create(slot, values, context) {
    return new VirtioPci(slot, new VirtioRng(() => context.random(), coreOptions(values)), {
      ...transportOptions('virtio-rng-pci', values, 2),
      classCode: 0x00ff00,
      transitionalId: 0x1005,
      clocks: context.clocks,
    });
  },
};
