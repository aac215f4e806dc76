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

export const X87_HELPER_TABLES: readonly HelperTable[] = [SAVE];
