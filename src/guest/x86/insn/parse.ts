/** Reads the text of instruction rows (the notation is explained in row.ts). An opcode's rows are read when it is met first. */
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

/** Of an assembly text: its names at operand sizes 16, 32 and 64, or the one for all. */
export function mnemonicsOf(assembly: string): readonly string[] {
  const space = assembly.indexOf(' ');
  return (space < 0 ? assembly : assembly.slice(0, space)).split('|');
}

export function parseOperands(assembly: string): readonly Operand[] {
  const space = assembly.indexOf(' ');
  if (space < 0) return [];
  return assembly
    .slice(space + 1)
    .split(',')
    .map(parseOperand);
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
const LEGACY_MAP: Readonly<Record<string, number>> = { '0F': 1, '0F 38': 2, '0F 3A': 3 };
const VEX_MAP: Readonly<Record<string, number>> = { '0F': 4, '0F38': 5, '0F3A': 6 };

/** What an encoding begins with: prefixes, escapes, opcode. */
const OPCODE = new RegExp(
  [
    '^(?:VEX\\.(?<l>128|256|LIG|LZ)\\.(?<vexPp>NP|66|F3|F2)\\.(?<vexMap>0F|0F38|0F3A)\\.(?<vexW>W0|W1|WIG) ',
    '|(?:(?<pp>NP|66|F3|F2) )?(?:(?<w>REX\\.W|W0) )?(?:(?<map>0F(?: 38| 3A)?) )?)',
    '(?<opcode>[0-9A-F]{2})(?<opReg>\\+r)?(?: |$)',
  ].join(''),
);

/** The beginning of an encoding, and the text behind it. */
interface Opcode extends Pick<Encoding, 'map' | 'opcode' | 'opReg' | 'pp' | 'w' | 'l'> {
  readonly rest: string;
}

export function parseOpcode(text: string): Opcode {
  const found = OPCODE.exec(text);
  if (found === null) throw new Bug(`encoding "${text}": no opcode`);
  const g = found.groups as Readonly<Record<string, string | undefined>>;
  const pp = g['vexPp'] ?? g['pp'];
  const w = g['vexW'] ?? g['w'];
  const vexMap = g['vexMap'];
  return {
    map: (vexMap !== undefined ? VEX_MAP[vexMap] : g['map'] !== undefined ? LEGACY_MAP[g['map']] : 0) as number,
    opcode: Number.parseInt(g['opcode'] as string, 16),
    opReg: g['opReg'] !== undefined,
    pp: pp === undefined ? -1 : (PP[pp] as number),
    w: w === undefined || w === 'WIG' ? -1 : w === 'W0' ? 0 : 1,
    l: g['l'] === undefined || g['l'] === 'LIG' ? -1 : g['l'] === '256' ? 1 : 0,
    rest: text.slice(found[0].length),
  };
}

export function parseEncoding(text: string, operands: readonly Operand[]): Encoding {
  const { rest, ...opcode } = parseOpcode(text);
  const e = {
    ...opcode,
    hasModrm: false,
    reg: -1,
    mod3: -1,
    rm: -1,
    only64: -1,
    size64: '' as '' | 'd64' | 'f64',
    lock: false,
    modreg: false,
    byAddr: false,
  };
  for (const word of rest === '' ? [] : rest.split(' ')) {
    const modrm = /^([0-9A-F]{2})(\+i)?$/.exec(word);
    const slash = /^\/([r0-7])$/.exec(word);
    if (modrm !== null) {
      const byte = Number.parseInt(modrm[1] as string, 16);
      if (byte < 0xc0) throw new Bug(`ModRM byte in ${text}?`);
      e.hasModrm = true;
      e.mod3 = 1;
      e.reg = (byte >> 3) & 7;
      if (modrm[2] === undefined) e.rm = byte & 7;
    } else if (slash !== null) {
      e.hasModrm = true;
      if (slash[1] !== 'r') e.reg = Number(slash[1]);
    } else if (word === 'i64') e.only64 = 0;
    else if (word === 'o64') e.only64 = 1;
    else if (word === 'd64' || word === 'f64') e.size64 = word;
    else if (word === 'LOCK') e.lock = true;
    else if (word === 'modreg') e.modreg = true;
    else if (word === 'byaddr') e.byAddr = true;
    else if (word === 'W0') e.w = 0;
    else throw new Bug(`encoding "${text}": ${word}?`);
  }
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
