/** The VM level: memory slots, interrupt routing, vCPUs. */
import {
  Capability,
  type CapabilityName,
  CLOCK_DATA,
  COALESCED_ZONE,
  DIRTY_LOG,
  ENABLE_CAP,
  encodeList,
  IOAPIC_STATE,
  IOEVENTFD,
  type IoapicState,
  IoeventFlag,
  IRQ_LEVEL,
  IRQCHIP,
  IRQFD,
  IRQFD_DEASSIGN,
  IrqchipId,
  MEMORY_REGION,
  MSI,
  PIC_STATE,
  PIT_CONFIG,
  PIT_SPEAKER,
  PIT_STATE2,
  type PicState,
  type PitState,
  ROUTE,
  ROUTES,
  Routing,
} from './abi.js';
import type { HostCalls } from './host-calls.js';
import type { GsiRoute, IoEventRequest, KvmMachine, MemorySlotRequest } from './interface.js';
import { KvmDescriptor } from './requests.js';
import { KvmVcpu } from './vcpu.js';

const PAGE = 4096;
const WASM_PAGE = 65536;

export class KvmVm implements KvmMachine {
  readonly #vm: KvmDescriptor;

  readonly #ringPage: number;

  constructor(
    private readonly calls: HostCalls,
    fd: number,
    /** Of struct kvm_run with what follows it. */
    readonly runBytes: number,
  ) {
    this.#vm = new KvmDescriptor(calls, fd);
    this.#ringPage = this.capability('COALESCED_MMIO');
  }

  capability(name: CapabilityName): number {
    return this.#vm.number('KVM_CHECK_EXTENSION', Capability[name], name);
  }

  enableCapability(name: CapabilityName, ...args: bigint[]): void {
    this.#vm.bytes('KVM_ENABLE_CAP', ENABLE_CAP.encode({ cap: Capability[name], flags: 0, args }), name);
  }

  allocate(bytes: number): Uint8Array {
    const pages = Math.ceil(bytes / WASM_PAGE);
    return new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer, 0, bytes);
  }

  setMemory({ slot, guestAddress, memory, flags = 0 }: MemorySlotRequest): void {
    const request = {
      slot,
      flags,
      guestPhysAddr: guestAddress,
      memorySize: BigInt(memory.length),
      userspaceAddr: memory.length === 0 ? 0n : this.calls.addressOf(memory),
    };
    this.#vm.bytes(
      'KVM_SET_USER_MEMORY_REGION',
      MEMORY_REGION.encode(request),
      `slot ${slot}, ${memory.length} bytes at 0x${guestAddress.toString(16)}`,
    );
  }

  /** At most so many for KVM's own page tables. */
  setMmuPages(pages: number): void {
    this.#vm.number('KVM_SET_NR_MMU_PAGES', pages);
  }

  reservePages(address: bigint): void {
    const argument = new Uint8Array(8);
    new DataView(argument.buffer).setBigUint64(0, address, true);
    this.#vm.bytes('KVM_SET_IDENTITY_MAP_ADDR', argument);
    this.#vm.number('KVM_SET_TSS_ADDR', Number(address) + PAGE);
  }

  dirtyLog(slot: number, pages: number): Uint8Array {
    // The kernel writes whole 64-bit words through a pointer, so this memory must not move.
    const bitmap = this.allocate(Math.ceil(pages / 64) * 8);
    const address = this.calls.addressOf(bitmap);
    this.#vm.bytes('KVM_GET_DIRTY_LOG', DIRTY_LOG.encode({ slot, pad: 0, bitmap: address }), `slot ${slot}`);
    return bitmap.slice(0, Math.ceil(pages / 8));
  }

  createVcpu(id: number): KvmVcpu {
    return new KvmVcpu(this.calls, this.#vm.number('KVM_CREATE_VCPU', id), this.runBytes, id, this.#ringPage);
  }

  createIrqchip(): void {
    this.#vm.number('KVM_CREATE_IRQCHIP');
  }

  createPit(): void {
    this.#vm.bytes('KVM_CREATE_PIT2', PIT_CONFIG.encode({ flags: PIT_SPEAKER }));
  }

  pic(chip: 0 | 1): PicState {
    return PIC_STATE.decode(this.#irqchip(chip));
  }

  setPic(chip: 0 | 1, state: PicState): void {
    this.#setIrqchip(chip, PIC_STATE.encode(state));
  }

  ioapic(): IoapicState {
    return IOAPIC_STATE.decode(this.#irqchip(IrqchipId.ioapic));
  }

  setIoapic(state: IoapicState): void {
    this.#setIrqchip(IrqchipId.ioapic, IOAPIC_STATE.encode(state));
  }

  pit(): PitState {
    return PIT_STATE2.decode(this.#vm.bytes('KVM_GET_PIT2', new Uint8Array(PIT_STATE2.size)));
  }

  setPit(state: PitState): void {
    this.#vm.bytes('KVM_SET_PIT2', PIT_STATE2.encode(state));
  }

  setIrqLine(gsi: number, level: boolean): void {
    this.#vm.bytes('KVM_IRQ_LINE', IRQ_LEVEL.encode({ irq: gsi, level: level ? 1 : 0 }), `GSI ${gsi}`);
  }

  setRoutes(routes: readonly GsiRoute[]): void {
    const entries = routes.map((r) => ({
      gsi: r.gsi,
      type: 'chip' in r ? Routing.irqchip : Routing.msi,
      flags: 0,
      pad: 0,
      a: 'chip' in r ? r.chip : Number(r.address & 0xffff_ffffn),
      b: 'chip' in r ? r.pin : Number(r.address >> 32n),
      c: 'chip' in r ? 0 : r.data,
    }));
    this.#vm.bytes('KVM_SET_GSI_ROUTING', encodeList(ROUTES, { nr: entries.length, flags: 0 }, ROUTE, entries));
  }

  signalMsi(address: bigint, data: number): boolean {
    const message = { addressLo: Number(address & 0xffff_ffffn), addressHi: Number(address >> 32n), data, flags: 0 };
    const argument = MSI.encode(message);
    return this.#vm.bytesResult('KVM_SIGNAL_MSI', argument) > 0;
  }

  irqfd(eventfd: number, gsi: number, attach: boolean): void {
    const flags = attach ? 0 : IRQFD_DEASSIGN;
    this.#vm.bytes('KVM_IRQFD', IRQFD.encode({ fd: eventfd, gsi, flags, resamplefd: 0 }), `GSI ${gsi}`);
  }

  ioeventfd({ eventfd, space, address, length, match }: IoEventRequest, attach: boolean): void {
    const flags =
      (match === undefined ? 0 : IoeventFlag.dataMatch) |
      (space === 'port' ? IoeventFlag.pio : 0) |
      (attach ? 0 : IoeventFlag.deassign);
    this.#vm.bytes(
      'KVM_IOEVENTFD',
      IOEVENTFD.encode({ datamatch: match ?? 0n, addr: address, len: length, fd: eventfd, flags }),
      `${space} 0x${address.toString(16)}`,
    );
  }

  coalesce(space: 'port' | 'memory', address: bigint, size: number, on: boolean): void {
    const zone = COALESCED_ZONE.encode({ addr: address, size, pio: space === 'port' ? 1 : 0 });
    const request = on ? 'KVM_REGISTER_COALESCED_MMIO' : 'KVM_UNREGISTER_COALESCED_MMIO';
    this.#vm.bytes(request, zone, `${space} 0x${address.toString(16)}`);
  }

  clock(): bigint {
    return CLOCK_DATA.decode(this.#vm.bytes('KVM_GET_CLOCK', new Uint8Array(CLOCK_DATA.size))).clock;
  }

  setClock(ns: bigint): void {
    this.#vm.bytes('KVM_SET_CLOCK', CLOCK_DATA.encode({ clock: ns, flags: 0, pad: 0, realtime: 0n, hostTsc: 0n }));
  }

  close(): void {
    this.#vm.closeSoon();
  }

  #irqchip(chipId: number): Uint8Array {
    const request = IRQCHIP.encode({ chipId, pad: 0, chip: new Uint8Array(0) });
    return IRQCHIP.decode(this.#vm.bytes('KVM_GET_IRQCHIP', request, `chip ${chipId}`)).chip;
  }

  #setIrqchip(chipId: number, chip: Uint8Array): void {
    this.#vm.bytes('KVM_SET_IRQCHIP', IRQCHIP.encode({ chipId, pad: 0, chip }), `chip ${chipId}`);
  }
}
