import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { FileNode, temporaryFile } from './file.js';

test('a file is read, written, grown and flushed', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-test-'));
  try {
    const name = path.join(folder, 'disk');
    fs.writeFileSync(name, 'hello world');
    const node = new FileNode(name);
    assert.equal(node.length, 11);
    const into = new Uint8Array(16).fill(9);
    node.read(6, into);
    assert.deepEqual([...into], [...Buffer.from('world'), ...new Array(11).fill(0)]);
    node.write(11, Buffer.from('!'));
    await node.flush();
    node.close();
    assert.equal(fs.readFileSync(name, 'utf8'), 'hello world!');
    const readOnly = new FileNode(name, { readOnly: true });
    assert.throws(() => readOnly.write(0, Buffer.from('x')), { errno: 'EIO' });
    readOnly.close();
    assert.throws(() => new FileNode(path.join(folder, 'none')), /Could not open '.*none': No such file or directory/);
    assert.throws(() => new FileNode(folder), /Is a directory/);
    const scratch = temporaryFile(folder);
    scratch.write(100, Buffer.from('abc'));
    const back = new Uint8Array(3);
    scratch.read(100, back);
    assert.equal(Buffer.from(back).toString(), 'abc');
    assert.deepEqual(fs.readdirSync(folder), ['disk'], 'a temporary file has no name');
    scratch.close();
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});
