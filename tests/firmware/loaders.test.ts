/** A kernel of our own, started by QEMU's multiboot loader and by ours: it must be told the same. PVH as well. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { directBoot, kernelKind } from '../../src/firmware/boot/direct.js';
import type { PlatformDescription } from '../../src/firmware/platform.js';
import { ConsoleFile } from './console-file.js';
import { QemuMachine, qemuInstalled } from './qemu-machine.js';

const PLATFORM: PlatformDescription = {
  ram: { below4g: 64 << 20, above4g: 0 },
  apicIds: [0],
  ioApicId: 0,
  serial: [{ port: 0x3f8, irq: 4 }],
  parallel: [],
  hpet: true,
  floppy: false,
  ps2: true,
  fwCfg: true,
  vga: false,
  pci: true,
};
const MODULES = [
  { name: 'first', args: ' with=arguments', content: 'contents of the first module' },
  { name: 'second', args: '', content: 'and of the second' },
];
const EXIT = ['-device', 'isa-debug-exit,iobase=0xf4'];
const nasm = spawnSync('nasm', ['-v']).status === 0;
const skip = qemuInstalled && nasm ? false : 'needs qemu-system-x86_64 and nasm';

async function inFolder(run: (folder: string, flat: Uint8Array) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tinamou-loaders-'));
  try {
    // Compiled tests lie in dist/; the source is beside this file in the tree.
    const source = fileURLToPath(new URL('../../../tests/firmware/testdata/boot-report.asm', import.meta.url));
    const out = join(folder, 'kernel');
    const done = spawnSync('nasm', ['-f', 'bin', '-o', out, source], { encoding: 'utf8' });
    assert.equal(done.status, 0, done.stderr);
    for (const m of MODULES) writeFileSync(join(folder, m.name), m.content);
    await run(folder, readFileSync(out));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function startedByUs(folder: string, bytes: Uint8Array): Promise<string> {
  const machine = new QemuMachine(['-m', '64', ...EXIT]);
  try {
    machine.start(
      directBoot({
        memory: machine.memory,
        ports: machine.ports,
        platform: PLATFORM,
        kernel: { path: join(folder, 'kernel'), bytes },
        modules: MODULES.map((m) => {
          const path = join(folder, m.name);
          return { path, bytes: readFileSync(path), commandLine: path + m.args };
        }),
        commandLine: 'one two',
        longMode: true,
      }),
    );
    await machine.exited;
    return machine.serial;
  } finally {
    await machine.dispose();
  }
}

test('multiboot: our loader tells a kernel what QEMU tells it', { skip }, async () => {
  await inFolder(async (folder, flat) => {
    assert.equal(kernelKind(flat), 'multiboot');
    const initrd = MODULES.map((m) => join(folder, m.name) + m.args).join(',');
    const console = new ConsoleFile(join(folder, 'console'));
    const args = ['-accel', 'tcg', '-m', '64', '-nodefaults', '-display', 'none', '-serial', console.option, ...EXIT];
    args.push('-kernel', join(folder, 'kernel'), '-append', 'one two', '-initrd', initrd);
    spawnSync('qemu-system-x86_64', args, { timeout: 30_000 });
    const reference = console.text;
    assert.match(reference, /second module|of the second\ndone\n/);
    assert.equal(await startedByUs(folder, flat), reference);
  });
});

test('PVH: an ELF file with the note is entered with start info', { skip }, async () => {
  await inFolder(async (folder, flat) => {
    const LOAD = 0x200000;
    const header = new Uint8Array(0x1000);
    const v = new DataView(header.buffer);
    header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    v.setUint16(0x12, 62, true);
    v.setUint32(0x20, 0x40, true);
    v.setUint16(0x36, 56, true);
    v.setUint16(0x38, 2, true);
    const segment = (
      index: number,
      type: number,
      offset: number,
      address: number,
      file: number,
      memory: number,
    ): void => {
      const at = 0x40 + index * 56;
      v.setUint32(at, type, true);
      [offset, address, address, file, memory].forEach((value, i) => {
        v.setUint32(at + 8 + 8 * i, value, true);
      });
    };
    segment(0, 1, 0x1000, LOAD, flat.length, flat.length + 0x2000);
    segment(1, 4, 0x200, 0, 20, 20);
    const entry = new DataView(flat.buffer, flat.byteOffset).getUint32(28, true);
    [4, 4, 18, 0x6e6558, entry].forEach((value, i) => {
      v.setUint32(0x200 + 4 * i, value, true);
    });
    // The multiboot header is spoiled, so that the file is only a PVH kernel.
    const body = flat.slice();
    body.fill(0, 0, 12);
    const said = await startedByUs(folder, Buffer.concat([header, body]));
    assert.equal(said, `one two\n${MODULES[0]!.content}\ndone\n`);
  });
});
