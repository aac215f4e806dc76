/** Makes the bytes of an instruction from its row: random registers, [RDI + disp] or a register, a random immediate. */
import type { Form } from '../../src/guest/x86/decode.js';
import type { Operands } from './operands.js';

/** Prefix byte by number in an encoding (none, 66, F3, F2). */
const PP = [0, 0x66, 0xf3, 0xf2] as const;
const ESCAPES: readonly (readonly number[])[] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
const GENERAL = 'GERB';

export interface Choice {
  /** Memory operand rather than a register, where there is a choice. */
  readonly memory: boolean;
  /** Displacement from RDI of a memory operand. */
  readonly disp: number;
  /** Vector register with indexes for a gather. */
  readonly index?: number;
}

/** Registers given to vector operands: reg, VEX.vvvv and rm fields. */
export interface Encoded {
  readonly code: number[];
  readonly reg: number;
  readonly vvvv: number;
  readonly memory: boolean;
}

/** 64-bit mode. General register operands are RAX. */
export function encode(form: Form, random: Operands, choice: Choice): Encoded {
  const e = form.encoding;
  const operand = (kinds: string) => form.operands.find((o) => kinds.includes(o.kind));
  const field = (kinds: string): number => {
    const o = operand(kinds);
    if (o === undefined || GENERAL.includes(o.kind)) return 0;
    return 'PQN'.includes(o.kind) ? random.below(8) : random.below(16);
  };
  const memory = e.mod3 === 0 || (e.mod3 === -1 && choice.memory && operand('EWQM') !== undefined);
  const reg = e.reg >= 0 ? e.reg : field('GVP');
  const rm = e.rm >= 0 ? e.rm : memory ? 7 : field('EWQUNR');
  let vvvv = field('H');
  const index = choice.index ?? -1;
  if (index >= 0) vvvv = (index + 1 + random.below(7)) & 15;
  const code: number[] = [];
  const r = reg >> 3;
  const b = memory ? 0 : rm >> 3;
  const x = index >= 0 ? index >> 3 : 0;
  if (e.map >= 4) {
    const w = e.w >= 0 ? e.w : random.below(2);
    const l = e.l >= 0 ? e.l : random.below(2);
    const last = ((~vvvv & 15) << 3) | (l << 2) | Math.max(e.pp, 0);
    if (e.map === 4 && b === 0 && x === 0 && w === 0 && random.below(2) === 0) {
      code.push(0xc5, ((r ^ 1) << 7) | last);
    } else {
      code.push(0xc4, ((r ^ 1) << 7) | ((x ^ 1) << 6) | ((b ^ 1) << 5) | (e.map - 3), (w << 7) | last);
    }
  } else {
    if (e.pp > 0) code.push(PP[e.pp] as number);
    const rex = (e.w === 1 ? 8 : 0) | (r << 2) | b;
    if (rex !== 0) code.push(0x40 | rex);
    code.push(...(ESCAPES[e.map] as readonly number[]));
  }
  code.push(e.opcode);
  if (e.hasModrm) {
    if (!memory) code.push(0xc0 | ((reg & 7) << 3) | (rm & 7));
    else if (index >= 0)
      code.push(0x44 | ((reg & 7) << 3), (random.below(4) << 6) | ((index & 7) << 3) | 7, choice.disp);
    else code.push(0x40 | ((reg & 7) << 3) | 7, choice.disp);
  }
  for (const _ of form.immediates) code.push(random.below(256));
  return { code, reg, vvvv, memory };
}
