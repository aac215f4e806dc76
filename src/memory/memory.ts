/** The memory of one machine: makes regions and address spaces, and gathers changes into transactions. */
import { Bug } from '../base/errors.js';
import { AddressSpace } from './address-space.js';
import type { IoHandler } from './io.js';
import { MemoryRegion, type RegionParts } from './region.js';

/** Where RAM comes from: the accelerator's linear memory. */
export interface RamSource {
  readonly memory: { readonly buffer: ArrayBufferLike };
  /** Zeroed bytes; gives their linear-memory address. Throws UserError when there is no room. */
  allocateRam(bytes: number, align: number): number;
  /** A device changed RAM: translated code there is void. */
  notifyWrite(host: number, bytes: number): void;
  /** Bit i of the result (byte i): page i of the range was written since the last call. Only for `dirtyLog` regions. */
  fetchAndClearDirty(host: number, bytes: number): Uint8Array;
}

const PAGE = 4096;
/** Guest physical address spaces end here: 52 bits, the most that x86-64 has. */
export const PHYSICAL_BYTES = 2 ** 52;

/** RAM or ROM of a machine. */
export interface MadeBlock {
  readonly name: string;
  readonly host: number;
  readonly bytes: Uint8Array;
  /** Filled by whoever made the machine; others are zero until a guest or a device writes to them. */
  readonly filled: boolean;
}

export class Memory {
  /** I/O regions by number; 0 stands for nothing. */
  readonly ioRegions: (MemoryRegion | undefined)[] = [undefined];
  /** All RAM and ROM, in the order in which it was made: what a machine's state has besides its devices'. */
  readonly ramBlocks: MadeBlock[] = [];
  readonly #spaces: AddressSpace[] = [];
  #depth = 0;
  #dirty = false;

  /** `made`: told of each block. */
  constructor(
    readonly source: RamSource,
    private readonly made: (block: MadeBlock) => void = () => {},
  ) {}

  /** Pure container: only what is put in answers. */
  container(name: string, size = PHYSICAL_BYTES): MemoryRegion {
    return this.#make('container', name, size, {});
  }

  /** `size` is a multiple of 4096. */
  ram(name: string, size: number): MemoryRegion {
    return this.#make('ram', name, size, { ram: this.#allocate(name, size, false) });
  }

  /** Written by whoever holds its `ram.bytes`, never by the guest. */
  rom(name: string, size: number): MemoryRegion {
    return this.#make('rom', name, size, { ram: this.#allocate(name, size, true) });
  }

  romDevice(name: string, size: number, handler: IoHandler): MemoryRegion {
    return this.#make('romDevice', name, size, { ram: this.#allocate(name, size, true), ...this.#register(handler) });
  }

  io(name: string, size: number, handler: IoHandler): MemoryRegion {
    return this.#make('io', name, size, this.#register(handler));
  }

  /** Shows `size` bytes of `target` from `offset` on. */
  alias(name: string, target: MemoryRegion, offset: number, size: number): MemoryRegion {
    return this.#make('alias', name, size, { target, targetOffset: offset });
  }

  addressSpace(name: string, root: MemoryRegion): AddressSpace {
    const space = new AddressSpace(name, root, this.source);
    this.#spaces.push(space);
    return space;
  }

  get addressSpaces(): readonly AddressSpace[] {
    return this.#spaces;
  }

  /** Runs `change`; the address spaces see all its changes at once, afterwards. Nests. */
  transaction(change: () => void): void {
    this.begin();
    try {
      change();
    } finally {
      this.commit();
    }
  }

  /** Begins a transaction that `commit` ends. */
  begin(): void {
    this.#depth++;
  }

  commit(): void {
    this.#depth--;
    if (this.#depth === 0 && this.#dirty) this.#rebuild();
  }

  /** Pages of a `dirtyLog` region written since the last call: one byte a page, non-zero when written. */
  fetchAndClearDirty(region: MemoryRegion): Uint8Array {
    if (!region.ram) throw new Bug(`dirty pages of ${region.name}, which has no RAM`);
    return this.source.fetchAndClearDirty(region.ram.host, region.size);
  }

  #make(kind: MemoryRegion['kind'], name: string, size: number, parts: RegionParts): MemoryRegion {
    const region = new MemoryRegion(kind, name, size, () => this.#changed(), parts);
    if (region.index) this.ioRegions[region.index] = region;
    return region;
  }

  #register(handler: IoHandler): RegionParts {
    return { handler, index: this.ioRegions.push(undefined) - 1 };
  }

  #allocate(name: string, size: number, filled: boolean): { host: number; bytes: Uint8Array } {
    if (size % PAGE !== 0) throw new Bug(`RAM of ${size} bytes is not whole pages`);
    const host = this.source.allocateRam(size, PAGE);
    const bytes = new Uint8Array(this.source.memory.buffer, host, size);
    const block = { name, host, bytes, filled };
    this.ramBlocks.push(block);
    this.made(block);
    return { host, bytes };
  }

  #changed(): void {
    this.#dirty = true;
    if (this.#depth === 0) this.#rebuild();
  }

  #rebuild(): void {
    this.#dirty = false;
    for (const space of this.#spaces) space.rebuild();
  }
}
