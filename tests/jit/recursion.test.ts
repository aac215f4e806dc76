/** Functions that call themselves: in line once, deeper than guest calls may be WebAssembly calls, and back again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MACHINE, MAX_CALL_DEPTH, VCPU } from '../../src/ir/layout.js';
import { BareMachine } from '../support/bare-machine.js';

const CODE = 0x10000;
const FUNCTION = 0x10100;
const STACK = 0x60000;
const RUNS = 4;

/** Calls the function with edi and esi `RUNS` times; gives eax, and how often the last run left compiled code otherwise. */
function call(
  code: readonly number[],
  edi: number,
  esi: number,
  prepare: (m: BareMachine) => void = () => {},
): { results: number[]; unwound: number } {
  const m = new BareMachine({ mode: 'long64', hotThreshold: 10 });
  prepare(m);
  m.load(FUNCTION, code);
  const distance = FUNCTION - (CODE + 20);
  m.load(CODE, [
    ...[0xbc, STACK & 0xff, (STACK >>> 8) & 0xff, STACK >>> 16, 0], // mov esp, STACK
    ...[0xbf, edi & 0xff, (edi >>> 8) & 0xff, edi >>> 16, 0], // mov edi, edi
    ...[0xbe, esi & 0xff, esi >>> 8, 0, 0], // mov esi, esi
    ...[0xe8, distance & 0xff, distance >>> 8, 0, 0], // call FUNCTION
    0xf4,
  ]);
  const words = (): DataView => new DataView(m.accelerator.memory.buffer);
  const unwound = (): number =>
    Number(words().getBigUint64(m.accelerator.layout.machine + (MACHINE.at['regionExits'] as number) + 24, true));
  const results: number[] = [];
  let before = 0;
  for (let i = 0; i < RUNS; i++) {
    before = unwound();
    words().setUint32(m.registers.state + (VCPU.at['halted'] as number), 0, true);
    m.registers.set('rip', BigInt(CODE));
    assert.equal(m.run().reason, 'halted');
    assert.equal(m.registers.get('rsp'), BigInt(STACK));
    results.push(Number(m.registers.get('rax')));
  }
  assert.ok(m.accelerator.jit.stats.regions > 0);
  return { results, unwound: unwound() - before };
}

/** fib(n): two calls of itself. */
const FIBONACCI = [
  ...[0x83, 0xff, 0x02, 0x73, 0x03], // cmp edi, 2; jae
  ...[0x89, 0xf8, 0xc3], // mov eax, edi; ret
  ...[0x53, 0x89, 0xfb, 0x8d, 0x7b, 0xff], // push rbx; mov ebx, edi; lea edi, [rbx - 1]
  ...[0xe8, 0xed, 0xff, 0xff, 0xff, 0x50], // call; push rax
  ...[0x8d, 0x7b, 0xfe, 0xe8, 0xe4, 0xff, 0xff, 0xff], // lea edi, [rbx - 2]; call
  ...[0x5b, 0x01, 0xd8, 0x5b, 0xc3], // pop rbx; add eax, ebx; pop rbx; ret
];

/** Ackermann's function as gcc compiles it: of its three calls one is left. */
const ACKERMANN = [
  ...[0x85, 0xff, 0x74, 0x2c, 0x53, 0x89, 0xfb, 0x89, 0xdf, 0x83, 0xeb, 0x01, 0x85, 0xf6, 0x75, 0x10],
  ...[0xbe, 0x01, 0x00, 0x00, 0x00, 0x85, 0xdb, 0x75, 0xee, 0x8d, 0x46, 0x01, 0x5b, 0xc3, 0x66, 0x90],
  ...[0x83, 0xee, 0x01, 0xe8, 0xd8, 0xff, 0xff, 0xff, 0x89, 0xc6, 0xeb, 0xe9, 0x0f, 0x1f, 0x40, 0x00],
  ...[0x8d, 0x46, 0x01, 0xc3],
];

test('two calls of a function by itself', () => {
  const { results, unwound } = call(FIBONACCI, 18, 0);
  assert.deepEqual(results, Array(RUNS).fill(2584));
  assert.equal(unwound, 0);
});

test('a recursion less deep than guest calls may be', () => {
  const n = MAX_CALL_DEPTH / 4;
  const { results, unwound } = call(ACKERMANN, 2, n);
  assert.deepEqual(results, Array(RUNS).fill(2 * n + 3));
  assert.equal(unwound, 0);
});

test('a recursion that is deeper, again and again', () => {
  const n = 4 * MAX_CALL_DEPTH;
  const { results, unwound } = call(ACKERMANN, 2, n);
  assert.deepEqual(results, Array(RUNS).fill(2 * n + 3));
  // Each time a fresh depth's worth of calls has been made, not each time one more is.
  const calls = n * n;
  assert.ok(unwound > 1, 'the calls were given up');
  assert.ok(unwound < calls / MAX_CALL_DEPTH, `${unwound} of ${calls}`);
});

test("a large function's frames find room on the host's stack", () => {
  const table = 0x70000;
  const code: number[] = [];
  for (let i = 0; i < 300; i++) {
    code.push(...[0x48, 0x8b, 0x87, (8 * i) & 0xff, i >>> 5, 0, 0]); // mov rax, [rdi + 8 i]
    code.push(...[0x48, 0x03, 0x18, 0x48, 0x03, 0x58, 0x10]); // add rbx, [rax]; add rbx, [rax + 16]
    code.push(...[0x48, 0x89, 0x58, 0x18]); // mov [rax + 24], rbx
  }
  code.push(...[0xff, 0xce, 0x74, 0x05]); // dec esi; jz the ret
  const back = -(code.length + 5);
  code.push(...[0xe8, back & 0xff, (back >> 8) & 0xff, 0xff, 0xff, 0xc3]); // call; ret
  const { results, unwound } = call(code, table, 1000, (m) => {
    for (let i = 0; i < 300; i++) m.view.setBigUint64(table + 8 * i, BigInt(table + 0x4000 + 64 * i), true);
  });
  assert.deepEqual(results, Array(RUNS).fill(table + 0x4000 + 64 * 299));
  assert.ok(unwound > 1);
});
