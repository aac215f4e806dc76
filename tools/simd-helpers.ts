/** Turns the codes of simd-inline.ts into AssemblyScript helpers. */
import { SIMD_INLINE } from '../src/guest/x86/helpers/simd-inline.js';
import { SIMD_OPCODES } from '../src/ir/vector-code.js';

/** `i16` for `i16x8`. */
const laneType = (shape: string): string => shape.slice(0, shape.indexOf('x'));

function expression(code: string): string {
  const stack: string[] = [];
  const pop = (): string => stack.pop() ?? 'missing';
  for (const word of code.split(' ')) {
    const splat = /^(i\d+x\d+)\.splat#(\d+)$/.exec(word);
    if (word === 'a' || word === 'b') stack.push(`v128.load(${word})`);
    else if (/^\d+$/.test(word)) stack.push(word);
    else if (splat !== null) stack.push(`${splat[1]}.splat(<${laneType(splat[1] as string)}>${splat[2]})`);
    else if (/\.(abs|extadd_pairwise_\w+)$/.test(word)) stack.push(`${word}(${pop()})`);
    else {
      const shuffle = word.startsWith('shuffle:');
      if (!shuffle && !(word in SIMD_OPCODES)) throw new Error(`simd-inline: no opcode for ${word} in ${code}`);
      const second = pop();
      const first = pop();
      stack.push(shuffle ? `v128.shuffle<i8>(${first}, ${second}, ${word.slice(8)})` : `${word}(${first}, ${second})`);
    }
  }
  if (stack.length !== 1) throw new Error(`simd-inline: unbalanced code ${code}`);
  return stack[0] as string;
}

/** The AssemblyScript module that holds them. */
export function simdHelpers(): string {
  return Object.entries(SIMD_INLINE)
    .map(
      ([name, code]) =>
        `export function ${name}(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {\n` +
        `  v128.store(d, ${expression(code)});\n}\n`,
    )
    .join('');
}
