/** An entropy source. VIRTIO 1.2, 5.4. */

import { putU32 } from '../../../base/bytes.js';
import { UserError } from '../../../base/errors.js';
import type { Clock, Timer } from '../../../machine/clock.js';
import type { PciDeviceType } from '../../../machine/device-type.js';
import { type PropertyValues, prop } from '../../../machine/property.js';
import type { VirtQueue } from '../core/virt-queue.js';
import { VirtioDevice, type VirtioOptions } from '../core/virtio-device.js';
import { coreOptions, transportOptions, VIRTIO_PCI_PROPERTIES } from '../pci/properties.js';
import { VirtioPci } from '../pci/virtio-pci.js';

const QUEUE_SIZE = 8;
/** A buffer may be filled in part; drivers come again for more. */
const MOST_BYTES = 4096;

/** What a device with an `rng` property is given. */
export interface GeneratorContext {
  /** Gives 32 random bits a call: the source with this id, '' is the machine's own. Throws UserError for unknown ids. */
  generator(id: string): () => number;
}

/** No limit. */
const ANY = Number.MAX_SAFE_INTEGER;

export const RNG_PROPERTIES = {
  rng: prop.str("source of the bytes, by the id of an -object; by default the host's generator"),
  'max-bytes': prop.uint64(ANY, 'bytes that the guest gets in a period'),
  period: prop.uint32(65536, 'length of a period in ms'),
} as const;

export interface VirtioRngOptions extends VirtioOptions {
  /** The guest gets so many bytes in so many ns, and waits for the next period then. */
  readonly limit?: { readonly bytes: number; readonly periodNs: number; readonly clock: Clock };
}

export class VirtioRng extends VirtioDevice {
  readonly id = 4;
  readonly name = 'virtio-rng';
  readonly config = new Uint8Array(0);
  readonly #bytes = new Uint8Array(MOST_BYTES);
  readonly #limit: VirtioRngOptions['limit'];
  readonly #period: Timer | undefined;
  #left = Number.POSITIVE_INFINITY;

  /** `random` gives 32 random bits. */
  constructor(
    private readonly random: () => number,
    options: VirtioRngOptions = {},
  ) {
    super(options);
    this.addQueue(QUEUE_SIZE);
    this.#limit = options.limit;
    if (!this.#limit) return;
    this.#left = this.#limit.bytes;
    this.#period = this.#limit.clock.timer('virtio-rng', () => this.#nextPeriod());
  }

  protected handle(queue: VirtQueue): void {
    while (this.#left > 0) {
      const chain = queue.pop();
      if (!chain) return;
      const bytes = this.#bytes.subarray(0, Math.min(chain.writableBytes, this.#left));
      for (let at = 0; at < bytes.length; at += 4) putU32(this.#bytes, at, this.random());
      if (this.#limit && this.#left === this.#limit.bytes) this.#arm(this.#limit.periodNs);
      this.#left -= bytes.length;
      queue.push(chain, chain.write(0, bytes));
    }
  }

  /** What the guest had got of its period is not saved. */
  override resume(): void {
    super.resume();
    this.#arm(0);
  }

  override dispose(): void {
    this.#period?.disarm();
  }

  #arm(ns: number): void {
    if (this.#limit) this.#period!.arm(this.#limit.clock.now() + ns);
  }

  #nextPeriod(): void {
    this.#left = this.#limit!.bytes;
    this.notify(0);
  }
}

/** What the properties say, for a device on any transport. */
export function rngOptions(
  type: string,
  v: PropertyValues<typeof RNG_PROPERTIES>,
  clock: Clock,
): Pick<VirtioRngOptions, 'limit'> {
  if (v.period === 0) throw new UserError(`${type}: 'period' parameter expects a positive integer`);
  if (v['max-bytes'] === ANY) return {};
  return { limit: { bytes: v['max-bytes'], periodNs: v.period * 1e6, clock } };
}

const properties = { ...VIRTIO_PCI_PROPERTIES, ...RNG_PROPERTIES };

export const virtioRngPci: PciDeviceType<typeof properties, GeneratorContext> = {
  name: 'virtio-rng-pci',
  aliases: ['virtio-rng'],
  description: 'virtio source of random numbers',
  category: 'Misc devices',
  bus: 'PCI',
  properties,
  create(slot, v, context) {
    const options = { ...coreOptions(v), ...rngOptions('virtio-rng-pci', v, context.clocks.virtual) };
    return new VirtioPci(slot, new VirtioRng(context.generator(v.rng), options), {
      ...transportOptions('virtio-rng-pci', v, 2),
      classCode: 0x00ff00,
      transitionalId: 0x1005,
      clocks: context.clocks,
    });
  },
};
