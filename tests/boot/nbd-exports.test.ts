/** The monitor's NBD server: a machine's drives, read and written from outside while it runs. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { VirtualMachine } from '../../src/app/lib/index.js';
import { openImage } from '../../src/block/open.js';
import { NODE_BLOCK_HOST } from '../../src/host/node/block-host.js';

const open = (file: string, readOnly = false) =>
  openImage(NODE_BLOCK_HOST, { file, readOnly, format: 'raw', cache: 'writeback' });

test('drives over NBD: started, added, written, taken away, stopped', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tinamou-nbd-'));
  const [disk, other, socket] = ['disk', 'other', 'socket'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(disk, Buffer.alloc(1 << 20, 'disk '));
  writeFileSync(other, Buffer.alloc(1 << 20, 'other'));
  const vm = await VirtualMachine.create({
    memory: '16M',
    args: [
      ...['-drive', `file=${disk},format=raw,if=none,id=disk`, '-drive', `file=${other},format=raw,if=none,id=other`],
      ...['-drive', 'if=none,id=empty'],
    ],
  });
  const at = (name: string): string => `nbd+unix:///${name}?socket=${socket}`;
  try {
    const run = (line: string): Promise<string> => vm.monitorAsync(line);
    await assert.rejects(run('nbd_server_add disk'), /NBD server not running/);
    await assert.rejects(run('nbd_server_stop'), /NBD server not running/);
    await assert.rejects(run(`nbd_server_start -w unix:${socket}`), /-w only valid together with -a/);
    await assert.rejects(run('nbd_server_start nowhere'), /error parsing address 'nowhere'/);
    await run(`nbd_server_start unix:${socket}`);
    await assert.rejects(run(`nbd_server_start unix:${socket}`), /NBD server already running/);
    await run('nbd_server_add -w disk');
    await run('nbd_server_add other name');
    await assert.rejects(run('nbd_server_add disk'), /NBD server already has export named 'disk'/);
    await assert.rejects(run('nbd_server_add none'), /Cannot find device='none' nor node-name='none'/);
    await assert.rejects(run('nbd_server_add empty'), /Device 'empty' has no medium/);

    const writer = await open(at('disk'));
    const text = new Uint8Array(5);
    await writer.read(5, text);
    assert.equal(Buffer.from(text).toString(), 'disk ');
    await writer.write(512, Buffer.from('from outside'));
    await writer.flush();
    await assert.rejects(run('nbd_server_remove disk'), /export 'disk' still in use/);
    await writer.close();
    const reader = await open(at('name'), true);
    await reader.read(1000, text);
    assert.equal(Buffer.from(text).toString(), 'other');
    await run('nbd_server_remove -f name');
    await assert.rejects(async () => reader.read(0, text));
    await reader.close();
    await assert.rejects(run('nbd_server_remove name'), /Export 'name' is not found/);
    await assert.rejects(open(at('name'), true));

    await run('nbd_server_stop');
    assert.ok(!existsSync(socket));
    await run(`nbd_server_start -a unix:${socket}`);
    const all = await open(at('disk'), true);
    const said = new Uint8Array(12);
    await all.read(512, said);
    assert.equal(Buffer.from(said).toString(), 'from outside');
    await assert.rejects(async () => all.write(0, said));
    await all.close();
  } finally {
    await vm.dispose();
    rmSync(folder, { recursive: true });
  }
});
