import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../machine/testing/manual-clock.js';
import type { CharEvent, CharFrontend } from './backend.js';
import { Mux } from './mux.js';
import { NullBackend } from './null.js';
import { RingBuffer } from './ringbuf.js';

class Collector implements CharFrontend {
  text = '';
  readonly events: CharEvent[] = [];
  room = 1000;
  canReceive(): number {
    return this.room;
  }
  receive(data: Uint8Array): void {
    assert.ok(data.length <= this.room);
    this.room -= data.length;
    this.text += new TextDecoder().decode(data);
  }
  event(event: CharEvent): void {
    this.events.push(event);
  }
}

const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = (data: Uint8Array) => new TextDecoder().decode(data);

test('null swallows everything and is open', () => {
  const frontend = new Collector();
  const backend = new NullBackend();
  backend.attach(frontend);
  assert.equal(backend.write(bytes('abc')), 3);
  assert.deepEqual(frontend.events, ['opened']);
});

test('ringbuf keeps the last bytes', () => {
  const ring = new RingBuffer(8);
  ring.write(bytes('0123456789'));
  assert.equal(textOf(ring.read(3)), '234');
  assert.equal(textOf(ring.read()), '56789');
  assert.throws(() => new RingBuffer(100), /power of two/);
});

test('ringbuf keeps input until the frontend takes it', () => {
  const ring = new RingBuffer(8);
  const frontend = new Collector();
  frontend.room = 2;
  ring.attach(frontend);
  ring.send(bytes('abcd'));
  assert.equal(frontend.text, 'ab');
  frontend.room = 10;
  ring.acceptInput();
  assert.equal(frontend.text, 'abcd');
});

function mux() {
  const ring = new RingBuffer();
  const clock = new ManualClock();
  const asked: string[] = [];
  const commands = { terminate: () => asked.push('terminate'), commit: () => asked.push('commit') };
  const mux = new Mux(ring, commands, clock);
  const serial = new Collector();
  const monitor = new Collector();
  const serialPort = mux.port();
  const monitorPort = mux.port();
  serialPort.attach(serial);
  monitorPort.attach(monitor);
  mux.focus(serialPort);
  return { ring, clock, asked, serial, monitor, serialPort, monitorPort };
}

test('mux: Ctrl-A c moves the focus, Ctrl-A Ctrl-A is Ctrl-A', () => {
  const { ring, serial, monitor } = mux();
  ring.send(bytes('one\x01ctwo\x01\x01'));
  assert.equal(serial.text, 'one');
  assert.equal(monitor.text, 'two\x01');
  ring.send(bytes('\x01'));
  ring.send(bytes('cthree'));
  assert.equal(serial.text, 'onethree');
  assert.deepEqual(monitor.events.slice(-2), ['mux-in', 'mux-out']);
});

test('mux: commands, and help', () => {
  const { ring, asked, serial } = mux();
  ring.send(bytes('\x01b\x01s\x01x'));
  assert.deepEqual(asked, ['commit', 'terminate']);
  assert.ok(serial.events.includes('break'));
  ring.read();
  ring.send(bytes('\x01h'));
  const help = textOf(ring.read());
  assert.match(help, /C-a c {4}switch between console and monitor\r\n/);
  assert.match(help, /C-a C-a {2}sends C-a\r\n/);
});

test('mux: input for a slow frontend waits, and stops the source', () => {
  const { ring, serial, serialPort } = mux();
  serial.room = 0;
  ring.send(new Uint8Array(10000).fill(0x61));
  assert.equal(serial.text, '');
  for (let i = 0; i < 100; i++) {
    serial.room = 100;
    serialPort.acceptInput();
  }
  assert.equal(serial.text.length, 10000);
});

test('mux: timestamps at the start of lines', () => {
  const { ring, clock, serialPort } = mux();
  ring.send(bytes('\x01t'));
  clock.advance(3723004e6);
  serialPort.write(bytes('x\ny\n'));
  assert.equal(textOf(ring.read()), 'x\n[01:02:03.004] y\n');
});
