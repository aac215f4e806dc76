/** Names the groups of instructions that statistics are kept of and sequences are mixed from. */
import type { Form } from '../../../src/guest/x86/decode.js';
import { ARITHMETIC_ROWS } from '../../../src/guest/x86/insn/arithmetic.js';
import { BIT_ROWS } from '../../../src/guest/x86/insn/bits.js';
import { CRYPTO_ROWS } from '../../../src/guest/x86/insn/crypto.js';
import { MOVE_ROWS } from '../../../src/guest/x86/insn/move.js';
import { SHIFT_ROWS } from '../../../src/guest/x86/insn/shift.js';
import { SSE_FLOAT_ROWS } from '../../../src/guest/x86/insn/sse-float.js';
import { STRING_ROWS } from '../../../src/guest/x86/insn/string.js';
import { SYSTEM_ROWS } from '../../../src/guest/x86/insn/system.js';
import { X87_ROWS, X87_TRANSCENDENTAL_ROWS } from '../../../src/guest/x86/insn/x87.js';
import { X87_CONTROL_ROWS } from '../../../src/guest/x86/insn/x87-control.js';

const TABLES = [
  ['arithmetic', ARITHMETIC_ROWS],
  ['move', MOVE_ROWS],
  ['shift', SHIFT_ROWS],
  ['string', STRING_ROWS],
  ['crypto', CRYPTO_ROWS],
  ['x87', [...X87_ROWS, ...X87_CONTROL_ROWS]],
  ['x87 transcendental', X87_TRANSCENDENTAL_ROWS],
  ['system', SYSTEM_ROWS],
] as const;
const BITS = new Set(BIT_ROWS);
const FLOAT = new Set(SSE_FLOAT_ROWS);
const BY_ROW = new Map(TABLES.flatMap(([name, rows]) => rows.map((row) => [row, name] as const)));

export function groupOf(form: Form): string {
  const mnemonic = form.mnemonics[0] as string;
  if (/^(MUL|IMUL|DIV|IDIV)$/.test(mnemonic)) return 'mul/div';
  const name = BY_ROW.get(form.row);
  if (name !== undefined) return name;
  if (BITS.has(form.row)) return form.encoding.map >= 4 ? 'BMI' : 'bits';
  if (/^fma/.test(form.feature)) return 'FMA';
  if (/^f16c/.test(form.feature)) return 'F16C';
  if (/GATHER|MASKMOV/.test(mnemonic)) return 'gather and mask';
  if (form.operands.some((o) => 'PQN'.includes(o.kind)) || mnemonic === 'EMMS') return 'MMX';
  const kind = FLOAT.has(form.row) ? 'float' : 'integer';
  if (form.encoding.map >= 4) return `${/avx2/.test(form.feature) ? 'AVX2' : 'AVX'} ${kind}`;
  if (form.unit === 'none') return 'control';
  return `SSE ${kind}`;
}
