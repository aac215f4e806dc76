/** What the passes over a block's ops make of them (src/runtime/core/passes.ts). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BlockBuilder } from '../../src/ir/builder.js';
import { TEST_LIMITS, TEST_NAMES } from '../../src/ir/testing.js';
import { parseOps, printOps } from '../../src/ir/text.js';
import { verifyOps } from '../../src/ir/verify.js';
import { Rig } from './rig.js';

const file = readFileSync(new URL('../../../tests/jit/testdata/passes.ir', import.meta.url), 'utf8');
const rig = new Rig();

for (const section of file.split(/^= /m).slice(1)) {
  const [name = '', ...lines] = section.split('\n');
  const [before = '', after = ''] = lines.join('\n').split('---\n');
  test(name, () => {
    const words = parseOps(before, TEST_NAMES);
    assert.deepEqual(verifyOps(words, words.length / 4, TEST_LIMITS), []);
    const b = new BlockBuilder();
    b.words.set(words);
    b.count = words.length / 4;
    rig.optimise(b);
    assert.equal(printOps(b.words, b.count, TEST_NAMES).trim(), after.trim());
    assert.deepEqual(verifyOps(b.words, b.count, TEST_LIMITS), []);
  });
}
