/** Runs before anything is installed: brings node_modules up to the lockfile. Plain JavaScript without dependencies. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`tinamou: Node.js ${process.versions.node} is too old; install 20.19 or later (24 runs faster)`);
  process.exit(1);
}

/** Installs the locked dependencies unless they are there. */
export function ensureInstalled() {
  // A linked folder belongs to another checkout: not ours to change.
  const folder = join(root, 'node_modules');
  if (existsSync(folder) && lstatSync(folder).isSymbolicLink()) return;
  const lock = join(root, 'package-lock.json');
  const stamp = join(root, 'node_modules/.tinamou-lock');
  const digest = createHash('sha256').update(readFileSync(lock)).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  console.error('tinamou: installing dependencies');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const done = spawnSync(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (done.status !== 0) {
    console.error('tinamou: npm ci failed; see above. Is the npm registry reachable?');
    process.exit(1);
  }
  writeFileSync(stamp, digest);
}

/** Runs a script with this Node.js; ends the process when it fails. */
export function runNode(args, options = {}) {
  const done = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', ...options });
  if (done.status !== 0) process.exit(done.status ?? 1);
}
