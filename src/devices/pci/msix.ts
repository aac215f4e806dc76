/** The MSI-X capability: a table of messages in a BAR, each maskable. PCI Local Bus Specification 3.0, 6.8.2. */
import { getSized, getU32, getU64, putSized } from '../../base/bytes.js';
import { type DeviceState, type Stateful, stateOf } from '../../machine/state.js';
import type { AccessSize } from '../../memory/io.js';
import type { Memory } from '../../memory/memory.js';
import type { MemoryRegion } from '../../memory/region.js';
import type { CapabilitySpec, PciFunction } from './pci-function.js';

const MSIX = 0x11;
const ENTRY_BYTES = 16;
const SMALLEST_BAR = 4096;
const Control = { functionMask: 0x4000, enable: 0x8000 } as const;
const Entry = { address: 0, data: 8, control: 12 } as const;
const MASKED = 1;

/** The table takes a BAR's first half, the pending bits its second. */
export class Msix implements Stateful {
  readonly region: MemoryRegion;
  /** Its control register is `MSIX_CONTROL`: call `controlWritten` when it was written. */
  readonly capability: CapabilitySpec;
  readonly table: Uint8Array;
  readonly pendingBits: Uint8Array;
  readonly #pbaOffset: number;
  readonly #state = stateOf<Msix>(this, 1, ['table', 'pendingBits']);
  #pci: PciFunction<string> | undefined;

  /** `bar`: the index of the BAR that shows `region`, at `offset` in it; `at`: where the capability lies. */
  constructor(
    memory: Memory,
    readonly vectors: number,
    {
      name,
      bar,
      at,
      offset = 0,
    }: { readonly name: string; readonly bar: number; readonly at: number; readonly offset?: number },
  ) {
    this.table = new Uint8Array(ENTRY_BYTES * vectors);
    this.pendingBits = new Uint8Array(8 * Math.ceil(vectors / 64));
    let half = SMALLEST_BAR / 2;
    while (half < this.table.length) half *= 2;
    this.#pbaOffset = half;
    this.region = memory.io(`${name}-msix`, 2 * half, {
      read: (offset, size) => this.#read(offset, size),
      write: (offset, size, value) => this.#write(offset, size, value),
    });
    this.capability = {
      id: MSIX,
      at,
      registers: [
        {
          name: 'MSIX_CONTROL',
          at: 2,
          size: 2,
          reset: vectors - 1,
          ro: ~(Control.enable | Control.functionMask) & 0xffff,
        },
        { name: 'MSIX_TABLE', at: 4, size: 4, reset: offset | bar, ro: 0xffff_ffff },
        { name: 'MSIX_PBA', at: 8, size: 4, reset: (offset + half) | bar, ro: 0xffff_ffff },
      ],
    };
    this.#maskAll();
  }

  connect(pci: PciFunction<string>): void {
    this.#pci = pci;
  }

  get enabled(): boolean {
    return (this.#control & Control.enable) !== 0;
  }

  /** Sends vector `n`'s message, or keeps it pending while it is masked. Does nothing while MSI-X is off. */
  notify(n: number): void {
    if (n >= this.vectors || !this.enabled) return;
    if (this.#masked(n)) this.pendingBits[n >> 3]! |= 1 << (n & 7);
    else this.#send(n);
  }

  controlWritten(): void {
    this.#sendPending();
  }

  reset(): void {
    this.table.fill(0);
    this.pendingBits.fill(0);
    this.#maskAll();
  }

  save(): DeviceState {
    return this.#state.save();
  }

  load(state: DeviceState): void {
    this.#state.load(state);
  }

  get #control(): number {
    return this.#pci?.registers.get('MSIX_CONTROL') ?? 0;
  }

  #maskAll(): void {
    for (let n = 0; n < this.vectors; n++) this.table[ENTRY_BYTES * n + Entry.control] = MASKED;
  }

  #masked(n: number): boolean {
    if (this.#control & Control.functionMask) return true;
    return (this.table[ENTRY_BYTES * n + Entry.control]! & MASKED) !== 0;
  }

  #send(n: number): void {
    const pci = this.#pci;
    // A message is a bus-master write: without bus mastering it is lost, as any other.
    if (!pci?.busMaster) return;
    const at = ENTRY_BYTES * n;
    pci.slot.sendMsi(getU64(this.table, at + Entry.address), getU32(this.table, at + Entry.data));
  }

  #sendPending(): void {
    if (!this.enabled) return;
    for (let n = 0; n < this.vectors; n++) {
      const bit = 1 << (n & 7);
      if (!(this.pendingBits[n >> 3]! & bit) || this.#masked(n)) continue;
      this.pendingBits[n >> 3]! &= ~bit;
      this.#send(n);
    }
  }

  #read(offset: number, size: AccessSize): number {
    if (offset + size <= this.table.length) return getSized(this.table, offset, size);
    const bit = offset - this.#pbaOffset;
    return bit >= 0 && bit + size <= this.pendingBits.length ? getSized(this.pendingBits, bit, size) : 0;
  }

  #write(offset: number, size: AccessSize, value: number): void {
    if (offset + size > this.table.length) return;
    putSized(this.table, offset, size, value);
    const control = (offset & ~(ENTRY_BYTES - 1)) + Entry.control;
    // All but the mask is reserved.
    this.table[control]! &= MASKED;
    this.table.fill(0, control + 1, control + 4);
    this.#sendPending();
  }
}
