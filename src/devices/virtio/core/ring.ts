/** What split and packed rings have in common: how a queue works with either. */
import type { DmaMemory } from '../../../memory/io.js';
import type { Chain } from './chain.js';

/** Where the driver put a ring and how far the device got: all that a saved machine keeps of it. */
export interface RingState {
  size: number;
  /** Guest physical addresses. */
  descriptorArea: number;
  driverArea: number;
  deviceArea: number;
  /** Split: index of the next available entry, 0 to 65535. Packed: place of the next descriptor. */
  nextAvailable: number;
  /** Split: the used index. Packed: place of the next used descriptor. */
  nextUsed: number;
  /** `nextUsed` when the driver was last asked about an interrupt; -1: not yet. */
  signalled: number;
  /** Packed: the wrap counters. */
  availableWrap: boolean;
  usedWrap: boolean;
}

export interface RingHost {
  readonly memory: DmaMemory;
  /** Whether the driver accepted the feature. */
  has(feature: number): boolean;
  /** The driver broke the rules: the device stops until it is reset. */
  fail(reason: string): void;
}

/** Views of one ring in guest RAM. They hold for one `generation` of the memory. */
export interface Ring {
  /** Whether the driver has made a buffer available. */
  readonly pending: boolean;
  /** The next available buffer; undefined when there is none or the ring is broken (then the host was told). */
  pop(): Chain | undefined;
  /** Undoes the last `pop`. */
  unpop(chain: Chain): void;
  /** Gives a buffer back, `written` bytes of it filled. */
  push(chain: Chain, written: number): void;
  /** Whether the driver wants to hear of what was pushed since the last time. */
  wantsInterrupt(): boolean;
  /** Whether the driver should tell of what it makes available. */
  setNotify(wanted: boolean): void;
}

/** Whether `event` lies in the `moved` entries before `next` (counting modulo 65536). VIRTIO 1.2, 2.7.7.2 and 2.7.10. */
export const passed = (event: number, next: number, previous: number): boolean =>
  ((next - event - 1) & 0xffff) < ((next - previous) & 0xffff);
