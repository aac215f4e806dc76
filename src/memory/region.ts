/**
 * Memory regions: the tree from which an address space is flattened. A container holds sub-regions at offsets, with
 * priorities; RAM, ROM and I/O regions answer accesses; an alias shows a part of another region somewhere else.
 *
 * Regions are made by `Memory` (memory.ts), which also gathers changes: a change outside a transaction makes every
 * address space recompute its flat view at once, inside one it happens when the outermost transaction ends.
 */
import { Bug } from '../base/errors.js';
import type { AccessSize, IoHandler } from './io.js';

/** A block of guest RAM (or ROM contents): where it lies in the linear memory, and its bytes. */
export interface RamBlock {
  readonly host: number;
  readonly bytes: Uint8Array;
}

/**
 * What answers an access. `romDevice`: reads come from its block, writes go to its handler (flash); with `romdMode`
 * off reads go to the handler too.
 */
export type RegionKind = 'container' | 'ram' | 'rom' | 'romDevice' | 'io' | 'alias';

interface SubRegion {
  readonly region: MemoryRegion;
  readonly offset: number;
  readonly priority: number;
}

export interface RegionParts {
  readonly ram?: RamBlock;
  readonly handler?: IoHandler;
  /** Number of an I/O region, from 1; the accelerator knows it by this. */
  readonly index?: number;
  readonly target?: MemoryRegion;
  readonly targetOffset?: number;
}

export class MemoryRegion {
  readonly ram: RamBlock | undefined;
  readonly handler: IoHandler | undefined;
  readonly index: number;
  /** The region an alias shows, and from which offset. */
  readonly target: MemoryRegion | undefined;
  /** Access sizes that the handler implements (copies of `handler.sizes` with defaults). */
  readonly minSize: AccessSize;
  readonly maxSize: AccessSize;
  readonly unaligned: boolean;

  #targetOffset: number;
  #size: number;
  #enabled = true;
  #readOnly = false;
  #romdMode = true;
  #dirtyLog = false;
  #parent: MemoryRegion | undefined;
  #subRegions: readonly SubRegion[] = [];

  /** Use the methods of `Memory`. `changed` is told of every change. */
  constructor(
    readonly kind: RegionKind,
    readonly name: string,
    size: number,
    private readonly changed: () => void,
    parts: RegionParts,
  ) {
    if (!(size > 0)) throw new Bug(`memory region ${name} of ${size} bytes`);
    this.#size = size;
    this.ram = parts.ram;
    this.handler = parts.handler;
    this.index = parts.index ?? 0;
    this.target = parts.target;
    this.#targetOffset = parts.targetOffset ?? 0;
    const sizes = parts.handler?.sizes;
    this.minSize = sizes?.min ?? 1;
    this.maxSize = sizes?.max ?? 4;
    this.unaligned = sizes?.unaligned ?? false;
  }

  get size(): number {
    return this.#size;
  }

  set size(bytes: number) {
    if (this.#size === bytes) return;
    this.#size = bytes;
    this.changed();
  }

  /** A disabled region, and all below it, answers nothing. */
  get enabled(): boolean {
    return this.#enabled;
  }

  set enabled(on: boolean) {
    if (this.#enabled === on) return;
    this.#enabled = on;
    this.changed();
  }

  /** RAM at or below a read-only region or alias ignores writes. */
  get readOnly(): boolean {
    return this.#readOnly || this.kind === 'rom';
  }

  set readOnly(on: boolean) {
    if (this.#readOnly === on) return;
    this.#readOnly = on;
    this.changed();
  }

  get romdMode(): boolean {
    return this.#romdMode;
  }

  set romdMode(on: boolean) {
    if (this.#romdMode === on) return;
    this.#romdMode = on;
    this.changed();
  }

  /** Whether writes to this RAM are recorded for a display (see `Memory.fetchAndClearDirty`). */
  get dirtyLog(): boolean {
    return this.#dirtyLog;
  }

  set dirtyLog(on: boolean) {
    if (this.#dirtyLog === on) return;
    this.#dirtyLog = on;
    this.changed();
  }

  get targetOffset(): number {
    return this.#targetOffset;
  }

  set targetOffset(bytes: number) {
    if (this.#targetOffset === bytes) return;
    this.#targetOffset = bytes;
    this.changed();
  }

  get parent(): MemoryRegion | undefined {
    return this.#parent;
  }

  /** Highest priority first; of equal ones the latest added first. */
  get subRegions(): readonly SubRegion[] {
    return this.#subRegions;
  }

  /** Puts `region` at `offset`. Where sub-regions overlap the higher priority wins, then the one added last. */
  add(region: MemoryRegion, offset: number, priority = 0): void {
    if (region.#parent) throw new Bug(`memory region ${region.name} is already in ${region.#parent.name}`);
    region.#parent = this;
    const before = this.#subRegions.filter((s) => s.priority > priority);
    const after = this.#subRegions.filter((s) => s.priority <= priority);
    this.#subRegions = [...before, { region, offset, priority }, ...after];
    this.changed();
  }

  /** Takes `region` out; does nothing when it is not in. */
  remove(region: MemoryRegion): void {
    if (region.#parent !== this) return;
    region.#parent = undefined;
    this.#subRegions = this.#subRegions.filter((s) => s.region !== region);
    this.changed();
  }
}
