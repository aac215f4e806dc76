/**
 * The configuration space that every PCI function has: type 0 header, BARs, capabilities, INTx.
 * PCI Local Bus Specification 3.0, chapter 6.
 *
 * A device holds one (`readonly pci: PciFunction`), names it among its state fields and calls `pci.reset()` in its reset.
 */
import { isPowerOfTwo } from '../../base/bits.js';
import { Bug } from '../../base/errors.js';
import type { IrqLine } from '../../machine/irq.js';
import type { PciConfigSpace, PciSlot } from '../../machine/pci-slot.js';
import { RegisterFile, type RegisterHooks, type RegisterSpec } from '../../machine/register-map.js';
import { type DeviceState, type Stateful, stateOf } from '../../machine/state.js';
import type { DmaMemory } from '../../memory/io.js';
import type { MemoryRegion } from '../../memory/region.js';

export const CONFIG_BYTES = 256;
export const Command = { io: 1, memory: 2, busMaster: 4, parity: 0x40, serr: 0x100, intxDisable: 0x400 } as const;
export const Status = { interrupt: 8, capabilities: 0x10, fastBackToBack: 0x80, devselMedium: 0x200 } as const;

/** A base address register. `memory64` takes two. */
export interface BarSpec {
  readonly index: 0 | 1 | 2 | 3 | 4 | 5 | 'rom';
  readonly kind: 'io' | 'memory32' | 'memory64';
  readonly prefetchable?: boolean;
  /** What is mapped; its size is a power of two (at least 4 for ports, 16 for memory). */
  readonly region: MemoryRegion;
}

/** A capability: its registers, with offsets from its start; the id and next pointer (bytes 0 and 1) are filled in. */
export interface CapabilitySpec {
  readonly id: number;
  /** Where it starts in configuration space; a multiple of 4, from 0x40. */
  readonly at: number;
  readonly registers: readonly RegisterSpec[];
}

export interface PciFunctionSpec<N extends string = never> {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly revision?: number;
  /** Class, subclass, programming interface: 24 bits. */
  readonly classCode: number;
  /** Default: 1af4:1100, what QEMU gives its own PC devices. */
  readonly subsystemVendorId?: number;
  readonly subsystemId?: number;
  readonly multifunction?: boolean;
  /** A bridge to another bus: its header has bus numbers and windows where others have BARs 2 to 5. */
  readonly bridge?: boolean;
  /** 1 (INTA) to 4; 0, the default: none. */
  readonly interruptPin?: number;
  /** Reset value and writable bits of COMMAND; default 0 and io, memory, busMaster, parity, serr, intxDisable. */
  readonly command?: { readonly reset: number; readonly writable: number };
  /** Reset value of STATUS besides the capability bit. */
  readonly status?: number;
  readonly bars?: readonly BarSpec[];
  readonly capabilities?: readonly CapabilitySpec[];
  /** Registers of its own, from 0x40. */
  readonly registers?: readonly (RegisterSpec & { readonly name: N })[];
}

type HeaderName =
  | 'VID'
  | 'DID'
  | 'COMMAND'
  | 'STATUS'
  | 'RID'
  | 'PROG_IF'
  | 'SUBCLASS'
  | 'BASECLASS'
  | 'CLS'
  | 'MLT'
  | 'HEADER'
  | 'BIST'
  | 'BAR0'
  | 'BAR1'
  | 'BAR2'
  | 'BAR3'
  | 'BAR4'
  | 'BAR5'
  | 'SVID'
  | 'SID'
  | 'SECONDARY_BUS'
  | 'SUBORDINATE_BUS'
  | 'ROM'
  | 'CAP'
  | 'INTERRUPT_LINE'
  | 'INTERRUPT_PIN'
  | 'MIN_GNT'
  | 'MAX_LAT';

interface Bar {
  readonly spec: BarSpec;
  readonly name: HeaderName;
  /** Where it is mapped now; undefined: not. */
  mapped: number | undefined;
}

export class PciFunction<N extends string = never> implements PciConfigSpace, Stateful {
  readonly registers: RegisterFile<string>;
  /** The function's interrupt pin. */
  readonly intx: IrqLine = { set: (level) => this.#setIntx(level) };
  /** Bus-master access to guest memory: while bus mastering is off, reads give 0xff, writes are lost, no RAM is there. */
  readonly dma: DmaMemory;
  readonly #bars: Bar[];
  readonly #state = stateOf<PciFunction<N>>(this, 1, ['registers', 'intxLevel'], () => this.#afterLoad());
  /** What the device drives, before the disable bit. */
  intxLevel = false;

  constructor(
    readonly slot: PciSlot,
    readonly spec: PciFunctionSpec<N>,
    hooks: RegisterHooks<N> = {},
  ) {
    this.#bars = (spec.bars ?? []).map((bar) => {
      const smallest = bar.kind === 'io' ? 4 : 16;
      if (bar.region.size < smallest || !isPowerOfTwo(bar.region.size)) {
        throw new Bug(`BAR ${bar.index} of ${bar.region.size} bytes`);
      }
      return { spec: bar, name: bar.index === 'rom' ? 'ROM' : `BAR${bar.index}`, mapped: undefined };
    });
    const remap = (): void => this.#remap();
    const written: Record<string, NonNullable<NonNullable<RegisterHooks<string>['written']>[string]>> = {
      COMMAND: () => {
        this.#remap();
        this.#driveIntx();
      },
    };
    for (const bar of this.#bars) {
      written[bar.name] = remap;
      if (bar.spec.kind === 'memory64') written[`BAR${Number(bar.spec.index) + 1}`] = remap;
    }
    const own = hooks as RegisterHooks<string>;
    this.registers = new RegisterFile<string>(
      {
        size: CONFIG_BYTES,
        registers: [
          ...headerRegisters(spec, spec.multifunction || slot.multifunction),
          ...capabilityRegisters(spec),
          ...(spec.registers ?? []),
        ],
      },
      { ...(own.read ? { read: own.read } : {}), written: { ...own.written, ...written } },
    );
    const busMaster = (): number => Number(this.busMaster);
    this.dma = {
      read: (address, into) => {
        if (this.busMaster) slot.dma.read(address, into);
        else into.fill(0xff);
      },
      write: (address, from) => {
        if (this.busMaster) slot.dma.write(address, from);
      },
      get generation() {
        return 2 * slot.dma.generation + busMaster();
      },
      ram: (address, atMost, forWriting) => (this.busMaster ? slot.dma.ram(address, atMost, forWriting) : undefined),
      wrote: (view) => slot.dma.wrote(view),
    };
    slot.plug(this);
  }

  get busMaster(): boolean {
    return (this.get('COMMAND') & Command.busMaster) !== 0;
  }

  /** The stored value of a register. */
  get(name: HeaderName | N): number {
    return this.registers.get(name);
  }

  /** Stores without masks or hooks. */
  set(name: HeaderName | N, value: number): void {
    this.registers.set(name, value);
  }

  /** Extended configuration space, which PCI Express adds, is empty. */
  configRead(offset: number, size: 1 | 2 | 4): number {
    return this.registers.read(offset, size);
  }

  /** What several registers in one write change in the memory map is one change. */
  configWrite(offset: number, size: 1 | 2 | 4, value: number): void {
    this.slot.memory.transaction(() => this.registers.write(offset, size, value));
  }

  reset(): void {
    this.registers.reset();
    this.intx.set(false);
    this.#remap();
  }

  /** Takes the function off its bus: nothing is mapped any more, and no interrupt is driven. */
  unplug(): void {
    this.reset();
    this.slot.unplug();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  /** Guest address where a BAR is mapped; undefined while it is not. */
  barAddress(index: BarSpec['index']): number | undefined {
    return this.#bars.find((b) => b.spec.index === index)?.mapped;
  }

  /** What `info pci` tells. */
  describeBars(): readonly { readonly spec: BarSpec; readonly address: number | undefined }[] {
    return this.#bars.map(({ spec, mapped }) => ({ spec, address: mapped }));
  }

  #setIntx(level: boolean): void {
    if (this.intxLevel === level) return;
    this.intxLevel = level;
    this.#driveIntx();
  }

  #driveIntx(): void {
    const status = this.get('STATUS');
    this.set('STATUS', this.intxLevel ? status | Status.interrupt : status & ~Status.interrupt);
    const pin = this.spec.interruptPin ?? 0;
    if (pin) this.slot.setIntx(pin, this.intxLevel && !(this.get('COMMAND') & Command.intxDisable));
  }

  #afterLoad(): void {
    this.#remap();
    this.#driveIntx();
  }

  #remap(): void {
    if (this.#bars.every((bar) => this.#address(bar) === bar.mapped)) return;
    this.slot.memory.transaction(() => {
      for (const bar of this.#bars) {
        const address = this.#address(bar);
        if (address === bar.mapped) continue;
        const space = bar.spec.kind === 'io' ? this.slot.ioSpace : this.slot.memorySpace;
        space.remove(bar.spec.region);
        if (address !== undefined) space.add(bar.spec.region, address, 1);
        bar.mapped = address;
      }
    });
  }

  /** Where the registers say that a BAR is; undefined when disabled, at 0 or past the end of its space. */
  #address({ spec, name }: Bar): number | undefined {
    const command = this.get('COMMAND');
    if (!(command & (spec.kind === 'io' ? Command.io : Command.memory))) return undefined;
    const low = this.get(name);
    if (spec.index === 'rom' && !(low & 1)) return undefined;
    const flags = spec.kind === 'io' ? 3 : spec.index === 'rom' ? 0x7ff : 15;
    let address = (low & ~flags) >>> 0;
    if (spec.kind === 'memory64') address += this.registers.get(`BAR${Number(spec.index) + 1}`) * 2 ** 32;
    if (address === 0) return undefined;
    const end = address + spec.region.size;
    if (spec.kind === 'io') return end > 0x1_0000 ? undefined : address;
    // All ones, written to find the size, ends at the end of the space: such a BAR is being sized, not placed.
    return end >= (spec.kind === 'memory32' ? 2 ** 32 : 2 ** 52) ? undefined : address;
  }
}

const ALL = 0xffff_ffff;
const ro = (name: string, at: number, size: 1 | 2 | 4, reset: number): RegisterSpec => ({
  name,
  at,
  size,
  reset,
  ro: ALL,
});

/** PCI-to-PCI Bridge Architecture Specification 1.2, 3.2: 16-bit ports, 32-bit memory, 64-bit prefetchable memory. */
const BRIDGE_REGISTERS: readonly RegisterSpec[] = [
  { name: 'PRIMARY_BUS', at: 0x18, size: 1 },
  { name: 'SECONDARY_BUS', at: 0x19, size: 1 },
  { name: 'SUBORDINATE_BUS', at: 0x1a, size: 1 },
  { name: 'IO_BASE', at: 0x1c, size: 1, ro: 0x0f },
  { name: 'IO_LIMIT', at: 0x1d, size: 1, ro: 0x0f },
  { name: 'SECONDARY_STATUS', at: 0x1e, size: 2, ro: 0x06ff, w1c: 0xf900 },
  { name: 'MEMORY_BASE', at: 0x20, size: 2, rsvd: 0x0f },
  { name: 'MEMORY_LIMIT', at: 0x22, size: 2, rsvd: 0x0f },
  { name: 'PREFETCH_BASE', at: 0x24, size: 2, reset: 1, ro: 0x0f },
  { name: 'PREFETCH_LIMIT', at: 0x26, size: 2, reset: 1, ro: 0x0f },
  { name: 'PREFETCH_BASE_HIGH', at: 0x28, size: 4 },
  { name: 'PREFETCH_LIMIT_HIGH', at: 0x2c, size: 4 },
  { name: 'BRIDGE_CONTROL', at: 0x3e, size: 2, rsvd: 0xf000 },
];

function headerRegisters(spec: PciFunctionSpec<string>, multifunction: boolean): RegisterSpec[] {
  const command = spec.command ?? {
    reset: 0,
    writable: Command.io | Command.memory | Command.busMaster | Command.parity | Command.serr | Command.intxDisable,
  };
  const first = spec.capabilities?.[0];
  const registers: RegisterSpec[] = [
    ro('VID', 0x00, 2, spec.vendorId),
    ro('DID', 0x02, 2, spec.deviceId),
    { name: 'COMMAND', at: 0x04, size: 2, reset: command.reset, ro: ~command.writable & 0xffff },
    {
      name: 'STATUS',
      at: 0x06,
      size: 2,
      reset: (spec.status ?? 0) | (first ? Status.capabilities : 0),
      ro: 0x06ff,
      w1c: 0xf900,
    },
    ro('RID', 0x08, 1, spec.revision ?? 0),
    ro('PROG_IF', 0x09, 1, spec.classCode & 0xff),
    ro('SUBCLASS', 0x0a, 1, (spec.classCode >> 8) & 0xff),
    ro('BASECLASS', 0x0b, 1, (spec.classCode >> 16) & 0xff),
    { name: 'CLS', at: 0x0c, size: 1 },
    ro('MLT', 0x0d, 1, 0),
    ro('HEADER', 0x0e, 1, (multifunction ? 0x80 : 0) | (spec.bridge ? 1 : 0)),
    ro('BIST', 0x0f, 1, 0),
    ...(spec.bridge
      ? BRIDGE_REGISTERS
      : [ro('SVID', 0x2c, 2, spec.subsystemVendorId ?? 0x1af4), ro('SID', 0x2e, 2, spec.subsystemId ?? 0x1100)]),
    ro('CAP', 0x34, 1, first?.at ?? 0),
    { name: 'INTERRUPT_LINE', at: 0x3c, size: 1 },
    ro('INTERRUPT_PIN', 0x3d, 1, spec.interruptPin ?? 0),
    ...(spec.bridge ? [] : [ro('MIN_GNT', 0x3e, 1, 0), ro('MAX_LAT', 0x3f, 1, 0)]),
  ];
  for (const bar of spec.bars ?? []) registers.push(...barRegisters(bar));
  return registers;
}

function barRegisters({ index, kind, prefetchable, region }: BarSpec): RegisterSpec[] {
  if (index === 'rom') return [{ name: 'ROM', at: 0x30, size: 4, ro: Math.max(region.size, 0x800) - 2 }];
  const at = 0x10 + 4 * index;
  const flags = (kind === 'io' ? 1 : kind === 'memory64' ? 4 : 0) | (prefetchable ? 8 : 0);
  const low: RegisterSpec = {
    name: `BAR${index}`,
    at,
    size: 4,
    reset: flags,
    ro: (Math.min(region.size, 2 ** 32) - 1) >>> 0,
  };
  if (kind !== 'memory64') return [low];
  const high = Math.max(Math.floor((region.size - 1) / 2 ** 32), 0);
  return [low, { name: `BAR${index + 1}`, at: at + 4, size: 4, ro: high }];
}

function capabilityRegisters({ capabilities = [] }: PciFunctionSpec<string>): RegisterSpec[] {
  return capabilities.flatMap((capability, i) => [
    ro(`CAP${i}_ID`, capability.at, 1, capability.id),
    ro(`CAP${i}_NEXT`, capability.at + 1, 1, capabilities[i + 1]?.at ?? 0),
    ...capability.registers.map((r) => ({ ...r, at: r.at + capability.at })),
  ]);
}
