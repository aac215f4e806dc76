/**
 * What all parts of the lowering of a region share: the region, the code so far, and the ways into and out of the function.
 * lower.ts shows how the shared exits lie around the code.
 */
// hot path
import { MAX_BLOCK_OPS } from '../ir/builder.js';
import type { ConditionCode } from '../ir/condition-code.js';
import type { FloatStatus } from '../ir/float-code.js';
import { EXIT_UNWIND, VCPU, WHOLE_BLOCK } from '../ir/layout.js';
import { PcMask } from '../ir/ops.js';
import * as alu from './lower-alu.js';
import * as mem from './lower-memory.js';
import type { RegionGraph } from './region-code.js';
import { SlotAnalysis, type VectorHelpers } from './slots.js';
import { Local, Values } from './values.js';
import type { ModuleWriter } from './wasm/module.js';
import { VOID, W } from './wasm/opcodes.js';

/** From 16 on (16 + ExitReason): a guest call inside met the end of the run; handed on unchanged. */
export const RegionExit = { next: 0, side: 1, fault: 2, unwind: 16 + EXIT_UNWIND } as const;

export const PC = VCPU.at['pc'] as number;
const SIDE_REGION = VCPU.at['sideRegion'] as number;
const SIDE_BLOCK = VCPU.at['sideBlock'] as number;
const SIDE_OP = VCPU.at['sideOp'] as number;
/** In the low half of a side exit's value: where the op's number, the pc's offset in its page, and the page begin. */
const OP_SHIFT = 2;
const OFFSET_SHIFT = 13;
const PAGE_SHIFT = 25;
const FAULT_PENDING = VCPU.at['faultPending'] as number;
const JUMPED = VCPU.at['jumped'] as number;
export const EXIT_REQUEST = VCPU.at['exitRequest'] as number;

/** Where things of a machine's only vCPU are: constants of the code. */
export interface OnlyVcpu {
  readonly state: number;
  /** The TLB of data accesses in a mode. */
  readonly tlb: (mode: number) => number;
  readonly jumpCache: number;
}

export interface LowerOptions extends VectorHelpers {
  /** Left out: the code is any vCPU's. */
  readonly onlyVcpu?: OnlyVcpu | undefined;
  /** Slots from here on are never kept in locals. */
  readonly vectorBaseSlot: number;
  /** Names of helpers by number. The runtime exports helper `x` as `h_x`. */
  readonly helperNames: readonly string[];
  readonly floatStatus: FloatStatus;
  readonly inlineCondition: (condition: number) => ConditionCode | undefined;
  /** Count instructions exactly (MACHINE.icount is set): block by block, as the interpreter does. */
  readonly icount?: boolean;
  /** Whether in this mode the linear address of an instruction is not simply its pc. */
  readonly hasCodeBase: (mode: number) => boolean;
}

export class Frame {
  readonly v: Values;
  readonly slots: SlotAnalysis;
  words: Int32Array = new Int32Array(0);
  region!: RegionGraph;
  module!: ModuleWriter;

  /** Nesting depth of WebAssembly constructs; a label is the depth inside its construct. */
  depth = 0;
  sideLabel = 0;
  faultLabel = 0;
  /** Edge of the next `goto` of the block being lowered. */
  edge = 0;
  /** Whether a helper that may invalidate code has run since the last check of the region's validity. */
  mayBeStale = false;
  /** Where in the body its own function index goes, as `ModuleWriter.addFunction` takes them. */
  readonly selfCalls: number[] = [];

  constructor(readonly options: LowerOptions) {
    this.v = new Values(options.vectorBaseSlot);
    this.slots = new SlotAnalysis(this.v, options.icount === true, options);
  }

  /** Begins with a region. */
  reset(region: RegionGraph, module: ModuleWriter): void {
    this.region = region;
    this.words = region.words;
    this.module = module;
    this.mayBeStale = false;
    this.v.reset();
    const { onlyVcpu } = this.options;
    if (onlyVcpu !== undefined) {
      this.v.cpu = onlyVcpu.state;
      this.v.tlb = onlyVcpu.tlb(region.mode);
      this.v.jumpCache = onlyVcpu.jumpCache;
    }
    this.selfCalls.length = 0;
    this.slots.analyse(region);
  }

  enter(): void {
    const { v, region } = this;
    v.pushState();
    v.state(W.i64Load, 3, PC);
    v.setLocal(Local.pc);
    this.checkNoWrap();
    if (this.slots.hasMemoryOps) mem.loadTlbBase(v);
    if (region.entries.length === 1) this.load(0);
  }

  /** Goes on at node `to` as entry number `entry`, whose pc was loaded: makes the head's of it. */
  enteredAt(entry: number, to: number): void {
    const { v, region } = this;
    const delta = region.delta[region.entries[entry] as number] as number;
    if (delta !== 0) {
      v.getLocal(Local.pc);
      v.i64(delta, delta >> 31);
      v.op(W.i64Sub);
      v.setLocal(Local.pc);
    }
    this.load(to);
  }

  /** Loads what is needed at a node. */
  private load(node: number): void {
    const { v, slots } = this;
    v.reload(slots.liveLow[node] as number, slots.liveHigh[node] as number);
    v.reloadCells(slots.liveCells[node] as number);
  }

  /** Where the pc may wrap inside the page (a code segment with a base, 16-bit ip), such an entry is the interpreter's. */
  private checkNoWrap(): void {
    const { v, region } = this;
    if (!this.mayWrap()) return;
    for (const delta of [region.minDelta, region.maxDelta]) {
      v.getLocal(Local.pc);
      v.i64(delta, delta >> 31);
      v.op(W.i64Add);
      v.i64(region.narrow ? 0xffff : -1, 0);
      v.op(W.i64GtU);
      v.op(W.if);
      v.op(VOID);
      this.storeConstant(SIDE_REGION, region.blocks[0] as number);
      this.storeConstant(SIDE_BLOCK, region.blocks[0] as number);
      this.storeConstant(SIDE_OP, WHOLE_BLOCK);
      v.i32(RegionExit.side);
      v.op(W.return);
      v.op(W.end);
    }
  }

  mayWrap(): boolean {
    return this.region.narrow || this.options.hasCodeBase(this.region.mode);
  }

  /** Low half of a side exit's value: what to return, an op, and the pc as an offset in a page of the region. */
  exitValue(code: number, op: number, page: number, offset: number): number {
    return code | (op << OP_SHIFT) | (offset << OFFSET_SHIFT) | (page << PAGE_SHIFT);
  }

  sideExit(): void {
    const { v, region } = this;
    const { wide, scratch } = Local;
    v.setLocal(wide);
    const resumes = this.slots.hasMemoryOps || this.options.icount === true;
    v.spillWritten(resumes);
    v.getLocal(wide);
    v.op(W.i32WrapI64);
    v.setLocal(scratch);
    if (resumes) {
      v.pushState();
      v.getLocal(wide);
      v.i64(32, 0);
      v.op(W.i64ShrU);
      v.op(W.i32WrapI64);
      v.state(W.i32Store, 2, SIDE_BLOCK);
      v.pushState();
      v.getLocal(scratch);
      v.i32(OP_SHIFT);
      v.op(W.i32ShrU);
      v.i32(MAX_BLOCK_OPS - 1);
      v.op(W.i32And);
      v.state(W.i32Store, 2, SIDE_OP);
      this.storeConstant(SIDE_REGION, this.region.blocks[0] as number);
    }
    v.pushState();
    v.getLocal(Local.pc);
    v.getLocal(scratch);
    v.i32(OFFSET_SHIFT);
    v.op(W.i32ShrU);
    v.i32(0xfff);
    v.op(W.i32And);
    v.i32(region.offset[0] as number);
    v.op(W.i32Sub);
    for (let page = 1; page < region.pageDelta.length; page++) {
      v.i32(region.pageDelta[page] as number);
      v.i32(0);
      v.getLocal(scratch);
      v.i32(PAGE_SHIFT);
      v.op(W.i32ShrU);
      v.i32(page);
      v.op(W.i32Eq);
      v.op(W.select);
      v.op(W.i32Add);
    }
    v.op(W.i64ExtendI32S);
    v.op(W.i64Add);
    v.state(W.i64Store, 3, PC);
    v.getLocal(scratch);
    v.i32(3);
    v.op(W.i32And);
    v.op(W.return);
  }

  private storeConstant(field: number, value: number): void {
    const { v } = this;
    v.pushState();
    v.i32(value);
    v.state(W.i32Store, 2, field);
  }

  faultExit(): void {
    const { v } = this;
    v.setLocal(Local.scratch);
    v.pushState();
    v.getLocal(Local.pc);
    v.getLocal(Local.scratch);
    v.op(W.i64ExtendI32S);
    v.op(W.i64Add);
    v.state(W.i64Store, 3, PC);
    v.i32(RegionExit.fault);
  }

  /** Leaves when the run loop was asked to return: at loop headers. */
  poll(b: number): void {
    const { v, region } = this;
    v.i64(this.exitValue(RegionExit.next, 0, region.page[b] as number, region.offset[b] as number), 0);
    v.pushState();
    v.state(W.i32Load, 2, EXIT_REQUEST);
    v.unlikelyBranch(this.depth - this.sideLabel);
    v.op(W.drop);
  }

  /** Takes the block's instructions off the budget; the interpreter ends the slice when there is none left. */
  count(b: number): void {
    const { v, region } = this;
    const budget = VCPU.at['instructionBudget'] as number;
    v.i64(
      this.exitValue(RegionExit.side, WHOLE_BLOCK, region.page[b] as number, region.offset[b] as number),
      region.blocks[b] as number,
    );
    v.pushState();
    v.state(W.i64Load, 3, budget);
    v.i64(0, 0);
    v.op(W.i64LeS);
    v.unlikelyBranch(this.depth - this.sideLabel);
    v.op(W.drop);
    for (const [field, op] of [
      [budget, W.i64Sub],
      [VCPU.at['instructionCount'] as number, W.i64Add],
    ] as const) {
      v.pushState();
      v.pushState();
      v.state(W.i64Load, 3, field);
      v.i64(region.instructions[b] as number, 0);
      v.op(op);
      v.state(W.i64Store, 3, field);
    }
  }

  /** Leaves the region for the pc in slot a. */
  jumpOut(a: number, indirect: boolean): void {
    const { v } = this;
    v.spillDirty();
    v.pushState();
    v.get(a);
    v.state(W.i64Store, 3, PC);
    if (indirect) {
      v.pushState();
      v.getLocal(Local.pc);
      v.op(W.i32WrapI64);
      v.i32(1);
      v.op(W.i32Or);
      v.state(W.i32Store, 2, JUMPED);
    }
    v.i32(RegionExit.next);
    v.op(W.return);
  }

  /** Pushes mask(head pc + delta). */
  pushPc(delta: number, mask: number): void {
    const { v } = this;
    v.getLocal(Local.pc);
    if (delta !== 0) {
      v.i64(delta, delta >> 31);
      v.op(W.i64Add);
    }
    if (mask !== PcMask.m64) alu.maskTo(v, mask === PcMask.m16 ? 16 : 32);
  }

  /** Leaves the region for mask(head pc + delta). */
  leaveTo(delta: number, mask: number): void {
    const { v } = this;
    v.spillDirty();
    v.pushState();
    this.pushPc(delta, mask);
    v.state(W.i64Store, 3, PC);
    v.i32(RegionExit.next);
    v.op(W.return);
  }

  /** Leaves through a shared exit with the value on the stack when the helper just called raised a guest fault. */
  checkFault(label: number): void {
    const { v } = this;
    v.pushState();
    v.state(W.i32Load, 2, FAULT_PENDING);
    v.unlikelyBranch(this.depth - label);
    v.op(W.drop);
  }
}
