/**
 * Floating point in line (ir/float-code.ts): the engine's operation, and a test that nothing but a masked and recorded exception
 * can have been raised: no operand is denormal, the result is finite and not so small that it may have been tiny before it
 * was rounded. The test is integer arithmetic on exponents whose sign bit says "no"; so one branch serves all of it.
 *
 * WebAssembly's results equal those of SSE bit for bit but for NaNs, which the test keeps out.
 */
// hot path
import type { FloatCode, FloatStatus } from '../ir/float-code.js';
import { V128_CONST } from '../ir/vector-code.js';
import { Local, type Values } from './values.js';
import { V, VOID, W } from './wasm/opcodes.js';

/** What differs between the two formats. */
const FORMATS = {
  64: {
    first: Local.double0,
    second: Local.double1,
    result: Local.double2,
    load: W.f64Load,
    extract: V.f64x2ExtractLane,
    replace: V.f64x2ReplaceLane,
    add: W.f64Add,
    sub: W.f64Sub,
    mul: W.f64Mul,
    div: W.f64Div,
    sqrt: W.f64Sqrt,
    equal: W.f64Eq,
    less: W.f64Lt,
    greater: W.f64Gt,
    nearest: W.f64Nearest,
    truncate: W.i64TruncF64S,
    /** Shift that leaves the exponent once the sign is gone, the largest exponent, the bias. */
    exponentShift: 53,
    infinite: 2047,
    bias: 1023,
  },
  32: {
    first: Local.single0,
    second: Local.single1,
    result: Local.single2,
    load: W.f32Load,
    extract: V.f32x4ExtractLane,
    replace: V.f32x4ReplaceLane,
    add: W.f32Add,
    sub: W.f32Sub,
    mul: W.f32Mul,
    div: W.f32Div,
    sqrt: W.f32Sqrt,
    equal: W.f32Eq,
    less: W.f32Lt,
    greater: W.f32Gt,
    nearest: W.f32Nearest,
    truncate: W.i64TruncF32S,
    exponentShift: 24,
    infinite: 255,
    bias: 127,
  },
} as const;

const PACKED = {
  64: {
    add: V.f64x2Add,
    sub: V.f64x2Sub,
    mul: V.f64x2Mul,
    div: V.f64x2Div,
    sqrt: V.f64x2Sqrt,
    min: V.f64x2Pmin,
    max: V.f64x2Pmax,
    relations: [0, V.f64x2Lt, V.f64x2Eq, V.f64x2Le, V.f64x2Gt, V.f64x2Ne, V.f64x2Ge, 0],
    shl: V.i64x2Shl,
    shr: V.i64x2ShrU,
    plus: V.i64x2Add,
    minus: V.i64x2Sub,
    bitmask: V.i64x2Bitmask,
    /** From the exponent of the sum of an infinity and one up to the sign. */
    toSign: 52,
  },
  32: {
    add: V.f32x4Add,
    sub: V.f32x4Sub,
    mul: V.f32x4Mul,
    div: V.f32x4Div,
    sqrt: V.f32x4Sqrt,
    min: V.f32x4Pmin,
    max: V.f32x4Pmax,
    relations: [0, V.f32x4Lt, V.f32x4Eq, V.f32x4Le, V.f32x4Gt, V.f32x4Ne, V.f32x4Ge, 0],
    shl: V.i32x4Shl,
    shr: V.i32x4ShrU,
    plus: V.i32x4Add,
    minus: V.i32x4Sub,
    bitmask: V.i32x4Bitmask,
    toSign: 23,
  },
} as const;

type Format = (typeof FORMATS)[64] | (typeof FORMATS)[32];

export class FloatLowering {
  constructor(
    private readonly v: Values,
    private readonly status: FloatStatus,
  ) {}

  /** Emits the usual case as the body of an `if` that is left open: the call of the helper is its `else`. */
  emit(code: FloatCode, dst: number, a: number, b: number): void {
    if (code.packed) this.packed(code, dst, a, b);
    else this.scalar(code, dst, a, b);
  }

  // --- pieces

  /** Pushes an i64 that is negative unless rounding and masks are the usual ones. */
  private pushStatusSign(): void {
    const { v, status } = this;
    v.i64(0, 0);
    v.pushState();
    v.state(W.i64Load32U, 2, status.offset);
    v.i64(status.mask, 0);
    v.op(W.i64And);
    v.i64(status.value, 0);
    v.op(W.i64Xor);
    v.op(W.i64Sub);
  }

  /** Pushes a number from the low lane of vector state. */
  private pushScalar(f: Format, slot: number): void {
    const { v } = this;
    const cell = v.cell(slot);
    if (cell !== 0) {
      v.getLocal(cell);
      v.simdLane(f.extract, (slot & 1) * (f === FORMATS[32] ? 2 : 1));
    } else {
      v.pushState();
      v.state(f.load, 0, slot * 8);
    }
  }

  /** Pushes twice a number's bits as i64, so that its sign is gone. */
  private pushMagnitude(f: Format, local: number): void {
    const { v } = this;
    v.getLocal(local);
    if (f === FORMATS[64]) {
      v.op(W.i64ReinterpretF64);
      v.i64(1, 0);
      v.op(W.i64Shl);
    } else {
      v.op(W.i32ReinterpretF32);
      v.i32(1);
      v.op(W.i32Shl);
      v.op(W.i64ExtendI32U);
    }
  }

  /** Pushes an i64 that is negative when the number is denormal (or the smallest normal one). */
  private pushDenormalSign(f: Format, local: number): void {
    const { v } = this;
    this.pushMagnitude(f, local);
    v.i64(-1, -1);
    v.op(W.i64Add);
    v.i64(f.exponentShift, 0);
    v.op(W.i64ShrU);
    v.i64(-1, -1);
    v.op(W.i64Add);
  }

  /** Pushes an i64 that is negative when the exponent is above `most`. */
  private pushAboveSign(f: Format, local: number, most: number): void {
    const { v } = this;
    v.i64(most, 0);
    this.pushMagnitude(f, local);
    v.i64(f.exponentShift, 0);
    v.op(W.i64ShrU);
    v.op(W.i64Sub);
  }

  /** Pushes an i64 that is negative when the number is infinite, a NaN, or its exponent is below 2. */
  private pushOutsideSign(f: Format, local: number): void {
    const { v } = this;
    this.pushMagnitude(f, local);
    v.i64(f.exponentShift, 0);
    v.op(W.i64ShrU);
    v.teeLocal(Local.lane);
    v.i64(-2, -1);
    v.op(W.i64Add);
    v.i64(f.infinite - 1, 0);
    v.getLocal(Local.lane);
    v.op(W.i64Sub);
    v.op(W.i64Or);
  }

  /** Opens the `if`: the usual case when the i64 on the stack is not negative. */
  private openUsual(): void {
    const { v } = this;
    v.i64(0, 0);
    v.op(W.i64GeS);
    v.likelyIf(VOID);
  }

  /** The number in `local` into the low lane of dst, the rest of which comes from `a`. */
  private storeScalar(code: FloatCode, f: Format, dst: number, a: number, local: number): void {
    const { v } = this;
    v.getVector(a);
    v.getLocal(local);
    v.simdLane(f.replace, 0);
    v.setVector(dst);
    this.clearUpper(code, dst);
  }

  private clearUpper(code: FloatCode, dst: number): void {
    if (!code.clearsUpper) return;
    this.zero();
    this.v.setVector(dst + 2);
  }

  private zero(): void {
    this.constant(0);
  }
  private ones(): void {
    this.constant(0xff);
  }
  private constant(byte: number): void {
    this.v.simd(V128_CONST);
    for (let i = 0; i < 16; i++) this.v.code.u8(byte);
  }

  // --- scalars

  private scalar(code: FloatCode, dst: number, a: number, b: number): void {
    const { v } = this;
    const f = FORMATS[code.bits];
    switch (code.operation) {
      case 'fromInteger':
        this.fromInteger(code, f, dst, a, b);
        return;
      case 'toInteger':
        this.toInteger(code, f, dst, b);
        return;
      case 'convert':
        this.convert(code, f, dst, a, b);
        return;
    }
    this.pushScalar(f, b);
    v.setLocal(f.second);
    if (code.operation !== 'sqrt') {
      this.pushScalar(f, a);
      v.setLocal(f.first);
    }
    switch (code.operation) {
      case 'min':
      case 'max':
      case 'mask':
      case 'compare':
        this.compared(code, f, dst, a);
        return;
    }
    if (code.operation !== 'sqrt') v.getLocal(f.first);
    v.getLocal(f.second);
    v.op(f[code.operation as 'add' | 'sub' | 'mul' | 'div' | 'sqrt']);
    v.setLocal(f.result);
    this.pushStatusSign();
    this.pushDenormalSign(f, f.second);
    v.op(W.i64Or);
    if (code.operation !== 'sqrt') {
      this.pushDenormalSign(f, f.first);
      v.op(W.i64Or);
    }
    // A sum that is denormal or zero is exact.
    if (code.operation === 'add' || code.operation === 'sub') this.pushAboveSign(f, f.result, f.infinite - 1);
    else this.pushOutsideSign(f, f.result);
    v.op(W.i64Or);
    this.openUsual();
    this.storeScalar(code, f, dst, a, f.result);
  }

  /** Operations that raise nothing for two numbers neither of which is denormal. */
  private compared(code: FloatCode, f: Format, dst: number, a: number): void {
    const { v } = this;
    this.pushDenormalSign(f, f.first);
    this.pushDenormalSign(f, f.second);
    v.op(W.i64Or);
    this.pushAboveSign(f, f.first, f.infinite - 1);
    v.op(W.i64Or);
    this.pushAboveSign(f, f.second, f.infinite - 1);
    v.op(W.i64Or);
    this.openUsual();
    if (code.operation === 'compare') {
      v.open(dst);
      let terms = 0;
      for (const [i, op] of [f.less, f.equal, f.greater].entries()) {
        const outcome = code.outcomes[i] as number;
        if (outcome === 0) continue;
        v.getLocal(f.first);
        v.getLocal(f.second);
        v.op(op);
        v.i32(31 - Math.clz32(outcome));
        v.op(W.i32Shl);
        if (terms++ > 0) v.op(W.i32Or);
      }
      v.set32(dst);
      return;
    }
    v.getLocal(f.first);
    v.getLocal(f.second);
    if (code.operation === 'mask') {
      const zeros = f === FORMATS[64] ? W.i64ExtendI32S : 0;
      this.relation(code.relations, f);
      // 0 or -1 in every bit of the lane.
      v.setLocal(Local.scratch);
      v.getVector(a);
      v.i32(0);
      v.getLocal(Local.scratch);
      v.op(W.i32Sub);
      if (zeros !== 0) v.op(zeros);
      v.simdLane(f === FORMATS[64] ? V.i64x2ReplaceLane : V.i32x4ReplaceLane, 0);
      v.setVector(dst);
      this.clearUpper(code, dst);
      return;
    }
    v.getLocal(f.first);
    v.getLocal(f.second);
    v.op(code.operation === 'min' ? f.less : f.greater);
    v.op(W.select);
    v.setLocal(f.result);
    this.storeScalar(code, f, dst, a, f.result);
  }

  /** Takes the two operands off the stack and pushes 1 when one of the relations holds between them. */
  private relation(relations: number, f: Format): void {
    const { v } = this;
    if (relations === 0 || relations === 7) {
      v.op(W.drop);
      v.op(W.drop);
      v.i32(relations === 7 ? 1 : 0);
      return;
    }
    // Of the relations exactly one holds.
    const single =
      relations === 1 || relations === 6 ? f.less : relations === 2 || relations === 5 ? f.equal : f.greater;
    v.op(single);
    if (relations === 6 || relations === 5 || relations === 3) v.op(W.i32Eqz);
  }

  private fromInteger(code: FloatCode, f: Format, dst: number, a: number, b: number): void {
    const { v } = this;
    // 32 bits fit a double exactly.
    if (code.bits === 64 && !code.long) {
      v.i32(1);
      v.likelyIf(VOID);
    } else {
      this.pushStatusSign();
      this.openUsual();
    }
    v.getVector(a);
    if (code.long) {
      v.get(b);
      v.op(code.bits === 64 ? W.f64ConvertI64S : W.f32ConvertI64S);
    } else {
      v.get32(b);
      v.op(code.bits === 64 ? W.f64ConvertI32S : W.f32ConvertI32S);
    }
    v.simdLane(f.replace, 0);
    v.setVector(dst);
    this.clearUpper(code, dst);
  }

  private toInteger(code: FloatCode, f: Format, dst: number, b: number): void {
    const { v } = this;
    this.pushScalar(f, b);
    if (!code.truncates) v.op(f.nearest);
    v.setLocal(f.second);
    this.pushStatusSign();
    // Below 2^31 or 2^63 in size.
    this.pushAboveSign(f, f.second, f.bias + (code.long ? 62 : 30));
    v.op(W.i64Or);
    this.openUsual();
    v.open(dst);
    v.getLocal(f.second);
    v.op(f.truncate);
    if (code.long) v.set(dst);
    else {
      v.op(W.i32WrapI64);
      v.set32(dst);
    }
  }

  private convert(code: FloatCode, f: Format, dst: number, a: number, b: number): void {
    const { v } = this;
    this.pushScalar(f, b);
    v.setLocal(f.second);
    const to = FORMATS[code.bits === 64 ? 32 : 64];
    v.getLocal(f.second);
    v.op(code.bits === 64 ? W.f32DemoteF64 : W.f64PromoteF32);
    v.setLocal(to.result);
    if (code.bits === 64) {
      this.pushStatusSign();
      this.pushOutsideSign(to, to.result);
      v.op(W.i64Or);
    } else {
      this.pushDenormalSign(f, f.second);
      this.pushAboveSign(f, f.second, f.infinite - 1);
      v.op(W.i64Or);
    }
    this.openUsual();
    this.storeScalar(code, to, dst, a, to.result);
  }

  // --- packed

  private packed(code: FloatCode, dst: number, a: number, b: number): void {
    const { v } = this;
    const p = PACKED[code.bits];
    const { operation } = code;
    if (operation === 'fromIntegers') {
      this.fromIntegers(code, dst, b);
      return;
    }
    const compares = operation === 'min' || operation === 'max' || operation === 'mask';
    const results = [Local.vector2, Local.vector3] as const;
    for (let part = 0; part < code.parts; part++) {
      const result = results[part] as number;
      v.getVector(b + part * 2);
      v.setLocal(Local.vector1);
      if (operation !== 'sqrt') {
        v.getVector(a + part * 2);
        v.setLocal(Local.vector0);
      }
      if (operation === 'mask' && (code.relations === 0 || code.relations === 7)) {
        if (code.relations === 0) this.zero();
        else this.ones();
      } else {
        // pmin(y, x) is y < x ? y : x the wrong way round for x86, whose second operand wins when they are equal.
        const swaps = operation === 'min' || operation === 'max';
        if (swaps) v.getLocal(Local.vector1);
        if (operation !== 'sqrt') v.getLocal(Local.vector0);
        if (!swaps) v.getLocal(Local.vector1);
        v.simd(operation === 'mask' ? (p.relations[code.relations] as number) : p[operation as 'add']);
      }
      v.setLocal(result);
      this.pushDenormalSigns(code.bits, Local.vector1);
      if (operation !== 'sqrt') {
        this.pushDenormalSigns(code.bits, Local.vector0);
        v.simd(V.or);
      }
      if (compares) {
        for (const local of [Local.vector0, Local.vector1]) {
          this.pushInfiniteSigns(code.bits, local);
          v.simd(V.or);
        }
      } else {
        this.pushInfiniteSigns(code.bits, result);
        v.simd(V.or);
        if (operation !== 'add' && operation !== 'sub') {
          this.pushSmallSigns(code.bits, result);
          v.simd(V.or);
        }
      }
      v.simd(p.bitmask);
      if (part > 0) v.op(W.i32Or);
    }
    if (!compares) {
      v.pushState();
      v.state(W.i32Load, 2, this.status.offset);
      v.i32(this.status.mask);
      v.op(W.i32And);
      v.i32(this.status.value);
      v.op(W.i32Xor);
      v.op(W.i32Or);
    }
    v.op(W.i32Eqz);
    v.likelyIf(VOID);
    for (let part = 0; part < code.parts; part++) {
      v.getLocal(results[part] as number);
      v.setVector(dst + part * 2);
    }
    this.clearUpper(code, dst);
  }

  private fromIntegers(code: FloatCode, dst: number, b: number): void {
    const { v } = this;
    if (code.bits === 64) v.i32(1);
    else {
      v.pushState();
      v.state(W.i32Load, 2, this.status.offset);
      v.i32(this.status.mask);
      v.op(W.i32And);
      v.i32(this.status.value);
      v.op(W.i32Eq);
    }
    v.likelyIf(VOID);
    for (let part = 0; part < code.parts; part++) {
      v.getVector(b + part * 2);
      v.simd(code.bits === 64 ? V.f64x2ConvertLowI32x4S : V.f32x4ConvertI32x4S);
      v.setVector(dst + part * 2);
    }
    this.clearUpper(code, dst);
  }

  /** Pushes the exponents of all lanes; `lessOne`: of twice the bits less one. */
  private pushExponents(bits: 32 | 64, local: number, lessOne: boolean): void {
    const { v } = this;
    const p = PACKED[bits];
    v.getLocal(local);
    v.i32(1);
    v.simd(p.shl);
    if (lessOne) {
      this.ones();
      v.simd(p.plus);
    }
    v.i32(FORMATS[bits].exponentShift);
    v.simd(p.shr);
  }
  private pushDenormalSigns(bits: 32 | 64, local: number): void {
    this.pushExponents(bits, local, true);
    this.ones();
    this.v.simd(PACKED[bits].plus);
  }
  /** Negative lanes where the number is infinite or a NaN: its exponent and one reach the next bit. */
  private pushInfiniteSigns(bits: 32 | 64, local: number): void {
    const { v } = this;
    const p = PACKED[bits];
    this.pushExponents(bits, local, false);
    this.ones();
    v.simd(p.minus);
    v.i32(p.toSign);
    v.simd(p.shl);
  }
  private pushSmallSigns(bits: 32 | 64, local: number): void {
    const { v } = this;
    this.pushExponents(bits, local, false);
    for (let i = 0; i < 2; i++) {
      this.ones();
      v.simd(PACKED[bits].plus);
    }
  }
}
