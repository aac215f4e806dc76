/** What the runtime tells of pages for saved machines: which are in use, and their checksums. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomNumbers } from '../../src/machine/testing/conformance.js';
import { BareMachine } from '../support/bare-machine.js';

const PAGE = 4096;
const PAGES = 64;

function pages(): {
  bytes: Uint8Array;
  find(from: number, used: number): number;
  sum(from: number, to: number, sum?: number): number;
} {
  const { accelerator, ram } = new BareMachine({ mode: 'real' });
  const { runtime } = accelerator;
  const at = (page: number): number => ram.byteOffset + page * PAGE;
  ram.fill(0);
  return {
    bytes: ram.subarray(0, PAGES * PAGE),
    find: (from, used) => (runtime.findPage(at(from), at(PAGES), used) - ram.byteOffset) / PAGE,
    sum: (from, to, sum = 0) => runtime.checksumPages(at(from), at(to), sum) >>> 0,
  };
}

test('one bit makes a page used, wherever it is', () => {
  const { bytes, find } = pages();
  assert.equal(find(0, 1), PAGES);
  for (let bit = 0; bit < 8 * PAGE; bit += 61) {
    bytes[17 * PAGE + (bit >> 3)] = 1 << (bit & 7);
    assert.deepEqual([find(0, 1), find(17, 0)], [17, 18], `bit ${bit}`);
    bytes[17 * PAGE + (bit >> 3)] = 0;
  }
});

test('every flipped bit, and pages in another order, change the checksum', () => {
  const { bytes, sum } = pages();
  const random = randomNumbers(4);
  for (let i = 0; i < bytes.length; i++) bytes[i] = random();
  const good = sum(0, PAGES);
  for (let bit = 0; bit < 8 * PAGE; bit += 7) {
    const at = 29 * PAGE + (bit >> 3);
    bytes[at]! ^= 1 << (bit & 7);
    assert.notEqual(sum(0, PAGES), good, `bit ${bit}`);
    bytes[at]! ^= 1 << (bit & 7);
  }
  const first = bytes.slice(0, PAGE);
  bytes.copyWithin(0, PAGE, 2 * PAGE);
  bytes.set(first, PAGE);
  assert.notEqual(sum(0, PAGES), good);
});

test('a checksum goes on from that of the pages before', () => {
  const { bytes, sum } = pages();
  bytes.fill(0x5a);
  assert.equal(sum(9, PAGES, sum(0, 9)), sum(0, PAGES));
  assert.notEqual(sum(0, 9), sum(0, 10));
});
