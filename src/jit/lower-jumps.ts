/** Jumps of a region's code: to other members, to code outside, guest calls and returns. */
// hot path
import { BLOCK, MACHINE, MAX_CALL_DEPTH, VCPU } from '../ir/layout.js';
import { PcMask } from '../ir/ops.js';
import { type Edge, UNSEEN } from './flow.js';
import { EXIT_REQUEST, type Frame, PC, RegionExit } from './lower-frame.js';
import * as mem from './lower-memory.js';
import { jumpEdges, returnDelta } from './region-code.js';
import { Local } from './values.js';
import { type FunctionType, SELF_BYTES } from './wasm/module.js';
import { VOID, W } from './wasm/opcodes.js';

const RESUME_TYPE: FunctionType = { params: ['i32', 'i64', 'i32'], results: ['i32'] };
const CALL_TYPE: FunctionType = { params: ['i32', 'i64'], results: ['i32'] };
/** What `callGuest` gives when the guest has returned to where it was called. */
const CALL_RETURNED = -1;
const CALL_DEPTH = VCPU.at['callDepth'] as number;

export class Jumps {
  /** `follow` emits the jump along an edge inside the region. */
  constructor(
    private readonly f: Frame,
    private readonly follow: (e: Edge) => void,
  ) {}

  /**
   * An indirect jump: to one of the members that such jumps have led to, or out. The distance from the head's pc is hashed to
   * the only member it can be, where it is compared as a whole.
   */
  indirectJump(b: number, w: number, a: number): void {
    const { v, region } = this.f;
    const edges = region.flow.edges.slice(this.f.edge, this.f.edge + jumpEdges(region, b, w));
    this.f.edge += edges.length;
    const next = this.f.edge;
    if (edges.length > 0) {
      const deltas = edges.map((e) => this.deltaOf(e));
      const { multiplier, bits, table } = perfectHash(deltas);
      v.materialiseTemps();
      v.get(a);
      v.getLocal(Local.pc);
      v.op(W.i64Sub);
      v.setLocal(Local.wide);
      v.op(W.block);
      v.op(VOID);
      const miss = ++this.f.depth;
      if (this.f.mayBeStale) {
        v.i32(region.blocks[0] as number);
        v.memory(W.i32Load, 2, BLOCK.at['entry'] as number);
        v.op(W.i32Eqz);
        v.unlikelyBranch(this.f.depth - miss);
        this.f.mayBeStale = false;
      }
      for (let i = 0; i < edges.length; i++) {
        v.op(W.block);
        v.op(VOID);
        this.f.depth++;
      }
      v.getLocal(Local.wide);
      v.op(W.i32WrapI64);
      v.i32(multiplier);
      v.op(W.i32Mul);
      v.i32(32 - bits);
      v.op(W.i32ShrU);
      v.op(W.brTable);
      v.code.uleb(table.length);
      for (const i of table) v.code.uleb(i < 0 ? edges.length : i);
      v.code.uleb(edges.length);
      const { dirtyLow, dirtyHigh } = v;
      const bases = v.basesInUse;
      for (const [i, e] of edges.entries()) {
        v.op(W.end);
        this.f.depth--;
        const epoch = v.forget();
        const delta = deltas[i] as number;
        v.getLocal(Local.wide);
        v.i64(delta, delta >> 31);
        v.op(W.i64Ne);
        v.unlikelyBranch(this.f.depth - miss);
        if (e.guard !== 0) {
          v.getLocal(Local.wide);
          v.getLocal(Local.pc);
          v.op(W.i64Add);
          mem.pushIsElsewhere(v, e.guard);
          v.unlikelyBranch(this.f.depth - miss);
        }
        this.follow(e);
        v.releaseBases(bases);
        v.restoreEpoch(epoch);
        v.dirtyLow = dirtyLow;
        v.dirtyHigh = dirtyHigh;
      }
      v.op(W.end);
      this.f.depth--;
      this.f.edge = next;
    }
    this.f.jumpOut(a, true);
  }

  /** The return of a callee in line: goes on behind the call if the guest's return address says so, else leaves. */
  inlinedReturn(b: number, a: number): void {
    const { v, region } = this.f;
    const e = region.flow.edges[this.f.edge++] as Edge;
    const next = this.f.edge;
    v.materialiseTemps();
    v.get(a);
    this.f.pushPc(returnDelta(region, b), PcMask.m64);
    v.op(W.i64Ne);
    if (this.f.mayBeStale) {
      v.i32(region.blocks[0] as number);
      v.memory(W.i32Load, 2, BLOCK.at['entry'] as number);
      v.op(W.i32Eqz);
      v.op(W.i32Or);
      this.f.mayBeStale = false;
    }
    v.op(W.if);
    v.op(VOID);
    this.f.depth++;
    const mark = v.mark();
    const { dirtyLow, dirtyHigh } = v;
    this.f.jumpOut(a, false);
    v.undo(mark);
    v.dirtyLow = dirtyLow;
    v.dirtyHigh = dirtyHigh;
    v.op(W.end);
    this.f.depth--;
    this.follow(e);
    this.f.edge = next;
  }

  /** Distance from the head's pc of the block an edge leads to, by way of a dispatch node perhaps. */
  private deltaOf(e: Edge): number {
    const { flow, delta } = this.f.region;
    const to = e.label < 0 ? e.to : (flow.dispatchEdges(e.to)[e.label] as Edge).to;
    if (to >= flow.blockCount) return this.deltaOf(flow.dispatchEdges(e.to)[e.label] as Edge);
    return delta[to] as number;
  }

  /**
   * A guest call is a WebAssembly call when the block it returns to is in the region: the target's pc goes to the header,
   * `callGuest` runs from there. The target is `imm` from the block under `mask`, or in slot `a`.
   */
  guestCall(b: number, delta: number, mask: number, imm: number, a: number): void {
    const { v, region } = this.f;
    const e = region.flow.edges[this.f.edge++] as Edge;
    const next = this.f.edge;
    v.spillDirty();
    v.pushState();
    if (a < 0) this.f.pushPc(delta + imm, mask);
    else v.get(a);
    v.state(W.i64Store, 3, PC);
    if (e.to < 0) {
      v.i32(RegionExit.next);
      v.op(W.return);
      return;
    }
    if (a < 0 && delta + imm === 0 && !this.f.mayWrap() && this.f.options.icount !== true)
      this.callSelf(delta + (region.bytes[b] as number));
    else {
      v.pushCpu();
      this.f.pushPc(delta + (region.bytes[b] as number), PcMask.m64);
      v.op(W.call);
      v.code.uleb(this.f.module.importFunction('h', 'callGuest', CALL_TYPE));
      this.returnUnlessBack();
    }
    v.forgetGuestSlots();
    v.reload(this.f.slots.liveLow[e.to] as number, this.f.slots.liveHigh[e.to] as number);
    v.reloadCells(this.f.slots.liveCells[e.to] as number);
    v.dirtyLow = v.dirtyHigh = 0;
    this.f.mayBeStale = false;
    this.guard(e, delta + (region.bytes[b] as number), PcMask.m64);
    this.follow(e);
    this.f.edge = next;
  }

  /** Takes what a guest call gave off the stack; the region returns it unless the guest is back. */
  private returnUnlessBack(): void {
    const { v } = this.f;
    v.teeLocal(Local.scratch);
    v.i32(CALL_RETURNED);
    v.op(W.i32Ne);
    v.op(W.if);
    v.op(VOID);
    v.getLocal(Local.scratch);
    v.op(W.return);
    v.op(W.end);
  }

  /** Pushes mode and TLB generation, or the code epoch. */
  private pushKey(): void {
    this.f.v.pushState();
    this.f.v.state(W.i64Load, 3, VCPU.at['mode'] as number);
  }

  private pushEpoch(): void {
    const { v } = this.f;
    v.pushState();
    v.state(W.i32Load, 2, VCPU.at['machine'] as number);
    v.memory(W.i32Load, 2, MACHINE.at['codeEpoch'] as number);
  }

  private deepen(by: number): void {
    const { v } = this.f;
    v.pushState();
    v.pushState();
    v.state(W.i32Load, 2, CALL_DEPTH);
    v.i32(by);
    v.op(W.i32Add);
    v.state(W.i32Store, 2, CALL_DEPTH);
  }

  /** Recursion: what `callGuest` does, without looking for the region. The pc is in the header. */
  private callSelf(back: number): void {
    const { v } = this.f;
    const leaveIf = (exit: number): void => {
      v.op(W.if);
      v.op(VOID);
      v.i32(exit);
      v.op(W.return);
      v.op(W.end);
    };
    v.pushState();
    v.state(W.i32Load, 2, CALL_DEPTH);
    v.i32(MAX_CALL_DEPTH);
    v.op(W.i32GeU);
    leaveIf(RegionExit.unwind);
    // With its neighbour interruptRequest.
    v.pushState();
    v.state(W.i64Load, 3, EXIT_REQUEST);
    v.i64(0, 0);
    v.op(W.i64Ne);
    leaveIf(RegionExit.next);
    this.pushKey();
    v.setLocal(Local.key);
    this.pushEpoch();
    v.setLocal(Local.epoch);
    this.deepen(1);
    v.pushCpu();
    v.i32(0);
    v.op(W.call);
    this.f.selfCalls.push(v.code.length);
    for (let i = 0; i < SELF_BYTES; i++) v.code.u8(0);
    v.setLocal(Local.scratch);
    this.deepen(-1);
    v.getLocal(Local.scratch);
    v.pushState();
    v.state(W.i64Load, 3, PC);
    this.f.pushPc(back, PcMask.m64);
    v.op(W.i64Ne);
    v.op(W.i32Or);
    v.op(W.if);
    v.op(VOID);
    v.pushCpu();
    this.f.pushPc(back, PcMask.m64);
    v.getLocal(Local.scratch);
    v.op(W.call);
    v.code.uleb(this.f.module.importFunction('h', 'resumeGuest', RESUME_TYPE));
    this.returnUnlessBack();
    v.op(W.end);
    this.pushKey();
    v.getLocal(Local.key);
    v.op(W.i64Ne);
    this.pushEpoch();
    v.getLocal(Local.epoch);
    v.op(W.i32Ne);
    v.op(W.i32Or);
    leaveIf(RegionExit.next);
  }

  /** Before a jump into another page: leaves unless the target, `delta` from the head, is still the same block. */
  private guard(e: Edge, delta: number, mask: number): void {
    if (e.guard === 0) return;
    const { v } = this.f;
    v.getLocal(Local.pc);
    v.i64(delta, delta >> 31);
    v.op(W.i64Add);
    mem.pushIsElsewhere(v, e.guard);
    v.op(W.if);
    v.op(VOID);
    this.f.depth++;
    this.f.leaveTo(delta, mask);
    v.op(W.end);
    this.f.depth--;
  }

  goto(b: number, delta: number, mask: number, imm: number): void {
    const { v, region } = this.f;
    const e = region.flow.edges[this.f.edge++] as Edge;
    const next = this.f.edge;
    if (e.to >= 0) {
      if (this.f.mayBeStale) {
        v.i32(region.blocks[0] as number);
        v.memory(W.i32Load, 2, BLOCK.at['entry'] as number);
        v.op(W.i32Eqz);
        v.op(W.if);
        v.op(VOID);
        this.f.leaveTo(delta + imm, mask);
        v.op(W.end);
        this.f.mayBeStale = false;
      }
      this.guard(e, delta + imm, mask);
      this.follow(e);
      this.f.edge = next;
      return;
    }
    if (e.to === UNSEEN && !this.f.mayWrap()) {
      // Cold as far as is known: the shared exit is the shortest way out.
      const offset = (region.offset[b] as number) + imm;
      v.i64(this.f.exitValue(RegionExit.next, 0, region.page[b] as number, offset), 0);
      v.op(W.br);
      v.code.uleb(this.f.depth - this.f.sideLabel);
    } else this.f.leaveTo(delta + imm, mask);
  }
}

/** A multiplicative hash of different numbers without collisions; `table`: index in `values` by hash, -1: none. */
export function perfectHash(values: readonly number[]): { multiplier: number; bits: number; table: number[] } {
  for (let bits = 32 - Math.clz32(values.length); ; bits++) {
    let multiplier = 0x9e3779b1;
    for (let attempt = 0; attempt < 200; attempt++) {
      const table = new Array<number>(2 ** bits).fill(-1);
      const free = values.every((value, i) => {
        const hash = Math.imul(value, multiplier) >>> (32 - bits);
        if (table[hash] !== -1) return false;
        table[hash] = i;
        return true;
      });
      if (free) return { multiplier: multiplier | 0, bits, table };
      multiplier = (Math.imul(multiplier, 0x85ebca6b) + 0x3c6ef372) | 1;
    }
  }
}
