/** Every instruction row. Each engineer's table is a member of this list. */
import { CRYPTO_ROWS } from './crypto.js';
import type { Row } from './row.js';
import { SSE_FLOAT_ROWS } from './sse-float.js';
import { VECTOR_INT_ROWS } from './vector-int.js';
import { VECTOR_MEMORY_ROWS } from './vector-memory.js';
import { VECTOR_MOVE_ROWS } from './vector-move.js';
import { VECTOR_SHUFFLE_ROWS } from './vector-shuffle.js';
import { VECTOR_TEST_ROWS } from './vector-test.js';
import { X87_CONTROL_ROWS } from './x87-control.js';

export const ROWS: readonly Row[] = [
  ...VECTOR_INT_ROWS,
  ...VECTOR_MEMORY_ROWS,
  ...VECTOR_MOVE_ROWS,
  ...VECTOR_SHUFFLE_ROWS,
  ...VECTOR_TEST_ROWS,
  ...CRYPTO_ROWS,
  ...SSE_FLOAT_ROWS,
  ...X87_CONTROL_ROWS,
];
