/**
 * Makes dist/commands/ for bin/: each command as one file with a source map, and the code that V8 makes of it in a short run,
 * which spares later runs the compilation (bin/command.js).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './bootstrap.mjs';

/** A run takes a second; a build must not hang. */
const RUN_TIMEOUT_MS = 120_000;
/** Needed when an image or an option asks for them, and found in node_modules then. */
const EXTERNAL = ['koffi', '@hpcc-js/wasm-zstd'];

/** Modules of Node.js that most runs do without; child_process, crypto and tls bring some twenty more. */
const RARE = /\brequire\("(node:(?:child_process|crypto|inspector|timers\/promises|tls|zlib))"\)/g;
/** Loads such a module on its first use. Its name is as long as `require`, so that places in the source map stay right. */
const DELAYED = `const delayed = (name) => {
  let loaded;
  return new Proxy({}, { get: (_, key) => (loaded ??= require(name))[key] });
};`;

/**
 * How esbuild lets a module of Node.js be imported: it copies the module's properties, anew for each importer. They are inherited just
 * as well. As long as what it replaces, for the source map.
 */
const IMPORT = /var __toESM=\(mod,isNodeMode,\w+\)=>\(.*?,mod\)\);/;
const inherit = (text) =>
  `${'var __toESM=mod=>__create(mod,{default:{value:mod,enumerable:true}})'.padEnd(text.length - 1)};`;

/** What compilers make most of, for the translator's code of it: each line is one kind of instruction, in 16 bits. */
const VARIETY = [
  [0x0f, 0x20, 0xe0, 0x66, 0x0d, 0x00, 0x06, 0x00, 0x00, 0x0f, 0x22, 0xe0], // mov eax,cr4; or eax,600h; mov cr4,eax
  [0xbc, 0x00, 0x80, 0xbb, 0x00, 0x90, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0], // mov sp,8000h; mov bx,9000h; xor ax,ax; mov ds,ax; mov es,ax
  [0x50, 0x66, 0x51, 0x66, 0x59, 0x58, 0x9c, 0x9d, 0xfa, 0xfc], // push ax; push ecx; pop ecx; pop ax; pushf; popf; cli; cld
  [0x89, 0x07, 0x8b, 0x07, 0x66, 0x89, 0x47, 0x04, 0x66, 0x8b, 0x4f, 0x04, 0xc6, 0x07, 0x01], // mov to and from [bx], [bx+4]
  [0x8d, 0x77, 0x10, 0x66, 0x67, 0x8d, 0x44, 0x9b, 0x08], // lea si,[bx+10h]; lea eax,[ebx+ebx*4+8]
  [
    0x03, 0x07, 0x01, 0x07, 0x2b, 0x07, 0x13, 0xc3, 0x1b, 0xc3, 0x21, 0xd8, 0x09, 0xd8, 0x83, 0xc0, 0x01, 0x83, 0x2f,
    0x01,
  ], // add, sub, adc, sbb, and, or
  [0x3b, 0x07, 0x72, 0x00, 0x83, 0xf8, 0x01, 0x7c, 0x00, 0x85, 0xc0, 0x78, 0x00, 0x74, 0x00, 0x76, 0x00], // cmp, test; jb, jl, js, jz, jbe
  [0x0f, 0x94, 0xc0, 0x0f, 0x42, 0xc3, 0x0f, 0xb6, 0xc0, 0x0f, 0xbe, 0xc0, 0x0f, 0xb7, 0x07, 0x66, 0x98], // setz, cmovb, movzx, movsx, cwde
  [0x40, 0x48, 0xf7, 0xd8, 0xf7, 0xd0, 0xff, 0x07, 0xc1, 0xe0, 0x04, 0xd1, 0xe8, 0xc1, 0xf8, 0x02, 0xd3, 0xe0], // inc, dec, neg, not; shl, shr, sar
  [0x0f, 0xba, 0xe0, 0x03, 0x0f, 0xab, 0x07, 0x0f, 0xbc, 0xc3, 0x0f, 0xa4, 0xd8, 0x03], // bt, bts, bsf, shld
  [0x87, 0xd8, 0xf0, 0x0f, 0xb1, 0x1f, 0xf0, 0x0f, 0xc1, 0x07, 0xf7, 0xe3, 0x6b, 0xc3, 0x07], // xchg, lock cmpxchg, lock xadd, mul, imul
  [0xb9, 0x04, 0x00, 0xbf, 0x00, 0x91, 0xbe, 0x00, 0x90, 0xf3, 0xa4, 0xb9, 0x04, 0x00, 0xf3, 0xab, 0xa4, 0xac], // rep movsb, rep stosw, movsb, lodsb
  [0x0f, 0x57, 0xc0, 0x0f, 0x11, 0x07, 0x0f, 0x10, 0x0f, 0x66, 0x0f, 0xef, 0xc1, 0x66, 0x0f, 0x6f, 0xc8], // xorps, movups, pxor, movdqa
  [0xe8, 0x02, 0x00, 0xeb, 0x01, 0xc3], // call to the ret; jmp over it; ret
  [0x0f, 0xa2, 0x0f, 0x31, 0x90], // cpuid, rdtsc, nop
];

/** Firmware that runs this code, prints a character, waits for one, and resets. */
function shortFirmware(path, code) {
  const rom = new Uint8Array(65536);
  rom.set(
    [
      ...code,
      // mov dx,3f8h; mov al,'!'; out dx,al; add dl,5; wait: in al,dx; test al,1; jz wait; mov al,0feh; out 64h,al; hlt
      ...[0xba, 0xf8, 0x03, 0xb0, 0x21, 0xee, 0x80, 0xc2, 0x05, 0xec, 0xa8, 0x01, 0x74, 0xfb],
      ...[0xb0, 0xfe, 0xe6, 0x64, 0xf4],
    ],
    0xf000,
  );
  // Where the processor begins: jmp to the above.
  rom.set([0xe9, 0x0d, 0xf0], 0xfff0);
  writeFileSync(path, rom);
  return path;
}

/** Puts tables of instruction rows in place of the module that has none. */
async function preparedRows() {
  const { Decoder } = await import('../dist/src/guest/x86/decode.js');
  const { ROWS } = await import('../dist/src/guest/x86/insn/index.js');
  const contents = `export const PREPARED = ${JSON.stringify(new Decoder(ROWS).prepare())};`;
  return {
    name: 'prepared rows',
    setup: (build) => build.onLoad({ filter: /x86\/insn\/prepared\.js$/ }, () => ({ contents })),
  };
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
      'early-state': 'dist/src/app/lib/early-state.js',
      // Threads: one file each too, which is too small to keep V8's code of.
      'vcpu-worker': 'dist/src/host/node/kvm/vcpu-worker.js',
      'ticker-worker': 'dist/src/host/node/ticker-worker.js',
      'compile-worker': 'dist/src/app/lib/compile-worker.js',
      'file-threads-worker': 'dist/src/host/node/file-threads-worker.js',
    },
    outdir: out,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    minifyWhitespace: true,
    platform: 'node',
    format: 'cjs',
    external: EXTERNAL,
    // Code that V8 has kept knows no module loader to import with.
    supported: { 'dynamic-import': false },
    sourcemap: true,
    sourcesContent: false,
    define: { 'import.meta.url': 'bundleUrl' },
    banner: { js: `const bundleUrl = require('node:url').pathToFileURL(module.filename).href;\n${DELAYED}` },
    plugins: [await preparedRows()],
    logLevel: 'warning',
  });
  for (const name of readdirSync(out).filter((file) => file.endsWith('.cjs'))) {
    const file = join(out, name);
    const text = readFileSync(file, 'utf8').replace(RARE, 'delayed("$1")');
    if (text.includes('var __toESM=') && !IMPORT.test(text))
      throw new Error(`${name}: esbuild imports in another way now`);
    writeFileSync(file, text.replace(IMPORT, inherit));
    // Of Node.js's own modules, for bin/command.js.
    const needs = new Set(Array.from(text.matchAll(/\brequire\("(node:[\w/]+)"\)/g), ([, module]) => module));
    if (name === 'system.cjs') writeFileSync(join(out, 'system.needs.json'), JSON.stringify([...needs]));
  }
  const scratch = mkdtempSync(join(tmpdir(), 'tinamou-'));
  const at = (name) => join(scratch, name);
  writeFileSync(at('raw'), new Uint8Array(3 << 20).fill(1, 0, 1 << 20));
  const common = ['-display', 'none', '-no-reboot', '-bios'];
  const machine = [...common, shortFirmware(at('various.bin'), VARIETY.flat())];
  const run = (command, args, input) =>
    spawnSync(process.execPath, [join(root, `bin/tinamou-${command}.js`), ...args], {
      input: input ?? '',
      encoding: 'utf8',
      timeout: RUN_TIMEOUT_MS,
      killSignal: 'SIGKILL',
      env: { ...process.env, TINAMOU_KEEP_CODE: '1' },
    });
  const disk = ['-drive', `file=${at('disk')},format=qcow2,if=virtio`];
  // Each run starts with the code of those before and adds its own.
  for (const [command, args, input] of [
    ['system-x86_64', [...machine, '-nographic'], 'x'],
    ['img', ['create', '-f', 'qcow2', at('disk'), '1M']],
    [
      'system-x86_64',
      [...machine, ...disk, '-serial', 'null', '-monitor', 'stdio'],
      `savevm s\nmigrate file:${at('state')}\nquit\n`,
    ],
    ['system-x86_64', [...machine, ...disk, '-serial', 'stdio', '-incoming', `file:${at('state')}`], 'x'],
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
  run('system-x86_64', [...common, shortFirmware(at('short.bin'), []), '-nographic', '-accel', 'kvm'], 'x');
  rmSync(scratch, { recursive: true });
}
