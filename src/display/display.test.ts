import assert from 'node:assert/strict';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { ManualClock } from '../machine/testing/manual-clock.js';
import type { GraphicConsole, TextScreen } from './console.js';
import { CP437 } from './cp437.js';
import { TerminalScreen } from './curses.js';
import { KeySender } from './key-sender.js';
import { isKey, KEY_CODES, type Key, keyCombination, keyNamed } from './keys.js';
import { toPng, toPpm } from './screendump.js';
import { rgb, Surface } from './surface.js';
import { keysFor, TerminalKeys } from './terminal-keys.js';

test('PPM and PNG hold the same pixels', () => {
  const surface = new Surface(3, 2);
  surface.pixels.set([rgb(255, 0, 0), rgb(0, 255, 0), rgb(0, 0, 255), rgb(1, 2, 3), rgb(4, 5, 6), rgb(7, 8, 9)]);
  const rows = [
    [255, 0, 0, 0, 255, 0, 0, 0, 255],
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
  ];
  const ppm = toPpm(surface);
  assert.equal(Buffer.from(ppm.subarray(0, 11)).toString(), 'P6\n3 2\n255\n');
  assert.deepEqual([...ppm.subarray(11)], rows.flat());
  const png = Buffer.from(toPng(surface, (data) => zlib.deflateSync(data)));
  assert.equal(png.toString('latin1', 1, 4), 'PNG');
  assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [3, 2]);
  const length = png.readUInt32BE(33);
  assert.equal(png.toString('latin1', 37, 41), 'IDAT');
  assert.deepEqual(
    [...zlib.inflateSync(png.subarray(41, 41 + length))],
    rows.flatMap((row) => [0, ...row]),
  );
  // The CRC of an empty IEND is the same in every PNG file.
  assert.equal(png.subarray(-4).toString('hex'), 'ae426082');
});

test('code page 437 has 256 characters', () => {
  assert.equal(CP437.length, 256);
  assert.deepEqual([CP437[0x41], CP437[0xc9], CP437[0xdb], CP437[0x01]], ['A', '╔', '█', '☺']);
});

/** A control sequence (its parameters and final byte), or a character. */
const SEQUENCE = new RegExp(`${'\x1b'}\\[([?\\d;]*)([A-Za-z])|(.)`, 'gsu');

/** A terminal that understands what TerminalScreen sends. */
class TinyTerminal {
  readonly cells: string[][];
  cursor: [number, number] | null = null;
  #at: [number, number] = [0, 0];
  #sgr = '';
  constructor(columns: number, rows: number) {
    this.cells = Array.from({ length: rows }, () => new Array<string>(columns).fill(''));
  }
  feed(text: string): void {
    for (const [, parameters = '', final, character] of text.matchAll(SEQUENCE)) {
      if (final === 'H') this.#at = parameters.split(';').map((n) => Number(n) - 1) as [number, number];
      else if (final === 'm') this.#sgr = parameters;
      else if (final === 'h' && parameters === '?25') this.cursor = [...this.#at];
      else if (final === 'l' && parameters === '?25') this.cursor = null;
      else if (character) {
        this.cells[this.#at[0]]![this.#at[1]] = `${character}:${this.#sgr}`;
        this.#at[1]++;
      }
    }
  }
}

const consoleWith = (text: TextScreen | null): GraphicConsole => ({
  text: () => text,
  refresh: () => ({ surface: new Surface(640, 480), start: 0, end: 480 }),
});

function screen(cells: readonly number[], cursor: TextScreen['cursor'] = null, blink = true): TextScreen {
  return { columns: 4, rows: 2, cells: Uint16Array.from(cells), cursor, blink };
}

test('a terminal shows a screen, then only what changes', () => {
  const terminal = new TinyTerminal(4, 2);
  const view = new TerminalScreen(4, 2);
  terminal.feed(view.start());
  const first = [0x1741, 0x1f42, 0x07c4, 0x0720, 0x9c21, 0x0720, 0x0720, 0x0720];
  terminal.feed(view.update(consoleWith(screen(first, { column: 1, row: 1 }))));
  assert.deepEqual(terminal.cells[0], ['A:0;37;44', 'B:0;97;44', '─:0;37;40', ' :0;37;40']);
  assert.equal(terminal.cells[1]![0], '!:0;91;44;5', 'bright red on blue, blinking');
  assert.deepEqual(terminal.cursor, [1, 1]);
  assert.equal(view.update(consoleWith(screen(first, { column: 1, row: 1 }))), '');
  const second = first.with(2, 0x0758);
  const change = view.update(consoleWith(screen(second, { column: 1, row: 1 })));
  assert.ok(change.length < 50, `${change.length} characters for one cell`);
  terminal.feed(change);
  assert.equal(terminal.cells[0]![2], 'X:0;37;40');
  terminal.feed(view.update(consoleWith(screen(second))));
  assert.equal(terminal.cursor, null);
});

test('a small terminal shows the part with the cursor; graphics show their size', () => {
  const view = new TerminalScreen(2, 1);
  const terminal = new TinyTerminal(2, 1);
  terminal.feed(view.update(consoleWith(screen([1, 2, 3, 4, 0x0761, 0x0762, 7, 8], { column: 0, row: 1 }))));
  assert.deepEqual(terminal.cells[0], ['a:0;37;40', 'b:0;37;40']);
  const wide = new TerminalScreen(40, 3);
  const text = new TinyTerminal(40, 3);
  text.feed(wide.update(consoleWith(null)));
  assert.match(text.cells[1]!.map((c) => c[0]).join(''), /^ +640 x 480 Graphic mode +$/);
});

function typed(input: string): string[] {
  const strokes: string[] = [];
  const keys = new TerminalKeys((stroke) => strokes.push(stroke.join('-')));
  keys.input(Uint8Array.from(input, (c) => c.charCodeAt(0)));
  keys.flush();
  return strokes;
}

test('terminal input becomes keys', () => {
  assert.deepEqual(typed('aA?'), ['a', 'shift-a', 'shift-slash']);
  assert.deepEqual(typed('\r\t\x7f\x03\x1a'), ['ret', 'tab', 'backspace', 'ctrl-c', 'ctrl-z']);
  assert.deepEqual(typed('\x1b[A\x1bOH\x1b[3~\x1b[24~\x1bOQ\x1b[Z'), [
    'up',
    'home',
    'delete',
    'f12',
    'f2',
    'shift-tab',
  ]);
  assert.deepEqual(typed('\x1b[1;5C\x1b[5;2~'), ['ctrl-right', 'shift-pgup']);
  assert.deepEqual(typed('\x1bx\x1b'), ['alt-x', 'esc']);
  assert.deepEqual(typed('\x1b[99~é'), []);
});

test('every printable character can be typed', () => {
  for (let code = 0x20; code < 0x7f; code++) assert.ok(keysFor(String.fromCharCode(code)), String.fromCharCode(code));
});

test('key names: of the table, as codes, combined', () => {
  assert.ok(Object.keys(KEY_CODES).every(isKey));
  assert.equal(keyNamed('0x1e'), 'a');
  assert.equal(keyNamed('0xd3'), 'delete');
  assert.equal(keyNamed('<'), 'less');
  assert.deepEqual(keyCombination('ctrl-alt-f1'), ['ctrl', 'alt', 'f1']);
  assert.equal(keyCombination('ctrl-alt-f99'), null);
});

test('strokes are sent one after the other, each held its time', () => {
  const clock = new ManualClock();
  const log: string[] = [];
  const sender = new KeySender(
    { key: (key: Key, down) => log.push(`${clock.now() / 1e6} ${down ? '+' : '-'}${key}`) },
    clock,
  );
  sender.send(['ctrl', 'c']);
  sender.send(['x'], 10);
  clock.advance(1e9);
  assert.deepEqual(log, ['0 +ctrl', '0 +c', '100 -c', '100 -ctrl', '102 +x', '112 -x']);
  assert.ok(sender.idle);
});
