import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LineEditor } from './readline.js';

/** What a terminal of one line shows after `keys`, and the lines that were entered. */
function type(keys: string, words: readonly string[] = []): { lines: string[]; shown: string; editor: LineEditor } {
  const lines: string[] = [];
  let written = '';
  const editor = new LineEditor('> ', (text) => (written += text), {
    line: (text) => lines.push(text),
    complete: (text) => words.filter((w) => w.startsWith(/\S*$/.exec(text)![0])),
  });
  editor.input(new TextEncoder().encode(keys));
  return { lines, shown: render(written), editor };
}

/** A sequence that moves the cursor back or erases to the end of the line, or any one character. */
const SEQUENCE = new RegExp(`${String.fromCharCode(0x1b)}\\[(\\d*)([DK])|.`, 'gs');

function render(text: string): string {
  let line = '';
  let column = 0;
  for (const part of text.matchAll(SEQUENCE)) {
    if (part[2] === 'D') column -= Number(part[1]);
    else if (part[2] === 'K') line = line.slice(0, column);
    else if (part[0] === '\r') column = 0;
    else if (part[0] === '\n') line = '';
    else {
      line = line.slice(0, column) + part[0] + line.slice(column + 1);
      column++;
    }
  }
  return line;
}

for (const [what, keys, expected] of [
  ['plain text', 'abc\r', 'abc'],
  ['CR and LF are one end of line', 'abc\r\n', 'abc'],
  ['backspace', 'abd\x7fc\r', 'abc'],
  ['left and insert', 'ac\x1b[Db\r', 'abc'],
  ['beginning, delete, end', 'xab\x01\x04\x05c\r', 'abc'],
  ['kill to the end', 'abcxyz\x1b[D\x1b[D\x1b[D\x0b\r', 'abc'],
  ['kill a word', 'abc def\x17\x7f\r', 'abc'],
  ['Ctrl-C drops the line', 'xyz\x03abc\r', 'abc'],
] as const) {
  test(what, () => assert.deepEqual(type(keys).lines, [expected]));
}

test('the terminal shows the line as it is', () => {
  assert.equal(type('ac\x1b[Db').shown, 'abc');
  assert.equal(type('abcdef\x01\x04\x04').shown, 'cdef');
  assert.equal(type('abcdef\x7f\x7f').shown, 'abcd');
});

test('history goes back and forth', () => {
  assert.deepEqual(type('one\rtwo\r\x1b[A\x1b[A\r').lines, ['one', 'two', 'one']);
  assert.deepEqual(type('one\rtwo\r\x10\x10\x0e\r').lines, ['one', 'two', 'two']);
});

test('completion: the common part, then a list', () => {
  const words = ['system_reset', 'system_powerdown', 'stop'];
  assert.equal(type('sys\t', words).shown, 'system_');
  assert.equal(type('sto\t', words).shown, 'stop ');
  assert.equal(type('system_\t', words).shown, '> system_');
});
