/** Which SSE helpers the region compiler may put in line, and as what (ir/float-code.ts). */
import type { FloatCode, FloatOperation, FloatStatus } from '../../../ir/float-code.js';
import { EFLAGS } from '../flags.js';
import { X86 } from '../state.js';

/**
 * Rounding to nearest, PE masked and set, UE masked without flushing to zero (an exact denormal result raises it otherwise):
 * MXCSR bits 13 to 15 clear; 5, 11 and 12 set.
 */
export const FLOAT_STATUS: FloatStatus = { offset: X86.at['mxcsr'] as number, mask: 0xf820, value: 0x1820 };

/** Bits of the helpers' imm: see src/runtime/x86/sse-float-common.ts and sse-float-convert.ts. */
const VEX = 1;
const WIDE = 2;
const LONG = 256;
const TRUNCATE = 512;

const ARITHMETIC = /^(add|sub|mul|div|sqrt|min|max|cmp)([sp])([sd])$/;
/** CMPxx predicates 0..7 of ordered operands, as relations (1 less, 2 equal, 4 greater); 8..31 repeat them but for equality. */
const RELATIONS = [2, 1, 3, 0, 5, 6, 4, 7] as const;

const PLAIN: FloatCode = {
  operation: 'add',
  bits: 64,
  packed: false,
  parts: 1,
  clearsUpper: false,
  relations: 0,
  outcomes: [EFLAGS.cf, EFLAGS.zf, 0],
  long: false,
  truncates: false,
};

function floatCode(name: string, imm: number): FloatCode | undefined {
  const clearsUpper = (imm & VEX) !== 0 && (imm & WIDE) === 0;
  const parts = (imm & WIDE) === 0 ? 1 : 2;
  const arithmetic = ARITHMETIC.exec(name);
  if (arithmetic !== null) {
    const [, what, shape, type] = arithmetic as unknown as [string, string, string, string];
    const operation = what === 'cmp' ? 'mask' : (what as FloatOperation);
    // Predicates from 8 on differ from those below for unordered operands only.
    const relations = RELATIONS[(imm >> 8) & 7] as number;
    return { ...PLAIN, operation, bits: type === 'd' ? 64 : 32, packed: shape === 'p', parts, clearsUpper, relations };
  }
  switch (name) {
    case 'comisd':
      return { ...PLAIN, operation: 'compare' };
    case 'comiss':
      return { ...PLAIN, operation: 'compare', bits: 32 };
    case 'cvtsi2sd':
    case 'cvtsi2ss':
      return {
        ...PLAIN,
        operation: 'fromInteger',
        bits: name === 'cvtsi2sd' ? 64 : 32,
        long: (imm & LONG) !== 0,
        clearsUpper,
      };
    case 'cvtsd2si':
    case 'cvtss2si':
      return {
        ...PLAIN,
        operation: 'toInteger',
        bits: name === 'cvtsd2si' ? 64 : 32,
        long: (imm & LONG) !== 0,
        truncates: (imm & TRUNCATE) !== 0,
      };
    case 'cvtss2sd':
      return { ...PLAIN, operation: 'convert', bits: 32, clearsUpper };
    case 'cvtsd2ss':
      return { ...PLAIN, operation: 'convert', bits: 64, clearsUpper };
    case 'cvtdq2pd':
      return parts === 1 ? { ...PLAIN, operation: 'fromIntegers', packed: true, clearsUpper } : undefined;
    case 'cvtdq2ps':
      return { ...PLAIN, operation: 'fromIntegers', bits: 32, packed: true, parts, clearsUpper };
    default:
      return undefined;
  }
}

const cache = new Map<string, FloatCode | undefined>();

/** What to put in place of a call of helper `name` with `imm` in the usual case, if there is such a thing. */
export function inlineFloat(name: string, imm: number): FloatCode | undefined {
  const key = `${name} ${imm}`;
  if (cache.has(key)) return cache.get(key);
  const code = floatCode(name, imm);
  cache.set(key, code);
  return code;
}
