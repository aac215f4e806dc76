/** Virtio over memory-mapped registers, version 2. VIRTIO 1.2, 4.2. */
import type { Clocks, Timer } from '../../../machine/clock.js';
import type { Device } from '../../../machine/device.js';
import type { OfferedBus, OffersBuses } from '../../../machine/device-bus.js';
import type { IrqLine } from '../../../machine/irq.js';
import { type DeviceState, stateOf } from '../../../machine/state.js';
import type { AccessSize, DmaMemory, Doorbell, IoHandler } from '../../../memory/io.js';
import type { VirtQueue } from '../core/virt-queue.js';
import type { VirtioDevice, VirtioTransport } from '../core/virtio-device.js';

export const VIRTIO_MMIO_BYTES = 0x200;

const Register = {
  magic: 0x000,
  version: 0x004,
  deviceId: 0x008,
  vendorId: 0x00c,
  deviceFeatures: 0x010,
  deviceFeaturesSelect: 0x014,
  driverFeatures: 0x020,
  driverFeaturesSelect: 0x024,
  queueSelect: 0x030,
  queueSizeMax: 0x034,
  queueSize: 0x038,
  queueReady: 0x044,
  queueNotify: 0x050,
  interruptStatus: 0x060,
  interruptAcknowledge: 0x064,
  status: 0x070,
  queueReset: 0x0c0,
  configGeneration: 0x0fc,
  config: 0x100,
} as const;
/** Addresses of a queue's parts, in two halves each. */
const AREAS = { 128: 'descriptorArea', 144: 'driverArea', 160: 'deviceArea' } as const;
const MAGIC = 0x7472_6976;
const VERSION = 2;
const VENDOR = 0x554d_4551;
const Interrupt = { queue: 1, config: 2 } as const;
const WORD = 2 ** 32;

/** The place of a device on a transport of its own. */
export interface VirtioBusSlot {
  attach(device: VirtioDevice): void;
}

export class VirtioMmio implements Device, VirtioTransport, IoHandler, OffersBuses {
  readonly type = 'virtio-mmio';
  readonly sizes = { min: 1, max: 4 } as const;
  device: VirtioDevice | undefined;
  deviceFeaturesSelect = 0;
  driverFeaturesSelect = 0;
  queueSelect = 0;
  interruptStatus = 0;
  readonly #resume: Timer;
  readonly #state = stateOf<VirtioMmio>(
    this,
    1,
    ['deviceFeaturesSelect', 'driverFeaturesSelect', 'queueSelect', 'interruptStatus'],
    () => {
      this.#driveIrq();
      this.#resume.arm(this.clocks.virtual.now());
    },
  );

  readonly buses: readonly OfferedBus[] = [
    {
      name: 'virtio-mmio-bus',
      type: 'virtio-bus',
      place: {},
      hasRoom: () => this.device === undefined,
      slot: (): VirtioBusSlot => ({ attach: (device) => this.#attach(device) }),
    },
  ];

  constructor(
    readonly memory: DmaMemory,
    private readonly irq: IrqLine,
    private readonly clocks: Pick<Clocks, 'virtual'>,
  ) {
    // Once everything else is loaded too, and time runs.
    this.#resume = clocks.virtual.timer('virtio-mmio-resume', () => this.device?.resume());
  }

  get doorbells(): readonly Doorbell[] {
    return (this.device?.queues ?? []).map((_, value) => ({ offset: Register.queueNotify, size: 4, value }));
  }

  queueInterrupt(): void {
    this.interruptStatus |= Interrupt.queue;
    this.#driveIrq();
  }

  configInterrupt(): void {
    this.interruptStatus |= Interrupt.config;
    this.#driveIrq();
  }

  reset(): void {
    this.deviceFeaturesSelect = this.driverFeaturesSelect = this.queueSelect = 0;
    this.interruptStatus = 0;
    this.#driveIrq();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  dispose(): void {
    this.#resume.disarm();
  }

  read(offset: number, size: AccessSize): number {
    const { device } = this;
    if (offset >= Register.config) return device?.readConfig(offset - Register.config, size) ?? 0;
    if (size !== 4) return 0;
    const queue = device?.queues[this.queueSelect];
    switch (offset) {
      case Register.magic:
        return MAGIC;
      case Register.version:
        return VERSION;
      case Register.deviceId:
        return device?.id ?? 0;
      case Register.vendorId:
        return VENDOR;
      case Register.deviceFeatures:
        return device?.offered.words[this.deviceFeaturesSelect] ?? 0;
      case Register.queueSizeMax:
        return queue?.maxSize ?? 0;
      case Register.queueReady:
        return queue?.enabled ? 1 : 0;
      case Register.interruptStatus:
        return this.interruptStatus;
      case Register.status:
        return device ? device.status || Number(device.busy) : 0;
      case Register.configGeneration:
        return device?.configGeneration ?? 0;
      default:
        return 0;
    }
  }

  write(offset: number, size: AccessSize, value: number): void {
    const { device } = this;
    if (!device) return;
    if (offset >= Register.config) {
      device.writeConfig(offset - Register.config, size, value);
      return;
    }
    if (size !== 4) return;
    const queue = device.queues[this.queueSelect];
    switch (offset) {
      case Register.deviceFeaturesSelect:
        this.deviceFeaturesSelect = value;
        break;
      case Register.driverFeatures:
        device.acceptFeatures(this.driverFeaturesSelect, value);
        break;
      case Register.driverFeaturesSelect:
        this.driverFeaturesSelect = value;
        break;
      case Register.queueSelect:
        this.queueSelect = value;
        break;
      case Register.queueNotify:
        device.notify(value & 0xffff);
        break;
      case Register.interruptAcknowledge:
        this.interruptStatus &= ~value;
        this.#driveIrq();
        break;
      case Register.status:
        device.setStatus(value & 0xff);
        if (value === 0) this.reset();
        break;
      default:
        if (queue) writeQueue(device, queue, offset, value);
    }
  }

  #attach(device: VirtioDevice): void {
    this.device = device;
    device.attach(this);
  }

  #driveIrq(): void {
    this.irq.set(this.interruptStatus !== 0);
  }
}

function writeQueue(device: VirtioDevice, queue: VirtQueue, offset: number, value: number): void {
  if (offset === Register.queueReady) queue.enabled = value === 1;
  else if (offset === Register.queueReset) device.resetQueue(queue);
  else if (queue.enabled) return;
  else if (offset === Register.queueSize) {
    if (value > 0 && value <= queue.maxSize) queue.size = value;
  } else {
    const area = AREAS[(offset & ~4) as keyof typeof AREAS];
    if (!area) return;
    const before = queue[area];
    queue[area] = offset & 4 ? value * WORD + (before % WORD) : Math.floor(before / WORD) * WORD + value;
  }
}
