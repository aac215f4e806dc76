/**
 * What the passes over a block's ops (src/runtime/core/passes.ts) need to know of each op, beside its effects: tables that
 * `tools/generate-runtime.ts` writes for the runtime.
 */
import { OP, OPS, type OpName } from './ops.js';

/** Op with an immediate for `b`, by the code of the op with two slots; 0: none. */
export const WITH_IMMEDIATE = new Uint16Array(OPS.length);
/** Whether the operands may be exchanged, for a constant `a`. */
export const EXCHANGED = new Uint8Array(OPS.length);
/** Ops that look at the low halves of their operands only. */
export const NARROW = Uint8Array.from(OPS, (o) => (o.name.endsWith('32') ? 1 : 0));
for (const [code, o] of OPS.entries()) {
  if (o.format !== 'dab' && o.format !== 'if2') continue;
  const name = (o.name.endsWith('32') ? `${o.name.slice(0, -2)}i32` : `${o.name}i`) as OpName;
  const immediate = OP[name] as number | undefined;
  if (immediate === undefined) continue;
  WITH_IMMEDIATE[code] = immediate;
  if (/^(add|mul|and|or|xor|(set|if)_(eq|ne|tsteq|tstne))(32)?$/.test(o.name)) EXCHANGED[code] = 1;
}

/** Ops that reach state by its byte offset. */
export const STATE = Uint8Array.from(OPS, (o) => (o.effect === 'state' ? 1 : 0));
