/** Checks a block's ops against the rules that `ops.ts` states: for tests, and for translators while they are written. */
import { TEMP0 } from './builder.js';
import { EFFECTS, Effect, SKIP_WORD } from './effects.js';
import { TEMP_COUNT } from './layout.js';
import { ExitReason, GotoKind, JumpKind, OPS, PcMask } from './ops.js';

export interface VerifyLimits {
  /** 64-bit cells of the vCPU state. */
  readonly slots: number;
  /** First slot of vector state: 16-byte operands lie there. */
  readonly vectorBaseSlot: number;
  readonly helpers: number;
  /** Guest bytes of the block. */
  readonly bytes: number;
}

const has = (table: Readonly<Record<string, number>>, value: number): boolean => Object.values(table).includes(value);

/** What is wrong with the ops, as `op 3 (add): ...`; empty when nothing is. */
export function verifyOps(words: Int32Array, count: number, limits: VerifyLimits): string[] {
  const problems: string[] = [];
  const problem = (i: number, what: string): void => {
    problems.push(`op ${i} (${OPS[(words[i * 4] as number) & 0xffff]?.name ?? '?'}): ${what}`);
  };

  /** Checks ops [from, to) with these temporaries defined; gives those defined at `to`, or undefined if it is not reached. */
  const range = (from: number, to: number, defined: Set<number>): Set<number> | undefined => {
    for (let i = from; i < to; ) {
      const w = i * 4;
      const op = (words[w] as number) & 0xffff;
      if (OPS[op] === undefined) {
        problem(i, 'no such op');
        return undefined;
      }
      const effects = EFFECTS[op] as number;
      const read = (slot: number): void => {
        if (slot >= limits.slots || slot < 0) problem(i, `slot ${slot} is outside the state`);
        if (slot >= TEMP0 && slot < TEMP0 + TEMP_COUNT && !defined.has(slot))
          problem(i, `t${slot - TEMP0} is read but not defined on every path`);
      };
      const ab = words[w + 1] as number;
      if ((effects & Effect.readsA) !== 0) read(ab & 0xffff);
      if ((effects & Effect.readsB) !== 0) read(ab >>> 16);
      if ((effects & Effect.readsImmSlot) !== 0) read(words[w + 2] as number);
      immediates(i, w, op);
      if ((effects & Effect.writesDst) !== 0) {
        const dst = (words[w] as number) >>> 16;
        if (dst >= limits.slots) problem(i, `slot ${dst} is outside the state`);
        defined.add(dst);
      }
      if ((effects & Effect.end) !== 0) {
        if (i + 1 < to) problem(i + 1, 'cannot be reached: it follows a terminator');
        return undefined;
      }
      const skip = SKIP_WORD[op] as number;
      if (skip === 0) {
        i++;
        continue;
      }
      const end = i + 1 + (words[w + skip] as number);
      if (end <= i || end > to) {
        problem(i, `skips ${words[w + skip]} ops, past the end of the body it is in`);
        return undefined;
      }
      // The body may not have run: behind it only what was defined before it is.
      range(i + 1, end, new Set(defined));
      i = end;
    }
    return defined;
  };

  const vector = (i: number, slot: number): void => {
    if (slot >= limits.slots || slot < limits.vectorBaseSlot) problem(i, `slot ${slot} is not vector state`);
    else if (slot % 2 !== 0) problem(i, `vector slot ${slot} is not aligned to 16 bytes`);
  };

  const immediates = (i: number, w: number, op: number): void => {
    const dst = (words[w] as number) >>> 16;
    const ab = words[w + 1] as number;
    const imm = words[w + 2] as number;
    const aux = words[w + 3] as number;
    const name = OPS[op]!.name;
    if (OPS[op]!.effect === 'fault' || OPS[op]!.effect === 'call') {
      if ((aux & 0xffff) >= limits.bytes) problem(i, `instruction offset ${aux & 0xffff} is outside the block`);
    }
    switch (name) {
      case 'lea':
      case 'lea32':
        if (aux < 0 || aux > 3) problem(i, `shift ${aux} is not 0 to 3`);
        break;
      case 'pcrel':
        if (!has(PcMask, aux)) problem(i, `${aux} is no PcMask`);
        break;
      case 'goto':
        if (!has(GotoKind, dst & 15)) problem(i, `${dst & 15} is no GotoKind`);
        if (!has(PcMask, dst >>> 4)) problem(i, `${dst >>> 4} is no PcMask`);
        break;
      case 'jmp':
        if (!has(JumpKind, imm)) problem(i, `${imm} is no JumpKind`);
        break;
      case 'exit':
        if (!has(ExitReason, imm)) problem(i, `${imm} is no ExitReason`);
        break;
      case 'probew':
        if (ab >>> 16 === 0 || ab >>> 16 > 4096) problem(i, `cannot probe ${ab >>> 16} bytes`);
        break;
      case 'call':
      case 'callf':
      case 'vcall':
      case 'vcallf':
        if (aux >>> 16 >= limits.helpers) problem(i, `no helper ${aux >>> 16}`);
        break;
    }
    if (OPS[op]!.effect === 'state') {
      const bytes = Number(/\d+/.exec(name)?.[0]) / 8;
      if (imm < 0 || imm + bytes > limits.slots * 8) problem(i, `offset ${imm} is outside the state`);
      else if (imm % bytes !== 0) problem(i, `offset ${imm} is not aligned`);
    }
    if (/^ld(128|256)/.test(name)) vector(i, dst);
    if (/^st(128|256)/.test(name)) vector(i, ab >>> 16);
  };

  if (range(0, count, new Set()) !== undefined)
    problem(Math.max(0, count - 1), 'the block does not end in a terminator');
  return problems;
}
