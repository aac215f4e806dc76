/**
 * Makes dist/commands/ for bin/: each command as one file with a source map, and the code that V8 makes of it in a short run,
 * which spares later runs the compilation (bin/command.js).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './bootstrap.mjs';

/** Needed when an image or an option asks for them, and found in node_modules then. */
const EXTERNAL = ['koffi', '@hpcc-js/wasm-zstd'];

/** Firmware that prints a character and resets: mov dx,3f8h; mov al,'!'; out dx,al; mov al,0feh; out 64h,al; hlt; jmp $-1. */
function shortFirmware(path) {
  const rom = new Uint8Array(65536);
  rom.set([0xba, 0xf8, 0x03, 0xb0, 0x21, 0xee, 0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd], 0xfff0);
  writeFileSync(path, rom);
  return path;
}

export async function bundleCommands() {
  const { build } = await import('esbuild');
  const out = join(root, 'dist/commands');
  // Code must never stay beside a file that it was not made of.
  rmSync(out, { recursive: true, force: true });
  await build({
    absWorkingDir: root,
    entryPoints: {
      ...Object.fromEntries(['system', 'img', 'nbd', 'kvm-ok'].map((c) => [c, `dist/src/app/${c}/main.js`])),
      'engine-flags': 'dist/src/host/node/engine-flags.js',
      // Threads: one file each too, which is too small to keep V8's code of.
      'vcpu-worker': 'dist/src/host/node/kvm/vcpu-worker.js',
      'ticker-worker': 'dist/src/host/node/ticker-worker.js',
    },
    outdir: out,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    external: EXTERNAL,
    // Code that V8 has kept knows no module loader to import with.
    supported: { 'dynamic-import': false },
    sourcemap: true,
    sourcesContent: false,
    define: { 'import.meta.url': 'bundleUrl' },
    banner: { js: "const bundleUrl = require('node:url').pathToFileURL(module.filename).href;" },
    logLevel: 'warning',
  });
  const scratch = mkdtempSync(join(tmpdir(), 'tinamou-'));
  const bios = shortFirmware(join(scratch, 'short.bin'));
  for (const [command, ...args] of [
    ['system-x86_64', '-nographic', '-no-reboot', '-bios', bios],
    ['img', '--help'],
    ['nbd', '--help'],
  ]) {
    const done = spawnSync(process.execPath, [join(root, `bin/tinamou-${command}.js`), ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, TINAMOU_KEEP_CODE: '1' },
    });
    if (done.status !== 0) throw new Error(`tinamou-${command} does not run: status ${done.status ?? done.signal}`);
  }
  rmSync(scratch, { recursive: true });
}
