import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Key, keyCombination } from '../../display/keys.js';
import { ProbeLine } from '../../machine/testing/manual-clock.js';
import { I8042 } from './i8042.js';
import { Ps2Keyboard } from './ps2-keyboard.js';
import { Ps2Mouse } from './ps2-mouse.js';

function fixture() {
  const keyboardIrq = new ProbeLine();
  const mouseIrq = new ProbeLine();
  const a20 = new ProbeLine();
  const keyboard = new Ps2Keyboard();
  const mouse = new Ps2Mouse();
  let resets = 0;
  const chip = new I8042({ keyboardIrq, mouseIrq, keyboard, mouse, a20, requestReset: () => resets++ });
  chip.reset();
  const status = () => chip.read(4, 1);
  const data = () => chip.read(0, 1);
  return {
    chip,
    keyboard,
    mouse,
    keyboardIrq,
    mouseIrq,
    a20,
    status,
    data,
    get resets() {
      return resets;
    },
    command: (byte: number) => chip.write(4, 1, byte),
    put: (byte: number) => chip.write(0, 1, byte),
    /** Everything that waits in the output buffer. */
    drain(): number[] {
      const all: number[] = [];
      while (status() & 1 && all.length < 100) all.push(data());
      return all;
    },
  };
}

const typed = (keyboard: Ps2Keyboard, ...keys: Key[]) => {
  for (const key of keys) keyboard.key(key, true);
  for (const key of keys.toReversed()) keyboard.key(key, false);
};

test('controller self-test, and the command byte', () => {
  const { command, data, put, status } = fixture();
  command(0xaa);
  assert.equal(data(), 0x55);
  assert.equal(status() & 0x05, 0x04);
  command(0x60);
  put(0x47);
  command(0x20);
  assert.equal(data(), 0x47);
});

test('keyboard reset, identity and echo, seen without and with translation', () => {
  const { put, drain, command } = fixture();
  put(0xff);
  assert.deepEqual(drain(), [0xfa, 0xaa]);
  put(0xf2);
  assert.deepEqual(drain(), [0xfa, 0xab, 0x83]);
  put(0xee);
  assert.deepEqual(drain(), [0xee]);
  command(0x60);
  put(0x41);
  put(0xf2);
  assert.deepEqual(drain(), [0xfa, 0xab, 0x41]);
});

test('a key in all three sets', () => {
  const { put, drain, keyboard } = fixture();
  typed(keyboard, 'a', 'up');
  assert.deepEqual(drain(), [0x1c, 0xe0, 0x75, 0xe0, 0xf0, 0x75, 0xf0, 0x1c]);
  put(0xf0);
  put(1);
  assert.deepEqual(drain(), [0xfa, 0xfa]);
  typed(keyboard, 'a', 'up');
  assert.deepEqual(drain(), [0x1e, 0xe0, 0x48, 0xe0, 0xc8, 0x9e]);
  put(0xf0);
  put(3);
  put(0xfa);
  assert.deepEqual(drain(), [0xfa, 0xfa, 0xfa]);
  typed(keyboard, 'a', 'up');
  assert.deepEqual(drain(), [0x1c, 0x63, 0xf0, 0x63, 0xf0, 0x1c]);
  put(0xf0);
  put(0);
  assert.deepEqual(drain(), [0xfa, 0xfa, 0x03]);
});

test('translated set 2 is set 1, for every key', async () => {
  const { KEY_CODES } = await import('../../display/keys.js');
  const { scanCodes } = await import('./scan-codes.js');
  const { command, put, drain, keyboard } = fixture();
  command(0x60);
  put(0x41);
  const none = { alt: false, ctrl: false, shift: false };
  for (const key of Object.keys(KEY_CODES) as Key[]) {
    // SysRq's code in set 2 is Alt with PrintScreen's; Alt itself is tested elsewhere.
    keyboard.key(key, true);
    assert.deepEqual(drain(), scanCodes(1, key, true, none), `${key} down`);
    keyboard.key(key, false);
    assert.deepEqual(drain(), scanCodes(1, key, false, none), `${key} up`);
  }
});

test('control-alt-delete, print screen and pause', () => {
  const { command, put, drain, keyboard } = fixture();
  command(0x60);
  put(0x41);
  assert.equal(keyCombination('ctrl-alt-nosuchkey'), null);
  typed(keyboard, ...keyCombination('ctrl-alt-delete')!);
  assert.deepEqual(drain(), [0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d]);
  typed(keyboard, 'print');
  assert.deepEqual(drain(), [0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa]);
  typed(keyboard, 'alt', 'print');
  assert.deepEqual(drain(), [0x38, 0x54, 0xd4, 0xb8]);
  typed(keyboard, 'pause');
  assert.deepEqual(drain(), [0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5]);
});

test('interrupts follow the output buffer and the command byte', () => {
  const { keyboardIrq, mouseIrq, keyboard, data, command, put, drain } = fixture();
  keyboard.key('a', true);
  assert.ok(keyboardIrq.level);
  assert.equal(keyboardIrq.edges, 1);
  keyboard.key('b', true);
  data();
  assert.equal(keyboardIrq.edges, 2, 'each byte is an edge');
  data();
  assert.ok(!keyboardIrq.level);
  command(0xd4);
  put(0xf4);
  assert.ok(mouseIrq.level);
  drain();
  command(0x60);
  put(0);
  keyboard.key('c', true);
  assert.ok(!keyboardIrq.level, 'not enabled');
});

test('a disabled keyboard keeps its keys until it is enabled', () => {
  const { command, status, drain, keyboard } = fixture();
  command(0xad);
  keyboard.key('a', true);
  assert.equal(status() & 1, 0);
  command(0xae);
  assert.deepEqual(drain(), [0x1c]);
});

test('LEDs reach their listener', () => {
  const { keyboard, put, drain } = fixture();
  const seen: unknown[] = [];
  keyboard.onLeds = (leds) => seen.push(leds);
  put(0xed);
  put(0x04);
  assert.deepEqual(drain(), [0xfa, 0xfa]);
  assert.deepEqual(seen, [{ scrollLock: false, numLock: false, capsLock: true }]);
});

test('mouse: reset, movement packets, overflow into the next, and its status bit', () => {
  const { command, put, drain, mouse, status } = fixture();
  const aux = (byte: number) => {
    command(0xd4);
    put(byte);
  };
  aux(0xff);
  assert.equal(status() & 0x21, 0x21);
  assert.deepEqual(drain(), [0xfa, 0xaa, 0x00]);
  mouse.move(5, 5, 0);
  assert.deepEqual(drain(), [], 'not enabled yet');
  aux(0xf4);
  assert.deepEqual(drain(), [0xfa, 0x28, 5, 0xfb], 'down is negative');
  mouse.move(-300, 0, 0);
  assert.deepEqual(drain(), [0x18, 0x01, 0, 0x18, 0xd3, 0]);
  mouse.button('left', true);
  assert.deepEqual(drain(), [0x09, 0, 0]);
  aux(0xe9);
  assert.deepEqual(drain(), [0xfa, 0x24, 2, 100]);
});

test('mouse: the knocks for wheel and five buttons', () => {
  const { command, put, drain, mouse } = fixture();
  const aux = (...all: number[]) => {
    for (const byte of all) {
      command(0xd4);
      put(byte);
    }
  };
  aux(0xf3, 200, 0xf3, 100, 0xf3, 80);
  drain();
  aux(0xf2);
  assert.deepEqual(drain(), [0xfa, 3]);
  aux(0xf3, 200, 0xf3, 200, 0xf3, 80, 0xf4);
  drain();
  aux(0xf2);
  assert.deepEqual(drain(), [0xfa, 4]);
  mouse.move(0, 0, -1);
  assert.deepEqual(drain(), [0x08, 0, 0, 0x0f]);
  mouse.button('extra', true);
  assert.deepEqual(drain(), [0x08, 0, 0, 0x20]);
});

test('A20 and reset', () => {
  const f = fixture();
  f.command(0xd1);
  f.put(0xdf);
  assert.ok(f.a20.level);
  f.command(0xdd);
  assert.ok(!f.a20.level);
  assert.equal(f.resets, 0);
  f.command(0xfe);
  assert.equal(f.resets, 1);
  f.command(0xd1);
  f.put(0xde);
  assert.equal(f.resets, 2);
});

test('a snapshot in the middle of everything', () => {
  const a = fixture();
  a.keyboard.key('a', true);
  a.keyboard.key('b', true);
  a.command(0xd4);
  const saved = a.chip.save();
  const b = fixture();
  b.chip.load(saved);
  assert.deepEqual(b.chip.save(), saved);
  assert.ok(b.keyboardIrq.level);
  assert.deepEqual(b.drain(), a.drain());
});
