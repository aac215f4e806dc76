import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RingBuffer } from '../../char/ringbuf.js';
import { ProbeLine } from '../../machine/testing/manual-clock.js';
import { ParallelPort } from '../char/parallel.js';
import { DebugExit } from './debug-exit.js';
import { Debugcon } from './debugcon.js';
import { Pvpanic } from './pvpanic.js';

const text = (value: string) => new TextEncoder().encode(value);

test('debugcon passes bytes on and is found by what it reads as', () => {
  const ring = new RingBuffer();
  const device = new Debugcon(0xe9, ring, 0xe9);
  for (const c of text('SeaBIOS')) device.write(0, 1, c);
  assert.deepEqual(ring.read(), text('SeaBIOS'));
  assert.equal(device.read(), 0xe9);
});

test('debug-exit turns a write into an odd exit status', () => {
  const codes: (number | undefined)[] = [];
  const device = new DebugExit({ shutdown: (_cause, code) => void codes.push(code) });
  device.write(0, 1, 0);
  device.write(0, 4, 0x10);
  device.write(0, 1, 0xff);
  assert.deepEqual(codes, [1, 0x21, 0xff]);
});

test('pvpanic tells a panic from a crash that the guest handles itself', () => {
  const said: string[] = [];
  const requests = {
    panicked: (action: 'pause' | 'run') => void said.push(`panicked ${action}`),
    shutdown: (cause: string) => void said.push(`shutdown ${cause}`),
  };
  const device = new Pvpanic(requests, 3);
  assert.equal(device.read(), 3);
  device.write(0, 1, 2);
  assert.deepEqual(said.splice(0), ['panicked run']);
  device.write(0, 1, 1);
  assert.deepEqual(said.splice(0), ['panicked pause', 'shutdown guest-panic']);
  device.write(0, 1, 0x80);
  new Pvpanic(requests, 2).write(0, 1, 1);
  assert.deepEqual(said, [], 'events that it does not offer do nothing');
});

test('a strobe sends one byte, interrupts when asked, and the port is ready again', () => {
  const ring = new RingBuffer();
  const irq = new ProbeLine();
  const port = new ParallelPort(irq, ring);
  port.reset();
  assert.equal(port.read(1), 0xd8);
  assert.equal(port.read(2), 0xcc);
  const print = (c: number, control: number) => {
    port.write(0, 1, c);
    port.write(2, 1, control | 1);
    port.write(2, 1, control);
  };
  for (const c of text('ab')) print(c, 0x0c);
  assert.equal(irq.edges, 0);
  print(0x0a, 0x1c);
  assert.equal(irq.edges, 1);
  assert.deepEqual(ring.read(), text('ab\n'));
  assert.equal(port.read(1) & 0x80, 0x80);
  port.write(2, 1, 0x0d);
  port.write(2, 1, 0x0d);
  assert.equal(ring.read().length, 1, 'only the edge of the strobe counts');
});

test('a byte that the backend cannot take yet keeps the port busy', () => {
  let room = 0;
  const sent: number[] = [];
  let writable = () => {};
  const port = new ParallelPort(new ProbeLine(), {
    type: 'test',
    filename: 'test',
    attach: (frontend) => {
      writable = () => frontend?.writable?.();
    },
    write(data) {
      if (room === 0) return 0;
      sent.push(data[0]!);
      return 1;
    },
    acceptInput: () => {},
  });
  port.write(0, 1, 0x41);
  port.write(2, 1, 0x0d);
  assert.equal(port.read(1) & 0x80, 0);
  writable();
  assert.equal(port.read(1) & 0x80, 0);
  room = 1;
  writable();
  assert.equal(port.read(1) & 0x80, 0x80);
  assert.deepEqual(sent, [0x41]);
});
