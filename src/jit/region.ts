/**
 * Forms a region: the blocks reachable from a head by direct jumps within its guest page and mode. A guest call counts as
 * a jump to where it returns: the callee is a region of its own.
 */
import { EFFECTS, Effect, SKIP_WORD } from '../ir/effects.js';
import { BLOCK, MANY_SIDE_EXITS } from '../ir/layout.js';
import { GotoKind, JumpKind, OP, PcMask } from '../ir/ops.js';
import { Flow, OUTSIDE, UNSEEN } from './flow.js';

const PAGE_MASK = ~0xfff;
/** Members a region may have. */
export const MAX_REGION_BLOCKS = 400;
/** Ops a region may have: bounds the time the engine's optimising compiler takes for one function. */
export const MAX_REGION_OPS = 12000;

const HOST = (BLOCK.at['host'] as number) / 4;
const MODE = (BLOCK.at['mode'] as number) / 4;
const OPS_COUNT = (BLOCK.at['ops'] as number) / 4;
const HOST2 = (BLOCK.at['host2'] as number) / 4;
const SIDE_EXITS = (BLOCK.at['sideExits'] as number) / 4;
const BYTES = (BLOCK.at['bytes'] as number) / 4;

/** Finds (perhaps translates) the block at a linear-memory address for a mode: its address, or 0. */
export type BlockLookup = (host: number, mode: number) => number;

export class Region {
  /** Addresses of the member blocks; the head is first. */
  readonly blocks: number[] = [];
  /** Per member: its first guest byte, counted from the head's. */
  readonly delta: number[] = [];
  /** Per member: index of its first op word in a 32-bit view of memory. */
  readonly firstWord: number[] = [];
  readonly opCount: number[] = [];
  readonly instructions: number[] = [];
  /** Guest bytes of each member. */
  readonly bytes: number[] = [];
  /**
   * Per member: index in `flow.edges` of its first edge. Every `goto` and every call has one, in op order; that of a call
   * leads to the block at the return address.
   */
  readonly firstEdge: number[] = [];
  readonly flow: Flow;
  readonly mode: number;
  /** Lowest and highest guest byte of any member, counted from the head's first. */
  minDelta = 0;
  maxDelta = 0;
  /** TLB misses are filled on the spot, as there were many. */
  readonly fillsTlb: boolean;
  /** A jump inside the region cuts the pc to 16 bits. */
  narrow = false;

  constructor(words: Int32Array, head: number, lookup: BlockLookup) {
    const headHost = words[head / 4 + HOST] as number;
    this.mode = words[head / 4 + MODE] as number;
    this.fillsTlb = (words[head / 4 + SIDE_EXITS] as number) >= MANY_SIDE_EXITS;
    const indexOf = new Map<number, number>();
    let totalOps = 0;
    const add = (block: number): number => {
      const known = indexOf.get(block);
      if (known !== undefined) return known;
      const w = block / 4;
      const ops = words[w + OPS_COUNT] as number;
      const first = w + BLOCK.size / 4;
      if (this.blocks.length >= MAX_REGION_BLOCKS || totalOps + ops > MAX_REGION_OPS) return OUTSIDE;
      // A block that goes on in a second page holds only as long as that is mapped where it was: the dispatcher checks.
      if (words[w + HOST2] !== 0 || !compilable(words, first, ops)) return OUTSIDE;
      totalOps += ops;
      const index = this.blocks.push(block) - 1;
      indexOf.set(block, index);
      const delta = (words[w + HOST] as number) - headHost;
      const bytesAndInstructions = words[w + BYTES] as number;
      this.delta.push(delta);
      this.firstWord.push(first);
      this.opCount.push(ops);
      this.bytes.push(bytesAndInstructions & 0xffff);
      this.instructions.push(bytesAndInstructions >>> 16);
      this.minDelta = Math.min(this.minDelta, delta);
      this.maxDelta = Math.max(this.maxDelta, delta + (bytesAndInstructions & 0xffff));
      return index;
    };
    add(head);
    const targets: number[] = [];
    for (let b = 0; b < this.blocks.length; b++) {
      this.firstEdge.push(targets.length);
      const first = this.firstWord[b] as number;
      const end = first + (this.opCount[b] as number) * 4;
      for (let w = first; w < end; w += 4) {
        const op = words[w] as number;
        const call = isCall(op, words[w + 2] as number);
        if ((op & 0xffff) !== OP.goto && !call) continue;
        const offset = call ? (this.bytes[b] as number) : (words[w + 2] as number);
        const host = headHost + (this.delta[b] as number) + offset;
        let to = OUTSIDE;
        if ((host & PAGE_MASK) === (headHost & PAGE_MASK)) {
          const block = lookup(host, this.mode);
          to = block === 0 ? UNSEEN : add(block);
          if (to >= 0 && (op & 0xffff) === OP.goto && op >>> 20 === PcMask.m16) this.narrow = true;
        }
        targets.push(to);
      }
    }
    this.flow = new Flow(this.blocks.length);
    for (let b = 0; b < this.blocks.length; b++) {
      const end = b + 1 < this.blocks.length ? (this.firstEdge[b + 1] as number) : targets.length;
      for (let i = this.firstEdge[b] as number; i < end; i++) this.flow.addEdge(b, targets[i] as number);
    }
    if (this.blocks.length > 0) this.flow.analyse();
  }
}

/** Whether an op (its first word and immediate) is a guest call. */
export function isCall(word: number, imm: number): boolean {
  const op = word & 0xffff;
  if (op === OP.goto) return ((word >>> 16) & 15) === GotoKind.call;
  return op === OP.jmp && imm === JumpKind.call;
}

/** Blocks that leave the run loop itself are the interpreter's; everything else can be compiled. */
function compilable(words: Int32Array, first: number, ops: number): boolean {
  if (ops === 0) return false;
  for (let w = first; w < first + ops * 4; w += 4) if (((words[w] as number) & 0xffff) === OP.exit) return false;
  return true;
}

/** True when the op range [from, to) never reaches its end: its last op is a terminator outside any deeper body. */
export function terminates(words: Int32Array, first: number, from: number, to: number): boolean {
  for (let i = from; i < to; ) {
    const w = first + i * 4;
    const op = (words[w] as number) & 0xffff;
    if (((EFFECTS[op] as number) & Effect.end) !== 0) return true;
    const skip = SKIP_WORD[op] as number;
    i += skip === 0 ? 1 : 1 + (words[w + skip] as number);
  }
  return false;
}
