/**
 * Makes dist/commands/ for bin/: each command as one file with a source map, and the code that V8 makes of it in a short run,
 * which spares later runs the compilation (bin/command.js).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './bootstrap.mjs';

/** A run takes a second; a build must not hang. */
const RUN_TIMEOUT_MS = 120_000;
/** Needed when an image or an option asks for them, and found in node_modules then. */
const EXTERNAL = ['koffi', '@hpcc-js/wasm-zstd'];

/**
 * Firmware that prints a character, waits for one, and resets: mov dx,3f8h; mov al,'!'; out dx,al; add dl,5; wait: in al,dx; test
 * al,1; jz wait; mov al,0feh; out 64h,al; hlt.
 */
function shortFirmware(path) {
  const rom = new Uint8Array(65536);
  rom.set(
    [0xba, 0xf8, 0x03, 0xb0, 0x21, 0xee, 0x80, 0xc2, 0x05, 0xec, 0xa8, 0x01, 0x74, 0xfb, 0xb0, 0xfe, 0xe6, 0x64, 0xf4],
    0xffd0,
  );
  // Where the processor begins: back to the above.
  rom.set([0xeb, 0xde], 0xfff0);
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
  const at = (name) => join(scratch, name);
  writeFileSync(at('raw'), new Uint8Array(3 << 20).fill(1, 0, 1 << 20));
  const machine = ['-display', 'none', '-no-reboot', '-bios', shortFirmware(at('short.bin'))];
  const run = (command, args, input) =>
    spawnSync(process.execPath, [join(root, `bin/tinamou-${command}.js`), ...args], {
      input: input ?? '',
      encoding: 'utf8',
      timeout: RUN_TIMEOUT_MS,
      killSignal: 'SIGKILL',
      env: { ...process.env, TINAMOU_KEEP_CODE: '1' },
    });
  // Each run starts with the code of those before and adds its own.
  for (const [command, args, input] of [
    ['system-x86_64', [...machine, '-nographic'], 'x'],
    ['system-x86_64', [...machine, '-serial', 'null', '-monitor', 'stdio'], `migrate file:${at('state')}\nquit\n`],
    ['system-x86_64', [...machine, '-serial', 'stdio', '-incoming', `file:${at('state')}`], 'x'],
    ['img', ['--help']],
    ['img', ['convert', '-O', 'qcow2', at('raw'), at('qcow2')]],
    ['img', ['convert', '-O', 'raw', at('qcow2'), at('raw')]],
    ['img', ['info', at('qcow2')]],
    ['img', ['bench', '-c', '100', '-f', 'qcow2', at('qcow2')]],
    ['img', ['bench', '-w', '-c', '100', '-t', 'unsafe', '-f', 'qcow2', at('qcow2')]],
    ['nbd', ['--help']],
  ]) {
    const { status, signal, stderr } = run(command, args, input);
    if (status !== 0) throw new Error(`tinamou-${command} does not run: status ${status ?? signal}\n${stderr}`);
  }
  // Where this host cannot, there is nothing to keep.
  run('system-x86_64', [...machine, '-nographic', '-accel', 'kvm'], 'x');
  rmSync(scratch, { recursive: true });
}
