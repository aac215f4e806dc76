/** What is known of the x87's stack along a path of compiled code, and what an instruction does to it. */
// hot path
import type { X87Code } from '../ir/x87-code.js';

export const REGISTERS = 8;

/** What is known on a path. Masks have bit r for the register r above `base`. */
export interface Known {
  valid: boolean;
  /** TOP less `base`: now, and in memory. */
  top: number;
  topInMemory: number;
  /** Registers whose locals hold them; whose address is in a local; whose locals are newer than memory. */
  cached: number;
  addressed: number;
  dirty: number;
  /** Registers known to be full, empty; and those among them where memory still says otherwise. */
  full: number;
  empty: number;
  retagged: number;
  /** The status word in memory is old. */
  status: boolean;
  /** The last opcode, -1 when memory has it. */
  opcode: number;
  /** Memory has the code selector; the last operand's selector (its offset), and the one in memory. */
  code: boolean;
  data: number;
  dataInMemory: number;
}

export const NOTHING: Known = {
  valid: false,
  top: 0,
  topInMemory: 0,
  cached: 0,
  addressed: 0,
  dirty: 0,
  full: 0,
  empty: 0,
  retagged: 0,
  status: false,
  opcode: -1,
  code: false,
  data: 0,
  dataInMemory: 0,
};

/** What an instruction does to registers, numbered as in `Known`; masks of them. */
export interface Plan {
  /** ST(0) or the register to copy; the register operand; -1: none. */
  readonly source: number;
  readonly second: number;
  readonly written: readonly number[];
  readonly needsFull: number;
  readonly needsEmpty: number;
  /** May have been full or empty, and is full afterwards; were known to be one, and are the other. */
  readonly filled: number;
  readonly retagged: number;
  /** Afterwards. */
  readonly top: number;
  readonly full: number;
  readonly empty: number;
}

/** What an instruction does where so much is known. */
export function planOf(code: X87Code, known: Known): Plan {
  const st = (i: number): number => (known.top + i) & (REGISTERS - 1);
  const { operation, memory, other } = code;
  const pushes = operation === 'load' || operation === 'constant' || operation === 'copy';
  let source = st(0);
  let second = -1;
  let written: number[] = [];
  switch (operation) {
    case 'load':
    case 'constant':
      source = -1;
      written = [st(-1)];
      break;
    case 'copy':
      source = st(other);
      written = [st(-1)];
      break;
    case 'assign':
      written = [st(other)];
      break;
    case 'exchange':
      second = st(other);
      // The helper puts the indefinite into one that is empty.
      written = other === 0 ? [source] : [source, second];
      break;
    case 'compare':
      if (memory === 'none') second = st(other);
      break;
    case 'store':
      break;
    case 'sqrt':
    case 'abs':
    case 'negate':
      written = [source];
      break;
    default:
      if (memory === 'none') second = st(other);
      written = [code.toOther ? second : source];
  }
  const needsFull = bit(source) | bit(second);
  const needsEmpty = pushes ? bit(st(-1)) : 0;
  let results = 0;
  for (const r of written) results |= bit(r);
  let popped = 0;
  for (let i = 0; i < code.pops; i++) popped |= bit(st(i));
  const wasEmpty = known.empty | (needsEmpty & ~known.full);
  const isFull = known.full | (needsFull & ~known.empty);
  const filled = results & ~(isFull | wasEmpty);
  const wasFull = isFull | filled;
  const full = (known.full | needsFull | results) & ~popped;
  const empty = (wasEmpty & ~(results | needsFull)) | popped;
  return {
    source,
    second,
    written,
    needsFull,
    needsEmpty,
    filled,
    retagged: (wasEmpty & full) | (wasFull & empty),
    top: pushes ? st(-1) : st(code.pops),
    full,
    empty,
  };
}

export function bit(r: number): number {
  return r < 0 ? 0 : 1 << r;
}
