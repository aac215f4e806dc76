/**
 * Where values live while a region is lowered: slots in WebAssembly locals or in memory, what is known about them, which
 * guest slots a local holds newer than memory does.
 */
// hot path
import { Bug } from '../base/errors.js';
import { FLAG_OP, FLAG_SRC2, TEMP0 } from '../ir/builder.js';
import { TEMP_COUNT, VCPU } from '../ir/layout.js';
import { Bytes } from './wasm/bytes.js';
import { V, W } from './wasm/opcodes.js';

/** Locals every region has. `cpu` and `dispatch` are the parameters. */
export const Local = {
  cpu: 0,
  /** The label for the next dispatch node, first of all for the region's entry. */
  dispatch: 1,
  /** Address of the TLB of the current MMU index. */
  tlb: 2,
  /** Address of a TLB entry. */
  entry: 3,
  /** A linear-memory address. */
  address: 4,
  scratch: 5,
  /** The code epoch before a call of the region by itself. */
  epoch: 6,
  /** pc of the region's head. */
  pc: 7,
  /** The TLB generation. */
  generation: 8,
  /** A linear guest address. */
  linear: 9,
  wide: 10,
  wide2: 11,
  wide3: 12,
  wide4: 13,
  /** On its way into a lane of a cell. */
  lane: 14,
  /** Mode and TLB generation before a call of the region by itself. */
  key: 15,
  double0: 16,
  double1: 17,
  double2: 18,
  single0: 19,
  single1: 20,
  single2: 21,
  vector0: 22,
  vector1: 23,
  vector2: 24,
  vector3: 25,
  firstCell: 26,
} as const;
export const LOCALS_I32 = Local.pc - Local.tlb;
export const LOCALS_I64 = Local.double0 - Local.pc;
export const LOCALS_F64 = Local.single0 - Local.double0;
export const LOCALS_F32 = Local.vector0 - Local.single0;
export const LOCALS_V128 = Local.firstCell - Local.vector0;

/** What is known of a slot's value; `lazy`: a constant that its local does not hold. */
const Known = { nothing: 0, zext32: 1, constant: 2, lazy: 3 } as const;

const FIRST_STATE = VCPU.size / 8;
const LAST_TEMP = TEMP0 + TEMP_COUNT - 1;
/** Guest slots a region keeps in locals; any further ones stay in memory. */
export const MAX_GUEST_LOCALS = 64;

/** Cells (16 bytes of vector state) a region keeps in locals; any further ones stay in memory. */
const MAX_CELLS = 32;
/** Vector state that cells may be in, in cells. */
const CELL_RANGE = 2048;

export function isTemp(slot: number): boolean {
  return slot >= TEMP0 && slot <= LAST_TEMP;
}

export class Values {
  readonly code = new Bytes(1 << 16);
  /** Branch hints: offset in `code` of the instruction, and 1 when its condition is likely true, 0 when likely false. */
  readonly hints: number[] = [];
  /** Slots from here on are always in memory. */
  private readonly limit: number;
  /** Local of a slot, 0: none yet or none ever. */
  private readonly localOf: Uint16Array;
  /** Bit number (0..63) of a guest slot that lives in a local. */
  private readonly bitOf: Int8Array;
  /** Guest slots in locals, by bit number. */
  readonly guestSlots: number[] = [];
  private readonly temps: number[] = [];
  private locals = 0;
  /** Slots of the cells in locals, by bit number; and bit number + 1 by cell. Memory always has their values, too. */
  readonly cells: number[] = [];
  private readonly cellOf = new Uint8Array(CELL_RANGE);
  /** Locals of type i32 behind all others, for bases of access groups: in use, and the most there were. */
  private bases = 0;
  baseLocals = 0;

  /** Linear-memory addresses when there is one vCPU, else 0: of it, of the TLB of the region's MMU index, of the jump cache. */
  cpu = 0;
  tlb = 0;
  jumpCache = 0;

  private readonly epochOf: Int32Array;
  private readonly known: Uint8Array;
  private readonly low: Int32Array;
  private readonly high: Int32Array;
  private epoch = 1;
  private nextEpoch = 2;
  /** Undo log of knowledge: slot, epoch, known, low, high. */
  private log = new Int32Array(5 * 1024);
  private logged = 0;

  /** Guest slots whose local may be newer than memory at the point being lowered, as two words of bits. */
  dirtyLow = 0;
  dirtyHigh = 0;
  /** Guest slots written anywhere in the region: what a side exit stores. */
  writtenLow = 0;
  writtenHigh = 0;

  constructor(vectorBaseSlot: number) {
    this.limit = vectorBaseSlot;
    this.localOf = new Uint16Array(vectorBaseSlot);
    this.bitOf = new Int8Array(vectorBaseSlot).fill(-1);
    this.epochOf = new Int32Array(vectorBaseSlot);
    this.known = new Uint8Array(vectorBaseSlot);
    this.low = new Int32Array(vectorBaseSlot);
    this.high = new Int32Array(vectorBaseSlot);
  }

  reset(): void {
    this.code.clear();
    this.hints.length = 0;
    for (const s of this.guestSlots) {
      this.localOf[s] = 0;
      this.bitOf[s] = -1;
    }
    for (const s of this.temps) this.localOf[s] = 0;
    for (const s of this.cells) this.cellOf[(s - this.limit) >> 1] = 0;
    this.cells.length = 0;
    this.guestSlots.length = 0;
    this.temps.length = 0;
    this.locals = Local.firstCell;
    this.bases = this.baseLocals = 0;
    this.dirtyLow = this.dirtyHigh = this.writtenLow = this.writtenHigh = 0;
    this.logged = 0;
    this.forget();
  }

  /** Locals of type i64 in use besides the fixed ones. */
  get wideLocals(): number {
    return this.locals - Local.firstCell - this.cells.length;
  }

  /** A fresh i64 local. No longer after the first `takeBase`. */
  readonly takeWide = (): number => this.locals++;

  /** A local for the base of an access group. No slot may get a local after this. */
  takeBase(): number {
    const local = this.locals + this.bases++;
    this.baseLocals = Math.max(this.baseLocals, this.bases);
    return local;
  }
  /** How many bases are in use: `releaseBases` goes back to that. */
  get basesInUse(): number {
    return this.bases;
  }
  releaseBases(inUse: number): void {
    this.bases = inUse;
  }

  /** Whether a slot may live in a local at all. */
  cacheable(slot: number): boolean {
    return slot < this.limit && (slot >= FIRST_STATE || (slot >= FLAG_OP && slot <= FLAG_SRC2) || isTemp(slot));
  }

  /** Announces a slot that an op of the region reads or writes as a whole. */
  declare(slot: number, written: boolean): void {
    if (!this.cacheable(slot)) return;
    if (this.localOf[slot] === 0) {
      if (isTemp(slot)) this.temps.push(slot);
      else {
        if (this.guestSlots.length === MAX_GUEST_LOCALS) return;
        this.bitOf[slot] = this.guestSlots.push(slot) - 1;
      }
      this.localOf[slot] = this.locals++;
    }
    if (written) this.markWritten(this.bitOf[slot] as number);
  }

  private markWritten(bit: number): void {
    if (bit < 0) return;
    if (bit < 32) this.writtenLow |= 1 << bit;
    else this.writtenHigh |= 1 << (bit - 32);
  }

  /** The slot's local, 0 when it is in memory. */
  local(slot: number): number {
    return slot < this.limit ? (this.localOf[slot] as number) : 0;
  }

  bit(slot: number): number {
    return this.bitOf[slot] as number;
  }

  // --- cells

  /** Announces a cell worth a local. All come before the first `declare`. */
  declareCell(slot: number): void {
    const cell = (slot - this.limit) >> 1;
    if (cell < 0 || cell >= CELL_RANGE || this.cellOf[cell] !== 0 || this.cells.length === MAX_CELLS) return;
    this.cellOf[cell] = this.cells.push(slot & ~1);
    this.locals++;
  }

  /** Number of the bit for the cell that slot is in, or -1. */
  cellBit(slot: number): number {
    const cell = (slot - this.limit) >> 1;
    return cell < 0 || cell >= CELL_RANGE ? -1 : (this.cellOf[cell] as number) - 1;
  }

  /** Local of the cell that slot is in, or 0. */
  cell(slot: number): number {
    const bit = this.cellBit(slot);
    return bit < 0 ? 0 : Local.firstCell + bit;
  }

  simd(code: number): void {
    this.code.u8(W.simd);
    this.code.uleb(code);
  }
  simdLane(code: number, lane: number): void {
    this.simd(code);
    this.code.u8(lane);
  }
  simdMemory(code: number, offset: number): void {
    this.simd(code);
    this.code.u8(0);
    this.code.uleb(offset);
  }

  /** Pushes 16 bytes of vector state. */
  getVector(slot: number): void {
    const local = this.cell(slot);
    if (local !== 0) {
      this.getLocal(local);
      return;
    }
    this.pushState();
    this.stateSimd(V.load, slot * 8);
  }

  /** Stores the v128 on the stack. */
  setVector(slot: number): void {
    const local = this.cell(slot) || Local.vector0;
    this.setLocal(local);
    this.pushState();
    this.getLocal(local);
    this.stateSimd(V.store, slot * 8);
  }

  /** Brings memory up to date after half of a cell has been put into its local. */
  storeHalf(slot: number): void {
    this.pushState();
    this.getLocal(this.cell(slot));
    this.stateSimd(V.store64Lane, slot * 8);
    this.code.u8(slot & 1);
  }

  /** Loads the cells of the given bits. */
  reloadCells(bits: number): void {
    for (let rest = bits; rest !== 0; rest &= rest - 1) {
      const bit = 31 - Math.clz32(rest & -rest);
      this.pushState();
      this.stateSimd(V.load, (this.cells[bit] as number) * 8);
      this.setLocal(Local.firstCell + bit);
    }
  }

  get allCells(): number {
    return this.cells.length === 32 ? -1 : (1 << this.cells.length) - 1;
  }

  /** Bits of the cells in `slots` slots from `slot` on. */
  cellsIn(slot: number, slots: number): number {
    let bits = 0;
    for (let s = slot & ~1; s < slot + slots; s += 2) {
      const bit = this.cellBit(s);
      if (bit >= 0) bits |= 1 << bit;
    }
    return bits;
  }

  // --- emission of small things

  op(code: number): void {
    this.code.u8(code);
  }
  /** `br_if` that is hardly ever taken. */
  unlikelyBranch(label: number): void {
    this.hints.push(this.code.length, 0);
    this.code.u8(W.brIf);
    this.code.uleb(label);
  }
  /** `if` whose body is nearly always the one to run. */
  likelyIf(type: number): void {
    this.hints.push(this.code.length, 1);
    this.code.u8(W.if);
    this.code.u8(type);
  }
  getLocal(local: number): void {
    this.code.u8(W.localGet);
    this.code.uleb(local);
  }
  setLocal(local: number): void {
    this.code.u8(W.localSet);
    this.code.uleb(local);
  }
  teeLocal(local: number): void {
    this.code.u8(W.localTee);
    this.code.uleb(local);
  }
  i32(value: number): void {
    this.code.u8(W.i32Const);
    this.code.sleb(value);
  }
  i64(low: number, high: number): void {
    this.code.u8(W.i64Const);
    this.code.sleb64(low, high);
  }
  /** A load or store; `align` is the log2 hint, `offset` constant. */
  memory(code: number, align: number, offset: number): void {
    this.code.u8(code);
    this.code.u8(align);
    this.code.uleb(offset);
  }

  // --- the vCPU's state

  /** Pushes the vCPU's address. */
  pushCpu(): void {
    if (this.cpu === 0) this.getLocal(Local.cpu);
    else this.i32(this.cpu);
  }
  /** Pushes what `state` and `stateSimd` count the offsets of fields from. */
  pushState(): void {
    if (this.cpu === 0) this.getLocal(Local.cpu);
    else this.i32(0);
  }
  /** A load or store of a field. */
  state(code: number, align: number, offset: number): void {
    this.memory(code, align, this.cpu + offset);
  }
  stateSimd(code: number, offset: number): void {
    this.simdMemory(code, this.cpu + offset);
  }

  // --- slots

  /** Pushes the value as i64. */
  get(slot: number): void {
    if (this.isConst(slot)) {
      this.i64(this.low[slot] as number, this.high[slot] as number);
      return;
    }
    const local = this.local(slot);
    const cell = this.cell(slot);
    if (local !== 0) this.getLocal(local);
    else if (cell !== 0) {
      this.getLocal(cell);
      this.simdLane(V.i64x2ExtractLane, slot & 1);
    } else {
      this.pushState();
      this.state(W.i64Load, 3, slot * 8);
    }
  }

  /** Pushes the low half as i32. */
  get32(slot: number): void {
    if (this.isConst(slot)) {
      this.i32(this.low[slot] as number);
      return;
    }
    const local = this.local(slot);
    if (local !== 0) {
      this.getLocal(local);
      this.op(W.i32WrapI64);
    } else {
      this.pushState();
      this.state(W.i32Load, 2, slot * 8);
    }
  }

  /** Must come before the value that `set`/`set32` stores is pushed. */
  open(slot: number): void {
    if (this.local(slot) === 0) this.pushState();
  }

  /** Stores the i64 on the stack. `zext32`: its high half is known to be zero. */
  set(slot: number, zext32 = false): void {
    const local = this.local(slot);
    if (local === 0) {
      const cell = this.cell(slot);
      if (cell !== 0) this.teeLocal(Local.lane);
      this.state(W.i64Store, 3, slot * 8);
      if (cell === 0) return;
      this.getLocal(cell);
      this.getLocal(Local.lane);
      this.simdLane(V.i64x2ReplaceLane, slot & 1);
      this.setLocal(cell);
      return;
    }
    this.setLocal(local);
    this.learn(slot, zext32 ? Known.zext32 : Known.nothing, 0, 0);
    this.touch(slot);
  }

  /** Stores the i32 on the stack, zero-extended. */
  set32(slot: number): void {
    this.op(W.i64ExtendI32U);
    this.set(slot, true);
  }

  /** A constant into a slot; a temporary gets none of it until `materialise`. */
  setConst(slot: number, low: number, high: number): void {
    const local = this.local(slot);
    if (local === 0 || !isTemp(slot)) {
      this.open(slot);
      this.i64(low, high);
      this.set(slot);
      if (local === 0) return;
    }
    this.learn(slot, isTemp(slot) ? Known.lazy : Known.constant, low, high);
  }

  private touch(slot: number): void {
    const bit = this.bitOf[slot] as number;
    if (bit < 0) return;
    if (bit < 32) this.dirtyLow |= 1 << bit;
    else this.dirtyHigh |= 1 << (bit - 32);
  }

  // --- knowledge

  private learn(slot: number, known: number, low: number, high: number): void {
    if (this.logged + 5 > this.log.length) {
      const bigger = new Int32Array(this.log.length * 2);
      bigger.set(this.log);
      this.log = bigger;
    }
    const { log } = this;
    log[this.logged++] = slot;
    log[this.logged++] = this.epochOf[slot] as number;
    log[this.logged++] = this.known[slot] as number;
    log[this.logged++] = this.low[slot] as number;
    log[this.logged++] = this.high[slot] as number;
    this.epochOf[slot] = this.epoch;
    this.known[slot] = known;
    this.low[slot] = low;
    this.high[slot] = high;
  }

  isConst(slot: number): boolean {
    return slot < this.limit && this.epochOf[slot] === this.epoch && (this.known[slot] as number) >= Known.constant;
  }
  constLow(slot: number): number {
    return this.low[slot] as number;
  }
  constHigh(slot: number): number {
    return this.high[slot] as number;
  }
  isZext32(slot: number): boolean {
    if (slot >= this.limit || this.epochOf[slot] !== this.epoch) return false;
    return (
      this.known[slot] === Known.zext32 || ((this.known[slot] as number) >= Known.constant && this.high[slot] === 0)
    );
  }

  /** Nothing is known of any slot any more; gives the epoch to return to with `restoreEpoch`. */
  forget(): number {
    const before = this.epoch;
    this.epoch = this.nextEpoch++;
    return before;
  }
  restoreEpoch(epoch: number): void {
    this.epoch = epoch;
  }

  /** State may have changed behind the locals' back: what was known of guest slots is void. */
  forgetGuestSlots(): void {
    for (const s of this.guestSlots) this.learn(s, Known.nothing, 0, 0);
  }

  /** Before code that may or may not run: a mark for `undo` / `undoAndForget`. */
  mark(): number {
    return this.logged;
  }
  /** The code since the mark never continues here: what was known at the mark holds again. */
  undo(mark: number): void {
    const { log } = this;
    while (this.logged > mark) {
      this.logged -= 5;
      const i = this.logged;
      const slot = log[i] as number;
      this.epochOf[slot] = log[i + 1] as number;
      this.known[slot] = log[i + 2] as number;
      this.low[slot] = log[i + 3] as number;
      this.high[slot] = log[i + 4] as number;
    }
  }
  /** The code since the mark may have run: of slots it wrote nothing is known; others are as at the mark. */
  undoAndForget(mark: number): void {
    const end = this.logged;
    this.undo(mark);
    for (let i = mark; i < end; i += 5) {
      // Entries are overwritten in place by `learn`; each is read before its own place is written.
      this.learn(this.log[i] as number, Known.nothing, 0, 0);
    }
  }

  /** A temporary that is only known as a constant gets it into its local. */
  private materialise(slot: number): void {
    if (this.epochOf[slot] !== this.epoch || this.known[slot] !== Known.lazy) return;
    const local = this.local(slot);
    if (local === 0) throw new Bug('constant temporary without a local');
    const low = this.low[slot] as number;
    const high = this.high[slot] as number;
    this.i64(low, high);
    this.setLocal(local);
    this.learn(slot, Known.constant, low, high);
  }

  /** The same for every temporary: before code that may not run, and before an op that may leave the region in between. */
  materialiseTemps(): void {
    for (const slot of this.temps) this.materialise(slot);
  }

  /** Brings a slot's memory up to date with its local, if it has one. */
  store(slot: number): void {
    if (this.local(slot) === 0) return;
    this.pushState();
    this.get(slot);
    this.state(W.i64Store, 3, slot * 8);
  }
  /** Brings a slot's local, if it has one, up to date with memory. */
  fetch(slot: number): void {
    if (this.local(slot) === 0) return;
    this.pushState();
    this.state(W.i64Load, 3, slot * 8);
    this.set(slot);
  }

  // --- memory image of guest slots

  private eachBit(low: number, high: number, visit: (slot: number) => void): void {
    for (let bits = low; bits !== 0; bits &= bits - 1) visit(this.guestSlots[31 - Math.clz32(bits & -bits)] as number);
    for (let bits = high; bits !== 0; bits &= bits - 1) visit(this.guestSlots[63 - Math.clz32(bits & -bits)] as number);
  }

  private readonly storeSlot = (slot: number): void => {
    this.pushState();
    this.getLocal(this.localOf[slot] as number);
    this.state(W.i64Store, 3, slot * 8);
  };

  private readonly loadSlot = (slot: number): void => {
    this.pushState();
    this.state(W.i64Load, 3, slot * 8);
    this.setLocal(this.localOf[slot] as number);
  };

  /** Stores the given guest slots. */
  spill(low: number, high: number): void {
    this.eachBit(low, high, this.storeSlot);
  }

  /** Stores what may be newer than memory. */
  spillDirty(): void {
    this.spill(this.dirtyLow, this.dirtyHigh);
  }

  /** Stores what a side exit anywhere in the region must store; `temps`: it may be inside a guest instruction. */
  spillWritten(temps: boolean): void {
    this.spill(this.writtenLow, this.writtenHigh);
    if (temps) for (const slot of this.temps) this.storeSlot(slot);
  }

  /** Loads the given guest slots. */
  reload(low: number, high: number): void {
    this.eachBit(low, high, this.loadSlot);
  }

  reloadAll(): void {
    const n = this.guestSlots.length;
    this.reload(n >= 32 ? -1 : (1 << n) - 1, n <= 32 ? 0 : n === 64 ? -1 : (1 << (n - 32)) - 1);
  }
}
