/**
 * `npm test [-- part-of-a-path ...]`: installs, builds, checks (format, lint, layers) and runs the tests. With arguments
 * only the test files whose path contains one of them, and no checks.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { ensureInstalled, root, runNode } from './bootstrap.mjs';
import { ensurePackages } from './host-packages.mjs';

/** Long suites have commands of their own. */
const LONG = ['tests/fuzz', 'tests/systems'];

ensureInstalled();
const { build } = await import('./build.mjs');
build();
const wanted = process.argv.slice(2);
if (wanted.length === 0) {
  runNode(['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.']);
  runNode(['node_modules/typescript/bin/tsc', '-p', 'tsconfig.pure.json']);
  ensurePackages();
}
const files = ['src', 'tests', 'tools']
  .flatMap((dir) => readdirSync(join(root, dir), { withFileTypes: true, recursive: true }))
  .filter((f) => f.isFile() && f.name.endsWith('.test.ts'))
  .map((f) => relative(root, join(f.parentPath, f.name)))
  .filter((f) => (wanted.length > 0 ? wanted.some((w) => f.includes(w)) : !LONG.some((l) => f.startsWith(l))))
  .map((f) => join('dist', f.replace(/\.ts$/, '.js')))
  .sort();
const done = spawnSync(
  process.execPath,
  ['--test', `--test-concurrency=${Math.min(2, availableParallelism())}`, ...files],
  { cwd: root, stdio: 'inherit' },
);
process.exit(done.status ?? 1);
