/**
 * Lowers a region to one WebAssembly function `(cpu: i32, entry: i32) => i32`; `entry` is a number in `Region.entries`. It returns 0: go on at the pc in the header; 1: side
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
import { FLAG_OP } from '../ir/builder.js';
import { SKIP_WORD } from '../ir/effects.js';
import { WHOLE_BLOCK } from '../ir/layout.js';
import { JumpKind, OP, OP_MASK, PcMask } from '../ir/ops.js';
import type { Edge } from './flow.js';
import { AccessGroups } from './groups.js';
import * as alu from './lower-alu.js';
import { KIND, Kind } from './lower-alu.js';
import { FlagsLowering } from './lower-flags.js';
import { FloatLowering } from './lower-float.js';
import { Frame, type LowerOptions, RegionExit } from './lower-frame.js';
import { HelperCalls } from './lower-helpers.js';
import { Jumps } from './lower-jumps.js';
import * as mem from './lower-memory.js';
import { X87Lowering } from './lower-x87.js';
import { terminates } from './region.js';
import { graphOf, jumpEdges, type RegionCode } from './region-code.js';
import { fillsCell } from './slots.js';
import { LOCALS_F32, LOCALS_F64, LOCALS_I32, LOCALS_I64, LOCALS_V128, Local, type Values } from './values.js';
import { Bytes } from './wasm/bytes.js';
import type { FunctionType, ModuleWriter } from './wasm/module.js';
import { ValType, VOID, W } from './wasm/opcodes.js';

export const REGION_TYPE: FunctionType = { params: ['i32', 'i32'], results: ['i32'] };
const FILL_TYPE: FunctionType = { params: ['i32', 'i64', 'i32', 'i32'], results: ['i32'] };

export class Lowering {
  private readonly f: Frame;
  private readonly v: Values;
  private readonly body = new Bytes(1 << 16);
  /** Depth of a node's label: its loop when it is a header, for backward edges; its block for forward edges. */
  private loopLabel = new Int32Array(0);
  private blockLabel = new Int32Array(0);
  private readonly groups: AccessGroups;
  private readonly floats: FloatLowering;
  private readonly flags: FlagsLowering;
  private readonly jumps: Jumps;
  private readonly helpers: HelperCalls;
  private readonly x87: X87Lowering;
  private readonly memoryAccess = new mem.Access();
  /** Local of each group's base. */
  private readonly baseOf: number[] = [];

  constructor(options: LowerOptions) {
    this.f = new Frame(options);
    this.v = this.f.v;
    this.floats = new FloatLowering(this.v, options.floatStatus);
    this.flags = new FlagsLowering(this.f);
    this.jumps = new Jumps(this.f, (e) => this.follow(e));
    this.helpers = new HelperCalls(this.f);
    this.x87 = new X87Lowering(this.f, this.helpers, options.x87.state);
    this.groups = new AccessGroups(options.vectorBaseSlot);
  }

  /** Branch hints of the body lowered last, as `ModuleWriter.addFunction` takes them. */
  get hints(): readonly number[] {
    return this.v.hints;
  }

  /** Where in the body its own function index goes, as `ModuleWriter.addFunction` takes them. */
  get selfCalls(): readonly number[] {
    return this.f.selfCalls;
  }

  /** The function's body, valid until the next call. */
  lower(code: RegionCode, module: ModuleWriter): Bytes {
    const { v, body } = this;
    const region = graphOf(code);
    this.f.reset(region, module);
    const { x87Precision } = this.f.slots;
    if (x87Precision !== undefined) this.x87.begin(x87Precision);
    this.groups.find(region, v.takeWide);

    v.op(W.block);
    v.op(ValType.i32);
    this.f.depth = this.f.faultLabel = 1;
    v.op(W.block);
    v.op(ValType.i64);
    this.f.depth = this.f.sideLabel = 2;
    this.f.enter();
    const nodes = region.flow.nodeCount;
    this.loopLabel = new Int32Array(nodes);
    this.blockLabel = new Int32Array(nodes);
    this.tree(region.flow.entry);
    v.op(W.unreachable);
    v.op(W.end);
    this.f.sideExit();
    v.op(W.end);
    this.f.faultExit();
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
    const { selfCalls } = this.f;
    for (let i = 0; i < selfCalls.length; i++) selfCalls[i] = (selfCalls[i] as number) + header;
    return body;
  }

  // --- structure

  /** Emits a node and everything it dominates. */
  private tree(node: number): void {
    const { v } = this;
    const { flow } = this.f.region;
    const single = flow.merge[node] === 0 && flow.loopHeader[node] === 0;
    const epoch = single ? 0 : v.forget();
    if (!single) this.x87.forget();
    if (flow.loopHeader[node] === 1) {
      const bases = v.basesInUse;
      for (const group of this.groups.ofLoop(node)) this.openLoopGroup(group, node);
      for (const memory of this.groups.memoriesOfLoop(node)) {
        if (memory.cell < 0) memory.addend = v.takeBase();
        mem.forgetPage(v, memory);
      }
      v.op(W.loop);
      v.op(VOID);
      this.loopLabel[node] = ++this.f.depth;
      this.within(node, 0);
      v.op(W.end);
      this.f.depth--;
      v.releaseBases(bases);
    } else this.within(node, 0);
    if (!single) v.restoreEpoch(epoch);
  }

  /** Makes the check of a group whose base does not change in the loop that comes. */
  private openLoopGroup(group: number, header: number): void {
    const { v, f, groups, memoryAccess } = this;
    const { region } = f;
    memoryAccess.a = groups.baseSlot(group);
    memoryAccess.imm = 0;
    memoryAccess.exitLow = f.exitValue(
      RegionExit.side,
      WHOLE_BLOCK,
      region.page[header] as number,
      region.offset[header] as number,
    );
    memoryAccess.exitHigh = region.blocks[header] as number;
    memoryAccess.label = f.depth - f.sideLabel;
    memoryAccess.fill = this.fill();
    memoryAccess.open = this.open(group);
    this.baseOf[group] = memoryAccess.base = v.takeBase();
    this.openGroup(group, groups.min[group] as number);
  }

  /** Function that fills the TLB in regions that had many side exits, else -1. */
  private fill(): number {
    return this.f.region.fillsTlb ? this.f.module.importFunction('h', 'fillForRegion', FILL_TYPE) : -1;
  }

  private open(group: number): number {
    return this.groups.isCertain(group) ? this.f.module.importFunction('h', 'openRange', FILL_TYPE) : -1;
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
    const children = this.f.region.flow.mergeChildren[node] as number[];
    if (child === children.length) {
      if (node >= this.f.region.flow.blockCount) this.dispatch(node);
      else this.block(node);
      return;
    }
    const after = children[child] as number;
    v.op(W.block);
    v.op(VOID);
    this.blockLabel[after] = ++this.f.depth;
    const bases = v.basesInUse;
    this.within(node, child + 1);
    v.releaseBases(bases);
    v.op(W.end);
    this.f.depth--;
    this.tree(after);
  }

  private dispatch(node: number): void {
    const { v } = this;
    const edges = this.f.region.flow.dispatchEdges(node);
    for (let i = 0; i < edges.length; i++) {
      v.op(W.block);
      v.op(VOID);
      this.f.depth++;
    }
    v.getLocal(Local.dispatch);
    v.op(W.brTable);
    v.code.uleb(edges.length - 1);
    for (let i = 0; i < edges.length; i++) v.code.uleb(i);
    for (const [label, e] of edges.entries()) {
      v.op(W.end);
      this.f.depth--;
      const epoch = v.forget();
      this.x87.forget();
      if (node === this.f.region.flow.entry) this.f.enteredAt(label, e.to);
      this.follow(e);
      v.restoreEpoch(epoch);
    }
  }

  /** The label an edge leads to, or 0 when its destination's code goes right here. */
  private labelOf(e: Edge): number {
    const { flow } = this.f.region;
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
    // Where other paths may come from, too, nothing is taken along.
    const { flow } = this.f.region;
    if (label !== 0 || flow.loopHeader[e.to] === 1 || e.to >= flow.blockCount) this.x87.flush();
    if (label === 0) {
      this.tree(e.to);
      return;
    }
    v.op(W.br);
    v.code.uleb(this.f.depth - label);
  }

  private block(b: number): void {
    const { v } = this;
    const { region } = this.f;
    v.dirtyLow = this.f.slots.dirtyLow[b] as number;
    v.dirtyHigh = this.f.slots.dirtyHigh[b] as number;
    this.f.mayBeStale = false;
    if (region.flow.beginsLoop[b] === 1 || this.f.options.icount === true) this.x87.flush();
    if (region.flow.beginsLoop[b] === 1) this.f.poll(b);
    if (this.f.options.icount === true) this.f.count(b);
    this.f.edge = region.firstEdge[b] as number;
    if (this.ops(b, 0, region.opCount[b] as number)) throw new Bug('block without a terminator');
  }

  // --- ops

  /** Lowers ops [from, to) of block b; true when control may reach `to`. */
  private ops(b: number, from: number, to: number): boolean {
    const { v } = this;
    const { words } = this.f;
    const first = this.f.region.firstWord[b] as number;
    const delta = this.f.region.delta[b] as number;
    for (let i = from; i < to; i++) {
      const w = first + i * 4;
      const op = (words[w] as number) & OP_MASK;
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
        case Kind.load: {
          const exit = this.openExit();
          if (v.cell(dst) === 0) mem.load(v, this.access(b, i), dst);
          else if (fillsCell(words, w, first + to * 4)) {
            mem.loadCell(v, this.access(b, i), dst);
            i++;
          } else mem.loadHalfCell(v, this.access(b, i), dst);
          this.closeExit(exit);
          continue;
        }
        case Kind.store: {
          const exit = this.openExit();
          mem.store(v, this.access(b, i), second);
          this.closeExit(exit);
          continue;
        }
        case Kind.loadVector:
        case Kind.storeVector: {
          const exit = this.openExit();
          mem.moveVector(v, this.access(b, i), KIND[op] === Kind.loadVector ? dst : second);
          this.closeExit(exit);
          continue;
        }
      }
      if (op === OP.mov && v.cell(dst) !== 0 && v.cell(a) !== 0) {
        this.helpers.moveHalf(dst, a);
        continue;
      }
      if (alu.lowerUnary(v, op, dst, a, second, imm, aux)) continue;
      switch (op) {
        case OP.nop:
          continue;
        case OP.probew: {
          const exit = this.openExit();
          mem.probeWrite(v, this.access(b, i), second);
          this.closeExit(exit);
          continue;
        }
        case OP.env_ld8u:
        case OP.env_ld16u:
        case OP.env_ld32u:
          this.x87.flush();
          mem.loadState(v, op, dst, imm);
          continue;
        case OP.env_st8:
        case OP.env_st16:
        case OP.env_st32:
          this.x87.flush();
          mem.storeState(v, op, imm, a);
          this.x87.forget();
          continue;
        case OP.pcrel:
          v.open(dst);
          this.f.pushPc(delta + imm, aux);
          v.set(dst, aux !== PcMask.m64);
          continue;
        case OP.flags:
          this.flags.set(a, second);
          v.setConst(FLAG_OP, imm, imm >> 31);
          continue;
        case OP.cond:
          this.flags.condition(dst, imm);
          continue;
        case OP.call:
          this.helpers.pushHelperCall(dst, a, second, imm, aux);
          v.set(dst);
          continue;
        case OP.callf:
          this.x87.flush();
          this.helpers.impureCall(delta, dst, a, second, imm, aux);
          this.x87.forget();
          continue;
        case OP.vcall: {
          const code = this.f.options.inlineVector(aux >>> 16, imm);
          if (code === undefined) {
            this.x87.flush();
            this.helpers.vectorCall(dst, a, second, imm, aux);
            this.x87.forget();
          } else this.helpers.vectorCode(code, dst, a, second);
          continue;
        }
        case OP.vcallf: {
          const x87 = this.f.slots.x87Code(w);
          if (x87 !== undefined) {
            this.x87.emit(x87, { block: b, op: i, dst, a, b: second, imm, aux });
            continue;
          }
          this.x87.flush();
          const code = this.f.options.inlineFloat(aux >>> 16, imm);
          if (code === undefined) {
            this.helpers.faultingVectorCall(b, dst, a, second, imm, aux);
            if (!this.f.options.writesDestinationOnly(aux >>> 16)) this.x87.forget();
            continue;
          }
          this.floats.emit(code, dst, a, second);
          v.op(W.else);
          this.f.depth++;
          this.helpers.faultingVectorCall(b, dst, a, second, imm, aux);
          this.f.depth--;
          v.op(W.end);
          continue;
        }
        case OP.goto:
          this.jump(b, delta, dst >>> 4, imm);
          return false;
        case OP.jmp:
          this.x87.flush();
          this.x87.forget();
          if (imm === JumpKind.call) {
            this.jumps.guestCall(b, delta, -1, 0, a);
            return false;
          }
          if (imm === JumpKind.jump) this.jumps.indirectJump(b, w, a);
          else if (jumpEdges(this.f.region, b, w) > 0) this.jumps.inlinedReturn(b, a);
          else this.f.jumpOut(a, false);
          return false;
        case OP.leave:
          this.x87.flush();
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

  /** A `goto` op. */
  private jump(b: number, delta: number, mask: number, imm: number): void {
    const e = this.f.region.flow.edges[this.f.edge] as Edge;
    // A jump to code that goes on right here takes along what is newer than memory, if it is sure to get there.
    if (e.call || e.to < 0 || e.guard !== 0 || this.f.mayBeStale) this.x87.flush();
    if (!e.call) {
      this.jumps.goto(b, delta, mask, imm);
      return;
    }
    this.x87.forget();
    this.jumps.guestCall(b, delta, mask, imm, -1);
  }

  /**
   * Before a memory access while x87 state is newer than memory: its way out leads to `closeExit`, which stores that. Gives what
   * `closeExit` takes.
   */
  private openExit(): number {
    const { f, v } = this;
    if (!this.x87.pending) return 0;
    v.op(W.block);
    v.op(VOID);
    v.op(W.block);
    v.op(ValType.i64);
    f.depth += 2;
    const { sideLabel } = f;
    f.sideLabel = f.depth;
    return sideLabel;
  }

  private closeExit(sideLabel: number): void {
    if (sideLabel === 0) return;
    const { f, v } = this;
    v.op(W.br);
    v.code.uleb(1);
    v.op(W.end);
    f.depth--;
    v.setLocal(Local.wide);
    this.x87.store();
    v.getLocal(Local.wide);
    v.op(W.br);
    v.code.uleb(f.depth - sideLabel);
    v.op(W.end);
    f.depth--;
    f.sideLabel = sideLabel;
  }

  /** The memory access of op i; the first of a group checks for all of it. */
  private access(b: number, i: number): mem.Access {
    const { v, groups, memoryAccess } = this;
    const { words } = this.f;
    const w = (this.f.region.firstWord[b] as number) + i * 4;
    memoryAccess.op = (words[w] as number) & OP_MASK;
    memoryAccess.a = (words[w + 1] as number) & 0xffff;
    memoryAccess.imm = words[w + 2] as number;
    const { region } = this.f;
    memoryAccess.exitLow = this.f.exitValue(RegionExit.side, i, region.page[b] as number, region.offset[b] as number);
    memoryAccess.exitHigh = region.blocks[b] as number;
    memoryAccess.fill = this.fill();
    v.materialiseTemps();
    memoryAccess.label = this.f.depth - this.f.sideLabel;
    memoryAccess.base = 0;
    memoryAccess.memory = groups.pageMemory(b, i);
    const group = groups.of(b, i);
    if (group !== 0) {
      const min = groups.min[group] as number;
      const at = groups.offsetIn(b, i);
      memoryAccess.offset = at - min;
      memoryAccess.open = this.open(group);
      if (groups.isLeader(b, i, group)) {
        this.baseOf[group] = memoryAccess.base = v.takeBase();
        this.openGroup(group, min - at);
      } else {
        memoryAccess.base = this.baseOf[group] as number;
      }
    }
    return memoryAccess;
  }

  /** Lowers the `if_…` op at i with its body; gives the index of the last op it covered. */
  private conditional(b: number, i: number): number {
    const { v } = this;
    const { words } = this.f;
    const first = this.f.region.firstWord[b] as number;
    const w = first + i * 4;
    const op = (words[w] as number) & OP_MASK;
    const bodyEnd = i + 1 + (words[w + (SKIP_WORD[op] as number)] as number);
    const falls = !terminates(words, first, i + 1, bodyEnd);
    if (falls) {
      v.materialiseTemps();
      this.x87.flush();
    }
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
    if (bodyEnd === i + 2 && (body & OP_MASK) === OP.goto && !this.f.mayBeStale && !this.x87.pending) {
      const e = this.f.region.flow.edges[this.f.edge] as Edge;
      const label = e.to >= 0 && e.label < 0 && e.guard === 0 && !e.call ? this.labelOf(e) : 0;
      if (label !== 0) {
        v.op(W.brIf);
        v.code.uleb(this.f.depth - label);
        this.f.edge++;
        return i + 1;
      }
    }
    v.op(W.if);
    v.op(VOID);
    this.f.depth++;
    const mark = v.mark();
    const x87 = this.x87.save();
    const { dirtyLow, dirtyHigh } = v;
    const stale = this.f.mayBeStale;
    const bases = v.basesInUse;
    const reached = this.ops(b, i + 1, bodyEnd);
    if (reached !== falls) throw new Bug('body end disagrees with its scan');
    if (falls) {
      v.materialiseTemps();
      v.undoAndForget(mark);
      this.x87.flush();
      this.x87.join(x87);
      v.dirtyLow |= dirtyLow;
      v.dirtyHigh |= dirtyHigh;
      this.f.mayBeStale ||= stale;
    } else {
      v.undo(mark);
      this.x87.restore(x87);
      v.dirtyLow = dirtyLow;
      v.dirtyHigh = dirtyHigh;
      this.f.mayBeStale = stale;
    }
    v.releaseBases(bases);
    v.op(W.end);
    this.f.depth--;
    return bodyEnd - 1;
  }
}
