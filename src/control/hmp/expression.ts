/** Expressions of monitor commands: C's integer operators, numbers, characters and registers (`$rip + 4`). */
import { UserError } from '../../base/errors.js';

const BINARY: readonly Readonly<Record<string, (a: bigint, b: bigint) => bigint>>[] = [
  { '&': (a, b) => a & b, '|': (a, b) => a | b, '^': (a, b) => a ^ b },
  { '+': (a, b) => a + b, '-': (a, b) => a - b },
  {
    '*': (a, b) => a * b,
    '/': (a, b) => divide(a, b, (x, y) => x / y),
    '%': (a, b) => divide(a, b, (x, y) => x % y),
  },
];

function divide(a: bigint, b: bigint, by: (a: bigint, b: bigint) => bigint): bigint {
  if (b === 0n) throw new UserError('division by zero');
  return by(a, b);
}

/** The expression at the start of `text`, modulo 2^64 and signed, and what follows it. */
export function parseExpression(
  text: string,
  register: (name: string) => bigint | undefined,
): { readonly value: bigint; readonly rest: string } {
  let at = 0;
  const skip = (): void => {
    while (text[at] === ' ') at++;
  };
  const unary = (): bigint => {
    skip();
    const c = text[at];
    if (c === undefined) throw new UserError('unexpected end of expression');
    if (c === '+' || c === '-' || c === '~') {
      at++;
      const value = unary();
      return c === '-' ? -value : c === '~' ? ~value : value;
    }
    if (c === '(') {
      at++;
      const value = level(0);
      skip();
      if (text[at] !== ')') throw new UserError("')' expected");
      at++;
      return value;
    }
    const literal = /^'(.)'/.exec(text.slice(at));
    if (literal) {
      at += 3;
      return BigInt(literal[1]!.charCodeAt(0));
    }
    const name = /^\$(\w+)/.exec(text.slice(at));
    if (name) {
      const value = register(name[1]!);
      if (value === undefined) throw new UserError('unknown register');
      at += name[0].length;
      return value;
    }
    const number = /^(0x[0-9a-f]+|\d+)/i.exec(text.slice(at));
    if (!number) throw new UserError('invalid char in expression');
    at += number[0].length;
    return /^0[0-7]+$/.test(number[0]) ? BigInt(`0o${number[0].slice(1)}`) : BigInt(number[0]);
  };
  const level = (depth: number): bigint => {
    if (depth === BINARY.length) return unary();
    let value = level(depth + 1);
    for (;;) {
      skip();
      const operation = BINARY[depth]![text[at] ?? ''];
      if (!operation) return value;
      at++;
      value = operation(value, level(depth + 1));
    }
  };
  const value = BigInt.asIntN(64, level(0));
  return { value, rest: text.slice(at).trim() };
}
