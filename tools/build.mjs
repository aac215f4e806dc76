/** Builds everything that changed: TypeScript to dist/, generated constants, the AssemblyScript runtime to dist/runtime/. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const run = (script, args) => {
  const done = spawnSync(process.execPath, [script, ...args], { stdio: 'inherit' });
  if (done.status !== 0) process.exit(done.status ?? 1);
};

run('node_modules/typescript/bin/tsc', ['-p', '.']);
run('dist/tools/generate-runtime.js', [root]);

const files = (dir) =>
  readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((f) => f.isFile() && f.name.endsWith('.ts'))
    .map((f) => join(f.parentPath, f.name))
    .sort();
const options = [
  'src/runtime/x86/entry.ts',
  '--outFile',
  'dist/runtime/x86.wasm',
  '-O3',
  '--noAssert',
  '--runtime',
  'stub',
  '--exportTable',
  '--importMemory',
  '--sharedMemory',
  '--initialMemory',
  '64',
  '--maximumMemory',
  '65536',
  '--memoryBase',
  '1024',
  '--enable',
  'threads',
  '--enable',
  'simd',
  '--enable',
  'bulk-memory',
  '--enable',
  'sign-extension',
  '--enable',
  'nontrapping-f2i',
  '--enable',
  'mutable-globals',
];
const hash = createHash('sha256').update(options.join());
for (const f of files('src/runtime')) hash.update(f).update(readFileSync(f));
const digest = hash.digest('hex');
const stamp = 'dist/runtime/x86.stamp';
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== digest || !existsSync('dist/runtime/x86.wasm')) {
  mkdirSync('dist/runtime', { recursive: true });
  run('node_modules/assemblyscript/bin/asc.js', options);
  writeFileSync(stamp, digest);
}
