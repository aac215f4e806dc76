/**
 * Builds what changed: TypeScript to dist/, generated constants, the AssemblyScript runtime to dist/runtime/, the commands to
 * dist/commands/.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureInstalled, root, runNode } from './bootstrap.mjs';
import { bundleCommands } from './commands.mjs';

const SOURCES = ['src', 'tests', 'tools', 'bench', 'examples', 'bin'];
const ASC_OPTIONS = [
  'src/runtime/x86/entry.ts',
  ...[
    '--outFile',
    'dist/runtime/x86.wasm',
    '-O3',
    '--noAssert',
    // Names of functions, for profilers; the code is the same.
    '--debug',
    '--runtime',
    'stub',
    '--exportTable',
    '--use',
    'abort=',
  ],
  ...['--importMemory', '--sharedMemory', '--initialMemory', '64', '--maximumMemory', '65536', '--memoryBase', '1024'],
  ...['threads', 'simd', 'bulk-memory', 'sign-extension', 'nontrapping-f2i', 'mutable-globals'].flatMap((f) => [
    '--enable',
    f,
  ]),
];

const filesUnder = (dir) =>
  existsSync(join(root, dir))
    ? readdirSync(join(root, dir), { withFileTypes: true, recursive: true })
        .filter((f) => f.isFile() && /\.(ts|mjs|js)$/.test(f.name))
        .map((f) => join(f.parentPath, f.name))
        .sort()
    : [];

/** Runs `make` unless `stamp` says that it ran for these inputs. */
async function unlessDone(stamp, digest, outputs, make) {
  const path = join(root, 'dist', stamp);
  const current = existsSync(path) && readFileSync(path, 'utf8') === digest;
  if (current && outputs.every((o) => existsSync(join(root, o)))) return;
  await make();
  mkdirSync(join(root, 'dist'), { recursive: true });
  writeFileSync(path, digest);
}

export async function build() {
  ensureInstalled();
  const sources = createHash('sha256').update(readFileSync(join(root, 'tsconfig.json')));
  for (const f of SOURCES.flatMap(filesUnder)) {
    if (f.includes('/generated/')) continue;
    const { mtimeMs, size } = statSync(f);
    sources.update(`${f} ${mtimeMs} ${size}\n`);
  }
  // V8's code of the commands is one Node.js's.
  sources.update(`${process.version} ${process.arch}\n`);
  const outputs = ['dist/src', 'dist/runtime/x86.wasm', 'dist/commands'];
  await unlessDone('build.stamp', sources.digest('hex'), outputs, async () => {
    runNode(['node_modules/typescript/bin/tsc', '-p', '.']);
    runNode(['dist/tools/generate-runtime.js', root]);
    const runtime = createHash('sha256').update(ASC_OPTIONS.join());
    for (const f of filesUnder('src/runtime')) runtime.update(f).update(readFileSync(f));
    mkdirSync(join(root, 'dist/runtime'), { recursive: true });
    await unlessDone('runtime/x86.stamp', runtime.digest('hex'), ['dist/runtime/x86.wasm'], () =>
      runNode(['node_modules/assemblyscript/bin/asc.js', ...ASC_OPTIONS]),
    );
    await bundleCommands();
  });
}

if (process.argv[1] === import.meta.filename) await build();
