/** Which x87 helpers the region compiler may put in line, and as what (ir/x87-code.ts). */
import type { X87Code, X87Format, X87Operation, X87State } from '../../../ir/x87-code.js';
import { SEG, X86 } from '../state.js';

const at = (field: string): number => X86.at[field] as number;

export const X87_STATE: X87State = {
  registers: at('fpr'),
  top: at('fpTop'),
  tags: at('fpTags'),
  control: at('fcw'),
  status: at('fsw'),
  opcode: at('fop'),
  codeSelector: at('csSelector'),
  lastCodeSelector: at('fcs'),
  lastDataSelector: at('fds'),
};

/** Bits of the helpers' imm: see src/runtime/x86/x87.ts. */
const POP = 8;
const TO_STI = 16;
const REVERSE = 32;
const POP_TWICE = 16;

const ARITHMETIC = /^f(add|mul|sub|div)(m?)$/;
const FORMATS: readonly X87Format[] = ['f32', 'f64', 'i16', 'i32'];

function x87Code(name: string, imm: number): X87Code | undefined {
  const format = FORMATS[(imm >> 6) & 3] as X87Format;
  const pops = (imm & POP) !== 0 ? 1 : 0;
  const selector = at(`${SEG[(imm >> 12) & 7]}Selector`);
  const register: X87Code = {
    operation: 'add',
    other: imm & 7,
    memory: 'none',
    toOther: false,
    reversed: (imm & REVERSE) !== 0,
    pops,
    toSlot: false,
    signExponent: 0,
    significandHigh: 0,
    opcode: imm >>> 16,
    selector: 0,
  };
  const memory: X87Code = { ...register, other: 0, memory: format, pops: 0, selector };
  const arithmetic = ARITHMETIC.exec(name);
  if (arithmetic !== null) {
    const operation = arithmetic[1] as X87Operation;
    if (arithmetic[2] !== '') return { ...memory, operation };
    return { ...register, operation, toOther: (imm & TO_STI) !== 0 };
  }
  const compare: X87Code = { ...register, operation: 'compare', reversed: false };
  switch (name) {
    case 'fsqrt':
      return { ...register, operation: 'sqrt', other: 0 };
    case 'fcom':
      return { ...compare, pops: (imm & POP_TWICE) !== 0 ? 2 : pops };
    case 'fcomm':
      return { ...memory, operation: 'compare', reversed: false, pops };
    case 'fcomi':
      return { ...compare, toSlot: true };
    case 'fldm':
      return { ...memory, operation: 'load' };
    case 'fild64':
      return { ...memory, operation: 'load', memory: 'i64' };
    case 'fldconst':
      // 1 and 0; the others depend on the direction of rounding.
      if ((imm & 7) === 0)
        return { ...register, operation: 'constant', signExponent: 0x3fff, significandHigh: 1 << 31 };
      return (imm & 7) === 6 ? { ...register, operation: 'constant' } : undefined;
    case 'fld':
      return { ...register, operation: 'copy' };
    case 'fst':
      // The undocumented FSTP1 differs when ST(0) is empty; that is the helper's affair, too.
      return { ...register, operation: 'assign' };
    case 'fxch':
      return { ...register, operation: 'exchange' };
    case 'fsign':
      return { ...register, operation: (imm & 8) !== 0 ? 'negate' : 'abs', other: 0, pops: 0 };
    case 'fst32':
      return { ...memory, operation: 'store', memory: 'f32', pops };
    case 'fst64':
      return { ...memory, operation: 'store', memory: 'f64', pops };
    default:
      return undefined;
  }
}

const cache = new Map<string, X87Code | undefined>();

export function inlineX87(name: string, imm: number): X87Code | undefined {
  const key = `${name} ${imm}`;
  if (cache.has(key)) return cache.get(key);
  const code = x87Code(name, imm);
  cache.set(key, code);
  return code;
}
