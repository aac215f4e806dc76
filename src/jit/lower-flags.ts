/** The lazy flags: written, and asked for conditions. */
// hot path
import { FLAG_OP, FLAG_RES, FLAG_SRC, FLAG_SRC2 } from '../ir/builder.js';
import type { ConditionCode } from '../ir/condition-code.js';
import type { Frame } from './lower-frame.js';
import { Local, type Values } from './values.js';
import type { FunctionType } from './wasm/module.js';
import { ValType, W } from './wasm/opcodes.js';

const CONDITION_TYPE: FunctionType = { params: ['i64', 'i64', 'i64', 'i64', 'i32'], results: ['i64'] };

const ORDER = { ltu: W.i64LtU, leu: W.i64LeU, lts: W.i64LtS, les: W.i64LeS } as const;

export class FlagsLowering {
  private readonly v: Values;

  constructor(private readonly f: Frame) {
    this.v = f.v;
  }

  /** The `cond` op: in line in its usual case. */
  condition(dst: number, imm: number): void {
    const { v } = this;
    const code = this.f.options.inlineCondition(imm);
    v.open(dst);
    if (code !== undefined) {
      v.get(FLAG_OP);
      v.i64(code.sizeBits, 0);
      v.op(W.i64ShrU);
      v.i64(code.kind, 0);
      v.op(code.test === 'zero' ? W.i64Ne : W.i64Eq);
      v.op(W.if);
      v.op(ValType.i64);
      this.usualCondition(code);
      v.op(W.else);
    }
    v.get(FLAG_OP);
    v.get(FLAG_RES);
    v.get(FLAG_SRC);
    v.get(FLAG_SRC2);
    v.i32(imm);
    v.op(W.call);
    v.code.uleb(this.f.module.importFunction('h', 'flagCondition', CONDITION_TYPE));
    if (code !== undefined) v.op(W.end);
    v.set(dst, true);
  }

  private usualCondition(code: ConditionCode): void {
    const { v } = this;
    // The operands' bits at the top, so that those above them go.
    v.i64(64, 0);
    v.i64(8, 0);
    v.get(FLAG_OP);
    v.i64((1 << code.sizeBits) - 1, 0);
    v.op(W.i64And);
    v.op(W.i64Shl);
    v.op(W.i64Sub);
    v.setLocal(Local.wide);
    const up = (): void => {
      v.getLocal(Local.wide);
      v.op(W.i64Shl);
    };
    if (code.test === 'zero') {
      v.get(FLAG_RES);
      up();
      v.op(W.i64Eqz);
    } else {
      v.get(FLAG_SRC);
      up();
      v.get(FLAG_SRC);
      v.get(FLAG_RES);
      v.op(W.i64Sub);
      up();
      v.op(ORDER[code.test]);
    }
    if (code.negated) v.op(W.i32Eqz);
    v.op(W.i64ExtendI32U);
  }

  /** The `flags` op but for the operation. */
  set(res: number, src: number): void {
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
}
