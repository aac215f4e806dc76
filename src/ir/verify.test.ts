import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TEST_LIMITS, TEST_NAMES } from './testing.js';
import { parseOps } from './text.js';
import { verifyOps } from './verify.js';

const problems = (text: string): string[] => {
  const words = parseOps(text.replaceAll(';', '\n'), TEST_NAMES);
  return verifyOps(words, words.length / 4, TEST_LIMITS);
};

test('a correct block has no problems', () => {
  assert.deepEqual(
    problems('movi t0, 0x1; if_eq rax, t0 skip 2; mov rbx, t0; goto +8 m64 jump; ld128 s3002, [rax+0] @5; jmp rax ret'),
    [],
  );
});

const WRONG: readonly (readonly [string, RegExp])[] = [
  ['mov rax, rbx', /does not end in a terminator/],
  ['if_eqi rax, 0 skip 1; leave', /does not end in a terminator/],
  ['leave; mov rax, rbx', /follows a terminator/],
  ['if_eqi rax, 0 skip 5; leave', /past the end/],
  ['if_eqi rax, 0 skip 2; if_eqi rbx, 0 skip 2; leave; leave', /past the end/],
  ['mov rax, t0; leave', /t0 is read but not defined/],
  ['if_eqi rax, 0 skip 1; movi t0, 0x0; mov rax, t0; leave', /t0 is read but not defined/],
  ['mov s5000, rax; leave', /slot 5000 is outside/],
  ['sel rax, rbx, rcx, s5000; leave', /slot 5000 is outside/],
  ['lea rax, rbx, rcx, 0, 9; leave', /shift 9/],
  ['ld64 rax, [rbx+0] @64; leave', /instruction offset 64/],
  ['ld128 s3001, [rbx+0] @0; leave', /not aligned/],
  ['st256 [rbx+0], s200 @0; leave', /not vector state/],
  ['call rax, h16(rax, rax, 0) @0; leave', /no helper 16/],
  ['env_ld32u rax, 1002; leave', /not aligned/],
  ['probew [rax+0], 0 @0; leave', /cannot probe/],
];
for (const [text, expected] of WRONG) {
  test(`finds: ${text}`, () => {
    const found = problems(text);
    assert.equal(found.length, 1, found.join('; '));
    assert.match(found[0] as string, expected);
  });
}
