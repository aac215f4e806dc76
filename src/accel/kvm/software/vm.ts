/** The VM level in software: memory slots become the flat view that the interpreter's memory unit goes by. */
import { FlatFlag } from '../../../ir/layout.js';
import { decodeMsi } from '../../../machine/apic-message.js';
import type { FlatRange } from '../../../memory/flat-view.js';
import type { MemoryRegion } from '../../../memory/region.js';
import type { TcgAccelerator } from '../../tcg/tcg.js';
import { type CapabilityName, type IoapicState, MemoryFlag, type PicState, type PitState } from '../abi.js';
import { KvmError } from '../error.js';
import type { KvmMachine, KvmSystem, MemorySlotRequest } from '../interface.js';
import type { SoftwareKvmOptions } from './kvm.js';
import { SoftwareVcpu } from './vcpu.js';

const PAGE = 4096;
const EINVAL = 22;
const EEXIST = 17;
const ENOTTY = 25;
/** What no slot covers is device memory, in pieces whose offsets are 32-bit, up to here. */
const PIECE = 2 ** 32;
const ADDRESS_SPACE = 2 ** 40;
const PIECES = 16;

interface Slot {
  readonly start: number;
  readonly bytes: number;
  /** Linear-memory address. */
  readonly host: number;
  readonly flags: number;
}

const unsupported = (call: string): never => {
  throw new KvmError(call, ENOTTY, 'ENOTTY', 'KVM in software has none');
};

export class SoftwareVm implements KvmMachine {
  readonly #slots = new Map<number, Slot>();
  /** Address of each region's offset 0: what is no memory, and memory that cannot be written. */
  #bases: number[] = [];
  readonly #vcpus: SoftwareVcpu[] = [];
  /** The vCPU that runs. */
  #running: SoftwareVcpu | undefined;
  #clock = 0n;

  constructor(
    private readonly tcg: TcgAccelerator,
    private readonly system: KvmSystem,
    private readonly options: SoftwareKvmOptions,
  ) {
    tcg.connect({
      portRead: (port, size) => this.#running!.access('port', port, size, undefined),
      portWrite: (port, size, value) => void this.#running!.access('port', port, size, value),
      mmioRead: (region, offset, size) =>
        this.#running!.access('memory', this.#address(region, offset), size, undefined),
      mmioWrite: (region, offset, size, value) =>
        void this.#running!.access('memory', this.#address(region, offset), size, value),
      virtualNow: () => options.now(),
      random: () => options.random(),
      picAcknowledge: () => this.#running!.acknowledge(),
      ioapicEoi: () => {},
      fpuError: () => {},
      wake: () => {},
    });
    this.#map();
  }

  capability(name: CapabilityName): number {
    return this.system.capability(name);
  }

  enableCapability(): void {
    unsupported('KVM_ENABLE_CAP');
  }

  allocate(bytes: number): Uint8Array {
    const host = this.tcg.allocateRam(Math.ceil(bytes / PAGE) * PAGE, PAGE);
    return new Uint8Array(this.tcg.memory.buffer, host, bytes);
  }

  setMemory({ slot, guestAddress, memory, flags = 0 }: MemorySlotRequest): void {
    const fail = (errno: number, name: string, why: string): never => {
      throw new KvmError('KVM_SET_USER_MEMORY_REGION', errno, name, `slot ${slot}: ${why}`);
    };
    if (memory.length === 0) {
      this.#slots.delete(slot);
      this.#map();
      return;
    }
    const start = Number(guestAddress);
    const bytes = memory.length;
    // Memory that grew since has another buffer object for the same bytes: addresses are what counts.
    const host = memory.byteOffset;
    if (!(memory.buffer instanceof SharedArrayBuffer) || memory.buffer.byteLength > this.tcg.memory.buffer.byteLength) {
      fail(EINVAL, 'EINVAL', 'memory comes from allocate()');
    }
    if (start % PAGE || bytes % PAGE || host % PAGE || start + bytes > ADDRESS_SPACE)
      fail(EINVAL, 'EINVAL', 'whole pages');
    for (const [other, s] of this.#slots) {
      if (other !== slot && start < s.start + s.bytes && s.start < start + bytes) fail(EEXIST, 'EEXIST', 'overlap');
    }
    this.#slots.set(slot, { start, bytes, host, flags });
    this.#map();
  }

  reservePages(): void {}

  dirtyLog(slot: number, pages: number): Uint8Array {
    const found = this.#slots.get(slot);
    if (!found || !(found.flags & MemoryFlag.logDirtyPages)) {
      throw new KvmError('KVM_GET_DIRTY_LOG', EINVAL, 'EINVAL', `slot ${slot} has no log`);
    }
    const bitmap = new Uint8Array(Math.ceil(pages / 8));
    const dirty = this.tcg.fetchAndClearDirty(found.host, Math.min(pages * PAGE, found.bytes));
    for (let page = 0; page < dirty.length; page++) if (dirty[page]) bitmap[page >> 3]! |= 1 << (page & 7);
    return bitmap;
  }

  createVcpu(id: number): SoftwareVcpu {
    const record = this.tcg.vcpus[id];
    if (!record || this.#vcpus.some((v) => v.id === id)) {
      throw new KvmError('KVM_CREATE_VCPU', record ? EEXIST : EINVAL, record ? 'EEXIST' : 'EINVAL', `vCPU ${id}`);
    }
    const vcpu = new SoftwareVcpu(this.tcg, record, {
      enter: (running) => {
        this.#running = running;
      },
      slotAt: (address) => this.#memoryAt(address),
      tscKhz: TSC_KHZ,
      now: this.options.now,
    });
    this.#vcpus.push(vcpu);
    return vcpu;
  }

  createIrqchip(): void {
    unsupported('KVM_CREATE_IRQCHIP');
  }

  pic(): PicState {
    return unsupported('KVM_GET_IRQCHIP');
  }

  setPic(): void {
    unsupported('KVM_SET_IRQCHIP');
  }

  ioapic(): IoapicState {
    return unsupported('KVM_GET_IRQCHIP');
  }

  setIoapic(): void {
    unsupported('KVM_SET_IRQCHIP');
  }

  createPit(): void {
    unsupported('KVM_CREATE_PIT2');
  }

  pit(): PitState {
    return unsupported('KVM_GET_PIT2');
  }

  setPit(): void {
    unsupported('KVM_SET_PIT2');
  }

  setIrqLine(): void {
    unsupported('KVM_IRQ_LINE');
  }

  setRoutes(): void {
    unsupported('KVM_SET_GSI_ROUTING');
  }

  signalMsi(address: bigint, data: number): boolean {
    this.tcg.deliverApic(decodeMsi(Number(address & 0xffff_ffffn), data));
    return true;
  }

  irqfd(): void {
    unsupported('KVM_IRQFD');
  }

  ioeventfd(): void {
    unsupported('KVM_IOEVENTFD');
  }

  coalesce(): void {
    unsupported('KVM_REGISTER_COALESCED_MMIO');
  }

  clock(): bigint {
    return BigInt(Math.round(this.options.now())) + this.#clock;
  }

  setClock(ns: bigint): void {
    this.#clock = ns - BigInt(Math.round(this.options.now()));
  }

  close(): void {
    this.tcg.dispose();
  }

  #address(region: number, offset: number): number {
    return this.#bases[region]! + offset;
  }

  /** Guest memory from an address to the end of its slot. */
  #memoryAt(address: number): Uint8Array | undefined {
    for (const { start, bytes, host } of this.#slots.values()) {
      if (address < start || address >= start + bytes) continue;
      return new Uint8Array(this.tcg.memory.buffer, host + (address - start), start + bytes - address);
    }
    return undefined;
  }

  #map(): void {
    this.#bases = [0];
    const ranges: FlatRange[] = [];
    // Nobody asks a range of ours for its region object.
    const owner = {} as MemoryRegion;
    const device = (from: number, to: number): void => {
      for (let start = from; start < to && ranges.length < PIECES + 2 * this.#slots.size; ) {
        const last = Math.min(to, start + PIECE) - 1;
        const flags = FlatFlag.ioRead | FlatFlag.ioWrite;
        ranges.push({ start, last, flags, host: 0, region: this.#bases.push(start) - 1, offset: 0, owner });
        start = last + 1;
      }
    };
    let end = 0;
    for (const { start, bytes, host, flags } of [...this.#slots.values()].sort((a, b) => a.start - b.start)) {
      device(end, start);
      end = start + bytes;
      const readOnly = (flags & MemoryFlag.readOnly) !== 0;
      const access = FlatFlag.ramRead | (readOnly ? FlatFlag.ioWrite : FlatFlag.ramWrite);
      const log = flags & MemoryFlag.logDirtyPages ? FlatFlag.dirtyLog : 0;
      const region = readOnly ? this.#bases.push(start) - 1 : 0;
      ranges.push({ start, last: end - 1, flags: access | log, host, region, offset: 0, owner });
    }
    device(end, Math.min(ADDRESS_SPACE, end + PIECES * PIECE));
    this.tcg.setFlatView(0, ranges);
    this.tcg.setFlatView(1, ranges);
  }
}

/** The emulated processors count nanoseconds. */
const TSC_KHZ = 1_000_000;
