/** Calls of the runtime's helpers, and vector code in place of them. */
// hot path
import { Bug } from '../base/errors.js';
import { PUSH_A, PUSH_B, type VectorCode } from '../ir/vector-code.js';
import { type Frame, RegionExit } from './lower-frame.js';
import * as mem from './lower-memory.js';
import { resultSlots, SLOTS_OF_VECTOR } from './slots.js';
import { Local } from './values.js';
import type { FunctionType } from './wasm/module.js';
import { V, W } from './wasm/opcodes.js';

const HELPER_TYPE: FunctionType = { params: ['i32', 'i64', 'i64', 'i32'], results: ['i64'] };
const VECTOR_HELPER_TYPE: FunctionType = { params: ['i32', 'i32', 'i32', 'i32', 'i32'], results: [] };

export class HelperCalls {
  constructor(private readonly f: Frame) {}

  private helperName(aux: number): string {
    const name = this.f.options.helperNames[aux >>> 16];
    if (name === undefined) throw new Bug(`no helper ${aux >>> 16}`);
    return `h_${name}`;
  }

  /** Opens `dst` and pushes the helper's result. */
  pushHelperCall(dst: number, a: number, b: number, imm: number, aux: number): void {
    const { v } = this.f;
    v.open(dst);
    v.pushCpu();
    v.get(a);
    v.get(b);
    v.i32(imm);
    v.op(W.call);
    v.code.uleb(this.f.module.importFunction('h', this.helperName(aux), HELPER_TYPE));
  }

  impureCall(delta: number, dst: number, a: number, b: number, imm: number, aux: number): void {
    const { v } = this.f;
    v.spillDirty();
    v.pushCpu();
    v.get(a);
    v.get(b);
    v.i32(imm);
    v.op(W.call);
    v.code.uleb(this.f.module.importFunction('h', this.helperName(aux), HELPER_TYPE));
    v.setLocal(Local.wide);
    v.i32(delta + (aux & 0xffff));
    this.f.checkFault(this.f.faultLabel);
    v.forgetGuestSlots();
    v.reloadAll();
    v.reloadCells(v.allCells);
    if (this.f.slots.hasMemoryOps) mem.loadTlbBase(v);
    v.dirtyLow = v.dirtyHigh = 0;
    this.f.mayBeStale = true;
    v.open(dst);
    v.getLocal(Local.wide);
    v.set(dst);
  }

  /** Half of a cell to half of another; a number's bits pass an engine's moves of doubles unchanged. */
  moveHalf(dst: number, from: number): void {
    const { v } = this.f;
    v.getLocal(v.cell(dst));
    v.getLocal(v.cell(from));
    v.simdLane(V.f64x2ExtractLane, from & 1);
    v.simdLane(V.f64x2ReplaceLane, dst & 1);
    v.setLocal(v.cell(dst));
    v.storeHalf(dst);
  }

  vectorCode(code: VectorCode, dst: number, a: number, b: number): void {
    const { v } = this.f;
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
  faultingVectorCall(b: number, dst: number, a: number, second: number, imm: number, aux: number): void {
    this.vectorCall(dst, a, second, imm, aux);
    this.leaveOnFault(b, aux);
  }

  /** An x87 helper: writes x87 state and its destination. */
  faultingX87Call(b: number, dst: number, a: number, second: number, imm: number, aux: number): void {
    this.callOnFields(dst, a, second, imm, aux);
    this.leaveOnFault(b, aux);
  }

  private leaveOnFault(b: number, aux: number): void {
    const { v, region } = this.f;
    // Unlike before a callf nothing was stored: the side exit does that.
    const offset = (region.offset[b] as number) + (aux & 0xffff);
    v.i64(this.f.exitValue(RegionExit.fault, 0, region.page[b] as number, offset), 0);
    this.f.checkFault(this.f.sideLabel);
  }

  private callOnFields(dst: number, a: number, b: number, imm: number, aux: number): void {
    const { v } = this.f;
    // Operands are fields from vectorBase on as a rule; a slot that lives in a local passes through memory.
    for (const slot of [dst, a, b]) v.store(slot);
    v.pushCpu();
    for (const slot of [dst, a, b]) {
      v.pushCpu();
      v.i32(slot * 8);
      v.op(W.i32Add);
    }
    v.i32(imm);
    v.op(W.call);
    v.code.uleb(this.f.module.importFunction('h', this.helperName(aux), VECTOR_HELPER_TYPE));
    v.fetch(dst);
  }

  vectorCall(dst: number, a: number, b: number, imm: number, aux: number): void {
    const { v } = this.f;
    this.callOnFields(dst, a, b, imm, aux);
    const helper = aux >>> 16;
    const code = this.f.options.inlineFloat(helper, imm);
    if (code !== undefined) v.reloadCells(v.cellsIn(dst, resultSlots(code)));
    else if (this.f.options.writesDestinationOnly(helper)) v.reloadCells(v.cellsIn(dst, SLOTS_OF_VECTOR));
    else v.reloadCells(v.allCells);
  }
}
