/**
 * What the decoder finds out about instruction rows, as data: reading the texts of the rows that the first second of a guest needs
 * takes longer than loading this does for all of them.
 */
import type { Encoding, Operand } from './parse.js';

/** Lists are JavaScript's own, which V8 keeps with a command's code. */
export interface Prepared {
  /** By map and opcode: first cell (0: no rows), dimensions, 1: takes a ModRM byte, 1: VEX.W counts in 64-bit mode only. */
  readonly start: readonly number[];
  readonly dims: readonly number[];
  readonly modrm: readonly number[];
  readonly generalW: readonly number[];
  /** Row number + 1, or 0. */
  readonly cells: readonly number[];
  /** The different operands there are. */
  readonly operands: readonly Operand[];
  /** `RECORD` characters for each row: the fields of its encoding, and of its operands which they are. */
  readonly rows: string;
}

const SIZES64 = ['', 'd64', 'f64'] as const;
const MOST_OPERANDS = 4;
const RECORD = 17 + MOST_OPERANDS;

/** -1 is a value too. */
const code = (value: number | boolean): string => String.fromCharCode(Number(value) + 1);

/** A row's record; operands that are not in `operands` yet are put there. */
export function packRow(e: Encoding, own: readonly Operand[], operands: Operand[]): string {
  const numbers = own.map((operand) => {
    const known = operands.findIndex((o) => o.text === operand.text);
    return known >= 0 ? known : operands.push(operand) - 1;
  });
  while (numbers.length < MOST_OPERANDS) numbers.push(-1);
  return [
    ...[e.map, e.opcode, e.opReg, e.pp, e.w, e.l, e.hasModrm, e.reg, e.mod3, e.rm, e.only64, SIZES64.indexOf(e.size64)],
    ...[e.lock, e.modreg, e.byAddr, e.dims, e.specific, ...numbers],
  ]
    .map(code)
    .join('');
}

/** What `packRow` was given for the row. */
export function unpackRow({ rows, operands }: Prepared, index: number): { encoding: Encoding; operands: Operand[] } {
  const from = index * RECORD;
  const at = (field: number): number => rows.charCodeAt(from + field) - 1;
  const own: Operand[] = [];
  for (let i = 0; i < MOST_OPERANDS && at(17 + i) >= 0; i++) own.push(operands[at(17 + i)] as Operand);
  return {
    operands: own,
    encoding: {
      map: at(0),
      opcode: at(1),
      opReg: at(2) === 1,
      pp: at(3),
      w: at(4),
      l: at(5),
      hasModrm: at(6) === 1,
      reg: at(7),
      mod3: at(8),
      rm: at(9),
      only64: at(10),
      size64: SIZES64[at(11)] as Encoding['size64'],
      lock: at(12) === 1,
      modreg: at(13) === 1,
      byAddr: at(14) === 1,
      dims: at(15),
      specific: at(16),
    },
  };
}
