import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Script } from 'node:vm';
import { inSources, sourcePlace } from '../../src/host/node/source-places.js';

const root = join(import.meta.dirname, '../../..');
const { compile } = createRequire(import.meta.url)(join(root, 'bin/command.js')) as {
  readonly compile: (name: string) => Script;
};

const builtByThisNode = readdirSync(join(root, 'dist/commands')).some((f) => f.includes(`.${process.version}-`));

test('V8 takes the code that the build has made of the commands', { skip: !builtByThisNode }, () => {
  // The last one has flags of its own.
  for (const name of ['system', 'early-state', 'nbd', 'img'])
    assert.equal(compile(name).cachedDataRejected, false, name);
});

test('a bundled command finds packages that it loads when they are needed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tinamou-test-'));
  const content = new Uint8Array(1 << 20).fill(7);
  writeFileSync(join(folder, 'raw'), content);
  const convert = (...args: string[]): void => {
    const done = spawnSync(process.execPath, [join(root, 'bin/tinamou-img.js'), 'convert', ...args], { cwd: folder });
    assert.equal(done.status, 0, String(done.stderr));
  };
  convert('-c', '-O', 'qcow2', '-o', 'compression_type=zstd', 'raw', 'zstd.qcow2');
  convert('-O', 'raw', 'zstd.qcow2', 'back');
  assert.ok(readFileSync(join(folder, 'back')).equals(content));
  rmSync(folder, { recursive: true });
});

test('places in a bundled command are told as places in the sources', () => {
  const file = join(root, 'dist/commands/system.cjs');
  const before = readFileSync(file, 'utf8').split('function describeCrash(')[0]!.split('\n');
  const line = before.length - 1;
  const column = before.at(-1)!.length;
  const source = readFileSync(join(root, 'src/app/system/main.ts'), 'utf8').split('\n');
  const expected = source.findIndex((text) => text.startsWith('function describeCrash(')) + 1;
  assert.deepEqual(sourcePlace(file, line, column), { file: 'src/app/system/main.ts', line: expected });
  assert.equal(
    inSources(`Error: x\n    at describeCrash (${file}:${line + 1}:${column + 1})\n    at y (/elsewhere/z.cjs:1:1)`),
    `Error: x\n    at describeCrash (src/app/system/main.ts:${expected})\n    at y (/elsewhere/z.cjs:1:1)`,
  );
});

test('the thread that a machine needs first starts with the command, and is not put behind the machine thread as V8’s are', {
  skip: process.platform !== 'linux',
}, () => {
  const script = `require(${JSON.stringify(join(root, 'bin/command.js'))})('system');
    const fs = require('node:fs');
    const nicenesses = fs.readdirSync('/proc/self/task').filter((thread) => Number(thread) !== process.pid)
      .map((thread) => Number(fs.readFileSync('/proc/self/task/' + thread + '/stat', 'latin1').replace(/^.*\\) /, '').split(' ')[16]));
    console.log(nicenesses.filter((niceness) => niceness < 10).length, nicenesses.some((niceness) => niceness === 10));
    process.exit(0);`;
  const threads = (...args: string[]): string => {
    const done = spawnSync(process.execPath, ['-e', script, '--', 'command', ...args], { encoding: 'utf8' });
    assert.equal(done.status, 0, done.stderr);
    return done.stdout.trim();
  };
  assert.equal(threads('-m', '64'), '1 true', 'the ticker');
  assert.equal(threads('-machine', 'pc,accel=kvm'), '1 true', 'a processor of KVM');
  assert.equal(threads('-version'), '0 true', 'nothing will run');
});
