/**
 * What an x87 helper computes, told to the region compiler so that it can put the usual case in line: numbers in integer
 * registers, in the 80-bit format, and where the stack's top is known at compile time. All other cases call the helper.
 */

export type X87Operation =
  | 'add'
  | 'mul'
  | 'sub'
  /** These two are always calls, of which it is known what they read and write. */
  | 'div'
  | 'sqrt'
  /** ST(0) with an operand: to arithmetic flags in a slot, or to the condition codes. */
  | 'compare'
  /** Pushes a memory operand, a constant, a copy of ST(other). */
  | 'load'
  | 'constant'
  | 'copy'
  /** ST(other) = ST(0). */
  | 'assign'
  | 'exchange'
  /** ST(0) loses its sign, or gets the other one. */
  | 'abs'
  | 'negate'
  /** ST(0) to a slot, as a number of `memory`'s format. */
  | 'store';

/** Format of an operand in a slot; `none`: the operand is a register. */
export type X87Format = 'none' | 'f32' | 'f64' | 'i16' | 'i32' | 'i64';

export interface X87Code {
  readonly operation: X87Operation;
  /** The operand is ST(other). */
  readonly other: number;
  readonly memory: X87Format;
  /** Arithmetic: the result goes to ST(other). */
  readonly toOther: boolean;
  /** Arithmetic: the operand comes first. */
  readonly reversed: boolean;
  /** Registers popped at the end. */
  readonly pops: number;
  /** `compare`: the result goes to a slot. */
  readonly toSlot: boolean;
  /** `constant`: sign and exponent, and the significand's high half (the low one is zero). */
  readonly signExponent: number;
  readonly significandHigh: number;
  /** What to record as the last opcode, and the offset of the selector to record as the operand's; 0: none. */
  readonly opcode: number;
  readonly selector: number;
}

/** Byte offsets of the x87's state; fields are u32, registers 16 bytes each: u64 significand, u16 sign and exponent. */
export interface X87State {
  readonly registers: number;
  readonly top: number;
  /** Bit i: register i is empty. */
  readonly tags: number;
  readonly control: number;
  /** Without TOP. */
  readonly status: number;
  readonly opcode: number;
  readonly codeSelector: number;
  readonly lastCodeSelector: number;
  readonly lastDataSelector: number;
}

/** Bits of the status and control words. */
export const X87_BIT = { pe: 0x20, es: 0x80, c0: 0x100, c1: 0x200, c2: 0x400, c3: 0x4000 } as const;

/** Bits to which results are rounded: of those in line. */
export type X87Precision = 64 | 53;
/** `control & mask` is `value` when rounding is to nearest, to so many bits, with PE masked. */
export const X87_USUAL = { mask: 0xf20, value: { 64: 0x320, 53: 0x220 } } as const;
/** The precision that a control word asks for; undefined: 24 bits. */
export function x87Precision(control: number): X87Precision | undefined {
  // 1 is reserved; processors take it for 3.
  return (control & 0x100) !== 0 ? 64 : (control & 0x200) !== 0 ? 53 : undefined;
}

export interface X87Inlining {
  readonly state: X87State;
  /** What to put in place of helper number `helper` with `imm`, if there is such a thing. */
  readonly code: (helper: number, imm: number) => X87Code | undefined;
}
