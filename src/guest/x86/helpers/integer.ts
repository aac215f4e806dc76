import type { HelperTable } from './table.js';

export const INTEGER_HELPERS: HelperTable = {
  module: 'x86/integer',
  helpers: [],
};
