import type { HelperTable } from './table.js';

export const X87_HELPERS: HelperTable = {
  module: 'x86/x87',
  helpers: [],
};
