/** The legacy interface: a header of ports, then the device's configuration. VIRTIO 1.2, 4.1.4.10 and 2.7.2. */
import type { AccessSize } from '../../../memory/io.js';
import type { Memory } from '../../../memory/memory.js';
import type { MemoryRegion } from '../../../memory/region.js';
import { availableBytes } from '../core/split-ring.js';
import type { VirtioPci } from './virtio-pci.js';

const Port = {
  deviceFeatures: 0,
  driverFeatures: 4,
  queueAddress: 8,
  queueSize: 12,
  queueSelect: 14,
  queueNotify: 16,
  status: 18,
  isr: 19,
  configVector: 20,
  queueVector: 22,
} as const;
const HEADER = 20;
const HEADER_WITH_VECTORS = 24;
/** Queues lie on pages, and the used ring on a page of its own. */
const PAGE = 4096;
const SMALLEST = 32;

export class LegacyPorts {
  constructor(private readonly transport: VirtioPci) {}

  region(memory: Memory, doorbells: boolean): MemoryRegion {
    let size = SMALLEST;
    while (size < (this.transport.msix ? HEADER_WITH_VECTORS : HEADER) + this.transport.device.config.length) size *= 2;
    return memory.io(`${this.transport.type}-legacy`, size, {
      sizes: { min: 1, max: 4, unaligned: true },
      doorbells: doorbells
        ? this.transport.device.queues.map((_, value) => ({ offset: Port.queueNotify, size: 2, value }))
        : [],
      read: (offset, width) => this.#read(offset, width),
      write: (offset, width, value) => this.#write(offset, width, value),
    });
  }

  /** Where the device's configuration begins. */
  get #header(): number {
    return this.transport.msix?.enabled ? HEADER_WITH_VECTORS : HEADER;
  }

  #read(offset: number, size: AccessSize): number {
    const { transport } = this;
    const { device, common } = transport;
    if (offset >= this.#header) return device.readConfig(offset - this.#header, size);
    const queue = device.queues[common.queueSelect];
    switch (offset) {
      case Port.deviceFeatures:
        return device.offered.words[0]!;
      case Port.driverFeatures:
        return device.accepted.words[0]!;
      case Port.queueAddress:
        return queue ? Math.floor(queue.descriptorArea / PAGE) : 0;
      case Port.queueSize:
        return queue?.size ?? 0;
      case Port.queueSelect:
        return common.queueSelect;
      case Port.status:
        return device.status;
      case Port.isr:
        return transport.readIsr();
      case Port.configVector:
        return transport.configVector;
      case Port.queueVector:
        return transport.queueVectors[common.queueSelect] ?? 0xffff;
      default:
        return 0;
    }
  }

  #write(offset: number, size: AccessSize, value: number): void {
    const { transport } = this;
    const { device, common } = transport;
    if (offset >= this.#header) {
      device.writeConfig(offset - this.#header, size, value);
      return;
    }
    const queue = device.queues[common.queueSelect];
    switch (offset) {
      case Port.driverFeatures:
        device.acceptFeatures(0, value);
        break;
      case Port.queueAddress:
        if (value === 0) transport.setStatus(0);
        else if (queue) {
          queue.descriptorArea = value * PAGE;
          queue.driverArea = queue.descriptorArea + 16 * queue.size;
          queue.deviceArea = Math.ceil((queue.driverArea + availableBytes(queue.size)) / PAGE) * PAGE;
          queue.enabled = true;
        }
        break;
      case Port.queueSelect:
        common.queueSelect = value & 0xffff;
        break;
      case Port.queueNotify:
        device.notify(value & 0xffff);
        break;
      case Port.status:
        transport.setStatus(value & 0xff);
        break;
      case Port.configVector:
        transport.configVector = transport.vector(value & 0xffff);
        break;
      case Port.queueVector:
        if (queue) transport.queueVectors[queue.index] = transport.vector(value & 0xffff);
        break;
    }
  }
}
