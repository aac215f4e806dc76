/** What the lowering is told of a region: a copy that stays as it is, and that another thread can be given. */
import { JumpKind } from '../ir/ops.js';
import { Flow } from './flow.js';

/** An edge of a region's flow graph. */
export interface Target {
  readonly from: number;
  /** A member, OUTSIDE or UNSEEN. */
  readonly to: number;
  readonly guard: number;
  readonly call: boolean;
  readonly indirect: boolean;
}

export interface RegionCode {
  /** Addresses of the member blocks; the head is first. */
  readonly blocks: readonly number[];
  /** Per member: pc of its first guest byte, counted from the head's. */
  readonly delta: readonly number[];
  /** Per member: number of its page, and its offset in that page. */
  readonly page: readonly number[];
  readonly offset: readonly number[];
  readonly instructions: readonly number[];
  /** Guest bytes of each member. */
  readonly bytes: readonly number[];
  /** The ops of all members. */
  readonly words: Int32Array;
  /** Per member: index of its first op word in `words`. */
  readonly firstWord: readonly number[];
  readonly opCount: readonly number[];
  /** Every `goto` and every call has one, in op order; that of a call leads to the block at the return address. */
  readonly targets: readonly Target[];
  /** Per member: index in `targets` of its first one. */
  readonly firstEdge: readonly number[];
  /** Members that end with the return of a callee in line: the member behind the call. */
  readonly returnsTo: ReadonlyMap<number, number>;
  /** By the word of an indirect jump: how many edges it has. */
  readonly indirectAt: ReadonlyMap<number, number>;
  /** Per page: pc of its first byte, counted from that of the head's page. */
  readonly pageDelta: readonly number[];
  /** Members that the region is entered at, the head (0) first. */
  readonly entries: readonly number[];
  readonly mode: number;
  /** Lowest and highest guest byte of any member, counted from the head's first. */
  readonly minDelta: number;
  readonly maxDelta: number;
  /** A jump inside the region cuts the pc to 16 bits. */
  readonly narrow: boolean;
  /** TLB misses are filled on the spot, as there were many. */
  readonly fillsTlb: boolean;
}

export function flowOf(members: number, targets: readonly Target[]): Flow {
  const flow = new Flow(members);
  for (const { from, to, guard, call, indirect } of targets) flow.addEdge(from, to, guard, call, indirect);
  return flow;
}

/** What the lowering walks. */
export interface RegionGraph extends RegionCode {
  readonly flow: Flow;
}

export function graphOf(code: RegionCode): RegionGraph {
  const flow = flowOf(code.blocks.length, code.targets);
  if (code.entries.length > 1) flow.enterAt(code.entries);
  flow.analyse();
  return { ...code, flow };
}

/** How many edges the `jmp` of member b at word w has, if it is no call. */
export function jumpEdges({ words, returnsTo, indirectAt }: RegionCode, b: number, w: number): number {
  if (words[w + 2] === JumpKind.ret) return returnsTo.has(b) ? 1 : 0;
  return indirectAt.get(w) as number;
}

/** Where a small callee of member b's call returns to, as distance from the head's pc. */
export function returnDelta({ delta, returnsTo }: RegionCode, b: number): number {
  return delta[returnsTo.get(b) as number] as number;
}
