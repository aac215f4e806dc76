/** What a device offers to a bus: registers behind addresses. */

export type AccessSize = 1 | 2 | 4;

/** Handles accesses to one I/O region (ports or memory). Offsets count from the region's start; values are unsigned. */
export interface IoHandler {
  read(offset: number, size: AccessSize): number;
  write(offset: number, size: AccessSize, value: number): void;
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
