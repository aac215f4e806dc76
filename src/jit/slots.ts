/**
 * Which guest slots a region keeps in locals, and per block: which of those locals may be newer than memory at its start
 * (dirty), and which must hold their value there (live). Sets are two words of bits, as `Values` numbers the slots.
 *
 * Every way out stores some of the written slots, so at each op that may leave the region all of them count as read.
 */
// hot path
import { FLAG_OP, FLAG_RES, FLAG_SRC, FLAG_SRC2 } from '../ir/builder.js';
import { EFFECTS, Effect, SKIP_WORD } from '../ir/effects.js';
import type { FloatCode } from '../ir/float-code.js';
import { OP, OP_MASK } from '../ir/ops.js';
import type { VectorCode } from '../ir/vector-code.js';
import { type X87Code, type X87Inlining, type X87Precision, x87Precision } from '../ir/x87-code.js';
import type { Edge } from './flow.js';
import { KIND, Kind } from './lower-alu.js';
import { isAccess, SIZE } from './lower-memory.js';
import { isCall, isIndirect, isReturn } from './region.js';
import { jumpEdges, type RegionGraph } from './region-code.js';
import type { Values } from './values.js';

export class SlotAnalysis {
  /** Some op of the region looks a guest address up in the TLB, or may be left behind it in another way. */
  hasMemoryOps = false;
  /** x87 instructions are put in line, rounding to so many bits. */
  x87Precision: X87Precision | undefined;
  dirtyLow = new Int32Array(0);
  dirtyHigh = new Int32Array(0);
  liveLow = new Int32Array(0);
  liveHigh = new Int32Array(0);
  /** Per block: cells (`Values.cells`) whose locals must hold their values at its start. */
  liveCells = new Int32Array(0);

  private region!: RegionGraph;
  private words: Int32Array = new Int32Array(0);
  /** Per block: slots read before they are written, and slots not yet written where an op may leave the region. */
  private readLow = new Int32Array(0);
  private readHigh = new Int32Array(0);
  private seenLow = new Int32Array(0);
  private seenHigh = new Int32Array(0);
  private readCells = new Int32Array(0);
  private killCells = new Int32Array(0);
  /** Per edge: slots certainly written before it, perhaps written before it, and whether what was dirty still is (-1 or 0). */
  private killLow = new Int32Array(0);
  private killHigh = new Int32Array(0);
  private writtenLow = new Int32Array(0);
  private writtenHigh = new Int32Array(0);
  private keeps = new Int32Array(0);

  // The path being scanned: slots certainly written, perhaps written, read first, observed first.
  private sureLow = 0;
  private sureHigh = 0;
  private maybeLow = 0;
  private maybeHigh = 0;
  private firstReadLow = 0;
  private firstReadHigh = 0;
  private observedLow = 0;
  private observedHigh = 0;
  private sureCells = 0;
  private firstReadCells = 0;
  private keep = -1;
  private calledHelper = false;
  private edge = 0;

  constructor(
    private readonly v: Values,
    private readonly counting: boolean,
    private readonly vectors: VectorHelpers,
  ) {}

  analyse(region: RegionGraph): void {
    this.region = region;
    this.words = region.words;
    this.findX87();
    this.declareAll();
    const { flow } = region;
    const nodes = flow.nodeCount;
    const edges = flow.edges.length;
    for (const name of [
      'dirtyLow',
      'dirtyHigh',
      'liveLow',
      'liveHigh',
      'readLow',
      'readHigh',
      'seenLow',
      'seenHigh',
      'liveCells',
      'readCells',
    ] as const)
      this[name] = new Int32Array(nodes);
    for (const name of ['killLow', 'killHigh', 'writtenLow', 'writtenHigh', 'killCells'] as const)
      this[name] = new Int32Array(edges);
    this.keeps = new Int32Array(edges).fill(-1);
    for (let b = 0; b < region.blocks.length; b++) {
      this.startPath(b);
      this.scan(b, 0, region.opCount[b] as number);
      this.readLow[b] = this.firstReadLow;
      this.readHigh[b] = this.firstReadHigh;
      this.seenLow[b] = this.observedLow;
      this.seenHigh[b] = this.observedHigh;
      this.readCells[b] = this.firstReadCells;
    }
    this.solveDirty();
    this.solveLive();
  }

  // --- which slots there are

  /** What to put in place of the op at word w, if it is an x87 instruction that can be put in line. */
  x87Code(w: number): X87Code | undefined {
    if (this.x87Precision === undefined || ((this.words[w] as number) & OP_MASK) !== OP.vcallf) return undefined;
    return this.vectors.x87.code((this.words[w + 3] as number) >>> 16, this.words[w + 2] as number);
  }

  /**
   * MMX code works on the x87's registers by other names: where there is any, x87 instructions are calls. The guest's control word
   * as it is now says what code to expect.
   */
  private findX87(): void {
    const { region, words } = this;
    const { code, state } = this.vectors.x87;
    const isRegister = (slot: number): boolean => (slot * 8 - state.registers) >>> 0 < X87_REGISTER_BYTES;
    let found = 0;
    this.x87Precision = undefined;
    for (let b = 0; b < region.blocks.length; b++) {
      const first = region.firstWord[b] as number;
      const end = first + (region.opCount[b] as number) * 4;
      for (let w = first; w < end; w += 4) {
        const word = words[w] as number;
        const op = word & OP_MASK;
        const ab = words[w + 1] as number;
        const fields = isVectorCall(op);
        if ((fields || ((EFFECTS[op] as number) & Effect.writesDst) !== 0) && isRegister(word >>> 16)) return;
        if (fields && (isRegister(ab & 0xffff) || isRegister(ab >>> 16))) return;
        if (op === OP.vcallf && code((words[w + 3] as number) >>> 16, words[w + 2] as number) !== undefined) found++;
      }
    }
    if (found > 0 && found <= MAX_INLINE_X87) this.x87Precision = x87Precision(this.vectors.x87Control());
  }

  private declareAll(): void {
    this.declareCells();
    const { region, words, v } = this;
    // Jumps into other pages look there, too.
    this.hasMemoryOps = region.pageDelta.length > 1 || this.x87Precision !== undefined;
    let partial = false;
    for (let b = 0; b < region.blocks.length; b++) {
      const first = region.firstWord[b] as number;
      const end = first + (region.opCount[b] as number) * 4;
      for (let w = first; w < end; w += 4) {
        const op = (words[w] as number) & OP_MASK;
        const ab = words[w + 1] as number;
        const effects = EFFECTS[op] as number;
        if (isAccess(op)) this.hasMemoryOps = true;
        if ((effects & Effect.readsA) !== 0) v.declare(ab & 0xffff, false);
        if ((effects & Effect.readsB) !== 0) v.declare(ab >>> 16, false);
        if ((effects & Effect.readsImmSlot) !== 0) v.declare(words[w + 2] as number, false);
        if ((effects & Effect.writesDst) !== 0) v.declare((words[w] as number) >>> 16, true);
        if (op === OP.flags) {
          v.declare(FLAG_OP, true);
          v.declare(FLAG_RES, true);
          v.declare(FLAG_SRC, true);
        } else if ((effects & Effect.readsFlags) !== 0) {
          v.declare(FLAG_OP, false);
          v.declare(FLAG_RES, false);
          v.declare(FLAG_SRC, false);
          v.declare(FLAG_SRC2, false);
        } else if (isPartialWrite(op)) partial = true;
        else if (isVectorCall(op)) {
          // As a rule these are vector fields, which are never in locals.
          v.declare(ab & 0xffff, false);
          v.declare(ab >>> 16, false);
          v.declare((words[w] as number) >>> 16, true);
        }
      }
    }
    if (!partial) return;
    // State written by byte offset counts as a written slot when the slot is in a local; only now is that known.
    for (let b = 0; b < region.blocks.length; b++) {
      const first = region.firstWord[b] as number;
      const end = first + (region.opCount[b] as number) * 4;
      for (let w = first; w < end; w += 4) {
        const slot = (words[w + 2] as number) >>> 3;
        if (isPartialWrite((words[w] as number) & OP_MASK) && v.local(slot) !== 0) v.declare(slot, true);
      }
    }
  }

  /** The cells that inlined vector code and vector moves name. */
  private declareCells(): void {
    const { region, words, v } = this;
    for (let b = 0; b < region.blocks.length; b++) {
      const first = region.firstWord[b] as number;
      const end = first + (region.opCount[b] as number) * 4;
      for (let w = first; w < end; w += 4) {
        const word = words[w] as number;
        const op = word & OP_MASK;
        const ab = words[w + 1] as number;
        if (isVectorCall(op)) {
          const helper = (words[w + 3] as number) >>> 16;
          const imm = words[w + 2] as number;
          if (!this.isInline(op, helper, imm)) continue;
          const float = op === OP.vcallf ? this.vectors.inlineFloat(helper, imm) : undefined;
          for (let part = 0; part < (float?.parts ?? 1); part++) {
            v.declareCell((ab & 0xffff) + part * 2);
            // Integers pass through memory.
            if (float?.operation !== 'fromInteger') v.declareCell((ab >>> 16) + part * 2);
            if (!writesHalf(this.vectors, op, helper, imm)) v.declareCell((word >>> 16) + part * 2);
          }
        } else if (KIND[op] === Kind.loadVector || KIND[op] === Kind.storeVector) {
          const slot = KIND[op] === Kind.loadVector ? word >>> 16 : ab >>> 16;
          for (let at = 0; at < (SIZE[op] as number); at += 16) v.declareCell(slot + at / 8);
        }
      }
    }
  }

  private isInline(op: number, helper: number, imm: number): boolean {
    if (op === OP.vcallf) return this.vectors.inlineFloat(helper, imm) !== undefined;
    return this.vectors.inlineVector(helper, imm) !== undefined;
  }

  /** Slots that an inlined vector op writes, from its destination on. */
  private slotsWritten(op: number, helper: number, imm: number): number {
    const code = op === OP.vcallf ? this.vectors.inlineFloat(helper, imm) : undefined;
    return code === undefined ? 2 : resultSlots(code);
  }

  // --- one path through a block

  private startPath(b: number): void {
    this.sureLow = this.sureHigh = this.maybeLow = this.maybeHigh = 0;
    this.firstReadLow = this.firstReadHigh = this.observedLow = this.observedHigh = 0;
    this.sureCells = this.firstReadCells = 0;
    this.keep = -1;
    this.calledHelper = false;
    this.edge = this.region.firstEdge[b] as number;
    // Where a loop begins, requests to leave are seen to; under icount every block may be one instruction too many.
    if (this.counting || this.region.flow.beginsLoop[b] === 1) this.observe();
  }

  private read(slot: number): void {
    if (this.v.local(slot) === 0) {
      this.readCell(slot);
      return;
    }
    const bit = this.v.bit(slot);
    if (bit < 0) return;
    if (bit < 32) this.firstReadLow |= (1 << bit) & ~this.sureLow;
    else this.firstReadHigh |= (1 << (bit - 32)) & ~this.sureHigh;
  }
  private write(slot: number): void {
    if (this.v.local(slot) === 0) {
      // Half of a cell: the other half stays.
      this.readCell(slot);
      return;
    }
    const bit = this.v.bit(slot);
    if (bit < 0) return;
    if (bit < 32) {
      this.sureLow |= 1 << bit;
      this.maybeLow |= 1 << bit;
    } else {
      this.sureHigh |= 1 << (bit - 32);
      this.maybeHigh |= 1 << (bit - 32);
    }
  }
  private readCell(slot: number): void {
    const bit = this.v.cellBit(slot);
    if (bit >= 0) this.firstReadCells |= (1 << bit) & ~this.sureCells;
  }

  /** Follows what a vector op does to cells. */
  private vectorOp(op: number, w: number): void {
    const { words, v } = this;
    const dst = (words[w] as number) >>> 16;
    const ab = words[w + 1] as number;
    if (KIND[op] === Kind.loadVector) this.sureCells |= v.cellsIn(dst, (SIZE[op] as number) / 8);
    else if (KIND[op] === Kind.storeVector) {
      for (let at = 0; at < (SIZE[op] as number); at += 16) this.readCell((ab >>> 16) + at / 8);
    } else {
      if (this.x87Code(w) !== undefined) return;
      const helper = (words[w + 3] as number) >>> 16;
      const imm = words[w + 2] as number;
      if (this.isInline(op, helper, imm)) {
        const float = op === OP.vcallf ? this.vectors.inlineFloat(helper, imm) : undefined;
        for (let part = 0; part < (float?.parts ?? 1); part++) {
          this.readCell((ab & 0xffff) + part * 2);
          this.readCell((ab >>> 16) + part * 2);
        }
        if (writesHalf(this.vectors, op, helper, imm)) this.readCell(dst);
        else this.sureCells |= v.cellsIn(dst, this.slotsWritten(op, helper, imm));
      } else {
        // Its operands are in memory; what it may have written is loaded after it.
        this.sureCells |= this.vectors.writesDestinationOnly(helper) ? v.cellsIn(dst, SLOTS_OF_VECTOR) : v.allCells;
      }
    }
  }

  private observe(): void {
    this.observedLow |= ~this.sureLow;
    this.observedHigh |= ~this.sureHigh;
  }

  /** Follows ops [from, to); false when the end is not reached. */
  private scan(b: number, from: number, to: number): boolean {
    const { words, v } = this;
    const first = this.region.firstWord[b] as number;
    for (let i = from; i < to; i++) {
      const w = first + i * 4;
      const word = words[w] as number;
      const op = word & OP_MASK;
      const ab = words[w + 1] as number;
      const effects = EFFECTS[op] as number;
      if ((effects & Effect.readsA) !== 0) this.read(ab & 0xffff);
      if ((effects & Effect.readsB) !== 0) this.read(ab >>> 16);
      if ((effects & Effect.readsImmSlot) !== 0) this.read(words[w + 2] as number);
      if ((effects & Effect.readsFlags) !== 0) {
        this.read(FLAG_OP);
        this.read(FLAG_RES);
        this.read(FLAG_SRC);
        this.read(FLAG_SRC2);
      }
      const skip = SKIP_WORD[op] as number;
      if (skip !== 0) {
        const end = i + 1 + (words[w + skip] as number);
        this.body(b, i + 1, end);
        i = end - 1;
        continue;
      }
      if ((effects & Effect.end) !== 0) {
        this.end(b, w);
        return false;
      }
      if ((effects & Effect.observes) !== 0) this.observe();
      if (isVectorCall(op) || KIND[op] === Kind.loadVector || KIND[op] === Kind.storeVector) this.vectorOp(op, w);
      if (op === OP.callf) {
        // Everything dirty was stored; all locals are loaded again after it.
        this.maybeLow = this.maybeHigh = 0;
        this.sureCells = v.allCells;
        this.keep = 0;
        this.calledHelper = true;
      }
      if (isVectorCall(op)) {
        for (const slot of [ab & 0xffff, ab >>> 16, word >>> 16]) if (v.local(slot) !== 0) this.read(slot);
        if (v.local(word >>> 16) !== 0) this.write(word >>> 16);
      }
      if (STATE_OPS[op] === 1) this.read((words[w + 2] as number) >>> 3);
      if ((effects & Effect.writesDst) !== 0) {
        if (v.cell(word >>> 16) !== 0 && fillsCell(words, w, first + to * 4))
          this.sureCells |= v.cellsIn(word >>> 16, 2);
        else this.write(word >>> 16);
      }
      if (op === OP.flags) {
        this.write(FLAG_OP);
        this.write(FLAG_RES);
        this.write(FLAG_SRC);
      } else if (isPartialWrite(op)) this.write((words[w + 2] as number) >>> 3);
    }
    return true;
  }

  private body(b: number, from: number, to: number): void {
    const { sureLow, sureHigh, sureCells, maybeLow, maybeHigh, keep, calledHelper } = this;
    const falls = this.scan(b, from, to);
    this.sureLow = sureLow;
    this.sureHigh = sureHigh;
    this.sureCells = sureCells;
    this.maybeLow = falls ? this.maybeLow | maybeLow : maybeLow;
    this.maybeHigh = falls ? this.maybeHigh | maybeHigh : maybeHigh;
    this.keep = keep;
    this.calledHelper = falls ? this.calledHelper || calledHelper : calledHelper;
  }

  private end(b: number, w: number): void {
    const word = this.words[w] as number;
    const imm = this.words[w + 2] as number;
    if (isIndirect(word, imm) || isReturn(word, imm)) {
      this.observe();
      const first = this.edge;
      this.edge += jumpEdges(this.region, b, w);
      for (let e = first; e < this.edge; e++) {
        this.killLow[e] = this.sureLow;
        this.killHigh[e] = this.sureHigh;
        this.killCells[e] = this.sureCells;
        this.writtenLow[e] = this.maybeLow;
        this.writtenHigh[e] = this.maybeHigh;
        this.keeps[e] = this.keep;
      }
      return;
    }
    if ((word & OP_MASK) !== OP.goto && !isCall(word, imm)) {
      this.observe();
      return;
    }
    const e = this.edge++;
    const { to, guard, call } = this.region.flow.edges[e] as Edge;
    if (to < 0 || guard !== 0 || call || this.calledHelper) this.observe();
    // After a call everything is as in memory.
    this.killLow[e] = call ? -1 : this.sureLow;
    this.killHigh[e] = call ? -1 : this.sureHigh;
    this.killCells[e] = call ? -1 : this.sureCells;
    this.writtenLow[e] = call ? 0 : this.maybeLow;
    this.writtenHigh[e] = call ? 0 : this.maybeHigh;
    this.keeps[e] = call ? 0 : this.keep;
  }

  // --- over the region

  private solveDirty(): void {
    const { dirtyLow, dirtyHigh } = this;
    const { edges } = this.region.flow;
    for (let changed = true; changed; ) {
      changed = false;
      for (let i = 0; i < edges.length; i++) {
        const { from, to } = edges[i] as Edge;
        if (to < 0) continue;
        const keeps = this.keeps[i] as number;
        const low = ((dirtyLow[from] as number) & keeps) | (this.writtenLow[i] as number);
        const high = ((dirtyHigh[from] as number) & keeps) | (this.writtenHigh[i] as number);
        if (((low & ~(dirtyLow[to] as number)) | (high & ~(dirtyHigh[to] as number))) === 0) continue;
        dirtyLow[to] = (dirtyLow[to] as number) | low;
        dirtyHigh[to] = (dirtyHigh[to] as number) | high;
        changed = true;
      }
    }
  }

  private solveLive(): void {
    const { v, liveLow, liveHigh, liveCells } = this;
    const { edges, nodeCount } = this.region.flow;
    for (let n = 0; n < nodeCount; n++) {
      liveLow[n] = (this.readLow[n] as number) | ((this.seenLow[n] as number) & v.writtenLow);
      liveHigh[n] = (this.readHigh[n] as number) | ((this.seenHigh[n] as number) & v.writtenHigh);
      liveCells[n] = this.readCells[n] as number;
    }
    for (let changed = true; changed; ) {
      changed = false;
      for (let i = edges.length - 1; i >= 0; i--) {
        const { from, to } = edges[i] as Edge;
        if (to < 0) continue;
        const low = (liveLow[to] as number) & ~(this.killLow[i] as number);
        const high = (liveHigh[to] as number) & ~(this.killHigh[i] as number);
        const cells = (liveCells[to] as number) & ~(this.killCells[i] as number) & ~(liveCells[from] as number);
        if (((low & ~(liveLow[from] as number)) | (high & ~(liveHigh[from] as number)) | cells) === 0) continue;
        liveCells[from] = (liveCells[from] as number) | cells;
        liveLow[from] = (liveLow[from] as number) | low;
        liveHigh[from] = (liveHigh[from] as number) | high;
        changed = true;
      }
    }
  }
}

/** What is known of vector helpers, by number (and immediate). */
export interface VectorHelpers {
  /** Code to put in place of a call. */
  readonly inlineVector: (helper: number, imm: number) => VectorCode | undefined;
  /** What a helper computes whose usual case may be put in line. */
  readonly inlineFloat: (helper: number, imm: number) => FloatCode | undefined;
  /** It writes no vector state but its destination (64 bytes) and the status word. */
  readonly writesDestinationOnly: (helper: number) => boolean;
  readonly x87: X87Inlining;
  /** The x87's control word of a processor now. */
  readonly x87Control: () => number;
}

/** A region with more x87 instructions calls them all: in line each is some 500 bytes of WebAssembly. */
const MAX_INLINE_X87 = 1000;
/** Eight registers of sixteen bytes. */
const X87_REGISTER_BYTES = 128;

/** Slots that a vector helper may write from its destination on. */
export const SLOTS_OF_VECTOR = 8;

/** Slots that a floating-point result fills. */
export function resultSlots(code: FloatCode): number {
  return code.parts * 2 + (code.clearsUpper ? 2 : 0);
}

/** Does inlined vector code leave a 64-bit number, in half a cell? */
function writesHalf(vectors: VectorHelpers, op: number, helper: number, imm: number): boolean {
  if (op === OP.vcall) return vectors.inlineVector(helper, imm)?.scalar === true;
  const operation = vectors.inlineFloat(helper, imm)?.operation;
  return operation === 'compare' || operation === 'toInteger';
}

/** Is the op at word w a load to the low half of a cell whose upper half the next op clears? They are lowered as one. */
export function fillsCell(words: Int32Array, w: number, end: number): boolean {
  const word = words[w] as number;
  const op = word & OP_MASK;
  if ((op !== OP.ld64 && op !== OP.ld32u) || w + 4 >= end) return false;
  const next = words[w + 4] as number;
  const upper = (word >>> 16) + 1;
  return (
    (upper & 1) === 1 &&
    (next & OP_MASK) === OP.movi &&
    next >>> 16 === upper &&
    words[w + 6] === 0 &&
    words[w + 7] === 0
  );
}

const STATE_OPS = new Uint8Array(Object.keys(OP).length);
for (const name of ['env_ld8u', 'env_ld16u', 'env_ld32u', 'env_st8', 'env_st16', 'env_st32'] as const)
  STATE_OPS[OP[name]] = 1;

function isPartialWrite(op: number): boolean {
  return op === OP.env_st8 || op === OP.env_st16 || op === OP.env_st32;
}

function isVectorCall(op: number): boolean {
  return op === OP.vcall || op === OP.vcallf;
}
