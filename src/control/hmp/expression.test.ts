import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../../base/errors.js';
import { parseExpression } from './expression.js';

const value = (text: string): bigint => parseExpression(text, (name) => (name === 'rip' ? 0x1000n : undefined)).value;

for (const [text, expected] of [
  ['1+2*3', 7n],
  ['(1+2)*3', 9n],
  ['-4 / 2', -2n],
  ['0x10 % 7', 2n],
  ['010', 8n],
  ['~0', -1n],
  ["'A'", 65n],
  ['$rip + 4', 0x1004n],
  ['0xffffffffffffffff', -1n],
  ['6 & 3', 2n],
  ['5 ^ 1 | 8', 12n],
] as const) {
  test(text, () => assert.equal(value(text), expected));
}

for (const [text, message] of [
  ['', 'unexpected end of expression'],
  ['(1', "')' expected"],
  ['1/0', 'division by zero'],
  ['$foo', 'unknown register'],
  ['#', 'invalid char in expression'],
] as const) {
  test(`refused: ${text}`, () => assert.throws(() => value(text), new UserError(message)));
}

test('what follows is left to the caller', () => {
  assert.equal(parseExpression('1 2', () => undefined).rest, '2');
});
