/** Builds one block's ops in the 16-byte form of `ops.ts`. One builder is reused for every block: no allocation per op. */
// hot path
import { Bug } from '../base/errors.js';
import { TEMP_COUNT, VCPU } from './layout.js';
import { type Cond, GotoKind, OP, type OpName } from './ops.js';

/** Number of a 64-bit cell of the vCPU state: byte offset / 8. */
export type Slot = number;

export const FLAG_OP: Slot = (VCPU.at['flagOp'] as number) / 8;
export const FLAG_RES: Slot = (VCPU.at['flagRes'] as number) / 8;
export const FLAG_SRC: Slot = (VCPU.at['flagSrc'] as number) / 8;
export const FLAG_SRC2: Slot = (VCPU.at['flagSrc2'] as number) / 8;
export const PC: Slot = (VCPU.at['pc'] as number) / 8;
export const TEMP0: Slot = (VCPU.at['temps'] as number) / 8;

export const MAX_BLOCK_OPS = 2048;

export class BlockBuilder {
  /** Ops written so far, 4 words each: op|dst<<16, a|b<<16, imm, aux. */
  readonly words: Int32Array;
  count = 0;
  /** Offset of the current guest instruction from the block's first byte; goes into `aux` of ops that may fault. */
  instructionOffset = 0;
  private temps = 0;

  /** `words`: where the ops are to be, room for MAX_BLOCK_OPS. */
  constructor(words: Int32Array = new Int32Array(MAX_BLOCK_OPS * 4)) {
    this.words = words;
  }

  reset(): void {
    this.count = 0;
    this.temps = 0;
    this.instructionOffset = 0;
  }

  /** Starts a guest instruction: its temporaries are fresh. */
  beginInstruction(offset: number): void {
    this.instructionOffset = offset;
    this.temps = 0;
  }

  /** A temporary, valid until the end of the guest instruction. */
  temp(): Slot {
    if (this.temps >= TEMP_COUNT) throw new Bug('out of IR temporaries');
    return TEMP0 + this.temps++;
  }

  /** Number of temporaries in use: `releaseTemps` gives back those taken since (their values are not needed any more). */
  get tempMark(): number {
    return this.temps;
  }
  releaseTemps(mark: number): void {
    this.temps = mark;
  }

  emit(op: number, dst: number, a: number, b: number, imm: number, aux: number): number {
    const i = this.count++;
    if (i >= MAX_BLOCK_OPS) throw new Bug('block too long');
    const { words } = this;
    const w = i * 4;
    words[w] = op | (dst << 16);
    words[w + 1] = a | (b << 16);
    words[w + 2] = imm;
    words[w + 3] = aux;
    return i;
  }

  /** `dst = op a`: mov, extensions, not, neg, clz, ... */
  da(op: OpName, dst: Slot, a: Slot): Slot {
    this.emit(OP[op], dst, a, 0, 0, 0);
    return dst;
  }
  /** `dst = a op b`. */
  dab(op: OpName, dst: Slot, a: Slot, b: Slot): Slot {
    this.emit(OP[op], dst, a, b, 0, 0);
    return dst;
  }
  /** `dst = a op imm` with the `…i` ops; imm is sign-extended from 32 bits. */
  dai(op: OpName, dst: Slot, a: Slot, imm: number): Slot {
    this.emit(OP[op], dst, a, 0, imm | 0, 0);
    return dst;
  }
  mov(dst: Slot, a: Slot): Slot {
    if (dst !== a) this.emit(OP.mov, dst, a, 0, 0, 0);
    return dst;
  }
  /** dst = sign-extended 32-bit value, or the 64-bit value `high:low` when `high` is given. */
  movi(dst: Slot, low: number, high: number = low >> 31): Slot {
    this.emit(OP.movi, dst, 0, 0, low | 0, high | 0);
    return dst;
  }
  lea(dst: Slot, a: Slot, b: Slot, shift: number, imm: number, wide: boolean): Slot {
    this.emit(wide ? OP.lea : OP.lea32, dst, a, b, imm | 0, shift);
    return dst;
  }
  sel(dst: Slot, cond: Slot, whenTrue: Slot, whenFalse: Slot): Slot {
    this.emit(OP.sel, dst, cond, whenTrue, whenFalse, 0);
    return dst;
  }
  /** dst = memory at linear address slot[a] + imm. `op`: ld8u .. ld64, ldm8 .. ldm64, ld128, ... */
  load(op: OpName, dst: Slot, a: Slot, imm = 0): Slot {
    this.emit(OP[op], dst, a, 0, imm | 0, this.instructionOffset);
    return dst;
  }
  /** memory at linear address slot[a] + imm = value. `op`: st8 .. st64, st128, ... */
  store(op: OpName, a: Slot, value: Slot, imm = 0): void {
    this.emit(OP[op], 0, a, value, imm | 0, this.instructionOffset);
  }
  probeWrite(a: Slot, imm: number, bytes: number): void {
    this.emit(OP.probew, 0, a, bytes, imm | 0, this.instructionOffset);
  }
  /** Reads a u8/u16/u32 field of the vCPU state at a byte offset. */
  envLoad(dst: Slot, bits: 8 | 16 | 32, offset: number): Slot {
    this.emit(bits === 8 ? OP.env_ld8u : bits === 16 ? OP.env_ld16u : OP.env_ld32u, dst, 0, 0, offset, 0);
    return dst;
  }
  envStore(bits: 8 | 16 | 32, offset: number, a: Slot): void {
    this.emit(bits === 8 ? OP.env_st8 : bits === 16 ? OP.env_st16 : OP.env_st32, 0, a, 0, offset, 0);
  }
  /** dst = mask(pc of the block + offset). */
  pcrel(dst: Slot, offset: number, mask: number): Slot {
    this.emit(OP.pcrel, dst, 0, 0, offset, mask);
    return dst;
  }
  flags(flagOp: number, res: Slot, src: Slot): void {
    this.emit(OP.flags, 0, res, src, flagOp, 0);
  }
  /** dst = condition `cc` of the lazy flags. */
  cond(dst: Slot, cc: number): Slot {
    this.emit(OP.cond, dst, 0, 0, cc, 0);
    return dst;
  }
  call(op: 'call' | 'callf' | 'vcall' | 'vcallf', helper: number, dst: Slot, a: Slot, b: Slot, imm = 0): Slot {
    this.emit(OP[op], dst, a, b, imm | 0, (helper << 16) | this.instructionOffset);
    return dst;
  }

  /** Opens a body that runs only when `a cond b`; returns the handle for `endIf`. */
  beginIf(cond: Cond, a: Slot, b: Slot, is32 = false): number {
    return this.emit(OP[is32 ? (`if_${cond}32` as const) : (`if_${cond}` as const)], 0, a, b, 0, 0);
  }
  beginIfImm(cond: Cond, a: Slot, imm: number, is32 = false): number {
    return this.emit(OP[is32 ? (`if_${cond}i32` as const) : (`if_${cond}i` as const)], 1, a, 0, imm | 0, 0);
  }
  endIf(handle: number): void {
    const skip = this.count - handle - 1;
    // dst = 1 marks the immediate form, whose skip count sits in aux.
    this.words[handle * 4 + ((this.words[handle * 4] as number) >>> 16 === 1 ? 3 : 2)] = skip;
  }

  goto(target: number, mask: number, kind: number = GotoKind.jump): void {
    this.emit(OP.goto, kind | (mask << 4), 0, 0, target, 0);
  }
  jmp(a: Slot, kind: number): void {
    this.emit(OP.jmp, 0, a, 0, kind, 0);
  }
  leave(): void {
    this.emit(OP.leave, 0, 0, 0, 0, 0);
  }
  exit(reason: number): void {
    this.emit(OP.exit, 0, 0, 0, reason, 0);
  }
}
