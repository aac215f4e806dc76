/** What each op reads and writes, as one byte of bits an op: derived from the op table, for passes and compiler. */
import { OPS, type OpInfo } from './ops.js';

export const Effect = {
  readsA: 1,
  readsB: 2,
  writesDst: 4,
  /** Reads the slot whose number is `imm` (sel). */
  readsImmSlot: 8,
  /** Reads the four lazy flag slots (cond). */
  readsFlags: 16,
  /** Depends on its operands only: may go when nobody reads the result. */
  removable: 32,
  /** May leave the block with every guest-visible slot observable: fault, callf, terminator. */
  observes: 64,
  end: 128,
} as const;

function effectOf(o: OpInfo): number {
  const E = Effect;
  const observes = o.effect === 'fault' || o.effect === 'end' || o.name === 'callf' || o.name === 'vcallf';
  let e = (observes ? E.observes : 0) | (o.effect === 'end' ? E.end : 0);
  switch (o.name) {
    case 'pcrel':
      return e | E.writesDst | E.removable;
    case 'cond':
      return e | E.writesDst | E.removable | E.readsFlags;
    case 'sel':
      return e | E.readsA | E.readsB | E.readsImmSlot | E.writesDst | E.removable;
    case 'call':
      return e | E.readsA | E.readsB | E.writesDst | E.removable;
    case 'callf':
      return e | E.readsA | E.readsB | E.writesDst;
    // Operands of vector ops are fields from vectorBase on: never cached, so neither read nor written as slots.
    case 'vcall':
    case 'vcallf':
    case 'exit':
      return e;
    case 'probew':
      return e | E.readsA;
    case 'st128':
    case 'st128a':
    case 'st256':
    case 'st256a':
    case 'ld128':
    case 'ld128a':
    case 'ld256':
    case 'ld256a':
      return e | E.readsA;
  }
  if (o.effect === 'pure' && o.format.startsWith('d')) e |= E.removable;
  switch (o.format) {
    case 'd':
    case 'di':
    case 'dI':
      return e | E.writesDst | (o.effect === 'state' ? E.removable : 0);
    case 'da':
    case 'dai':
    case 'ldm':
      return e | E.writesDst | E.readsA;
    case 'dab':
    case 'dabi':
    case 'dabx':
      return e | E.writesDst | E.readsA | E.readsB;
    case 'ab':
    case 'abi':
    case 'if2':
    case 'stm':
      return e | E.readsA | E.readsB;
    case 'a':
    case 'ai':
    case 'ifi':
    case 'if1':
    case 'jmp':
      return e | E.readsA;
    default:
      return e;
  }
}

/** Effect bits by op code. */
export const EFFECTS: Uint8Array = Uint8Array.from(OPS, effectOf);

/** For ops of effect `if`: the index of the word (2 or 3) that holds the skip count, else 0. */
export const SKIP_WORD: Uint8Array = Uint8Array.from(OPS, (o) => (o.effect !== 'if' ? 0 : o.format === 'ifi' ? 3 : 2));
