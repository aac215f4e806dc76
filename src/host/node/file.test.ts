import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { FileNode, temporaryFile } from './file.js';
import { fileCalls } from './file-calls.js';
import { POOL_CALLS } from './file-pool.js';

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
    const node = new FileNode(name, { threads: POOL_CALLS });
    const data = new Uint8Array(3 << 20).map((_, i) => i >> 8);
    const writing = node.write(100, data);
    assert.ok(writing instanceof Promise);
    await writing;
    assert.equal(node.length, data.length + 100);
    assert.equal(node.write(0, new Uint8Array(100).fill(7)), undefined, 'short ones are done at once');
    const into = new Uint8Array(4 << 20).fill(9);
    const reading = node.read(100, into);
    node.close();
    await reading;
    assert.equal(Buffer.compare(into.subarray(0, data.length), data), 0);
    assert.ok(into.subarray(data.length).every((b) => b === 0));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

test('with threads, no write waits for a flush or for a long change of its file', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-test-'));
  try {
    for (const name of ['disk', 'other']) fs.writeFileSync(path.join(folder, name), new Uint8Array(1 << 20));
    const node = new FileNode(path.join(folder, 'disk'), { threads: POOL_CALLS });
    const other = new FileNode(path.join(folder, 'other'), { threads: POOL_CALLS });
    const page = new Uint8Array(4096).fill(3);
    for (const [long, file] of [
      [() => node.flush(), node],
      [() => other.flush(), node],
      [() => node.write(0, new Uint8Array(2 << 20)), node],
      [() => node.writeViews(0, [page, page]), node],
    ] as const) {
      const running = long();
      const write = file.write(1 << 19, page);
      assert.ok(write instanceof Promise);
      await Promise.all([running, write]);
      assert.equal(file.write(1 << 19, page), undefined, 'at once again');
    }
    const long = other.write(0, new Uint8Array(2 << 20));
    assert.equal(node.write(0, page), undefined, "another file's writes are no matter");
    await long;
    node.close();
    other.close();
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

test('with threads, what is not in the page cache is read beside the caller', {
  skip: !fileCalls() && 'no koffi',
}, async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-test-'));
  try {
    const name = path.join(folder, 'disk');
    const data = Buffer.alloc(4 << 20).map((_, i) => (i >> 12) * 7);
    fs.writeFileSync(name, data);
    const evict = (): boolean =>
      spawnSync('dd', [`of=${name}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'], { stdio: 'ignore' })
        .status === 0;
    // Other systems' dd have no `nocache`, and in the page cache there is nothing to wait for: another path than the one looked at.
    if (!evict()) return t.skip('this dd cannot empty the page cache');
    const node = new FileNode(name, { threads: POOL_CALLS });
    const into = new Uint8Array(new SharedArrayBuffer(8192));
    const cold = node.read(1 << 20, into);
    if (cold === undefined) return t.skip('the file system keeps everything in memory, or cannot tell');
    await cold;
    assert.equal(Buffer.compare(into, data.subarray(1 << 20, (1 << 20) + 8192)), 0);
    into.fill(0);
    assert.equal(node.read(1 << 20, into), undefined, 'now it is there');
    assert.equal(Buffer.compare(into, data.subarray(1 << 20, (1 << 20) + 8192)), 0);
    // The first page is there; what lies beyond the end is zero.
    const end = new Uint8Array(8192).fill(9);
    await node.read(data.length - 4096, end);
    assert.equal(node.read(data.length - 4096, end.fill(9)), undefined);
    assert.equal(Buffer.compare(end.subarray(0, 4096), data.subarray(data.length - 4096)), 0);
    assert.ok(end.subarray(4096).every((b) => b === 0));
    // What was read so far may have made the host read ahead.
    assert.ok(evict());
    // A part of a page that the host would have to read first; a whole page needs nothing of what was there.
    const part = node.write((3 << 20) + 512, new Uint8Array(1024).fill(5));
    assert.ok(part instanceof Promise, 'written beside the caller');
    await part;
    assert.equal(node.write((3 << 20) + 512, new Uint8Array(1024).fill(6)), undefined, 'now the page is there');
    assert.equal(node.write((3 << 20) + (64 << 12), new Uint8Array(4096)), undefined);
    const around = new Uint8Array(4096);
    await node.read(3 << 20, around);
    const expected = Buffer.from(data.subarray(3 << 20, (3 << 20) + 4096)).fill(6, 512, 1536);
    assert.equal(Buffer.compare(around, expected), 0);
    await node.close();
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

test('with threads, discarding and zeroing run beside the caller', { skip: !fileCalls() && 'no koffi' }, async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-test-'));
  try {
    const name = path.join(folder, 'disk');
    fs.writeFileSync(name, Buffer.alloc(1 << 20, 1));
    const node = new FileNode(name, { threads: POOL_CALLS });
    const pending = [node.discard(0, 4096), node.writeZeroes(8192, 4096, true), node.writeZeroes(16384, 100, false)];
    for (const p of pending) assert.ok(p instanceof Promise);
    const page = new Uint8Array(new SharedArrayBuffer(4096));
    const read = node.read(32768, page);
    assert.ok(read instanceof Promise, 'no look at the page cache meanwhile');
    await Promise.all([...pending, read]);
    assert.ok(page.every((b) => b === 1));
    await node.writeZeroes((1 << 20) - 10, 20, true);
    assert.equal(node.length, (1 << 20) + 10);
    const bytes = fs.readFileSync(name);
    assert.equal(bytes.length, (1 << 20) + 10);
    for (const [from, to] of [
      [0, 4096],
      [8192, 12288],
      [16384, 16484],
      [(1 << 20) - 10, (1 << 20) + 10],
    ] as const)
      assert.ok(bytes.subarray(from, to).every((b) => b === 0));
    assert.equal(bytes[16484], 1);
    await node.close();
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
