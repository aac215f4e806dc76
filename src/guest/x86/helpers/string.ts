import type { HelperTable } from './table.js';

/**
 * REP forms of the string instructions: imm = bytes of an element | segment of rSI << 4 | address size / 16 << 8 | 4096 for
 * REP/REPE (not REPNE) | 8192 in 64-bit mode. They do as much as they may at once and leave rCX, rSI, rDI true; result: 1
 * when work remains. A fault leaves the state as after the last whole element.
 */
export const STRING_HELPERS: HelperTable = {
  module: 'x86/string',
  helpers: [
    ['repMovs', 'callf'],
    ['repStos', 'callf'],
    ['repLods', 'callf'],
    ['repCmps', 'callf'],
    ['repScas', 'callf'],
    ['repIns', 'callf'], //  the port has been checked
    ['repOuts', 'callf'],
  ],
};
