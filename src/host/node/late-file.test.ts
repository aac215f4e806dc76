import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { readLater } from './late-file.js';

function file(t: TestContext, contents: string): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tinamou-late-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  fs.writeFileSync(path.join(folder, 'file'), contents);
  return path.join(folder, 'file');
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const openFiles = (): number => fs.readdirSync('/proc/self/fd').length;

test('contents are there whenever they are asked for, though the name is gone, and the file is closed then', async (t) => {
  const before = openFiles();
  const asked = file(t, 'asked for at once');
  const read = readLater(asked, 20);
  fs.rmSync(asked);
  assert.equal(text(read()), 'asked for at once');
  const later = file(t, 'read by itself');
  const ahead = readLater(later, 1);
  fs.rmSync(later);
  for (let i = 0; i < 500 && openFiles() > before; i++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(openFiles(), before);
  assert.equal(text(ahead()), 'read by itself');
  assert.equal(text(read()), 'asked for at once');
});

test('whoever asks while the file is being read gets all of it', async (t) => {
  const before = openFiles();
  const contents = 'x'.repeat(8 << 20);
  const read = readLater(file(t, contents), 0);
  await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(text(read()), contents);
  for (let i = 0; i < 500 && openFiles() > before; i++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(openFiles(), before);
  assert.equal(read().length, contents.length);
});

test('what cannot be read is told at once', (t) => {
  const there = file(t, '');
  assert.throws(() => readLater(`${there}-not`), { code: 'ENOENT' });
  assert.throws(() => readLater(path.dirname(there)), { code: 'EISDIR' });
});
