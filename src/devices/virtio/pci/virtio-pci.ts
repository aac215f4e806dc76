/**
 * Virtio over PCI: modern (VIRTIO 1.2, 4.1), legacy (4.1.4.10), or both, which the specification calls transitional.
 *
 *   BAR 0  ports of the legacy interface
 *   BAR 1  MSI-X table
 *   BAR 4  modern: common configuration, ISR, device configuration, notifications
 */
import type { Clocks, Timer } from '../../../machine/clock.js';
import type { Device } from '../../../machine/device.js';
import type { OfferedBus, OffersBuses } from '../../../machine/device-bus.js';
import type { PciSlot } from '../../../machine/pci-slot.js';
import { type DeviceState, stateOf } from '../../../machine/state.js';
import type { AccessSize, DmaMemory, Doorbell } from '../../../memory/io.js';
import type { MemoryRegion } from '../../../memory/region.js';
import { readRegion, writeRegion } from '../../../memory/region-access.js';
import { Msix } from '../../pci/msix.js';
import { type BarSpec, PciFunction } from '../../pci/pci-function.js';
import type { VirtioDevice, VirtioTransport } from '../core/virtio-device.js';
import { MODERN_BAR, MODERN_CAPABILITIES, MSIX_AT, MSIX_BAR, NOTIFY_MULTIPLIER, Window } from './capabilities.js';
import { CommonConfig } from './common-config.js';
import { LegacyPorts } from './legacy-ports.js';

export const VIRTIO_VENDOR = 0x1af4;
const MODERN_DEVICE_ID = 0x1040;
export const NO_VECTOR = 0xffff;
const Isr = { queue: 1, config: 2 } as const;

export interface VirtioPciOptions {
  /** QEMU's name of the type: `virtio-blk-pci`. */
  readonly type: string;
  /** Class, subclass, programming interface. */
  readonly classCode: number;
  /** Device id of the transitional device; types without one are modern only. */
  readonly transitionalId?: number;
  readonly legacy: boolean;
  readonly modern: boolean;
  /** The accelerator may take the driver's notices for us. */
  readonly doorbells: boolean;
  /** MSI-X vectors; 0 for none. */
  readonly vectors: number;
  readonly clocks: Pick<Clocks, 'virtual'>;
  /** Buses that the device offers. */
  readonly buses?: readonly OfferedBus[];
}

const modernDoorbells = (queues: number): Doorbell[] =>
  Array.from({ length: queues }, (_, i) => ({ offset: Window.notify + i * NOTIFY_MULTIPLIER, size: 2 }));

type Register = 'MSIX_CONTROL' | 'CFG_BAR' | 'CFG_OFFSET' | 'CFG_LENGTH' | 'CFG_DATA';

export class VirtioPci implements Device, VirtioTransport, OffersBuses {
  readonly type: string;
  readonly buses: readonly OfferedBus[];
  readonly pci: PciFunction<Register>;
  readonly msix: Msix | undefined;
  readonly common: CommonConfig;
  isr = 0;
  configVector = NO_VECTOR;
  /** MSI-X vector of each queue. */
  readonly queueVectors: Uint16Array;
  readonly #window: MemoryRegion;
  readonly #resume: Timer;
  readonly #state: ReturnType<typeof stateOf>;

  constructor(
    slot: PciSlot,
    readonly device: VirtioDevice,
    options: VirtioPciOptions,
  ) {
    this.type = options.type;
    this.buses = options.buses ?? [];
    const { memory } = slot;
    const { vectors } = options;
    this.msix = vectors > 0 ? new Msix(memory, vectors, { name: options.type, bar: MSIX_BAR, at: MSIX_AT }) : undefined;
    this.queueVectors = new Uint16Array(device.queues.length).fill(NO_VECTOR);
    this.common = new CommonConfig(this);
    this.#window = memory.io(`${options.type}-modern`, Window.bytes, {
      sizes: { min: 1, max: 4, unaligned: true },
      doorbells: options.doorbells ? modernDoorbells(device.queues.length) : [],
      read: (offset, size) => this.#readWindow(offset, size),
      write: (offset, size, value) => this.#writeWindow(offset, size, value),
    });
    const legacy = options.legacy && options.transitionalId !== undefined;
    const bars: BarSpec[] = [];
    if (legacy) bars.push({ index: 0, kind: 'io', region: new LegacyPorts(this).region(memory, options.doorbells) });
    if (this.msix) bars.push({ index: MSIX_BAR, kind: 'memory32', region: this.msix.region });
    if (options.modern) bars.push({ index: MODERN_BAR, kind: 'memory64', prefetchable: true, region: this.#window });
    this.pci = new PciFunction<Register>(
      slot,
      {
        vendorId: VIRTIO_VENDOR,
        deviceId: legacy ? options.transitionalId : MODERN_DEVICE_ID + device.id,
        revision: legacy ? 0 : 1,
        classCode: options.classCode,
        subsystemVendorId: VIRTIO_VENDOR,
        subsystemId: legacy ? device.id : 0x1100,
        interruptPin: 1,
        bars,
        capabilities: [...(this.msix ? [this.msix.capability] : []), ...(options.modern ? MODERN_CAPABILITIES : [])],
      },
      {
        read: { CFG_DATA: () => this.#readThroughConfiguration() },
        written: {
          MSIX_CONTROL: () => this.msix?.controlWritten(),
          CFG_DATA: (value) => this.#writeThroughConfiguration(value),
        },
      },
    );
    this.msix?.connect(this.pci);
    // Once everything else is loaded too, and time runs.
    this.#resume = options.clocks.virtual.timer(`${options.type}-resume`, () => device.resume());
    this.#state = stateOf<VirtioPci>(
      this,
      1,
      ['pci', ...(this.msix ? (['msix'] as const) : []), 'device', 'common', 'isr', 'configVector', 'queueVectors'],
      () => this.#resume.arm(options.clocks.virtual.now()),
    );
    device.attach(this);
    if (!options.modern) device.offered.words[1] = 0;
  }

  get memory(): DmaMemory {
    return this.pci.dma;
  }

  queueInterrupt(index: number): void {
    this.#interrupt(Isr.queue, this.queueVectors[index]!);
  }

  configInterrupt(): void {
    this.#interrupt(Isr.config, this.configVector);
  }

  /** Reading the ISR acknowledges the interrupt. */
  readIsr(): number {
    const value = this.isr;
    this.isr = 0;
    this.pci.intx.set(false);
    return value;
  }

  /** The driver writes the device's status. */
  setStatus(value: number): void {
    this.device.setStatus(value);
    if (value === 0) this.#resetTransport();
  }

  /** A vector as the driver assigns it: those that are not there become none. */
  vector(wanted: number): number {
    return this.msix && wanted < this.msix.vectors ? wanted : NO_VECTOR;
  }

  reset(): void {
    this.device.reset();
    this.#resetTransport();
    this.pci.reset();
    this.msix?.reset();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  unplug(): void {
    this.device.reset();
    this.pci.unplug();
  }

  dispose(): void {
    this.#resume.disarm();
    this.device.dispose();
  }

  #resetTransport(): void {
    this.isr = 0;
    this.configVector = NO_VECTOR;
    this.queueVectors.fill(NO_VECTOR);
    this.common.reset();
    this.pci.intx.set(false);
  }

  #interrupt(bit: number, vector: number): void {
    this.isr |= bit;
    if (this.msix?.enabled) this.msix.notify(vector);
    else this.pci.intx.set(true);
  }

  #readWindow(offset: number, size: AccessSize): number {
    if (offset < Window.isr) return this.common.read(offset, size);
    if (offset < Window.device) return offset === Window.isr ? this.readIsr() : 0;
    if (offset < Window.notify) return this.device.readConfig(offset - Window.device, size);
    return 0;
  }

  #writeWindow(offset: number, size: AccessSize, value: number): void {
    if (offset >= Window.notify) this.device.notify(Math.floor((offset - Window.notify) / NOTIFY_MULTIPLIER));
    else if (offset >= Window.device) this.device.writeConfig(offset - Window.device, size, value);
    else if (offset < Window.isr) this.common.write(offset, size, value);
  }

  /** What the window through configuration space shows now; undefined when it is set wrongly. */
  #selected(): { readonly offset: number; readonly size: AccessSize } | undefined {
    const size = this.pci.get('CFG_LENGTH');
    const offset = this.pci.get('CFG_OFFSET');
    if (this.pci.get('CFG_BAR') !== MODERN_BAR || (size !== 1 && size !== 2 && size !== 4)) return undefined;
    return offset % size === 0 && offset + size <= Window.bytes ? { offset, size } : undefined;
  }

  #readThroughConfiguration(): number {
    const at = this.#selected();
    return at ? readRegion(this.#window, at.offset, at.size) : 0;
  }

  #writeThroughConfiguration(value: number): void {
    const at = this.#selected();
    if (at) writeRegion(this.#window, at.offset, at.size, value);
  }
}
