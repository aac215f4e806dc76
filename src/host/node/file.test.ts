import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { FileNode, temporaryFile } from './file.js';
import { fileCalls } from './file-calls.js';

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

test('long reads and writes run beside the caller, also when the file is closed meanwhile', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-test-'));
  try {
    const name = path.join(folder, 'disk');
    fs.writeFileSync(name, '');
    const node = new FileNode(name, { threads: true });
    const data = new Uint8Array(1 << 20).map((_, i) => i >> 8);
    const writing = node.write(100, data);
    assert.ok(writing instanceof Promise);
    await writing;
    assert.equal(node.length, data.length + 100);
    assert.equal(node.write(0, new Uint8Array(100).fill(7)), undefined, 'short ones are done at once');
    const into = new Uint8Array(2 << 20).fill(9);
    const reading = node.read(100, into);
    node.close();
    await reading;
    assert.equal(Buffer.compare(into.subarray(0, data.length), data), 0);
    assert.ok(into.subarray(data.length).every((b) => b === 0));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

test('holes are seen and made', { skip: !fileCalls() && 'no koffi' }, async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-test-'));
  try {
    const node = FileNode.create(path.join(folder, 'disk'));
    await node.truncate(1 << 20);
    await node.write(0, new Uint8Array(1 << 18).fill(1));
    assert.deepEqual([node.status(0, 1 << 20).data, node.status(0, 1 << 20).length], [true, 1 << 18]);
    assert.deepEqual([node.status(1 << 18, 1 << 10).zero, node.status(1 << 18, 1 << 10).length], [true, 1 << 10]);
    const before = node.allocatedBytes();
    await node.discard(0, 1 << 17);
    assert.ok(node.allocatedBytes() < before);
    await node.writeZeroes(1 << 17, 100, false);
    const into = new Uint8Array(102);
    node.read((1 << 17) - 1, into);
    assert.deepEqual([into[0], into[1], into[100], into[101]], [0, 0, 0, 1]);
    await node.close();
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

test('who writes an image excludes others; readers do not', { skip: !fileCalls() && 'no koffi' }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-test-'));
  try {
    const name = path.join(folder, 'disk');
    fs.writeFileSync(name, 'x'.repeat(512));
    const first = new FileNode(name, { readOnly: true });
    const second = new FileNode(name, { readOnly: true });
    assert.throws(() => new FileNode(name), /Failed to get "write" lock\nIs another process using the image/);
    first.close();
    second.close();
    const writer = new FileNode(name);
    assert.throws(() => new FileNode(name, { readOnly: true }), /Failed to get shared "write" lock/);
    new FileNode(name, { readOnly: true, lock: 'share' }).close();
    const qemu = spawnSync('qemu-io', ['-f', 'raw', '-c', 'write 0 512', name], { encoding: 'utf8' });
    if (!qemu.error) assert.match(qemu.stderr, /Failed to get "write" lock/, 'QEMU sees our locks');
    writer.close();
    new FileNode(name).close();
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});
