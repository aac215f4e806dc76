/**
 * Forms a region: the blocks reachable from a head by direct jumps within its mode, in its guest page and a little beyond. A
 * guest call counts as a jump to where it returns: the callee is a region of its own, or, if it is small and calls nothing, part
 * of this one, once for each call (an `Inlined`). So is the region's own function: a recursion makes half as many calls.
 */
import { EFFECTS, Effect, SKIP_WORD } from '../ir/effects.js';
import { BLOCK, MANY_SIDE_EXITS, SIDE_EXITS_PER_OP } from '../ir/layout.js';
import { GotoKind, JumpKind, OP, OP_MASK, PcMask } from '../ir/ops.js';
import { OUTSIDE, UNSEEN } from './flow.js';
import { flowOf, type RegionCode, type Target } from './region-code.js';

const PAGE_MASK = ~0xfff;
/** Members a region may have. */
export const MAX_REGION_BLOCKS = 400;
/** Ops a region may have: bounds the time the engine's optimising compiler takes for one function. */
export const MAX_REGION_OPS = 12000;
/** The same for a head that is already part of so many other regions; the last number is for all above. */
const OPS_BY_OTHERS = [MAX_REGION_OPS, 6000, 2000, 2000, 600];
/** Ops that the region of such a head may have: it compiles the same code once more. */
export function roomOf(others: number): number {
  return OPS_BY_OTHERS[Math.min(others, OPS_BY_OTHERS.length - 1)] as number;
}

const HOST = (BLOCK.at['host'] as number) / 4;
const MODE = (BLOCK.at['mode'] as number) / 4;
const OPS_COUNT = (BLOCK.at['ops'] as number) / 4;
const HOST2 = (BLOCK.at['host2'] as number) / 4;
const SIDE_EXITS = (BLOCK.at['sideExits'] as number) / 4;
const BYTES = (BLOCK.at['bytes'] as number) / 4;
const RUNS = (BLOCK.at['runs'] as number) / 4;

/** Pages a region may be in. */
export const MAX_REGION_PAGES = 8;
/** Jumps into a neighbouring page are followed up to this distance in bytes: code that lies across the border. */
const NEAR = 1024;
/** Jumps into any page are followed to a block that jumps nowhere itself and has so few ops: return thunks. */
const LEAF_OPS = 16;

/** Finds (perhaps translates) the block at a linear-memory address for a mode: its address, or 0. */
export type BlockLookup = (host: number, mode: number) => number;
/** Linear-memory address of the code `delta` bytes from the head's pc, in whatever page, as mapped now; 0: unknown. */
export type Locate = (delta: number) => number;

/** The blocks in a page (linear-memory address) and mode that indirect jumps have led to. */
export type IndirectTargets = (page: number, mode: number) => readonly number[];
/**
 * Edges of all indirect jumps of a region: an interpreter with a jump behind each of its operations (CPython) would have
 * thousands, and one such function takes the engine's optimising compiler seconds.
 */
const MAX_INDIRECT_EDGES = 64;

/** A region may be entered at so many members: each may cost loops around it a dispatch node. */
export const MAX_ENTRIES = 8;

/** A callee that becomes part of its caller's region may have so many ops. */
const MAX_INLINED_OPS = 64;
/** The same for a function in itself: its calls, all but the first, stay calls. */
const MAX_RECURSION_OPS = 400;

/** A small callee at one of its calls. Members of the region proper have none. */
interface Inlined {
  /** The block it returns to, and that one's place in the region. */
  readonly back: number;
  readonly delta: number;
  readonly page: number;
  /** Its blocks' numbers as members. */
  readonly indexOf: Map<number, number>;
}

export interface RegionOptions {
  readonly lookup: BlockLookup;
  readonly locate?: Locate | undefined;
  readonly indirectTargets?: IndirectTargets | undefined;
  /** Ops it may have. */
  readonly maxOps?: number;
  /** Blocks that have run less often stay outside. */
  readonly minRuns?: number;
}

export class Region {
  /** Addresses of the member blocks; the head is first. */
  readonly blocks: number[] = [];
  /** Per member: pc of its first guest byte, counted from the head's. */
  readonly delta: number[] = [];
  /** Per member: number of its page, and its offset in that page. */
  readonly page: number[] = [];
  readonly offset: number[] = [];
  /** Per member: index of its first op word in a 32-bit view of memory. */
  readonly firstWord: number[] = [];
  readonly opCount: number[] = [];
  readonly instructions: number[] = [];
  /** Guest bytes of each member. */
  readonly bytes: number[] = [];
  private readonly firstEdge: number[] = [];
  private readonly targets: Target[] = [];
  private readonly pageDelta: number[] = [0];
  /** Linear-memory addresses of code in reach that had not run yet. */
  readonly unseen: number[] = [];
  /** Members that the region is entered at, the head (0) first. */
  readonly entries: number[] = [0];
  readonly mode: number;
  readonly maxOps: number;
  /** Lowest and highest guest byte of any member, counted from the head's first. */
  minDelta = 0;
  maxDelta = 0;
  /** TLB misses are filled on the spot, as there were many. */
  readonly fillsTlb: boolean;
  /** Heads of loops that other members hold in their middle: those members, by the head. */
  readonly covered = new Map<number, number[]>();
  /** Per member: the call that it was put in line for. */
  private readonly inlined: (Inlined | undefined)[] = [];
  /** Members that end with the return of such a callee: the member behind the call. */
  private readonly returnsTo = new Map<number, number>();
  /** Indirect jumps: member, words from its first one on, and how many edges it has. */
  private readonly indirectJumps: { readonly member: number; readonly at: number; readonly edges: number }[] = [];
  /** Pages (linear-memory addresses) in which targets of indirect jumps were looked for. */
  readonly indirectPages = new Set<number>();
  /** A jump inside the region cuts the pc to 16 bits. */
  narrow = false;
  private readonly indexOf = new Map<number, number>();
  private totalOps = 0;
  private indirectEdges = 0;

  private readonly lookup: BlockLookup;
  private readonly locate: Locate | undefined;
  private readonly indirectTargets: IndirectTargets;
  private readonly minRuns: number;

  constructor(
    private readonly words: Int32Array,
    head: number,
    options: RegionOptions,
  ) {
    this.lookup = options.lookup;
    this.locate = options.locate;
    this.indirectTargets = options.indirectTargets ?? (() => []);
    this.maxOps = options.maxOps ?? MAX_REGION_OPS;
    this.minRuns = options.minRuns ?? 0;
    this.mode = words[head / 4 + MODE] as number;
    this.add(head, 0, 0);
    const { targets } = this;
    for (let b = 0; b < this.blocks.length; b++) {
      this.firstEdge.push(targets.length);
      const first = this.firstWord[b] as number;
      const end = first + (this.opCount[b] as number) * 4;
      for (let w = first; w < end; w += 4) {
        const op = (words[w] as number) & OP_MASK;
        const call = isCall(words[w] as number, words[w + 2] as number);
        const inline = this.inlined[b];
        if (inline !== undefined && isReturn(words[w] as number, words[w + 2] as number)) {
          const to = this.add(inline.back, inline.delta, inline.page);
          if (to >= 0) {
            targets.push({ from: b, to, guard: 0, call: false, indirect: true });
            this.returnsTo.set(b, to);
          }
        } else if (op === OP.goto || call) targets.push((call && this.inlineCall(b, w)) || this.target(b, w, call));
        else if (isIndirect(words[w] as number, words[w + 2] as number)) {
          const found = this.indirect(b);
          this.indirectJumps.push({ member: b, at: w - first, edges: found.length });
          this.indirectEdges += found.length;
          targets.push(...found);
        }
      }
    }
    const sideExits = words[head / 4 + SIDE_EXITS] as number;
    this.fillsTlb = sideExits >= Math.max(MANY_SIDE_EXITS, this.totalOps * SIDE_EXITS_PER_OP);
    for (const { from, to, call, indirect } of targets) if (to >= 0 && !call && !indirect) this.findCovering(from, to);
  }

  /** What the lowering needs, as it is now. */
  code(): RegionCode {
    const words = new Int32Array(this.totalOps * 4);
    const firstWord: number[] = [];
    let at = 0;
    for (const [b, first] of this.firstWord.entries()) {
      const count = (this.opCount[b] as number) * 4;
      words.set(this.words.subarray(first, first + count), at);
      firstWord.push(at);
      at += count;
    }
    const { blocks, delta, page, offset, instructions, bytes, opCount, targets, firstEdge, returnsTo } = this;
    const { pageDelta, entries, mode, minDelta, maxDelta, narrow, fillsTlb } = this;
    const indirectAt = new Map(
      this.indirectJumps.map(({ member, at: w, edges }) => [(firstWord[member] as number) + w, edges]),
    );
    return {
      ...{ blocks, delta, page, offset, instructions, bytes, words, firstWord, opCount, targets, firstEdge, returnsTo },
      ...{ indirectAt, pageDelta, entries, mode, minDelta, maxDelta, narrow, fillsTlb },
    };
  }

  /**
   * Members of the head's own page: code there is where the head's pc says. Only those where several ways meet anyway: elsewhere what
   * is known of values and addresses would be lost. Not those that indirect jumps lead to: each would be one more head of the
   * loop that an interpreter is. `worth`: whether a member should be an entry beside the head: the more, the higher the number; 0: no.
   */
  chooseEntries(worth: (block: number) => number): void {
    if (this.narrow) return;
    const found: { readonly member: number; readonly worth: number }[] = [];
    for (const [block, member] of this.indexOf) {
      if (member === 0 || this.page[member] !== 0) continue;
      const w = worth(block);
      if (w > 0) found.push({ member, worth: w });
    }
    if (found.length === 0) return;
    const flow = flowOf(this.blocks.length, this.targets);
    flow.analyse();
    // Where there is a dispatch node, indirect jumps lead to that.
    const indirect = new Set(flow.edges.filter((e) => e.indirect).map((e) => e.to));
    const meets = found.filter(
      ({ member: m }) => (flow.beginsLoop[m] === 1 || flow.merge[m] === 1) && !indirect.has(m),
    );
    meets.sort((x, y) => y.worth - x.worth);
    for (const { member } of meets.slice(0, MAX_ENTRIES - 1)) this.entries.push(member);
  }

  /**
   * A jump of member `from` back to member `to`: which members does the loop's head lie in the middle of? Code before a loop and
   * the loop's first round were one block when first met; its jumps lead past the head, which makes the loop irreducible.
   */
  private findCovering(from: number, to: number): void {
    const at = this.delta[to] as number;
    if (at > (this.delta[from] as number) || this.covered.has(this.blocks[to] as number)) return;
    const by: number[] = [];
    for (let c = 0; c < this.blocks.length; c++) {
      const start = this.delta[c] as number;
      if (start < at && at < start + (this.bytes[c] as number) && this.page[c] === this.page[to])
        by.push(this.blocks[c] as number);
    }
    if (by.length > 0) this.covered.set(this.blocks[to] as number, by);
  }

  /** Makes the callee of member b's call at word w part of the region, if it is small and calls nothing, or is the head. */
  private inlineCall(b: number, w: number): Target | undefined {
    const { words } = this;
    if (((words[w] as number) & OP_MASK) !== OP.goto || (words[w] as number) >>> 20 === PcMask.m16) return undefined;
    if (this.inlined[b] !== undefined || this.locate === undefined) return undefined;
    const host = words[(this.blocks[b] as number) / 4 + HOST] as number;
    const back = this.seen(host, this.bytes[b] as number);
    if (back === 0 || this.isCold(back) || this.straddles(back)) return undefined;
    const distance = words[w + 2] as number;
    const delta = (this.delta[b] as number) + distance;
    const outside = ((host + distance) & PAGE_MASK) !== (host & PAGE_MASK);
    const there = outside ? this.locate(delta) : host + distance;
    const callee = there === 0 ? 0 : this.lookup(there, this.mode);
    if (callee === 0 || this.isCold(callee) || this.straddles(callee) || !this.isSmall(callee, delta)) return undefined;
    const pageDelta =
      (this.pageDelta[this.page[b] as number] as number) + ((((this.offset[b] as number) + distance) >> 12) << 12);
    const page = this.pageNumber(pageDelta);
    if (page < 0) return undefined;
    const call: Inlined = {
      back,
      delta: (this.delta[b] as number) + (this.bytes[b] as number),
      page: this.page[b] as number,
      indexOf: new Map(),
    };
    const to = this.add(callee, delta, page, call);
    return to < 0 ? undefined : { from: b, to, guard: outside ? callee : 0, call: false, indirect: false };
  }

  /** A function that in its page and a few ops comes to a return, whichever way it goes; it makes no calls, unless it is the head's. */
  private isSmall(entry: number, delta: number): boolean {
    const { words } = this;
    const blocks = [entry];
    const base = delta - (words[entry / 4 + HOST] as number);
    const recursion = entry === this.blocks[0];
    let ops = 0;
    let returns = false;
    for (const block of blocks) {
      const host = words[block / 4 + HOST] as number;
      const count = words[block / 4 + OPS_COUNT] as number;
      ops += count;
      if (ops > (recursion ? MAX_RECURSION_OPS : MAX_INLINED_OPS)) return false;
      const first = (block + BLOCK.size) / 4;
      for (let w = first; w < first + count * 4; w += 4) {
        const word = words[w] as number;
        const imm = words[w + 2] as number;
        const op = word & OP_MASK;
        if ((isCall(word, imm) && !recursion) || isIndirect(word, imm) || op === OP.leave || op === OP.exit)
          return false;
        if (isReturn(word, imm)) returns = true;
        if (op !== OP.goto || isCall(word, imm)) continue;
        if (((host + imm) & PAGE_MASK) !== (host & PAGE_MASK)) {
          const far = this.locate?.(base + host + imm) ?? 0;
          if (far !== 0 && this.isReturnThunk(this.lookup(far, this.mode))) returns = true;
          continue;
        }
        const next = this.seen(host, imm);
        // What has not run yet leaves the region.
        if (next !== 0 && !this.straddles(next) && !blocks.includes(next)) blocks.push(next);
      }
    }
    return returns;
  }

  /** A block that does nothing but return, in whatever page: `elsewhere` makes it a member. */
  private isReturnThunk(block: number): boolean {
    if (block === 0 || this.isCold(block) || !this.isLeaf(block)) return false;
    const last = (block + BLOCK.size) / 4 + ((this.words[block / 4 + OPS_COUNT] as number) - 1) * 4;
    return isReturn(this.words[last] as number, this.words[last + 2] as number);
  }

  /** Whether the region is entered at a block. */
  enters(block: number): boolean {
    return this.entries.some((member) => this.blocks[member] === block);
  }

  /** Blocks that are members, not only as parts of a callee. */
  get ownBlocks(): Iterable<number> {
    return this.indexOf.keys();
  }

  /** Whether a block is one of them. */
  holds(block: number): boolean {
    return this.indexOf.has(block);
  }

  /** Where the `goto` or call of block b at word w leads; of a call, the way back. */
  private target(b: number, w: number, isCall: boolean): Target {
    const { words } = this;
    const host = words[(this.blocks[b] as number) / 4 + HOST] as number;
    const goto = ((words[w] as number) & OP_MASK) === OP.goto;
    let call = isCall;
    let distance = call ? (this.bytes[b] as number) : (words[w + 2] as number);
    if (call && goto && this.seen(host, distance) === 0 && this.seen(host, words[w + 2] as number) !== 0) {
      // Nobody has come back from there: a retpoline, say, whose call is a jump.
      call = false;
      distance = words[w + 2] as number;
    }
    const narrow = goto && !call && (words[w] as number) >>> 20 === PcMask.m16;
    const delta = (this.delta[b] as number) + distance;
    if (((host + distance) & PAGE_MASK) !== (host & PAGE_MASK)) {
      const there = narrow ? 0 : (this.locate?.(delta) ?? 0);
      const to = there === 0 ? OUTSIDE : this.elsewhere(b, there, distance);
      return { from: b, to, guard: to >= 0 ? (this.blocks[to] as number) : 0, call, indirect: false };
    }
    const block = this.lookup(host + distance, this.mode);
    if (block === 0 || this.isCold(block)) {
      this.unseen.push(host + distance);
      return { from: b, to: UNSEEN, guard: 0, call, indirect: false };
    }
    const to = this.add(block, delta, this.page[b] as number, this.inlined[b]);
    if (to >= 0 && narrow) this.narrow = true;
    return { from: b, to, guard: this.straddles(block) ? block : 0, call, indirect: false };
  }

  private isCold(block: number): boolean {
    return (this.words[block / 4 + RUNS] as number) >>> 0 < this.minRuns;
  }

  /** Its second page may be mapped elsewhere by now: each jump there makes sure. */
  private straddles(block: number): boolean {
    return this.words[block / 4 + HOST2] !== 0;
  }

  /**
   * The members that the indirect jump of block b may lead to: known targets in its own page. Those beside it made big
   * interpreters' regions hold each other: python took 1.8 times as long to start.
   */
  private indirect(b: number): Target[] {
    const found: Target[] = [];
    const room = MAX_INDIRECT_EDGES - this.indirectEdges;
    const page = (this.words[(this.blocks[b] as number) / 4 + HOST] as number) & PAGE_MASK;
    const base = (this.delta[b] as number) - (this.offset[b] as number);
    this.indirectPages.add(page);
    for (const block of this.indirectTargets(page, this.mode)) {
      if (found.length >= room) break;
      const offset = (this.words[block / 4 + HOST] as number) & ~PAGE_MASK;
      const to = this.add(block, base + offset, this.page[b] as number);
      if (to >= 0) found.push({ from: b, to, guard: this.straddles(block) ? block : 0, call: false, indirect: true });
    }
    return found;
  }

  /** Number of the page with that `pageDelta`, -1 when there is no room for another. */
  private pageNumber(pageDelta: number): number {
    const page = this.pageDelta.indexOf(pageDelta);
    if (page >= 0) return page;
    return this.pageDelta.length === MAX_REGION_PAGES ? -1 : this.pageDelta.push(pageDelta) - 1;
  }

  /** The block `distance` bytes from `host` in the same page, 0: none yet or another page. */
  private seen(host: number, distance: number): number {
    return ((host + distance) & PAGE_MASK) === (host & PAGE_MASK) ? this.lookup(host + distance, this.mode) : 0;
  }

  /** Number of a member, made one if there is room; OUTSIDE if it cannot be. */
  private add(block: number, delta: number, page: number, inlined?: Inlined): number {
    const { words } = this;
    const indexOf = inlined?.indexOf ?? this.indexOf;
    const known = indexOf.get(block);
    // Code that is mapped twice may be met at a second pc.
    if (known !== undefined) return this.delta[known] === delta ? known : OUTSIDE;
    const w = block / 4;
    const ops = words[w + OPS_COUNT] as number;
    const first = w + BLOCK.size / 4;
    const full = this.blocks.length >= MAX_REGION_BLOCKS || this.totalOps + ops > this.maxOps;
    if (full && this.blocks.length > 0) return OUTSIDE;
    if (this.straddles(block) && this.locate === undefined) return OUTSIDE;
    if (!compilable(words, first, ops)) return OUTSIDE;
    this.totalOps += ops;
    const index = this.blocks.push(block) - 1;
    indexOf.set(block, index);
    this.inlined.push(inlined);
    const bytesAndInstructions = words[w + BYTES] as number;
    this.delta.push(delta);
    this.page.push(page);
    this.offset.push((words[w + HOST] as number) & ~PAGE_MASK);
    this.firstWord.push(first);
    this.opCount.push(ops);
    this.bytes.push(bytesAndInstructions & 0xffff);
    this.instructions.push(bytesAndInstructions >>> 16);
    this.minDelta = Math.min(this.minDelta, delta);
    this.maxDelta = Math.max(this.maxDelta, delta + (bytesAndInstructions & 0xffff));
    return index;
  }

  /** The member that a jump of block b over `distance` bytes into another page leads to, at linear-memory address `host`. */
  private elsewhere(b: number, host: number, distance: number): number {
    const known = this.lookup(host, this.mode);
    const block = known !== 0 && this.isCold(known) ? 0 : known;
    const from = this.pageDelta[this.page[b] as number] as number;
    const delta = (this.delta[b] as number) + distance;
    const pageDelta = from + ((((this.offset[b] as number) + distance) >> 12) << 12);
    const near = Math.abs(pageDelta - from) === 4096 && Math.abs(distance) <= NEAR;
    if (block === 0 && near) this.unseen.push(host);
    if (block === 0 || (!near && !this.isLeaf(block))) return OUTSIDE;
    const page = this.pageNumber(pageDelta);
    return page < 0 ? OUTSIDE : this.add(block, delta, page, this.inlined[b]);
  }

  private isLeaf(block: number): boolean {
    const { words } = this;
    const ops = words[block / 4 + OPS_COUNT] as number;
    if (ops > LEAF_OPS) return false;
    const first = (block + BLOCK.size) / 4;
    for (let w = first; w < first + ops * 4; w += 4) {
      if (((words[w] as number) & OP_MASK) === OP.goto || isCall(words[w] as number, words[w + 2] as number))
        return false;
    }
    return true;
  }
}

/** Whether an op (its first word and immediate) is a guest call. */
export function isCall(word: number, imm: number): boolean {
  const op = word & OP_MASK;
  if (op === OP.goto) return ((word >>> 16) & 15) === GotoKind.call;
  return op === OP.jmp && imm === JumpKind.call;
}

/** Whether an op (its first word and immediate) is an indirect jump, neither call nor return. */
export function isIndirect(word: number, imm: number): boolean {
  return (word & OP_MASK) === OP.jmp && imm === JumpKind.jump;
}

/** Whether an op (its first word and immediate) is a return. */
export function isReturn(word: number, imm: number): boolean {
  return (word & OP_MASK) === OP.jmp && imm === JumpKind.ret;
}

/** Blocks that leave the run loop itself are the interpreter's; everything else can be compiled. */
function compilable(words: Int32Array, first: number, ops: number): boolean {
  if (ops === 0) return false;
  for (let w = first; w < first + ops * 4; w += 4) if (((words[w] as number) & OP_MASK) === OP.exit) return false;
  return true;
}

/** True when the op range [from, to) never reaches its end: its last op is a terminator outside any deeper body. */
export function terminates(words: Int32Array, first: number, from: number, to: number): boolean {
  for (let i = from; i < to; ) {
    const w = first + i * 4;
    const op = (words[w] as number) & OP_MASK;
    if (((EFFECTS[op] as number) & Effect.end) !== 0) return true;
    const skip = SKIP_WORD[op] as number;
    i += skip === 0 ? 1 : 1 + (words[w + skip] as number);
  }
  return false;
}
