/**
 * Finds memory accesses that share a base: [rsp-8], [rsp-16], ... The first of such a group checks the TLB for the whole
 * range at once and keeps its linear-memory address, which the others use. Where the base does not change in a loop, that check
 * is made before the loop. When the check fails (a miss, or the range straddles two pages), the region is left. That is only
 * done for what would be accessed anyway, and not once it was left too often: then each access of the group does its own check.
 *
 * A pass over the region's extended basic blocks: a block together with those that only it leads to.
 */
// hot path
import { FLAG_OP, FLAG_RES, FLAG_SRC } from '../ir/builder.js';
import { EFFECTS, Effect, SKIP_WORD } from '../ir/effects.js';
import { PAGE_MEMORIES } from '../ir/layout.js';
import { OP, OP_MASK } from '../ir/ops.js';
import type { Edge } from './flow.js';
import { accessSize, isAccess, WRITES } from './lower-memory.js';
import { isCall, isIndirect, isReturn, terminates } from './region.js';
import { jumpEdges, type RegionGraph } from './region-code.js';
import { isTemp } from './values.js';

const NO_SLOT = -1;
const NO_SEQUENCE = -1;
const NONE: readonly number[] = [];
const NOWHERE: ReadonlySet<number> = new Set();

/** A loop in which nothing changes the TLB. */
interface Loop {
  readonly header: number;
  readonly body: ReadonlySet<number>;
  /** Blocks on every way round. */
  readonly always: ReadonlySet<number>;
  /** Slots written in it. */
  readonly written: ReadonlySet<number>;
  /** Group by base slot * 2 + narrow. */
  readonly groups: Map<number, number>;
}

/** An access in a small loop that remembers the page it was in last. */
export interface PageMemory {
  /** Number of its place in the vCPU's state, or -1: it has locals. */
  readonly cell: number;
  /** The i64 local with the page. */
  readonly page: number;
  /** Local with what to add to an address in that page; taken when the loop is emitted. */
  addend: number;
}

/**
 * What loops may change and remember in locals: with more, the engine keeps most of it on its stack, and copies it from place to place
 * each time round. Then the pages are better off in memory.
 */
const MAX_LOOP_LOCALS = 11;

/** Of a group: one of its accesses is made for certain, and one that writes. */
const Certain = { access: 1, write: 2 } as const;

/** Bytes a group may cover: the farther apart its ends, the more often they lie in two pages. */
const MAX_SPAN = 512;

export class AccessGroups {
  /** Group of each op (`firstOp[b] + i`), 0: none. */
  private groupOf = new Int32Array(4096);
  private firstOp = new Int32Array(512);
  /** Per group: number of accesses, op of the first, range of offsets from the base, whether any writes. */
  readonly count: number[] = [];
  readonly leader: number[] = [];
  readonly min: number[] = [];
  readonly end: number[] = [];
  readonly writes: number[] = [];
  /** Per group: what is certain to happen when control is where its range is checked. */
  private readonly certain: number[] = [];
  /** Per group: the sequence of ops with its first access, NO_SEQUENCE for a loop's. */
  private readonly sequenceOf: number[] = [];
  /** The sequence (a block's ops, or a body's) that is looked at, and how many bodies of `if_…` ops are around it. */
  private sequence = 0;
  private lastSequence = 0;
  private nesting = 0;
  private readonly narrowGroup: number[] = [];
  /** Slot with the base of a loop's group, or NO_SLOT. */
  private readonly slotOf: number[] = [];
  private readonly loopGroups = new Map<number, number[]>();
  private loops: Loop[] = [];
  /** Per group of a loop: that loop. */
  private readonly loopOf: (Loop | undefined)[] = [];
  private readonly memoryOf = new Map<number, PageMemory>();
  private readonly loopMemories = new Map<number, PageMemory[]>();
  /** Slot that a value number stands for as it was at the start of the extended block, or NO_SLOT. */
  private readonly originOf: number[] = [];
  /** Offset from the base of each op in a group. */
  private offsetOf = new Int32Array(4096);
  /** Calls of helpers that may change the TLB, on the way here: groups from before the last one are closed. */
  private readonly barrierOf: number[] = [];
  private barrier = 0;
  private lastBarrier = 0;

  /** What is known of a slot: it is value number `id` plus `offset`; `narrow`: cut to 32 bits. Valid in its epoch. */
  private readonly stampOf: Int32Array;
  private readonly idOf: Int32Array;
  private readonly offset: Int32Array;
  private readonly narrow: Uint8Array;
  private epoch = 1;
  private lastEpoch = 1;
  /** Open group by value number * 2 + narrow. */
  private groupOfValue: number[] = [];
  private values = 0;
  private readonly log: number[] = [];
  private readonly valueLog: number[] = [];

  private words: Int32Array = new Int32Array(0);
  private region!: RegionGraph;
  private edge = 0;

  constructor(private readonly limit: number) {
    this.stampOf = new Int32Array(limit);
    this.idOf = new Int32Array(limit);
    this.offset = new Int32Array(limit);
    this.narrow = new Uint8Array(limit);
  }

  /** Group of op i of block b if sharing its check pays, else 0. */
  of(b: number, i: number): number {
    const group = this.groupOf[(this.firstOp[b] as number) + i] as number;
    return group !== 0 && ((this.count[group] as number) > 1 || this.slotOf[group] !== NO_SLOT) ? group : 0;
  }
  /** Groups to open before the loop with this header. */
  ofLoop(header: number): readonly number[] {
    return this.loopGroups.get(header) ?? NONE;
  }
  /** What op i of block b remembers of its last page, if it does. */
  pageMemory(b: number, i: number): PageMemory | undefined {
    return this.memoryOf.size === 0 ? undefined : this.memoryOf.get((this.firstOp[b] as number) + i);
  }
  /** Those of the loop with this header. */
  memoriesOfLoop(header: number): readonly PageMemory[] {
    return this.loopMemories.get(header) ?? [];
  }
  /** Slot that holds the base of a group of a loop. */
  baseSlot(group: number): number {
    return this.slotOf[group] as number;
  }
  /** Whether something in the group's range is accessed for certain, and written if any access of it writes. */
  isCertain(group: number): boolean {
    const wanted = this.writes[group] === 1 ? Certain.access | Certain.write : Certain.access;
    return ((this.certain[group] as number) & wanted) === wanted;
  }
  isLeader(b: number, i: number, group: number): boolean {
    return this.leader[group] === (this.firstOp[b] as number) + i;
  }
  /** Whether the group's addresses are cut to 32 bits. */
  isNarrow(group: number): boolean {
    return this.narrowGroup[group] === 1;
  }
  /** Offset of the access from its group's base. */
  offsetIn(b: number, i: number): number {
    return this.offsetOf[(this.firstOp[b] as number) + i] as number;
  }

  /** `takeWide` gives a fresh i64 local. */
  find(region: RegionGraph, takeWide: () => number): void {
    this.region = region;
    this.words = region.words;
    const blocks = region.blocks.length;
    if (this.firstOp.length < blocks) this.firstOp = new Int32Array(blocks * 2);
    let total = 0;
    for (let b = 0; b < blocks; b++) {
      this.firstOp[b] = total;
      total += region.opCount[b] as number;
    }
    if (this.groupOf.length < total) {
      this.groupOf = new Int32Array(total * 2);
      this.offsetOf = new Int32Array(total * 2);
    } else this.groupOf.fill(0, 0, total);
    this.count.length = this.leader.length = this.min.length = this.end.length = 1;
    this.writes.length = this.barrierOf.length = this.narrowGroup.length = this.slotOf.length = 1;
    this.certain.length = this.sequenceOf.length = 1;
    this.originOf.length = 0;
    this.loopOf.length = 0;
    this.loopGroups.clear();
    this.findLoops();
    this.groupOfValue = [];
    this.values = 0;
    const { flow } = region;
    const indirect = new Set(flow.edges.filter((e) => e.indirect).map((e) => e.to));
    for (let b = 0; b < blocks; b++) {
      if (
        indirect.has(b) ||
        flow.merge[b] === 1 ||
        flow.loopHeader[b] === 1 ||
        b === 0 ||
        (flow.idom[b] as number) >= flow.blockCount
      ) {
        this.forgetAll();
        this.log.length = this.valueLog.length = 0;
        this.block(b);
      }
    }
    this.findMemories(takeWide);
  }

  /** In innermost loops, accesses that share no check remember their last page. */
  private findMemories(takeWide: () => number): void {
    this.memoryOf.clear();
    this.loopMemories.clear();
    const { region, words, loops } = this;
    for (const loop of loops) {
      if (loops.some((l) => l !== loop && loop.body.has(l.header))) continue;
      const sites: number[] = [];
      for (const b of loop.body) {
        if (b >= region.flow.blockCount) continue;
        const first = region.firstWord[b] as number;
        for (let i = 0; i < (region.opCount[b] as number); i++) {
          if (isAccess((words[first + i * 4] as number) & OP_MASK) && this.of(b, i) === 0)
            sites.push((this.firstOp[b] as number) + i);
        }
      }
      if (sites.length > PAGE_MEMORIES) continue;
      const changed = [...loop.written].filter((slot) => !isTemp(slot)).length;
      const inLocals = changed + sites.length * 2 <= MAX_LOOP_LOCALS;
      const memories: PageMemory[] = [];
      for (const [i, site] of sites.entries()) {
        const memory: PageMemory = { cell: inLocals ? -1 : i, page: inLocals ? takeWide() : 0, addend: 0 };
        memories.push(memory);
        this.memoryOf.set(site, memory);
      }
      this.loopMemories.set(loop.header, memories);
    }
  }

  private findLoops(): void {
    this.loops = [];
    if (!this.region.flow.loopHeader.includes(1)) return;
    for (const { header, body, always } of this.region.flow.loops()) {
      const written = new Set<number>();
      let quiet = true;
      for (const b of body) if (b < this.region.flow.blockCount) quiet = this.collectWrites(b, written) && quiet;
      // A dispatch node is no place to leave for: its loop's groups are never certain.
      const certain = header < this.region.flow.blockCount ? always : NOWHERE;
      if (quiet) this.loops.push({ header, body, always: certain, written, groups: new Map() });
    }
  }

  /** Adds the slots a block writes; false when it calls something that may change the TLB. */
  private collectWrites(b: number, written: Set<number>): boolean {
    const { words } = this;
    const first = this.region.firstWord[b] as number;
    const end = first + (this.region.opCount[b] as number) * 4;
    for (let w = first; w < end; w += 4) {
      const word = words[w] as number;
      const op = word & OP_MASK;
      if (op === OP.callf || isCall(word, words[w + 2] as number)) return false;
      if (((EFFECTS[op] as number) & Effect.writesDst) !== 0 || op === OP.vcall || op === OP.vcallf) {
        written.add(word >>> 16);
      } else if (op === OP.flags) {
        written.add(FLAG_OP);
        written.add(FLAG_RES);
        written.add(FLAG_SRC);
      } else if (op === OP.env_st8 || op === OP.env_st16 || op === OP.env_st32) {
        written.add((words[w + 2] as number) >>> 3);
      }
    }
    return true;
  }

  private forgetAll(): void {
    this.epoch = ++this.lastEpoch;
    this.barrier = ++this.lastBarrier;
  }

  /** Gives the groups written to for certain when control comes to the block; so do the following. */
  private block(b: number): readonly number[] {
    const before = this.edge;
    const { nesting } = this;
    this.edge = this.region.firstEdge[b] as number;
    this.nesting = 0;
    const written = this.ops(b, 0, this.region.opCount[b] as number);
    this.edge = before;
    this.nesting = nesting;
    return written;
  }

  private ops(b: number, from: number, to: number): readonly number[] {
    const { words } = this;
    const outer = this.sequence;
    const sequence = ++this.lastSequence;
    this.sequence = sequence;
    const soFar: number[] = [];
    const ways: (readonly number[])[] = [];
    let reachesEnd = true;
    const first = this.region.firstWord[b] as number;
    for (let i = from; i < to; i++) {
      const w = first + i * 4;
      const word = words[w] as number;
      const op = word & OP_MASK;
      const dst = word >>> 16;
      const ab = words[w + 1] as number;
      const a = ab & 0xffff;
      const imm = words[w + 2] as number;
      if (isAccess(op)) {
        const group = this.access(b, i, op, accessSize(op, ab), a, imm);
        if (group !== 0 && WRITES[op] === 1) soFar.push(group);
      }
      const skip = SKIP_WORD[op] as number;
      if (skip !== 0) {
        const end = i + 1 + (words[w + skip] as number);
        const written = this.body(b, i + 1, end);
        if (terminates(words, first, i + 1, end)) ways.push([...soFar, ...written]);
        i = end - 1;
        continue;
      }
      switch (op) {
        case OP.mov:
          this.copy(dst, a, 0, false);
          continue;
        case OP.addi:
          this.copy(dst, a, imm, false);
          continue;
        case OP.subi:
          this.copy(dst, a, -imm, false);
          continue;
        case OP.ext32u:
          this.copy(dst, a, 0, true);
          continue;
        case OP.addi32:
          this.copy(dst, a, imm, true);
          continue;
        case OP.subi32:
          this.copy(dst, a, -imm, true);
          continue;
        case OP.flags:
          this.fresh(FLAG_OP);
          this.fresh(FLAG_RES);
          this.fresh(FLAG_SRC);
          continue;
        case OP.callf:
          this.forgetAll();
          continue;
        case OP.vcall:
        case OP.vcallf:
          this.fresh(dst);
          continue;
        case OP.env_st8:
        case OP.env_st16:
        case OP.env_st32:
          this.fresh(imm >>> 3);
          continue;
      }
      if (isIndirect(word, imm) || isReturn(word, imm)) this.edge += jumpEdges(this.region, b, w);
      else if (op === OP.goto || isCall(word, imm)) {
        ways.push([...soFar, ...this.follow(this.region.flow.edges[this.edge++] as Edge)]);
        reachesEnd = false;
      } else if (((EFFECTS[op] as number) & Effect.writesDst) !== 0) this.fresh(dst);
    }
    if (reachesEnd) ways.push(soFar);
    this.sequence = outer;
    const [way, ...others] = ways as [readonly number[], ...(readonly number[])[]];
    const written = way.length === 0 ? NONE : way.filter((group) => others.every((other) => other.includes(group)));
    for (const group of written) {
      if (this.sequenceOf[group] === sequence) this.certain[group] = Certain.access | Certain.write;
    }
    return written;
  }

  /** The blocks that only this jump leads to belong to the same extended block. */
  private follow(e: Edge): readonly number[] {
    if (e.to < 0 || e.label >= 0) return NONE;
    const { flow } = this.region;
    if (flow.merge[e.to] === 1 || flow.loopHeader[e.to] === 1) return NONE;
    if (e.call) this.forgetAll();
    const written = this.block(e.to);
    return e.call ? NONE : written;
  }

  private body(b: number, from: number, to: number): readonly number[] {
    const { epoch, barrier } = this;
    const mark = this.log.length;
    const valueMark = this.valueLog.length;
    this.nesting++;
    const certain = this.ops(b, from, to);
    this.nesting--;
    while (this.valueLog.length > valueMark) {
      const group = this.valueLog.pop() as number;
      this.groupOfValue[this.valueLog.pop() as number] = group;
    }
    const falls = !terminates(this.words, this.region.firstWord[b] as number, from, to);
    const written = this.log.length;
    const slots: number[] = [];
    for (let i = mark; i < written; i += 5) slots.push(this.log[i] as number);
    while (this.log.length > mark) {
      const narrow = this.log.pop() as number;
      const offset = this.log.pop() as number;
      const id = this.log.pop() as number;
      const stamp = this.log.pop() as number;
      const slot = this.log.pop() as number;
      this.stampOf[slot] = stamp;
      this.idOf[slot] = id;
      this.offset[slot] = offset;
      this.narrow[slot] = narrow;
    }
    if (falls) for (const slot of slots) this.fresh(slot);
    else {
      this.epoch = epoch;
      this.barrier = barrier;
    }
    return certain;
  }

  private learn(slot: number, id: number, offset: number, narrow: number): void {
    if (slot >= this.limit) return;
    this.log.push(
      slot,
      this.stampOf[slot] as number,
      this.idOf[slot] as number,
      this.offset[slot] as number,
      this.narrow[slot] as number,
    );
    this.stampOf[slot] = this.epoch;
    this.idOf[slot] = id;
    this.offset[slot] = offset;
    this.narrow[slot] = narrow;
  }

  private fresh(slot: number, origin: number = NO_SLOT): void {
    this.originOf.push(origin);
    this.learn(slot, this.values++, 0, 0);
  }

  /** Gives a slot of unknown value a number. */
  private known(slot: number): boolean {
    if (slot >= this.limit) return false;
    if (this.stampOf[slot] !== this.epoch) this.fresh(slot, slot);
    return true;
  }

  private copy(dst: number, a: number, add: number, narrow: boolean): void {
    if (!this.known(a)) {
      this.fresh(dst);
      return;
    }
    const offset = (this.offset[a] as number) + add;
    // A 64-bit sum of a value cut to 32 bits is no longer cut.
    if (Math.abs(offset) > 1 << 24 || (this.narrow[a] === 1 && !narrow && add !== 0)) this.fresh(dst);
    else this.learn(dst, this.idOf[a] as number, offset, narrow ? 1 : (this.narrow[a] as number));
  }

  /** Gives the access's group, 0: none. */
  private access(b: number, i: number, op: number, size: number, a: number, imm: number): number {
    if (!this.known(a) || (this.narrow[a] === 1 && imm !== 0)) return 0;
    const from = (this.offset[a] as number) + imm;
    const to = from + size;
    const key = (this.idOf[a] as number) * 2 + (this.narrow[a] as number);
    const index = (this.firstOp[b] as number) + i;
    let group = this.loopGroup(b, a, from, to);
    if (group === 0) {
      group = this.groupOfValue[key] ?? 0;
      if (group === 0 || this.barrierOf[group] !== this.barrier || !this.hasRoom(group, from, to)) {
        this.valueLog.push(key, group);
        group = this.add(index, this.sequence, from, to, this.narrow[a] as number, NO_SLOT);
        this.groupOfValue[key] = group;
      }
    }
    this.groupOf[index] = group;
    this.offsetOf[index] = from;
    this.count[group] = (this.count[group] as number) + 1;
    this.min[group] = Math.min(this.min[group] as number, from);
    this.end[group] = Math.max(this.end[group] as number, to);
    const writes = WRITES[op] === 1;
    if (writes) this.writes[group] = 1;
    if (this.leader[group] === index || (this.nesting === 0 && this.loopOf[group]?.always.has(b)))
      this.certain[group] = (this.certain[group] as number) | Certain.access | (writes ? Certain.write : 0);
    return group;
  }

  private add(leader: number, sequence: number, from: number, to: number, narrow: number, slot: number): number {
    this.leader.push(leader);
    this.sequenceOf.push(sequence);
    this.certain.push(0);
    this.min.push(from);
    this.end.push(to);
    this.writes.push(0);
    this.narrowGroup.push(narrow);
    this.barrierOf.push(this.barrier);
    this.slotOf.push(slot);
    return this.count.push(0) - 1;
  }

  private hasRoom(group: number, from: number, to: number): boolean {
    return Math.max(to, this.end[group] as number) - Math.min(from, this.min[group] as number) <= MAX_SPAN;
  }

  /** Group of the outermost loop around block b in which the base (in slot a) stays as it is; 0: none. */
  private loopGroup(b: number, a: number, from: number, to: number): number {
    const slot = this.originOf[this.idOf[a] as number] as number;
    if (slot === NO_SLOT || isTemp(slot)) return 0;
    for (const loop of this.loops) {
      if (!loop.body.has(b) || loop.written.has(slot)) continue;
      const key = slot * 2 + (this.narrow[a] as number);
      const known = loop.groups.get(key);
      if (known !== undefined) return this.hasRoom(known, from, to) ? known : 0;
      const group = this.add(-1, NO_SEQUENCE, from, to, this.narrow[a] as number, slot);
      loop.groups.set(key, group);
      this.loopOf[group] = loop;
      const list = this.loopGroups.get(loop.header);
      if (list === undefined) this.loopGroups.set(loop.header, [group]);
      else list.push(group);
      return group;
    }
    return 0;
  }
}
