import type { HelperTable } from './table.js';

export const STRING_HELPERS: HelperTable = {
  module: 'x86/string',
  helpers: [],
};
