import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Monitor } from './monitor.js';

test('commands of the monitor for people, with events between, errors, and a machine that goes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'monitor-'));
  const asked: unknown[] = [];
  const server = createServer((socket) => {
    const say = (reply: object): void => void socket.write(`${JSON.stringify(reply)}\r\n`);
    say({ QMP: { version: {}, capabilities: [] } });
    createInterface({ input: socket }).on('line', (line) => {
      const { execute, arguments: args } = JSON.parse(line);
      asked.push(args?.['command-line'] ?? execute);
      say({ event: 'RESUME', timestamp: {} });
      if (args?.['command-line'] === 'quit') socket.destroy();
      else if (args?.['command-line'] === 'refused') say({ error: { class: 'GenericError', desc: 'not now' } });
      else say({ return: execute === 'qmp_capabilities' ? {} : 'VM status: running\r\n' });
    });
  });
  try {
    const path = join(folder, 'socket');
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const monitor = await Monitor.connect(path);
    assert.equal(await monitor.command('info status'), 'VM status: running');
    assert.equal(await monitor.command('refused'), 'refused: not now');
    assert.equal(await monitor.command('quit'), 'quit: the machine is gone');
    assert.deepEqual(asked, ['qmp_capabilities', 'info status', 'refused', 'quit']);
    monitor.close();
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
});
