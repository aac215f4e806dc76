/**
 * A virtio device without its transport: status, features, queues, configuration. VIRTIO 1.2, chapters 2 and 3.
 *
 * A type of device extends this: it names its features and queues, fills `config`, and works in `handle` on what the driver
 * made available. Whatever the driver does wrong ends in `fail`: DEVICE_NEEDS_RESET, and nothing until a reset.
 */
import { guestError } from '../../../base/log.js';
import { traceEvents } from '../../../base/trace.js';
import { type DeviceState, type Stateful, stateOf } from '../../../machine/state.js';
import type { DmaMemory } from '../../../memory/io.js';
import type { Chain } from './chain.js';
import { Feature, FeatureSet } from './features.js';
import { type QueueHost, VirtQueue } from './virt-queue.js';

export const VIRTIO_TRACE = traceEvents({
  virtio_set_status: '%s val 0x%02x',
  virtio_queue_notify: '%s queue %u',
  virtio_notify: '%s queue %u',
  virtio_notify_config: '%s',
});

export const Status = {
  acknowledge: 1,
  driver: 2,
  driverOk: 4,
  featuresOk: 8,
  needsReset: 0x40,
  failed: 0x80,
} as const;

/** What a transport gives the device that sits on it. */
export interface VirtioTransport {
  readonly memory: DmaMemory;
  /** Buffers of the queue were used. */
  queueInterrupt(index: number): void;
  /** The configuration changed, or the device needs a reset. */
  configInterrupt(): void;
}

const NO_TRANSPORT: VirtioTransport = {
  memory: {
    generation: 0,
    ram: () => undefined,
    wrote: () => {},
    read: (_, into) => void into.fill(0xff),
    write: () => {},
  },
  queueInterrupt: () => {},
  configInterrupt: () => {},
};

export interface VirtioOptions {
  readonly indirectDescriptors?: boolean;
  readonly eventIndex?: boolean;
  readonly packedRing?: boolean;
  readonly ringReset?: boolean;
}

export abstract class VirtioDevice implements QueueHost, Stateful {
  /** Number of the type of device: VIRTIO 1.2, chapter 5. */
  abstract readonly id: number;
  /** For messages and traces: `virtio-blk`. */
  abstract readonly name: string;
  /** The device-specific configuration, as the driver sees it. */
  abstract readonly config: Uint8Array;
  readonly queues: VirtQueue[] = [];
  status = 0;
  configGeneration = 0;
  /** Stopped until a reset. */
  broken = false;
  readonly offered = new FeatureSet();
  /** What the driver accepted, in two words. */
  readonly accepted = new FeatureSet();
  acceptedWords = this.accepted.words;
  #transport = NO_TRANSPORT;
  protected readonly coreState: Stateful = stateOf<VirtioDevice>(this, 1, [
    'queues',
    'status',
    'configGeneration',
    'broken',
    'acceptedWords',
    'config',
  ]);

  constructor(options: VirtioOptions) {
    this.offered.add(Feature.version1);
    this.offered.add(Feature.notifyOnEmpty);
    this.offered.add(Feature.anyLayout);
    if (options.indirectDescriptors ?? true) this.offered.add(Feature.indirectDescriptors);
    if (options.eventIndex ?? true) this.offered.add(Feature.eventIndex);
    if (options.packedRing ?? false) this.offered.add(Feature.packedRing);
    if (options.ringReset ?? true) this.offered.add(Feature.ringReset);
  }

  get memory(): DmaMemory {
    return this.#transport.memory;
  }

  attach(transport: VirtioTransport): void {
    this.#transport = transport;
  }

  /** Memory may still be written on behalf of buffers from before a reset: the reset is not over. */
  get busy(): boolean {
    return false;
  }

  /** The driver made buffers available. */
  protected abstract handle(queue: VirtQueue): void;

  /** A machine was loaded while the device worked on this buffer: begins anew. */
  protected resumed(_queue: VirtQueue, _chain: Chain): void {}

  /** The driver wrote `size` bytes of configuration at `offset`; `config` holds what was there before. */
  protected configWritten(_offset: number, _size: number, _value: number): void {}

  /** The driver accepted features and is ready. */
  protected started(): void {}

  /** Back to power-on, besides what the core resets. */
  protected stopped(): void {}

  /** The device is gone: lets go of its backends. */
  dispose(): void {}

  /** One queue was reset. */
  protected queueStopped(_queue: VirtQueue): void {}

  save(): DeviceState {
    return this.coreState.save();
  }

  load(state: DeviceState): void {
    this.coreState.load(state);
  }

  /** After the transport's own state was loaded too: goes on with what was under way. */
  resume(): void {
    for (const queue of this.queues) {
      for (const chain of queue.resume()) this.resumed(queue, chain);
    }
  }

  has(feature: number): boolean {
    return this.accepted.has(feature);
  }

  fail(reason: string): void {
    if (this.broken) return;
    guestError('%s: %s', this.name, reason);
    this.broken = true;
    this.status |= Status.needsReset;
    if (this.status & Status.driverOk && this.has(Feature.version1)) this.#transport.configInterrupt();
  }

  interrupt(index: number): void {
    if (VIRTIO_TRACE.virtio_notify.enabled) VIRTIO_TRACE.virtio_notify.emit(this.name, index);
    this.#transport.queueInterrupt(index);
  }

  reset(): void {
    this.status = 0;
    this.broken = false;
    this.accepted.clear();
    this.configGeneration = 0;
    for (const queue of this.queues) queue.reset();
    this.stopped();
  }

  /** The driver writes the status: 0 resets. */
  setStatus(value: number): void {
    if (VIRTIO_TRACE.virtio_set_status.enabled) VIRTIO_TRACE.virtio_set_status.emit(this.name, value);
    if (value === 0) {
      this.reset();
      return;
    }
    const before = this.status;
    this.status = value | (before & Status.needsReset);
    if (~before & this.status & Status.driverOk) this.started();
  }

  /** One queue back to its power-on state, if the driver accepted that this can be done. */
  resetQueue(queue: VirtQueue): void {
    if (!this.has(Feature.ringReset)) return;
    queue.reset();
    this.queueStopped(queue);
  }

  /** The driver accepts features, a word of 32 at a time; final once it has said so. */
  acceptFeatures(word: number, bits: number): void {
    if (word > 1 || this.status & Status.featuresOk) return;
    this.accepted.words[word] = bits & this.offered.words[word]!;
  }

  /** The driver notifies the device of new buffers. */
  notify(index: number): void {
    const queue = this.queues[index];
    if (!queue?.enabled || !this.live) return;
    if (VIRTIO_TRACE.virtio_queue_notify.enabled) VIRTIO_TRACE.virtio_queue_notify.emit(this.name, index);
    this.handle(queue);
    queue.signal();
  }

  /** Whether buffers may be used. A legacy driver may begin before it says that it is ready. */
  get live(): boolean {
    return !this.broken && ((this.status & Status.driverOk) !== 0 || !this.has(Feature.version1));
  }

  /** Bytes beyond the end read as zero. */
  readConfig(offset: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= (this.config[offset + i] ?? 0) << (8 * i);
    return value >>> 0;
  }

  writeConfig(offset: number, size: number, value: number): void {
    if (offset + size <= this.config.length) this.configWritten(offset, size, value);
  }

  /** `config` was changed by the device: tells the driver. */
  protected configChanged(): void {
    this.configGeneration = (this.configGeneration + 1) & 0xff;
    if (!(this.status & Status.driverOk)) return;
    if (VIRTIO_TRACE.virtio_notify_config.enabled) VIRTIO_TRACE.virtio_notify_config.emit(this.name);
    this.#transport.configInterrupt();
  }

  protected addQueue(maxSize: number): VirtQueue {
    const queue = new VirtQueue(this.queues.length, maxSize, this);
    this.queues.push(queue);
    return queue;
  }
}
