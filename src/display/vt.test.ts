import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VideoTerminal } from './vt.js';

function show(text: string, columns = 10, rows = 3): { lines: string[]; terminal: VideoTerminal } {
  const terminal = new VideoTerminal(columns, rows);
  terminal.write(new TextEncoder().encode(text));
  const { cells } = terminal.screen();
  const lines = Array.from({ length: rows }, (_, y) =>
    String.fromCharCode(...cells.subarray(y * columns, (y + 1) * columns).map((c) => c & 0xff)).trimEnd(),
  );
  return { lines, terminal };
}

test('text wraps only when the next character comes, and scrolls', () => {
  assert.deepEqual(show('0123456789\r\nab\r\ncd\r\nef').lines, ['ab', 'cd', 'ef']);
  assert.deepEqual(show('0123456789x').lines, ['0123456789', 'x', '']);
});

test('the cursor moves and lines are erased', () => {
  assert.deepEqual(show('hello\x1b[2D\x1b[KX').lines, ['helX', '', '']);
  assert.deepEqual(show('a\r\nb\x1b[1;4Hc\x1b[J').lines, ['a  c', '', '']);
  assert.deepEqual(show('ab\x1b[2;2Hcd\x1b[H\x1b[2Kz').lines, ['z', ' cd', '']);
});

test('colours and inverse video', () => {
  const { cells } = show('\x1b[31;1ma\x1b[0;7mb\x1b[27mc').terminal.screen();
  assert.deepEqual([...cells.subarray(0, 3)], [0x0c61, 0x7062, 0x0763]);
});

test('characters beyond ASCII appear as code page 437 has them', () => {
  const { cells } = show('é€').terminal.screen();
  assert.deepEqual([...cells.subarray(0, 2)], [0x0782, 0x073f]);
});
