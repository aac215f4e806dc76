/**
 * What the translator knows of the lazy flags at a point of a block, and the conditions it can therefore test without
 * evaluating them.
 */
// hot path
import { type BlockBuilder, FLAG_RES, FLAG_SRC, type Slot, TEMP0 } from '../../ir/builder.js';
import { TEMP_COUNT } from '../../ir/layout.js';
import { CONDS, type Cond, OP, type OpName } from '../../ir/ops.js';
import { Cc, EFLAGS, FlagKind, type FlagKindName, flagOp } from './flags.js';

/** A condition ready for `if_*` or `set_*`. */
class Test {
  cond: Cond = 'ne';
  a: Slot = 0;
  /** A slot, or an immediate when `imm`. */
  b = 0;
  imm = true;
  is32 = false;
  set(cond: Cond, a: Slot, b: number, imm: boolean, is32: boolean): void {
    this.cond = cond;
    this.a = a;
    this.b = b;
    this.imm = imm;
    this.is32 = is32;
  }
}

const INVERSE = Object.fromEntries(
  CONDS.map((c, i) => {
    // eq ne, ltu geu, leu gtu, lts ges, les gts, tsteq tstne stand in pairs.
    return [c, CONDS[i ^ 1]];
  }),
) as Record<Cond, Cond>;

type TestSetter = (cond: Cond, a: Slot, value: number, imm: boolean, low: boolean) => void;

export class LazyFlags {
  /** The lazy flag operation in force when it is known here, else -1. */
  private known = -1;
  private readonly test = new Test();
  /** Index of the op after the last `flags`, and what a compare compared: slots, or slot and immediate. */
  private compareAt = -1;
  private compareA: Slot = 0;
  private compareB = 0;
  private compareImm = false;

  constructor(private readonly b: BlockBuilder) {}

  set(kind: FlagKindName, size: number, res: Slot, src: Slot): void {
    const op = flagOp(kind, size);
    this.b.flags(op, res, src);
    this.known = op;
    this.compareAt = -1;
  }
  /** The flags of a compare (kind `sub`) whose operands a following conditional may use directly. `b` a slot or immediate. */
  setCompare(size: number, res: Slot, a: Slot, b: number, imm: boolean): void {
    this.set('sub', size, res, a);
    this.compareAt = this.b.count;
    this.compareA = a;
    this.compareB = b;
    this.compareImm = imm;
  }
  /** CF = bit 0 of a slot; ZF stays, the others become undefined (BT and its kin). */
  setCarryKeepZero(bit: Slot): void {
    const known = this.known;
    if (known > 3) {
      const op = (FlagKind.carry << 2) | (known & 3);
      this.b.flags(op, FLAG_RES, bit);
      this.known = op;
      this.compareAt = -1;
    } else this.set('carry', 64, this.setCondition(Cc.ne, this.b.temp()), bit);
  }
  /** The flags may have been changed by other means (a helper, a conditional body): nothing is known of them now. */
  forget(): void {
    this.known = -1;
    this.compareAt = -1;
  }
  /** CF as 0 or 1. */
  carry(): Slot {
    const kind = this.known >> 2;
    if (this.known >= 0) {
      if (kind === FlagKind.logic || kind === FlagKind.popcnt) return this.b.movi(this.b.temp(), 0);
      if (kind === FlagKind.inc || kind === FlagKind.dec) return FLAG_SRC;
    }
    return this.setCondition(Cc.b, this.b.temp());
  }

  /** Has nothing been written to a slot since the last compare? */
  private unchanged(slot: Slot): boolean {
    const { words, count } = this.b;
    for (let n = this.compareAt; n < count; n++) {
      const word = words[n * 4] as number;
      if ((word & 0xffff) === OP.callf || word >>> 16 === slot) return false;
    }
    return true;
  }

  /** Fills `test` with condition `cc`, using what is known of the flags. */
  private condition(cc: number): Test {
    const t = this.test;
    const b = this.b;
    const invert = (cc & 1) === 1;
    const even = cc & 14;
    const known = this.known;
    const kind = known < 0 ? -1 : known >> 2;
    const size = known < 0 ? 0 : 8 << (known & 3);
    const is32 = size === 32;
    const small = size < 32;
    let found = false;
    const set = (cond: Cond, a: Slot, value: number, imm: boolean, low: boolean): void => {
      t.set(cond, a, value, imm, low);
      found = true;
    };
    if (kind === FlagKind.explicit) {
      const mask =
        even === Cc.o
          ? EFLAGS.of
          : even === Cc.b
            ? EFLAGS.cf
            : even === Cc.e
              ? EFLAGS.zf
              : even === Cc.be
                ? EFLAGS.cf | EFLAGS.zf
                : even === Cc.s
                  ? EFLAGS.sf
                  : even === Cc.p
                    ? EFLAGS.pf
                    : 0;
      if (mask !== 0) set('tstne', FLAG_RES, mask, true, true);
    } else if (kind > 0) {
      if (
        kind === FlagKind.sub &&
        (even === Cc.b || even === Cc.e || even === Cc.be || even === Cc.l || even === Cc.le)
      ) {
        const cond: Cond =
          even === Cc.b ? 'ltu' : even === Cc.e ? 'eq' : even === Cc.be ? 'leu' : even === Cc.l ? 'lts' : 'les';
        const compared = this.compareAt >= 0;
        const hasB = compared && (this.compareImm || (this.isLasting(this.compareB) && this.unchanged(this.compareB)));
        let a = compared && this.isLasting(this.compareA) && this.unchanged(this.compareA) ? this.compareA : FLAG_SRC;
        const signed = even === Cc.l || even === Cc.le;
        if (even === Cc.e && (small || !hasB)) this.zeroTest('eq', size, FLAG_RES, set);
        else if (hasB && this.compareImm) {
          const v = this.compareB;
          if (!small) set(cond, a, v, true, is32);
          else {
            a = signed ? this.sext(a, size) : this.zext(a, size);
            set(cond, a, signed ? (v << (32 - size)) >> (32 - size) : v & (size === 8 ? 0xff : 0xffff), true, true);
          }
        } else {
          let other = hasB ? this.compareB : b.dab('sub', b.temp(), FLAG_SRC, FLAG_RES);
          if (small) {
            a = signed ? this.sext(a, size) : this.zext(a, size);
            other = signed ? this.sext(other, size) : this.zext(other, size);
          }
          set(cond, a, other, false, size !== 64);
        }
      } else if (even === Cc.e) this.zeroTest('eq', size, FLAG_RES, set);
      else if (even === Cc.s && kind !== FlagKind.popcnt) this.signTest(size, FLAG_RES, set);
      else if (kind === FlagKind.logic) {
        if (even === Cc.l) this.signTest(size, FLAG_RES, set);
        else if (even === Cc.be) this.zeroTest('eq', size, FLAG_RES, set);
        else if (even === Cc.le) {
          const r = small ? this.sext(FLAG_RES, size) : FLAG_RES;
          set('les', r, 0, true, size !== 64);
        } else if (even === Cc.b || even === Cc.o) set('ne', b.movi(b.temp(), 0), 0, true, true);
      } else if (even === Cc.b) {
        switch (kind) {
          case FlagKind.add:
            if (small) set('ltu', this.zext(FLAG_RES, size), this.zext(FLAG_SRC, size), false, true);
            else set('ltu', FLAG_RES, FLAG_SRC, false, is32);
            break;
          case FlagKind.inc:
          case FlagKind.dec:
          case FlagKind.mul:
            set('ne', FLAG_SRC, 0, true, false);
            break;
          case FlagKind.carry:
          case FlagKind.shr:
            set('tstne', FLAG_SRC, 1, true, true);
            break;
          case FlagKind.shl:
            this.signTest(size, FLAG_SRC, set);
            break;
        }
      }
    }
    if (!found) {
      t.set('ne', b.cond(b.temp(), cc), 0, true, true);
      return t;
    }
    if (invert) t.cond = INVERSE[t.cond];
    return t;
  }
  private opAt(n: number): number {
    return this.b.words[n * 4] as number;
  }
  private sext(a: Slot, size: number): Slot {
    return this.b.da(size === 8 ? 'ext8s' : 'ext16s', this.b.temp(), a);
  }
  private zext(a: Slot, size: number): Slot {
    return this.b.da(size === 8 ? 'ext8u' : 'ext16u', this.b.temp(), a);
  }
  /** Outlives its guest instruction: not a temporary. */
  private isLasting(s: Slot): boolean {
    return s < TEMP0 || s >= TEMP0 + TEMP_COUNT;
  }
  private zeroTest(cond: 'eq', size: number, slot: Slot, set: TestSetter): void {
    if (size < 32) set('tsteq', slot, size === 8 ? 0xff : 0xffff, true, true);
    else set(cond, slot, 0, true, size === 32);
  }
  private signTest(size: number, slot: Slot, set: TestSetter): void {
    if (size < 32) set('tstne', slot, size === 8 ? 0x80 : 0x8000, true, true);
    else set('lts', slot, 0, true, size === 32);
  }

  /** Opens a body that runs when condition `cc` holds; close it with `b.endIf`. */
  ifCondition(cc: number): number {
    const t = this.condition(cc);
    return t.imm ? this.b.beginIfImm(t.cond, t.a, t.b, t.is32) : this.b.beginIf(t.cond, t.a, t.b, t.is32);
  }
  /** dst = 1 when condition `cc` holds, else 0. */
  setCondition(cc: number, dst: Slot): Slot {
    const at = this.b.count;
    const t = this.condition(cc);
    // An evaluated condition is 0 or 1 already.
    if (this.b.count > at && (this.opAt(at) & 0xffff) === OP.cond) {
      this.b.count = at;
      return this.b.cond(dst, cc);
    }
    const name = `set_${t.cond}${t.imm ? 'i' : ''}${t.is32 ? '32' : ''}` as OpName;
    this.b.emit(OP[name], dst, t.a, t.imm ? 0 : t.b, t.imm ? t.b : 0, 0);
    return dst;
  }
}
