import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { CharEvent, CharFrontend } from '../../char/backend.js';
import { FileBackend } from './char-file.js';
import { SocketBackend } from './char-socket.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-test-'));
after(() => fs.rmSync(folder, { recursive: true }));

class Line implements CharFrontend {
  text = '';
  readonly events: CharEvent[] = [];
  room = 1000;
  canReceive(): number {
    return this.room;
  }
  receive(data: Uint8Array): void {
    this.text += Buffer.from(data).toString('latin1');
  }
  event(event: CharEvent): void {
    this.events.push(event);
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('a file takes what is written and gives what another file holds', () => {
  const [out, input] = [path.join(folder, 'out'), path.join(folder, 'in')];
  fs.writeFileSync(input, 'hello');
  const backend = new FileBackend(out, false, input);
  const line = new Line();
  line.room = 0;
  backend.attach(line);
  assert.equal(line.text, '');
  line.room = 1000;
  backend.acceptInput();
  assert.equal(line.text, 'hello');
  backend.write(Buffer.from('one'));
  backend.dispose();
  const more = new FileBackend(out, true);
  more.write(Buffer.from('two'));
  more.dispose();
  assert.equal(fs.readFileSync(out, 'utf8'), 'onetwo');
});

test('a server takes one connection after the other and leaves no socket behind', { timeout: 10_000 }, async () => {
  const address = { path: path.join(folder, 'socket') };
  const backend = await SocketBackend.open({ address, server: true, telnet: false, reconnect: 0 }, false, () => {});
  const line = new Line();
  backend.attach(line);
  assert.equal(backend.filename, `disconnected:unix:${address.path},server=on`);
  assert.equal(backend.write(Buffer.from('lost')), 4);
  for (const round of [1, 2]) {
    const peer = net.connect(address);
    await line.until(() => line.events.length === 2 * round - 1);
    let heard = '';
    peer.on('data', (data) => {
      heard += data.toString();
    });
    peer.write(`in${round}`);
    backend.write(Buffer.from(`out${round}`));
    await line.until(() => line.text.endsWith(`in${round}`) && heard === `out${round}`);
    peer.end();
    await once(peer, 'close');
    await line.until(() => line.events.length === 2 * round);
  }
  assert.deepEqual(line.events, ['opened', 'closed', 'opened', 'closed']);
  backend.dispose();
  assert.equal(fs.existsSync(address.path), false);
});

test('telnet: commands are no input, and 255 is doubled', { timeout: 10_000 }, async () => {
  const address = { host: '127.0.0.1', port: 0 };
  const backend = await SocketBackend.open({ address, server: true, telnet: true, reconnect: 0 }, false, () => {});
  const line = new Line();
  backend.attach(line);
  const port = Number(/:(\d+),/.exec(backend.filename)![1]);
  const peer = net.connect(port, '127.0.0.1');
  const heard: number[] = [];
  peer.on('data', (data) => heard.push(...data));
  await line.until(() => line.events.includes('opened'));
  peer.write(Uint8Array.of(0x41, 255, 253, 1, 0x42, 255, 250, 31, 0, 80, 255, 240, 0x43, 255, 255, 255, 243));
  await line.until(() => line.events.includes('break'));
  assert.equal(line.text, 'ABC\xff');
  backend.write(Uint8Array.of(0x44, 255));
  await line.until(() => heard.length >= 15);
  assert.deepEqual(heard.slice(-3), [0x44, 255, 255]);
  peer.destroy();
  backend.dispose();
});
