/**
 * Which guest slots a region keeps in locals, and per block: which of those locals may be newer than memory at its start
 * (dirty), and which must hold their value there (live). Sets are two words of bits, as `Values` numbers the slots.
 *
 * Every way out stores some of the written slots, so at each op that may leave the region all of them count as read.
 */
// hot path
import { FLAG_OP, FLAG_RES, FLAG_SRC, FLAG_SRC2 } from '../ir/builder.js';
import { EFFECTS, Effect, SKIP_WORD } from '../ir/effects.js';
import { OP } from '../ir/ops.js';
import type { Edge } from './flow.js';
import { KIND, Kind } from './lower-alu.js';
import { isCall, type Region } from './region.js';
import type { Values } from './values.js';

export class SlotAnalysis {
  /** Some op of the region looks a guest address up in the TLB. */
  hasMemoryOps = false;
  dirtyLow = new Int32Array(0);
  dirtyHigh = new Int32Array(0);
  liveLow = new Int32Array(0);
  liveHigh = new Int32Array(0);

  private region!: Region;
  private words: Int32Array = new Int32Array(0);
  /** Per block: slots read before they are written, and slots not yet written where an op may leave the region. */
  private readLow = new Int32Array(0);
  private readHigh = new Int32Array(0);
  private seenLow = new Int32Array(0);
  private seenHigh = new Int32Array(0);
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
  private keep = -1;
  private calledHelper = false;
  private edge = 0;

  constructor(
    private readonly v: Values,
    private readonly counting: boolean,
  ) {}

  analyse(region: Region, words: Int32Array): void {
    this.region = region;
    this.words = words;
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
    ] as const)
      this[name] = new Int32Array(nodes);
    for (const name of ['killLow', 'killHigh', 'writtenLow', 'writtenHigh'] as const)
      this[name] = new Int32Array(edges);
    this.keeps = new Int32Array(edges).fill(-1);
    for (let b = 0; b < region.blocks.length; b++) {
      this.startPath(b);
      this.scan(b, 0, region.opCount[b] as number);
      this.readLow[b] = this.firstReadLow;
      this.readHigh[b] = this.firstReadHigh;
      this.seenLow[b] = this.observedLow;
      this.seenHigh[b] = this.observedHigh;
    }
    this.solveDirty();
    this.solveLive();
  }

  // --- which slots there are

  private declareAll(): void {
    const { region, words, v } = this;
    // Jumps into other pages look there, too.
    this.hasMemoryOps = region.pageDelta.length > 1;
    let partial = false;
    for (let b = 0; b < region.blocks.length; b++) {
      const first = region.firstWord[b] as number;
      const end = first + (region.opCount[b] as number) * 4;
      for (let w = first; w < end; w += 4) {
        const op = (words[w] as number) & 0xffff;
        const ab = words[w + 1] as number;
        const effects = EFFECTS[op] as number;
        if ((KIND[op] as number) >= Kind.load || op === OP.probew) this.hasMemoryOps = true;
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
        if (isPartialWrite((words[w] as number) & 0xffff) && v.local(slot) !== 0) v.declare(slot, true);
      }
    }
  }

  // --- one path through a block

  private startPath(b: number): void {
    this.sureLow = this.sureHigh = this.maybeLow = this.maybeHigh = 0;
    this.firstReadLow = this.firstReadHigh = this.observedLow = this.observedHigh = 0;
    this.keep = -1;
    this.calledHelper = false;
    this.edge = this.region.firstEdge[b] as number;
    // A loop header polls for requests to leave; under icount every block may be one instruction too many.
    if (this.counting || this.region.flow.loopHeader[b] === 1) this.observe();
  }

  private read(slot: number): void {
    if (this.v.local(slot) === 0) return;
    const bit = this.v.bit(slot);
    if (bit < 0) return;
    if (bit < 32) this.firstReadLow |= (1 << bit) & ~this.sureLow;
    else this.firstReadHigh |= (1 << (bit - 32)) & ~this.sureHigh;
  }
  private write(slot: number): void {
    if (this.v.local(slot) === 0) return;
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
  private observe(): void {
    this.observedLow |= ~this.sureLow;
    this.observedHigh |= ~this.sureHigh;
  }

  /** Follows ops [from, to); false when the end is not reached. */
  private scan(b: number, from: number, to: number): boolean {
    const { words } = this;
    const first = this.region.firstWord[b] as number;
    for (let i = from; i < to; i++) {
      const w = first + i * 4;
      const word = words[w] as number;
      const op = word & 0xffff;
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
        this.end(word, words[w + 2] as number);
        return false;
      }
      if ((effects & Effect.observes) !== 0) this.observe();
      if (op === OP.callf) {
        // Everything dirty was stored; all locals are loaded again after it.
        this.maybeLow = this.maybeHigh = 0;
        this.keep = 0;
        this.calledHelper = true;
      }
      if (isVectorCall(op)) {
        this.read(ab & 0xffff);
        this.read(ab >>> 16);
        this.read(word >>> 16);
        this.write(word >>> 16);
      }
      if (STATE_OPS[op] === 1) this.read((words[w + 2] as number) >>> 3);
      if ((effects & Effect.writesDst) !== 0) this.write(word >>> 16);
      else if (op === OP.flags) {
        this.write(FLAG_OP);
        this.write(FLAG_RES);
        this.write(FLAG_SRC);
      } else if (isPartialWrite(op)) this.write((words[w + 2] as number) >>> 3);
    }
    return true;
  }

  private body(b: number, from: number, to: number): void {
    const { sureLow, sureHigh, maybeLow, maybeHigh, keep, calledHelper } = this;
    const falls = this.scan(b, from, to);
    this.sureLow = sureLow;
    this.sureHigh = sureHigh;
    this.maybeLow = falls ? this.maybeLow | maybeLow : maybeLow;
    this.maybeHigh = falls ? this.maybeHigh | maybeHigh : maybeHigh;
    this.keep = keep;
    this.calledHelper = falls ? this.calledHelper || calledHelper : calledHelper;
  }

  private end(word: number, imm: number): void {
    if ((word & 0xffff) !== OP.goto && !isCall(word, imm)) {
      this.observe();
      return;
    }
    const e = this.edge++;
    const { to, guard, call } = this.region.flow.edges[e] as Edge;
    if (to < 0 || guard !== 0 || call || this.calledHelper) this.observe();
    // After a call everything is as in memory.
    this.killLow[e] = call ? -1 : this.sureLow;
    this.killHigh[e] = call ? -1 : this.sureHigh;
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
    const { v, liveLow, liveHigh } = this;
    const { edges, nodeCount } = this.region.flow;
    for (let n = 0; n < nodeCount; n++) {
      liveLow[n] = (this.readLow[n] as number) | ((this.seenLow[n] as number) & v.writtenLow);
      liveHigh[n] = (this.readHigh[n] as number) | ((this.seenHigh[n] as number) & v.writtenHigh);
    }
    for (let changed = true; changed; ) {
      changed = false;
      for (let i = edges.length - 1; i >= 0; i--) {
        const { from, to } = edges[i] as Edge;
        if (to < 0) continue;
        const low = (liveLow[to] as number) & ~(this.killLow[i] as number);
        const high = (liveHigh[to] as number) & ~(this.killHigh[i] as number);
        if (((low & ~(liveLow[from] as number)) | (high & ~(liveHigh[from] as number))) === 0) continue;
        liveLow[from] = (liveLow[from] as number) | low;
        liveHigh[from] = (liveHigh[from] as number) | high;
        changed = true;
      }
    }
  }
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
