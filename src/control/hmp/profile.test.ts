import assert from 'node:assert/strict';
import test from 'node:test';
import { profileText } from './profile.js';
import { parseSystemMap, SymbolTable } from './symbols.js';

const MAP = `ffffffff81000000 T _text
ffffffff81000100 t first_function
ffffffff81000200 T second_function
ffffffff81000180 D some_data
ffffffff81c00080 T entry_SYSCALL_64
`;

test('symbols are found where the kernel has moved to', () => {
  const table = new SymbolTable(parseSystemMap(MAP));
  assert.equal(table.size, 4);
  assert.equal(table.find(0xffffffff810001ffn), 'first_function');
  assert.equal(table.find(0xffffffff80ffffffn), undefined);
  assert.equal(table.find(0xffffffffc0000000n), undefined);
  table.locate([
    ['not_there', 1n],
    ['entry_SYSCALL_64', 0xffffffff9ac00080n],
  ]);
  assert.equal(table.find(0xffffffff9a000210n), 'second_function');
  assert.equal(table.find(0xffffffff81000210n), undefined);
});

test('time goes to kinds of work and to guest functions', () => {
  const wasm = 'wasm://wasm/1';
  const calls = [
    { name: 'guest ffffffff81000110', url: wasm, microseconds: 400, callers: ['src/runtime/core/run/step'] },
    { name: 'src/runtime/core/memory/fill', url: wasm, microseconds: 100, callers: ['guest ffffffff81000110'] },
    { name: 'src/runtime/generated/interpreter/interpret', url: wasm, microseconds: 300, callers: [] },
    { name: 'lower', url: 'file:///dist/src/jit/lower.js', microseconds: 100, callers: [] },
    { name: '(idle)', url: '', microseconds: 100, callers: [] },
  ];
  const slices = [
    { pc: 0xffffffff81000220n, cold: true },
    { pc: 0x401234n, cold: true },
    { pc: 0xffffffff81000110n, cold: false },
  ];
  const lines = profileText(calls, slices, new SymbolTable(parseSystemMap(MAP))).split('\n');
  for (const line of [
    '  40.0 %  compiled guest code',
    '  30.0 %  interpreter (cold tier)',
    '  10.0 %  software MMU, page walks',
    '  10.0 %  compilation of regions',
    '  10.0 %  idle',
    '  50.0 %  first_function',
    '  15.0 %  second_function  (cold)',
    '  15.0 %  user 0x401200  (cold)',
  ])
    assert.ok(lines.includes(line), `${line}\nnot in:\n${lines.join('\n')}`);
});
