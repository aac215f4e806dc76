import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../base/errors.js';
import { TEMP0 } from './builder.js';
import { EFFECTS, Effect, SKIP_WORD } from './effects.js';
import { OPS } from './ops.js';
import { TEST_NAMES } from './testing.js';
import { parseOps, printOps } from './text.js';

test('every op prints and parses back to the same words', () => {
  for (const [code, o] of OPS.entries()) {
    const writes = (EFFECTS[code] as number) & Effect.writesDst;
    let dst = writes !== 0 || o.format === 'call' || o.format === 'ldm' ? 200 : 0;
    let a = ['none', 'di', 'dI', 'd', 'goto'].includes(o.format) || o.name === 'exit' || o.name === 'pcrel' ? 0 : TEMP0;
    let b = ['dab', 'dabi', 'dabx', 'ab', 'abi', 'stm', 'if2', 'call'].includes(o.format) && a !== 0 ? 201 : 0;
    let imm = ['dI', 'di', 'dai', 'dabi', 'dabx', 'abi', 'ldm', 'stm', 'ifi', 'call', 'goto'].includes(o.format)
      ? -5
      : 0;
    let aux = ['dI', 'ldm', 'stm', 'dabx', 'call'].includes(o.format) ? 2 : 0;
    if (o.name === 'sel') imm = 202;
    if (o.name === 'probew') [b, aux] = [16, 7];
    if (o.name === 'goto') dst = (2 << 4) | 1;
    if (o.name === 'jmp') imm = 2;
    if (o.name === 'exit') imm = 1;
    if (o.effect === 'state') imm = 64;
    if (o.name.startsWith('env_st')) a = 200;
    if (SKIP_WORD[code] === 2) imm = 3;
    if (SKIP_WORD[code] === 3) aux = 3;
    const words = Int32Array.of(code | (dst << 16), a | (b << 16), imm, aux);
    const text = printOps(words, 1);
    assert.deepEqual([...parseOps(text)], [...words], text);
  }
});

test('text form', () => {
  const text = [
    'movi t0, 0xffffffff80000000',
    'lea rax, rbx, t0, -8, 3',
    'if_ltui32 rax, 10 skip 2',
    '  st32 [rax-4], rbx @7',
    '  goto -32 m32 call',
    'flags rax, flagRes, 13',
    'call t1, h3(rax, rbx, 1) @9',
    'jmp t1 ret',
    '',
  ].join('\n');
  const words = parseOps(`# a comment\n\n${text}`, TEST_NAMES);
  assert.equal(words.length, 8 * 4);
  assert.equal(printOps(words, 8, TEST_NAMES), text);
});

test('errors name line and cause', () => {
  assert.throws(() => parseOps('nop\nadd rax, t0'), UserError);
  assert.throws(() => parseOps('nop\nfoo t0'), /line 2: no such op/);
  assert.throws(() => parseOps('mov t0'), /too few/);
  assert.throws(() => parseOps('mov t0, t1, t2'), /too many/);
});
