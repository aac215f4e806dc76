/** Keeps KVM's memory slots in step with the machine's flat view. */
import { FlatFlag } from '../../ir/layout.js';
import type { FlatRange } from '../../memory/flat-view.js';
import { MemoryFlag } from './abi.js';
import type { KvmMachine } from './interface.js';
import { KVM_TRACE } from './trace.js';

const PAGE = 4096;
/** Numbers of slots have the address space in their upper half. */
const SPACE = 0x1_0000;

interface Slot {
  readonly slot: number;
  readonly start: number;
  readonly bytes: number;
  /** Linear-memory address. */
  readonly host: number;
  readonly flags: 0 | 1 | 2 | 3;
}
type Piece = Omit<Slot, 'slot'>;

const key = (p: Piece): string => `${p.start}:${p.bytes}:${p.host}:${p.flags}`;

export class MemorySlots {
  #slots = new Map<string, Slot>();
  readonly #free: number[] = [];
  #next = 0;

  /** `touched` is told of memory whose dirty log begins or ends, and must be taken for written. */
  constructor(
    private readonly vm: KvmMachine,
    /** Which address space of KVM: 1 is what system management mode sees. */
    private readonly space: 0 | 1,
    private readonly memory: WebAssembly.Memory,
    private readonly touched: (host: number, bytes: number) => void,
  ) {}

  update(ranges: readonly FlatRange[]): void {
    const wanted = new Map(pieces(ranges).map((p) => [key(p), p]));
    // Slots must not overlap: what goes, goes first.
    for (const [name, slot] of this.#slots) {
      if (wanted.has(name)) continue;
      if (KVM_TRACE.kvm_delete_memory.enabled) KVM_TRACE.kvm_delete_memory.emit(slot.slot);
      this.vm.setMemory({ slot: slot.slot, guestAddress: BigInt(slot.start), memory: new Uint8Array(0) });
      if (slot.flags & MemoryFlag.logDirtyPages) this.touched(slot.host, slot.bytes);
      this.#free.push(slot.slot);
      this.#slots.delete(name);
    }
    for (const [name, piece] of wanted) {
      if (this.#slots.has(name)) continue;
      const slot = this.#free.pop() ?? this.space * SPACE + this.#next++;
      if (KVM_TRACE.kvm_set_memory.enabled) {
        KVM_TRACE.kvm_set_memory.emit(slot, piece.start, piece.bytes, piece.flags);
      }
      const memory = new Uint8Array(this.memory.buffer, piece.host, piece.bytes);
      this.vm.setMemory({ slot, guestAddress: BigInt(piece.start), memory, flags: piece.flags });
      if (piece.flags & MemoryFlag.logDirtyPages) this.touched(piece.host, piece.bytes);
      this.#slots.set(name, { slot, ...piece });
    }
  }

  /** Adds the pages of host..host+bytes that the guest wrote since the last call: a byte each. */
  collectDirty(host: number, dirty: Uint8Array): void {
    const end = host + dirty.length * PAGE;
    for (const slot of this.#slots.values()) {
      if (!(slot.flags & MemoryFlag.logDirtyPages) || slot.host >= end || slot.host + slot.bytes <= host) continue;
      const log = this.vm.dirtyLog(slot.slot, slot.bytes / PAGE);
      for (let page = 0; page < slot.bytes / PAGE; page++) {
        if (!(log[page >> 3]! & (1 << (page & 7)))) continue;
        const at = slot.host + page * PAGE;
        if (at >= host && at < end) dirty[(at - host) / PAGE] = 1;
        // Read for one range and so cleared for all.
        else this.touched(at, PAGE);
      }
    }
  }
}

/** The whole pages of RAM and ROM; neighbours that continue each other are one. */
function pieces(ranges: readonly FlatRange[]): Piece[] {
  const found: Piece[] = [];
  for (const range of ranges) {
    if (!(range.flags & FlatFlag.ramRead)) continue;
    const start = Math.ceil(range.start / PAGE) * PAGE;
    const bytes = Math.floor((range.last + 1) / PAGE) * PAGE - start;
    const host = range.host + (start - range.start);
    if (bytes <= 0 || host % PAGE !== 0) continue;
    const flags = ((range.flags & FlatFlag.dirtyLog ? MemoryFlag.logDirtyPages : 0) |
      (range.flags & FlatFlag.ramWrite ? 0 : MemoryFlag.readOnly)) as Slot['flags'];
    const before = found.at(-1);
    if (
      before &&
      before.flags === flags &&
      before.start + before.bytes === start &&
      before.host + before.bytes === host
    ) {
      found[found.length - 1] = { ...before, bytes: before.bytes + bytes };
    } else found.push({ start, bytes, host, flags });
  }
  return found;
}
