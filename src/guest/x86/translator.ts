/**
 * What instruction rows write their meaning against: operands, addresses, stack, flags, conditions and jumps as IR.
 *
 * Values are slots. A general register's slot is the register itself, so its upper bits are whatever is there: `read` gives
 * a value whose bits above the operand size are undefined, `readZ` zero-extends, `readS` sign-extends to 64 bits. Loads from
 * memory are always zero-extended.
 *
 * A guest instruction may be started again after a fault: write registers and flags only after the last op that may fault.
 */
// hot path
import { BlockBuilder, FLAG_SRC2, PC, type Slot } from '../../ir/builder.js';
import { GotoKind, JumpKind, type OpName, PcMask } from '../../ir/ops.js';
import { type Form, Insn, Seg } from './decode.js';
import { CC_ALL, type FlagKindName } from './flags.js';
import { helper } from './helpers/index.js';
import { LazyFlags } from './lazy-flags.js';
import { GPR, Mode, SEG, X86 } from './state.js';

const at = (field: string): number => {
  const offset = X86.at[field];
  if (offset === undefined) throw new Error(`no field ${field}`);
  return offset;
};

/** Slot of general register 0 (RAX). */
export const GPR0: Slot = at(GPR[0]) / 8;
export const RAX = GPR0;
export const RCX = GPR0 + 1;
export const RDX = GPR0 + 2;
export const RBX = GPR0 + 3;
export const RSP = GPR0 + 4;
export const RBP = GPR0 + 5;
export const RSI = GPR0 + 6;
export const RDI = GPR0 + 7;
/** Slot of the direction: 1 or -1. */
export const DF: Slot = at('df') / 8;
const SEG_BASE: readonly Slot[] = SEG.map((s) => at(`${s}Base`) / 8);
const SEG_SELECTOR: readonly number[] = SEG.map((s) => at(`${s}Selector`));
const ZMM0: Slot = at('zmm') / 8;
const VTEMP0: Slot = at('vtemp') / 8;
const FPR0: Slot = at('fpr') / 8;

const LOAD: Readonly<Record<number, OpName>> = { 8: 'ld8u', 16: 'ld16u', 32: 'ld32u', 64: 'ld64' };
const LOAD_SIGNED: Readonly<Record<number, OpName>> = { 8: 'ld8s', 16: 'ld16s', 32: 'ld32s', 64: 'ld64' };
const LOAD_TO_MODIFY: Readonly<Record<number, OpName>> = { 8: 'ldm8', 16: 'ldm16', 32: 'ldm32', 64: 'ldm64' };
const STORE: Readonly<Record<number, OpName>> = { 8: 'st8', 16: 'st16', 32: 'st32', 64: 'st64' };

/** Exception vectors. */
export const Vector = {
  de: 0,
  db: 1,
  bp: 3,
  of: 4,
  br: 5,
  ud: 6,
  nm: 7,
  np: 11,
  ss: 12,
  gp: 13,
  pf: 14,
  mf: 16,
} as const;

/** Modes in which a block holds one instruction and always goes back to the run loop. */
export const ONE_INSTRUCTION = Mode.trap | Mode.inhibit | Mode.breakpoints | Mode.single;

export class Translator {
  /** The builder; rows may use it freely for what the methods below do not cover. */
  readonly b: BlockBuilder;
  /** The instruction being translated. */
  readonly i = new Insn();
  /** Mode bits of the block. */
  mode = 0;
  /** 64-bit mode. */
  long = false;
  /** Set once a terminator was emitted. */
  ended = false;
  private readonly lazy: LazyFlags;
  /** The memory operand's address once computed: slot and displacement. */
  private memSlot = -1;
  private memDisp = 0;

  /** `isIntel`: is the CPU model one of Intel's (vendor.ts)? `words`: where the builder's ops are to be. */
  constructor(
    private readonly hasFeature: (name: string) => boolean,
    readonly isIntel: () => boolean,
    words?: Int32Array,
  ) {
    this.b = new BlockBuilder(words);
    this.lazy = new LazyFlags(this.b);
  }

  /** Starts a block. */
  beginBlock(mode: number): void {
    this.b.reset();
    this.mode = mode;
    this.long = (mode & Mode.cs64) !== 0;
    this.ended = false;
    this.lazy.forget();
  }

  /** Translates the decoded instruction: the checks every instruction has, then its row's meaning. */
  instruction(form: Form): void {
    const i = this.i;
    this.memSlot = -1;
    if ((i.lock && !(form.encoding.lock && i.mod !== 3)) || (form.feature !== '' && !this.feature(form.feature)))
      this.raise(Vector.ud);
    else if (form.unit === 'none' || this.unitCheck(form.unit)) form.meaning(this, i);
  }

  // ---------------------------------------------------------------- features and units

  /** Does the CPU model have all of these features (`a,b`)? */
  feature(names: string): boolean {
    let has = this.features.get(names);
    if (has === undefined) {
      has = names.split(',').every((name) => this.hasFeature(name));
      this.features.set(names, has);
    }
    return has;
  }
  private readonly features = new Map<string, boolean>();

  /** Is the unit enabled? If not raises #UD or #NM and returns false. Pending x87 exceptions are the helpers' affair. */
  unitCheck(unit: Form['unit']): boolean {
    const m = this.mode;
    if (unit === 'fpu') {
      if ((m & (Mode.em | Mode.ts)) === 0) return true;
      this.raise(Vector.nm);
      return false;
    }
    const off =
      unit === 'avx' ? (m & Mode.avx) === 0 : (m & Mode.em) !== 0 || (unit === 'sse' && (m & Mode.osfxsr) === 0);
    if (off) this.raise(Vector.ud);
    else if ((m & Mode.ts) !== 0) this.raise(Vector.nm);
    else return true;
    return false;
  }

  /** #UD unless in protected mode (not virtual-8086): returns false then. */
  needProtected(): boolean {
    if ((this.mode & (Mode.protected | Mode.vm86)) === Mode.protected) return true;
    this.raise(Vector.ud);
    return false;
  }

  // ---------------------------------------------------------------- helpers

  /** Calls a helper by name. `a` and `b` are slots (any slot where the helper ignores them). */
  call(name: string, dst: Slot, a: Slot = 0, b: Slot = 0, imm = 0): Slot {
    const h = helperOf(name);
    this.b.call(h.kind, h.id, dst, a, b, imm);
    if (h.kind === 'callf') this.flagsClobbered();
    return dst;
  }

  /** Calls a helper for its effect. */
  callVoid(name: string, a: Slot = 0, b: Slot = 0, imm = 0): void {
    this.call(name, this.b.temp(), a, b, imm);
  }

  /** Calls a helper that may change pc, mode or pending requests, and ends the block there. */
  callLeave(name: string, a: Slot = 0, b: Slot = 0, imm = 0): void {
    this.storeNextPc();
    this.callVoid(name, a, b, imm);
    this.leave();
  }

  /** A fault at this instruction. Ends the block. */
  raise(vector: number, code = -1): void {
    this.raiseHere(vector, code);
    this.ended = true;
  }
  /** The same inside a conditional body. */
  raiseHere(vector: number, code = -1): void {
    const a = this.b.temp();
    if (code >= 0) this.b.movi(a, code);
    this.b.call('callf', helperOf('raise').id, a, a, a, vector | (code >= 0 ? 256 : 0));
    this.b.leave();
  }

  // ---------------------------------------------------------------- registers

  /** Slot of general register `n`. */
  gpr(n: number): Slot {
    return GPR0 + n;
  }
  /** Slot of a segment's base. */
  segBase(n: number): Slot {
    return SEG_BASE[n] as Slot;
  }
  /** dst = selector of a segment register. */
  selector(n: number, dst: Slot = this.b.temp()): Slot {
    return this.b.envLoad(dst, 32, SEG_SELECTOR[n] as number);
  }
  /** Slot of vector register `n` (XMM in bytes 0..15, YMM in 0..31). */
  xmm(n: number): Slot {
    return ZMM0 + n * 8;
  }
  /** Slot of scratch vector `n` (0..7, 64 bytes each). */
  vtemp(n: number): Slot {
    return VTEMP0 + n * 8;
  }
  /** Slot of MMX register `n` (the significand of physical x87 register n); its sign and exponent are the slot after. */
  mm(n: number): Slot {
    return FPR0 + (n & 7) * 2;
  }
  /** True when register number `n` at size 8 means AH, CH, DH or BH. */
  private highByte(n: number): boolean {
    return n >= 4 && n < 8 && this.i.rex === 0;
  }

  /** A register's value; bits above `size` are undefined. */
  reg(n: number, size: number): Slot {
    if (size === 8 && this.highByte(n)) return this.b.da('ext8h', this.b.temp(), GPR0 + n - 4);
    return GPR0 + n;
  }
  /** A register's value, zero-extended. */
  regZ(n: number, size: number): Slot {
    if (size === 8 && this.highByte(n)) return this.b.da('ext8h', this.b.temp(), GPR0 + n - 4);
    return this.zext(GPR0 + n, size);
  }
  /** Writes the low `size` bits of a slot to a register (32: the upper half becomes zero). */
  setReg(n: number, size: number, value: Slot): void {
    const r = GPR0 + n;
    if (size === 64) this.b.mov(r, value);
    else if (size === 32) this.b.da('ext32u', r, value);
    else if (size === 16) this.b.dab('dep16', r, r, value);
    else if (this.highByte(n)) this.b.dab('dep8h', GPR0 + n - 4, GPR0 + n - 4, value);
    else this.b.dab('dep8', r, r, value);
  }
  zext(value: Slot, size: number, dst: Slot = this.b.temp()): Slot {
    if (size === 64) return value;
    return this.b.da(size === 8 ? 'ext8u' : size === 16 ? 'ext16u' : 'ext32u', dst, value);
  }
  sext(value: Slot, size: number, dst: Slot = this.b.temp()): Slot {
    if (size === 64) return value;
    return this.b.da(size === 8 ? 'ext8s' : size === 16 ? 'ext16s' : 'ext32s', dst, value);
  }
  /** A constant in a temporary. */
  constant(low: number, high: number = low >> 31): Slot {
    return this.b.movi(this.b.temp(), low, high);
  }

  // ---------------------------------------------------------------- addresses

  /** Segment of the memory operand: override, else SS for rBP/rSP bases, else DS. */
  segment(): number {
    const i = this.i;
    if (i.seg >= 0) return i.seg;
    if (i.addrSize === 16) return i.base === 5 ? Seg.ss : Seg.ds;
    return i.base === 4 || i.base === 5 ? Seg.ss : Seg.ds;
  }

  /** May the base of `seg` be other than zero here? */
  private hasBase(seg: number): boolean {
    if (seg >= Seg.fs) return true;
    if (this.long) return false;
    return seg === Seg.cs ? (this.mode & Mode.csBase) !== 0 : (this.mode & Mode.addSeg) !== 0;
  }

  /**
   * Effective address of the memory operand (no segment base), cut to the address size, and to 32 bits unless `wide`.
   * The result is `dst`, or a register that holds it already.
   */
  effective(dst: Slot = this.b.temp(), wide = this.i.addrSize === 64): Slot {
    const b = this.b;
    const i = this.i;
    if (i.ripRelative) return b.pcrel(dst, i.end + i.disp, wide ? PcMask.m64 : PcMask.m32);
    if (i.addrSize === 16) {
      if (i.base < 0) return b.movi(dst, i.disp & 0xffff);
      if (i.index < 0 && i.disp === 0) return b.da('ext16u', dst, GPR0 + i.base);
      if (i.index < 0) b.dai('addi32', dst, GPR0 + i.base, i.disp);
      else b.lea(dst, GPR0 + i.base, GPR0 + i.index, 0, i.disp, false);
      return b.da('ext16u', dst, dst);
    }
    if (i.base < 0 && i.index < 0) return b.movi(dst, i.disp, wide ? i.disp >> 31 : 0);
    if (i.index < 0) {
      if (i.disp === 0) return wide ? GPR0 + i.base : b.da('ext32u', dst, GPR0 + i.base);
      return b.dai(wide ? 'addi' : 'addi32', dst, GPR0 + i.base, i.disp);
    }
    if (i.base < 0) {
      b.dai(wide ? 'shli' : 'shli32', dst, GPR0 + i.index, i.scale);
      return i.disp === 0 ? dst : b.dai(wide ? 'addi' : 'addi32', dst, dst, i.disp);
    }
    return b.lea(dst, GPR0 + i.base, GPR0 + i.index, i.scale, i.disp, wide);
  }

  /** Adds a segment's base to an effective address and checks its limit for `bytes` at it. */
  linear(seg: number, ea: Slot, bytes: number, write: boolean): Slot {
    const b = this.b;
    if (!this.long && (this.mode & Mode.limits) !== 0) this.limitCheck(seg, ea, bytes, write);
    if (!this.hasBase(seg)) return ea;
    return b.dab(this.long ? 'add' : 'add32', b.temp(), ea, SEG_BASE[seg] as Slot);
  }

  /** Emits the segment's rights and limit check. */
  limitCheck(seg: number, ea: Slot, bytes: number, write: boolean): void {
    this.b.call('callf', helperOf('checkSegment').id, this.b.temp(), ea, ea, seg | (write ? 8 : 0) | (bytes << 4));
  }

  /** What alignment checking asks of an operand by its size: AMD's processors of any, Intel's of at most 8 bytes. */
  private naturalAlignment(bytes: number): number {
    if ((bytes & (bytes - 1)) !== 0) return 1;
    return bytes <= 8 ? bytes : this.isIntel() ? 1 : 16;
  }

  /** When alignment is checked: #AC for an access of `bytes` at slot + disp that is not at a multiple of `align`. */
  alignCheck(slot: Slot, disp: number, bytes: number, align = this.naturalAlignment(bytes)): void {
    if ((this.mode & Mode.align) === 0 || align === 1) return;
    const b = this.b;
    const a = disp === 0 ? slot : b.dai('addi', b.temp(), slot, disp);
    const body = b.beginIfImm('tstne', a, align - 1);
    b.call('callf', helperOf('misaligned').id, b.temp(), a, a, bytes);
    b.leave();
    b.endIf(body);
  }

  /**
   * Computes the memory operand's linear address for an access of `bytes`; the result is `memSlot` + `memDisp` (the
   * displacement goes into the load or store). Computed once per instruction.
   */
  private prepare(bytes: number, write: boolean, align = this.naturalAlignment(bytes)): void {
    if (this.memSlot >= 0) return;
    this.locate(bytes, write);
    this.alignCheck(this.memSlot, this.memDisp, bytes, align);
  }
  private locate(bytes: number, write: boolean): void {
    const i = this.i;
    const b = this.b;
    const seg = this.segment();
    this.memDisp = 0;
    if (!this.long || i.addrSize !== 64 || i.ripRelative) {
      this.memSlot = this.linear(seg, this.effective(), bytes, write);
      return;
    }
    const based = seg >= Seg.fs;
    this.memDisp = i.disp;
    let slot: Slot;
    if (i.index < 0) {
      if (i.base < 0) {
        if (based) slot = SEG_BASE[seg] as Slot;
        else {
          slot = b.movi(b.temp(), i.disp);
          this.memDisp = 0;
        }
      } else {
        slot = GPR0 + i.base;
        if (based) slot = b.dab('add', b.temp(), slot, SEG_BASE[seg] as Slot);
      }
    } else {
      if (i.base < 0) slot = b.dai('shli', b.temp(), GPR0 + i.index, i.scale);
      else {
        slot = b.lea(b.temp(), GPR0 + i.base, GPR0 + i.index, i.scale, i.disp, true);
        this.memDisp = 0;
      }
      if (based) slot = b.dab('add', slot, slot, SEG_BASE[seg] as Slot);
    }
    this.memSlot = slot;
  }

  /** Makes `bytes` at a linear address in a slot the memory operand of this instruction. */
  useAddress(linear: Slot, bytes: number): void {
    this.memSlot = linear;
    this.memDisp = 0;
    this.alignCheck(linear, 0, bytes);
  }

  /**
   * Linear address of the memory operand in one slot, checked for an access of `bytes`. `align`: what alignment checking asks
   * of it, when it is not its size.
   */
  address(bytes = 1, write = false, align = this.naturalAlignment(bytes)): Slot {
    this.prepare(bytes, write, align);
    if (this.memDisp !== 0) {
      this.memSlot = this.b.dai('addi', this.b.temp(), this.memSlot, this.memDisp);
      this.memDisp = 0;
    }
    return this.memSlot;
  }

  /**
   * The address of a memory operand that is read in parts: all of it must be there before the first part. Each part then
   * looks for itself; what they cannot see is that the whole reaches out of the address space.
   */
  addressOfParts(bytes: number, align: number): void {
    const b = this.b;
    const a = this.address(bytes, false, align);
    const crosses = b.beginIfImm('gtu', b.dai('andi32', b.temp(), a, 0xfff), 4096 - bytes, true);
    b.call('callf', helperOf('probeOperand').id, b.temp(), a, a, bytes);
    b.endIf(crosses);
  }

  /** Adds a constant to the memory operand's address (for operands that are read in parts). */
  private prepared(op: OpName, dst: Slot, bytes: number, write: boolean, offset: number): Slot {
    this.prepare(bytes, write, op.endsWith('a') ? 1 : undefined);
    return this.b.load(op, dst, this.memSlot, this.memDisp + offset);
  }

  /** Zero-extended load of `size` bits of the memory operand (at `offset` bytes into it). */
  loadMem(size: number, dst: Slot = this.b.temp(), offset = 0): Slot {
    return this.prepared(LOAD[size] as OpName, dst, size / 8 + offset, false, offset);
  }
  loadMemSigned(size: number, dst: Slot = this.b.temp()): Slot {
    return this.prepared(LOAD_SIGNED[size] as OpName, dst, size / 8, false, 0);
  }
  /** Load that needs write permission; `storeMem` to the same operand cannot fault then. */
  loadMemModify(size: number, dst: Slot = this.b.temp()): Slot {
    return this.prepared(LOAD_TO_MODIFY[size] as OpName, dst, size / 8, true, 0);
  }
  /** Asks for leave to write `bytes` at the memory operand; `storeMem` to them cannot fault then. */
  probeMem(bytes: number, align = this.naturalAlignment(bytes)): void {
    this.prepare(bytes, true, align);
    this.b.probeWrite(this.memSlot, this.memDisp, bytes);
  }
  storeMem(size: number, value: Slot, offset = 0): void {
    this.prepare(size / 8 + offset, true);
    this.b.store(STORE[size] as OpName, this.memSlot, value, this.memDisp + offset);
  }
  /** Vector load or store of the memory operand: `op` as `ld128`, `ld128a`, `ld256`, ...; `vector` a vector slot. */
  loadMemVector(op: 'ld128' | 'ld128a' | 'ld256' | 'ld256a', vector: Slot): Slot {
    return this.prepared(op, vector, op.startsWith('ld128') ? 16 : 32, false, 0);
  }
  storeMemVector(op: 'st128' | 'st128a' | 'st256' | 'st256a', vector: Slot): void {
    this.prepare(op.startsWith('st128') ? 16 : 32, true, op.endsWith('a') ? 1 : undefined);
    this.b.store(op, this.memSlot, vector, this.memDisp);
  }

  // ---------------------------------------------------------------- operands of the row, by position

  /** Size in bits of operand `k` (general register, immediate and memory operands). */
  operandSize(k: number): number {
    const i = this.i;
    const size = i.form.operands[k]?.size;
    // Most operands are: code that runs a few times compares one text after the other.
    if (size === 'v') return i.opSize;
    switch (size) {
      case 'b':
        return 8;
      case 'w':
        return 16;
      case 'd':
      case 'ss':
        return 32;
      case 'q':
      case 'sd':
      case 'pi':
        return 64;
      case 'y':
        return i.opSize === 64 ? 64 : 32;
      case 'z':
        return i.opSize === 16 ? 16 : 32;
      case 'dq':
        return 128;
      case 'qq':
        return 256;
      default:
        return i.opSize;
    }
  }

  /** Register number of operand `k`, or -1 when it is memory or an immediate. */
  operandRegister(k: number): number {
    const i = this.i;
    const o = i.form.operands[k];
    switch (o?.kind) {
      case 'E':
        return i.mod === 3 ? i.rm : -1;
      case 'G':
        return i.reg;
      case 'R':
        return i.mod === 3 ? i.rm : -1;
      case 'Z':
        return i.opreg;
      case 'B':
        return i.vvvv;
      case 'r':
        return o.fixed;
      default:
        return -1;
    }
  }

  /** True when operand `k` is an immediate (in `i.imm`, sign-extended). */
  isImmediate(k: number): boolean {
    const kind = this.i.form.operands[k]?.kind;
    return kind === 'I' || kind === '1';
  }
  /** The immediate's low 32 bits; `1` in shift rows is a constant. */
  immediate(k: number): number {
    const o = this.i.form.operands[k];
    return o?.kind === '1' ? o.fixed : this.i.imm;
  }
  /** Does the immediate fit an op's sign-extended 32 bits? (Only MOV's Iv may not.) */
  get immediateFits(): boolean {
    return this.i.immHigh === this.i.imm >> 31;
  }

  /** Value of operand `k`; bits above its size are undefined. */
  read(k: number): Slot {
    const r = this.operandRegister(k);
    if (r >= 0) return this.reg(r, this.operandSize(k));
    if (this.isImmediate(k)) return this.b.movi(this.b.temp(), this.immediate(k), this.i.immHigh);
    return this.loadMem(this.operandSize(k));
  }
  /** Zero-extended value of operand `k`. */
  readZ(k: number): Slot {
    const r = this.operandRegister(k);
    const size = this.operandSize(k);
    if (r >= 0) return this.regZ(r, size);
    if (this.isImmediate(k)) {
      const v = this.immediate(k);
      if (size === 64) return this.b.movi(this.b.temp(), v);
      return this.b.movi(this.b.temp(), size === 32 ? v : size === 16 ? v & 0xffff : v & 0xff, 0);
    }
    return this.loadMem(size);
  }
  /** Value of operand `k` sign-extended to 64 bits. */
  readS(k: number): Slot {
    const r = this.operandRegister(k);
    const size = this.operandSize(k);
    if (r >= 0) return this.sext(this.reg(r, size), size);
    if (this.isImmediate(k)) return this.b.movi(this.b.temp(), this.immediate(k));
    return this.loadMemSigned(size);
  }
  /** Value of operand `k` that `write(k, ...)` will replace: a memory operand is checked for writing. */
  readModify(k: number): Slot {
    const r = this.operandRegister(k);
    if (r >= 0) return this.reg(r, this.operandSize(k));
    return this.loadMemModify(this.operandSize(k));
  }
  /**
   * Where to compute the result for operand `k`: the register itself when all of it is replaced, else a temporary.
   * `writeClean` then stores it. Must not be computed into before the last op that may fault.
   */
  target(k: number): Slot {
    const r = this.operandRegister(k);
    return r >= 0 && this.operandSize(k) >= 32 ? GPR0 + r : this.b.temp();
  }
  /** Writes operand `k`; a 32-bit value is known to be zero-extended. */
  writeClean(k: number, value: Slot): void {
    const r = this.operandRegister(k);
    if (r >= 0 && this.operandSize(k) >= 32) this.b.mov(GPR0 + r, value);
    else this.write(k, value);
  }
  /** Writes the low bits of a value to operand `k` (`writeClean` where a 32-bit value may be in the register already). */
  write(k: number, value: Slot): void {
    const r = this.operandRegister(k);
    if (r < 0) this.storeMem(this.operandSize(k), value);
    else this.setReg(r, this.operandSize(k), value);
  }

  // ---------------------------------------------------------------- stack

  /** Stack pointer size in bits. */
  get stackSize(): number {
    return this.long ? 64 : (this.mode & Mode.ss32) !== 0 ? 32 : 16;
  }
  /** slot + disp of the linear address `offset` bytes from the stack pointer. */
  private stackDisp = 0;
  private stackAddress(offset: number, bytes: number, write: boolean): Slot {
    if (this.long) {
      this.stackDisp = offset;
      this.alignCheck(RSP, offset, bytes);
      return RSP;
    }
    this.stackDisp = 0;
    const t = this.b.temp();
    this.b.dai('addi32', t, RSP, offset);
    if (this.stackSize === 16) this.b.da('ext16u', t, t);
    const a = this.linear(Seg.ss, t, bytes, write);
    this.alignCheck(a, 0, bytes);
    return a;
  }
  /** Stores a value `offset` bytes from the stack pointer. */
  storeStack(size: number, value: Slot, offset: number): void {
    const a = this.stackAddress(offset, size / 8, true);
    this.b.store(STORE[size] as OpName, a, value, this.stackDisp);
  }
  /** Loads (zero-extended) from `offset` bytes above the stack pointer. */
  loadStack(size: number, offset: number, dst: Slot = this.b.temp()): Slot {
    const a = this.stackAddress(offset, size / 8, false);
    return this.b.load(LOAD[size] as OpName, dst, a, this.stackDisp);
  }
  /** Moves the stack pointer. */
  addStack(delta: number): void {
    if (this.long) this.b.dai('addi', RSP, RSP, delta);
    else if (this.stackSize === 32) this.b.dai('addi32', RSP, RSP, delta);
    else this.b.dab('dep16', RSP, RSP, this.b.dai('addi32', this.b.temp(), RSP, delta));
  }
  push(size: number, value: Slot): void {
    this.storeStack(size, value, -size / 8);
    this.addStack(-size / 8);
  }
  /** Loads the top of the stack; call `addStack(size / 8)` after the last op that may fault. */
  top(size: number, dst: Slot = this.b.temp()): Slot {
    return this.loadStack(size, 0, dst);
  }

  // ---------------------------------------------------------------- flags

  /** Sets the lazy flags; flags.ts says what `res` and `src` must hold for each kind. */
  setFlags(kind: FlagKindName, size: number, res: Slot, src: Slot = res): void {
    this.lazy.set(kind, size, res, src);
  }
  /** The flags of a compare (kind `sub`) whose operands a following conditional may use directly. `b` a slot or immediate. */
  setCompareFlags(size: number, res: Slot, a: Slot, b: number, imm: boolean): void {
    this.lazy.setCompare(size, res, a, b, imm);
  }
  /** Sets flagSrc2 (ADC, SBB); before `setFlags`. */
  setFlagCarryIn(carry: Slot): void {
    this.b.mov(FLAG_SRC2, carry);
  }
  /** CF = bit 0 of a slot; ZF stays, the others become undefined (BT and its kin). */
  setCarryKeepZero(bit: Slot): void {
    this.lazy.setCarryKeepZero(bit);
  }
  /** Replaces the flags in `mask` (EFLAGS bits) by those of a slot that has no others set. */
  mergeFlags(bits: Slot, mask: number): void {
    const t = this.b.dai('andi32', this.b.temp(), this.flagBits(), ~mask);
    this.setFlagBits(this.b.dab('or', t, t, bits));
  }
  /** Sets CF PF AF ZF SF OF from a slot that holds them as EFLAGS bits (others are ignored). */
  setFlagBits(bits: Slot): void {
    this.lazy.set('explicit', 64, bits, bits);
  }
  /** All lazy flags as EFLAGS bits. */
  flagBits(): Slot {
    return this.b.cond(this.b.temp(), CC_ALL);
  }
  /** The flags may have been changed by other means (a helper, a conditional body): nothing is known of them now. */
  flagsClobbered(): void {
    this.lazy.forget();
  }
  /** CF as 0 or 1. */
  carry(): Slot {
    return this.lazy.carry();
  }
  /** Opens a body that runs when condition `cc` holds; close it with `b.endIf`. */
  ifCondition(cc: number): number {
    return this.lazy.ifCondition(cc);
  }
  /** dst = 1 when condition `cc` holds, else 0. */
  setCondition(cc: number, dst: Slot): Slot {
    return this.lazy.setCondition(cc, dst);
  }

  // ---------------------------------------------------------------- leaving the block

  /** What instruction pointers are cut to when nothing else is said. */
  get pcMask(): number {
    return this.long ? PcMask.m64 : (this.mode & Mode.cs32) !== 0 ? PcMask.m32 : PcMask.m16;
  }
  /** What a near jump cuts the instruction pointer to. */
  get jumpMask(): number {
    return this.i.opSize === 64 ? PcMask.m64 : this.i.opSize === 32 ? PcMask.m32 : PcMask.m16;
  }
  /** dst = pc of the next instruction. */
  next(dst: Slot = this.b.temp()): Slot {
    return this.b.pcrel(dst, this.i.end, this.pcMask);
  }
  /** Writes the next instruction's pc to the header, for helpers that may leave. */
  storeNextPc(): void {
    this.b.pcrel(PC, this.i.end, this.pcMask);
  }
  /** Ends the block at the pc in the header; the run loop looks at mode and requests again. */
  leave(): void {
    this.b.leave();
    this.ended = true;
  }
  /** Continues at the next instruction, in a new block. */
  endBlock(): void {
    this.jump(this.i.end, this.pcMask, GotoKind.jump);
    this.ended = true;
  }
  /**
   * #GP(0) at this instruction when a near branch's target, a pc in a slot, lies outside the code segment, or in 64-bit mode is
   * not canonical: then nothing of the instruction has happened (so both AMD's and Intel's processors). Flat 32-bit code
   * pays nothing, 64-bit code three ops.
   */
  checkTarget(pc: Slot): void {
    const b = this.b;
    let outside = -1;
    if (this.long) {
      // Bits 63..47 all alike; with 57-bit addresses the helper knows better.
      const top = b.dai('sari', b.temp(), pc, 47);
      outside = b.beginIfImm('gtu', b.dai('addi', top, top, 1), 1);
    } else if ((this.mode & Mode.csLimit) === 0) {
      if ((this.mode & Mode.cs32) !== 0 || this.i.opSize !== 32) return;
      outside = b.beginIfImm('gtu', pc, 0xffff);
    }
    this.callVoid('checkTarget', pc);
    if (outside >= 0) b.endIf(outside);
  }
  /** The same for a relative branch (taken unless the slot `taken` is 0); in 64-bit mode those stay near where they are. */
  checkRelative(target: number, taken?: Slot): void {
    if (this.long || ((this.mode & Mode.csLimit) === 0 && (this.mode & Mode.cs32) !== 0)) return;
    const body = taken === undefined ? -1 : this.b.beginIfImm('ne', taken, 0);
    this.checkTarget(this.b.pcrel(this.b.temp(), target, this.jumpMask));
    if (body >= 0) this.b.endIf(body);
  }
  /** The instruction itself, up to its last byte, must lie inside the code segment: where that has a limit (Mode.csLimit). */
  checkFetch(): void {
    this.callVoid('checkTarget', this.b.pcrel(this.b.temp(), this.i.end - 1, PcMask.m32));
  }

  /** A jump to `target` (offset from the block's start). Does not set `ended`: it may stand in a body. */
  jump(target: number, mask: number, kind: number): void {
    if ((this.mode & ONE_INSTRUCTION) !== 0) {
      this.b.pcrel(PC, target, mask);
      this.b.leave();
    } else this.b.goto(target, mask, kind);
  }
  /** A jump to the pc in a slot, already cut to its size. */
  jumpTo(slot: Slot, kind: number): void {
    if ((this.mode & ONE_INSTRUCTION) !== 0) {
      this.b.mov(PC, slot);
      this.b.leave();
    } else this.b.jmp(slot, kind);
    this.ended = true;
  }
}

const helperCache = new Map<string, ReturnType<typeof helper>>();
/** Helpers by name, looked up once. */
function helperOf(name: string): ReturnType<typeof helper> {
  let h = helperCache.get(name);
  if (h === undefined) {
    h = helper(name);
    helperCache.set(name, h);
  }
  return h;
}

export { GotoKind, JumpKind, PcMask };
