/** The common configuration structure of a modern device. VIRTIO 1.2, 4.1.4.3. */
import { type DeviceState, type Stateful, stateOf } from '../../../machine/state.js';
import type { AccessSize } from '../../../memory/io.js';
import type { VirtQueue } from '../core/virt-queue.js';
import type { VirtioPci } from './virtio-pci.js';

const Field = {
  deviceFeatureSelect: 0,
  deviceFeature: 4,
  driverFeatureSelect: 8,
  driverFeature: 12,
  configVector: 16,
  numQueues: 18,
  deviceStatus: 20,
  configGeneration: 21,
  queueSelect: 22,
  queueSize: 24,
  queueVector: 26,
  queueEnable: 28,
  queueNotifyOff: 30,
  queueDescriptor: 32,
  queueDriver: 40,
  queueDevice: 48,
  queueNotifyData: 56,
  queueReset: 58,
} as const;
const NO_VECTOR = 0xffff;
const WORD = 2 ** 32;

export class CommonConfig implements Stateful {
  deviceFeatureSelect = 0;
  driverFeatureSelect = 0;
  queueSelect = 0;
  readonly #state = stateOf<CommonConfig>(this, 1, ['deviceFeatureSelect', 'driverFeatureSelect', 'queueSelect']);

  constructor(private readonly transport: VirtioPci) {}

  reset(): void {
    this.deviceFeatureSelect = this.driverFeatureSelect = this.queueSelect = 0;
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  /** Fields are read as they are, whatever the width of the access. */
  read(offset: number, _size: AccessSize): number {
    const { transport } = this;
    const { device } = transport;
    const queue = device.queues[this.queueSelect];
    switch (offset) {
      case Field.deviceFeatureSelect:
        return this.deviceFeatureSelect;
      case Field.deviceFeature:
        return device.offered.words[this.deviceFeatureSelect] ?? 0;
      case Field.driverFeatureSelect:
        return this.driverFeatureSelect;
      case Field.driverFeature:
        return device.accepted.words[this.driverFeatureSelect] ?? 0;
      case Field.configVector:
        return transport.configVector;
      case Field.numQueues:
        return device.queues.length;
      case Field.deviceStatus:
        // A driver that resets the device waits until it reads 0.
        return device.status || Number(device.busy);
      case Field.configGeneration:
        return device.configGeneration;
      case Field.queueSelect:
        return this.queueSelect;
      case Field.queueSize:
        return queue?.size ?? 0;
      case Field.queueVector:
        return transport.queueVectors[this.queueSelect] ?? NO_VECTOR;
      case Field.queueEnable:
        return queue?.enabled ? 1 : 0;
      case Field.queueNotifyOff:
        return queue ? queue.index : 0;
      case Field.queueReset:
        return 0;
      default:
        return queue ? readAddress(queue, offset) : 0;
    }
  }

  write(offset: number, size: AccessSize, value: number): void {
    const { transport } = this;
    const { device } = transport;
    const queue = device.queues[this.queueSelect];
    switch (offset) {
      case Field.deviceFeatureSelect:
        this.deviceFeatureSelect = value;
        break;
      case Field.driverFeatureSelect:
        this.driverFeatureSelect = value;
        break;
      case Field.driverFeature:
        device.acceptFeatures(this.driverFeatureSelect, value);
        break;
      case Field.configVector:
        transport.configVector = transport.vector(value);
        break;
      case Field.deviceStatus:
        transport.setStatus(value & 0xff);
        break;
      case Field.queueSelect:
        this.queueSelect = value & 0xffff;
        break;
      case Field.queueVector:
        if (queue) transport.queueVectors[queue.index] = transport.vector(value);
        break;
      case Field.queueSize:
        if (queue && !queue.enabled && value > 0 && value <= queue.maxSize) queue.size = value;
        break;
      case Field.queueEnable:
        if (queue && value === 1) queue.enabled = true;
        break;
      case Field.queueReset:
        if (queue && value === 1) device.resetQueue(queue);
        break;
      default:
        if (queue && !queue.enabled && size === 4) writeAddress(queue, offset, value);
    }
  }
}

const AREAS = { 32: 'descriptorArea', 40: 'driverArea', 48: 'deviceArea' } as const;
const areaAt = (offset: number): (typeof AREAS)[keyof typeof AREAS] | undefined =>
  AREAS[(offset & ~7) as keyof typeof AREAS];

function readAddress(queue: VirtQueue, offset: number): number {
  const area = areaAt(offset);
  if (!area) return 0;
  return offset % 8 === 0 ? queue[area] % WORD : Math.floor(queue[area] / WORD);
}

/** Addresses come in two halves. */
function writeAddress(queue: VirtQueue, offset: number, value: number): void {
  const area = areaAt(offset);
  if (!area) return;
  if (offset % 8 === 0) queue[area] = Math.floor(queue[area] / WORD) * WORD + value;
  else if (offset % 8 === 4) queue[area] = value * WORD + (queue[area] % WORD);
}
