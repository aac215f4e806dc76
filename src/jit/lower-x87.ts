/**
 * x87 instructions in line (ir/x87-code.ts). TOP is not known at compile time, but what instructions do to it is: along a path,
 * registers are numbered from where TOP was when the path first met one. What a path has loaded or computed is in locals, and
 * moves between registers cost nothing; memory gets it (`flush`) where paths meet, and on every way out.
 *
 * Every instruction tests its usual case with one branch; otherwise its helper runs on the state in memory, and if that has not
 * done to stack and tags what was foreseen (a stack fault), the region is left.
 */
// hot path
import { X87_USUAL, type X87Code, type X87Format, type X87Precision, type X87State } from '../ir/x87-code.js';
import { emitFormula, type Formula } from './formula.js';
import { type Frame, RegionExit } from './lower-frame.js';
import type { HelperCalls } from './lower-helpers.js';
import type { FunctionType } from './wasm/module.js';
import { VOID, W } from './wasm/opcodes.js';
import {
  ARITHMETIC,
  COMPARE,
  CONDITIONS,
  INEXACT,
  NARROW,
  NEGATE_A,
  NEGATE_B,
  PUSH_FLAGS,
  PUSH_STATUS,
  PUSH_TAGS,
  RESUME,
  ROTATE_TAGS,
  STATUS,
  WIDEN,
  X87_LOCALS,
} from './x87-formulas.js';
import { bit, type Known, NOTHING, type Plan, planOf, REGISTERS } from './x87-plan.js';

/** Behind the formulas' locals: significands, signs with exponents, and addresses (less the state's offset) of registers. */
const SIGNIFICAND = X87_LOCALS.length;
const EXPONENT = SIGNIFICAND + 8;
const ADDRESS = EXPONENT + 8;
const LOCALS = ADDRESS + 8;

const number = (name: (typeof X87_LOCALS)[number]): number => X87_LOCALS.indexOf(name);
const N = {
  base: number('base'),
  tags: number('tags'),
  fsw: number('fsw'),
  inexact: number('inexact'),
  c1: number('c1'),
  bad: number('bad'),
  check: number('check'),
  x: number('x'),
  ma: number('ma'),
  sa: number('sa'),
  mb: number('mb'),
  sb: number('sb'),
  m: number('m'),
  se: number('se'),
  t: number('t'),
} as const;

type Format = Exclude<X87Format, 'none'>;

const STORE_TYPE: FunctionType = { params: ['i32', 'i64', 'i64', 'i64', 'i64', 'i64', 'i32', 'i32'], results: [] };
const RESUME_TYPE: FunctionType = { params: ['i32', 'i64', 'i32', 'i32', 'i32'], results: ['i64'] };

/** An instruction's place, for the way out behind it. */
export interface X87Place {
  readonly block: number;
  readonly op: number;
  readonly dst: number;
  readonly a: number;
  readonly b: number;
  readonly imm: number;
  readonly aux: number;
}

export class X87Lowering {
  private known: Known = { ...NOTHING };
  private first = 0;
  private precision: X87Precision = 64;

  constructor(
    private readonly f: Frame,
    private readonly helpers: HelperCalls,
    private readonly state: X87State,
  ) {}

  /** Takes the locals for a region; before the first `takeBase`. Results are rounded to `precision` bits. */
  begin(precision: X87Precision): void {
    const { v } = this.f;
    this.precision = precision;
    this.first = v.takeWide();
    for (let i = 1; i < LOCALS; i++) v.takeWide();
    this.forget();
  }

  /** Nothing is known (and nothing is newer than memory): other paths lead here, or something else works on the state. */
  forget(): void {
    this.known = { ...NOTHING };
  }
  /** Before code that may not run: what `restore` takes. */
  save(): Known {
    return { ...this.known };
  }
  /** The code since `saved` never continues here. */
  restore(saved: Known): void {
    this.known = saved;
  }
  /** The code since `saved` may have run. */
  join(saved: Known): void {
    for (const field of Object.keys(saved) as (keyof Known)[])
      if (saved[field] !== this.known[field]) {
        this.forget();
        return;
      }
  }

  /** Memory is older than what the path knows. */
  get pending(): boolean {
    const { known } = this;
    return known.opcode >= 0;
  }

  /** Brings memory up to date, for good. */
  flush(): void {
    if (!this.pending) return;
    this.storeInLine();
    this.pushChangedTags(this.known.retagged);
    this.set(N.tags);
    const { known } = this;
    known.topInMemory = known.top;
    known.dirty = known.retagged = 0;
    known.status = false;
    known.opcode = -1;
    known.code = true;
    known.dataInMemory = known.data;
  }

  /** Brings memory up to date on a way out: the path goes on without that. */
  store(): void {
    const { f, known } = this;
    const { v } = f;
    if (!this.pending) return;
    this.storeRegisters();
    v.pushCpu();
    for (const local of [N.base, N.tags, N.fsw, N.inexact, N.c1]) this.get(local);
    const top = known.top | (known.top !== known.topInMemory ? 8 : 0);
    const words = (known.status ? 0x1000 : 0) | (known.code ? 0 : 0x2000);
    v.i32(top | (known.retagged << 4) | words | (known.opcode << 16));
    v.i32(known.data !== known.dataInMemory ? known.data : 0);
    v.op(W.call);
    v.code.uleb(f.module.importFunction('h', 'x87Store', STORE_TYPE));
  }

  private storeInLine(): void {
    const { f, known, state } = this;
    const { v } = f;
    this.storeRegisters();
    if (known.retagged !== 0) this.storeTags(known.retagged);
    if (known.top !== known.topInMemory) this.storeField(state.top, () => this.pushPhysical(known.top));
    if (known.status) this.storeField(state.status, () => this.formula(PUSH_STATUS));
    this.storeField(state.opcode, () => v.i64(known.opcode, 0));
    if (!known.code) this.storeField(state.lastCodeSelector, () => this.load(state.codeSelector));
    if (known.data !== known.dataInMemory) this.storeField(state.lastDataSelector, () => this.load(known.data));
  }

  private storeRegisters(): void {
    for (let r = 0; r < REGISTERS; r++) if ((this.known.dirty & bit(r)) !== 0) this.storeRegister(r);
  }

  emit(code: X87Code, place: X87Place): void {
    const { f } = this;
    const { v } = f;
    v.materialiseTemps();
    this.track();
    const plan = planOf(code, this.known);
    for (const r of [plan.source, plan.second, ...plan.written]) if (r >= 0) this.locate(r);
    for (const r of [plan.source, plan.second]) if (r >= 0) this.fetch(r);

    this.get(N.bad);
    this.orTagSigns(plan);
    this.set(N.check);
    this.compute(code, place.b, plan);
    this.get(N.check);
    v.i64(0, 0);
    v.op(W.i64GeS);
    v.likelyIf(VOID);
    f.depth++;
    this.commit(code, place.dst, plan);
    this.fill(plan.filled);
    v.op(W.else);
    this.call(place, plan);
    v.op(W.end);
    f.depth--;
    this.advance(code, plan);
  }

  /** What is known behind an instruction, whichever way it went. */
  private advance(code: X87Code, plan: Plan): void {
    const { known } = this;
    known.top = plan.top;
    known.full = plan.full;
    known.empty = plan.empty;
    known.retagged ^= plan.retagged;
    known.status = true;
    known.opcode = code.opcode;
    if (code.selector !== 0) known.data = code.selector;
    for (const r of plan.written) {
      known.cached |= bit(r);
      known.dirty |= bit(r);
    }
  }

  // --- emission of small things

  private get(local: number): void {
    this.f.v.getLocal(this.first + local);
  }
  private set(local: number): void {
    this.f.v.setLocal(this.first + local);
  }
  private formula(code: Formula): void {
    emitFormula(this.f.v, code, this.first);
  }
  private copy(to: number, from: number): void {
    this.get(from);
    this.set(to);
  }
  private load(field: number): void {
    this.f.v.pushState();
    this.f.v.state(W.i64Load32U, 2, field);
  }
  /** Pushes (base + r) & 7. */
  private pushPhysical(r: number): void {
    const { v } = this.f;
    this.get(N.base);
    v.i64(r, 0);
    v.op(W.i64Add);
    v.i64(REGISTERS - 1, 0);
    v.op(W.i64And);
  }
  /** Memory gets the tags, with some changed. */
  private storeTags(changed: number): void {
    this.pushChangedTags(changed);
    this.set(N.x);
    this.storeField(this.state.tags, () => this.formula(PUSH_TAGS));
  }
  private pushChangedTags(changed: number): void {
    const { v } = this.f;
    this.get(N.tags);
    if (changed === 0) return;
    v.i64(changed, 0);
    v.op(W.i64Xor);
  }
  private storeField(field: number, push: () => void): void {
    const { v } = this.f;
    v.pushState();
    push();
    v.state(W.i64Store32, 2, field);
  }

  // --- tracking

  /** Begins to track: what every instruction reads. */
  private track(): void {
    const { known } = this;
    if (known.valid) return;
    known.valid = true;
    this.load(this.state.top);
    this.set(N.base);
    this.loadTags();
    this.loadStatus();
  }
  private loadTags(): void {
    this.load(this.state.tags);
    this.set(N.t);
    this.formula(ROTATE_TAGS);
  }
  /** Loads the status word, and tests whether control and status are the usual. */
  private loadStatus(): void {
    const { v } = this.f;
    this.load(this.state.status);
    this.set(N.fsw);
    this.load(this.state.control);
    v.i64(X87_USUAL.mask, 0);
    v.op(W.i64And);
    v.i64(X87_USUAL.value[this.precision], 0);
    v.op(W.i64Xor);
    this.set(N.t);
    this.formula(STATUS);
  }

  /** Makes a register's address known. */
  private locate(r: number): void {
    const { v } = this.f;
    if ((this.known.addressed & bit(r)) !== 0) return;
    this.known.addressed |= bit(r);
    this.pushPhysical(r);
    v.i64(4, 0);
    v.op(W.i64Shl);
    v.pushCpu();
    v.op(W.i64ExtendI32U);
    v.op(W.i64Add);
    this.set(ADDRESS + r);
  }
  private pushAddress(r: number): void {
    this.get(ADDRESS + r);
    this.f.v.op(W.i32WrapI64);
  }

  /** Makes the locals of a register hold it. */
  private fetch(r: number): void {
    if ((this.known.cached & bit(r)) !== 0) return;
    this.known.cached |= bit(r);
    this.loadRegister(r);
  }
  private loadRegister(r: number): void {
    const { v } = this.f;
    this.pushAddress(r);
    v.memory(W.i64Load, 3, this.state.registers);
    this.set(SIGNIFICAND + r);
    this.pushAddress(r);
    v.memory(W.i64Load16U, 1, this.state.registers + 8);
    this.set(EXPONENT + r);
  }
  /** Brings memory up to date with the locals of a register. */
  private storeRegister(r: number): void {
    const { v } = this.f;
    this.pushAddress(r);
    this.get(SIGNIFICAND + r);
    v.memory(W.i64Store, 3, this.state.registers);
    this.pushAddress(r);
    this.get(EXPONENT + r);
    v.memory(W.i64Store16, 1, this.state.registers + 8);
  }

  /** Ors signs of "one that has to be full is empty", "one that has to be empty is full" into the i64 on the stack. */
  private orTagSigns({ needsFull, needsEmpty }: Plan): void {
    const { v } = this.f;
    const { known } = this;
    // A copy of ST(7) goes to itself.
    if (((needsFull & (known.empty | needsEmpty)) | (needsEmpty & known.full)) !== 0) {
      v.i64(-1, -1);
      v.op(W.i64Or);
    }
    const full = needsFull & ~known.full;
    const empty = needsEmpty & ~known.empty;
    if ((full | empty) === 0) return;
    v.i64(0, 0);
    this.get(N.tags);
    v.i64(full | empty, 0);
    v.op(W.i64And);
    v.i64(empty, 0);
    v.op(W.i64Xor);
    v.op(W.i64Sub);
    v.op(W.i64Or);
  }

  // --- the usual case

  /** m, se := the sum, difference or product of ST(0) (a) and the operand (b). */
  private arithmetic(code: X87Code, slot: number, { source, second }: Plan): void {
    const memory = code.memory !== 'none';
    if (memory) this.widen(code.memory as Format, slot, false);
    else {
      this.copy(N.mb, SIGNIFICAND + second);
      this.copy(N.sb, EXPONENT + second);
    }
    this.copy(N.ma, SIGNIFICAND + source);
    this.copy(N.sa, EXPONENT + source);
    if (code.operation === 'sub') this.formula(code.toOther === code.reversed ? NEGATE_B : NEGATE_A);
    const [registers, withMemory] = ARITHMETIC[this.precision][code.operation === 'mul' ? 'mul' : 'add'];
    this.formula(memory ? withMemory : registers);
  }

  private widen(format: Format, slot: number, zero: boolean): void {
    this.f.v.get(slot);
    this.set(N.x);
    this.formula(zero ? WIDEN[format].any : WIDEN[format].number);
  }

  /** What can be said before it is known whether the case is the usual one; changes no local that a register lives in. */
  private compute(code: X87Code, slot: number, plan: Plan): void {
    const { v } = this.f;
    const { source, second } = plan;
    switch (code.operation) {
      case 'add':
      case 'sub':
      case 'mul':
        this.arithmetic(code, slot, plan);
        break;
      case 'div':
      case 'sqrt':
        v.i64(-1, -1);
        this.set(N.check);
        break;
      case 'compare':
        if (code.memory === 'none') {
          this.copy(N.mb, SIGNIFICAND + second);
          this.copy(N.sb, EXPONENT + second);
        } else this.widen(code.memory, slot, true);
        this.copy(N.ma, SIGNIFICAND + source);
        this.copy(N.sa, EXPONENT + source);
        this.formula(COMPARE);
        break;
      case 'load':
        this.widen(code.memory as Format, slot, true);
        break;
      case 'store':
        this.copy(N.ma, SIGNIFICAND + source);
        this.copy(N.sa, EXPONENT + source);
        this.formula(NARROW[code.memory as 'f32' | 'f64']);
        break;
    }
  }

  private commit(code: X87Code, dst: number, plan: Plan): void {
    const { v } = this.f;
    const { source, second } = plan;
    const to = plan.written[0] as number;
    switch (code.operation) {
      case 'add':
      case 'sub':
      case 'mul':
        this.formula(INEXACT);
        this.assign(to, N.m, N.se);
        return;
      case 'store':
        this.formula(INEXACT);
        v.open(dst);
        this.get(N.x);
        v.set(dst, code.memory === 'f32');
        return;
      case 'compare':
        if (code.toSlot) {
          v.open(dst);
          this.formula(PUSH_FLAGS);
          v.set(dst, true);
          return;
        }
        this.formula(CONDITIONS);
        break;
      case 'load':
        this.assign(to, N.mb, N.sb);
        break;
      case 'constant':
        v.i64(0, code.significandHigh);
        this.set(SIGNIFICAND + to);
        v.i64(code.signExponent, 0);
        this.set(EXPONENT + to);
        break;
      case 'copy':
      case 'assign':
        this.assign(to, SIGNIFICAND + source, EXPONENT + source);
        break;
      case 'exchange':
        for (const part of [SIGNIFICAND, EXPONENT]) {
          this.get(part + source);
          this.get(part + second);
          this.set(part + source);
          this.set(part + second);
        }
        break;
      case 'abs':
      case 'negate':
        this.get(EXPONENT + to);
        v.i64(code.operation === 'abs' ? 0x7fff : 0x8000, 0);
        v.op(code.operation === 'abs' ? W.i64And : W.i64Xor);
        this.set(EXPONENT + to);
        break;
    }
    v.i64(0, 0);
    this.set(N.c1);
  }

  /** Register := two locals. */
  private assign(to: number, significand: number, exponent: number): void {
    this.copy(SIGNIFICAND + to, significand);
    this.copy(EXPONENT + to, exponent);
  }

  /** Registers that were full or empty, nobody knows, are full now: at once, in memory, too. */
  private fill(registers: number): void {
    if (registers === 0) return;
    this.get(N.tags);
    this.f.v.i64(~registers, -1);
    this.f.v.op(W.i64And);
    this.set(N.tags);
    this.storeTags(0);
  }

  // --- all other cases

  /** The helper works on memory; then TOP and tags are put back to what the path believes to be there. */
  private call(place: X87Place, plan: Plan): void {
    const { f, known } = this;
    const { v } = f;
    this.store();
    this.helpers.faultingX87Call(place.block, place.dst, place.a, place.b, place.imm, place.aux);
    const { region } = f;
    const page = region.page[place.block] as number;
    const offset = region.offset[place.block] as number;
    v.i64(f.exitValue(RegionExit.side, place.op + 1, page, offset), region.blocks[place.block] as number);
    v.pushCpu();
    this.get(N.base);
    const tops = plan.top | (known.topInMemory << 3);
    const believed = known.retagged ^ plan.retagged;
    v.i32(tops | ((plan.full | plan.empty) << 8) | (plan.empty << 16) | (believed << 24));
    v.i32(X87_USUAL.mask);
    v.i32(X87_USUAL.value[this.precision]);
    v.op(W.call);
    v.code.uleb(f.module.importFunction('h', 'x87Resume', RESUME_TYPE));
    v.teeLocal(this.first + N.t);
    v.i64(0, 0);
    v.op(W.i64LtS);
    v.unlikelyBranch(f.depth - f.sideLabel);
    v.op(W.drop);
    this.formula(RESUME);
    for (const r of plan.written) this.loadRegister(r);
  }
}
