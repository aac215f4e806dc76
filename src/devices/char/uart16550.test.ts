import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharBackend, CharFrontend, SerialLine } from '../../char/backend.js';
import { RingBuffer } from '../../char/ringbuf.js';
import { ManualClock, ProbeLine } from '../../machine/testing/manual-clock.js';
import { Uart16550 } from './uart16550.js';

function fixture(backend: CharBackend = new RingBuffer()) {
  const irq = new ProbeLine();
  const clock = new ManualClock();
  const uart = new Uart16550({ irq, clock, backend });
  uart.reset();
  return {
    irq,
    clock,
    uart,
    get: (at: number) => uart.read(at, 1),
    put: (at: number, value: number) => uart.write(at, 1, value),
  };
}

const bytes = (text: string) => new TextEncoder().encode(text);

test('sends at once, and tells when the transmitter is empty', () => {
  const ring = new RingBuffer();
  const { put, get, irq } = fixture(ring);
  put(1, 2);
  assert.ok(irq.level, 'enabling the interrupt of an empty transmitter raises it');
  assert.equal(get(2), 0x02);
  assert.ok(!irq.level, 'reading IIR acknowledges');
  for (const c of bytes('hi')) put(0, c);
  assert.equal(get(5), 0x60);
  assert.ok(irq.level);
  assert.deepEqual(ring.read(), bytes('hi'));
});

test('the receive FIFO interrupts at its trigger level, and after four characters of silence', () => {
  const ring = new RingBuffer();
  const { put, get, irq, clock } = fixture(ring);
  put(2, 0x41);
  put(3, 0x03);
  put(1, 1);
  ring.send(bytes('abc'));
  assert.ok(!irq.level, 'three of four');
  assert.equal(get(5) & 1, 1);
  clock.advance(1e6);
  assert.ok(!irq.level, 'four characters at 9600 baud last 4.2 ms');
  clock.advance(4e6);
  assert.equal(get(2), 0xcc);
  assert.equal(get(0), 'a'.charCodeAt(0));
  assert.ok(!irq.level, 'reading a character ends the timeout');
  ring.send(bytes('defg'));
  assert.equal(get(2), 0xc4);
  assert.deepEqual([get(0), get(0), get(0)], [...bytes('bcd')]);
  assert.ok(!irq.level, 'below the trigger level again');
  assert.deepEqual([get(0), get(0), get(0)], [...bytes('efg')]);
  assert.equal(get(5), 0x60);
});

test('more than the FIFO holds waits in the backend', () => {
  const ring = new RingBuffer();
  const { put, get } = fixture(ring);
  put(2, 0x01);
  ring.send(Uint8Array.from({ length: 100 }, (_, i) => i));
  for (let i = 0; i < 100; i++) assert.equal(get(0), i);
  assert.equal(get(5) & 3, 0, 'no data, no overrun');
});

test('an overrun shows in LSR once', () => {
  const { uart, get } = fixture();
  uart.receive(bytes('ab'));
  assert.equal(get(5) & 3, 3);
  assert.equal(get(5) & 3, 1);
  assert.equal(get(0), 'b'.charCodeAt(0));
});

test('loopback: data comes back, modem outputs show as inputs, with deltas', () => {
  const ring = new RingBuffer();
  const { put, get } = fixture(ring);
  put(4, 0x10);
  get(6);
  put(4, 0x1a);
  assert.equal(get(6), 0x90 | 0x09, 'RTS is CTS, OUT2 is DCD, both changed');
  assert.equal(get(6), 0x90);
  put(0, 0x5a);
  assert.equal(get(0), 0x5a);
  assert.equal(ring.available, 0);
});

test('a break arrives as a zero character with BI', () => {
  const { uart, get, put } = fixture();
  put(1, 4);
  uart.event('break');
  assert.equal(get(2), 0x06);
  assert.equal(get(5) & 0x11, 0x11);
  assert.equal(get(0), 0);
  assert.equal(get(5) & 0x11, 0);
});

test('the divisor and line format reach the backend', () => {
  const lines: SerialLine[] = [];
  const breaks: boolean[] = [];
  const backend: CharBackend = {
    type: 'test',
    filename: 'test',
    attach: () => {},
    acceptInput: () => {},
    write: (data) => data.length,
    setLine: (line) => lines.push(line),
    setBreak: (on) => breaks.push(on),
  };
  const { put, get } = fixture(backend);
  put(3, 0x9b);
  put(0, 1);
  put(1, 0);
  assert.equal(get(0), 1);
  put(3, 0x5b);
  put(3, 0x1b);
  assert.deepEqual(lines.at(-1), { speed: 115200, dataBits: 8, stopBits: 1, parity: 'even' });
  assert.deepEqual(breaks, [true, false]);
});

test('a backend that declines is retried when it says so', () => {
  let room = 0;
  const sent: number[] = [];
  let frontend: CharFrontend | null = null;
  const backend: CharBackend = {
    type: 'test',
    filename: 'test',
    attach: (f) => {
      frontend = f;
    },
    acceptInput: () => {},
    write: (data) => {
      const n = Math.min(room, data.length);
      sent.push(...data.subarray(0, n));
      room -= n;
      return n;
    },
  };
  const { put, get, irq } = fixture(backend);
  put(2, 1);
  put(1, 2);
  get(2);
  for (const c of bytes('abc')) put(0, c);
  assert.equal(get(5) & 0x60, 0);
  assert.ok(!irq.level);
  room = 2;
  (frontend as CharFrontend | null)!.writable!();
  assert.equal(get(5) & 0x60, 0);
  room = 9;
  (frontend as CharFrontend | null)!.writable!();
  assert.deepEqual(sent, [...bytes('abc')]);
  assert.equal(get(5) & 0x60, 0x60);
  assert.ok(irq.level);
});

test('a snapshot restores a waiting timeout', () => {
  const ring = new RingBuffer();
  const a = fixture(ring);
  a.put(2, 0xc1);
  a.put(1, 1);
  ring.send(bytes('x'));
  const saved = a.uart.save();
  const b = fixture();
  b.uart.load(saved);
  assert.deepEqual(b.uart.save(), saved);
  b.clock.advance(1e7);
  assert.equal(b.get(2), 0xcc);
});

test('what was typed before a load comes in when the machine runs, not into a machine that is half loaded', () => {
  const a = fixture();
  a.put(2, 0x01);
  a.put(1, 1);
  const saved = a.uart.save();
  const ring = new RingBuffer();
  const b = fixture(ring);
  // The port has no FIFO yet: one character fills it.
  ring.send(bytes('xyz'));
  b.uart.load(saved);
  assert.equal(b.irq.level, false);
  b.clock.advance(1);
  assert.equal(b.irq.level, true);
  assert.equal(b.get(0), 'y'.charCodeAt(0));
});
