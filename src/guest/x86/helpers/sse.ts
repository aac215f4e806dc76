import type { HelperTable } from './table.js';

export const SSE_HELPERS: HelperTable = {
  module: 'x86/sse',
  helpers: [],
};
