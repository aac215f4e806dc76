/** A driver of rings for tests: RAM, a device on it through a transport of the test's own, split or packed queues. */
import { getU16, getU32, putU16, putU32, putU64 } from '../../base/bytes.js';
import { ProbeBus } from '../../machine/testing/probe-bus.js';
import { Feature } from './core/features.js';
import { Status, type VirtioDevice } from './core/virtio-device.js';

const RAM_BYTES = 4 << 20;
/** Rings lie below, buffers from here on. */
const BUFFERS = 0x10_0000;
const QUEUE_BYTES = 0x1_0000;
const Flag = { next: 1, write: 2, indirect: 4, available: 0x80, used: 0x8000 } as const;

export interface Buffer {
  readonly address: number;
  readonly length: number;
  readonly writable: boolean;
}

export interface UsedBuffer {
  readonly id: number;
  readonly length: number;
}

interface Queue {
  readonly base: number;
  readonly size: number;
  available: number;
  used: number;
  wrap: boolean;
  usedWrap: boolean;
  /** Packed: how many descriptors each id took. */
  readonly slots: Map<number, number>;
}

export class TestDriver {
  readonly bus = new ProbeBus();
  readonly ram: Uint8Array;
  /** Interrupts by queue. */
  readonly interrupts: number[] = [];
  configInterrupts = 0;
  readonly #queues = new Map<number, Queue>();
  #next = BUFFERS;

  constructor(
    readonly device: VirtioDevice,
    readonly features: readonly number[] = [],
  ) {
    const region = this.bus.memory.ram('ram', RAM_BYTES);
    this.bus.memorySpace.add(region, 0);
    this.ram = region.ram!.bytes;
    device.attach({
      memory: this.bus.system,
      queueInterrupt: (index) => {
        this.interrupts[index] = (this.interrupts[index] ?? 0) + 1;
      },
      configInterrupt: () => {
        this.configInterrupts++;
      },
    });
    this.start();
  }

  /** Resets the device, accepts the features, and sets all queues up. */
  start(): void {
    const { device } = this;
    device.setStatus(0);
    device.setStatus(Status.acknowledge | Status.driver);
    const words = [0, 0];
    for (const bit of [Feature.version1, ...this.features]) words[bit >> 5]! |= 1 << (bit & 31);
    device.acceptFeatures(0, words[0]! >>> 0);
    device.acceptFeatures(1, words[1]! >>> 0);
    device.setStatus(Status.acknowledge | Status.driver | Status.featuresOk);
    this.#queues.clear();
    for (const queue of device.queues) {
      const base = QUEUE_BYTES * (queue.index + 1);
      queue.size = Math.min(queue.maxSize, 256);
      queue.descriptorArea = base;
      queue.driverArea = base + 0x4000;
      queue.deviceArea = base + 0x8000;
      queue.enabled = true;
      this.ram.fill(0, base, base + QUEUE_BYTES);
      this.#queues.set(queue.index, {
        base,
        size: queue.size,
        available: 0,
        used: 0,
        wrap: true,
        usedWrap: true,
        slots: new Map(),
      });
    }
    device.setStatus(Status.acknowledge | Status.driver | Status.featuresOk | Status.driverOk);
  }

  get packed(): boolean {
    return this.features.includes(Feature.packedRing);
  }

  /** Room in RAM, filled with `bytes` or that many zeroes. */
  place(bytes: Uint8Array | number): { readonly address: number; readonly length: number } {
    const length = typeof bytes === 'number' ? bytes : bytes.length;
    if (this.#next + length > this.ram.length) this.#next = BUFFERS;
    const address = this.#next;
    if (typeof bytes === 'number') this.ram.fill(0, address, address + length);
    else this.ram.set(bytes, address);
    this.#next += Math.ceil(length / 16) * 16;
    return { address, length };
  }

  /** Makes a buffer available and notifies the device; gives its id. */
  send(index: number, buffers: readonly Buffer[], notify = true): number {
    const id = this.packed ? this.#sendPacked(index, buffers) : this.#sendSplit(index, buffers);
    if (notify) this.device.notify(index);
    return id;
  }

  /** `readable` goes to the device, `room` bytes come back: sends both and gives the answer, once it is used. */
  async exchange(index: number, readable: Uint8Array, room: number): Promise<Uint8Array> {
    const buffers: Buffer[] = [{ ...this.place(readable), writable: false }];
    const answer = this.place(Math.max(room, 1));
    if (room > 0) buffers.push({ address: answer.address, length: room, writable: true });
    this.send(index, buffers);
    await this.settled(index);
    return this.ram.slice(answer.address, answer.address + room);
  }

  /** Waits until the queue has a used buffer, and takes it. */
  async settled(index: number): Promise<UsedBuffer> {
    for (let turn = 0; turn < 1000; turn++) {
      const used = this.take(index);
      if (used) return used;
      await new Promise((resolve) => setImmediate(resolve));
    }
    throw new Error(`queue ${index} used nothing`);
  }

  /** The next used buffer, if there is one. */
  take(index: number): UsedBuffer | undefined {
    const q = this.#queues.get(index)!;
    if (this.packed) return this.#takePacked(q);
    if (getU16(this.ram, q.base + 0x8002) === q.used) return undefined;
    const entry = q.base + 0x8004 + 8 * (q.used % q.size);
    q.used = (q.used + 1) & 0xffff;
    return { id: getU32(this.ram, entry), length: getU32(this.ram, entry + 4) };
  }

  /** Raw access for those that break the rules. */
  descriptor(index: number, at: number, address: number, length: number, flags: number, last: number): void {
    this.#write(this.#queues.get(index)!.base + 16 * at, address, length, flags, last);
  }

  /** Puts a head into a split queue's available ring and notifies. */
  offer(index: number, head: number, notify = true): void {
    const q = this.#queues.get(index)!;
    putU16(this.ram, q.base + 0x4004 + 2 * (q.available % q.size), head);
    q.available = (q.available + 1) & 0xffff;
    putU16(this.ram, q.base + 0x4002, q.available);
    if (notify) this.device.notify(index);
  }

  /** Where the parts of a queue lie. */
  area(index: number): { readonly descriptors: number; readonly driver: number; readonly device: number } {
    const { base } = this.#queues.get(index)!;
    return { descriptors: base, driver: base + 0x4000, device: base + 0x8000 };
  }

  #write(at: number, address: number, length: number, flags: number, next: number): void {
    putU64(this.ram, at, address);
    putU32(this.ram, at + 8, length);
    putU16(this.ram, at + 12, flags);
    putU16(this.ram, at + 14, next);
  }

  #sendSplit(index: number, buffers: readonly Buffer[]): number {
    const q = this.#queues.get(index)!;
    const head = (q.available * 8) % q.size;
    buffers.forEach(({ address, length, writable }, i) => {
      const more = i + 1 < buffers.length;
      const flags = (writable ? Flag.write : 0) | (more ? Flag.next : 0);
      this.#write(q.base + 16 * ((head + i) % q.size), address, length, flags, (head + i + 1) % q.size);
    });
    this.offer(index, head, false);
    return head;
  }

  #sendPacked(index: number, buffers: readonly Buffer[]): number {
    const q = this.#queues.get(index)!;
    const id = q.available;
    q.slots.set(id, buffers.length);
    buffers.forEach(({ address, length, writable }, i) => {
      const more = i + 1 < buffers.length;
      const lap = q.wrap ? Flag.available : Flag.used;
      const at = q.base + 16 * q.available;
      this.#write(at, address, length, id, lap | (writable ? Flag.write : 0) | (more ? Flag.next : 0));
      q.available++;
      if (q.available === q.size) {
        q.available = 0;
        q.wrap = !q.wrap;
      }
    });
    return id;
  }

  #takePacked(q: Queue): UsedBuffer | undefined {
    const at = q.base + 16 * q.used;
    const flags = getU16(this.ram, at + 14);
    const lap = q.usedWrap ? Flag.available | Flag.used : 0;
    if ((flags & (Flag.available | Flag.used)) !== lap) return undefined;
    const id = getU16(this.ram, at + 12);
    q.used += q.slots.get(id) ?? 1;
    if (q.used >= q.size) {
      q.used -= q.size;
      q.usedWrap = !q.usedWrap;
    }
    return { id, length: getU32(this.ram, at + 8) };
  }
}
