/**
 * What host bridges of PCs let processors see below 1 MiB: RAM, ROM or the PCI bus segment by segment (PAM registers), and
 * system management RAM. Intel 440FX PCIset data sheet (290549-001), 3.2.18 and 3.2.21; the MCH of later chipsets has kept it.
 */
import type { AddressSpace } from '../../memory/address-space.js';
import type { Memory } from '../../memory/memory.js';
import type { MemoryRegion } from '../../memory/region.js';

/** PAM nibble: bit 0 reads come from RAM, bit 1 writes go to RAM. */
const Pam = { pci: 0, readOnly: 1, writeOnly: 2, ram: 3 } as const;
export const SMRAM = { open: 0x40, closed: 0x20, locked: 0x10, enabled: 0x08 } as const;
const SMRAM_BASE = 0xa0000;
const SMRAM_BYTES = 0x20000;
const SHADOW_BASE = 0xc0000;
const SHADOW_BYTES = 0x40000;
export const PAM_REGISTERS = 7;

interface Segment {
  /** Number of the PAM register. */
  readonly register: number;
  readonly shift: 0 | 4;
  /** By PAM nibble; RAM needs nothing on top of it. */
  readonly views: readonly (MemoryRegion | undefined)[];
}

export interface ShadowWiring {
  readonly memory: Memory;
  /** Guest physical memory, and what a processor in SMM sees. The bridge fills both. */
  readonly system: MemoryRegion;
  readonly smm: MemoryRegion;
  /** Everything that is not RAM. */
  readonly pciMemory: MemoryRegion;
  /** RAM from 0 on (at least 1 MiB). */
  readonly ram: MemoryRegion;
}

export class ShadowRam {
  readonly #segments: readonly Segment[];
  readonly #vgaHole: MemoryRegion;
  readonly #smmRam: MemoryRegion;
  readonly #pciView: AddressSpace;

  constructor(private readonly wiring: ShadowWiring) {
    const { memory, system, smm, pciMemory, ram } = wiring;
    this.#pciView = memory.addressSpace('pci-memory', pciMemory);
    system.add(pciMemory, 0, -1);
    smm.add(memory.alias('smm-system', system, 0, system.size), 0);
    // Accesses that the bridge sends to PCI never reach the RAM behind: without a taker they end in a master abort.
    const unclaimed = memory.io('pci-unclaimed', SHADOW_BASE + SHADOW_BYTES - SMRAM_BASE, {
      read: () => 0xffff_ffff,
      write: () => {},
    });
    pciMemory.add(unclaimed, SMRAM_BASE, -1);
    this.#vgaHole = memory.alias('smram-region', pciMemory, SMRAM_BASE, SMRAM_BYTES);
    system.add(this.#vgaHole, SMRAM_BASE, 1);
    this.#smmRam = memory.alias('smram', ram, SMRAM_BASE, SMRAM_BYTES);
    smm.add(this.#smmRam, SMRAM_BASE, 1);
    this.#segments = this.#makeSegments();
  }

  /** The registers say something else: PAM0 to PAM6, and SMRAM. */
  update(pam: readonly number[], smram: number): void {
    this.wiring.memory.transaction(() => {
      for (const { register, shift, views } of this.#segments) {
        const mode = (pam[register]! >> shift) & 3;
        views.forEach((view, i) => {
          if (view) view.enabled = i === mode && mode !== Pam.ram;
        });
      }
      const enabled = (smram & SMRAM.enabled) !== 0;
      this.#vgaHole.enabled = !(enabled && smram & SMRAM.open);
      this.#smmRam.enabled = enabled;
    });
  }

  #makeSegments(): Segment[] {
    const { memory, system, pciMemory, ram } = this.wiring;
    const writeOnly = memory.io('pam-write-only', SHADOW_BYTES, {
      sizes: { min: 1, max: 4, unaligned: true },
      read: (offset, size) => this.#pciView.readValue(SHADOW_BASE + offset, size),
      write: (offset, size, value) => {
        const { host, bytes } = ram.ram!;
        for (let i = 0; i < size; i++) bytes[SHADOW_BASE + offset + i] = value >>> (8 * i);
        memory.source.notifyWrite(host + SHADOW_BASE + offset, size);
      },
    });
    const make = (register: number, shift: 0 | 4, base: number, size: number): Segment => {
      const locked = memory.alias('pam-rom', ram, base, size);
      locked.readOnly = true;
      const views = [
        memory.alias('pam-pci', pciMemory, base, size),
        locked,
        memory.alias('pam-write-only', writeOnly, base - SHADOW_BASE, size),
      ];
      for (const view of views) {
        view.enabled = false;
        system.add(view, base, 1);
      }
      return { register, shift, views };
    };
    const segments: Segment[] = [];
    memory.transaction(() => {
      segments.push(make(0, 4, 0xf0000, 0x10000));
      for (let i = 0; i + 1 < PAM_REGISTERS; i++) {
        segments.push(make(i + 1, 0, SHADOW_BASE + i * 0x8000, 0x4000));
        segments.push(make(i + 1, 4, SHADOW_BASE + i * 0x8000 + 0x4000, 0x4000));
      }
    });
    return segments;
  }
}

/** What a write leaves in the SMRAM register: a locked one keeps all but the close bit, and locking closes the space. */
export function smramAfter(value: number, previous: number): number {
  if (previous & SMRAM.locked) return (previous & ~SMRAM.closed) | (value & SMRAM.closed);
  return value & SMRAM.locked ? value & ~SMRAM.open : value;
}
