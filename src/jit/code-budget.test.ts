import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodeBudget } from './code-budget.js';

function filled(): CodeBudget<string> {
  const budget = new CodeBudget<string>();
  for (const [bytes, ...regions] of [
    [100, 'a', 'b'],
    [300, 'c'],
    [200, 'd', 'e'],
  ] as const) {
    const module = budget.add(bytes);
    for (const r of regions) module.regions.add(r);
  }
  return budget;
}

test('within the limit nothing goes', () => {
  assert.deepEqual(filled().surplus(600), []);
});

test('beyond it the oldest modules go, whole, until three quarters are left', () => {
  assert.deepEqual(filled().surplus(599), ['a', 'b', 'c']);
  assert.deepEqual(filled().surplus(100), ['a', 'b', 'c', 'd', 'e']);
});

test('a module counts until its last region is gone', () => {
  const budget = new CodeBudget<string>();
  const module = budget.add(100);
  for (const r of ['a', 'b']) module.regions.add(r);
  budget.release(module, 'a');
  assert.equal(budget.bytes, 100);
  budget.release(module, 'b');
  budget.release(module, 'b');
  assert.equal(budget.bytes, 0);
});
