/** Integer instructions against the host's processor: the same sequences, natively, interpreted and compiled. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decoder } from '../../src/guest/x86/decode.js';
import { ROWS } from '../../src/guest/x86/insn/index.js';
import { narrowCodeUnavailable } from '../support/host-modes.js';
import { type Case, type CodeSize, FLAGS, IntegerBench, nativeIntegers } from './integer-bench.js';
import { type Generated, generate } from './integer-generator.js';
import { Operands } from './operands.js';

const ROUNDS = 12;
const PER_ROUND = 2000;
/** So many of them are compiled as well. */
const COMPILED = 400;

const hex = (n: bigint): string => n.toString(16);

/** What differs, or ''. */
function difference(g: Generated, native: Case, ours: Case): string {
  const out: string[] = [];
  if (native.signal !== ours.signal) out.push(`signal ${native.signal}, ours ${ours.signal}`);
  else if (native.signal === 0) {
    const wide = native.size === 64;
    for (let n = 0; n < (wide ? 16 : 8); n++)
      if (BigInt.asUintN(wide ? 64 : native.size === 16 && n === 4 ? 16 : 32, native.reg(n) ^ ours.reg(n)) !== 0n)
        out.push(`r${n} ${hex(native.reg(n))}, ours ${hex(ours.reg(n))}`);
    const mask = FLAGS & ~g.ignore;
    if ((native.flags & mask) !== (ours.flags & mask))
      out.push(`flags ${(native.flags & mask).toString(16)}, ours ${(ours.flags & mask).toString(16)}`);
    const at = native.data.findIndex((b, n) => b !== ours.data[n]);
    if (at >= 0) out.push(`data[${at}] ${native.data[at]}, ours ${ours.data[at]}`);
  }
  if (out.length === 0) return '';
  const before = g.case;
  const registers = Array.from({ length: 16 }, (_, n) => `r${n}=${hex(before.reg(n))}`).join(' ');
  return `${g.names}: ${out.join('; ')}\n  from ${registers} flags=${before.flags.toString(16)}`;
}

test('integer instructions do what the host processor does', (t) => {
  const native = nativeIntegers();
  if (typeof native === 'string') return t.skip(native);
  const without = narrowCodeUnavailable();
  if (without !== undefined) t.diagnostic(`64-bit code only: ${without}`);
  const sizes: readonly CodeSize[] = without === undefined ? [64, 32, 16] : [64];
  try {
    const rounds = Number(process.env['FUZZ_ROUNDS'] ?? ROUNDS);
    const random = new Operands(Number(process.env['FUZZ_SEED'] ?? 1));
    const decoder = new Decoder(ROWS);
    const bench = new IntegerBench();
    for (let round = 0; round < rounds; round++) {
      const size = sizes[round % sizes.length]!;
      const cases = Array.from({ length: PER_ROUND }, () => generate(random, decoder, 1 + random.below(3), size));
      const results = native.run(cases.map((g) => g.case));
      const wrong: string[] = [];
      for (const [n, g] of cases.entries()) {
        const d = difference(g, results[n] as Case, bench.run(g.case));
        if (d !== '') wrong.push(d);
        if (n >= COMPILED) continue;
        const e = difference(g, results[n] as Case, bench.run(g.case, true));
        if (e !== '') wrong.push(`compiled: ${e}`);
      }
      assert.deepEqual(wrong.slice(0, 12), [], `${wrong.length} of ${PER_ROUND} differ`);
    }
    // Most must have run to their end as compiled code.
    assert.ok(bench.entered > 0 && bench.sideExits < bench.entered / 4, `${bench.sideExits} of ${bench.entered}`);
  } finally {
    native.dispose();
  }
});
