// hot path
/** One virtqueue of a device: its place as the driver set it, what the device is working on, interrupts. */
import { type DeviceState, type Stateful, stateOf } from '../../../machine/state.js';
import { append, Chain, type Descriptor } from './chain.js';
import { Feature } from './features.js';
import { PackedRing } from './packed-ring.js';
import type { Ring, RingHost, RingState } from './ring.js';
import { SplitRing } from './split-ring.js';

export interface QueueHost extends RingHost {
  /** Tells the driver that buffers of queue `index` were used. */
  interrupt(index: number): void;
}

const AREA = [0, 2 ** 64] as const;
const INDEX = [0, 0xffff] as const;

interface SavedChain {
  readonly [key: string]: number | readonly { readonly [key: string]: number | boolean }[];
  readonly id: number;
  readonly slots: number;
  readonly descriptors: readonly (Descriptor & { readonly [key: string]: number | boolean })[];
}

export class VirtQueue implements RingState, Stateful {
  size: number;
  /** The driver set it up: the device may use it. */
  enabled = false;
  descriptorArea = 0;
  driverArea = 0;
  deviceArea = 0;
  nextAvailable = 0;
  nextUsed = 0;
  signalled = -1;
  availableWrap = true;
  usedWrap = true;
  /** Of a loaded machine: what was popped and not pushed, until `resume`. */
  pendingChains: readonly SavedChain[] = [];
  readonly #inFlight = new Set<Chain>();
  #ring: Ring | undefined;
  #generation = -1;
  #pushed = false;
  readonly #state: Stateful;

  constructor(
    readonly index: number,
    readonly maxSize: number,
    private readonly host: QueueHost,
  ) {
    this.size = maxSize;
    this.#state = stateOf<VirtQueue>(
      this,
      1,
      [
        'size',
        'enabled',
        'descriptorArea',
        'driverArea',
        'deviceArea',
        'nextAvailable',
        'nextUsed',
        'signalled',
        'availableWrap',
        'usedWrap',
        'pendingChains',
      ],
      () => {
        this.#ring = undefined;
      },
      {
        ranges: {
          size: [1, maxSize],
          descriptorArea: AREA,
          driverArea: AREA,
          deviceArea: AREA,
          nextAvailable: INDEX,
          nextUsed: INDEX,
          signalled: [-1, 0xffff],
        },
        elements: {
          pendingChains: { id: 0, slots: 0, descriptors: [{ address: 0, length: 0, writable: false }] },
        },
      },
    );
  }

  /** How many buffers the device works on. */
  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Whether the driver has made a buffer available that was not popped. */
  get pending(): boolean {
    return this.#map()?.pending ?? false;
  }

  /** The next buffer; undefined when there is none or the queue is broken. */
  pop(): Chain | undefined {
    const chain = this.#map()?.pop();
    if (chain) this.#inFlight.add(chain);
    return chain;
  }

  /** Undoes the last `pop`. */
  unpop(chain: Chain): void {
    if (this.#inFlight.delete(chain)) this.#map()?.unpop(chain);
  }

  /** Gives a buffer back with its first `written` writable bytes filled; follow with `signal`. */
  push(chain: Chain, written: number): void {
    // A reset came in between: the buffer is the driver's again.
    if (!this.#inFlight.delete(chain)) return;
    let left = written;
    for (const piece of chain.writable) {
      if (left <= 0) break;
      this.host.memory.wrote(left < piece.length ? piece.subarray(0, left) : piece);
      left -= piece.length;
    }
    this.#map()?.push(chain, written);
    this.#pushed = true;
  }

  /** An interrupt for what was pushed, if the driver wants one. */
  signal(): void {
    if (!this.#pushed) return;
    this.#pushed = false;
    if (this.#map()?.wantsInterrupt()) this.host.interrupt(this.index);
  }

  /** Whether the driver should tell of new buffers. */
  setNotify(wanted: boolean): void {
    this.#map()?.setNotify(wanted);
  }

  reset(): void {
    this.size = this.maxSize;
    this.enabled = false;
    this.descriptorArea = this.driverArea = this.deviceArea = 0;
    this.nextAvailable = this.nextUsed = 0;
    this.signalled = -1;
    this.availableWrap = this.usedWrap = true;
    this.#inFlight.clear();
    this.pendingChains = [];
    this.#ring = undefined;
    this.#pushed = false;
  }

  save(): DeviceState {
    const resumed = this.pendingChains;
    const working = Array.from(this.#inFlight, ({ id, slots, descriptors }) => ({
      id,
      slots,
      descriptors: descriptors.map((d) => ({ ...d })),
    }));
    this.pendingChains = [...resumed, ...working];
    const saved = this.#state.save();
    this.pendingChains = resumed;
    return saved;
  }

  load(state: DeviceState): void {
    this.#inFlight.clear();
    this.#pushed = false;
    this.#state.load(state);
  }

  /** Of a loaded machine: the buffers that were being worked on, to be begun anew. */
  resume(): Chain[] {
    const resumed: Chain[] = [];
    for (const { id, slots, descriptors } of this.pendingChains) {
      const chain = new Chain(id, slots);
      for (const { address, length, writable } of descriptors) {
        const wrong = append(chain, this.host.memory, address, length, writable);
        if (wrong === undefined) continue;
        this.host.fail(wrong);
        return [];
      }
      this.#inFlight.add(chain);
      resumed.push(chain);
    }
    this.pendingChains = [];
    return resumed;
  }

  #map(): Ring | undefined {
    const { memory } = this.host;
    if (this.#ring && this.#generation === memory.generation) return this.#ring;
    if (!this.enabled) return undefined;
    this.#ring = this.host.has(Feature.packedRing) ? PackedRing.map(this, this.host) : SplitRing.map(this, this.host);
    this.#generation = memory.generation;
    if (!this.#ring) this.host.fail(`queue ${this.index} of ${this.size} is misaligned or outside RAM`);
    return this.#ring;
  }
}
