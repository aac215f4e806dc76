/** Instructions as text, from the same rows: for monitors and `-d in_asm`. Intel syntax, lower case, as binutils writes it. */
import { Decoded, Decoder, Insn } from './decode.js';
import { ROWS } from './insn/index.js';
import type { Operand } from './insn/parse.js';
import { PREPARED } from './insn/prepared.js';
import { Mode } from './state.js';

const R64 = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const;
const R8 = ['al', 'cl', 'dl', 'bl', 'ah', 'ch', 'dh', 'bh'] as const;
const R8_REX = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'] as const;
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', '?', '?'] as const;
const POINTER: Readonly<Record<number, string>> = {
  8: 'BYTE PTR ',
  16: 'WORD PTR ',
  32: 'DWORD PTR ',
  48: 'FWORD PTR ',
  64: 'QWORD PTR ',
  80: 'TBYTE PTR ',
  128: 'XMMWORD PTR ',
  256: 'YMMWORD PTR ',
};

export interface Disassembled {
  readonly length: number;
  readonly text: string;
}

export class Disassembler {
  readonly #decoder = new Decoder(ROWS, PREPARED);
  readonly #i = new Insn();
  #long = false;

  /**
   * The instruction at `bytes[at]` whose address is `pc`, under these mode bits. Bytes that are no instruction, or are cut
   * off at `limit`, come out as `(bad)` of length 1.
   */
  disassemble(bytes: Uint8Array, at: number, limit: number, mode: number, pc: bigint): Disassembled {
    const i = this.#i;
    this.#long = (mode & Mode.cs64) !== 0;
    if (this.#decoder.decode(i, bytes, at, limit, mode) !== Decoded.ok) return { length: 1, text: '(bad)' };
    const operands = i.form.operands.map((o, k) => this.#operand(o, k, pc));
    const name = this.#prefixes() + this.#mnemonic();
    return { length: i.length, text: operands.length === 0 ? name : `${name.padEnd(6)} ${operands.join(',')}` };
  }

  #mnemonic(): string {
    const i = this.#i;
    const names = i.form.mnemonics;
    const size = i.form.encoding.byAddr ? i.addrSize : i.opSize;
    const which = size === 16 ? 0 : size === 32 ? 1 : 2;
    return (names[Math.min(which, names.length - 1)] as string).toLowerCase();
  }

  #prefixes(): string {
    const i = this.#i;
    let text = i.lock ? 'lock ' : '';
    if (i.rep !== 0 && i.form.encoding.pp < 2 && i.form.encoding.map === 0) {
      const op = i.opcode;
      if (op === 0xa6 || op === 0xa7 || op === 0xae || op === 0xaf) text += i.rep === 0xf3 ? 'repz ' : 'repnz ';
      else if ((op >= 0xa4 && op <= 0xad) || (op >= 0x6c && op <= 0x6f)) text += i.rep === 0xf3 ? 'rep ' : 'repnz ';
    }
    return text;
  }

  /** Bits of an operand by its size code. */
  #bits(size: string): number {
    const i = this.#i;
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
      case 't':
        return 80;
      case 'dq':
        return 128;
      case 'qq':
        return 256;
      case 'x':
      case 'ps':
      case 'pd':
        return i.l === 1 && !i.form.operands.some((o) => o.size === 'ss' || o.size === 'sd') ? 256 : 128;
      case 'y':
        return i.opSize === 64 ? 64 : 32;
      case 'z':
        return i.opSize === 16 ? 16 : 32;
      case 'p':
        return i.opSize === 16 ? 32 : 48;
      case 'v':
        return i.opSize;
      case 'a':
        return i.opSize * 2;
      default:
        return 0;
    }
  }

  #register(n: number, bits: number): string {
    if (n >= 8) return `r${n}${bits === 8 ? 'b' : bits === 16 ? 'w' : bits === 32 ? 'd' : ''}`;
    if (bits === 8) return (this.#i.rex !== 0 ? R8_REX : R8)[n] as string;
    const name = R64[n] as string;
    return bits === 64 ? name : bits === 32 ? `e${name.slice(1)}` : name.slice(1);
  }

  #operand(o: Operand, k: number, pc: bigint): string {
    const i = this.#i;
    const bits = this.#bits(o.size);
    // Registers of system instructions have the mode's natural size.
    const general = bits === 0 || bits > 64 ? (this.#long ? 64 : 32) : bits;
    switch (o.kind) {
      case 'E': {
        if (i.mod === 3) return this.#register(i.rm, general);
        // A selector or the machine status word takes 16 bits in memory whatever the operand size.
        const key = i.form.encoding.map * 256 + i.opcode;
        return this.#memory(key === 0x8c || key === 0x100 || key === 0x101 ? 16 : bits, pc);
      }
      case 'M':
        return this.#memory(o.size === 's' || o.size === '' ? 0 : bits, pc);
      case 'G':
        return this.#register(i.reg, general);
      case 'B':
        return this.#register(i.vvvv, general);
      case 'R':
        return this.#register(i.rm, general);
      case 'Z':
        return this.#register(i.opreg, general);
      case 'r':
        return this.#register(o.fixed, bits);
      case '1':
        return o.text;
      case '=':
        return o.text === 'ST0' ? 'st' : o.text.toLowerCase();
      case 'C':
        return `cr${i.reg}`;
      case 'D':
        return `dr${i.reg}`;
      case 'S':
        return SEGMENTS[i.reg & 7] as string;
      case 'T':
        return `st(${i.rm & 7})`;
      case 'P':
        return `mm${i.reg & 7}`;
      case 'N':
        return `mm${i.rm & 7}`;
      case 'Q':
        return i.mod === 3 ? `mm${i.rm & 7}` : this.#memory(64, pc);
      case 'V':
        return this.#vector(i.reg, bits);
      case 'H':
        return this.#vector(i.vvvv, bits);
      case 'U':
        return this.#vector(i.rm, bits);
      case 'W':
        return i.mod === 3 ? this.#vector(i.rm, bits) : this.#memory(bits, pc);
      case 'L':
        return this.#vector((i.imm >> 4) & (this.#long ? 15 : 7), bits);
      case 'I':
        return this.#immediate(k);
      case 'J':
        return hex(this.#target(pc));
      case 'A':
        return `${hex(BigInt(i.imm2 & 0xffff))}:${hex(BigInt(i.imm >>> 0))}`;
      case 'O':
        return `${this.#segmentPrefix('ds')}${hex(BigInt.asUintN(64, (BigInt(i.immHigh) << 32n) | BigInt(i.imm >>> 0)))}`;
      case 'X':
        return `${POINTER[bits]}${i.seg >= 0 ? SEGMENTS[i.seg] : 'ds'}:[${this.#register(i.opcode === 0xd7 ? 3 : 6, i.addrSize)}]`;
      case 'Y':
        return `${POINTER[bits]}es:[${this.#register(7, i.addrSize)}]`;
      default:
        return o.text;
    }
  }

  /** Width of the vector that holds a gather's indexes: half the destination's when they are narrower than the elements. */
  #gatherBits(): number {
    const i = this.#i;
    const name = this.#mnemonic();
    const narrow = name.endsWith('dq') || name.endsWith('dpd');
    return i.l === 1 && !narrow ? 256 : 128;
  }

  #vector(n: number, bits: number): string {
    return `${bits === 256 ? 'ymm' : 'xmm'}${n}`;
  }

  #immediate(k: number): string {
    const i = this.#i;
    const { operands, encoding } = i.form;
    const value = operands.slice(0, k).some((o) => o.kind === 'I') ? i.imm2 : i.imm;
    const own = operands[k]?.size;
    // A byte is widened to the operand size by these three only: ALU, PUSH, IMUL.
    const widened = encoding.map === 0 && (i.opcode === 0x83 || i.opcode === 0x6a || i.opcode === 0x6b);
    const bits = own === 'b' ? (widened ? i.opSize : 8) : own === 'w' ? 16 : i.opSize;
    if (own === 'v' && bits === 64) return hex(BigInt.asUintN(64, (BigInt(i.immHigh) << 32n) | BigInt(i.imm >>> 0)));
    return hex(BigInt.asUintN(bits, BigInt(value)));
  }

  #target(pc: bigint): bigint {
    const i = this.#i;
    return BigInt.asUintN(i.opSize, pc + BigInt(i.length + i.imm));
  }

  #segmentPrefix(none: string): string {
    const seg = this.#i.seg;
    return seg >= 0 ? `${SEGMENTS[seg]}:` : none === '' ? '' : `${none}:`;
  }

  #memory(bits: number, pc: bigint): string {
    const i = this.#i;
    const size = POINTER[bits] ?? '';
    const wide = i.addrSize;
    const { disp } = i;
    if (i.ripRelative) {
      const name = wide === 64 ? 'rip' : 'eip';
      const at = BigInt.asUintN(wide, pc + BigInt(i.length + disp));
      return `${size}${this.#segmentPrefix('')}[${name}${signed(disp)}]        # ${hex(at)}`;
    }
    const mask = BigInt.asUintN(wide, BigInt(disp));
    if (i.base < 0 && i.index < 0 && !this.#mnemonic().includes('gather'))
      return `${size}${this.#segmentPrefix('ds')}${hex(mask)}`;
    const parts = i.base < 0 ? '' : this.#register(i.base, wide);
    const gather = this.#mnemonic().includes('gather');
    const indexName = gather
      ? this.#vector(i.index < 0 ? 4 : i.index, this.#gatherBits())
      : this.#register(Math.max(i.index, 0), wide);
    const index =
      i.index < 0 && !gather ? '' : `${i.base < 0 ? '' : '+'}${indexName}${wide === 16 ? '' : `*${1 << i.scale}`}`;
    // A displacement that is encoded is shown, even when it is 0.
    const shown = i.mod !== 0 || i.base < 0;
    return `${size}${this.#segmentPrefix('')}[${parts}${index}${shown ? signed(disp) : ''}]`;
  }
}

const hex = (n: bigint): string => `0x${n.toString(16)}`;
const signed = (n: number): string => (n < 0 ? `-0x${(-n).toString(16)}` : `+0x${n.toString(16)}`);
