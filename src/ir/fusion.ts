/**
 * What the interpreter does at once: sequences of ops that guest code is full of, each one case of its switch. To find that case costs
 * more than most ops do: in code that runs rarely the host's processor predicts none of those jumps.
 *
 * A block's ops stay as they are. The second byte of each is the code of the case that does it and the ops behind it, as far as
 * a sequence goes; 0: the case of its op alone. Whoever enters a block in the middle of a sequence finds the code for the rest of it.
 *
 * What is here are the sequences, and the tables by which the runtime finds them in a block (src/runtime/core/passes.ts).
 */
import { OP, OPS, type OpName } from './ops.js';

/**
 * `if_…~`: its condition is mostly false (its body calls a helper that raises a fault), and the sequence goes on behind the body;
 * `if_…?`: the block ends with its two ways, a goto each.
 */
const TEXT = `
st64 addi | st64 addi mov | st64 addi st64 addi | st64 addi st64 addi st64 addi st64 addi | st64 st64 | movi st64
ld64 addi | ld64 addi ld64 addi | ld64 addi ld64 addi ld64 addi ld64 addi | ld64 ld64 | ld64 st64 | ld64 mov | ld64 subi
pcrel st64 addi goto | mov pcrel st64 addi goto | pcrel st64 addi jmp | pcrel ld64 | pcrel ld32u | pcrel add
ld64 sari addi if_gtui~ | ld64 sari addi if_gtui~ addi jmp | ld64 addi ld64 sari addi if_gtui~ addi jmp
mov mov | mov movi | movi movi | sub mov | add mov | shri mov
flags mov | mov flags | movi flags | movi addi flags | movi addi flags mov | movi addi32 flags | sub flags mov | subi flags mov
sub flags | subi flags | sub32 flags | subi32 flags | add flags | and32 flags | andi32 flags | or32 flags
ldm32 addi32 st32 flags | ldm32 subi32 st32 flags | ldm64 addi st64 flags | ldm64 subi st64 flags
flags if_eqi? | flags if_nei? | flags if_eqi32? | flags if_nei32? | flags if_tsteqi32? | flags if_tstnei32?
sub flags if_eq? | sub flags if_ne? | sub flags if_ltu? | sub flags if_geu? | sub flags if_leu? | sub flags if_gtu?
subi flags if_eqi? | subi flags if_nei? | subi32 flags if_eqi32? | subi32 flags if_nei32? | sub32 flags if_eq32? | sub32 flags if_ne32?
andi32 flags if_tsteqi32? | andi32 flags if_tstnei32? | ld8u andi32 flags if_tsteqi32? | ld8u andi32 flags if_tstnei32?
ld64 flags if_eqi? | ld64 flags if_nei? | if_eqi? | if_nei? | if_eqi32? | if_nei32?
addi32 ld32u | addi32 ld32u addi32 | addi32 ld32u addi32 jmp | addi32 ld32u addi32 addi32 ld32u addi32
addi32 ld32u addi32 addi32 ld32u addi32 jmp | addi32 ld32u addi32 addi32 ld32u addi32 addi32 ld32u addi32 | addi32 ld8u
addi32 st32 | addi32 st32 addi32 | ext32u addi32 st32 addi32 | ext32u addi32 st32 addi32 ext32u addi32 st32 addi32
pcrel addi32 st32 addi32 goto | ext32u pcrel addi32 st32 addi32 goto
add32 flags | addi32 flags | xor32 flags | add32 flags mov | sub32 flags mov | subi32 flags mov
ext32u ext16u shri32 dep16 | set_ltu32 sub32 sub32 mov | flags dep8 ld8u or32
addi32 st32 addi32 addi32 st32 addi32 | addi32 st32 addi32 st32 | movi addi32 st32 | addi32 ldm32 addi32 st32 | ext32u st32
addi32 ld32u addi32 ld32u | ext32u addi32 ld32u | lea32 ld32u | movi ld32u | ext32u ld32u | ext32u ld8u | ext32u ext32u
mov add32 flags | shri32 shri32 flags mov | sub32 flags if_ltu32? | subi32 flags if_gtui32? | subi32 flags if_tsteqi32?`;

/** How an op stands in a sequence: alone, `if_…~`, `if_…?`. */
export type Manner = 'plain' | 'skipped' | 'ways';
export interface Step {
  readonly name: OpName;
  readonly manner: Manner;
}

const step = (text: string): Step => {
  const manner = text.endsWith('~') ? 'skipped' : text.endsWith('?') ? 'ways' : 'plain';
  return { name: (manner === 'plain' ? text : text.slice(0, -1)) as OpName, manner };
};
/** By code less 1. */
export const SEQUENCES: readonly (readonly Step[])[] = TEXT.split(/[|\n]/)
  .map((line) => line.trim())
  .filter((line) => line !== '')
  .map((line) => line.split(' ').map(step));

/** Codes of single ops come behind those of sequences; ops without one are found by their number. */
const isCommon = (name: OpName): boolean => !/^(set_|nop$|ext8h|dep8h|mulh|rot|clz|ctz|popcnt|bswap|env_)/.test(name);
export const SINGLES: readonly OpName[] = OPS.map((o) => o.name).filter(isCommon);

/** Sequences as a tree: nodes by how a sequence begins. An op with the way it stands there is a key; the root's children go by key. */
const MANNERS: readonly Manner[] = ['plain', 'skipped', 'ways'];
const keyOf = (op: number, manner: number): number => op | (manner << 8);
const roots: number[] = Array(MANNERS.length << 8).fill(0);
const nodes = [{ key: 0, child: 0, sibling: 0, code: 0 }];
for (const [i, steps] of SEQUENCES.entries()) {
  let node = 0;
  for (const { name, manner } of steps) {
    const key = keyOf(OP[name], MANNERS.indexOf(manner));
    const parent = nodes[node] as (typeof nodes)[0];
    const first = node === 0 ? (roots[key] as number) : parent.child;
    let next = first;
    while (next !== 0 && nodes[next]?.key !== key) next = nodes[next]?.sibling ?? 0;
    if (next === 0) {
      next = nodes.push({ key, child: 0, sibling: node === 0 ? 0 : first, code: 0 }) - 1;
      if (node === 0) roots[key] = next;
      else parent.child = next;
    }
    node = next;
  }
  (nodes[node] as (typeof nodes)[0]).code = i + 1;
}
/** By key, the child of the root; then what is known of each node. `CODE`: of the sequence that ends there. */
export const ROOT = Uint16Array.from(roots);
export const KEY = Uint16Array.from(nodes, (n) => n.key);
export const CHILD = Uint16Array.from(nodes, (n) => n.child);
export const SIBLING = Uint16Array.from(nodes, (n) => n.sibling);
export const CODE = Uint8Array.from(nodes, (n) => n.code);

/** By op, the code of that op alone; 0: none. */
export const SINGLE = new Uint8Array(OPS.length);
for (const [i, name] of SINGLES.entries()) SINGLE[OP[name]] = SEQUENCES.length + 1 + i;
/** The code of an op alone; 0: none. */
export const codeOf = (name: OpName): number => SINGLE[OP[name]] as number;
/** Of an if: 1: ops to skip are in imm, 2: in aux. */
export const IF = Uint8Array.from(OPS, (o) => (o.effect !== 'if' ? 0 : o.format === 'ifi' ? 2 : 1));
