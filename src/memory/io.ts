/** What a device offers to a bus: registers behind addresses. */

export type AccessSize = 1 | 2 | 4;

/**
 * A place where a write only says that there is something to do: several are as good as one, and nobody waits for it. With `value`
 * only writes of that value are meant; without, it means nothing.
 */
export interface Doorbell {
  readonly offset: number;
  readonly size: 2 | 4;
  readonly value?: number;
}

/** Handles accesses to one I/O region (ports or memory). Offsets count from the region's start; values are unsigned. */
export interface IoHandler {
  read(offset: number, size: AccessSize): number;
  write(offset: number, size: AccessSize, value: number): void;
  /** Accelerators may deliver writes to these a little later. */
  readonly doorbells?: readonly Doorbell[];
  /**
   * Sizes that `read`/`write` implement; default 1 to 4. The memory core splits larger accesses (also 8-byte ones, low
   * half first) and widens smaller ones. Unaligned accesses are split into bytes unless `unaligned`.
   */
  readonly sizes?: { readonly min: AccessSize; readonly max: AccessSize; readonly unaligned?: boolean };
}

/** Bus-master access to guest memory, as a device gets it. Addresses are guest physical (exact up to 2^53). */
export interface Dma {
  /** Fills `into`; unassigned addresses read as 0xff. */
  read(address: number, into: Uint8Array): void;
  write(address: number, from: Uint8Array): void;
}

/** Guest memory as devices with queues in it see it: RAM itself besides copies. */
export interface DmaMemory extends Dma {
  /** Changes when views that `ram` gave may show something else than the guest has there. */
  readonly generation: number;
  /**
   * RAM at `address`: up to `atMost` bytes of it, as many as lie in one piece. Undefined where there is none, or none that
   * may be written when `forWriting`.
   */
  ram(address: number, atMost: number, forWriting: boolean): Uint8Array | undefined;
  /** The device wrote to a view that `ram` gave, or to a part of one. */
  wrote(view: Uint8Array): void;
}
