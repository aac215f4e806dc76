import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPS } from '../../ir/ops.js';
import { Mode } from './state.js';
import { X86Translator } from './translate.js';

const MODE = Mode.cs64 | Mode.protected | Mode.lma;
const memory = new Uint8Array(65536);
const translator = new X86Translator(
  memory,
  () => true,
  () => false,
);

/** Names of the ops that code in 64-bit mode becomes. */
function ops(hex: string): string[] {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  memory.set(bytes, 4096);
  assert.ok(translator.translate(4096, MODE, 0));
  assert.equal(translator.bytes, bytes.length);
  const { words, count } = translator.builder;
  return Array.from({ length: count }, (_, n) => OPS[(words[n * 4] as number) & 0xffff]?.name ?? '?');
}

test('a conditional jump after a compare compares the same operands', () => {
  assert.deepEqual(ops('39 d8 7c 10'), ['sub32', 'flags', 'if_lts32', 'goto', 'goto']); // cmp eax, ebx; jl
  assert.deepEqual(ops('48 83 f8 05 77 10'), ['subi', 'flags', 'if_gtui', 'goto', 'goto']); // cmp rax, 5; ja
  assert.deepEqual(ops('85 c0 74 10'), ['flags', 'if_eqi32', 'goto', 'goto']); // test eax, eax; jz
});

test('a compared register that has changed since is not looked at again', () => {
  // cmp eax, ebx; mov eax, ecx; jl
  assert.deepEqual(ops('39 d8 89 c8 7c 10'), ['sub32', 'flags', 'ext32u', 'if_lts32', 'goto', 'goto']);
  const a = (translator.builder.words[3 * 4 + 1] as number) & 0xffff;
  assert.equal(a, 3, 'flagSrc, not eax');
});

test('a condition of flags that nothing is known about is one op', () => {
  assert.deepEqual(ops('7c 10'), ['cond', 'if_nei32', 'goto', 'goto']);
});

test('INC after INC keeps CF without looking', () => {
  assert.deepEqual(ops('ff c0 ff c3 eb fe'), ['cond', 'addi32', 'flags', 'addi32', 'flags', 'goto']);
});
