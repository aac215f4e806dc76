/**
 * The x86 decoder: decodes one instruction at a time by dispatch tables, which it compiles from an opcode's instruction rows
 * when it first meets the opcode.
 */
// hot path
import { Bug } from '../../base/errors.js';
import {
  type Encoding,
  ImmKind,
  mnemonicsOf,
  type Operand,
  parseEncoding,
  parseOpcode,
  parseOperands,
} from './insn/parse.js';
import { type Prepared, packRow, unpackRow } from './insn/prepare.js';
import type { Meaning, Row } from './insn/row.js';
import { Mode } from './state.js';

/** Segment numbers in encoding order. */
export const Seg = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 } as const;

/** A compiled row. */
export interface Form {
  readonly index: number;
  readonly row: Row;
  readonly encoding: Encoding;
  readonly mnemonics: readonly string[];
  readonly operands: readonly Operand[];
  readonly meaning: Meaning;
  readonly feature: string;
  /** Immediates in the order of their bytes. */
  readonly immediates: readonly ImmKind[];
  readonly hasModrm: boolean;
  /** Which unit must be enabled (see Translator.unitChecks). */
  readonly unit: 'none' | 'fpu' | 'mmx' | 'sse' | 'avx';
  /** A VEX form without an operand in VEX.vvvv, which must name no register then. */
  readonly noVvvv: boolean;
}

/** What `decode` found out. */
export const Decoded = { ok: 0, undefined: 1, truncated: 2, tooLong: 3 } as const;

/** The decoded instruction. One object is used over and over. */
export class Insn {
  form!: Form;
  /** Offset of the first byte from the block's start, and of the next instruction. */
  offset = 0;
  end = 0;
  length = 0;
  /** Operand size (16, 32, 64) after prefixes and the row's defaults; `size` is 8 instead when operand 0 is a byte. */
  opSize = 32;
  size = 32;
  /** Address size: 16, 32, 64. */
  addrSize = 32;
  /** Prefixes seen. `rep`: 0xf3, 0xf2 or 0 (the last one counts). `seg`: override (Seg) or -1. */
  lock = false;
  rep = 0;
  prefix66 = false;
  prefix67 = false;
  seg = -1;
  rex = 0;
  /** REX.W or VEX.W. */
  w = 0;
  vex = false;
  /** VEX.L: 0 = 128 bits, 1 = 256 bits. */
  l = 0;
  /** Register number in VEX.vvvv. */
  vvvv = 0;
  opcode = 0;
  modrm = 0;
  /** ModRM fields, `reg` and `rm` with their REX bits. `rm` is a register number when mod = 3. */
  mod = 0;
  reg = 0;
  rm = 0;
  /** Register number in the opcode's low bits, with REX.B. */
  opreg = 0;
  /** Memory operand: base and index register or -1, log2 of the scale, displacement; or relative to the next pc. */
  base = -1;
  index = -1;
  scale = 0;
  disp = 0;
  ripRelative = false;
  /** First immediate, sign-extended from its size: low and high 32 bits; second immediate. Ap: offset in imm, selector in imm2. */
  imm = 0;
  immHigh = 0;
  imm2 = 0;

  /** Is the ModRM operand memory? */
  get isMem(): boolean {
    return this.mod !== 3;
  }
}

// Dimensions of a dispatch cell, in the order of the index bits.
const DIM_PP = 1;
const DIM_REG = 2;
const DIM_MOD = 4;
const DIM_RM = 8;
const DIM_W = 16;
const DIM_L = 32;
const DIM_64 = 64;

/** Opcode maps: one byte, 0F, 0F38, 0F3A; the last three again under VEX. */
const MAPS = 7;

export class Decoder {
  /** Numbers of the rows of each map and opcode that is not in the tables yet. */
  private readonly waiting: (number[] | undefined)[] = new Array(MAPS * 256).fill(undefined);
  private readonly compiled: (Form | undefined)[];
  /** Per map and opcode: the dimensions its cells are told apart by, and the index of the first cell. */
  private readonly dims = new Uint8Array(MAPS * 256);
  private readonly start = new Uint32Array(MAPS * 256);
  /** Row number + 1, or 0. The first stands for no cell. */
  private cells: number[] = [0];
  /** Does the opcode take a ModRM byte? (All rows of one opcode agree; the byte is needed before the row is known.) */
  private readonly modrmByOpcode = new Uint8Array(MAPS * 256);
  /** Does VEX.W choose the size of a general register here? Then it counts in 64-bit mode only. */
  private readonly generalW = new Uint8Array(MAPS * 256);

  private bytes: Uint8Array = new Uint8Array(0);
  private at = 0;
  private limit = 0;
  private short = false;

  /** `prepared`: what `prepare` gave for these rows. */
  constructor(
    private readonly rows: readonly Row[],
    private readonly prepared?: Prepared,
  ) {
    this.compiled = new Array(rows.length).fill(undefined);
    if (prepared !== undefined) {
      this.start.set(prepared.start);
      this.dims.set(prepared.dims);
      this.modrmByOpcode.set(prepared.modrm);
      this.generalW.set(prepared.generalW);
      this.cells = prepared.cells as number[];
      return;
    }
    for (const [index, [encoding]] of rows.entries()) {
      const { map, opcode, opReg } = parseOpcode(encoding);
      for (let key = map * 256 + opcode, last = key + (opReg ? 7 : 0); key <= last; key++) {
        const list = this.waiting[key];
        if (list === undefined) this.waiting[key] = [index];
        else list.push(index);
      }
    }
  }

  /** All rows, compiled. Throws `Bug` when two of them overlap. */
  get forms(): readonly Form[] {
    for (const key of this.waiting.keys()) this.tabulate(key);
    return this.rows.map((_, index) => this.form(index));
  }

  /** What has been found out about the rows, for decoders to come. */
  prepare(): Prepared {
    const operands: Operand[] = [];
    const rows = this.forms.map((form) => packRow(form.encoding, form.operands, operands)).join('');
    const { start, dims, modrmByOpcode, generalW, cells } = this;
    return {
      ...{ start: [...start], dims: [...dims], modrm: [...modrmByOpcode], generalW: [...generalW] },
      ...{ cells, operands, rows },
    };
  }

  private form(index: number): Form {
    const known = this.compiled[index];
    if (known !== undefined) return known;
    const row = this.rows[index] as Row;
    const { encoding, operands } = this.prepared ? unpackRow(this.prepared, index) : parseRow(row);
    const form = formOf(row, index, encoding, operands);
    this.compiled[index] = form;
    return form;
  }

  /** Puts the rows of a map and opcode into the tables; gives the index of its first cell, 0 when it has no rows. */
  private tabulate(key: number): number {
    const list = this.waiting[key]?.map((index) => this.form(index));
    if (list === undefined) return this.start[key] as number;
    this.waiting[key] = undefined;
    const first = list[0] as Form;
    let dims = 0;
    for (const f of list) {
      dims |= f.encoding.dims;
      if (f.hasModrm !== first.hasModrm) throw new Bug(`${f.row[0]} and ${first.row[0]}: ModRM or not?`);
    }
    this.dims[key] = dims;
    if (list.some((f) => f.encoding.w === 1 && f.operands.some((o) => 'EGR'.includes(o.kind) && o.size === 'q')))
      this.generalW[key] = 1;
    this.modrmByOpcode[key] = first.hasModrm ? 1 : 0;
    const start = this.cells.length;
    const size = cellCount(dims);
    for (let cell = 0; cell < size; cell++) this.cells.push(pick(list, dims, cell));
    this.start[key] = start;
    return start;
  }

  private byte(): number {
    if (this.at >= this.limit) {
      this.short = true;
      return 0;
    }
    return this.bytes[this.at++] as number;
  }
  private word(): number {
    const low = this.byte();
    return low | (this.byte() << 8);
  }
  private dword(): number {
    const low = this.word();
    return low | (this.word() << 16);
  }

  /**
   * Decodes the instruction at `bytes[at]` in the given mode into `i`. `limit` is the end of what may be read. Returns a
   * `Decoded` code; `i.length` is right for `ok` and `undefined`.
   */
  decode(i: Insn, bytes: Uint8Array, at: number, limit: number, mode: number): number {
    this.bytes = bytes;
    this.at = at;
    this.limit = limit - at > 15 ? at + 15 : limit;
    this.short = false;
    const long = (mode & Mode.cs64) !== 0;
    const code32 = (mode & Mode.cs32) !== 0;
    i.lock = false;
    i.rep = 0;
    i.prefix66 = false;
    i.prefix67 = false;
    i.seg = -1;
    i.vex = false;
    i.l = 0;
    i.vvvv = 0;
    i.modrm = 0;
    i.mod = 0;
    i.reg = 0;
    i.rm = 0;
    i.base = -1;
    i.index = -1;
    i.scale = 0;
    i.disp = 0;
    i.ripRelative = false;
    i.imm = 0;
    i.immHigh = 0;
    i.imm2 = 0;
    let rex = 0;
    let op = 0;
    prefixes: for (;;) {
      op = this.byte();
      switch (op) {
        case 0x26:
          if (!long) i.seg = Seg.es;
          break;
        case 0x2e:
          if (!long) i.seg = Seg.cs;
          break;
        case 0x36:
          if (!long) i.seg = Seg.ss;
          break;
        case 0x3e:
          if (!long) i.seg = Seg.ds;
          break;
        case 0x64:
          i.seg = Seg.fs;
          break;
        case 0x65:
          i.seg = Seg.gs;
          break;
        case 0x66:
          i.prefix66 = true;
          break;
        case 0x67:
          i.prefix67 = true;
          break;
        case 0xf0:
          i.lock = true;
          break;
        case 0xf2:
        case 0xf3:
          i.rep = op;
          break;
        default:
          if (long && (op & 0xf0) === 0x40) {
            rex = op;
            continue; // stays in force only when the opcode follows at once
          }
          break prefixes;
      }
      rex = 0;
      if (this.short) break;
    }
    let map = 0;
    let rexR = (rex & 4) << 1;
    let rexX = (rex & 2) << 2;
    let rexB = (rex & 1) << 3;
    i.w = (rex >> 3) & 1;
    let pp = i.rep === 0xf3 ? 2 : i.rep === 0xf2 ? 3 : i.prefix66 ? 1 : 0;
    if (op === 0x0f) {
      op = this.byte();
      map = 1;
      if (op === 0x38) {
        map = 2;
        op = this.byte();
      } else if (op === 0x3a) {
        map = 3;
        op = this.byte();
      }
    } else if ((op === 0xc4 || op === 0xc5) && (long || (this.peek() & 0xc0) === 0xc0)) {
      let p = this.byte();
      const bad =
        pp !== 0 || i.prefix66 || i.lock || rex !== 0 || (mode & Mode.protected) === 0 || (mode & Mode.vm86) !== 0;
      rexR = (~p & 0x80) >> 4;
      map = 4;
      if (op === 0xc4) {
        rexX = (~p & 0x40) >> 3;
        rexB = (~p & 0x20) >> 2;
        const m = p & 31;
        map = m >= 1 && m <= 3 ? m + 3 : MAPS;
        p = this.byte();
        i.w = p >> 7;
      } else {
        i.w = 0;
      }
      if (!long) {
        rexR = 0;
        rexX = 0;
        rexB = 0;
      }
      i.vex = true;
      i.vvvv = (~p >> 3) & (long ? 15 : 7);
      i.l = (p >> 2) & 1;
      pp = VEX_PP[p & 3] as number;
      op = this.byte();
      if (bad || map === MAPS) {
        i.opcode = op;
        return this.finish(i, at, Decoded.undefined);
      }
    }
    i.rex = rex;
    i.opcode = op;
    i.opreg = (op & 7) | rexB;
    const key = map * 256 + op;
    i.addrSize = long ? (i.prefix67 ? 32 : 64) : code32 !== i.prefix67 ? 32 : 16;
    const start = (this.start[key] as number) || this.tabulate(key);
    const dims = this.dims[key] as number;
    if (start === 0) return this.finish(i, at, Decoded.undefined);
    let modrm = 0;
    if (this.modrmByOpcode[key] === 1) {
      modrm = this.byte();
      i.modrm = modrm;
      i.mod = modrm >> 6;
      i.reg = ((modrm >> 3) & 7) | rexR;
      i.rm = (modrm & 7) | rexB;
    }
    let cell = 0;
    if ((dims & DIM_PP) !== 0) cell = pp;
    if ((dims & DIM_REG) !== 0) cell = (cell << 3) | ((modrm >> 3) & 7);
    if ((dims & DIM_MOD) !== 0) cell = (cell << 1) | (modrm >= 0xc0 ? 1 : 0);
    if ((dims & DIM_RM) !== 0) cell = (cell << 3) | (modrm & 7);
    if ((dims & DIM_W) !== 0) cell = (cell << 1) | (long || this.generalW[key] === 0 ? i.w : 0);
    if ((dims & DIM_L) !== 0) cell = (cell << 1) | i.l;
    if ((dims & DIM_64) !== 0) cell = (cell << 1) | (long ? 1 : 0);
    const found = this.cells[start + cell] as number;
    if (found === 0) {
      if (this.modrmByOpcode[key] === 1) this.address(i, long, rexX, rexB);
      return this.finish(i, at, Decoded.undefined);
    }
    const form = this.compiled[found - 1] ?? this.form(found - 1);
    i.form = form;
    const e = form.encoding;
    if (e.modreg) i.mod = 3;
    // 66 as a mandatory prefix does not change the operand size; 66 beside F2/F3 does.
    const small = i.prefix66 && e.pp !== 1;
    if (long) i.opSize = i.w === 1 || e.size64 === 'f64' ? 64 : small ? 16 : e.size64 === 'd64' ? 64 : 32;
    else i.opSize = code32 !== small ? 32 : 16;
    i.size = form.operands[0]?.size === 'b' ? 8 : i.opSize;
    if (form.hasModrm) this.address(i, long, rexX, rexB);
    for (let n = 0; n < form.immediates.length; n++) this.immediate(i, form.immediates[n] as ImmKind, n);
    return this.finish(i, at, form.noVvvv && i.vvvv !== 0 ? Decoded.undefined : Decoded.ok);
  }

  private peek(): number {
    return this.at < this.limit ? (this.bytes[this.at] as number) : 0xff;
  }

  private finish(i: Insn, at: number, code: number): number {
    i.length = this.at - at;
    if (this.short) return this.limit - at >= 15 ? Decoded.tooLong : Decoded.truncated;
    return code;
  }

  /** SIB and displacement. */
  private address(i: Insn, long: boolean, rexX: number, rexB: number): void {
    const mod = i.mod;
    const low = i.modrm & 7;
    if (mod === 3) return;
    if (i.addrSize === 16) {
      i.base = BASE16[low] as number;
      i.index = INDEX16[low] as number;
      if (mod === 0 && low === 6) {
        i.base = -1;
        i.disp = this.word();
      } else if (mod === 1) i.disp = (this.byte() << 24) >> 24;
      else if (mod === 2) i.disp = (this.word() << 16) >> 16;
      return;
    }
    let base = low;
    if (low === 4) {
      const sib = this.byte();
      i.scale = sib >> 6;
      const index = ((sib >> 3) & 7) | rexX;
      i.index = index === 4 ? -1 : index;
      base = sib & 7;
    }
    if (mod === 0 && base === 5) {
      i.base = -1;
      i.disp = this.dword();
      i.ripRelative = long && low === 5;
      return;
    }
    i.base = base | rexB;
    if (mod === 1) i.disp = (this.byte() << 24) >> 24;
    else if (mod === 2) i.disp = this.dword();
  }

  private immediate(i: Insn, kind: ImmKind, n: number): void {
    let low = 0;
    let high = 0;
    let two = false;
    switch (kind) {
      case ImmKind.byte:
        low = (this.byte() << 24) >> 24;
        break;
      case ImmKind.word:
        low = (this.word() << 16) >> 16;
        break;
      case ImmKind.z:
        low = i.opSize === 16 ? (this.word() << 16) >> 16 : this.dword();
        break;
      case ImmKind.v:
        low = i.opSize === 16 ? (this.word() << 16) >> 16 : this.dword();
        two = i.opSize === 64;
        break;
      case ImmKind.dword:
        low = this.dword();
        break;
      case ImmKind.moffs:
        low = i.addrSize === 16 ? this.word() : this.dword();
        if (i.addrSize === 64) high = this.dword();
        i.imm = low;
        i.immHigh = high;
        return;
      case ImmKind.far:
        i.imm = i.opSize === 16 ? this.word() : this.dword();
        i.imm2 = this.word();
        return;
    }
    high = two ? this.dword() : low >> 31;
    if (n === 0) {
      i.imm = low;
      i.immHigh = high;
    } else i.imm2 = low;
  }
}

const VEX_PP = [0, 1, 2, 3] as const;
const BASE16 = [3, 3, 5, 5, 6, 7, 5, 3] as const;
const INDEX16 = [6, 7, 6, 7, -1, -1, -1, -1] as const;

function cellCount(dims: number): number {
  let n = 1;
  if (dims & DIM_PP) n *= 4;
  if (dims & DIM_REG) n *= 8;
  if (dims & DIM_MOD) n *= 2;
  if (dims & DIM_RM) n *= 8;
  if (dims & DIM_W) n *= 2;
  if (dims & DIM_L) n *= 2;
  if (dims & DIM_64) n *= 2;
  return n;
}

/** The row (number + 1) for one cell: the most specific that matches; two equally specific ones are an error. */
function pick(list: readonly Form[], dims: number, cell: number): number {
  let c = cell;
  const take = (dim: number, bits: number): number => {
    if (!(dims & dim)) return -1;
    const v = c & ((1 << bits) - 1);
    c >>= bits;
    return v;
  };
  const is64 = take(DIM_64, 1);
  const l = take(DIM_L, 1);
  const w = take(DIM_W, 1);
  const rm = take(DIM_RM, 3);
  const mod3 = take(DIM_MOD, 1);
  const reg = take(DIM_REG, 3);
  const pp = take(DIM_PP, 2);
  let best: Form | undefined;
  for (const f of list) {
    const e = f.encoding;
    const fits = (want: number, have: number): boolean => want === -1 || want === have;
    if (
      !fits(e.pp, pp) ||
      !fits(e.reg, reg) ||
      !fits(e.mod3, mod3) ||
      !fits(e.rm, rm) ||
      !fits(e.w, w) ||
      !fits(e.l, l) ||
      !fits(e.only64, is64)
    )
      continue;
    if (best === undefined || e.specific > best.encoding.specific) best = f;
    else if (e.specific === best.encoding.specific)
      throw new Bug(`instruction rows overlap: "${f.row[0]}" ${f.row[1]} and "${best.row[0]}" ${best.row[1]}`);
  }
  return best === undefined ? 0 : best.index + 1;
}

function parseRow([encoding, assembly]: Row): { encoding: Encoding; operands: readonly Operand[] } {
  const operands = parseOperands(assembly);
  return { encoding: parseEncoding(encoding, operands), operands };
}

function formOf(row: Row, index: number, encoding: Encoding, operands: readonly Operand[]): Form {
  const [, assembly, feature, meaning] = row;
  const has = (letters: string): boolean => operands.some((o) => letters.includes(o.kind));
  const x87 = encoding.map === 0 && encoding.opcode >= 0xd8 && encoding.opcode <= 0xdf;
  return {
    index,
    row,
    encoding,
    mnemonics: mnemonicsOf(assembly),
    operands,
    meaning,
    feature,
    immediates: operands.filter((o) => o.imm !== ImmKind.none).map((o) => o.imm),
    hasModrm: encoding.hasModrm,
    unit: x87
      ? 'fpu'
      : encoding.map >= 4
        ? has('VWUHL') || feature.startsWith('avx')
          ? 'avx'
          : 'none'
        : has('VWU')
          ? 'sse'
          : has('PQN') || feature === 'mmx'
            ? 'mmx'
            : 'none',
    noVvvv: encoding.map >= 4 && !has('HB'),
  };
}
