/** x87, and saving and restoring all vector and floating-point state. */
import type { HelperKind, HelperTable } from './table.js';

const all = (kind: HelperKind, ...names: readonly string[]): (readonly [string, HelperKind])[] =>
  names.map((n) => [n, kind]);

const SAVE: HelperTable = {
  module: 'x86/x87-save',
  helpers: [
    ...all('vcallf', 'fninit', 'fnclex', 'fwait', 'fldcw'),
    ...all('callf', 'fnstenv', 'fldenv', 'fnsave', 'frstor', 'fxsave', 'fxrstor', 'xsave', 'xrstor'),
  ],
};

const ARITHMETIC: HelperTable = {
  module: 'x86/x87',
  helpers: all(
    'vcallf',
    ...['fadd', 'fmul', 'fsub', 'fdiv', 'faddm', 'fmulm', 'fsubm', 'fdivm', 'fcom', 'fcomm', 'fcomi', 'ftst', 'fxam'],
    ...['fsign', 'fsqrt', 'frndint'],
  ),
};

const MOVES: HelperTable = {
  module: 'x86/x87-move',
  helpers: all(
    'vcallf',
    ...['fldm', 'fild64', 'fld80', 'fbld', 'fld', 'fldconst', 'fst'],
    ...['fxch', 'fcmov', 'ffree', 'fincstp', 'fdecstp', 'fnop'],
  ),
};

const STORES: HelperTable = {
  module: 'x86/x87-store',
  helpers: all('vcallf', 'fst32', 'fst64', 'fst80', 'fist', 'fbstp'),
};

const FUNCTIONS: HelperTable = {
  module: 'x86/x87-functions',
  helpers: all('vcallf', 'fprem', 'fscale', 'fxtract', 'f2xm1', 'fyl2x', 'fpatan', 'fsin', 'fsincos'),
};

export const X87_HELPER_TABLES: readonly HelperTable[] = [SAVE, ARITHMETIC, MOVES, STORES, FUNCTIONS];
