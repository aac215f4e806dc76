/** Every instruction row. Each engineer's table is a member of this list. */
import type { Row } from './row.js';

export const ROWS: readonly Row[] = [];
