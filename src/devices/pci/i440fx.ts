/**
 * Intel 440FX PCI host bridge: shadow RAM (PAM) and system management RAM.
 * Intel 440FX PCIset data sheet (290549-001), 3.2.
 */

import type { Device } from '../../machine/device.js';
import { type DeviceState, stateOf } from '../../machine/state.js';
import type { AddressSpace } from '../../memory/address-space.js';
import type { Memory } from '../../memory/memory.js';
import type { MemoryRegion } from '../../memory/region.js';
import type { PciBus } from './pci-bus.js';
import { PciFunction } from './pci-function.js';

const CONFIG = [
  { name: 'PMCCFG', at: 0x50, size: 2 },
  { name: 'DETURBO', at: 0x52, size: 1 },
  { name: 'DBC', at: 0x53, size: 1, reset: 0x80 },
  { name: 'AXC', at: 0x54, size: 1 },
  { name: 'DRT', at: 0x55, size: 2 },
  { name: 'DRAMC', at: 0x57, size: 1 },
  { name: 'DRAMT', at: 0x58, size: 1 },
  { name: 'PAM0', at: 0x59, size: 1, rsvd: 0xcf },
  { name: 'PAM1', at: 0x5a, size: 1, rsvd: 0xcc },
  { name: 'PAM2', at: 0x5b, size: 1, rsvd: 0xcc },
  { name: 'PAM3', at: 0x5c, size: 1, rsvd: 0xcc },
  { name: 'PAM4', at: 0x5d, size: 1, rsvd: 0xcc },
  { name: 'PAM5', at: 0x5e, size: 1, rsvd: 0xcc },
  { name: 'PAM6', at: 0x5f, size: 1, rsvd: 0xcc },
  { name: 'DRB0_3', at: 0x60, size: 4 },
  { name: 'DRB4_7', at: 0x64, size: 4 },
  { name: 'FDHC', at: 0x68, size: 1 },
  { name: 'MTT', at: 0x70, size: 1 },
  { name: 'CLT', at: 0x71, size: 1 },
  { name: 'SMRAM', at: 0x72, size: 1, reset: 0x02, ro: 0x07 },
  { name: 'ERRCMD', at: 0x90, size: 1 },
  { name: 'ERRSTS', at: 0x91, size: 1, w1c: 0x11 },
] as const;

/** PAM nibble: bit 0 reads come from RAM, bit 1 writes go to RAM. */
const Pam = { pci: 0, readOnly: 1, writeOnly: 2, ram: 3 } as const;
const SMRAM = { open: 0x40, closed: 0x20, locked: 0x10, enabled: 0x08 } as const;
const SMRAM_BASE = 0xa0000;
const SMRAM_BYTES = 0x20000;
const SHADOW_BASE = 0xc0000;
const SHADOW_BYTES = 0x40000;

interface Segment {
  readonly register: (typeof CONFIG)[number]['name'];
  readonly shift: 0 | 4;
  /** By PAM nibble; RAM needs nothing on top of it. */
  readonly views: readonly (MemoryRegion | undefined)[];
}

export interface I440fxWiring {
  readonly memory: Memory;
  readonly bus: PciBus;
  /** Guest physical memory, and what a processor in SMM sees. The bridge fills both. */
  readonly system: MemoryRegion;
  readonly smm: MemoryRegion;
  /** Everything that is not RAM. */
  readonly pciMemory: MemoryRegion;
  /** RAM from 0 on (at least 1 MiB). */
  readonly ram: MemoryRegion;
}

export class I440fx implements Device {
  readonly type = 'i440FX';
  readonly pci: PciFunction<(typeof CONFIG)[number]['name']>;
  readonly #segments: readonly Segment[];
  readonly #vgaHole: MemoryRegion;
  readonly #smmRam: MemoryRegion;
  readonly #pciView: AddressSpace;
  readonly #state = stateOf<I440fx>(this, 1, ['pci'], () => this.#update());

  constructor(private readonly wiring: I440fxWiring) {
    const { memory, bus, system, smm, pciMemory, ram } = wiring;
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
    const update = (): void => this.#update();
    this.pci = new PciFunction(
      bus.slot(0),
      {
        vendorId: 0x8086,
        deviceId: 0x1237,
        revision: 2,
        classCode: 0x060000,
        command: { reset: 0x0006, writable: 0x0100 },
        status: 0x0280,
        registers: CONFIG,
      },
      {
        written: {
          PAM0: update,
          PAM1: update,
          PAM2: update,
          PAM3: update,
          PAM4: update,
          PAM5: update,
          PAM6: update,
          SMRAM: (value, previous) => this.#smramWritten(value, previous),
        },
      },
    );
    this.#update();
  }

  reset(): void {
    this.pci.reset();
    this.#update();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  /** What firmware does, or a direct loader in its place: C0000..FFFFF is RAM. */
  shadowAll(): void {
    this.pci.configWrite(0x59, 1, 0x30);
    for (let at = 0x5a; at <= 0x5f; at++) this.pci.configWrite(at, 1, 0x33);
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
    const make = (register: Segment['register'], shift: 0 | 4, base: number, size: number): Segment => {
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
    const segments: Segment[] = [make('PAM0', 4, 0xf0000, 0x10000)];
    const names = ['PAM1', 'PAM2', 'PAM3', 'PAM4', 'PAM5', 'PAM6'] as const;
    names.forEach((name, i) => {
      segments.push(make(name, 0, SHADOW_BASE + i * 0x8000, 0x4000));
      segments.push(make(name, 4, SHADOW_BASE + i * 0x8000 + 0x4000, 0x4000));
    });
    return segments;
  }

  #update(): void {
    this.wiring.memory.transaction(() => {
      for (const { register, shift, views } of this.#segments) {
        const mode = (this.pci.get(register) >> shift) & 3;
        views.forEach((view, i) => {
          if (view) view.enabled = i === mode && mode !== Pam.ram;
        });
      }
      const smram = this.pci.get('SMRAM');
      const enabled = (smram & SMRAM.enabled) !== 0;
      this.#vgaHole.enabled = !(enabled && smram & SMRAM.open);
      this.#smmRam.enabled = enabled;
    });
  }

  /** A locked SMRAM register keeps all but the close bit; locking closes the space. */
  #smramWritten(value: number, previous: number): void {
    if (previous & SMRAM.locked) {
      this.pci.set('SMRAM', (previous & ~SMRAM.closed) | (value & SMRAM.closed));
    } else if (value & SMRAM.locked) this.pci.set('SMRAM', value & ~SMRAM.open);
    this.#update();
  }
}
