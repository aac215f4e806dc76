/**
 * Lowers a region to one WebAssembly function `(cpu: i32) => i32`. It returns 0: go on at the pc in the header; 1: side
 * exit, the interpreter must run the block at that pc first; 2: a guest fault is pending, deliver it; more: see RegionExit.
 *
 * The body is two nested blocks around the structured code. Their ends are the shared exits:
 *
 *     block $fault (result i32)        value: offset of the faulting instruction from the region's head
 *       block $side (result i64)       value: exitValue, and the block in the high half
 *         load guest slots; code
 *       end
 *       store guest slots; pc = head + offset; return
 *     end
 *     pc = head + offset; return 2
 */
// hot path
import { Bug } from '../base/errors.js';
import { FLAG_OP, FLAG_RES, FLAG_SRC, FLAG_SRC2, MAX_BLOCK_OPS } from '../ir/builder.js';
import { SKIP_WORD } from '../ir/effects.js';
import type { FloatStatus } from '../ir/float-code.js';
import { BLOCK, MACHINE, MAX_CALL_DEPTH, VCPU, WHOLE_BLOCK } from '../ir/layout.js';
import { JumpKind, OP, PcMask } from '../ir/ops.js';
import { PUSH_A, PUSH_B, type VectorCode } from '../ir/vector-code.js';
import { type Edge, UNSEEN } from './flow.js';
import { AccessGroups } from './groups.js';
import * as alu from './lower-alu.js';
import { KIND, Kind } from './lower-alu.js';
import { FloatLowering } from './lower-float.js';
import * as mem from './lower-memory.js';
import { type Region, terminates } from './region.js';
import { fillsCell, resultSlots, SLOTS_OF_VECTOR, SlotAnalysis, type VectorHelpers } from './slots.js';
import { LOCALS_F32, LOCALS_F64, LOCALS_I32, LOCALS_I64, LOCALS_V128, Local, Values } from './values.js';
import { Bytes } from './wasm/bytes.js';
import { type FunctionType, type ModuleWriter, SELF_BYTES } from './wasm/module.js';
import { V, ValType, VOID, W } from './wasm/opcodes.js';

export const REGION_TYPE: FunctionType = { params: ['i32'], results: ['i32'] };
const HELPER_TYPE: FunctionType = { params: ['i32', 'i64', 'i64', 'i32'], results: ['i64'] };
const VECTOR_HELPER_TYPE: FunctionType = { params: ['i32', 'i32', 'i32', 'i32', 'i32'], results: [] };
const RESUME_TYPE: FunctionType = { params: ['i32', 'i64', 'i32'], results: ['i32'] };
const CALL_TYPE: FunctionType = { params: ['i32', 'i64'], results: ['i32'] };
const FILL_TYPE: FunctionType = { params: ['i32', 'i64', 'i32', 'i32'], results: ['i32'] };
const CONDITION_TYPE: FunctionType = { params: ['i64', 'i64', 'i64', 'i64', 'i32'], results: ['i64'] };

/** From 16 on (16 + ExitReason): a guest call inside met the end of the run; handed on unchanged. */
export const RegionExit = { next: 0, side: 1, fault: 2 } as const;
/** What `callGuest` gives when the guest has returned to where it was called. */
const CALL_RETURNED = -1;

const PC = VCPU.at['pc'] as number;
const SIDE_REGION = VCPU.at['sideRegion'] as number;
const SIDE_BLOCK = VCPU.at['sideBlock'] as number;
const SIDE_OP = VCPU.at['sideOp'] as number;
/** In the low half of a side exit's value: where the op's number, the pc's offset in its page, and the page begin. */
const OP_SHIFT = 2;
const OFFSET_SHIFT = 13;
const PAGE_SHIFT = 25;
const FAULT_PENDING = VCPU.at['faultPending'] as number;
const CALL_DEPTH = VCPU.at['callDepth'] as number;
const JUMPED = VCPU.at['jumped'] as number;
const EXIT_REQUEST = VCPU.at['exitRequest'] as number;

export interface LowerOptions extends VectorHelpers {
  /** Slots from here on are never kept in locals. */
  readonly vectorBaseSlot: number;
  /** Names of helpers by number. The runtime exports helper `x` as `h_x`. */
  readonly helperNames: readonly string[];
  readonly floatStatus: FloatStatus;
  /** Count instructions exactly (MACHINE.icount is set): block by block, as the interpreter does. */
  readonly icount?: boolean;
  /** Whether in this mode the linear address of an instruction is not simply its pc. */
  readonly hasCodeBase: (mode: number) => boolean;
}

export class Lowering {
  private readonly v: Values;
  private readonly body = new Bytes(1 << 16);
  private words: Int32Array = new Int32Array(0);
  private region!: Region;
  private module!: ModuleWriter;
  private readonly options: LowerOptions;

  /** Nesting depth of WebAssembly constructs; a label is the depth inside its construct. */
  private depth = 0;
  private sideLabel = 0;
  private faultLabel = 0;
  /** Depth of a node's label: its loop when it is a header, for backward edges; its block for forward edges. */
  private loopLabel = new Int32Array(0);
  private blockLabel = new Int32Array(0);
  private readonly slots: SlotAnalysis;
  private readonly groups: AccessGroups;
  private readonly floats: FloatLowering;
  private readonly memoryAccess = new mem.Access();
  /** Local of each group's base. */
  private readonly baseOf: number[] = [];
  /** Whether a helper that may invalidate code has run since the last check of the region's validity. */
  private mayBeStale = false;

  constructor(options: LowerOptions) {
    this.options = options;
    this.v = new Values(options.vectorBaseSlot);
    this.slots = new SlotAnalysis(this.v, options.icount === true, options);
    this.floats = new FloatLowering(this.v, options.floatStatus);
    this.groups = new AccessGroups(options.vectorBaseSlot);
  }

  /** Branch hints of the body lowered last, as `ModuleWriter.addFunction` takes them. */
  get hints(): readonly number[] {
    return this.v.hints;
  }

  /** Where in the body its own function index goes, as `ModuleWriter.addFunction` takes them. */
  readonly selfCalls: number[] = [];

  /** The function's body, valid until the next call. */
  lower(region: Region, words: Int32Array, module: ModuleWriter): Bytes {
    const { v, body } = this;
    this.region = region;
    this.words = words;
    this.module = module;
    this.mayBeStale = false;
    v.reset();
    this.selfCalls.length = 0;
    this.slots.analyse(region, words);
    this.groups.find(region, words, v.takeWide);

    v.op(W.block);
    v.op(ValType.i32);
    this.depth = this.faultLabel = 1;
    v.op(W.block);
    v.op(ValType.i64);
    this.depth = this.sideLabel = 2;
    this.enter();
    const nodes = region.flow.nodeCount;
    this.loopLabel = new Int32Array(nodes);
    this.blockLabel = new Int32Array(nodes);
    this.tree(0);
    v.op(W.unreachable);
    v.op(W.end);
    this.sideExit();
    v.op(W.end);
    this.faultExit();
    v.op(W.end);

    body.clear();
    body.uleb(7);
    body.uleb(LOCALS_I32);
    body.u8(ValType.i32);
    body.uleb(LOCALS_I64);
    body.u8(ValType.i64);
    body.uleb(LOCALS_F64);
    body.u8(ValType.f64);
    body.uleb(LOCALS_F32);
    body.u8(ValType.f32);
    body.uleb(LOCALS_V128 + v.cells.length);
    body.u8(ValType.v128);
    body.uleb(v.wideLocals);
    body.u8(ValType.i64);
    body.uleb(v.baseLocals);
    body.u8(ValType.i32);
    const header = body.length;
    body.append(v.code);
    for (let i = 0; i < v.hints.length; i += 2) v.hints[i] = (v.hints[i] as number) + header;
    for (let i = 0; i < this.selfCalls.length; i++) this.selfCalls[i] = (this.selfCalls[i] as number) + header;
    return body;
  }

  // --- entry and shared exits

  private enter(): void {
    const { v } = this;
    v.getLocal(Local.cpu);
    v.memory(W.i64Load, 3, PC);
    v.setLocal(Local.pc);
    this.checkNoWrap();
    v.reload(this.slots.liveLow[0] as number, this.slots.liveHigh[0] as number);
    v.reloadCells(this.slots.liveCells[0] as number);
    if (this.slots.hasMemoryOps) mem.loadTlbBase(v);
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

  private mayWrap(): boolean {
    return this.region.narrow || this.options.hasCodeBase(this.region.mode);
  }

  /** Low half of a side exit's value: what to return, an op, and the pc as an offset in a page of the region. */
  private exitValue(code: number, op: number, page: number, offset: number): number {
    return code | (op << OP_SHIFT) | (offset << OFFSET_SHIFT) | (page << PAGE_SHIFT);
  }

  private sideExit(): void {
    const { v, region } = this;
    const { wide, scratch } = Local;
    v.setLocal(wide);
    const resumes = this.slots.hasMemoryOps || this.options.icount === true;
    v.spillWritten(resumes);
    v.getLocal(wide);
    v.op(W.i32WrapI64);
    v.setLocal(scratch);
    if (resumes) {
      v.getLocal(Local.cpu);
      v.getLocal(wide);
      v.i64(32, 0);
      v.op(W.i64ShrU);
      v.op(W.i32WrapI64);
      v.memory(W.i32Store, 2, SIDE_BLOCK);
      v.getLocal(Local.cpu);
      v.getLocal(scratch);
      v.i32(OP_SHIFT);
      v.op(W.i32ShrU);
      v.i32(MAX_BLOCK_OPS - 1);
      v.op(W.i32And);
      v.memory(W.i32Store, 2, SIDE_OP);
      this.storeConstant(SIDE_REGION, this.region.blocks[0] as number);
    }
    v.getLocal(Local.cpu);
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
    v.memory(W.i64Store, 3, PC);
    v.getLocal(scratch);
    v.i32(3);
    v.op(W.i32And);
    v.op(W.return);
  }

  private storeConstant(field: number, value: number): void {
    const { v } = this;
    v.getLocal(Local.cpu);
    v.i32(value);
    v.memory(W.i32Store, 2, field);
  }

  private faultExit(): void {
    const { v } = this;
    v.setLocal(Local.scratch);
    v.getLocal(Local.cpu);
    v.getLocal(Local.pc);
    v.getLocal(Local.scratch);
    v.op(W.i64ExtendI32S);
    v.op(W.i64Add);
    v.memory(W.i64Store, 3, PC);
    v.i32(RegionExit.fault);
  }

  // --- structure

  /** Emits a node and everything it dominates. */
  private tree(node: number): void {
    const { v } = this;
    const { flow } = this.region;
    const single = flow.merge[node] === 0 && flow.loopHeader[node] === 0;
    const epoch = single ? 0 : v.forget();
    if (flow.loopHeader[node] === 1) {
      const bases = v.basesInUse;
      for (const group of this.groups.ofLoop(node)) this.openLoopGroup(group);
      for (const memory of this.groups.memoriesOfLoop(node)) {
        memory.addend = v.takeBase();
        mem.forgetPage(v, memory);
      }
      v.op(W.loop);
      v.op(VOID);
      this.loopLabel[node] = ++this.depth;
      this.within(node, 0);
      v.op(W.end);
      this.depth--;
      v.releaseBases(bases);
    } else this.within(node, 0);
    if (!single) v.restoreEpoch(epoch);
  }

  /** Makes the check of a group whose base does not change in the loop that comes. */
  private openLoopGroup(group: number): void {
    const { v, groups, memoryAccess } = this;
    memoryAccess.a = groups.baseSlot(group);
    memoryAccess.imm = 0;
    this.baseOf[group] = memoryAccess.base = v.takeBase();
    this.openGroup(group, groups.min[group] as number);
  }

  /** Emits the check of a group, whose range begins at `from` from the access in `memoryAccess`. */
  private openGroup(group: number, from: number): void {
    const { v, groups, memoryAccess } = this;
    const size = (groups.end[group] as number) - (groups.min[group] as number);
    mem.openGroup(v, memoryAccess, from, size, groups.writes[group] === 1, groups.isNarrow(group));
  }

  /** Emits the node inside a block for each of its merge children from number `child` on, and those children after them. */
  private within(node: number, child: number): void {
    const { v } = this;
    const children = this.region.flow.mergeChildren[node] as number[];
    if (child === children.length) {
      if (node >= this.region.flow.blockCount) this.dispatch(node);
      else this.block(node);
      return;
    }
    const after = children[child] as number;
    v.op(W.block);
    v.op(VOID);
    this.blockLabel[after] = ++this.depth;
    const bases = v.basesInUse;
    this.within(node, child + 1);
    v.releaseBases(bases);
    v.op(W.end);
    this.depth--;
    this.tree(after);
  }

  private dispatch(node: number): void {
    const { v } = this;
    const edges = this.region.flow.dispatchEdges(node);
    for (let i = 0; i < edges.length; i++) {
      v.op(W.block);
      v.op(VOID);
      this.depth++;
    }
    v.getLocal(Local.dispatch);
    v.op(W.brTable);
    v.code.uleb(edges.length - 1);
    for (let i = 0; i < edges.length; i++) v.code.uleb(i);
    for (const e of edges) {
      v.op(W.end);
      this.depth--;
      const epoch = v.forget();
      this.follow(e);
      v.restoreEpoch(epoch);
    }
  }

  /** The label an edge leads to, or 0 when its destination's code goes right here. */
  private labelOf(e: Edge): number {
    const { flow } = this.region;
    if (flow.isBackward(e)) return this.loopLabel[e.to] as number;
    return flow.merge[e.to] === 1 ? (this.blockLabel[e.to] as number) : 0;
  }

  private follow(e: Edge): void {
    const { v } = this;
    if (e.label >= 0) {
      v.i32(e.label);
      v.setLocal(Local.dispatch);
    }
    const label = this.labelOf(e);
    if (label === 0) {
      this.tree(e.to);
      return;
    }
    v.op(W.br);
    v.code.uleb(this.depth - label);
  }

  private block(b: number): void {
    const { v, region } = this;
    v.dirtyLow = this.slots.dirtyLow[b] as number;
    v.dirtyHigh = this.slots.dirtyHigh[b] as number;
    this.mayBeStale = false;
    if (region.flow.loopHeader[b] === 1) this.poll(b);
    if (this.options.icount === true) this.count(b);
    this.edge = region.firstEdge[b] as number;
    if (this.ops(b, 0, region.opCount[b] as number)) throw new Bug('block without a terminator');
  }

  /** Leaves when the run loop was asked to return: at loop headers. */
  private poll(b: number): void {
    const { v, region } = this;
    v.i64(this.exitValue(RegionExit.next, 0, region.page[b] as number, region.offset[b] as number), 0);
    v.getLocal(Local.cpu);
    v.memory(W.i32Load, 2, EXIT_REQUEST);
    v.unlikelyBranch(this.depth - this.sideLabel);
    v.op(W.drop);
  }

  /** Takes the block's instructions off the budget; the interpreter ends the slice when there is none left. */
  private count(b: number): void {
    const { v, region } = this;
    const budget = VCPU.at['instructionBudget'] as number;
    v.i64(
      this.exitValue(RegionExit.side, WHOLE_BLOCK, region.page[b] as number, region.offset[b] as number),
      region.blocks[b] as number,
    );
    v.getLocal(Local.cpu);
    v.memory(W.i64Load, 3, budget);
    v.i64(0, 0);
    v.op(W.i64LeS);
    v.unlikelyBranch(this.depth - this.sideLabel);
    v.op(W.drop);
    for (const [field, op] of [
      [budget, W.i64Sub],
      [VCPU.at['instructionCount'] as number, W.i64Add],
    ] as const) {
      v.getLocal(Local.cpu);
      v.getLocal(Local.cpu);
      v.memory(W.i64Load, 3, field);
      v.i64(region.instructions[b] as number, 0);
      v.op(op);
      v.memory(W.i64Store, 3, field);
    }
  }

  // --- ops

  /** Edge of the next `goto` of the block being lowered. */
  private edge = 0;

  /** Lowers ops [from, to) of block b; true when control may reach `to`. */
  private ops(b: number, from: number, to: number): boolean {
    const { v, words } = this;
    const first = this.region.firstWord[b] as number;
    const delta = this.region.delta[b] as number;
    for (let i = from; i < to; i++) {
      const w = first + i * 4;
      const op = (words[w] as number) & 0xffff;
      const dst = (words[w] as number) >>> 16;
      const a = (words[w + 1] as number) & 0xffff;
      const second = (words[w + 1] as number) >>> 16;
      const imm = words[w + 2] as number;
      const aux = words[w + 3] as number;
      switch (KIND[op]) {
        case Kind.binary:
          alu.binary(v, op, dst, a, second);
          continue;
        case Kind.binaryImm:
          alu.binaryImm(v, op, dst, a, imm);
          continue;
        case Kind.binary32:
          alu.binary32(v, op, dst, a, second);
          continue;
        case Kind.binaryImm32:
          alu.binaryImm32(v, op, dst, a, imm);
          continue;
        case Kind.set:
          v.open(dst);
          alu.compare(v, op, a, second);
          v.set32(dst);
          continue;
        case Kind.setImm:
          v.open(dst);
          alu.compareImm(v, op, a, imm);
          v.set32(dst);
          continue;
        case Kind.set32:
          v.open(dst);
          alu.compare32(v, op, a, second);
          v.set32(dst);
          continue;
        case Kind.setImm32:
          v.open(dst);
          alu.compareImm32(v, op, a, imm);
          v.set32(dst);
          continue;
        case Kind.if:
        case Kind.ifImm:
        case Kind.if32:
        case Kind.ifImm32:
          i = this.conditional(b, i);
          continue;
        case Kind.load:
          if (v.cell(dst) === 0) mem.load(v, this.access(b, i), dst);
          else if (fillsCell(words, w, first + to * 4)) {
            mem.loadCell(v, this.access(b, i), dst);
            i++;
          } else mem.loadHalfCell(v, this.access(b, i), dst);
          continue;
        case Kind.store:
          mem.store(v, this.access(b, i), second);
          continue;
        case Kind.loadVector:
          mem.moveVector(v, this.access(b, i), dst);
          continue;
        case Kind.storeVector:
          mem.moveVector(v, this.access(b, i), second);
          continue;
      }
      if (op === OP.mov && v.cell(dst) !== 0 && v.cell(a) !== 0) {
        this.moveHalf(dst, a);
        continue;
      }
      if (alu.lowerUnary(v, op, dst, a, second, imm, aux)) continue;
      switch (op) {
        case OP.nop:
          continue;
        case OP.probew:
          mem.probeWrite(v, this.access(b, i), second);
          continue;
        case OP.env_ld8u:
        case OP.env_ld16u:
        case OP.env_ld32u:
          mem.loadState(v, op, dst, imm);
          continue;
        case OP.env_st8:
        case OP.env_st16:
        case OP.env_st32:
          mem.storeState(v, op, imm, a);
          continue;
        case OP.pcrel:
          v.open(dst);
          this.pushPc(delta + imm, aux);
          v.set(dst, aux !== PcMask.m64);
          continue;
        case OP.flags:
          this.setFlags(a, second);
          v.setConst(FLAG_OP, imm, imm >> 31);
          continue;
        case OP.cond:
          v.open(dst);
          v.get(FLAG_OP);
          v.get(FLAG_RES);
          v.get(FLAG_SRC);
          v.get(FLAG_SRC2);
          v.i32(imm);
          v.op(W.call);
          v.code.uleb(this.module.importFunction('h', 'flagCondition', CONDITION_TYPE));
          v.set(dst, true);
          continue;
        case OP.call:
          this.pushHelperCall(dst, a, second, imm, aux);
          v.set(dst);
          continue;
        case OP.callf:
          this.impureCall(delta, dst, a, second, imm, aux);
          continue;
        case OP.vcall: {
          const code = this.options.inlineVector(aux >>> 16, imm);
          if (code === undefined) this.vectorCall(dst, a, second, imm, aux);
          else this.vectorCode(code, dst, a, second);
          continue;
        }
        case OP.vcallf: {
          const code = this.options.inlineFloat(aux >>> 16, imm);
          if (code === undefined) {
            this.faultingVectorCall(b, dst, a, second, imm, aux);
            continue;
          }
          this.floats.emit(code, dst, a, second);
          v.op(W.else);
          this.depth++;
          this.faultingVectorCall(b, dst, a, second, imm, aux);
          this.depth--;
          v.op(W.end);
          continue;
        }
        case OP.goto:
          if ((this.region.flow.edges[this.edge] as Edge).call) this.guestCall(b, delta, dst >>> 4, imm, -1);
          else this.goto(b, delta, dst >>> 4, imm);
          return false;
        case OP.jmp:
          if (imm === JumpKind.call) {
            this.guestCall(b, delta, -1, 0, a);
            return false;
          }
          if (imm === JumpKind.jump) this.indirectJump(b, w, a);
          else if (this.region.jumpEdges(b, w) > 0) this.inlinedReturn(b, a);
          else this.jumpOut(a, false);
          return false;
        case OP.leave:
          v.spillDirty();
          v.i32(RegionExit.next);
          v.op(W.return);
          return false;
        default:
          throw new Bug(`op ${op} cannot be compiled`);
      }
    }
    return true;
  }

  /** Leaves the region for the pc in slot a. */
  private jumpOut(a: number, indirect: boolean): void {
    const { v } = this;
    v.spillDirty();
    v.getLocal(Local.cpu);
    v.get(a);
    v.memory(W.i64Store, 3, PC);
    if (indirect) {
      v.getLocal(Local.cpu);
      v.getLocal(Local.pc);
      v.op(W.i32WrapI64);
      v.i32(1);
      v.op(W.i32Or);
      v.memory(W.i32Store, 2, JUMPED);
    }
    v.i32(RegionExit.next);
    v.op(W.return);
  }

  /**
   * An indirect jump: to one of the members that such jumps have led to, or out. The distance from the head's pc is hashed to
   * the only member it can be, where it is compared as a whole.
   */
  private indirectJump(b: number, w: number, a: number): void {
    const { v, region } = this;
    const edges = region.flow.edges.slice(this.edge, this.edge + region.jumpEdges(b, w));
    this.edge += edges.length;
    const next = this.edge;
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
      const miss = ++this.depth;
      if (this.mayBeStale) {
        v.i32(region.blocks[0] as number);
        v.memory(W.i32Load, 2, BLOCK.at['entry'] as number);
        v.op(W.i32Eqz);
        v.unlikelyBranch(this.depth - miss);
        this.mayBeStale = false;
      }
      for (let i = 0; i < edges.length; i++) {
        v.op(W.block);
        v.op(VOID);
        this.depth++;
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
        this.depth--;
        const epoch = v.forget();
        const delta = deltas[i] as number;
        v.getLocal(Local.wide);
        v.i64(delta, delta >> 31);
        v.op(W.i64Ne);
        v.unlikelyBranch(this.depth - miss);
        if (e.guard !== 0) {
          v.getLocal(Local.wide);
          v.getLocal(Local.pc);
          v.op(W.i64Add);
          mem.pushIsElsewhere(v, e.guard);
          v.unlikelyBranch(this.depth - miss);
        }
        this.follow(e);
        v.releaseBases(bases);
        v.restoreEpoch(epoch);
        v.dirtyLow = dirtyLow;
        v.dirtyHigh = dirtyHigh;
      }
      v.op(W.end);
      this.depth--;
      this.edge = next;
    }
    this.jumpOut(a, true);
  }

  /** The return of a callee in line: goes on behind the call if the guest's return address says so, else leaves. */
  private inlinedReturn(b: number, a: number): void {
    const { v, region } = this;
    const e = region.flow.edges[this.edge++] as Edge;
    const next = this.edge;
    v.materialiseTemps();
    v.get(a);
    this.pushPc(region.returnDelta(b), PcMask.m64);
    v.op(W.i64Ne);
    if (this.mayBeStale) {
      v.i32(region.blocks[0] as number);
      v.memory(W.i32Load, 2, BLOCK.at['entry'] as number);
      v.op(W.i32Eqz);
      v.op(W.i32Or);
      this.mayBeStale = false;
    }
    v.op(W.if);
    v.op(VOID);
    this.depth++;
    const mark = v.mark();
    const { dirtyLow, dirtyHigh } = v;
    this.jumpOut(a, false);
    v.undo(mark);
    v.dirtyLow = dirtyLow;
    v.dirtyHigh = dirtyHigh;
    v.op(W.end);
    this.depth--;
    this.follow(e);
    this.edge = next;
  }

  /** Distance from the head's pc of the block an edge leads to, by way of a dispatch node perhaps. */
  private deltaOf(e: Edge): number {
    const { flow, delta } = this.region;
    const to = e.label < 0 ? e.to : (flow.dispatchEdges(e.to)[e.label] as Edge).to;
    if (to >= flow.blockCount) return this.deltaOf(flow.dispatchEdges(e.to)[e.label] as Edge);
    return delta[to] as number;
  }

  private setFlags(res: number, src: number): void {
    const { v } = this;
    if (src === FLAG_RES && res !== FLAG_RES) {
      v.get(src);
      v.setLocal(Local.wide);
      this.setFlag(FLAG_RES, res);
      v.open(FLAG_SRC);
      v.getLocal(Local.wide);
      v.set(FLAG_SRC);
      return;
    }
    this.setFlag(FLAG_RES, res);
    this.setFlag(FLAG_SRC, src);
  }

  private setFlag(slot: number, from: number): void {
    const { v } = this;
    if (v.isConst(from)) v.setConst(slot, v.constLow(from), v.constHigh(from));
    else {
      v.open(slot);
      v.get(from);
      v.set(slot);
    }
  }

  /** The memory access of op i; the first of a group checks for all of it. */
  private access(b: number, i: number): mem.Access {
    const { v, words, groups, memoryAccess } = this;
    const w = (this.region.firstWord[b] as number) + i * 4;
    memoryAccess.op = (words[w] as number) & 0xffff;
    memoryAccess.a = (words[w + 1] as number) & 0xffff;
    memoryAccess.imm = words[w + 2] as number;
    const { region } = this;
    memoryAccess.exitLow = this.exitValue(RegionExit.side, i, region.page[b] as number, region.offset[b] as number);
    memoryAccess.exitHigh = region.blocks[b] as number;
    memoryAccess.fill = this.region.fillsTlb ? this.module.importFunction('h', 'fillForRegion', FILL_TYPE) : -1;
    v.materialiseTemps();
    memoryAccess.label = this.depth - this.sideLabel;
    memoryAccess.base = 0;
    memoryAccess.memory = groups.pageMemory(b, i);
    const group = groups.of(b, i);
    if (group !== 0) {
      const min = groups.min[group] as number;
      const at = groups.offsetIn(b, i);
      memoryAccess.offset = at - min;
      if (groups.isLeader(b, i, group)) {
        this.baseOf[group] = memoryAccess.base = v.takeBase();
        this.openGroup(group, min - at);
      } else memoryAccess.base = this.baseOf[group] as number;
    }
    return memoryAccess;
  }

  /** Lowers the `if_…` op at i with its body; gives the index of the last op it covered. */
  private conditional(b: number, i: number): number {
    const { v, words } = this;
    const first = this.region.firstWord[b] as number;
    const w = first + i * 4;
    const op = (words[w] as number) & 0xffff;
    const bodyEnd = i + 1 + (words[w + (SKIP_WORD[op] as number)] as number);
    const falls = !terminates(words, first, i + 1, bodyEnd);
    if (falls) v.materialiseTemps();
    const a = (words[w + 1] as number) & 0xffff;
    switch (KIND[op]) {
      case Kind.if:
        alu.compare(v, op, a, (words[w + 1] as number) >>> 16);
        break;
      case Kind.ifImm:
        alu.compareImm(v, op, a, words[w + 2] as number);
        break;
      case Kind.if32:
        alu.compare32(v, op, a, (words[w + 1] as number) >>> 16);
        break;
      default:
        alu.compareImm32(v, op, a, words[w + 2] as number);
    }
    const body = words[w + 4] as number;
    if (bodyEnd === i + 2 && (body & 0xffff) === OP.goto && !this.mayBeStale) {
      const e = this.region.flow.edges[this.edge] as Edge;
      const label = e.to >= 0 && e.label < 0 && e.guard === 0 && !e.call ? this.labelOf(e) : 0;
      if (label !== 0) {
        v.op(W.brIf);
        v.code.uleb(this.depth - label);
        this.edge++;
        return i + 1;
      }
    }
    v.op(W.if);
    v.op(VOID);
    this.depth++;
    const mark = v.mark();
    const { dirtyLow, dirtyHigh } = v;
    const stale = this.mayBeStale;
    const bases = v.basesInUse;
    const reached = this.ops(b, i + 1, bodyEnd);
    if (reached !== falls) throw new Bug('body end disagrees with its scan');
    if (falls) {
      v.materialiseTemps();
      v.undoAndForget(mark);
      v.dirtyLow |= dirtyLow;
      v.dirtyHigh |= dirtyHigh;
      this.mayBeStale ||= stale;
    } else {
      v.undo(mark);
      v.dirtyLow = dirtyLow;
      v.dirtyHigh = dirtyHigh;
      this.mayBeStale = stale;
    }
    v.releaseBases(bases);
    v.op(W.end);
    this.depth--;
    return bodyEnd - 1;
  }

  /** Pushes mask(head pc + delta). */
  private pushPc(delta: number, mask: number): void {
    const { v } = this;
    v.getLocal(Local.pc);
    if (delta !== 0) {
      v.i64(delta, delta >> 31);
      v.op(W.i64Add);
    }
    if (mask !== PcMask.m64) alu.maskTo(v, mask === PcMask.m16 ? 16 : 32);
  }

  /**
   * A guest call is a WebAssembly call when the block it returns to is in the region: the target's pc goes to the header,
   * `callGuest` runs from there. The target is `imm` from the block under `mask`, or in slot `a`.
   */
  private guestCall(b: number, delta: number, mask: number, imm: number, a: number): void {
    const { v, region } = this;
    const e = region.flow.edges[this.edge++] as Edge;
    const next = this.edge;
    v.spillDirty();
    v.getLocal(Local.cpu);
    if (a < 0) this.pushPc(delta + imm, mask);
    else v.get(a);
    v.memory(W.i64Store, 3, PC);
    if (e.to < 0) {
      v.i32(RegionExit.next);
      v.op(W.return);
      return;
    }
    if (a < 0 && delta + imm === 0 && !this.mayWrap() && this.options.icount !== true)
      this.callSelf(delta + (region.bytes[b] as number));
    else {
      v.getLocal(Local.cpu);
      this.pushPc(delta + (region.bytes[b] as number), PcMask.m64);
      v.op(W.call);
      v.code.uleb(this.module.importFunction('h', 'callGuest', CALL_TYPE));
      this.returnUnlessBack();
    }
    v.forgetGuestSlots();
    v.reload(this.slots.liveLow[e.to] as number, this.slots.liveHigh[e.to] as number);
    v.reloadCells(this.slots.liveCells[e.to] as number);
    v.dirtyLow = v.dirtyHigh = 0;
    this.mayBeStale = false;
    this.guard(e, delta + (region.bytes[b] as number), PcMask.m64);
    this.follow(e);
    this.edge = next;
  }

  /** Takes what a guest call gave off the stack; the region returns it unless the guest is back. */
  private returnUnlessBack(): void {
    const { v } = this;
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
    this.v.getLocal(Local.cpu);
    this.v.memory(W.i64Load, 3, VCPU.at['mode'] as number);
  }
  private pushEpoch(): void {
    const { v } = this;
    v.getLocal(Local.cpu);
    v.memory(W.i32Load, 2, VCPU.at['machine'] as number);
    v.memory(W.i32Load, 2, MACHINE.at['codeEpoch'] as number);
  }
  private deepen(by: number): void {
    const { v } = this;
    v.getLocal(Local.cpu);
    v.getLocal(Local.cpu);
    v.memory(W.i32Load, 2, CALL_DEPTH);
    v.i32(by);
    v.op(W.i32Add);
    v.memory(W.i32Store, 2, CALL_DEPTH);
  }

  /** Recursion: what `callGuest` does, without looking for the region. The pc is in the header. */
  private callSelf(back: number): void {
    const { v } = this;
    const next = (): void => {
      v.op(W.if);
      v.op(VOID);
      v.i32(RegionExit.next);
      v.op(W.return);
      v.op(W.end);
    };
    v.getLocal(Local.cpu);
    v.memory(W.i32Load, 2, CALL_DEPTH);
    v.i32(MAX_CALL_DEPTH);
    v.op(W.i32GeU);
    // With its neighbour interruptRequest.
    v.getLocal(Local.cpu);
    v.memory(W.i64Load, 3, EXIT_REQUEST);
    v.i64(0, 0);
    v.op(W.i64Ne);
    v.op(W.i32Or);
    next();
    this.pushKey();
    v.setLocal(Local.key);
    this.pushEpoch();
    v.setLocal(Local.epoch);
    this.deepen(1);
    v.getLocal(Local.cpu);
    v.op(W.call);
    this.selfCalls.push(v.code.length);
    for (let i = 0; i < SELF_BYTES; i++) v.code.u8(0);
    v.setLocal(Local.scratch);
    this.deepen(-1);
    v.getLocal(Local.scratch);
    v.getLocal(Local.cpu);
    v.memory(W.i64Load, 3, PC);
    this.pushPc(back, PcMask.m64);
    v.op(W.i64Ne);
    v.op(W.i32Or);
    v.op(W.if);
    v.op(VOID);
    v.getLocal(Local.cpu);
    this.pushPc(back, PcMask.m64);
    v.getLocal(Local.scratch);
    v.op(W.call);
    v.code.uleb(this.module.importFunction('h', 'resumeGuest', RESUME_TYPE));
    this.returnUnlessBack();
    v.op(W.end);
    this.pushKey();
    v.getLocal(Local.key);
    v.op(W.i64Ne);
    this.pushEpoch();
    v.getLocal(Local.epoch);
    v.op(W.i32Ne);
    v.op(W.i32Or);
    next();
  }

  /** Before a jump into another page: leaves unless the target, `delta` from the head, is still the same block. */
  private guard(e: Edge, delta: number, mask: number): void {
    if (e.guard === 0) return;
    const { v } = this;
    v.getLocal(Local.pc);
    v.i64(delta, delta >> 31);
    v.op(W.i64Add);
    mem.pushIsElsewhere(v, e.guard);
    v.op(W.if);
    v.op(VOID);
    this.depth++;
    this.leaveTo(delta, mask);
    v.op(W.end);
    this.depth--;
  }

  private goto(b: number, delta: number, mask: number, imm: number): void {
    const { v, region } = this;
    const e = region.flow.edges[this.edge++] as Edge;
    const next = this.edge;
    if (e.to >= 0) {
      if (this.mayBeStale) {
        v.i32(region.blocks[0] as number);
        v.memory(W.i32Load, 2, BLOCK.at['entry'] as number);
        v.op(W.i32Eqz);
        v.op(W.if);
        v.op(VOID);
        this.leaveTo(delta + imm, mask);
        v.op(W.end);
        this.mayBeStale = false;
      }
      this.guard(e, delta + imm, mask);
      this.follow(e);
      this.edge = next;
      return;
    }
    if (e.to === UNSEEN && !this.mayWrap()) {
      // Cold as far as is known: the shared exit is the shortest way out.
      const offset = (region.offset[b] as number) + imm;
      v.i64(this.exitValue(RegionExit.next, 0, region.page[b] as number, offset), 0);
      v.op(W.br);
      v.code.uleb(this.depth - this.sideLabel);
    } else this.leaveTo(delta + imm, mask);
  }

  /** Leaves the region for mask(head pc + delta). */
  private leaveTo(delta: number, mask: number): void {
    const { v } = this;
    v.spillDirty();
    v.getLocal(Local.cpu);
    this.pushPc(delta, mask);
    v.memory(W.i64Store, 3, PC);
    v.i32(RegionExit.next);
    v.op(W.return);
  }

  // --- helpers

  private helperName(aux: number): string {
    const name = this.options.helperNames[aux >>> 16];
    if (name === undefined) throw new Bug(`no helper ${aux >>> 16}`);
    return `h_${name}`;
  }

  /** Opens `dst` and pushes the helper's result. */
  private pushHelperCall(dst: number, a: number, b: number, imm: number, aux: number): void {
    const { v } = this;
    v.open(dst);
    v.getLocal(Local.cpu);
    v.get(a);
    v.get(b);
    v.i32(imm);
    v.op(W.call);
    v.code.uleb(this.module.importFunction('h', this.helperName(aux), HELPER_TYPE));
  }

  private impureCall(delta: number, dst: number, a: number, b: number, imm: number, aux: number): void {
    const { v } = this;
    v.spillDirty();
    v.getLocal(Local.cpu);
    v.get(a);
    v.get(b);
    v.i32(imm);
    v.op(W.call);
    v.code.uleb(this.module.importFunction('h', this.helperName(aux), HELPER_TYPE));
    v.setLocal(Local.wide);
    v.i32(delta + (aux & 0xffff));
    this.checkFault(this.faultLabel);
    v.forgetGuestSlots();
    v.reloadAll();
    v.reloadCells(v.allCells);
    if (this.slots.hasMemoryOps) mem.loadTlbBase(v);
    v.dirtyLow = v.dirtyHigh = 0;
    this.mayBeStale = true;
    v.open(dst);
    v.getLocal(Local.wide);
    v.set(dst);
  }

  /** Leaves through a shared exit with the value on the stack when the helper just called raised a guest fault. */
  private checkFault(label: number): void {
    const { v } = this;
    v.getLocal(Local.cpu);
    v.memory(W.i32Load, 2, FAULT_PENDING);
    v.unlikelyBranch(this.depth - label);
    v.op(W.drop);
  }

  /** Half of a cell to half of another; a number's bits pass an engine's moves of doubles unchanged. */
  private moveHalf(dst: number, from: number): void {
    const { v } = this;
    v.getLocal(v.cell(dst));
    v.getLocal(v.cell(from));
    v.simdLane(V.f64x2ExtractLane, from & 1);
    v.simdLane(V.f64x2ReplaceLane, dst & 1);
    v.setLocal(v.cell(dst));
    v.storeHalf(dst);
  }

  private vectorCode(code: VectorCode, dst: number, a: number, b: number): void {
    const { v } = this;
    // As for a call: slots that live in locals pass through memory.
    for (const slot of [a, b]) v.store(slot);
    if (code.scalar) v.open(dst);
    for (const byte of code.bytes) {
      if (byte === PUSH_A || byte === PUSH_B) v.getVector(byte === PUSH_A ? a : b);
      else v.op(byte);
    }
    if (code.scalar) v.set32(dst);
    else {
      v.setVector(dst);
      v.fetch(dst);
    }
  }

  /** A vector helper that may raise a guest fault. */
  private faultingVectorCall(b: number, dst: number, a: number, second: number, imm: number, aux: number): void {
    const { v, region } = this;
    this.vectorCall(dst, a, second, imm, aux);
    // Unlike before a callf nothing was stored: the side exit does that.
    const offset = (region.offset[b] as number) + (aux & 0xffff);
    v.i64(this.exitValue(RegionExit.fault, 0, region.page[b] as number, offset), 0);
    this.checkFault(this.sideLabel);
  }

  private vectorCall(dst: number, a: number, b: number, imm: number, aux: number): void {
    const { v } = this;
    // Operands are fields from vectorBase on as a rule; a slot that lives in a local passes through memory.
    for (const slot of [dst, a, b]) v.store(slot);
    v.getLocal(Local.cpu);
    for (const slot of [dst, a, b]) {
      v.getLocal(Local.cpu);
      v.i32(slot * 8);
      v.op(W.i32Add);
    }
    v.i32(imm);
    v.op(W.call);
    v.code.uleb(this.module.importFunction('h', this.helperName(aux), VECTOR_HELPER_TYPE));
    v.fetch(dst);
    const helper = aux >>> 16;
    const code = this.options.inlineFloat(helper, imm);
    if (code !== undefined) v.reloadCells(v.cellsIn(dst, resultSlots(code)));
    else if (this.options.writesDestinationOnly(helper)) v.reloadCells(v.cellsIn(dst, SLOTS_OF_VECTOR));
    else v.reloadCells(v.allCells);
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
