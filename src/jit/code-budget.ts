/**
 * Bounds the memory of compiled code. The JavaScript engine keeps a module until the last of its functions is gone, and needs
 * about 6.5 bytes for each byte of it (its bytes, machine code of two tiers, what it notes of each memory access). So when all
 * modules together become too large, all regions of the oldest ones go.
 */

/** A module some of whose regions are installed. */
export interface CodeModule<Region> {
  readonly bytes: number;
  readonly regions: Set<Region>;
}

export class CodeBudget<Region> {
  /** The oldest first. */
  private readonly modules = new Set<CodeModule<Region>>();
  private total = 0;

  /** Bytes of the modules that have regions. */
  get bytes(): number {
    return this.total;
  }

  /** A new module; its regions are still to be put into it. */
  add(bytes: number): CodeModule<Region> {
    const module = { bytes, regions: new Set<Region>() };
    this.modules.add(module);
    this.total += bytes;
    return module;
  }

  /** A region of the module is gone. */
  release(module: CodeModule<Region>, region: Region): void {
    module.regions.delete(region);
    if (module.regions.size === 0 && this.modules.delete(module)) this.total -= module.bytes;
  }

  /**
   * When the modules take more than `limit` bytes: the regions to drop for three quarters of it to be left, so that it is not
   * exceeded again at once.
   */
  surplus(limit: number): Region[] {
    const found: Region[] = [];
    if (this.total <= limit) return found;
    let rest = this.total;
    for (const module of this.modules) {
      if (rest <= limit * 0.75) break;
      found.push(...module.regions);
      rest -= module.bytes;
    }
    return found;
  }

  clear(): void {
    this.modules.clear();
    this.total = 0;
  }
}
