/**
 * `npm test [-- part-of-a-path ...]`: installs, builds, checks (format, lint, layers) and runs the tests; the core ones once
 * more on a current Node.js. With arguments only the test files whose path contains one of them, and no checks.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { ensureInstalled, root, runNode } from './bootstrap.mjs';
import { currentNode } from './current-node.mjs';
import { ensurePackages } from './host-packages.mjs';

/**
 * Suites with commands of their own: whole systems (`npm run test:systems`), and those that need a complete KVM (`npm run
 * test:kvm-lab`).
 */
const LONG = ['tests/systems', 'tests/kvm-lab'];
/** A test file that takes longer is stuck: it is ended and has failed. One of the long suites boots many systems. */
const FILE_TIMEOUT_MS = 300_000;
const LONG_FILE_TIMEOUT_MS = 7_200_000;
/** What depends on the JavaScript engine most: translator, interpreter, region compiler, and a whole boot. */
const CORE = ['src/ir', 'src/jit', 'src/guest', 'src/accel', 'tests/jit', 'tests/guest', 'tests/boot'];

ensureInstalled();
const { build } = await import('./build.mjs');
await build();
const wanted = process.argv.slice(2);
if (wanted.length === 0) {
  runNode(['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.']);
  runNode(['node_modules/typescript/bin/tsc', '-p', 'tsconfig.pure.json']);
}
ensurePackages();
const files = ['src', 'tests', 'tools']
  .flatMap((dir) => readdirSync(join(root, dir), { withFileTypes: true, recursive: true }))
  .filter((f) => f.isFile() && f.name.endsWith('.test.ts'))
  .map((f) => relative(root, join(f.parentPath, f.name)))
  .filter((f) => (wanted.length > 0 ? wanted.some((w) => f.includes(w)) : !LONG.some((l) => f.startsWith(l))))
  .map((f) => join('dist', f.replace(/\.ts$/, '.js')))
  .sort();

function run(node, list) {
  const long = list.some((f) => LONG.some((l) => f.startsWith(join('dist', l))));
  const options = [
    '--test',
    `--test-timeout=${long ? LONG_FILE_TIMEOUT_MS : FILE_TIMEOUT_MS}`,
    `--test-concurrency=${Math.min(2, availableParallelism())}`,
  ];
  const done = spawnSync(node, [...options, ...list], { cwd: root, stdio: 'inherit' });
  if (done.status !== 0) process.exit(done.status ?? 1);
}

const current = wanted.length === 0 ? currentNode() : undefined;
if (current !== undefined) {
  console.error('tinamou: the core tests on a current Node.js');
  run(
    current,
    files.filter((f) => CORE.some((c) => f.startsWith(join('dist', c)))),
  );
}
run(process.execPath, files);
