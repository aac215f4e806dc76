/** Reads the text of instruction rows (the notation is explained in row.ts). Runs at start-up only. */
import { Bug } from '../../../base/errors.js';

/** How an operand's immediate bytes are read. */
export const ImmKind = { none: 0, byte: 1, word: 2, z: 3, v: 4, dword: 5, moffs: 6, far: 7 } as const;
export type ImmKind = (typeof ImmKind)[keyof typeof ImmKind];

export interface Operand {
  /** Addressing letter, or `r` for a named register, `1` for a number. */
  readonly kind: string;
  /** Size code after the letter; for a named register `b`, `w`, `d`, `q`, `v`. */
  readonly size: string;
  /** As written in the row. */
  readonly text: string;
  /** Register number when kind is `r` (general registers), the number when kind is `1`. */
  readonly fixed: number;
  readonly imm: ImmKind;
}

export interface Encoding {
  /** 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A, 4..6: the same three under VEX. */
  readonly map: number;
  readonly opcode: number;
  readonly opReg: boolean;
  readonly hasModrm: boolean;
  /** Constraints; -1: none. `pp`: 0 NP, 1 66, 2 F3, 3 F2. `only64`: 0 not in 64-bit mode, 1 only there. */
  readonly pp: number;
  readonly reg: number;
  readonly mod3: number;
  readonly rm: number;
  readonly w: number;
  readonly l: number;
  readonly only64: number;
  readonly size64: '' | 'd64' | 'f64';
  readonly lock: boolean;
  readonly modreg: boolean;
  readonly byAddr: boolean;
  /** Dimensions constrained, as Decoder's DIM bits; how many of them. */
  readonly dims: number;
  readonly specific: number;
}

/** Registers that appear by name in assembly texts: number and size code. */
const NAMED: Readonly<Record<string, readonly [number, string]>> = {
  AL: [0, 'b'],
  CL: [1, 'b'],
  AX: [0, 'w'],
  DX: [2, 'w'],
  EAX: [0, 'd'],
  RAX: [0, 'q'],
  rAX: [0, 'v'],
  rDX: [2, 'v'],
};
/** Other names that stand for themselves. */
const LITERAL = new Set(['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'ST0', 'XMM0', 'AH']);
const IMMEDIATE: Readonly<Record<string, ImmKind>> = {
  Ib: ImmKind.byte,
  Iw: ImmKind.word,
  Iz: ImmKind.z,
  Iv: ImmKind.v,
  Id: ImmKind.dword,
  Jb: ImmKind.byte,
  Jz: ImmKind.z,
  Ob: ImmKind.moffs,
  Ov: ImmKind.moffs,
  Ap: ImmKind.far,
};

export function parseAssembly(text: string): { mnemonics: readonly string[]; operands: readonly Operand[] } {
  const space = text.indexOf(' ');
  const mnemonics = (space < 0 ? text : text.slice(0, space)).split('|');
  const operands =
    space < 0
      ? []
      : text
          .slice(space + 1)
          .split(',')
          .map(parseOperand);
  return { mnemonics, operands };
}

function parseOperand(text: string): Operand {
  const named = NAMED[text];
  if (named !== undefined) return { kind: 'r', size: named[1], text, fixed: named[0], imm: ImmKind.none };
  if (LITERAL.has(text)) return { kind: '=', size: '', text, fixed: -1, imm: ImmKind.none };
  if (/^\d+$/.test(text)) return { kind: '1', size: '', text, fixed: Number(text), imm: ImmKind.none };
  const kind = text[0] as string;
  if (!'ABCDEGHIJLMNOPQRSTUVWXYZ'.includes(kind)) throw new Bug(`operand ${text}?`);
  const imm = kind === 'L' ? ImmKind.byte : 'IJOA'.includes(kind) ? IMMEDIATE[text] : ImmKind.none;
  if (imm === undefined) throw new Bug(`immediate operand ${text}?`);
  return { kind, size: text.slice(1), text, fixed: -1, imm };
}

const PP: Readonly<Record<string, number>> = { NP: 0, '66': 1, F3: 2, F2: 3 };
const VEX_MAP: Readonly<Record<string, number>> = { '0F': 4, '0F38': 5, '0F3A': 6 };

export function parseEncoding(text: string, operands: readonly Operand[]): Encoding {
  const e = {
    map: 0,
    opcode: -1,
    opReg: false,
    hasModrm: false,
    pp: -1,
    reg: -1,
    mod3: -1,
    rm: -1,
    w: -1,
    l: -1,
    only64: -1,
    size64: '' as '' | 'd64' | 'f64',
    lock: false,
    modreg: false,
    byAddr: false,
  };
  const wholeModrm = (byte: number, plus: boolean): void => {
    e.hasModrm = true;
    e.mod3 = 1;
    e.reg = (byte >> 3) & 7;
    if (byte < 0xc0) throw new Bug(`ModRM byte in ${text}?`);
    if (!plus) e.rm = byte & 7;
  };
  for (const word of text.split(' ')) {
    const vex = /^VEX\.(128|256|LIG|LZ)\.(NP|66|F3|F2)\.(0F|0F38|0F3A)\.(W0|W1|WIG)$/.exec(word);
    const hex = /^([0-9A-F]{2})(\+r|\+i)?$/.exec(word);
    const slash = /^\/([r0-7])$/.exec(word);
    if (vex !== null) {
      e.l = vex[1] === 'LIG' ? -1 : vex[1] === '256' ? 1 : 0;
      e.pp = PP[vex[2] as string] as number;
      e.map = VEX_MAP[vex[3] as string] as number;
      e.w = vex[4] === 'WIG' ? -1 : vex[4] === 'W1' ? 1 : 0;
    } else if (word === 'NP') e.pp = 0;
    else if ((word === '66' || word === 'F3' || word === 'F2') && e.opcode < 0 && e.map === 0)
      e.pp = PP[word] as number;
    else if (word === 'REX.W') e.w = 1;
    else if (word === 'W0') e.w = 0;
    else if (hex !== null) {
      const byte = Number.parseInt(hex[1] as string, 16);
      if (e.opcode < 0) {
        if (e.map === 0 && byte === 0x0f && e.opcode < 0) e.map = 1;
        else e.opcode = byte;
      } else if (e.map === 1 && (e.opcode === 0x38 || e.opcode === 0x3a)) {
        e.map = e.opcode === 0x38 ? 2 : 3;
        e.opcode = byte;
      } else wholeModrm(byte, hex[2] === '+i');
      if (hex[2] === '+r') e.opReg = true;
    } else if (slash !== null) {
      e.hasModrm = true;
      if (slash[1] !== 'r') e.reg = Number(slash[1]);
    } else if (word === 'i64') e.only64 = 0;
    else if (word === 'o64') e.only64 = 1;
    else if (word === 'd64' || word === 'f64') e.size64 = word;
    else if (word === 'LOCK') e.lock = true;
    else if (word === 'modreg') e.modreg = true;
    else if (word === 'byaddr') e.byAddr = true;
    else throw new Bug(`encoding "${text}": ${word}?`);
  }
  if (e.opcode < 0) throw new Bug(`encoding "${text}": no opcode`);
  if (e.hasModrm && e.mod3 < 0 && !e.modreg) {
    if (operands.some((o) => o.kind === 'M')) e.mod3 = 0;
    else if (operands.some((o) => 'NRTU'.includes(o.kind))) e.mod3 = 1;
  }
  const constrained = [e.pp, e.reg, e.mod3, e.rm, e.w, e.l, e.only64];
  let dims = 0;
  let specific = 0;
  for (const [bit, value] of constrained.entries()) {
    if (value < 0) continue;
    dims |= 1 << bit;
    // A mandatory prefix outweighs everything else: F2 0F 38 F0 is CRC32, not MOVBE.
    specific += bit === 0 ? 8 : 1;
  }
  return { ...e, dims, specific };
}
