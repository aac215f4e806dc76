import type { HelperTable } from './table.js';

export const INTEGER_HELPERS: HelperTable = {
  module: 'x86/integer',
  helpers: [
    // a = effective address, imm = segment | 8 for a write | bytes << 4: #GP or #SS unless the segment allows the access.
    ['checkSegment', 'callf'],
  ],
};
