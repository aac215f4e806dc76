/** Every instruction row. Each engineer's table is a member of this list. */
import { ARITHMETIC_ROWS } from './arithmetic.js';
import { BIT_ROWS } from './bits.js';
import { CONTROL_ROWS } from './control.js';
import { CRYPTO_ROWS } from './crypto.js';
import { MOVE_ROWS } from './move.js';
import type { Row } from './row.js';
import { SHIFT_ROWS } from './shift.js';
import { SSE_FLOAT_ROWS } from './sse-float.js';
import { STRING_ROWS } from './string.js';
import { SYSTEM_ROWS } from './system.js';
import { VECTOR_TEST_ROWS } from './vector-compare.js';
import { VECTOR_INT_ROWS } from './vector-int.js';
import { VECTOR_MEMORY_ROWS } from './vector-memory.js';
import { VECTOR_MOVE_ROWS } from './vector-move.js';
import { VECTOR_SHUFFLE_ROWS } from './vector-shuffle.js';
import { X87_ROWS, X87_TRANSCENDENTAL_ROWS } from './x87.js';
import { X87_CONTROL_ROWS } from './x87-control.js';

export const ROWS: readonly Row[] = [
  ...ARITHMETIC_ROWS,
  ...MOVE_ROWS,
  ...SHIFT_ROWS,
  ...BIT_ROWS,
  ...CONTROL_ROWS,
  ...STRING_ROWS,
  ...SYSTEM_ROWS,
  ...VECTOR_INT_ROWS,
  ...VECTOR_MEMORY_ROWS,
  ...VECTOR_MOVE_ROWS,
  ...VECTOR_SHUFFLE_ROWS,
  ...VECTOR_TEST_ROWS,
  ...CRYPTO_ROWS,
  ...SSE_FLOAT_ROWS,
  ...X87_CONTROL_ROWS,
  ...X87_ROWS,
  ...X87_TRANSCENDENTAL_ROWS,
];
