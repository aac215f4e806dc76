import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BLOCK } from '../../ir/layout.js';
import { OP_BYTES } from '../../ir/ops.js';
import { Fading } from './fading.js';

const START = 256;
const HEAT = (BLOCK.at['heat'] as number) / 4;
const SECOND = 1e9;

/** Blocks of different sizes with these counts: where each is, and where the last ends. */
function blocks(words: Int32Array, heats: readonly number[]): { at: number[]; end: number } {
  const at: number[] = [];
  let end = START;
  for (const [i, heat] of heats.entries()) {
    at.push(end);
    const ops = 1 + ((i * 7) % 13);
    words[(end + (BLOCK.at['ops'] as number)) / 4] = ops;
    words[end / 4 + HEAT] = heat;
    end += BLOCK.size + ops * OP_BYTES;
  }
  return { at, end };
}

test('counts halve once in ten seconds, whatever the size of blocks', () => {
  const words = new Int32Array(1 << 14);
  const { at, end } = blocks(words, Array(100).fill(1000));
  const fading = new Fading(START);
  const heats = (): Set<number> => new Set(at.map((block) => words[block / 4 + HEAT] as number));
  for (let t = 0; t < 10 * SECOND; t += SECOND / 100) fading.step(words, end, t);
  assert.deepEqual(heats(), new Set([500]));
  for (let t = 10 * SECOND; t < 20 * SECOND; t += SECOND / 100) fading.step(words, end, t);
  assert.deepEqual(heats(), new Set([250]));
});

test('what is postponed stays so; a machine that slept has not forgotten all', () => {
  const words = new Int32Array(1 << 14);
  const { at, end } = blocks(words, [-12000, 0, 1, 4000]);
  const fading = new Fading(START);
  for (let night = 0; night < 16; night++) fading.step(words, end, night * 30000 * SECOND);
  assert.deepEqual(
    at.map((block) => words[block / 4 + HEAT]),
    [-12000, 0, 0, 2000],
  );
});

test('after a reset of all code it goes on with the blocks from the start', () => {
  const words = new Int32Array(1 << 14);
  const fading = new Fading(START);
  fading.step(words, blocks(words, Array(50).fill(8)).end, 0);
  fading.reset();
  const { at, end } = blocks(words, [6]);
  fading.step(words, end, SECOND);
  assert.equal(words[(at[0] as number) / 4 + HEAT], 3);
});
