import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { NodeFolder } from './folder.js';

const outside = mkdtempSync(join(tmpdir(), 'tinamou-folder-'));
const root = join(outside, 'root');
mkdirSync(join(root, 'inside'), { recursive: true });
writeFileSync(join(outside, 'secret'), 'secret');
symlinkSync('..', join(root, 'up'));
symlinkSync('../secret', join(root, 'file'));
after(() => rmSync(outside, { recursive: true, force: true }));

test('symbolic links are shown and never followed', () => {
  const folder = new NodeFolder(root, false, false);
  assert.equal(folder.readLink(['file']), '../secret');
  assert.throws(() => folder.open(['file'], { read: true, write: false }), { code: 'ELOOP' });
  assert.throws(() => folder.open(['up', 'secret'], { read: true, write: false }), { code: 'ENOTDIR' });
  assert.throws(() => folder.list(['up']), { code: 'ENOTDIR' });
  assert.throws(() => folder.setSize(['file'], 0), { code: 'ELOOP' });
  assert.throws(() => folder.setMode(['file'], 0o777), { code: 'EOPNOTSUPP' });
  for (const name of ['..', '.', '', 'a/b', 'a\0b']) assert.throws(() => folder.stat([name]), { code: 'EINVAL' });
  assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
});

test('a read-only folder takes no changes', () => {
  const folder = new NodeFolder(root, true, false);
  assert.throws(() => folder.makeFolder(['new'], 0o755), { code: 'EROFS' });
  assert.throws(() => folder.open(['new'], { read: true, write: true }), { code: 'EROFS' });
  assert.throws(() => folder.setSize(['file'], 0), { code: 'EROFS' });
  assert.deepEqual(folder.list(['inside']), []);
});

test('a folder that is not there is told of', () => {
  assert.throws(() => new NodeFolder(join(root, 'nowhere'), false, false), /No such file or directory/);
});
