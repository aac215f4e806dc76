import type { HelperTable } from './table.js';

/** "size" is in bits here: 8, 16, 32, 64. */
export const INTEGER_HELPERS: HelperTable = {
  module: 'x86/integer',
  helpers: [
    // a = effective address, imm = segment | 8 for a write | bytes << 4: #GP or #SS unless the segment allows the access.
    ['checkSegment', 'callf'],
    // a = linear address, imm = bytes: the fault of a misaligned access, #AC unless it lies outside the address space.
    ['misaligned', 'callf'],
    // a = linear address, imm = bytes: the fault of a read there, if there is one.
    ['probeOperand', 'callf'],
    // a = divisor, imm = size: divides rDX:rAX (AX for bytes); #DE.
    ['divide', 'callf'],
    ['divideSigned', 'callf'],
    // Decimal adjustments of AX; imm = base for AAM, AAD.
    ['daa', 'callf'],
    ['das', 'callf'],
    ['aaa', 'callf'],
    ['aas', 'callf'],
    ['aam', 'callf'],
    ['aad', 'callf'],
    // a = EFLAGS bits, b = result of a rotate, imm = size | 256 for a right one: a with CF and OF as the rotate sets them.
    ['rotateFlags', 'call'],
    // RCL, RCR: a = value, b = count (unmasked), imm = size | 256 for right; result; changes CF and OF.
    ['rotateThroughCarry', 'callf'],
    // a = value (zero-extended), b = start | length << 8.
    ['bextr', 'call'],
    // a = value, b = mask.
    ['pdep', 'call'],
    ['pext', 'call'],
  ],
};
