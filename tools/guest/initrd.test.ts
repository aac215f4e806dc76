import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { cached } from './cache.js';
import { applets, buildInitrd } from './initrd.js';
import { collectModules } from './modules.js';

const BUSYBOX = new TextEncoder().encode('\x7fELF...\0[\0[[\0init\0ls\0sh\0\0more');
/** Paths in an archive, in order, with the header's mode and the data. */
function list(archive: Uint8Array): { path: string; mode: number; data: string }[] {
  const b = Buffer.from(archive);
  const out: { path: string; mode: number; data: string }[] = [];
  for (let at = 0; ; ) {
    assert.equal(b.toString('latin1', at, at + 6), '070701');
    const field = (i: number): number => Number.parseInt(b.toString('latin1', at + 6 + 8 * i, at + 14 + 8 * i), 16);
    const nameEnd = at + 110 + field(11);
    const start = (nameEnd + 3) & ~3;
    const path = b.toString('utf8', at + 110, nameEnd - 1);
    if (path === 'TRAILER!!!') return out;
    out.push({ path, mode: field(1), data: b.toString('latin1', start, start + field(6)) });
    at = (start + field(6) + 3) & ~3;
  }
}

test('the initrd has BusyBox under its applets, a console and what was added', () => {
  assert.deepEqual(applets(BUSYBOX), ['[', '[[', 'init', 'ls', 'sh']);
  const archive = buildInitrd({
    busybox: BUSYBOX,
    modules: [{ name: 'ata_piix', bytes: new Uint8Array([1, 2, 3]) }],
    files: { '/opt/test/run': 'echo hi\n' },
  });
  const entries = new Map(list(archive).map((e) => [e.path, e]));
  assert.equal(entries.get('init')!.data, 'sbin/init');
  assert.equal(entries.get('sbin/init')!.data, '../bin/busybox');
  assert.equal(entries.get('bin/ls')!.mode, 0o120777);
  assert.equal(entries.get('dev/console')!.mode, 0o020600);
  assert.equal(entries.get('opt')!.mode, 0o040755);
  assert.equal(entries.get('opt/test/run')!.data, 'echo hi\n');
  assert.equal(entries.get('lib/modules/load')!.data, 'ata_piix\n');
  assert.equal(entries.get('lib/modules/ata_piix.ko')!.data, '\x01\x02\x03');
  const zipped = buildInitrd({ busybox: BUSYBOX, modules: [], gzip: true });
  assert.deepEqual(new Uint8Array(gunzipSync(zipped)), buildInitrd({ busybox: BUSYBOX, modules: [] }));
});

const cpio = spawnSync('cpio', ['--version']).status === 0;
test('cpio reads the archive', { skip: cpio ? false : 'cpio is not installed' }, () => {
  const archive = buildInitrd({ busybox: BUSYBOX, modules: [] });
  const done = spawnSync('cpio', ['-itv', '--quiet'], { input: archive, encoding: 'utf8' });
  assert.equal(done.stderr, '');
  assert.equal(done.stdout.trim().split('\n').length, list(archive).length);
});

test('modules come after what they depend on, built-in ones not at all', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tinamou-modules-'));
  try {
    const module = (name: string, info: string): void => writeFileSync(join(folder, `${name}.ko`), `ELF\0${info}\0`);
    module('ext4', 'depends=jbd2,crc-16\0softdep=pre: crc32c');
    module('jbd2', 'depends=');
    module('crc-16', 'depends=core');
    writeFileSync(join(folder, 'modules.builtin'), 'kernel/core.ko\n');
    const names = (wanted: string[]): string[] => collectModules(folder, wanted).map((m) => m.name);
    assert.deepEqual(names(['ext4', 'jbd2']), ['jbd2', 'crc_16', 'ext4']);
    assert.throws(() => names(['nonsense']), /no module 'nonsense'/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the cache makes a thing once and leaves nothing behind when making fails', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tinamou-cache-'));
  const before = process.env['TINAMOU_CACHE'];
  process.env['TINAMOU_CACHE'] = folder;
  try {
    await assert.rejects(
      cached('sub/thing', (path) => {
        writeFileSync(path, 'half');
        throw new Error('no network');
      }),
      /no network/,
    );
    let made = 0;
    const make = (path: string): void => {
      made++;
      writeFileSync(path, 'whole');
    };
    assert.equal(readFileSync(await cached('sub/thing', make), 'utf8'), 'whole');
    await cached('sub/thing', make);
    assert.equal(made, 1);
    const left = spawnSync('find', [folder, '-type', 'f'], { encoding: 'utf8' }).stdout.trim();
    assert.equal(left, join(folder, 'sub/thing'));
  } finally {
    if (before === undefined) delete process.env['TINAMOU_CACHE'];
    else process.env['TINAMOU_CACHE'] = before;
    rmSync(folder, { recursive: true });
  }
});
