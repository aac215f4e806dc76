import type { HelperTable } from './table.js';

export const SYSTEM_HELPERS: HelperTable = {
  module: 'x86/system',
  helpers: [],
};
