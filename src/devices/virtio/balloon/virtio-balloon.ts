/** A memory balloon: the guest hands back pages that it does without. VIRTIO 1.2, 5.5. */
import { getU16, getU32, getU64, putU32 } from '../../../base/bytes.js';
import type { BalloonControl } from '../../../machine/balloon.js';
import type { PciDeviceType } from '../../../machine/device-type.js';
import { prop } from '../../../machine/property.js';
import type { Chain } from '../core/chain.js';
import type { VirtQueue } from '../core/virt-queue.js';
import { VirtioDevice, type VirtioOptions } from '../core/virtio-device.js';
import { coreOptions, transportOptions, VIRTIO_PCI_PROPERTIES } from '../pci/properties.js';
import { VirtioPci } from '../pci/virtio-pci.js';

const BalloonFeature = { stats: 1, deflateOnOom: 2 } as const;
const PAGE = 4096;
const PFN_BYTES = 4;
/** Of one buffer; a driver sends 256. */
const MOST_PFNS = 1 << 16;
const QUEUE_SIZE = 128;
const STAT_BYTES = 10;
const MOST_STATS = 64;
/** Names of the statistics by tag, as QEMU has them. */
const STAT_NAMES = [
  'stat-swap-in',
  'stat-swap-out',
  'stat-major-faults',
  'stat-minor-faults',
  'stat-free-memory',
  'stat-total-memory',
  'stat-available-memory',
  'stat-disk-caches',
  'stat-htlb-pgalloc',
  'stat-htlb-pgfail',
] as const;

export interface VirtioBalloonOptions extends VirtioOptions {
  readonly ramBytes: number;
  readonly deflateOnOom: boolean;
}

export class VirtioBalloon extends VirtioDevice implements BalloonControl {
  readonly id = 5;
  readonly name = 'virtio-balloon';
  /** Pages that the host wants, pages that the guest has given; the rest is for features that are not offered. */
  readonly config = new Uint8Array(16);
  readonly statistics = new Map<string, number>();
  /** A statistics buffer waits here until it is asked for again. */
  #statsChain: Chain | undefined;

  constructor(private readonly options: VirtioBalloonOptions) {
    super(options);
    this.offered.add(BalloonFeature.stats);
    if (options.deflateOnOom) this.offered.add(BalloonFeature.deflateOnOom);
    for (let i = 0; i < 3; i++) this.addQueue(QUEUE_SIZE);
  }

  /** Bytes that the guest has left. */
  get actual(): number {
    return Math.max(0, this.options.ramBytes - getU32(this.config, 4) * PAGE);
  }

  /** Asks the guest to make do with `bytes`. */
  setTarget(bytes: number): void {
    const kept = Math.min(bytes, this.options.ramBytes);
    putU32(this.config, 0, Math.floor((this.options.ramBytes - kept) / PAGE));
    this.configChanged();
  }

  /** Asks the guest for new statistics. */
  requestStatistics(): void {
    const chain = this.#statsChain;
    if (!chain) return;
    this.#statsChain = undefined;
    const queue = this.queues[2]!;
    queue.push(chain, 0);
    queue.signal();
  }

  protected override stopped(): void {
    this.#statsChain = undefined;
    this.statistics.clear();
    this.config.fill(0);
  }

  protected override configWritten(offset: number, size: number, value: number): void {
    if (offset === 4 && size === 4) putU32(this.config, 4, value);
  }

  protected override resumed(queue: VirtQueue, chain: Chain): void {
    if (queue.index === 2) this.#statsChain = chain;
  }

  protected handle(queue: VirtQueue): void {
    for (let chain = queue.pop(); chain; chain = queue.pop()) {
      if (queue.index === 2) {
        this.#readStatistics(chain);
        if (this.#statsChain) queue.push(this.#statsChain, 0);
        this.#statsChain = chain;
        continue;
      }
      if (queue.index === 0) this.#inflate(chain);
      queue.push(chain, 0);
    }
  }

  /** Pages that the guest has no use for read as zeroes when it takes them back: a saved machine leaves them out. */
  #inflate(chain: Chain): void {
    const pfns = new Uint8Array(Math.min(chain.readableBytes, MOST_PFNS * PFN_BYTES));
    chain.read(0, pfns);
    for (let at = 0; at + PFN_BYTES <= pfns.length; at += PFN_BYTES) {
      const page = this.memory.ram(getU32(pfns, at) * PAGE, PAGE, true);
      if (!page) continue;
      page.fill(0);
      this.memory.wrote(page);
    }
  }

  #readStatistics(chain: Chain): void {
    const bytes = new Uint8Array(Math.min(chain.readableBytes, MOST_STATS * STAT_BYTES));
    chain.read(0, bytes);
    for (let at = 0; at + STAT_BYTES <= bytes.length; at += STAT_BYTES) {
      const name = STAT_NAMES[getU16(bytes, at)];
      if (name) this.statistics.set(name, getU64(bytes, at + 2));
    }
  }
}

const properties = {
  ...VIRTIO_PCI_PROPERTIES,
  'deflate-on-oom': prop.bool(false, 'the guest may take pages back when it runs out of memory'),
};

export const virtioBalloonPci: PciDeviceType<typeof properties> = {
  name: 'virtio-balloon-pci',
  aliases: ['virtio-balloon'],
  description: 'virtio memory balloon',
  category: 'Misc devices',
  bus: 'PCI',
  properties,
  create(slot, values, context) {
    const device = new VirtioBalloon({
      ...coreOptions(values),
      ramBytes: context.ramBytes,
      deflateOnOom: values['deflate-on-oom'],
    });
    return new VirtioPci(slot, device, {
      ...transportOptions('virtio-balloon-pci', values, 0),
      classCode: 0x00ff00,
      transitionalId: 0x1002,
      clocks: context.clocks,
    });
  },
};
