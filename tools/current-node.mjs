/** A current Node.js from the npm registry, beside the one that runs us: the core tests run on both. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './bootstrap.mjs';

const VERSION = '26.10.0';

/** Path of its binary, installed into .cache/ when missing; undefined (with a line that says why) when it can't be had. */
export function currentNode() {
  const name = `node-${process.platform}-${process.arch}`;
  const folder = join(root, '.cache', `node-${VERSION}`);
  const home = join(folder, 'node_modules', name);
  const binary = join(home, 'bin/node');
  const version = () => JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')).version;
  if (existsSync(binary) && version() === VERSION) return binary;
  mkdirSync(folder, { recursive: true });
  const options = ['--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
  const done = spawnSync('npm', ['install', ...options, `${name}@${VERSION}`], { stdio: ['ignore', 2, 2] });
  if (done.status === 0 && existsSync(binary)) return binary;
  console.error(
    `tinamou: SKIPPED: the core tests on Node.js ${VERSION}, which the npm registry does not give for ${name}`,
  );
  return undefined;
}
